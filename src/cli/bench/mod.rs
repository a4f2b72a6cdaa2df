//! `tidegate bench`: the gateway's speed and memory, each as a ratio to a floor measured in the same run. Absolute
//! figures belong to a machine and a day; a ratio to the least that the same stack must do on the same disk travels.
//!
//! The gateway is a child process, known by its address alone, and so is the floor. The generator has a thread of its
//! own with a runtime of its own, so that nothing else of this process runs beside it.

mod api;
mod data;
mod drive;
mod error;
mod fill;
mod groups;
mod live;
mod measure;
mod memory;
mod process;
mod publish;
mod replay;
mod report;
mod restart;
mod roll;
mod setup;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::http::floor::{self, FloorMode};
pub use error::BenchError;
use report::{Report, Table};
use setup::Setup;

const EXAMPLES: &str = "\
Examples:
  tidegate bench publish                   the two levels of durability, one record per request
  tidegate bench all --rounds 5            all that need neither much time nor much disk
  tidegate bench live                      everything about WebSockets
  tidegate bench groups                    everything about consumer groups, three minutes
  tidegate bench --json replay             the same figures for a program
  tidegate bench restart --dir /var/tmp    stores 10 GiB there: choose a real disk
  tidegate bench publish --serve-arg=--engine=memory

Every ratio is the median of the gateway over that of its floor, measured by turns.
A missed target is printed and leaves the exit code 0; what cannot be measured fails.";

/// Measures the gateway against the least that the machine allows.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One 200 B record per request over 64 connections, synced and buffered.
    Publish,
    /// 100 records of 1 KB per request, synced, over one and eight connections.
    Batches,
    /// Reads a whole log as NDJSON, and the time to its first byte.
    Replay {
        /// Records to publish and read.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        records: u64,
    },
    /// Publishes at a steady rate while volumes fill, roll and are sealed.
    Roll(RollArgs),
    /// Publish, batches, replay and roll with their defaults.
    All,
    /// Memory with much stored and 16 readers at different places.
    Memory {
        /// GiB of record values to store.
        #[arg(long, default_value_t = 4.0, value_parser = positive)]
        gib: f64,
        /// Seconds after which the readers stop, if they have not come to the end.
        #[arg(long, default_value_t = 30.0, value_parser = positive)]
        read_seconds: f64,
    },
    /// Memory during one long upload and one long download.
    Stream {
        /// GiB of NDJSON to send.
        #[arg(long, default_value_t = 10.0, value_parser = positive)]
        gib: f64,
        /// What the gateway's caches may hold by its settings, in MB: all of the active volume's, the store's own
        /// and those of the open sealed volumes.
        #[arg(long, default_value_t = 218.0, value_parser = positive)]
        caches_mb: f64,
    },
    /// Time until ready after SIGKILL with little and with much stored, and the time to trim half.
    Restart {
        /// GiB of the small store.
        #[arg(long, default_value_t = 2.0, value_parser = positive)]
        small_gib: f64,
        /// GiB of the large store.
        #[arg(long, default_value_t = 8.0, value_parser = positive)]
        large_gib: f64,
    },
    /// Consumer groups: assignment, joins, commits, polls, and what many groups cost a start.
    Groups(groups::GroupsArgs),
    #[command(flatten)]
    Live(live::Live),
    /// Runs a floor server alone, until interrupted.
    Floor(FloorArgs),
    /// Sends a load to a server that stands already, and prints its rate and latencies as JSON.
    Drive(drive::DriveArgs),
}

#[derive(Debug, Args)]
struct RollArgs {
    /// Requests per second, each of ten records of 1 KB.
    #[arg(long, default_value_t = 300.0, value_parser = positive)]
    rate: f64,
    /// Seconds per round.
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    length: f64,
    /// Keep the volume size of the gateway's settings (the default here is 16 MiB, for frequent rolls).
    #[arg(long)]
    keep_volumes: bool,
}

#[derive(Debug, Args)]
struct FloorArgs {
    /// What it does with its file.
    #[arg(long)]
    mode: FloorKind,
    /// The file that is appended to or served.
    #[arg(long)]
    path: PathBuf,
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The kinds of floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FloorKind {
    /// Appends each body to one file, with group-committed fdatasync.
    Synced,
    /// Appends each body to one file, unsynced.
    Buffered,
    /// Serves the file.
    File,
    /// As `synced`, and then writes each body to all WebSockets.
    SyncedSockets,
    /// As `buffered`, and then writes each body to all WebSockets.
    BufferedSockets,
    /// Writes the frames of the file to a WebSocket that says something.
    Frames,
}

impl FloorKind {
    fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Buffered => "buffered",
            Self::File => "file",
            Self::SyncedSockets => "synced-sockets",
            Self::BufferedSockets => "buffered-sockets",
            Self::Frames => "frames",
        }
    }
}

impl From<FloorKind> for FloorMode {
    fn from(kind: FloorKind) -> Self {
        match kind {
            FloorKind::Synced => Self::Synced,
            FloorKind::Buffered => Self::Buffered,
            FloorKind::File => Self::File,
            FloorKind::SyncedSockets => Self::SyncedSockets,
            FloorKind::BufferedSockets => Self::BufferedSockets,
            FloorKind::Frames => Self::Frames,
        }
    }
}

#[derive(Debug, Clone, Args)]
struct Options {
    /// Rounds per row; the medians of the rounds are compared.
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// Seconds of a measured stretch of load.
    #[arg(long, global = true, default_value_t = 3.0, value_parser = positive)]
    seconds: f64,
    /// Seconds of load before each measured stretch.
    #[arg(long, global = true, default_value_t = 1.0, value_parser = not_negative)]
    warm_up: f64,
    /// Where the data goes while a benchmark runs, in a directory of its own. Default: the system's temporary directory.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The gateway to measure. Default: this program.
    #[arg(long, global = true, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// A further argument for `serve`; may be given several times.
    #[arg(long, global = true, value_name = "ARG", allow_hyphen_values = true)]
    serve_arg: Vec<String>,
    /// Do not pin server and generator to a processor each.
    #[arg(long, global = true)]
    no_pin: bool,
    /// Print one JSON object instead of tables.
    #[arg(long, global = true)]
    json: bool,
}

/// No length, rate or amount is larger than this: what is computed from it stays within its type.
const MOST: f64 = 1e6;
/// Nor smaller than this, where it may not be nothing.
const LEAST: f64 = 1e-3;

fn not_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=MOST).contains(&number) { Ok(number) } else { Err(format!("allowed is 0 to {MOST}")) }
}

fn positive(text: &str) -> Result<f64, String> {
    match not_negative(text)? {
        number if number >= LEAST => Ok(number),
        _ => Err(format!("allowed is {LEAST} to {MOST}")),
    }
}

/// Runs the chosen benchmark and prints what it found.
///
/// # Errors
/// When something could not be measured; a missed target is no error.
pub async fn run(args: BenchArgs) -> Result<(), BenchError> {
    let BenchArgs { what, options } = args;
    if let What::Floor(floor) = what {
        return run_floor(&floor).await;
    }
    if let What::Drive(args) = &what {
        println!("{}", drive::run(args, &options).await?);
        return Ok(());
    }
    let json = options.json;
    let report = on_a_thread_of_its_own(what, options).await?;
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| BenchError::Io {
            what: "printing the report".to_owned(),
            source: error.into(),
        })?;
        println!("{text}");
    } else {
        print!("{}", report.text());
    }
    Ok(())
}

async fn run_floor(args: &FloorArgs) -> Result<(), BenchError> {
    floor::serve(args.mode.into(), &args.path, args.listen, |address| {
        println!("listening on http://{address}")
    })
    .await
    .map_err(BenchError::io("serving the floor"))
}

/// The generator's thread: it alone is pinned, and no other task runs on its runtime.
async fn on_a_thread_of_its_own(what: What, options: Options) -> Result<Report, BenchError> {
    let generator = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BenchError::io("starting the generator"))?;
        runtime.block_on(until_interrupted(&what, &options))
    });
    generator.await.unwrap_or(Err(BenchError::Generator))
}

/// Servers and data are guarded by drop: a signal has only to end the work.
async fn until_interrupted(what: &What, options: &Options) -> Result<Report, BenchError> {
    let signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let mut terminated = signals.map_err(BenchError::io("listening for signals"))?;
    tokio::select! {
        report = measure_all(what, options) => report,
        _ = tokio::signal::ctrl_c() => Err(BenchError::Interrupted),
        _ = terminated.recv() => Err(BenchError::Interrupted),
    }
}

async fn measure_all(what: &What, options: &Options) -> Result<Report, BenchError> {
    // Asked before the generator is pinned: afterwards the answer would be one.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let setup = Setup::new(options)?;
    let tables = match what {
        What::Publish => vec![publish::publish(&setup).await?],
        What::Batches => vec![publish::batches(&setup).await?],
        What::Replay { records } => vec![replay::replay(&setup, *records).await?],
        What::Roll(args) => vec![measure_roll(&setup, args).await?],
        What::All => measure_small(&setup).await?,
        What::Memory { gib, read_seconds } => {
            vec![memory::memory(&setup, *gib, Duration::from_secs_f64(*read_seconds)).await?]
        }
        What::Stream { gib, caches_mb } => vec![memory::stream(&setup, *gib, *caches_mb).await?],
        What::Restart { small_gib, large_gib } => {
            vec![restart::restart(&setup, *small_gib, *large_gib).await?]
        }
        What::Groups(args) => groups::measure(&setup, args).await?,
        What::Live(live) => live::measure(&setup, live).await?,
        // Handled before a work directory is made.
        What::Floor(_) | What::Drive(_) => Vec::new(),
    };
    Ok(Report { rounds: setup.rounds, seconds: options.seconds, processors, tables })
}

async fn measure_small(setup: &Setup) -> Result<Vec<Table>, BenchError> {
    let roll = RollArgs { rate: 300.0, length: 20.0, keep_volumes: false };
    Ok(vec![
        publish::publish(setup).await?,
        publish::batches(setup).await?,
        replay::replay(setup, 1_000_000).await?,
        measure_roll(setup, &roll).await?,
    ])
}

async fn measure_roll(setup: &Setup, args: &RollArgs) -> Result<Table, BenchError> {
    roll::roll(setup, args.rate, Duration::from_secs_f64(args.length), args.keep_volumes).await
}

/// Tells who waits what is going on; on standard error, which leaves standard output to the report.
fn progress(what: &str) {
    eprintln!("{what}");
}
