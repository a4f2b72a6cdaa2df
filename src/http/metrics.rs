//! What the HTTP side counts.

use crate::runtime::{
    Metrics,
    metrics::{Counter, Gauge, Histogram, SECONDS},
};
use axum::http::{Method, StatusCode};
use std::time::Duration;

/// What a request is about, as far as the counters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Publishing.
    Publish,
    /// Reading records.
    Read,
    /// Everything else under `/v1`.
    Manage,
    /// Pages, health, metrics.
    Page,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Publish, "publish"),
    (Kind::Read, "read"),
    (Kind::Manage, "manage"),
    (Kind::Page, "page"),
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Kind {
    pub(super) fn of(method: &Method, path: &str) -> Kind {
        match (path.starts_with("/v1/"), path.ends_with("/records")) {
            (true, true) if method == Method::POST => Kind::Publish,
            (true, true) => Kind::Read,
            (true, false) => Kind::Manage,
            (false, _) => Kind::Page,
        }
    }
}

/// The metric handles of the HTTP side.
pub(super) struct HttpMetrics {
    requests: [[Counter; CLASSES.len()]; KINDS.len()],
    seconds: [Histogram; KINDS.len()],
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) open: Gauge,
}

impl HttpMetrics {
    pub(super) fn new(metrics: &Metrics) -> HttpMetrics {
        let requests = |kind: &str, class: &str| {
            let labels = &[("kind", kind), ("status", class)];
            metrics.counter("tidegate_http_requests_total", "Requests answered.", labels)
        };
        let seconds = |kind: &str| {
            let help = "From a request's headers to its answer's; a long poll waits in between.";
            metrics.histogram("tidegate_http_seconds", help, &[("kind", kind)], SECONDS)
        };
        let counter = |name, help| metrics.counter(name, help, &[]);
        HttpMetrics {
            requests: KINDS.map(|(_, kind)| CLASSES.map(|class| requests(kind, class))),
            seconds: KINDS.map(|(_, kind)| seconds(kind)),
            accepted: counter("tidegate_connections_total", "Connections accepted."),
            refused: counter(
                "tidegate_connections_refused_total",
                "Connections closed because there were too many.",
            ),
            open: metrics.gauge("tidegate_connections", "Connections that are open.", &[]),
        }
    }

    pub(super) fn answered(&self, kind: Kind, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[kind as usize][class].inc();
        self.seconds[kind as usize].observe_time(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_what_a_request_is_about() {
        for (method, path, kind) in [
            (Method::POST, "/v1/topics/t/records", Kind::Publish),
            (Method::GET, "/v1/topics/t/records", Kind::Read),
            (Method::GET, "/v1/records", Kind::Read),
            (Method::PUT, "/v1/topics/t", Kind::Manage),
            (Method::GET, "/docs/api", Kind::Page),
        ] {
            assert_eq!(Kind::of(&method, path), kind, "{method} {path}");
        }
    }
}
