//! `bench roll`: whether publishers notice that a volume is full and the next one takes over.

use std::cell::RefCell;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::api::{self, Form};
use super::data;
use super::error::BenchError;
use super::process::Server;
use super::progress;
use super::report::{Row, Series, Table, Target};
use super::setup::Setup;
use crate::client::load::{Connection, LoadError, Pace, Timed, pace, quantile};

/// The setting that makes rolls frequent enough to be measured.
const SMALL_VOLUMES: [&str; 2] = ["--sled-roll-bytes", "16777216"];
/// Records of a request, and bytes of a record's value.
const BATCH: usize = 10;
const RECORD: usize = 1_000;
/// Different bodies.
const BODIES: usize = 64;
/// Connections at once.
const CONNECTIONS: usize = 8;
/// How often the gateway is asked for its rolls: a roll is known to lie within this time before it is seen.
const POLL: Duration = Duration::from_millis(25);
/// How long after a roll publishes count as disturbed by it: sealing goes on in the background.
const AFTER_ROLL: Duration = Duration::from_secs(1);

/// Publishes at a steady `rate` of requests per second, and compares those around rolls with the quiet ones. With
/// `keep_volumes`, the gateway rolls when its settings say so, not when a volume has 16 MiB.
///
/// # Errors
/// When the server cannot be started, a request fails, or no volume is rolled.
pub async fn roll(
    setup: &Setup,
    rate: f64,
    length: Duration,
    keep_volumes: bool,
) -> Result<Table, BenchError> {
    let pinning = setup.place_freely();
    let volumes: &[&str] = if keep_volumes { &[] } else { &SMALL_VOLUMES };
    let (server, _) = setup.gateway("data", volumes, false).await?;
    api::create_topic(&server, "bench", "synced").await?;
    let mut rng = data::seeded();
    let mut body = || {
        let values: Vec<String> = (0..BATCH).map(|_| data::noise(&mut rng, RECORD)).collect();
        api::publish(server.address(), "bench", Form::Json, &data::json_batch(&values))
    };
    let requests: Vec<Bytes> = (0..BODIES).map(|_| body()).collect();
    let (mut tails, mut worst, mut rolls) = (Series::default(), Series::default(), 0);
    // The first round makes the first volumes and is not counted.
    for round in 0..=setup.rounds {
        progress(&format!("roll: round {round} of {}", setup.rounds));
        let (timed, seen) = watched(&server, &requests, rate, length).await?;
        if round > 0 {
            let (rolling, quiet) = split(&timed, &seen);
            rolls += seen.len();
            tails.subject.push(at(&rolling, 0.99));
            tails.floor.push(at(&quiet, 0.99));
            worst.subject.push(at(&rolling, 1.0));
            worst.floor.push(at(&quiet, 1.0));
        }
    }
    drop(server);
    setup.discard("data");
    let note = format!(
        "{rolls} rolls; {rate} requests/s of {BATCH} x {RECORD} B, {CONNECTIONS} connections, synced"
    );
    Ok(Table {
        benchmark: "roll",
        columns: ("rolling", "quiet"),
        pinning,
        rows: vec![
            Row::new("publish p99", "ms", tails, Target::AtMost(3.0), None, note),
            Row::new("publish, slowest", "ms", worst, Target::None, None, ""),
        ],
        notes: vec![format!(
            "rolling: under way between a roll and {AFTER_ROLL:?} after it; quiet: the others."
        )],
    })
}

/// Publishes for `length` and notes when volumes rolled.
async fn watched(
    server: &Server,
    requests: &[Bytes],
    rate: f64,
    length: Duration,
) -> Result<(Vec<Timed>, Vec<Instant>), BenchError> {
    let seen = RefCell::new(Vec::new());
    let steady = Pace { connections: CONNECTIONS, rate, length };
    let publishing = pin!(pace(server.address(), requests, steady));
    let watching = pin!(watch(server, &seen));
    let timed = tokio::select! {
        timed = publishing => timed.map_err(BenchError::load("publishing at a steady pace"))?,
        stopped = watching => return Err(stopped),
    };
    let seen = seen.take();
    if seen.is_empty() {
        return Err(BenchError::TimedOut {
            what: "the roll of a volume".to_owned(),
            after: length,
        });
    }
    Ok((timed, seen))
}

/// Notes every roll in `seen`. Ends only in failure.
async fn watch(server: &Server, seen: &RefCell<Vec<Instant>>) -> BenchError {
    let polled = async {
        let mut connection = Connection::open(server.address(), Connection::LARGE).await?;
        let mut before = None;
        loop {
            let Some(now) = api::rolls(&mut connection, server.address()).await? else {
                return Err(LoadError::Malformed("no counter of rolls in the metrics"));
            };
            if before.is_some_and(|before| now > before) {
                seen.borrow_mut().push(Instant::now());
            }
            before = Some(now);
            tokio::time::sleep(POLL).await;
        }
    };
    let result: Result<(), LoadError> = polled.await;
    let source = result.err().unwrap_or(LoadError::Closed);
    BenchError::Load { what: "watching the rolls".to_owned(), source }
}

/// The latencies of the publishes that were under way around a roll, and of the others; in microseconds, ascending.
fn split(timed: &[Timed], rolls: &[Instant]) -> (Vec<u32>, Vec<u32>) {
    let disturbed = |publish: &&Timed| {
        let answered = publish.due + publish.latency;
        rolls.iter().any(|&roll| answered + 2 * POLL >= roll && publish.due <= roll + AFTER_ROLL)
    };
    let (rolling, quiet): (Vec<&Timed>, Vec<&Timed>) = timed.iter().partition(disturbed);
    (latencies(&rolling), latencies(&quiet))
}

fn latencies(timed: &[&Timed]) -> Vec<u32> {
    let micros =
        timed.iter().map(|publish| u32::try_from(publish.latency.as_micros()).unwrap_or(u32::MAX));
    let mut latencies: Vec<u32> = micros.collect();
    latencies.sort_unstable();
    latencies
}

/// A quantile in milliseconds; not a number of nothing.
fn at(ascending: &[u32], of: f64) -> f64 {
    quantile(ascending, of).map_or(f64::NAN, |us| f64::from(us) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishes_around_a_roll_are_told_from_quiet_ones() {
        let begin = Instant::now();
        let ms = Duration::from_millis;
        let publish = |due, latency| Timed { due: begin + ms(due), latency: ms(latency) };
        let timed = [publish(0, 1), publish(900, 120), publish(1_500, 2), publish(2_300, 3)];
        let (rolling, quiet) = split(&timed, &[begin + ms(1_000)]);
        assert_eq!(rolling, [2_000, 120_000]);
        assert_eq!(quiet, [1_000, 3_000]);
    }
}
