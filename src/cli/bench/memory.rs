//! `bench memory` and `bench stream`: what the gateway holds in memory, however much it stores, receives or sends.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::api;
use super::data;
use super::error::BenchError;
use super::fill::{GIB, RECORD, fill};
use super::measure::{Resident, megabytes, peak_mb, watch_memory};
use super::process::Server;
use super::progress;
use super::report::{Row, Table};
use super::setup::Setup;
use crate::client::load::{Connection, LineCounter, LoadError, chunk};

/// Readers at different places.
const READERS: u64 = 16;
/// The most memory that they may cost, in MB.
const READERS_LIMIT_MB: f64 = 600.0;
/// What the gateway may use beside its caches, in MB.
const BESIDE_CACHES_MB: f64 = 150.0;
/// What "flat" leaves to chance: growth from the first GiB on, in MB.
const FLAT_MB: f64 = 50.0;
/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// Records of an upload's chunk, and how many different chunks there are.
const CHUNK_RECORDS: usize = 256;
const CHUNKS: usize = 64;

/// Stores `gib` and lets sixteen readers loose on it, each somewhere else, for at most `reading`.
///
/// # Errors
/// When the server cannot be started or a request fails.
pub async fn memory(setup: &Setup, gib: f64, reading: Duration) -> Result<Table, BenchError> {
    let pinning = setup.place_freely();
    progress(&format!("memory: storing {gib} GiB"));
    let (server, _) = setup.gateway("data", &[], false).await?;
    api::create_topic(&server, "bench", "synced").await?;
    let filling = fill(&server, (gib * GIB as f64) as u64);
    let (filled, while_filling) = watch_memory(&server, &Cell::new(0), EVERY, filling).await;
    filled?;
    progress(&format!("memory: {READERS} readers"));
    let requests = spread(&server).await?;
    let read = Cell::new(0);
    let until = Instant::now() + reading;
    let readers =
        try_join_all(requests.iter().map(|request| read_until(&server, request, until, &read)));
    let (finished, samples) = watch_memory(&server, &read, EVERY, readers).await;
    finished.map_err(BenchError::load("reading"))?;
    let note = format!(
        "{:.2} GB read by all; at most {:.0} MB while storing",
        read.get() as f64 / 1e9,
        peak_mb(&while_filling)
    );
    let row =
        Row::limit("resident, most while reading", "MB", peak_mb(&samples), READERS_LIMIT_MB, note);
    drop(server);
    setup.discard("data");
    let notes = vec![format!(
        "{gib} GiB stored, {READERS} readers at different places, NDJSON, MB of 10^6."
    )];
    Ok(Table {
        benchmark: "memory",
        columns: ("tidegate", "limit"),
        pinning,
        rows: vec![row],
        notes,
    })
}

/// A request for each reader: over all partitions, at evenly spread offsets.
async fn spread(server: &Server) -> Result<Vec<Bytes>, BenchError> {
    let spans = api::spans(server, "bench").await?;
    let count = spans.len() as u64;
    let readers = (0..READERS).zip(spans.iter().cycle()).map(|(reader, span)| {
        let steps = READERS.div_ceil(count);
        let offset = span.start + (span.tail - span.start) * (reader / count) / steps;
        api::read_from(server.address(), "bench", span.partition, offset)
    });
    Ok(readers.collect())
}

async fn read_until(
    server: &Server,
    request: &Bytes,
    until: Instant,
    read: &Cell<u64>,
) -> Result<(), LoadError> {
    let mut connection = Connection::open(server.address(), Connection::LARGE).await?;
    let sink = |bytes: &[u8]| {
        read.set(read.get() + bytes.len() as u64);
        if Instant::now() < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    connection.exchange(request, sink).await.map(drop)
}

/// Sends `gib` in one upload and reads it back in one download, with an eye on the memory. `caches_mb` is what the
/// gateway's caches may hold by its settings.
///
/// # Errors
/// When the server cannot be started, a request fails, or records are missing.
pub async fn stream(setup: &Setup, gib: f64, caches_mb: f64) -> Result<Table, BenchError> {
    let pinning = setup.place_freely();
    let (server, _) = setup.gateway("data", &[], false).await?;
    api::create_topic(&server, "bench", "synced").await?;
    let total = (gib * GIB as f64) as u64;
    progress(&format!("stream: uploading {gib} GiB"));
    let upload = upload(&server, total).await?;
    progress(&format!("stream: downloading {gib} GiB"));
    let download = download(&server, upload.records).await?;
    drop(server);
    setup.discard("data");
    let limit = caches_mb + BESIDE_CACHES_MB;
    let mut rows = Vec::new();
    for (name, passage) in [("upload", &upload), ("download", &download)] {
        rows.push(Row::limit(
            format!("{name}, most"),
            "MB",
            peak_mb(&passage.samples),
            limit,
            passage.by_gib(),
        ));
        let growth = growth_mb(&passage.samples);
        rows.push(Row::limit(
            format!("{name}, growth from 1 GiB on"),
            "MB",
            growth,
            FLAT_MB,
            passage.speed(),
        ));
    }
    let notes = vec![format!(
        "{gib} GiB of NDJSON in one request each way; resident MB of 10^6; the limit is {caches_mb} MB of caches (by \
         --caches-mb) and {BESIDE_CACHES_MB} MB beside them."
    )];
    Ok(Table { benchmark: "stream", columns: ("tidegate", "limit"), pinning, rows, notes })
}

/// A long transfer in one direction.
struct Passage {
    samples: Vec<Resident>,
    records: u64,
    bytes: u64,
    elapsed: Duration,
}

impl Passage {
    fn speed(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        format!("{} records, {:.0} MB/s", self.records, megabytes(self.bytes) / seconds)
    }

    /// The memory at every GiB passed.
    fn by_gib(&self) -> String {
        let marks = (1..=self.bytes / GIB).filter_map(|mark| {
            let sample = self.samples.iter().find(|sample| sample.progress >= mark * GIB)?;
            Some(format!("{mark}: {:.0}", megabytes(sample.bytes)))
        });
        format!("MB at each GiB: {}", marks.collect::<Vec<_>>().join(", "))
    }
}

/// The most memory after the first GiB, less that at the first GiB; not a number if it was never reached.
fn growth_mb(samples: &[Resident]) -> f64 {
    let mut later = samples
        .iter()
        .skip_while(|sample| sample.progress < GIB)
        .map(|sample| megabytes(sample.bytes));
    let Some(first) = later.next() else {
        return f64::NAN;
    };
    later.fold(0.0, |most, now| f64::max(most, now - first))
}

async fn upload(server: &Server, total: u64) -> Result<Passage, BenchError> {
    let failed = || BenchError::load("uploading");
    let mut rng = data::seeded();
    let mut block = || {
        let values: Vec<String> =
            (0..CHUNK_RECORDS).map(|_| data::noise(&mut rng, RECORD)).collect();
        chunk(&data::ndjson_batch(&values))
    };
    let blocks: Vec<Bytes> = (0..CHUNKS).map(|_| block()).collect();
    let sent = Cell::new(0);
    let begin = Instant::now();
    let mut connection =
        Connection::open(server.address(), Connection::LARGE).await.map_err(failed())?;
    let head = api::upload_head(server.address(), "bench");
    let work = connection.upload(&head, &blocks, total, &sent);
    let (answer, samples) = watch_memory(server, &sent, EVERY, work).await;
    answer.map_err(failed())?;
    let elapsed = begin.elapsed();
    // All chunks are equally long: their number tells the records.
    let records = sent.get() / blocks[0].len() as u64 * CHUNK_RECORDS as u64;
    Ok(Passage { samples, records, bytes: sent.get(), elapsed })
}

async fn download(server: &Server, records: u64) -> Result<Passage, BenchError> {
    let failed = || BenchError::load("downloading");
    let received = Cell::new(0);
    let mut lines = LineCounter::new();
    let begin = Instant::now();
    let mut connection =
        Connection::open(server.address(), Connection::LARGE).await.map_err(failed())?;
    let request = api::read_all(server.address(), "bench");
    let work = connection.exchange(&request, |bytes| {
        lines.feed(bytes);
        received.set(received.get() + bytes.len() as u64);
        ControlFlow::Continue(())
    });
    let (answer, samples) = watch_memory(server, &received, EVERY, work).await;
    answer.map_err(failed())?;
    let elapsed = begin.elapsed();
    if lines.records() != records || !lines.ended() {
        let (read, ended) = (lines.records(), lines.ended());
        return Err(BenchError::Lost {
            what: "the download".to_owned(),
            published: records,
            read,
            ended,
        });
    }
    Ok(Passage { samples, records, bytes: received.get(), elapsed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_from_the_first_gib_on() {
        let at = |progress, mb: u64| Resident { progress, bytes: mb * 1_000_000 };
        let samples =
            [at(0, 10), at(GIB / 2, 300), at(GIB, 250), at(2 * GIB, 240), at(3 * GIB, 270)];
        assert_eq!(growth_mb(&samples), 20.0);
        assert!(growth_mb(&samples[..2]).is_nan());
    }
}
