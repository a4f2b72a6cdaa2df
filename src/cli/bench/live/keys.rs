//! `bench keys`: readers of one key each, and the history of a key in a long log.

use std::cell::Cell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::measure::{Pair, Side, busy, generator_cpu_time};
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::crowd::{Check, Crowd};
use super::limits::{allow_descriptors, room_for};
use super::wire::subscribe;
use crate::client::load::{Connection, LineCounter, drive_count_with, flow};

/// Keys altogether.
const KEYS: u64 = 1_000_000;
/// Bytes of a record's value.
const RECORD: usize = 200;
/// Different requests.
const REQUESTS: usize = 20_000;
/// Connections that publish.
const PUBLISHERS: usize = 64;
/// Records of a key's history, and keys that have one.
const HISTORY: u64 = 100;
const HISTORIES: u64 = 10;
/// Records of a request by which the long log is stored, and how many different ones there are.
const BATCH: u64 = 1_000;
const BATCHES: usize = 64;
/// Connections that store it.
const STORING: usize = 2;
/// What the gateway may do with it before it is read.
const REST: Duration = Duration::from_secs(3);
/// The topic.
const TOPIC: &str = "bench";

/// Publishes with and without `readers` of one key each; then looks for histories in a log of `records`.
///
/// # Errors
/// When a server cannot be started, a request or a socket fails, or a reader misses a record.
pub async fn keys(setup: &Setup, readers: usize, records: u64) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let rows = vec![publishing(setup, readers).await?, history(setup, records).await?];
    Ok(Table {
        benchmark: "keys",
        columns: ("tidegate", "compared"),
        pinning,
        rows,
        notes: vec![format!(
            "a million keys on 4 partitions of a keyed topic, records of {RECORD} B; publishing is compared with a gateway \
             without readers, a history with reading one record at an offset."
        )],
    })
}

fn key(number: u64) -> String {
    format!("user-{number:07}")
}

fn record(rng: &mut Rng, number: u64) -> String {
    format!(r#"{{"key":"{}","value":{}}}"#, key(number), data::order(rng, RECORD))
}

fn body(records: &[String]) -> Vec<u8> {
    format!(r#"{{"records":[{}]}}"#, records.join(",")).into_bytes()
}

/// Publishers' rate with readers of a key each, and without.
async fn publishing(setup: &Setup, readers: usize) -> Result<Row, BenchError> {
    allow_descriptors(readers)?;
    progress(&format!("keys: {readers} readers"));
    let room = room_for(readers);
    let arguments = room.each_ref().map(String::as_str);
    let (subject, _) = setup.gateway("data", &arguments, true).await?;
    let (floor, _) = setup.gateway("without", &arguments, true).await?;
    let watched = |reader: usize| reader as u64 * KEYS / readers.max(1) as u64;
    for server in [&subject, &floor] {
        api::create_keyed(server, TOPIC).await?;
    }
    let by_key = |reader: usize| subscribe(TOPIC, "latest", &[key(watched(reader))]);
    let mut crowd = Crowd::subscribed(&subject, readers, Check::Rising, by_key).await?;
    let mut nobody = Crowd::open(&floor, 0, Check::Nothing).await?;
    let mut rng = data::seeded();
    let all_watched: HashSet<u64> = (0..readers).map(watched).collect();
    let numbers: Vec<u64> = (0..REQUESTS).map(|_| rng.u64(..KEYS)).collect();
    let heard: Vec<bool> = numbers.iter().map(|number| all_watched.contains(number)).collect();
    let bodies: Vec<Vec<u8>> =
        numbers.iter().map(|&number| body(&[record(&mut rng, number)])).collect();
    let to = |server: &Server| -> Vec<Bytes> {
        bodies.iter().map(|body| api::publish(server.address(), TOPIC, Form::Json, body)).collect()
    };
    let (to_subject, to_floor) = (to(&subject), to(&floor));
    let pair = Pair { subject: &subject, floor: &floor };
    let rounds = pair
        .interleaved(setup, async |side| match side {
            Side::Subject => stretch(setup, &subject, &mut crowd, &to_subject, &heard).await,
            Side::Floor => stretch(setup, &floor, &mut nobody, &to_floor, &[]).await,
        })
        .await?;
    drop((crowd, subject, floor));
    setup.discard("data");
    setup.discard("without");
    let over = |of: fn(&(Publishing, Publishing)) -> f64| {
        median(&rounds.iter().map(of).collect::<Vec<_>>())
    };
    let note = format!(
        "{:.0} of the records were heard by a reader; gateway {:.2} cpu (generator {:.2})",
        over(|round| round.0.heard as f64),
        over(|round| round.0.server_cpus),
        over(|round| round.0.generator_cpus),
    );
    let series = Series {
        subject: rounds.iter().map(|(with, _)| with.rate).collect(),
        floor: rounds.iter().map(|(_, without)| without.rate).collect(),
    };
    let what = format!("publishing with {readers} readers of a key");
    Ok(Row::new(what, "records/s", series, Target::AtLeast(0.9), None, note))
}

/// What a stretch of publishing was like.
struct Publishing {
    rate: f64,
    heard: u64,
    server_cpus: f64,
    generator_cpus: f64,
}

/// Publishes for a stretch; of the requests, those marked in `heard` reach one reader each.
async fn stretch(
    setup: &Setup,
    server: &Server,
    crowd: &mut Crowd,
    requests: &[Bytes],
    heard: &[bool],
) -> Result<Publishing, BenchError> {
    let (answered, arrived) = (Cell::new(0_u64), Cell::new(0_u64));
    let before = (Instant::now(), server.cpu_time(), generator_cpu_time());
    let end = before.0 + setup.warm_up + setup.stretch;
    // A frame by key holds one record here: no key is published twice at once but by chance, which the count shows.
    let count = |_: usize, _, frame: &[u8]| {
        let records = memchr::memmem::find_iter(frame, br#""offset":"#).count();
        arrived.set(arrived.get() + records as u64);
    };
    crowd.keep_whole(|_| true);
    let rate = crowd
        .attend(count, async |ears| {
            let publishing = async {
                let sent = flow(server.address(), requests, PUBLISHERS, end, async |_| {
                    answered.set(answered.get() + 1);
                });
                sent.await.map_err(BenchError::load("publishing"))
            };
            let measuring = async {
                tokio::time::sleep(setup.warm_up).await;
                let (begin, before) = (Instant::now(), answered.get());
                tokio::time::sleep(setup.stretch).await;
                Ok((answered.get() - before) as f64 / begin.elapsed().as_secs_f64())
            };
            let (sent, rate) = tokio::try_join!(publishing, measuring)?;
            let expected = expected(sent, heard);
            ears.until("the delivery to all readers", |_| arrived.get() >= expected).await?;
            if arrived.get() != expected {
                return Err(BenchError::Lost {
                    what: "the readers of a key".to_owned(),
                    published: expected,
                    read: arrived.get(),
                    ended: true,
                });
            }
            Ok(rate)
        })
        .await?;
    let elapsed = before.0.elapsed();
    Ok(Publishing {
        rate,
        heard: arrived.get(),
        server_cpus: busy(before.1, server.cpu_time(), elapsed),
        generator_cpus: busy(before.2, generator_cpu_time(), elapsed),
    })
}

/// How many of the first `sent` requests, taken in turn, are heard.
fn expected(sent: u64, heard: &[bool]) -> u64 {
    let ones = |part: &[bool]| part.iter().filter(|&&heard| heard).count() as u64;
    match heard.len() as u64 {
        0 => 0,
        all => sent / all * ones(heard) + ones(&heard[..(sent % all) as usize]),
    }
}

/// The time to find the hundred records of a key in a long log, against that of reading one record at an offset.
async fn history(setup: &Setup, records: u64) -> Result<Row, BenchError> {
    // A history needs room for all its records.
    let batches = records.div_ceil(BATCH).max(HISTORY * HISTORIES);
    progress(&format!("keys: storing {} records", batches * BATCH));
    let (server, _) = setup.gateway("data", &[], true).await?;
    api::create_keyed(&server, TOPIC).await?;
    store(&server, batches).await?;
    tokio::time::sleep(REST).await;
    progress("keys: looking for histories");
    let spans = api::spans(&server, TOPIC).await?;
    let mut rng = data::seeded();
    let failed = || BenchError::load("reading a history");
    let mut connection =
        Connection::open(server.address(), Connection::LARGE).await.map_err(failed())?;
    let mut series = Series::default();
    for probe in 0..HISTORIES * setup.rounds as u64 {
        let span = &spans[rng.usize(..spans.len())];
        let offset = rng.u64(span.start..span.tail.max(span.start + 1));
        let one = api::read_one(server.address(), TOPIC, span.partition, offset);
        series.floor.push(timed(&mut connection, &one, 1).await?);
        let all = api::read_key(server.address(), TOPIC, &key(KEYS + probe % HISTORIES));
        series.subject.push(timed(&mut connection, &all, HISTORY).await?);
    }
    drop((connection, server));
    setup.discard("data");
    let what = format!("history of {HISTORY} records in a log of {}", batches * BATCH);
    let note = format!("{} histories and as many single records", series.subject.len());
    Ok(Row::new(what, "ms", series, Target::AtMost(20.0), None, note))
}

/// Stores `batches` batches, over which the records of the keys with a history are evenly spread.
async fn store(server: &Server, batches: u64) -> Result<(), BenchError> {
    let mut rng = data::seeded();
    let rest: Vec<String> = (0..BATCHES)
        .map(|_| {
            let records: Vec<String> =
                (1..BATCH).map(|_| record(&mut rng, fastrand::u64(..KEYS))).collect();
            records.join(",")
        })
        .collect();
    let value = data::order(&mut rng, RECORD);
    let step = batches / (HISTORY * HISTORIES);
    let make = |number: u64| {
        // Every so many batches the next of the histories goes on.
        let turn = number / step;
        let own = if number.is_multiple_of(step) && turn < HISTORY * HISTORIES {
            key(KEYS + turn % HISTORIES)
        } else {
            key(number % KEYS)
        };
        let first = format!(r#"{{"key":"{own}","value":{value}}}"#);
        let body = body(&[first, rest[(number % BATCHES as u64) as usize].clone()]);
        api::publish(server.address(), TOPIC, Form::Json, &body)
    };
    drive_count_with(server.address(), make, STORING, batches)
        .await
        .map(drop)
        .map_err(BenchError::load("storing the log"))
}

/// Milliseconds from the request to the end of the stream, which is to have so many records.
async fn timed(
    connection: &mut Connection,
    request: &Bytes,
    records: u64,
) -> Result<f64, BenchError> {
    let mut lines = LineCounter::new();
    let begin = Instant::now();
    let sink = |bytes: &[u8]| {
        lines.feed(bytes);
        ControlFlow::Continue(())
    };
    connection.exchange(request, sink).await.map_err(BenchError::load("reading by key"))?;
    let elapsed = begin.elapsed();
    if lines.records() != records || !lines.ended() {
        return Err(BenchError::Lost {
            what: "a history".to_owned(),
            published: records,
            read: lines.records(),
            ended: lines.ended(),
        });
    }
    Ok(elapsed.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_is_counted_over_all_turns() {
        let heard = [true, false, false, true];
        assert_eq!([0, 1, 3, 4, 5, 11].map(|sent| expected(sent, &heard)), [0, 1, 1, 2, 3, 5]);
        assert_eq!(expected(7, &[]), 0);
    }

    #[test]
    fn keyed_records_are_json() {
        let mut rng = data::seeded();
        let batch = body(&[record(&mut rng, 7), record(&mut rng, 8)]);
        let parsed: serde_json::Value = serde_json::from_slice(&batch).expect("JSON");
        assert_eq!(parsed["records"][0]["key"], "user-0000007");
    }
}
