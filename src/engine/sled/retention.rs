//! What a topic no longer keeps, and what that frees. Pure decisions.

use super::{
    catalog::{Shared, TopicState},
    volume::VolumeId,
};
use crate::domain::{Offset, Timestamp, TopicConfig};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Where the partition's start belongs at `now`: whole extents go, and of the
/// active one what lies before an entry of its index. So the bounds are kept
/// to within a tenth of the time and an eighth of the size, at which the
/// active volume is rolled; nothing goes too early.
pub(super) fn retained_start(shared: &Shared, config: &TopicConfig, now: Timestamp) -> Offset {
    let by_time =
        config.retention_ms.map(|ms| by_time(shared, now.minus(Duration::from_millis(ms))));
    let by_bytes = config.retention_bytes.map(|bytes| by_bytes(shared, bytes));
    let start = shared.start.max(by_time.unwrap_or_default()).max(by_bytes.unwrap_or_default());
    start.min(shared.tail)
}

/// The first offset that may have been appended at `cutoff` or later.
fn by_time(shared: &Shared, cutoff: Timestamp) -> Offset {
    let gone = shared.all_extents().take_while(|e| e.last_append < cutoff).last();
    let whole = gone.map_or(shared.start, |e| e.end);
    let index = &shared.active.index;
    // All before an entry was appended no later than the entry.
    let entries = index.partition_point(|e| e.appended < cutoff);
    let within = entries.checked_sub(1).and_then(|at| index.get(at)).map(|e| e.offset);
    whole.max(within.unwrap_or_default())
}

/// The first offset of the newest stretch that is not below `keep` bytes by
/// more than one extent, or one entry of the active index.
fn by_bytes(shared: &Shared, keep: u64) -> Offset {
    let live = |e: &super::volume::Extent| e.live_bytes(shared.start);
    let mut over = shared.all_extents().map(|e| live(&e)).sum::<u64>().saturating_sub(keep);
    let mut start = shared.start;
    for extent in &shared.extents {
        let bytes = live(extent);
        if bytes > over {
            return start;
        }
        over -= bytes;
        start = start.max(extent.end);
    }
    let active = &shared.active;
    let dead = active.extent.bytes - live(&active.extent);
    let entries = active.index.partition_point(|e| e.bytes_before <= dead + over);
    let within = entries.checked_sub(1).and_then(|at| active.index.get(at)).map(|e| e.offset);
    start.max(within.unwrap_or_default())
}

/// Bytes that are alive, by volume.
pub(super) fn live_by_volume(topics: &[Arc<TopicState>]) -> BTreeMap<VolumeId, u64> {
    let mut live = BTreeMap::new();
    for topic in topics {
        for partition in &topic.partitions {
            let shared = partition.shared.read();
            for extent in shared.all_extents().filter(|e| e.end > shared.start) {
                // At least one: a record without a key and a value is alive.
                *live.entry(extent.volume).or_insert(0) += extent.live_bytes(shared.start).max(1);
            }
        }
    }
    live
}

/// Whether so little of a volume is alive that it is worth copying.
pub(super) fn mostly_dead(live: u64, all: u64) -> bool {
    u128::from(live) * 100 < u128::from(all) * 30
}

/// Small volumes, each otherwise too live to be copied, that are put together
/// once there are this many.
const SMALL_VOLUMES: usize = 8;

/// Which sealed volumes are worth copying into one: those that are mostly
/// dead; small ones join them, or make a copy of their own when many. At most
/// half a volume's worth of live bytes. Rows: volume, live bytes, all bytes.
pub(super) fn worth_copying(sealed: &[(VolumeId, u64, u64)], roll_bytes: u64) -> Vec<VolumeId> {
    let dead = |(_, live, all): &(VolumeId, u64, u64)| mostly_dead(*live, *all);
    let small = |(_, live, _): &(VolumeId, u64, u64)| *live < roll_bytes / 16;
    let due =
        sealed.iter().any(dead) || sealed.iter().filter(|v| small(v)).count() >= SMALL_VOLUMES;
    if !due {
        return vec![];
    }
    let mut room = roll_bytes / 2;
    let mut chosen = vec![];
    for volume in sealed.iter().filter(|v| dead(v) || small(v)) {
        if volume.1 <= room || chosen.is_empty() {
            room = room.saturating_sub(volume.1);
            chosen.push(volume.0);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::{
        catalog::ActivePart,
        volume::{Extent, IndexEntry},
    };
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn extent(volume: u64, first: u64, end: u64) -> Extent {
        // One record a millisecond, ten bytes each.
        Extent {
            volume: VolumeId(volume),
            first: Offset(first),
            end: Offset(end),
            bytes: (end - first) * 10,
            newest: at(end as i64 - 1),
            first_append: at(first as i64),
            last_append: at(end as i64 - 1),
        }
    }

    fn shared() -> Shared {
        let mut shared = Shared::new(VolumeId(3));
        shared.extents = vec![extent(1, 0, 100), extent(2, 100, 200)];
        let entry = |offset: u64| IndexEntry {
            offset: Offset(offset),
            newest_before: at(offset as i64 - 1),
            appended: at(offset as i64),
            bytes_before: (offset - 200) * 10,
        };
        shared.active = ActivePart {
            extent: extent(3, 200, 300),
            index: [200, 220, 240, 260].map(entry).into(),
        };
        shared.tail = Offset(300);
        shared
    }

    fn start(retention_ms: Option<u64>, retention_bytes: Option<u64>, now: i64) -> u64 {
        let config = TopicConfig { retention_ms, retention_bytes, ..TopicConfig::default() };
        retained_start(&shared(), &config, at(now)).0
    }

    #[test]
    fn without_bounds_everything_is_kept() {
        assert_eq!(start(None, None, i64::MAX), 0);
    }

    #[test]
    fn by_age_nothing_goes_that_is_young_enough() {
        assert_eq!(start(Some(300), None, 300), 0);
        assert_eq!(start(Some(200), None, 300), 100);
        assert_eq!(start(Some(101), None, 300), 100);
        assert_eq!(start(Some(55), None, 300), 240);
        assert_eq!(start(Some(10), None, 1_000), 300);
    }

    #[test]
    fn by_size_at_least_the_bound_is_kept() {
        assert_eq!(start(None, Some(3_000), 0), 0);
        assert_eq!(start(None, Some(2_500), 0), 0);
        assert_eq!(start(None, Some(2_000), 0), 100);
        assert_eq!(start(None, Some(700), 0), 220);
    }

    #[test]
    fn a_jump_of_the_clock_back_keeps_everything() {
        assert_eq!(start(Some(1_000), None, -5_000), 0);
    }

    #[test]
    fn dead_and_small_volumes_are_put_together_within_bounds() {
        let v = |id, live, all| (VolumeId(id), live, all);
        assert_eq!(worth_copying(&[v(1, 90, 100), v(2, 50, 100)], 160), []);
        assert_eq!(
            worth_copying(&[v(1, 9, 9), v(2, 20, 100), v(3, 70, 100)], 160),
            [VolumeId(1), VolumeId(2)]
        );
        let small: Vec<_> = (0..8).map(|id| v(id, 5, 5)).collect();
        assert_eq!(worth_copying(&small[..7], 160), []);
        assert_eq!(worth_copying(&small, 160).len(), 8);
        assert_eq!(worth_copying(&[v(1, 60, 300), v(2, 60, 300)], 160), [VolumeId(1)]);
    }

    #[test]
    fn a_volume_is_copied_when_under_three_tenths_live() {
        assert!(mostly_dead(29, 100));
        assert!(!mostly_dead(30, 100));
    }
}
