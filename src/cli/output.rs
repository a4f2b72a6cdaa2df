//! What commands write: tables for people, JSON for programs, and questions.

use super::CliError;
use serde::Serialize;
use std::io::{self, BufRead, IsTerminal, Write};

/// Writes `text` and a line end to standard output.
pub fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::io("writing the output"))
}

/// Writes `value` as JSON, indented for a person.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::io("writing JSON")(error.into()))?;
    line(&text)
}

/// Writes an answer: as JSON for programs, or as `for_people` does.
pub fn told(
    json: bool,
    answer: &impl Serialize,
    for_people: impl FnOnce() -> Result<(), CliError>,
) -> Result<(), CliError> {
    if json { self::json(answer) } else { for_people() }
}

/// Writes rows under a head, columns aligned. Columns of numbers stand right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
    line(aligned(head, rows).trim_end())
}

fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let numeric = |column: usize| {
        let is_number = |cell: &String| cell.chars().all(|c| c.is_ascii_digit() || c == '-');
        !rows.is_empty() && rows.iter().filter_map(|row| row.get(column)).all(is_number)
    };
    let shape: Vec<_> = (0..head.len()).map(|column| (width(column), numeric(column))).collect();
    let mut out = String::new();
    let mut put = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&shape).map(|(cell, (width, right))| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let row: Vec<_> = padded.collect();
        out.push_str(row.join("  ").trim_end());
        out.push('\n');
    };
    put(&mut head.iter().copied());
    for row in rows {
        put(&mut row.iter().map(String::as_str));
    }
    out
}

/// Asks whether to go on. Without a terminal there is nobody to ask: `yes`
/// has to be given.
pub fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::Usage(format!(
            "{question}\n  There is no terminal to ask on: say --yes to do it"
        )));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(CliError::io("reading the answer"))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::Declined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let rows = [("orders", "4"), ("a", "128")].map(|(a, b)| vec![a.to_owned(), b.to_owned()]);
        assert_eq!(aligned(&["NAME", "N"], &rows), "NAME      N\norders    4\na       128\n");
        assert_eq!(aligned(&["NAME", "N"], &[]), "NAME  N\n");
    }
}
