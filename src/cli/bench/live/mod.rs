//! Live delivery: WebSockets that hear what is published, one or thousands of them, quick, slow and idle ones. All
//! sockets are one future of the generator's thread; what they hear is held against the order of the records.

mod crowd;
mod fanout;
mod gate;
mod keys;
mod latency;
mod limits;
mod mixed;
mod replay;
mod sockets;
mod stall;
mod stamp;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::error::BenchError;
use super::report::Table;
use super::setup::Setup;
use super::{not_negative, positive};

/// The benchmarks of live delivery.
#[derive(Debug, Subcommand)]
pub(super) enum Live {
    /// Records of 200 B to 1,000 WebSockets on one partition, as fast as they go.
    Fanout(FanoutArgs),
    /// From a publisher to ten WebSockets at 1,000 records per second.
    Latency(LatencyArgs),
    /// Reads a whole log over one WebSocket.
    ReplayWs(ReplayArgs),
    /// Memory and processor time of 8,000 idle, subscribed WebSockets.
    Sockets(SocketsArgs),
    /// Readers at the tail while others replay.
    Mixed(MixedArgs),
    /// WebSockets that stop reading for a minute.
    Stall(StallArgs),
    /// Readers of one key each, and the history of a key.
    Keys(KeysArgs),
    /// All of these with their defaults: about a quarter of an hour.
    #[command(name = "live")]
    Whole,
}

#[derive(Debug, Args)]
pub(super) struct FanoutArgs {
    /// WebSockets.
    #[arg(long, default_value_t = 1_000, value_parser = count)]
    sockets: u64,
    /// Records of a request.
    #[arg(long, default_value_t = 10, value_parser = count)]
    batch: u64,
    /// Records under way at once.
    #[arg(long, default_value_t = 1_000, value_parser = count)]
    window: u64,
}

#[derive(Debug, Args)]
pub(super) struct LatencyArgs {
    /// Records per second.
    #[arg(long, default_value_t = 1_000.0, value_parser = positive)]
    rate: f64,
    /// WebSockets.
    #[arg(long, default_value_t = 10, value_parser = count)]
    sockets: u64,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Records to publish and read.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
}

#[derive(Debug, Args)]
pub(super) struct SocketsArgs {
    /// WebSockets.
    #[arg(long, default_value_t = 8_000, value_parser = count)]
    sockets: u64,
    /// Seconds that they are watched in each round; heartbeats come every 25.
    #[arg(long, default_value_t = 50.0, value_parser = positive)]
    idle: f64,
}

#[derive(Debug, Args)]
pub(super) struct MixedArgs {
    /// Records to store and replay.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// WebSockets at the tail.
    #[arg(long, default_value_t = 1_000, value_parser = count)]
    tail: u64,
    /// WebSockets that replay.
    #[arg(long, default_value_t = 20, value_parser = count)]
    replaying: u64,
    /// Records per second, meanwhile.
    #[arg(long, default_value_t = 50.0, value_parser = positive)]
    rate: f64,
    /// Seconds of a stretch.
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    length: f64,
}

#[derive(Debug, Args)]
pub(super) struct StallArgs {
    /// GB to publish while they do not read.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    gb: f64,
    /// Seconds that it takes.
    #[arg(long, default_value_t = 60.0, value_parser = positive)]
    length: f64,
    /// WebSockets that do not read.
    #[arg(long, default_value_t = 10, value_parser = count)]
    stalled: u64,
}

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// WebSockets, each a reader of one key.
    #[arg(long, default_value_t = 10_000, value_parser = count)]
    readers: u64,
    /// Records of the log in which histories are looked for.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
}

/// A number of sockets or records, within what a machine can have.
fn count(text: &str) -> Result<u64, String> {
    let number = not_negative(text)?;
    if number >= 1.0 && number.fract() == 0.0 {
        Ok(number as u64)
    } else {
        Err("allowed is 1 to 1000000".to_owned())
    }
}

/// Runs one of them, or all.
///
/// # Errors
/// When something could not be measured.
pub(super) async fn measure(setup: &Setup, what: &Live) -> Result<Vec<Table>, BenchError> {
    let table = match what {
        Live::Fanout(args) => fanout::fanout(setup, args.into()).await?,
        Live::Latency(args) => latency::latency(setup, args.rate, args.sockets as usize).await?,
        Live::ReplayWs(args) => replay::replay(setup, args.records).await?,
        Live::Sockets(args) => {
            let idle = Duration::from_secs_f64(args.idle);
            sockets::sockets(setup, args.sockets as usize, idle).await?
        }
        Live::Mixed(args) => mixed::mixed(setup, args.into()).await?,
        Live::Stall(args) => stall::stall(setup, args.into()).await?,
        Live::Keys(args) => keys::keys(setup, args.readers as usize, args.records).await?,
        Live::Whole => return all(setup).await,
    };
    Ok(vec![table])
}

async fn all(setup: &Setup) -> Result<Vec<Table>, BenchError> {
    let mixed =
        MixedArgs { records: 1_000_000, tail: 1_000, replaying: 20, rate: 50.0, length: 10.0 };
    let stall = StallArgs { gb: 1.0, length: 60.0, stalled: 10 };
    let fanout = fanout::Fanout { sockets: 1_000, batch: 10, window: 1_000 };
    Ok(vec![
        fanout::fanout(setup, fanout).await?,
        latency::latency(setup, 1_000.0, 10).await?,
        replay::replay(setup, 1_000_000).await?,
        sockets::sockets(setup, 8_000, Duration::from_secs(50)).await?,
        mixed::mixed(setup, (&mixed).into()).await?,
        stall::stall(setup, (&stall).into()).await?,
        keys::keys(setup, 10_000, 10_000_000).await?,
    ])
}

impl From<&FanoutArgs> for fanout::Fanout {
    fn from(args: &FanoutArgs) -> Self {
        Self { sockets: args.sockets as usize, batch: args.batch, window: args.window }
    }
}

impl From<&MixedArgs> for mixed::Mixed {
    fn from(args: &MixedArgs) -> Self {
        Self {
            records: args.records,
            tail: args.tail as usize,
            replaying: args.replaying as usize,
            rate: args.rate,
            length: Duration::from_secs_f64(args.length),
        }
    }
}

impl From<&StallArgs> for stall::Stall {
    fn from(args: &StallArgs) -> Self {
        Self {
            bytes: args.gb * 1e9,
            length: Duration::from_secs_f64(args.length),
            stalled: args.stalled as usize,
        }
    }
}
