//! `bench publish` and `bench batches`: how many records go in, against an axum handler that appends the same bodies.

use bytes::Bytes;

use super::api::{self, Form};
use super::data;
use super::error::BenchError;
use super::measure::{Load, Pair, Side, describe, rates};
use super::report::{Row, Table, Target};
use super::setup::Setup;
use super::{FloorKind, progress};

/// Different bodies, so that neither side can profit from sending the same again.
const BODIES: usize = 64;
/// Bytes of a record's value in `publish`.
const SMALL_RECORD: usize = 200;
/// Connections in `publish`.
const PUBLISHERS: usize = 64;
/// Records of a batch.
const BATCH: usize = 100;
/// Bytes of a record's value in a batch.
const BATCH_RECORD: usize = 1_000;

/// A durability and what is asked of it.
struct Level {
    durability: &'static str,
    floor: FloorKind,
    target: f64,
    best: f64,
}

const LEVELS: [Level; 2] = [
    Level { durability: "synced", floor: FloorKind::Synced, target: 0.7, best: 0.85 },
    Level { durability: "buffered", floor: FloorKind::Buffered, target: 0.6, best: 0.8 },
];

/// One record per request over many connections.
///
/// # Errors
/// When a server cannot be started or a request fails.
pub async fn publish(setup: &Setup) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let mut rng = data::seeded();
    let values: Vec<String> = (0..BODIES).map(|_| data::order(&mut rng, SMALL_RECORD)).collect();
    let json: Vec<Vec<u8>> =
        values.iter().map(|value| data::json_batch(std::slice::from_ref(value))).collect();
    let raw: Vec<Vec<u8>> = values.into_iter().map(String::into_bytes).collect();
    let mut rows = Vec::new();
    for Level { durability, floor, target, best } in LEVELS {
        for (form, bodies, name) in
            [(Form::Json, &json, "JSON"), (Form::Raw, &raw, "raw text/plain")]
        {
            let what = format!("{durability}, {name}");
            progress(&format!("publish: {what}"));
            let case = Case { durability, floor, form, bodies, connections: PUBLISHERS };
            let rounds = case.measure(setup).await?;
            let series = rates(&rounds, 1.0);
            rows.push(Row::new(
                what,
                "records/s",
                series,
                Target::AtLeast(target),
                Some(best),
                describe(&rounds),
            ));
        }
    }
    Ok(Table {
        benchmark: "publish",
        columns: ("tidegate", "floor"),
        pinning,
        rows,
        notes: vec![format!(
            "{PUBLISHERS} keep-alive connections, one record of {SMALL_RECORD} B per request, 4 partitions; the floor \
             appends the same body to one file."
        )],
    })
}

/// Many records per request over few connections.
///
/// # Errors
/// When a server cannot be started or a request fails.
pub async fn batches(setup: &Setup) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let mut rng = data::seeded();
    let mut batch = || (0..BATCH).map(|_| data::order(&mut rng, BATCH_RECORD)).collect::<Vec<_>>();
    let batches: Vec<Vec<String>> = (0..BODIES).map(|_| batch()).collect();
    let json: Vec<Vec<u8>> = batches.iter().map(|values| data::json_batch(values)).collect();
    let ndjson: Vec<Vec<u8>> = batches.iter().map(|values| data::ndjson_batch(values)).collect();
    let mut rows = Vec::new();
    for (connections, target, best) in [(1, 0.4, 0.6), (8, 0.35, 0.5)] {
        for (form, bodies, name) in [(Form::Json, &json, "JSON"), (Form::Ndjson, &ndjson, "NDJSON")]
        {
            let what = format!("{connections} connection(s), {name}");
            progress(&format!("batches: {what}"));
            let case =
                Case { durability: "synced", floor: FloorKind::Synced, form, bodies, connections };
            let rounds = case.measure(setup).await?;
            let series = rates(&rounds, (BATCH * BATCH_RECORD) as f64 / 1e6);
            rows.push(Row::new(
                what,
                "MB/s",
                series,
                Target::AtLeast(target),
                Some(best),
                describe(&rounds),
            ));
        }
    }
    Ok(Table {
        benchmark: "batches",
        columns: ("tidegate", "floor"),
        pinning,
        rows,
        notes: vec![format!(
            "{BATCH} records of {BATCH_RECORD} B per request, synced, 4 partitions; MB (10^6) of record values; the \
             floor appends the same body to one file."
        )],
    })
}

/// One row: what is sent, and how.
struct Case<'a> {
    durability: &'a str,
    floor: FloorKind,
    form: Form,
    bodies: &'a [Vec<u8>],
    connections: usize,
}

impl Case<'_> {
    /// Fresh servers for every row, so that none inherits what another one stored.
    async fn measure(&self, setup: &Setup) -> Result<Vec<(Load, Load)>, BenchError> {
        let rounds = {
            let (subject, _) = setup.gateway("data", &[], true).await?;
            let floor = setup.floor(self.floor, "floor").await?;
            api::create_topic(&subject, "bench", self.durability).await?;
            let pair = Pair { subject: &subject, floor: &floor };
            let to_subject: Vec<Bytes> =
                self.requests(|body| api::publish(subject.address(), "bench", self.form, body));
            let to_floor: Vec<Bytes> =
                self.requests(|body| api::floor_append(floor.address(), self.form, body));
            pair.interleaved(setup, async |side| {
                let requests = match side {
                    Side::Subject => &to_subject,
                    Side::Floor => &to_floor,
                };
                Load::measure(setup, pair.server(side), requests, self.connections).await
            })
            .await?
        };
        setup.discard("data");
        setup.discard("floor");
        Ok(rounds)
    }

    fn requests(&self, build: impl Fn(&[u8]) -> Bytes) -> Vec<Bytes> {
        self.bodies.iter().map(|body| build(body)).collect()
    }
}
