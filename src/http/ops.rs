//! For those who run the gateway: whether it lives, whether it is ready, and
//! what it counted.

use super::{App, shape};
use crate::{engine::Health, runtime::Phase};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// That the process answers.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(super) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the gateway takes requests, and what its engine promises.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "ready": true, "state": "ready", "engine": "sled", "topics": 3,
    "promises": {
        "dense_offsets": true, "durable": true, "retention_by_append_time": true,
        "counts_bytes": true, "whole_appends": true, "spreads_each": true
    }
}))]
pub(super) struct Readiness {
    /// Whether to send requests here.
    ready: bool,
    /// `ready`, `read_only`, `down` or `stopping`.
    state: &'static str,
    /// Which engine keeps the records.
    engine: &'static str,
    /// How many topics there are.
    topics: usize,
    /// Where engines differ.
    promises: EnginePromises,
}

/// What the engine promises.
#[derive(Serialize, ToSchema)]
pub(super) struct EnginePromises {
    /// Whether offsets have no gaps.
    dense_offsets: bool,
    /// Whether records outlive the process.
    durable: bool,
    /// Whether time retention counts from storing (else from `timestamp`).
    retention_by_append_time: bool,
    /// Whether the bytes of a partition are known (else they are told as 0).
    counts_bytes: bool,
    /// Whether a publish to one partition without an idempotency key is all or
    /// nothing also when the gateway dies in the middle of it.
    whole_appends: bool,
    /// Whether the records of a publish without key and partition go to partitions
    /// in turn one by one (else together, publish by publish).
    spreads_each: bool,
}

/// Whether the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It does.", body = Alive))
)]
pub(super) async fn healthz() -> Response {
    shape(StatusCode::OK, &Alive { status: "ok" })
}

/// Whether the gateway is ready
///
/// Not ready while it stops, and while publishes cannot be stored.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "Ready.", body = Readiness),
        (status = 503, description = "Not now.", body = Readiness),
    )
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let state = if app.shutdown.reached(Phase::NotReady) {
        "stopping"
    } else {
        match app.broker.health() {
            Health::Ready => "ready",
            Health::ReadOnly(_) => "read_only",
            Health::Down(_) => "down",
        }
    };
    let promises = app.broker.promises();
    let readiness = Readiness {
        ready: state == "ready",
        state,
        engine: app.broker.engine_name(),
        topics: app.broker.topic_count(),
        promises: EnginePromises {
            dense_offsets: promises.dense_offsets,
            durable: promises.durable,
            retention_by_append_time: promises.retention_by_append_time,
            counts_bytes: promises.counts_bytes,
            whole_appends: promises.whole_appends,
            spreads_each: promises.spreads_each,
        },
    };
    let ready = readiness.ready;
    shape(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &readiness)
}

/// Counters for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.broker.measure_groups().await;
    let mut response = app.metrics.render().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
