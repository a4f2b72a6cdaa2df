//! `bench groups`: consumer groups. How fast their decisions are, how fast many members settle, what a commit costs
//! beside a publish and a poll beside a page, and what remembered groups cost a start.

mod assign;
mod calls;
mod commits;
mod joins;
mod many;
mod polls;

use clap::{Args, ValueEnum};

use super::error::BenchError;
use super::report::Table;
use super::setup::Setup;

/// What is measured, and how large.
#[derive(Debug, Args)]
pub(super) struct GroupsArgs {
    /// Only this part; may be given several times. Default: all of them.
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Members that join at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(2..=800))]
    members: u64,
    /// Groups that a store remembers.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    groups: u64,
}

/// The parts of this benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The assignment of 1,000 partitions to 200 members, in memory.
    Assign,
    /// Many members that join at once.
    Joins,
    /// Durable commits against durable publishes.
    Commits,
    /// Members that poll against readers of pages.
    Polls,
    /// A start with many groups against one with none.
    Many,
}

const ALL: [Part; 5] = [Part::Assign, Part::Joins, Part::Commits, Part::Polls, Part::Many];

/// Runs the parts that were asked for.
///
/// # Errors
/// When something could not be measured.
pub(super) async fn measure(setup: &Setup, args: &GroupsArgs) -> Result<Vec<Table>, BenchError> {
    let mut tables = Vec::new();
    for part in ALL.into_iter().filter(|part| args.only.is_empty() || args.only.contains(part)) {
        tables.push(match part {
            Part::Assign => assign::assign(setup),
            Part::Joins => joins::joins(setup, args.members).await?,
            Part::Commits => commits::commits(setup).await?,
            Part::Polls => polls::polls(setup).await?,
            Part::Many => many::many(setup, args.groups).await?,
        });
    }
    Ok(tables)
}
