//! What the broker counts.

use super::follow::Hubs;
use crate::{
    domain::Durability,
    runtime::{
        Metrics,
        metrics::{COUNTS, Counter, Gauge, GaugeFamily, Histogram, SECONDS},
    },
};
use std::{sync::Arc, time::Duration};

/// The broker's metric handles.
pub(super) struct BrokerMetrics {
    synced: PublishMetrics,
    buffered: PublishMetrics,
    pub(super) refused: Counter,
    pub(super) publish_failed: Counter,
    read_records: Counter,
    read_bytes: Counter,
    read_seconds: Histogram,
    pub(super) lost_records: Counter,
    pub(super) readers: Gauge,
    pub(super) groups: GroupMetrics,
}

/// What groups do.
pub(super) struct GroupMetrics {
    pub(super) polls: Counter,
    commits: Counter,
    commit_seconds: Histogram,
    lag: GaugeFamily,
}

impl GroupMetrics {
    fn new(metrics: &Metrics) -> GroupMetrics {
        GroupMetrics {
            polls: metrics.counter("tidegate_polls_total", "Polls of members of groups.", &[]),
            lag: metrics.gauges(
                "tidegate_group_lag_records",
                "Records between what a group has committed and the tail, for at most 200 pairs.",
                &["group", "topic"],
            ),
            commits: metrics.counter(
                "tidegate_commits_total",
                "Offsets that groups have committed.",
                &[],
            ),
            commit_seconds: metrics.histogram(
                "tidegate_commit_seconds",
                "From handing a call's commits to the coordinator to its answer.",
                &[],
                SECONDS,
            ),
        }
    }

    pub(super) fn committed(&self, commits: usize, took: Duration) {
        self.commits.add(commits as u64);
        self.commit_seconds.observe_time(took);
    }

    /// Shows the lag of these groups and topics, and of no others.
    pub(super) fn lag(&self, lags: Vec<(String, String, u64)>) {
        let values = lags.iter().map(|(group, topic, lag)| {
            ([group.as_str(), topic.as_str()], i64::try_from(*lag).unwrap_or(i64::MAX))
        });
        self.lag.show(values);
    }
}

/// Shows what followers share.
pub(super) fn show_follow(metrics: &Metrics, hubs: &Arc<Hubs>) {
    let gauge = |name, help| metrics.gauge(name, help, &[]);
    let followed = gauge("tidegate_followed_partitions", "Partitions that somebody follows.");
    let bytes = gauge("tidegate_follow_bytes", "Newest batches in memory for followers, bytes.");
    let hubs = Arc::clone(hubs);
    metrics.before_render(move || {
        let (partitions, held) = hubs.sizes();
        followed.set(partitions as i64);
        bytes.set(held as i64);
    });
}

/// Publishes of one durability.
struct PublishMetrics {
    records: Counter,
    bytes: Counter,
    seconds: Histogram,
    batch: Histogram,
}

impl PublishMetrics {
    fn new(metrics: &Metrics, durability: &str) -> PublishMetrics {
        let labels = &[("durability", durability)];
        PublishMetrics {
            records: metrics.counter(
                "tidegate_published_records_total",
                "Records that were acknowledged.",
                labels,
            ),
            bytes: metrics.counter(
                "tidegate_published_bytes_total",
                "Packed bytes of records that were acknowledged.",
                labels,
            ),
            seconds: metrics.histogram(
                "tidegate_publish_seconds",
                "From handing an atomic publish to the engine to its acknowledgement.",
                labels,
                SECONDS,
            ),
            batch: metrics.histogram(
                "tidegate_publish_batch_records",
                "Records of one atomic publish.",
                labels,
                COUNTS,
            ),
        }
    }
}

impl BrokerMetrics {
    pub(super) fn new(metrics: &Metrics) -> BrokerMetrics {
        let counter = |name, help| metrics.counter(name, help, &[]);
        BrokerMetrics {
            synced: PublishMetrics::new(metrics, "synced"),
            buffered: PublishMetrics::new(metrics, "buffered"),
            refused: counter(
                "tidegate_publish_refused_total",
                "Publishes refused because too much was in flight.",
            ),
            publish_failed: counter(
                "tidegate_publish_failed_total",
                "Atomic publishes that the engine did not acknowledge.",
            ),
            read_records: counter("tidegate_read_records_total", "Records given to readers."),
            read_bytes: counter("tidegate_read_bytes_total", "Packed bytes given to readers."),
            read_seconds: metrics.histogram(
                "tidegate_read_seconds",
                "Time of one read from the engine.",
                &[],
                SECONDS,
            ),
            lost_records: counter(
                "tidegate_reader_lost_records_total",
                "Offsets that readers were told they have missed.",
            ),
            readers: metrics.gauge(
                "tidegate_readers",
                "Readers that are open: pages, polls and streams.",
                &[],
            ),
            groups: GroupMetrics::new(metrics),
        }
    }

    pub(super) fn published(
        &self,
        durability: Durability,
        records: usize,
        bytes: usize,
        took: Duration,
    ) {
        let of = match durability {
            Durability::Synced => &self.synced,
            Durability::Buffered => &self.buffered,
        };
        of.records.add(records as u64);
        of.bytes.add(bytes as u64);
        of.seconds.observe_time(took);
        of.batch.observe(records as f64);
    }

    /// Records that came from memory.
    pub(super) fn followed(&self, records: u64, bytes: usize) {
        self.read_records.add(records);
        self.read_bytes.add(bytes as u64);
    }

    pub(super) fn read(&self, records: u64, bytes: usize, took: Duration) {
        self.read_records.add(records);
        self.read_bytes.add(bytes as u64);
        self.read_seconds.observe_time(took);
    }
}
