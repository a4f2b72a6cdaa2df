//! The topics and partitions in memory: what readers see, and what the writer
//! needs to go on.

use super::{
    fence::Fencing,
    keyed::Postings,
    keys::Place,
    recent::Recent,
    value::Packing,
    volume::{Extent, IndexEntry, VolumeId},
};
use crate::{
    domain::{
        Epoch, EpochStart, Offset, PartitionId, PartitionView, RecordBatch, Timestamp, TopicId,
        TopicName,
    },
    engine::{EngineError, Topic},
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::watch;

/// Every topic, by name and by id.
#[derive(Default)]
pub(super) struct Catalog {
    by_name: RwLock<BTreeMap<TopicName, Arc<TopicState>>>,
    by_id: RwLock<HashMap<TopicId, Arc<TopicState>>>,
}

/// A topic and its partitions.
pub(super) struct TopicState {
    pub(super) topic: RwLock<Arc<Topic>>,
    pub(super) partitions: Vec<Partition>,
}

/// A partition.
pub(super) struct Partition {
    pub(super) place: Place,
    pub(super) shared: RwLock<Shared>,
    pub(super) tail: watch::Sender<Offset>,
    /// What would survive a power cut ends here.
    pub(super) synced: AtomicU64,
    /// The writer's own; nobody waits for this lock.
    pub(super) head: Mutex<WriteHead>,
    pub(super) recent: Mutex<Recent>,
    /// Of a `keyed` topic, else none.
    pub(super) postings: Mutex<Postings>,
}

/// What readers may see.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) start: Offset,
    pub(super) trimmed_to: Offset,
    /// What is visible ends here.
    pub(super) tail: Offset,
    pub(super) epochs: Vec<EpochStart>,
    /// Parts in volumes that take no more writes, in order of offsets.
    pub(super) extents: Vec<Extent>,
    /// The part in the volume that takes writes.
    pub(super) active: ActivePart,
}

/// A partition's part in the active volume.
#[derive(Clone, Debug)]
pub(super) struct ActivePart {
    /// Empty while `end == first`.
    pub(super) extent: Extent,
    pub(super) index: Vec<IndexEntry>,
}

/// Where the writer goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct WriteHead {
    pub(super) next: Offset,
    /// Append times never go back within a partition.
    pub(super) last_append: Timestamp,
    /// Bytes since the last entry of the time index.
    pub(super) since_index: u64,
    /// The newest small values, to be merged behind.
    pub(super) small: Vec<RecordBatch>,
    pub(super) fencing: Fencing,
    pub(super) packing: Packing,
}

impl ActivePart {
    pub(super) fn empty(volume: VolumeId, at: Offset) -> ActivePart {
        let extent = Extent {
            volume,
            first: at,
            end: at,
            bytes: 0,
            newest: Timestamp::MIN,
            first_append: Timestamp::MIN,
            last_append: Timestamp::MIN,
        };
        ActivePart { extent, index: vec![] }
    }

    /// Whether nothing was written to it.
    pub(super) fn is_empty(&self) -> bool {
        self.extent.first == self.extent.end
    }

    /// Takes in a batch that was appended.
    pub(super) fn grow(&mut self, batch: &RecordBatch, newest: Timestamp) {
        if self.is_empty() {
            self.extent.first = batch.base;
            self.extent.first_append = batch.appended;
        }
        self.extent.end = batch.end();
        self.extent.bytes += batch.body.len() as u64;
        self.extent.newest = self.extent.newest.max(newest);
        self.extent.last_append = batch.appended;
    }
}

impl Shared {
    pub(super) fn new(volume: VolumeId) -> Shared {
        Shared {
            start: Offset::ZERO,
            trimmed_to: Offset::ZERO,
            tail: Offset::ZERO,
            epochs: vec![EpochStart { epoch: Epoch(0), first: Offset::ZERO }],
            extents: vec![],
            active: ActivePart::empty(volume, Offset::ZERO),
        }
    }

    pub(super) fn view(&self) -> PartitionView {
        let sealed: u64 = self.extents.iter().map(|e| e.live_bytes(self.start)).sum();
        PartitionView {
            start: self.start,
            tail: self.tail,
            trimmed_to: self.trimmed_to,
            epochs: self.epochs.clone(),
            bytes: sealed + self.active.extent.live_bytes(self.start),
        }
    }

    /// Which part holds `offset`, or the first one behind it.
    pub(super) fn extent_at(&self, offset: Offset) -> Option<Extent> {
        let at = self.extents.partition_point(|e| e.end <= offset);
        let active = (!self.active.is_empty()).then_some(self.active.extent);
        self.extents.get(at).copied().or(active).filter(|e| e.end > offset)
    }

    /// Every part, in order of offsets.
    pub(super) fn all_extents(&self) -> impl Iterator<Item = Extent> {
        let active = (!self.active.is_empty()).then_some(self.active.extent);
        self.extents.iter().copied().chain(active)
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(Epoch(0), |e| e.epoch)
    }

    /// The active volume takes no more writes; `next` does from now on.
    pub(super) fn roll(&mut self, next: VolumeId) {
        if !self.active.is_empty() {
            self.extents.push(self.active.extent);
        }
        self.active = ActivePart::empty(next, self.active.extent.end);
    }
}

impl Partition {
    pub(super) fn new(place: Place, shared: Shared, head: WriteHead) -> Partition {
        let tail = watch::Sender::new(shared.tail);
        let synced = AtomicU64::new(shared.tail.0);
        Partition {
            place,
            shared: RwLock::new(shared),
            tail,
            synced,
            head: Mutex::new(head),
            recent: Mutex::default(),
            postings: Mutex::default(),
        }
    }

    /// Makes everything before `tail` visible.
    pub(super) fn show(&self, tail: Offset) {
        self.shared.write().tail = tail;
        self.tail.send_replace(tail);
    }
}

impl TopicState {
    /// A topic that was just made.
    pub(super) fn new(topic: Topic, active: VolumeId) -> TopicState {
        let partition = |partition| {
            let place = Place { topic: topic.id, partition };
            Partition::new(place, Shared::new(active), WriteHead::default())
        };
        let partitions = topic.config.partitions.ids().map(partition).collect();
        TopicState { partitions, topic: RwLock::new(Arc::new(topic)) }
    }

    pub(super) fn topic(&self) -> Arc<Topic> {
        self.topic.read().clone()
    }

    pub(super) fn partition(&self, partition: PartitionId) -> Result<&Partition, EngineError> {
        self.partitions.get(partition.index()).ok_or_else(|| EngineError::PartitionUnknown {
            topic: self.topic().name.clone(),
            partition,
        })
    }
}

impl Catalog {
    pub(super) fn insert(&self, state: Arc<TopicState>) {
        let topic = state.topic();
        self.by_id.write().insert(topic.id, state.clone());
        self.by_name.write().insert(topic.name.clone(), state);
    }

    pub(super) fn remove(&self, topic: &Topic) {
        self.by_id.write().remove(&topic.id);
        self.by_name.write().remove(&topic.name);
    }

    pub(super) fn by_name(&self, name: &TopicName) -> Option<Arc<TopicState>> {
        self.by_name.read().get(name).cloned()
    }

    /// The topic that `topic` was, unless it was deleted since.
    pub(super) fn find(&self, topic: &Topic) -> Result<Arc<TopicState>, EngineError> {
        let found = self.by_id.read().get(&topic.id).cloned();
        found.ok_or_else(|| EngineError::TopicUnknown(topic.name.clone()))
    }

    /// Every topic in the order of names.
    pub(super) fn all(&self) -> Vec<Arc<TopicState>> {
        self.by_name.read().values().cloned().collect()
    }
}
