//! Members that poll, each its partition, against readers who ask for the same partitions page by page.

use std::ops::ControlFlow;
use std::time::Instant;

use futures_util::future::try_join_all;

use super::super::api;
use super::super::error::BenchError;
use super::super::fill::{SMALL_RECORD, store};
use super::super::measure::{Pair, Side, busy, generator_cpu_time};
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::calls::{self, TOPIC};
use crate::client::load::{Connection, LoadError};

/// Members, readers, connections, and partitions.
const READERS: u64 = 8;
/// Records of the log.
const RECORDS: u64 = 160_000;
/// Records of a request when they are published.
const BATCH: u64 = 1_000;
/// Records of a page.
const PAGES: [u64; 2] = [500, 100];
const GROUP: &str = "polls";

/// Measures each size of page.
///
/// # Errors
/// When the server cannot be started or a request fails.
pub async fn polls(setup: &Setup) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let (server, _) = setup.gateway("data", &[], true).await?;
    progress(&format!("polls: storing {RECORDS} records"));
    api::create(&server, TOPIC, READERS as u32, "buffered").await?;
    store(&server, TOPIC, RECORDS, BATCH).await?;
    calls::settled(&server, GROUP, READERS).await?;
    let mut rows = Vec::new();
    for limit in PAGES {
        progress(&format!("polls: pages of {limit}"));
        // Both are served by one gateway: it is stopped and goes on before each stretch.
        let pair = Pair { subject: &server, floor: &server };
        let rounds = pair.interleaved(setup, async |side| read(setup, &server, side, limit).await);
        let rounds = rounds.await?;
        let series = Series {
            subject: rounds.iter().map(|(members, _)| members.rate).collect(),
            floor: rounds.iter().map(|(_, readers)| readers.rate).collect(),
        };
        let over =
            |of: fn(&(Reading, Reading)) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
        let note = format!(
            "members {:.2} cpu (generator {:.2}); readers {:.2} cpu (generator {:.2})",
            over(|round| round.0.server_cpus),
            over(|round| round.0.generator_cpus),
            over(|round| round.1.server_cpus),
            over(|round| round.1.generator_cpus),
        );
        let what = format!("pages of {limit}");
        rows.push(Row::new(what, "records/s", series, Target::AtLeast(0.8), None, note));
    }
    drop(server);
    setup.discard("data");
    let notes = vec![format!(
        "records of {SMALL_RECORD} B; {READERS} members of one group that poll with their last cursor, against as many \
         connections that read a partition each, page by page, as JSON; from the beginning again at the end."
    )];
    Ok(Table { benchmark: "polls", columns: ("members", "readers"), pinning, rows, notes })
}

/// What a stretch found.
struct Reading {
    /// Records per second.
    rate: f64,
    server_cpus: f64,
    generator_cpus: f64,
}

async fn read(
    setup: &Setup,
    server: &Server,
    side: Side,
    limit: u64,
) -> Result<Reading, BenchError> {
    let failed = || BenchError::load("reading page by page");
    let open = (0..READERS).map(|_| Connection::open(server.address(), Connection::LARGE));
    let mut connections = try_join_all(open).await.map_err(failed())?;
    let before = (Instant::now(), server.cpu_time(), generator_cpu_time());
    let begin = Instant::now() + setup.warm_up;
    let end = begin + setup.stretch;
    let loops = connections
        .iter_mut()
        .zip(0..)
        .map(|(connection, number)| pages(connection, server, side, (number, limit), (begin, end)));
    let counts = try_join_all(loops).await.map_err(failed())?;
    let elapsed = before.0.elapsed();
    Ok(Reading {
        rate: counts.iter().sum::<u64>() as f64 / setup.stretch.as_secs_f64(),
        server_cpus: busy(before.1, server.cpu_time(), elapsed),
        generator_cpus: busy(before.2, generator_cpu_time(), elapsed),
    })
}

/// One reader's pages; returns how many records it was answered within the measured time.
async fn pages(
    connection: &mut Connection,
    server: &Server,
    side: Side,
    (number, limit): (u64, u64),
    (begin, end): (Instant, Instant),
) -> Result<u64, LoadError> {
    let address = server.address();
    let member = format!("m{number}");
    let mut cursor: Option<String> = None;
    let mut body = Vec::new();
    let mut count = 0;
    loop {
        let request = match side {
            Side::Subject => calls::poll(address, GROUP, &member, cursor.as_deref(), limit, 0),
            Side::Floor => calls::page(address, number, cursor.as_deref(), limit),
        };
        body.clear();
        let sink = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            ControlFlow::Continue(())
        };
        connection.exchange(&request, sink).await?;
        let (records, now) = (calls::records(&body), Instant::now());
        if now >= end {
            return Ok(count);
        }
        if now >= begin {
            count += records;
        }
        if records == 0 && cursor.is_none() {
            // From the beginning there is something to read.
            return Err(LoadError::Said(String::from_utf8_lossy(&body).into_owned()));
        }
        // A page that is not full was the last one.
        cursor = calls::cursor(&body).filter(|_| records == limit).map(str::to_owned);
    }
}
