//! How quantities are written in settings: sizes (`64MiB`, `1GB`, plain
//! bytes), durations (`500ms`, `5s`, `1h`), and back to text. Knows no setting.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const TIMES: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// How a size may be written, for messages.
pub const SIZE_FORMS: &str = "a size such as 64MiB, 1GB or plain bytes";
/// How a duration may be written, for messages.
pub const TIME_FORMS: &str = "a duration such as 500ms, 5s, 10m, 1h or 7d";

/// Reads a size in bytes; `None` when it is not written like one, or does not
/// fit. Units are told apart without regard to case.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

/// Reads a duration; its unit is required, so that nobody has to guess it.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = TIMES.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(factor).map(Duration::from_millis)
}

/// A size in its largest whole unit.
#[must_use]
pub fn print_size(bytes: u64) -> String {
    let binary =
        SIZES[..4].iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match binary {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A duration in its largest whole unit; below a millisecond is cut off.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole =
        TIMES.iter().rev().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}ms"),
    }
}

/// A text as TOML writes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// How alike two names are: the edits that make one of the other, where two
/// neighbours changing places are one edit.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1GB", 1_000_000_000),
            ("16B", 16),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5GiB", "1 XB", "99999999999999999999", "9999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
        for bad in ["5", "", "s", "5 weeks", "-1s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back_the_same() {
        for bytes in [0, 1, 1023, 1024, 64 << 20, (1 << 30) + 1, 3 << 40] {
            assert_eq!(parse_size(&print_size(bytes)), Some(bytes));
        }
        for millis in [0, 1, 999, 1000, 60_000, 90_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&print_duration(duration)), Some(duration));
        }
    }

    #[test]
    fn two_neighbours_that_changed_places_are_one_edit() {
        assert_eq!(distance("listen", "listne"), 1);
        assert_eq!(distance("engine", "engine"), 0);
        assert_eq!(distance("", "abc"), 3);
    }
}
