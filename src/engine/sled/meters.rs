//! What the engine counts.

use super::{disk, store::Store};
use crate::runtime::metrics::{COUNTS, Counter, Gauge, Histogram, Metrics, SECONDS};
use std::sync::atomic::Ordering;

/// The engine's metric handles.
#[derive(Clone)]
pub(super) struct Meters {
    pub(super) commits: Counter,
    pub(super) commit_requests: Histogram,
    pub(super) sync_seconds: Histogram,
    pub(super) rolls: Counter,
    pub(super) roll_seconds: Histogram,
    pub(super) seal_seconds: Histogram,
    pub(super) volumes_deleted: Counter,
    pub(super) volumes_copied: Counter,
    pub(super) merged_values: Counter,
    pub(super) sealed_opened: Counter,
    pub(super) active_bytes: Gauge,
    pub(super) volumes: Gauge,
    pub(super) volumes_open: Gauge,
    pub(super) state_entries: Gauge,
    pub(super) free_bytes: Gauge,
    pub(super) retention_moves: Counter,
}

impl Meters {
    pub(super) fn new(m: &Metrics) -> Meters {
        let counter = |name, help| m.counter(name, help, &[]);
        let gauge = |name, help| m.gauge(name, help, &[]);
        let seconds = |name, help| m.histogram(name, help, &[], SECONDS);
        Meters {
            commits: counter("tidegate_store_commits_total", "Commits to the active volume."),
            commit_requests: m.histogram(
                "tidegate_store_commit_requests",
                "Requests that one commit took together.",
                &[],
                COUNTS,
            ),
            sync_seconds: seconds("tidegate_store_sync_seconds", "Time of a flush and fdatasync."),
            rolls: counter("tidegate_volume_rolls_total", "Volumes rolled."),
            roll_seconds: seconds("tidegate_volume_roll_seconds", "Pause of the writer at a roll."),
            seal_seconds: seconds("tidegate_volume_seal_seconds", "Time to seal a volume."),
            volumes_deleted: counter("tidegate_volumes_deleted_total", "Volumes given back."),
            volumes_copied: counter("tidegate_volumes_copied_total", "Mostly dead volumes copied."),
            merged_values: counter("tidegate_store_merged_values_total", "Small values merged."),
            sealed_opened: counter("tidegate_volume_opens_total", "Sealed volumes opened to read."),
            active_bytes: gauge("tidegate_volume_active_bytes", "Log length of the active volume."),
            volumes: gauge("tidegate_volumes", "Volumes, whatever their state."),
            volumes_open: gauge("tidegate_volumes_open", "Sealed volumes open for reading."),
            state_entries: gauge("tidegate_state_entries", "Entries of the state table."),
            free_bytes: gauge("tidegate_store_free_bytes", "Free bytes of the store's disk."),
            retention_moves: counter(
                "tidegate_retention_moves_total",
                "Times that retention moved a partition's start.",
            ),
        }
    }
}

/// Sets what is looked up rather than counted.
pub(super) fn show_gauges(store: &Store) {
    let set = |gauge: &Gauge, n: u64| gauge.set(n.try_into().unwrap_or(i64::MAX));
    set(&store.meters.active_bytes, store.active_len.load(Ordering::Relaxed));
    set(&store.meters.volumes, store.volumes.rows().len() as u64);
    set(&store.meters.volumes_open, store.volumes.open_count() as u64);
    set(&store.meters.state_entries, store.table.read().len() as u64);
    if let Ok(free) = disk::free_bytes(&store.config.data_dir) {
        set(&store.meters.free_bytes, free);
    }
}
