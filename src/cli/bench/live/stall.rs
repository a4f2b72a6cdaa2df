//! `bench stall`: sockets that stop reading cost the gateway and the others nothing, and miss nothing.

use std::time::{Duration, Instant};

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::measure::megabytes;
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::crowd::{Check, Crowd};
use super::stamp::{Quantiles, Stamped, Timings, after, stamped_value};
use super::wire::subscribe;
use crate::client::load::{Pace, pace_with};

/// Records of a request, and bytes of a record's value.
const BATCH: usize = 50;
const RECORD: usize = 1_000;
/// Connections that publish.
const PUBLISHERS: usize = 4;
/// Sockets that read on.
const OTHERS: usize = 10;
/// The most memory that a socket may cost which does not read, in MB.
const LIMIT_MB: f64 = 1.0;
/// How often memory is looked at in the end, and how long between.
const LOOKS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(100);
/// The topic.
const TOPIC: &str = "bench";

/// How `stall` is run.
#[derive(Debug, Clone, Copy)]
pub struct Stall {
    /// Bytes published while they do not read.
    pub bytes: f64,
    /// How long that takes.
    pub length: Duration,
    /// Sockets that do not read: several, since what one costs is less than what memory moves by itself.
    pub stalled: usize,
}

/// Publishes the same twice in each round: while all read, and while some do not.
///
/// # Errors
/// When the server cannot be started, a request or a socket fails, or a socket misses a record.
pub async fn stall(setup: &Setup, args: Stall) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let (server, _) = setup.gateway("data", &[], true).await?;
    api::create(&server, TOPIC, 1, "buffered").await?;
    let from_latest = |_| subscribe(TOPIC, "latest", &[]);
    let mut others = Crowd::subscribed(&server, OTHERS, Check::Dense, from_latest).await?;
    others.keep_whole(|_| true);
    progress("stall: a first stretch, which fills the caches");
    stretch(setup, &server, &mut others, args).await?;
    let (mut memory, mut p99) = (Series::default(), Series::default());
    let (mut caught_up, mut lagging) = (Vec::new(), 0);
    for round in 0..setup.rounds {
        progress(&format!("stall: round {}, all read", round + 1));
        let control = stretch(setup, &server, &mut others, args).await?;
        progress(&format!("stall: round {}, {} do not read", round + 1, args.stalled));
        let mut stalled =
            Crowd::subscribed(&server, args.stalled, Check::Dense, from_latest).await?;
        // From here on nobody reads them.
        let with = stretch(setup, &server, &mut others, args).await?;
        progress("stall: they read again");
        let catching = catch_up(&mut stalled, with.records).await?;
        caught_up.push(catching.mb_per_second);
        lagging += catching.lagging;
        memory.subject.push((with.growth_mb - control.growth_mb) / args.stalled as f64);
        memory.floor.push(LIMIT_MB);
        p99.subject.push(with.quantiles.p99);
        p99.floor.push(control.quantiles.p99);
    }
    drop((others, server));
    setup.discard("data");
    let note = format!(
        "they then had all of it, in order, at {:.0} MB/s together; told {lagging} times that they lag",
        median(&caught_up)
    );
    Ok(Table {
        benchmark: "stall",
        columns: ("stalled", "all read"),
        pinning,
        rows: vec![
            Row::new(
                "memory of one, against a limit",
                "MB",
                memory,
                Target::AtMost(1.0),
                None,
                note,
            ),
            Row::new("delivery to the others, p99", "ms", p99, Target::AtMost(1.5), None, ""),
        ],
        notes: vec![format!(
            "{} sockets do not read for {:?} while {:.2} GB are published and {OTHERS} others read it; memory is the growth \
             of the resident, less that of the same stretch in which all read, by socket.",
            args.stalled,
            args.length,
            args.bytes / 1e9,
        )],
    })
}

/// What a stretch was like.
struct Stretch {
    records: u64,
    growth_mb: f64,
    quantiles: Quantiles,
}

async fn stretch(
    setup: &Setup,
    server: &Server,
    crowd: &mut Crowd,
    args: Stall,
) -> Result<Stretch, BenchError> {
    let mut rng = data::seeded();
    let mut values: Vec<String> = (0..BATCH).map(|_| data::noise(&mut rng, RECORD)).collect();
    // One number is enough: what is published at once arrives at once.
    values[0] = stamped_value(&values[0]);
    let body = data::json_batch(&values);
    let request = Stamped::new(&api::publish(server.address(), TOPIC, Form::Json, &body))?;
    let rate = args.bytes / (BATCH * RECORD) as f64 / args.length.as_secs_f64();
    let before = resident_mb(server).await;
    let timings = Timings::from(after(setup.warm_up.min(args.length / 4)));
    let sockets = crowd.len() as u64;
    let sent = crowd
        .attend(
            |_, _, frame| timings.heard(frame),
            async |ears| {
                let steady = Pace { connections: PUBLISHERS, rate, length: args.length };
                let make = |number, from| {
                    timings.sent(number, from);
                    request.with(number)
                };
                let sent = pace_with(server.address(), make, steady).await;
                let sent = sent.map_err(BenchError::load("publishing"))?.len() as u64;
                ears.until("all deliveries", |_| timings.arrivals() == sent * sockets).await?;
                Ok(sent)
            },
        )
        .await?;
    let growth_mb = resident_mb(server).await - before;
    Ok(Stretch { records: sent * BATCH as u64, growth_mb, quantiles: timings.quantiles_ms() })
}

/// The server's memory, the median of several looks.
async fn resident_mb(server: &Server) -> f64 {
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        looks.extend(server.resident().map(megabytes));
        tokio::time::sleep(BETWEEN).await;
    }
    median(&looks)
}

/// How those who had not read caught up.
struct Catching {
    mb_per_second: f64,
    /// How often one of them was told that it lags.
    lagging: u64,
}

/// Reads those who did not, until they have `records` more each; every record of the first one is looked at.
async fn catch_up(stalled: &mut Crowd, records: u64) -> Result<Catching, BenchError> {
    let expected = records * stalled.len() as u64;
    stalled.read_whole(1);
    let begin = Instant::now();
    let (bytes, lagging) = stalled
        .attend(
            |_, _, _| {},
            async |ears| {
                let all = |ears: &super::crowd::Ears| ears.records() >= expected;
                ears.until("the rest for those who did not read", all).await?;
                Ok((ears.bytes(), ears.lagging()))
            },
        )
        .await?;
    Ok(Catching { mb_per_second: megabytes(bytes) / begin.elapsed().as_secs_f64(), lagging })
}
