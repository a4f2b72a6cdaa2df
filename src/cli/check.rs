//! `tidegate check`: looks at a data directory offline and says what it found.
//! Nothing is repaired.

use super::{CliError, output};
use crate::{
    engine::sled::{self, OpenError, Report},
    runtime,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal, path::PathBuf};

/// Which store to check.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads every batch of every volume: checksums, offsets, times, indexes, and what
the catalogue and the marks say of them. The gateway must be stopped.

Exit codes: 0 the store is sound, 3 it is not (or is in use).

Example:
  tidegate check ./data")]
pub struct CheckArgs {
    /// The data directory.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the check. A store that is not sound is an error of its own exit code.
pub async fn run(args: CheckArgs) -> Result<(), CliError> {
    let bar = progress();
    let shown = bar.clone();
    let dir = args.dir.clone();
    let checked = runtime::blocking(move || {
        sled::check(&dir, |done, all| {
            shown.set_length(all);
            shown.set_position(done);
        })
    });
    let checked = checked.await.map_err(|e| CliError::Store(e.to_string()))?;
    bar.finish_and_clear();
    let report = checked.map_err(|error| match error {
        // The advice for opening does not fit a check.
        OpenError::Damaged { what, .. } => CliError::Store(what),
        other => CliError::Store(other.to_string()),
    })?;
    if args.json {
        print_json(&report)?
    } else {
        print_text(&report)?
    }
    if report.findings.is_empty() {
        return Ok(());
    }
    Err(CliError::Store(format!(
        "{} found in {}: restore it from a backup, or start with --accept-loss, which copies what \
         is damaged and goes on with what is left",
        count(report.findings.len() as u64, "fault"),
        args.dir.display()
    )))
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("checking {bar:30} volume {pos} of {len}  {elapsed}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn count(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

fn print_text(report: &Report) -> Result<(), CliError> {
    for finding in &report.findings {
        output::line(&format!("FAULT  {}: {}", finding.place, finding.what))?;
    }
    output::line(&format!(
        "{} with {}: {} in {}, {} bytes before compression, {} of the time index",
        count(report.topics, "topic"),
        count(report.partitions, "partition"),
        count(report.records, "record"),
        count(report.volumes, "volume"),
        report.bytes,
        count(report.index_entries, "entry").replace("entrys", "entries"),
    ))?;
    let sound =
        if report.findings.is_empty() { "the store is sound" } else { "the store is NOT sound" };
    output::line(sound)
}

fn print_json(report: &Report) -> Result<(), CliError> {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|f| serde_json::json!({"place": f.place, "what": f.what}))
        .collect();
    output::json(&serde_json::json!({
        "sound": findings.is_empty(),
        "topics": report.topics,
        "partitions": report.partitions,
        "volumes": report.volumes,
        "batches": report.batches,
        "records": report.records,
        "bytes": report.bytes,
        "index_entries": report.index_entries,
        "findings": findings,
    }))
}
