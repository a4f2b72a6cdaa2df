//! What streaming connections count.

use crate::runtime::{
    Metrics,
    metrics::{Counter, Gauge},
};

/// The metric handles of all sessions.
pub(super) struct SessionMetrics {
    pub open: Gauge,
    pub subscriptions: Gauge,
    pub lagging: Gauge,
    pub frames_in: Counter,
    pub frames_out: Counter,
    pub refused: Counter,
    pub delivered: Counter,
}

impl SessionMetrics {
    pub fn new(metrics: &Metrics) -> SessionMetrics {
        let gauge = |name, help| metrics.gauge(name, help, &[]);
        let frames = |direction| {
            let help = "Frames of streaming connections.";
            metrics.counter("tidegate_session_frames_total", help, &[("direction", direction)])
        };
        let counter = |name, help| metrics.counter(name, help, &[]);
        SessionMetrics {
            open: gauge("tidegate_sessions", "Streaming connections that are open."),
            subscriptions: gauge("tidegate_subscriptions", "Subscriptions that are open."),
            lagging: gauge(
                "tidegate_subscriptions_lagging",
                "Subscriptions that were told that they lag.",
            ),
            frames_in: frames("in"),
            frames_out: frames("out"),
            refused: counter(
                "tidegate_session_frames_refused_total",
                "Frames of clients that were answered by an error.",
            ),
            delivered: counter(
                "tidegate_session_records_total",
                "Records sent to subscriptions, each as often as it was sent.",
            ),
        }
    }
}
