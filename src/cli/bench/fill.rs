//! Stores a given amount, as fast as it goes in: what the benchmarks of a large log begin with.

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

fn batch(rng: &mut Rng, server: &Server) -> Bytes {
    let values: Vec<String> = (0..BATCH).map(|_| data::noise(rng, RECORD)).collect();
    api::publish(server.address(), "bench", Form::Json, &data::json_batch(&values))
}
