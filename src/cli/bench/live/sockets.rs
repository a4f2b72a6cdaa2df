//! `bench sockets`: what a subscribed socket costs that hears nothing but heartbeats.

use std::time::{Duration, Instant};

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::fill::store;
use super::super::measure::busy;
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target};
use super::super::setup::Setup;
use super::crowd::{Check, Crowd};
use super::limits::{allow_descriptors, room_for};
use super::wire::subscribe;
use crate::client::load::Connection;

/// The most memory that a socket may cost, in KiB, and the share of it that the best would need.
const LIMIT_KIB: f64 = 10.0;
const BEST_SHARE: f64 = 0.8;
/// The most processor time that they all may take, in percent of one.
const LIMIT_PERCENT: f64 = 2.0;
/// Sockets that come and go before memory is first looked at: what the first ones cost is not the price of one more.
const FIRST: usize = 64;
/// What the gateway may do before memory is looked at.
const REST: Duration = Duration::from_secs(3);
/// Records that are there beforehand.
const RECORDS: u64 = 10_000;
/// Records of a request by which they are stored.
const BATCH: u64 = 1_000;
/// The topic.
const TOPIC: &str = "bench";

/// Opens `count` sockets that subscribe and then hear nothing, and watches them `idle` long in each round.
///
/// # Errors
/// When the server cannot be started, or a socket is refused or fails.
pub async fn sockets(setup: &Setup, count: usize, idle: Duration) -> Result<Table, BenchError> {
    let descriptors = allow_descriptors(count)?;
    let pinning = setup.place_apart();
    let room = room_for(count);
    let (server, _) = setup.gateway("data", &room.each_ref().map(String::as_str), true).await?;
    api::create_topic(&server, TOPIC, "buffered").await?;
    store(&server, TOPIC, RECORDS, BATCH).await?;
    let from_latest = |_| subscribe(TOPIC, "latest", &[]);
    let mut first = Crowd::subscribed(&server, FIRST, Check::Dense, from_latest).await?;
    say_something(&server, &mut first).await?;
    drop(first);
    tokio::time::sleep(REST).await;
    let before = server.resident();
    progress(&format!("sockets: opening {count}"));
    let begin = Instant::now();
    let mut crowd = Crowd::subscribed(&server, count, Check::Dense, from_latest).await?;
    let opening = begin.elapsed();
    say_something(&server, &mut crowd).await?;
    let (mut percents, mut most, mut asides) = (Vec::new(), 0, 0);
    for round in 0..setup.rounds {
        progress(&format!("sockets: idle for {idle:?}, round {}", round + 1));
        let (percent, heard) = watch(&server, &mut crowd, idle).await?;
        percents.push(percent);
        asides += heard;
        most = most.max(server.resident().unwrap_or(u64::MAX));
    }
    let each = before
        .map_or(f64::NAN, |before| most.saturating_sub(before) as f64 / 1024.0 / count as f64);
    drop((crowd, server));
    setup.discard("data");
    let limits = vec![LIMIT_PERCENT; percents.len()];
    let rows = vec![
        Row::new(
            "resident memory of a socket",
            "KiB",
            Series { subject: vec![each], floor: vec![LIMIT_KIB] },
            Target::AtMost(1.0),
            Some(BEST_SHARE),
            format!("all opened and subscribed in {:.1} s; {descriptors}", opening.as_secs_f64()),
        ),
        Row::new(
            "processor time of all",
            "% of one",
            Series { subject: percents, floor: limits },
            Target::AtMost(1.0),
            None,
            format!("{asides} heartbeats and positions heard"),
        ),
    ];
    let notes = vec![format!(
        "{count} idle sockets, each subscribed to all 4 partitions of one topic; the most memory seen, less that before \
         they were opened."
    )];
    Ok(Table { benchmark: "sockets", columns: ("tidegate", "limit"), pinning, rows, notes })
}

/// One record, which all are to hear: they are what they seem.
async fn say_something(server: &Server, crowd: &mut Crowd) -> Result<(), BenchError> {
    let body = data::json_batch(&[data::order(&mut data::seeded(), 200)]);
    let request = api::publish(server.address(), TOPIC, Form::Json, &body);
    let sockets = crowd.len() as u64;
    crowd
        .attend(
            |_, _, _| {},
            async |ears| {
                let failed = || BenchError::load("publishing");
                let mut connection =
                    Connection::open(server.address(), Connection::SMALL).await.map_err(failed())?;
                connection.hit(&request).await.map_err(failed())?;
                ears.until("a record at every socket", |ears| ears.records() == sockets).await
            },
        )
        .await
}

/// The percentage of a processor that the server takes meanwhile, and the frames heard.
async fn watch(
    server: &Server,
    crowd: &mut Crowd,
    idle: Duration,
) -> Result<(f64, u64), BenchError> {
    crowd
        .attend(
            |_, _, _| {},
            async |ears| {
                let (begin, cpu, asides) = (Instant::now(), server.cpu_time(), ears.asides());
                tokio::time::sleep(idle).await;
                let percent = busy(cpu, server.cpu_time(), begin.elapsed()) * 100.0;
                Ok((percent, ears.asides() - asides))
            },
        )
        .await
}
