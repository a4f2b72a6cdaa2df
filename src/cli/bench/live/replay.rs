//! `bench replay-ws`: one socket that reads a whole log, against the same frames from memory.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use super::super::api;
use super::super::error::BenchError;
use super::super::fill::{SMALL_RECORD, store};
use super::super::measure::{Pair, Side, busy, generator_cpu_time, megabytes};
use super::super::process::Server;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::super::{FloorKind, progress};
use super::crowd::{Check, Crowd};
use super::wire::subscribe;
use crate::http::floor::write_frame;

/// Records of a request where they are published in batches.
const BATCH: u64 = 1_000;
/// The topics.
const BATCHED: &str = "bench-batched";
const SINGLE: &str = "bench-single";
/// What the gateway may do with a log in the background before it is read.
const REST: Duration = Duration::from_secs(2);

/// Publishes `records` (rounded up to whole batches), in batches and one by one, and reads them all over one socket.
///
/// # Errors
/// When a server cannot be started, a request or a socket fails, or records are missing.
pub async fn replay(setup: &Setup, records: u64) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let records = records.div_ceil(BATCH) * BATCH;
    let (subject, _) = setup.gateway("data", &[], true).await?;
    let mut rows = Vec::new();
    for (topic, batch, name) in
        [(BATCHED, BATCH, "published in batches"), (SINGLE, 1, "published one by one")]
    {
        progress(&format!("replay-ws: {records} records, {name}"));
        api::create_topic(&subject, topic, "buffered").await?;
        store(&subject, topic, records, batch).await?;
        tokio::time::sleep(REST).await;
        rows.push(by_turns(setup, &subject, topic, records, name).await?);
    }
    drop(subject);
    setup.discard("data");
    Ok(Table {
        benchmark: "replay-ws",
        columns: ("tidegate", "floor"),
        pinning,
        rows,
        notes: vec![format!(
            "{records} records of {SMALL_RECORD} B, 4 partitions, one socket from the beginning on; the floor writes the \
             same frames from memory."
        )],
    })
}

/// Reads the topic once into a file of frames, then topic and frames by turns.
async fn by_turns(
    setup: &Setup,
    subject: &Server,
    topic: &str,
    records: u64,
    name: &str,
) -> Result<Row, BenchError> {
    let path = setup.path("frames");
    let failed = || BenchError::io(format!("writing {}", path.display()));
    let mut file = BufWriter::new(File::create(&path).map_err(failed())?);
    let kept: RefCell<io::Result<()>> = RefCell::new(Ok(()));
    let keep = |frame: &[u8]| {
        let mut kept = kept.borrow_mut();
        if kept.is_ok() {
            *kept = write_frame(&mut file, frame);
        }
    };
    let first = read(subject, topic, records, Check::Dense, true, keep).await?;
    kept.into_inner().and_then(|()| file.flush()).map_err(failed())?;
    let floor = setup.floor(FloorKind::Frames, "frames").await?;
    let pair = Pair { subject, floor: &floor };
    let rounds = pair
        .interleaved(setup, async |side| match side {
            Side::Subject => read_again(setup, subject, topic, records, Check::Dense).await,
            Side::Floor => read_again(setup, &floor, topic, records, Check::Nothing).await,
        })
        .await?;
    drop(floor);
    setup.discard("frames");
    let busy =
        |of: fn(&(Reading, Reading)) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
    let note = format!(
        "{:.1} MB in frames of {:.1} records; gateway {:.2} cpu (reader {:.2}), floor {:.2} cpu (reader {:.2})",
        megabytes(first.bytes),
        first.records as f64 / first.frames as f64,
        busy(|round| round.0.server_cpus),
        busy(|round| round.0.reader_cpus),
        busy(|round| round.1.server_cpus),
        busy(|round| round.1.reader_cpus),
    );
    let series = Series {
        subject: rounds.iter().map(|(subject, _)| subject.rate()).collect(),
        floor: rounds.iter().map(|(_, floor)| floor.rate()).collect(),
    };
    Ok(Row::new(name, "records/s", series, Target::AtLeast(0.3), Some(0.5), note))
}

/// One or several readings of a whole topic.
#[derive(Debug)]
struct Reading {
    records: u64,
    frames: u64,
    bytes: u64,
    elapsed: Duration,
    /// Processors kept busy; only of a whole stretch.
    server_cpus: f64,
    reader_cpus: f64,
}

impl Reading {
    fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }
}

/// Reads it over and over, for the length of a stretch.
async fn read_again(
    setup: &Setup,
    server: &Server,
    topic: &str,
    records: u64,
    check: Check,
) -> Result<Reading, BenchError> {
    let (begin, cpu) = (Instant::now(), (server.cpu_time(), generator_cpu_time()));
    let mut all = read(server, topic, records, check, false, |_| {}).await?;
    while all.elapsed < setup.stretch {
        let one = read(server, topic, records, check, false, |_| {}).await?;
        all.records += one.records;
        all.elapsed += one.elapsed;
    }
    let elapsed = begin.elapsed();
    all.server_cpus = busy(cpu.0, server.cpu_time(), elapsed);
    all.reader_cpus = busy(cpu.1, generator_cpu_time(), elapsed);
    Ok(all)
}

/// Opens a socket and reads until it has as many `records`. Hands over frames, `whole` or as much as tells their place.
async fn read(
    server: &Server,
    topic: &str,
    records: u64,
    check: Check,
    whole: bool,
    mut keep: impl FnMut(&[u8]),
) -> Result<Reading, BenchError> {
    let mut crowd = Crowd::open(server, 1, check).await?;
    crowd.keep_whole(|_| whole);
    let begin = Instant::now();
    crowd.subscribe(|_| subscribe(topic, "earliest", &[])).await?;
    let (heard, last) = (Cell::new(0), Cell::new(begin));
    let each = |_: usize, batch: super::wire::Batch, frame: &[u8]| {
        heard.set(heard.get() + batch.len());
        // A clock for every frame would be what is measured.
        if heard.get() >= records {
            last.set(Instant::now());
        }
        keep(frame);
    };
    let (frames, bytes) = crowd
        .attend(each, async |ears| {
            ears.until("reading the whole log", |_| heard.get() >= records).await?;
            Ok((ears.frames(), ears.bytes()))
        })
        .await?;
    if heard.get() != records {
        return Err(BenchError::Lost {
            what: topic.to_owned(),
            published: records,
            read: heard.get(),
            ended: true,
        });
    }
    let elapsed = last.get() - begin;
    Ok(Reading { records, frames, bytes, elapsed, server_cpus: f64::NAN, reader_cpus: f64::NAN })
}
