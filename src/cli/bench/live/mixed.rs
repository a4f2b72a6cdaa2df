//! `bench mixed`: whether readers at the tail notice others who read everything from the beginning.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::fill::store;
use super::super::measure::{busy, generator_cpu_time};
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::crowd::{Check, Crowd, PATIENCE};
use super::limits::allow_descriptors;
use super::stamp::{Quantiles, Stamped, Timings, after, stamped_value};
use super::wire::subscribe;
use crate::client::load::{Pace, pace_with};

/// Bytes of a record's value.
const RECORD: usize = 200;
/// Connections that publish.
const PUBLISHERS: usize = 8;
/// Of so many sockets one is timed.
const TIMED: usize = 10;
/// Records of a request by which they are stored.
const BATCH: u64 = 1_000;
/// The topic.
const TOPIC: &str = "bench";

/// How `mixed` is run.
#[derive(Debug, Clone, Copy)]
pub struct Mixed {
    /// Records stored beforehand, which are replayed.
    pub records: u64,
    /// Readers at the tail.
    pub tail: usize,
    /// Readers from the beginning.
    pub replaying: usize,
    /// Records per second, meanwhile.
    pub rate: f64,
    /// Time of a stretch.
    pub length: Duration,
}

/// Publishes at a steady pace to the readers at the tail, alone and while others replay.
///
/// # Errors
/// When the server cannot be started, a request or a socket fails, or a socket misses a record.
pub async fn mixed(setup: &Setup, args: Mixed) -> Result<Table, BenchError> {
    allow_descriptors(args.tail + args.replaying)?;
    let pinning = setup.place_apart();
    let (server, _) = setup.gateway("data", &[], true).await?;
    api::create(&server, TOPIC, 1, "buffered").await?;
    progress(&format!("mixed: storing {} records", args.records));
    store(&server, TOPIC, args.records, BATCH).await?;
    let from_latest = |_| subscribe(TOPIC, "latest", &[]);
    let mut crowd = Crowd::subscribed(&server, args.tail, Check::Dense, from_latest).await?;
    crowd.keep_whole(|index| index.is_multiple_of(TIMED));
    let (mut p99, mut p50, mut rates, mut cpus) =
        (Series::default(), Series::default(), Vec::new(), Vec::new());
    for round in 0..setup.rounds {
        progress(&format!("mixed: round {}", round + 1));
        let quiet = stretch(setup, &server, &mut crowd, args, false).await?;
        let busy = stretch(setup, &server, &mut crowd, args, true).await?;
        p99.subject.push(busy.quantiles.p99);
        p99.floor.push(quiet.quantiles.p99);
        p50.subject.push(busy.quantiles.p50);
        p50.floor.push(quiet.quantiles.p50);
        rates.push(busy.replayed_per_second);
        cpus.push([quiet.server_cpus, busy.server_cpus, quiet.generator_cpus, busy.generator_cpus]);
    }
    drop((crowd, server));
    setup.discard("data");
    let of = |place: usize| median(&cpus.iter().map(|all| all[place]).collect::<Vec<_>>());
    let note = format!(
        "replayed meanwhile: {:.0} records/s by all; server {:.2} cpu (quiet {:.2}), generator {:.2} (quiet {:.2})",
        median(&rates),
        of(1),
        of(0),
        of(3),
        of(2),
    );
    Ok(Table {
        benchmark: "mixed",
        columns: ("replaying", "quiet"),
        pinning,
        rows: vec![
            Row::new("delivery at the tail, p99", "ms", p99, Target::AtMost(4.0), None, note),
            Row::new("delivery at the tail, p50", "ms", p50, Target::None, None, ""),
        ],
        notes: vec![format!(
            "{} sockets at the tail, {} records/s of {RECORD} B, buffered, 1 partition; replaying: {} further sockets \
             read {} records from the beginning on.",
            args.tail, args.rate, args.replaying, args.records
        )],
    })
}

/// What a stretch was like.
struct Stretch {
    quantiles: Quantiles,
    replayed_per_second: f64,
    server_cpus: f64,
    generator_cpus: f64,
}

async fn stretch(
    setup: &Setup,
    server: &Server,
    crowd: &mut Crowd,
    args: Mixed,
    replaying: bool,
) -> Result<Stretch, BenchError> {
    if replaying {
        let mut others = Crowd::open(server, args.replaying, Check::Dense).await?;
        others.subscribe(|_| subscribe(TOPIC, "earliest", &[])).await?;
        crowd.join(others);
    }
    let value = stamped_value(&data::order(&mut data::seeded(), RECORD));
    let body = data::json_batch(&[value]);
    let request = Stamped::new(&api::publish(server.address(), TOPIC, Form::Json, &body))?;
    let timings = Timings::from(after(setup.warm_up));
    let (replayed, last) = (Cell::new(0), Cell::new(None));
    let each = |index: usize, batch: super::wire::Batch, frame: &[u8]| {
        if index >= args.tail {
            replayed.set(replayed.get() + batch.len());
            last.set(Some(Instant::now()));
        } else if index.is_multiple_of(TIMED) {
            timings.heard(frame);
        }
    };
    let (begin, cpu) = (Instant::now(), (server.cpu_time(), generator_cpu_time()));
    let arrivals = args.tail.div_ceil(TIMED) as u64;
    let length = setup.warm_up + args.length;
    let replayed_per_second = crowd
        .attend(each, async |ears| {
            let steady = Pace { connections: PUBLISHERS, rate: args.rate, length };
            let make = |number, from| {
                timings.sent(number, from);
                request.with(number)
            };
            let sent = pace_with(server.address(), make, steady).await;
            let sent = sent.map_err(BenchError::load("publishing"))?.len() as u64;
            let read = last.get().map_or(f64::NAN, |last| {
                replayed.get() as f64 / last.duration_since(begin).as_secs_f64()
            });
            ears.until("all deliveries", |_| timings.arrivals() == sent * arrivals).await?;
            Ok(read)
        })
        .await?;
    let elapsed = begin.elapsed();
    debug_assert!(elapsed < length + PATIENCE);
    crowd.cut(args.tail);
    Ok(Stretch {
        quantiles: timings.quantiles_ms(),
        replayed_per_second,
        server_cpus: busy(cpu.0, server.cpu_time(), elapsed),
        generator_cpus: busy(cpu.1, generator_cpu_time(), elapsed),
    })
}
