//! `bench latency`: from a publisher to a few sockets at a steady pace.

use std::cell::RefCell;
use std::time::Duration;

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::measure::{Pair, Side, busy, generator_cpu_time};
use super::super::process::Server;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::super::{FloorKind, progress};
use super::crowd::{Check, Crowd};
use super::stamp::{Quantiles, Stamped, Timings, after, stamped_value};
use super::wire::subscribe;
use crate::client::load::{Connection, Pace, pace_with};

/// Bytes of a record's value.
const RECORD: usize = 200;
/// Publishers: enough that a sync under way holds back none that is due.
const PUBLISHERS: usize = 32;
/// The topic.
const TOPIC: &str = "bench";
/// What is asked of every row.
const TARGET: Target = Target::AtMost(1.5);

/// Publishes `rate` records per second to `sockets` sockets, at both levels of durability.
///
/// # Errors
/// When a server cannot be started, a request or a socket fails, or a socket misses a record.
pub async fn latency(setup: &Setup, rate: f64, sockets: usize) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let mut rows = Vec::new();
    for (durability, floor) in
        [("buffered", FloorKind::BufferedSockets), ("synced", FloorKind::SyncedSockets)]
    {
        progress(&format!("latency: {durability}"));
        let rounds = level(setup, durability, floor, rate, sockets).await?;
        rows.extend(both(durability, &rounds));
    }
    Ok(Table {
        benchmark: "latency",
        columns: ("tidegate", "floor"),
        pinning,
        rows,
        notes: vec![format!(
            "{rate} records/s of {RECORD} B, one per request, to {sockets} sockets, 1 partition; from the sending of the \
             request to the arrival of the frame; the floor appends the frame to one file (synced: and syncs it), then \
             writes it to all sockets."
        )],
    })
}

fn both(durability: &str, rounds: &[(Stretch, Stretch)]) -> [Row; 2] {
    let series = |of: fn(&Stretch) -> f64| Series {
        subject: rounds.iter().map(|(subject, _)| of(subject)).collect(),
        floor: rounds.iter().map(|(_, floor)| of(floor)).collect(),
    };
    let words = |name: &str, side: fn(&(Stretch, Stretch)) -> &Stretch| {
        let over = |of: fn(&Stretch) -> f64| {
            median(&rounds.iter().map(|round| of(side(round))).collect::<Vec<_>>())
        };
        format!(
            "{name} slowest {:.1} ms, {:.2} cpu (generator {:.2})",
            over(|stretch| stretch.quantiles.most),
            over(|stretch| stretch.server_cpus),
            over(|stretch| stretch.generator_cpus),
        )
    };
    let note =
        format!("{}; {}", words("gateway", |round| &round.0), words("floor", |round| &round.1));
    let p50 = series(|stretch| stretch.quantiles.p50);
    let p99 = series(|stretch| stretch.quantiles.p99);
    [
        Row::new(format!("{durability}, p50"), "ms", p50, TARGET, None, ""),
        Row::new(format!("{durability}, p99"), "ms", p99, TARGET, None, note),
    ]
}

/// One side's stretch.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    quantiles: Quantiles,
    server_cpus: f64,
    generator_cpus: f64,
}

async fn level(
    setup: &Setup,
    durability: &str,
    floor: FloorKind,
    rate: f64,
    sockets: usize,
) -> Result<Vec<(Stretch, Stretch)>, BenchError> {
    let (subject, _) = setup.gateway("data", &[], true).await?;
    let floor = setup.floor(floor, "floor").await?;
    api::create(&subject, TOPIC, 1, durability).await?;
    let from_latest = |_| subscribe(TOPIC, "latest", &[]);
    let mut at_subject = Crowd::subscribed(&subject, sockets, Check::Dense, from_latest).await?;
    let mut at_floor = Crowd::open(&floor, sockets, Check::Nothing).await?;
    at_subject.keep_whole(|_| true);
    at_floor.keep_whole(|_| true);
    let value = stamped_value(&data::order(&mut data::seeded(), RECORD));
    let body = data::json_batch(&[value]);
    let to_subject = Stamped::new(&api::publish(subject.address(), TOPIC, Form::Json, &body))?;
    let frame = capture(&subject, &mut at_subject, &to_subject).await?;
    let to_floor = Stamped::new(&api::floor_append(floor.address(), Form::Json, &frame))?;
    let pair = Pair { subject: &subject, floor: &floor };
    let rounds = pair
        .interleaved(setup, async |side| match side {
            Side::Subject => stretch(setup, &subject, &mut at_subject, &to_subject, rate).await,
            Side::Floor => stretch(setup, &floor, &mut at_floor, &to_floor, rate).await,
        })
        .await?;
    drop((subject, floor));
    setup.discard("data");
    setup.discard("floor");
    Ok(rounds)
}

/// The frame that one published record comes as.
async fn capture(
    server: &Server,
    crowd: &mut Crowd,
    request: &Stamped,
) -> Result<Vec<u8>, BenchError> {
    let heard = RefCell::new(Vec::new());
    let sockets = crowd.len() as u64;
    let each = |_: usize, _, frame: &[u8]| *heard.borrow_mut() = frame.to_vec();
    crowd
        .attend(each, async |ears| {
            let failed = || BenchError::load("publishing");
            let mut connection =
                Connection::open(server.address(), Connection::SMALL).await.map_err(failed())?;
            connection.hit(&request.with(0)).await.map_err(failed())?;
            ears.until("the first delivery", |ears| ears.records() == sockets).await
        })
        .await?;
    Ok(heard.into_inner())
}

async fn stretch(
    setup: &Setup,
    server: &Server,
    crowd: &mut Crowd,
    request: &Stamped,
    rate: f64,
) -> Result<Stretch, BenchError> {
    let length: Duration = setup.warm_up + setup.stretch;
    let timings = Timings::from(after(setup.warm_up));
    let before = (server.cpu_time(), generator_cpu_time());
    let sockets = crowd.len() as u64;
    crowd
        .attend(
            |_, _, frame| timings.heard(frame),
            async |ears| {
                let steady = Pace { connections: PUBLISHERS, rate, length };
                let make = |number, from| {
                    timings.sent(number, from);
                    request.with(number)
                };
                let sent = pace_with(server.address(), make, steady).await;
                let sent = sent.map_err(BenchError::load("publishing"))?.len() as u64;
                ears.until("all deliveries", |_| timings.arrivals() == sent * sockets).await
            },
        )
        .await?;
    Ok(Stretch {
        quantiles: timings.quantiles_ms(),
        server_cpus: busy(before.0, server.cpu_time(), length),
        generator_cpus: busy(before.1, generator_cpu_time(), length),
    })
}
