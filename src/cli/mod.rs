//! The command line: what is typed → what is done. Commands that speak to a
//! running gateway do so through `client`; `serve` and `demo` start one.

pub mod arenas;
mod bench;
pub mod check;
mod demo;
mod exit;
mod group;
mod health;
mod logging;
mod output;
mod publish;
mod read;
mod serve;
mod signals;
mod subscribe;
mod topic;

pub use exit::{CliError, EXIT_CODES};

use crate::client::{Client, ClientError};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{process::ExitCode, time::Duration};

const EXAMPLES: &str = "\
Examples:
  tidegate demo                                        a week of earthquakes in three minutes
  tidegate serve --data-dir ./data                     a gateway on http://127.0.0.1:8080
  tidegate topic create orders --partitions 4
  tidegate publish orders '{\"id\":1}' --key customer-7
  tidegate publish orders --file orders.ndjson --key-field customer.id
  tidegate read orders --from earliest --follow
  tidegate subscribe orders --key customer-7
  tidegate subscribe orders --group billing            a share of the work, committed as it is shown
  tidegate group lag billing
";

/// How long background work may take to end once a command is done.
const LINGER: Duration = Duration::from_secs(1);

/// A pub/sub messaging gateway: a durable, partitioned log over HTTP, in one binary.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a gateway.
    Serve(Box<serve::ServeArgs>),
    /// Start a gateway and publish a recorded week of earthquakes, faster than time.
    Demo(Box<demo::DemoArgs>),
    /// Create, list, describe, alter, trim and delete topics.
    Topic(topic::TopicArgs),
    /// List, describe, move and delete consumer groups; tell how far behind they are.
    Group(group::GroupArgs),
    /// Publish records: from arguments, NDJSON, or a file as it is.
    Publish(publish::PublishArgs),
    /// Read records: from anywhere, to the newest or on as they come.
    Read(read::ReadArgs),
    /// Subscribe over WebSocket, through lost connections.
    Subscribe(Box<subscribe::SubscribeArgs>),
    /// Verify a data directory that no gateway is using.
    Check(check::CheckArgs),
    /// Measure speed and memory against the least that the machine allows.
    Bench(bench::BenchArgs),
    /// Ask a gateway whether it is ready; the exit code says it.
    Health(health::HealthArgs),
}

/// Which gateway to speak to.
#[derive(Clone, Debug, Args)]
struct ServerArg {
    /// The gateway's address.
    #[arg(
        long,
        value_name = "URL",
        env = "TIDEGATE_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
}

impl ServerArg {
    fn client(&self) -> Result<Client, ClientError> {
        Client::new(&self.server)
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let command = Cli::command().after_help(format!("{EXAMPLES}\n{EXIT_CODES}"));
    // Faulty arguments end here, with the code for wrong usage.
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    if matches!(cli.command, Command::Serve(_) | Command::Demo(_)) {
        arenas::few();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(CliError::io("starting the runtime")(error))),
    };
    let result = runtime.block_on(run(cli.command));
    runtime.shutdown_timeout(LINGER);
    ended(result)
}

async fn run(command: Command) -> Result<(), CliError> {
    match command {
        // These stop in order when they are told to, and end it themselves.
        Command::Serve(args) => serve::run(*args).await,
        Command::Demo(args) => demo::run(*args).await,
        Command::Topic(args) => interruptible(topic::run(args)).await,
        Command::Group(args) => interruptible(group::run(args)).await,
        Command::Publish(args) => interruptible(publish::run(args)).await,
        Command::Read(args) => read::run(args).await,
        Command::Subscribe(args) => subscribe::run(*args).await,
        Command::Check(args) => interruptible(check::run(args)).await,
        Command::Bench(args) => {
            interruptible(async { bench::run(args).await.map_err(CliError::from) }).await
        }
        Command::Health(args) => interruptible(health::run(args)).await,
    }
}

/// Runs `work` until it is done or someone presses Ctrl-C.
async fn interruptible(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

fn ended(result: Result<(), CliError>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    match &error {
        CliError::OutputClosed | CliError::Interrupted => {}
        told => eprintln!("error: {told}"),
    }
    ExitCode::from(error.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_and_its_examples_are_understood() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
        let helps = Cli::command();
        let helps = helps.get_subcommands().filter_map(|command| command.get_after_help());
        let helps = helps.map(ToString::to_string).chain([EXAMPLES.to_owned()]).collect::<Vec<_>>();
        let lines = helps.iter().flat_map(|help| help.lines());
        let whole =
            |line: &&str| line.starts_with("  tidegate ") && !line.contains(['\'', '…', '|', '<']);
        for line in lines.filter(whole) {
            let words = line.trim_start().split("   ").next().unwrap_or(line).split_whitespace();
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
