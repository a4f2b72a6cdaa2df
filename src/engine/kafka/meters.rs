//! The cluster as this gateway sees it, as numbers.

use super::core::Core;
use crate::runtime::Metrics;
use std::sync::{Arc, Weak, atomic::Ordering};

/// Brings the gauges up to date whenever they are asked for.
pub(super) fn show(metrics: &Metrics, core: &Arc<Core>) {
    let gauge = |name: &str, help: &str| metrics.gauge(name, help, &[]);
    let brokers = gauge("tidegate_kafka_brokers", "Brokers that the cluster names.");
    let short = gauge(
        "tidegate_kafka_partitions_under_replicated",
        "Partitions of the cluster with fewer copies in sync than they should have.",
    );
    let leaderless = gauge(
        "tidegate_kafka_partitions_leaderless",
        "Partitions of the cluster without a leader.",
    );
    let silent = gauge(
        "tidegate_kafka_silent_milliseconds",
        "How long ago the cluster last told of itself.",
    );
    let queued = gauge("tidegate_kafka_queue_records", "Records that wait for the cluster.");
    let bytes = gauge("tidegate_kafka_queue_bytes", "Bytes that wait for the cluster.");
    let followed =
        gauge("tidegate_kafka_followed_partitions", "Partitions that the shared reader follows.");
    let core: Weak<Core> = Arc::downgrade(core);
    metrics.before_render(move || {
        let Some(core) = core.upgrade() else { return };
        let seen = core.seen.lock().clone();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        brokers.set(count(seen.brokers));
        short.set(count(seen.under_replicated));
        leaderless.set(count(seen.leaderless));
        silent.set(i64::try_from(seen.at.elapsed().as_millis()).unwrap_or(i64::MAX));
        let stats = core.heard.stats().unwrap_or_default();
        queued.set(i64::try_from(stats.queued).unwrap_or(i64::MAX));
        bytes.set(i64::try_from(stats.queued_bytes).unwrap_or(i64::MAX));
        followed.set(i64::try_from(core.follower.partitions.load(Ordering::Relaxed)).unwrap_or(0));
    });
}
