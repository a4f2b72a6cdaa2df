//! Stores a given amount, as fast as it goes in: what the benchmarks of a log begin with.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use super::api::{self, Form};
use super::data;
use super::error::BenchError;
use super::process::Server;
use crate::client::load::drive_count;

/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;
/// Bytes of a record's value.
pub const RECORD: usize = 1_000;
/// Records of a request.
const BATCH: usize = 500;
/// Different bodies.
const BODIES: usize = 64;
/// Connections at once.
const CONNECTIONS: usize = 4;

/// Publishes `bytes` of record values that do not compress to the topic `bench`, and returns how long it took.
///
/// # Errors
/// When a publish fails.
pub async fn fill(server: &Server, bytes: u64) -> Result<Duration, BenchError> {
    let mut rng = data::seeded();
    let requests: Vec<Bytes> = (0..BODIES).map(|_| batch(&mut rng, server)).collect();
    let count = bytes.div_ceil((BATCH * RECORD) as u64);
    drive_count(server.address(), &requests, CONNECTIONS, count)
        .await
        .map_err(BenchError::load("filling the log"))
}

/// Bytes of a record's value in [`store`].
pub const SMALL_RECORD: usize = 200;
/// Connections where records are published one by one.
const PUBLISHERS: usize = 64;

/// Publishes `records` records of 200 B to `topic`, `batch` of them in each request.
///
/// # Errors
/// When a publish fails.
pub async fn store(
    server: &Server,
    topic: &str,
    records: u64,
    batch: u64,
) -> Result<(), BenchError> {
    let mut rng = data::seeded();
    let mut body = || {
        let values: Vec<String> = (0..batch).map(|_| data::order(&mut rng, SMALL_RECORD)).collect();
        api::publish(server.address(), topic, Form::Json, &data::json_batch(&values))
    };
    let requests: Vec<Bytes> = (0..BODIES).map(|_| body()).collect();
    let connections = if batch == 1 { PUBLISHERS } else { 1 };
    let sent = drive_count(server.address(), &requests, connections, records / batch).await;
    sent.map(drop).map_err(BenchError::load(format!("publishing to {topic}")))
}

fn batch(rng: &mut Rng, server: &Server) -> Bytes {
    let values: Vec<String> = (0..BATCH).map(|_| data::noise(rng, RECORD)).collect();
    api::publish(server.address(), "bench", Form::Json, &data::json_batch(&values))
}
