//! `bench replay`: reading a whole log as NDJSON, against the same bytes served from a file; and how long the first
//! byte takes for a short and a long log.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::api;
use super::error::BenchError;
use super::fill::{SMALL_RECORD, store};
use super::measure::{Pair, Side, busy, generator_cpu_time, megabytes};
use super::process::Server;
use super::report::{Row, Series, Table, Target, median};
use super::setup::Setup;
use super::{FloorKind, progress};
use crate::client::load::{Connection, LineCounter, request};

/// Records of a request where they are published in batches.
const BATCH: u64 = 1_000;
/// The topic published one by one, the one published in batches, and one with a hundredth of its records.
const SINGLE: &str = "bench-single";
const BATCHED: &str = "bench-batched";
const SHORT: &str = "bench-short";
/// What the gateway may do with a log in the background before it is read.
const REST: Duration = Duration::from_secs(2);
/// First bytes measured per round.
const PROBES: usize = 7;
/// Between two of them, for the server to notice that nobody reads on.
const PROBE_GAP: Duration = Duration::from_millis(50);

/// Publishes `records` (rounded up to whole batches), one by one and in batches, and reads them all.
///
/// # Errors
/// When a server cannot be started, a request fails, or records are missing.
pub async fn replay(setup: &Setup, records: u64) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let short = (records / 100).div_ceil(BATCH) * BATCH;
    let records = records.div_ceil(BATCH) * BATCH;
    let (subject, _) = setup.gateway("data", &[], true).await?;
    let mut rows = Vec::new();
    for (topic, batch, name) in
        [(BATCHED, BATCH, "published in batches"), (SINGLE, 1, "published one by one")]
    {
        progress(&format!("replay: {records} records, {name}"));
        api::create_topic(&subject, topic, "buffered").await?;
        store(&subject, topic, records, batch).await?;
        tokio::time::sleep(REST).await;
        let (series, note) = read_by_turns(setup, &subject, topic, records).await?;
        rows.push(Row::new(name, "MB/s", series, Target::AtLeast(0.3), Some(0.5), note));
    }
    progress("replay: time to first byte");
    api::create_topic(&subject, SHORT, "buffered").await?;
    store(&subject, SHORT, short, BATCH).await?;
    tokio::time::sleep(REST).await;
    rows.push(first_byte(setup, &subject, records, short).await?);
    drop(subject);
    setup.discard("data");
    Ok(Table {
        benchmark: "replay",
        columns: ("tidegate", "floor"),
        pinning,
        rows,
        notes: vec![format!(
            "records of {SMALL_RECORD} B, one reader, NDJSON; the floor streams the same bytes from a file in the page cache."
        )],
    })
}

/// Reads the topic once into a file, then topic and file by turns. Returns the rates, and the rest in words.
async fn read_by_turns(
    setup: &Setup,
    subject: &Server,
    topic: &str,
    records: u64,
) -> Result<(Series, String), BenchError> {
    let captured = setup.path("captured");
    let failed = || BenchError::io(format!("writing {}", captured.display()));
    let mut file = BufWriter::new(File::create(&captured).map_err(failed())?);
    let from_subject = api::read_all(subject.address(), topic);
    let mut kept: io::Result<()> = Ok(());
    let keep = |bytes: &[u8]| {
        if kept.is_ok() {
            kept = file.write_all(bytes);
        }
    };
    let captured_bytes = read(subject, &from_subject, topic, records, keep).await?.bytes;
    kept.and_then(|()| file.flush()).map_err(failed())?;
    let floor = setup.floor(FloorKind::File, "captured").await?;
    let from_floor = request(floor.address(), "GET", "/", &[], b"");
    read(&floor, &from_floor, "the captured stream", records, |_| {}).await?;
    let pair = Pair { subject, floor: &floor };
    let rounds = pair
        .interleaved(setup, async |side| match side {
            Side::Subject => read_again(setup, subject, &from_subject, topic, records).await,
            Side::Floor => {
                read_again(setup, &floor, &from_floor, "the captured stream", records).await
            }
        })
        .await?;
    let series = Series {
        subject: rounds.iter().map(|(subject, _)| subject.rate()).collect(),
        floor: rounds.iter().map(|(_, floor)| floor.rate()).collect(),
    };
    let busy =
        |of: fn(&(Reading, Reading)) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
    let note = format!(
        "{records} records, {:.1} MB on the wire; reader {:.2} cpu (floor {:.2})",
        megabytes(captured_bytes),
        busy(|round| round.0.reader_cpus),
        busy(|round| round.1.reader_cpus),
    );
    Ok((series, note))
}

/// Reads the whole stream, over and over, for the length of a stretch.
async fn read_again(
    setup: &Setup,
    server: &Server,
    request: &Bytes,
    what: &str,
    records: u64,
) -> Result<Reading, BenchError> {
    let before = generator_cpu_time();
    let mut all = read(server, request, what, records, |_| {}).await?;
    while all.elapsed < setup.stretch {
        let one = read(server, request, what, records, |_| {}).await?;
        all.bytes += one.bytes;
        all.elapsed += one.elapsed;
    }
    all.reader_cpus = busy(before, generator_cpu_time(), all.elapsed);
    Ok(all)
}

/// One or several readings of a whole stream.
struct Reading {
    bytes: u64,
    elapsed: Duration,
    /// Processors that the reader kept busy; only of a whole stretch.
    reader_cpus: f64,
}

impl Reading {
    /// MB (10^6) per second.
    fn rate(&self) -> f64 {
        megabytes(self.bytes) / self.elapsed.as_secs_f64()
    }
}

async fn read(
    server: &Server,
    request: &Bytes,
    what: &str,
    records: u64,
    mut keep: impl FnMut(&[u8]),
) -> Result<Reading, BenchError> {
    let failed = || BenchError::load(format!("reading {what}"));
    let mut connection =
        Connection::open(server.address(), Connection::LARGE).await.map_err(failed())?;
    let mut lines = LineCounter::new();
    let begin = Instant::now();
    let sink = |bytes: &[u8]| {
        lines.feed(bytes);
        keep(bytes);
        ControlFlow::Continue(())
    };
    let answer = connection.exchange(request, sink).await.map_err(failed())?;
    let elapsed = begin.elapsed();
    if lines.records() != records || !lines.ended() {
        return Err(BenchError::Lost {
            what: what.to_owned(),
            published: records,
            read: lines.records(),
            ended: lines.ended(),
        });
    }
    Ok(Reading { bytes: answer.bytes, elapsed, reader_cpus: f64::NAN })
}

/// Time to the first byte of the body: of the whole log, against a log of a hundredth of its length.
async fn first_byte(
    setup: &Setup,
    subject: &Server,
    records: u64,
    short: u64,
) -> Result<Row, BenchError> {
    let long = api::read_all(subject.address(), BATCHED);
    let brief = api::read_all(subject.address(), SHORT);
    // The first of each only warms up.
    probe(subject, &long).await?;
    probe(subject, &brief).await?;
    let mut series = Series::default();
    for _ in 0..setup.rounds * PROBES {
        series.floor.push(probe(subject, &brief).await?);
        series.subject.push(probe(subject, &long).await?);
    }
    let note = format!(
        "{records} records against {short} (the floor of this row), {} probes",
        series.subject.len()
    );
    Ok(Row::new("time to first byte", "ms", series, Target::AtMost(1.5), None, note))
}

/// Milliseconds from the request to the first byte of the body.
async fn probe(subject: &Server, request: &Bytes) -> Result<f64, BenchError> {
    let failed = || BenchError::load("reading the first byte");
    let mut connection =
        Connection::open(subject.address(), Connection::SMALL).await.map_err(failed())?;
    let begin = Instant::now();
    let answer = connection.exchange(request, |_| ControlFlow::Break(())).await.map_err(failed())?;
    drop(connection);
    tokio::time::sleep(PROBE_GAP).await;
    Ok(answer.first_byte.map_or(f64::NAN, |first| (first - begin).as_secs_f64() * 1e3))
}
