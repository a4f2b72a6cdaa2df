//! What a benchmark found: rows of ratios, as a table for people or as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// On which side of it a ratio must lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The ratio is to reach the number.
    AtLeast(f64),
    /// The ratio is not to exceed the number.
    AtMost(f64),
    /// Nothing is asked.
    None,
}

impl Target {
    fn met_by(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
            Self::None => true,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::None => "-".to_owned(),
        }
    }
}

/// What came of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As good as the best in the field should be.
    Best,
    /// Good enough.
    Reached,
    /// Not good enough.
    Missed,
    /// Nothing was asked.
    Informative,
}

/// The measured values of both sides, a pair per round.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Series {
    /// The gateway's value of each round.
    pub subject: Vec<f64>,
    /// What it is compared with, of each round.
    pub floor: Vec<f64>,
}

/// One line of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    what: String,
    unit: &'static str,
    /// Median of the gateway.
    subject: f64,
    /// Median of what it is compared with.
    floor: f64,
    ratio: f64,
    /// The smallest and the largest ratio of a single round.
    spread: (f64, f64),
    target: Target,
    best: Option<f64>,
    verdict: Verdict,
    note: String,
    rounds: Series,
}

impl Row {
    /// The row of `series`, whose ratio of medians is held against `target` and against the `best` in the field.
    pub fn new(
        what: impl Into<String>,
        unit: &'static str,
        series: Series,
        target: Target,
        best: Option<f64>,
        note: impl Into<String>,
    ) -> Self {
        let (subject, floor) = (median(&series.subject), median(&series.floor));
        let ratios =
            series.subject.iter().zip(&series.floor).map(|(subject, floor)| subject / floor);
        let spread = ratios.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ratio| {
            (low.min(ratio), high.max(ratio))
        });
        let ratio = subject / floor;
        Self {
            what: what.into(),
            unit,
            subject,
            floor,
            ratio,
            spread,
            target,
            best,
            verdict: verdict(ratio, target, best),
            note: note.into(),
            rounds: series,
        }
    }

    /// A row of one measurement against a fixed limit, which it must not exceed.
    pub fn limit(
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        limit: f64,
        note: impl Into<String>,
    ) -> Self {
        let series = Series { subject: vec![value], floor: vec![limit] };
        Self::new(what, unit, series, Target::AtMost(1.0), None, note)
    }

    fn cells(&self) -> [String; 8] {
        [
            format!("{} [{}]", self.what, self.unit),
            figure(self.subject),
            figure(self.floor),
            format!("{:.2}", self.ratio),
            format!("{:.2}-{:.2}", self.spread.0, self.spread.1),
            self.target.text(),
            self.best.map_or_else(|| "-".to_owned(), |best| best.to_string()),
            match self.verdict {
                Verdict::Best => "best",
                Verdict::Reached => "reached",
                Verdict::Missed => "MISSED",
                Verdict::Informative => "-",
            }
            .to_owned(),
        ]
    }
}

fn verdict(ratio: f64, target: Target, best: Option<f64>) -> Verdict {
    let best_target = match (target, best) {
        (Target::AtLeast(_), Some(best)) => Target::AtLeast(best),
        (Target::AtMost(_), Some(best)) => Target::AtMost(best),
        (Target::None, _) => return Verdict::Informative,
        (Target::AtLeast(_) | Target::AtMost(_), None) => target,
    };
    match (target.met_by(ratio), best_target.met_by(ratio) && best.is_some()) {
        (true, true) => Verdict::Best,
        (true, false) => Verdict::Reached,
        (false, _) => Verdict::Missed,
    }
}

/// The rows of one benchmark.
#[derive(Debug, Serialize)]
pub struct Table {
    /// The benchmark's name.
    pub benchmark: &'static str,
    /// What the two columns of values are.
    pub columns: (&'static str, &'static str),
    /// How the processes were placed.
    pub pinning: String,
    /// The lines.
    pub rows: Vec<Row>,
    /// What else is worth knowing, a line each.
    pub notes: Vec<String>,
}

/// All tables of a run, and what they were measured with.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Rounds per row.
    pub rounds: usize,
    /// Seconds per stretch.
    pub seconds: f64,
    /// Processors of the machine.
    pub processors: usize,
    /// What ran.
    pub tables: Vec<Table>,
}

impl Report {
    /// The report as text.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { rounds, seconds, processors, tables } = self;
        let mut out =
            format!("{rounds} rounds, {seconds} s a stretch, medians; {processors} processors\n");
        for table in tables {
            out.push_str(&table.text());
        }
        out
    }
}

impl Table {
    fn text(&self) -> String {
        let (subject, floor) = self.columns;
        let head = [self.benchmark, subject, floor, "ratio", "rounds", "target", "best", "verdict"]
            .map(str::to_owned);
        let lines: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: Vec<usize> = (0..8)
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut out = format!("\n{}\n", self.pinning);
        for line in &lines {
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                // Writing to a `String` does not fail.
                let _ = match column {
                    0 => write!(out, "{cell:<width$}"),
                    _ => write!(out, "  {cell:>width$}"),
                };
            }
            out.push('\n');
        }
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            let _ = writeln!(out, "  {}: {}", row.what, row.note);
        }
        for note in &self.notes {
            let _ = writeln!(out, "  {note}");
        }
        out
    }
}

/// The median; not a number for no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// A value with about four digits.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_is_held_against_its_target_and_the_best() {
        let at_least = |ratio| verdict(ratio, Target::AtLeast(0.7), Some(0.85));
        assert_eq!(
            [0.6, 0.7, 0.85].map(at_least),
            [Verdict::Missed, Verdict::Reached, Verdict::Best]
        );
        assert_eq!(verdict(1.2, Target::AtMost(1.5), None), Verdict::Reached);
        assert_eq!(verdict(1.6, Target::AtMost(1.5), None), Verdict::Missed);
        assert_eq!(verdict(f64::NAN, Target::AtMost(1.5), None), Verdict::Missed);
        assert_eq!(verdict(1.6, Target::None, None), Verdict::Informative);
    }

    #[test]
    fn a_row_shows_the_ratio_of_the_medians_and_the_spread_of_the_rounds() {
        let series = Series { subject: vec![50.0, 70.0, 90.0], floor: vec![100.0, 100.0, 100.0] };
        let row = Row::new("x", "1/s", series, Target::AtLeast(0.7), Some(0.85), "");
        assert_eq!((row.ratio, row.spread, row.verdict), (0.7, (0.5, 0.9), Verdict::Reached));
    }
}
