//! Which names a grant is for: a name with `*` for any characters within a
//! segment between dots, and `**` for any across them.

use crate::domain::limits::MAX_NAME_BYTES;
use std::{fmt, sync::Arc};

/// Why a pattern was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no characters.
    #[error("the pattern is empty")]
    Empty,
    /// It is longer than any name.
    #[error("the pattern has {0} characters, at most {MAX_NAME_BYTES} are allowed")]
    TooLong(usize),
    /// A character that is in no name.
    #[error("the pattern holds {0:?}; allowed are letters, digits, '.', '_', '-' and '*'")]
    BadCharacter(char),
    /// `***`.
    #[error("the pattern holds '***': '*' stays within a segment, '**' goes across")]
    Stars,
}

/// A pattern of names of topics or groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// What every name fits.
    pub const ANY: &'static str = "**";

    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// When no name could fit it, or it is not clear which would.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            return Err(PatternError::BadCharacter(bad));
        }
        if text.contains("***") {
            return Err(PatternError::Stars);
        }
        Ok(Pattern(Arc::from(text)))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits it. Needs no memory.
    ///
    /// Where a star took too little, the last one of its kind takes one more
    /// character: an earlier one could not do better, since the last `**` takes
    /// anything, and before a `*` there is only one way to the same segment.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where to go on in the pattern, and how far the star took the name.
        let (mut within, mut across) = (None, None);
        loop {
            match (pattern.get(p), name.get(n)) {
                (Some(b'*'), _) if pattern.get(p + 1) == Some(&b'*') => {
                    p += 2;
                    (within, across) = (None, Some((p, n)));
                }
                (Some(b'*'), _) => {
                    p += 1;
                    within = Some((p, n));
                }
                (None, None) => return true,
                (Some(wanted), Some(found)) if wanted == found => (p, n) = (p + 1, n + 1),
                _ => match (within, across) {
                    (Some((after, taken)), _)
                        if name.get(taken).is_some_and(|more| *more != b'.') =>
                    {
                        within = Some((after, taken + 1));
                        (p, n) = (after, taken + 1);
                    }
                    (_, Some((after, taken))) if taken < name.len() => {
                        (within, across) = (None, Some((after, taken + 1)));
                        (p, n) = (after, taken + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stay_within_a_segment_or_go_across() {
        let table = [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders", "order", false),
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders.", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.eu.west", false),
            ("orders.**", "orders.eu.west", true),
            ("orders.**", "orders", false),
            ("*", "orders", true),
            ("*", "orders.eu", false),
            ("**", "orders.eu", true),
            ("*.eu", "orders.eu", true),
            ("*.eu", "orders.x.eu", false),
            ("**.eu", "orders.x.eu", true),
            ("**.eu.*", "eu.eu.west", true),
            ("o*s.*u", "orders.eu", true),
            ("billing-*", "billing-2", true),
            ("billing-*", "billing-", true),
            ("a**b*c", "a.b.bxc", true),
            ("a**b*c", "a.b.b.xc", false),
        ];
        for (pattern, name, fits) in table {
            assert_eq!(Pattern::new(pattern).unwrap().fits(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(Pattern::new(""), Err(PatternError::Empty));
        assert_eq!(Pattern::new("a***"), Err(PatternError::Stars));
        assert_eq!(Pattern::new("a b"), Err(PatternError::BadCharacter(' ')));
        assert_eq!(Pattern::new("a/../b"), Err(PatternError::BadCharacter('/')));
        assert_eq!(Pattern::new(&"a".repeat(250)), Err(PatternError::TooLong(250)));
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::new(&"**a*a".repeat(49)).unwrap();
        assert!(pattern.fits(&"a".repeat(248)));
        assert!(!pattern.fits(&format!("{}b", "a".repeat(248))));
    }

    /// The meaning, said in the plainest way.
    fn means(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', b'*', rest @ ..], _) => {
                (0..=name.len()).any(|taken| means(rest, &name[taken..]))
            }
            ([b'*', rest @ ..], _) => (0..=name.len())
                .take_while(|taken| !name[..*taken].contains(&b'.'))
                .any(|taken| means(rest, &name[taken..])),
            ([wanted, rest @ ..], [found, more @ ..]) => wanted == found && means(rest, more),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn it_fits_what_it_means(pattern in "[ab.*]{1,9}", name in "[ab.]{1,9}") {
            if let Ok(compiled) = Pattern::new(&pattern) {
                let meant = means(pattern.as_bytes(), name.as_bytes());
                prop_assert_eq!(compiled.fits(&name), meant);
            }
        }
    }
}
