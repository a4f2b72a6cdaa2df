//! Every topic of this gateway as it knows it now, in memory: what is answered
//! without waiting. Knows no client; others bring it up to date.

use super::recent::Recent;
use crate::{
    domain::{Epoch, EpochStart, Offset, PartitionId, PartitionView, TopicId, TopicName},
    engine::{EngineError, Topic},
};
use parking_lot::{Mutex, RwLock};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// What the library puts into one batch, bytes.
pub(super) const BATCH_BYTES: u32 = 1_000_000;
/// What it may be beyond that.
const BATCH_SLACK: u32 = 10_000;

/// One partition.
pub(super) struct Partition {
    pub id: PartitionId,
    shared: RwLock<Shared>,
    /// `None` once the topic is gone.
    tail: RwLock<Option<watch::Sender<Offset>>>,
    pub recent: Mutex<Recent>,
    /// Held while records are handed to the producer, so that those of an
    /// append stand next to each other.
    pub order: Mutex<()>,
    /// Held while an append is under way, where the log takes only batches that
    /// are smaller than those the library makes.
    pub alone: tokio::sync::Mutex<()>,
    /// Whether the shared reader has it, which then moves the tail.
    pub followed: AtomicBool,
}

/// What is remembered of a partition, beside its tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub start: Offset,
    pub trimmed_to: Offset,
    /// Oldest first, never empty.
    pub epochs: Vec<EpochStart>,
    /// The brokers that hold it in sync, the leader first; empty without one.
    pub in_sync: Vec<i32>,
    /// How many hold it at all.
    pub replicas: usize,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            start: Offset::ZERO,
            trimmed_to: Offset::ZERO,
            epochs: vec![EpochStart { epoch: Epoch(0), first: Offset::ZERO }],
            in_sync: vec![],
            replicas: 0,
        }
    }
}

/// One topic.
pub(super) struct TopicState {
    /// Its name in the cluster.
    pub raw: String,
    topic: RwLock<Arc<Topic>>,
    pub partitions: Vec<Partition>,
    gone: AtomicBool,
    /// Whether the log takes only small batches.
    small_batches: AtomicBool,
}

impl Partition {
    fn new(id: PartitionId, shared: Shared) -> Partition {
        Partition {
            id,
            shared: RwLock::new(shared),
            tail: RwLock::new(Some(watch::Sender::new(Offset::ZERO))),
            recent: Mutex::default(),
            order: Mutex::new(()),
            alone: tokio::sync::Mutex::new(()),
            followed: AtomicBool::new(false),
        }
    }

    pub(super) fn tail(&self) -> Offset {
        self.tail.read().as_ref().map_or(Offset::ZERO, |tail| *tail.borrow())
    }

    /// Moves the tail on; never back.
    pub(super) fn show(&self, to: Offset) {
        if let Some(tail) = &*self.tail.read() {
            tail.send_if_modified(|tail| {
                let moves = to > *tail;
                *tail = to.max(*tail);
                moves
            });
        }
    }

    /// The records from `to` on are lost: what is written there is of a new
    /// epoch, and the tail goes back.
    pub(super) fn truncate(&self, to: Offset) {
        {
            let mut shared = self.shared.write();
            let epoch = shared.epochs.last().map_or(Epoch(0), |last| last.epoch).next();
            shared.epochs.retain(|start| start.first < to);
            shared.epochs.push(EpochStart { epoch, first: to });
            shared.start = shared.start.min(to);
        }
        self.recent.lock().clear();
        if let Some(tail) = &*self.tail.read() {
            tail.send_replace(to);
        }
    }

    /// Takes in what another gateway kept of this partition: how far it was
    /// trimmed, and where records were lost. Of the same epoch noted twice, the
    /// one that begins first counts, so that all come to the same.
    pub(super) fn learn(&self, trimmed_to: Offset, epochs: &[EpochStart]) {
        let lost = {
            let mut shared = self.shared.write();
            shared.trimmed_to = shared.trimmed_to.max(trimmed_to);
            let (Some(theirs), Some(ours)) = (epochs.last(), shared.epochs.last()) else { return };
            let news = (theirs.epoch, Reverse(theirs.first)) > (ours.epoch, Reverse(ours.first));
            let later = theirs.epoch > ours.epoch;
            let first = theirs.first;
            if news {
                shared.start = shared.start.min(first);
                shared.epochs = epochs.to_vec();
            }
            // Readers of the same epoch may have gone on beyond its beginning.
            later.then_some(first)
        };
        if let Some(to) = lost {
            self.recent.lock().clear();
            if let Some(tail) = &*self.tail.read() {
                tail.send_if_modified(|tail| std::mem::replace(tail, to.min(*tail)) > to);
            }
        }
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.read().clone()
    }

    pub(super) fn start(&self) -> Offset {
        self.shared.read().start
    }

    /// The broker that takes its records, if there is one.
    pub(super) fn leader(&self) -> Option<i32> {
        self.shared.read().in_sync.first().copied()
    }

    pub(super) fn epoch_of(&self, offset: Offset) -> Epoch {
        self.view().epoch_of(offset)
    }

    pub(super) fn with_shared<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.shared.write())
    }

    /// The start is at least here.
    pub(super) fn raise_start(&self, to: Offset) {
        let mut shared = self.shared.write();
        shared.start = shared.start.max(to);
    }

    /// How many wait for the tail.
    pub(super) fn followers(&self) -> usize {
        self.tail.read().as_ref().map_or(0, watch::Sender::receiver_count)
    }

    pub(super) fn watch(&self, topic: &TopicName) -> Result<watch::Receiver<Offset>, EngineError> {
        let tail = self.tail.read();
        let tail = tail.as_ref().ok_or_else(|| EngineError::TopicUnknown(topic.clone()))?;
        Ok(tail.subscribe())
    }

    pub(super) fn view(&self) -> PartitionView {
        let tail = self.tail();
        let shared = self.shared.read();
        PartitionView {
            start: shared.start,
            // A start that was learnt later is no further than the tail.
            tail: tail.max(shared.start),
            trimmed_to: shared.trimmed_to,
            epochs: shared.epochs.clone(),
            bytes: 0,
        }
    }
}

impl TopicState {
    /// A topic with its partitions as remembered, in order.
    pub(super) fn new(raw: String, topic: Topic, partitions: Vec<Shared>) -> TopicState {
        let of = |(id, shared)| Partition::new(PartitionId(id), shared);
        let partitions = (0u32..).zip(partitions).map(of).collect();
        let topic = RwLock::new(Arc::new(topic));
        TopicState {
            raw,
            topic,
            partitions,
            gone: AtomicBool::new(false),
            small_batches: AtomicBool::new(false),
        }
    }

    /// Another program may have set how large a batch may be.
    pub(super) fn set_batch_limit(&self, bytes: Option<u32>) {
        let small = bytes.is_some_and(|bytes| bytes < BATCH_BYTES + BATCH_SLACK);
        self.small_batches.store(small, Ordering::Release);
    }

    pub(super) fn takes_small_batches_alone(&self) -> bool {
        self.small_batches.load(Ordering::Acquire)
    }

    pub(super) fn topic(&self) -> Arc<Topic> {
        Arc::clone(&self.topic.read())
    }

    pub(super) fn set_topic(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        *self.topic.write() = Arc::clone(&topic);
        topic
    }

    pub(super) fn partition(&self, id: PartitionId) -> Result<&Partition, EngineError> {
        self.partitions.get(id.index()).ok_or_else(|| EngineError::PartitionUnknown {
            topic: self.topic().name.clone(),
            partition: id,
        })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Ends every watch.
    fn end(&self) {
        self.gone.store(true, Ordering::Release);
        for partition in &self.partitions {
            *partition.tail.write() = None;
            partition.recent.lock().clear();
        }
    }
}

/// All topics, by name.
#[derive(Default)]
pub(super) struct Catalog {
    topics: RwLock<BTreeMap<TopicName, Arc<TopicState>>>,
    closed: AtomicBool,
}

impl Catalog {
    pub(super) fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::Acquire) { Err(EngineError::Closed) } else { Ok(()) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// From now on everything is refused.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Ends every watch, once nothing more is answered.
    pub(super) fn end(&self) {
        std::mem::take(&mut *self.topics.write()).values().for_each(|topic| topic.end());
    }

    pub(super) fn named(&self, name: &TopicName) -> Result<Arc<TopicState>, EngineError> {
        self.check_open()?;
        let topics = self.topics.read();
        topics.get(name).cloned().ok_or_else(|| EngineError::TopicUnknown(name.clone()))
    }

    /// The topic itself, not another one that has its name by now.
    pub(super) fn find(&self, topic: &Topic) -> Result<Arc<TopicState>, EngineError> {
        let found = self.named(&topic.name)?;
        if found.topic().incarnation == topic.incarnation {
            return Ok(found);
        }
        Err(EngineError::TopicUnknown(topic.name.clone()))
    }

    pub(super) fn all(&self) -> Vec<Arc<TopicState>> {
        self.topics.read().values().cloned().collect()
    }

    /// Adds a topic, unless it is there; another of its name that was there
    /// before ends. Its id is made to differ from those of all others.
    pub(super) fn add(&self, raw: String, mut topic: Topic, parts: Vec<Shared>) -> Arc<TopicState> {
        let mut topics = self.topics.write();
        if let Some(there) = topics.get(&topic.name)
            && there.topic().incarnation == topic.incarnation
            && there.partitions.len() == parts.len()
        {
            return Arc::clone(there);
        }
        let taken = |id: TopicId| {
            topics.values().map(|t| t.topic()).any(|t| t.id == id && t.name != topic.name)
        };
        let mut id = topic.id;
        while taken(id) {
            id = TopicId(id.0.wrapping_add(1));
        }
        topic.id = id;
        let state = Arc::new(TopicState::new(raw, topic, parts));
        if let Some(before) = topics.insert(state.topic().name.clone(), Arc::clone(&state)) {
            before.end();
        }
        state
    }

    /// Takes a topic out, if it is still the one of that name.
    pub(super) fn remove(&self, state: &Arc<TopicState>) -> bool {
        let name = state.topic().name.clone();
        let mut topics = self.topics.write();
        let same = topics.get(&name).is_some_and(|there| Arc::ptr_eq(there, state));
        if same {
            topics.remove(&name);
        }
        drop(topics);
        state.end();
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Incarnation, Position, Timestamp, TopicConfig};

    fn topic(name: &str, n: u64) -> Topic {
        Topic {
            name: TopicName::new(name).unwrap(),
            id: TopicId(7),
            incarnation: Incarnation(n),
            config: TopicConfig::default(),
            created: Timestamp::EPOCH,
        }
    }

    fn added(catalog: &Catalog, name: &str, n: u64) -> Arc<TopicState> {
        catalog.add(name.to_owned(), topic(name, n), vec![Shared::default()])
    }

    #[test]
    fn ids_differ_and_a_topic_made_again_ends_the_one_before() {
        let catalog = Catalog::default();
        let (a, b) = (added(&catalog, "a", 1), added(&catalog, "b", 2));
        assert_ne!(a.topic().id, b.topic().id);
        let watch = a.partitions[0].watch(&a.topic().name).unwrap();
        let again = added(&catalog, "a", 3);
        assert!(watch.has_changed().is_err() && a.is_gone());
        assert!(catalog.find(&a.topic()).is_err());
        assert!(!catalog.remove(&a) && catalog.find(&again.topic()).is_ok());
    }

    #[test]
    fn what_another_gateway_noted_is_learnt_once_and_the_same_everywhere() {
        let catalog = Catalog::default();
        let state = added(&catalog, "a", 1);
        let partition = &state.partitions[0];
        partition.show(Offset(9));
        let epochs = |first| {
            let begun = EpochStart { epoch: Epoch(0), first: Offset::ZERO };
            [begun, EpochStart { epoch: Epoch(1), first: Offset(first) }]
        };
        partition.learn(Offset(2), &epochs(5));
        let view = partition.view();
        assert_eq!((view.tail, view.epoch(), view.trimmed_to), (Offset(5), Epoch(1), Offset(2)));
        partition.show(Offset(8));
        partition.learn(Offset(1), &epochs(5));
        partition.learn(Offset(1), &epochs(6));
        assert_eq!(
            (partition.view().tail, partition.shared().epochs),
            (Offset(8), epochs(5).to_vec())
        );
        partition.learn(Offset(1), &epochs(4));
        assert_eq!(
            (partition.view().tail, partition.shared().epochs),
            (Offset(8), epochs(4).to_vec())
        );
    }

    #[test]
    fn a_tail_goes_back_only_with_a_new_epoch() {
        let catalog = Catalog::default();
        let state = added(&catalog, "a", 1);
        let partition = &state.partitions[0];
        partition.show(Offset(9));
        partition.show(Offset(4));
        assert_eq!(partition.tail(), Offset(9));
        let before = partition.view().position(Offset(8));
        partition.truncate(Offset(5));
        let view = partition.view();
        assert_eq!((view.tail, view.epoch()), (Offset(5), Epoch(1)));
        let resumed = view.resume(before).unwrap();
        assert_eq!(resumed.at, Position { epoch: Epoch(1), next: Offset(5) });
        assert!(resumed.lost.is_some());
    }
}
