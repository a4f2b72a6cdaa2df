//! What the owners of all groups share: the engine, the list of groups, and the
//! floor below which no new group's generations begin.

use super::{
    GroupConfig,
    handover::{Shape, Shapes},
    metrics::GroupMetrics,
    slot::{Message, Reply, Sent, Slot},
    state::{Event, Group, Now},
    store::{self, Change, Stored},
    task,
};
use crate::{
    domain::{Clock, Generation, GroupName},
    engine::{Engine, EngineError, GroupCommit, GroupError, StateTable},
    runtime::{Metrics, ShutdownToken, TaskKind, Tasks},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::oneshot, time::Instant};

/// What all groups share.
pub struct Hub {
    engine: Arc<dyn Engine>,
    pub(super) table: Arc<dyn StateTable>,
    clock: Clock,
    config: GroupConfig,
    groups: Mutex<BTreeMap<GroupName, Arc<Slot>>>,
    /// The highest generation of the groups that were deleted.
    floor: AtomicU64,
    /// Held while a group is deleted, so that the stored floor does not sink.
    deleting: tokio::sync::Mutex<()>,
    /// The last join's number.
    sessions: AtomicU64,
    tasks: Tasks,
    stop: ShutdownToken,
    pub(super) metrics: GroupMetrics,
}

impl Hub {
    /// Reads all groups from the table, and goes on with those that have
    /// members.
    pub fn open(
        engine: Arc<dyn Engine>,
        table: Arc<dyn StateTable>,
        clock: Clock,
        config: GroupConfig,
        metrics: &Metrics,
    ) -> Result<Arc<Hub>, EngineError> {
        let now = Now { at: Instant::now(), wall: clock() };
        let Stored { groups, floor } =
            store::load(table.list(store::SPACE, now.wall), config, now)?;
        let metrics = GroupMetrics::new(metrics);
        metrics.groups.set(groups.len() as i64);
        metrics.members.set(groups.values().map(|group| group.members.len() as i64).sum());
        let slots = groups.into_iter().map(|(name, group)| (name, Arc::new(Slot::new(group))));
        let hub = Arc::new(Hub {
            engine,
            table,
            clock,
            config,
            groups: Mutex::new(slots.collect()),
            floor: AtomicU64::new(floor.0),
            deleting: tokio::sync::Mutex::new(()),
            sessions: AtomicU64::new(0),
            tasks: Tasks::default(),
            stop: ShutdownToken::default(),
            metrics,
        });
        for slot in hub.slots() {
            if !slot.shown().members.is_empty() && slot.start() {
                hub.start(slot);
            }
        }
        Ok(hub)
    }

    /// The time.
    pub fn now(&self) -> Now {
        Now { at: Instant::now(), wall: (self.clock)() }
    }

    /// A number for a join, larger than all before it.
    pub fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The tasks of all groups.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Waits until all work is to end.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether all work is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends all work.
    pub async fn stop(&self, deadline: Instant) {
        self.stop.cancel();
        for slot in self.slots() {
            slot.changed.notify_waiters();
        }
        self.tasks.join(deadline).await;
    }

    /// The group, if there is one.
    pub fn slot(&self, name: &GroupName) -> Option<Arc<Slot>> {
        self.groups.lock().get(name).cloned()
    }

    /// The group, or a place for it.
    fn slot_or_new(&self, name: &GroupName) -> Result<Arc<Slot>, GroupError> {
        let mut groups = self.groups.lock();
        if let Some(slot) = groups.get(name) {
            return Ok(Arc::clone(slot));
        }
        if groups.len() >= self.config.max_groups {
            return Err(GroupError::GroupsFull(self.config.max_groups));
        }
        let floor = Generation(self.floor.load(Ordering::SeqCst));
        let slot = Arc::new(Slot::new(Group::new(name.clone(), self.config, floor)));
        groups.insert(name.clone(), Arc::clone(&slot));
        self.metrics.groups.set(groups.len() as i64);
        Ok(slot)
    }

    /// All groups in the order of their names.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.groups.lock().values().cloned().collect()
    }

    /// Whether the commit is of the topic that now has its name.
    pub fn counts(&self, commit: &GroupCommit) -> bool {
        self.engine.topic(&commit.topic).is_ok_and(|topic| topic.incarnation == commit.incarnation)
    }

    /// Whether the commit's topic is no more, which is not for a closed engine to
    /// say.
    pub fn is_dead(&self, commit: &GroupCommit) -> bool {
        match self.engine.topic(&commit.topic) {
            Ok(topic) => topic.incarnation != commit.incarnation,
            Err(error) => matches!(error, EngineError::TopicUnknown(_)),
        }
    }

    /// The topics that the group's members want or hold, as far as they exist;
    /// `None` if the engine cannot say now.
    pub fn shapes(&self, group: &Group) -> Option<Shapes> {
        let mut shapes = Shapes::new();
        for name in group.concerned() {
            match self.engine.topic(&name) {
                Ok(topic) => {
                    let (incarnation, partitions) = (topic.incarnation, topic.config.partitions);
                    shapes.insert(name, Shape { incarnation, partitions });
                }
                Err(EngineError::TopicUnknown(_)) => {}
                Err(_) => return None,
            }
        }
        Some(shapes)
    }

    /// Has the group's owner do something, and waits until it is durable. With
    /// `make`, there is a group then.
    pub async fn ask(
        self: &Arc<Self>,
        name: &GroupName,
        event: Event,
        make: bool,
    ) -> Result<(), GroupError> {
        let mut event = event;
        loop {
            if self.is_stopped() {
                return Err(GroupError::Engine(EngineError::Closed));
            }
            let slot = match self.slot(name) {
                Some(slot) => slot,
                None if make => self.slot_or_new(name)?,
                None => return Err(GroupError::GroupUnknown(name.clone())),
            };
            let (reply, answer) = oneshot::channel();
            match slot.send(Message { event, reply }) {
                Sent::Taken => {}
                Sent::Start => self.start(Arc::clone(&slot)),
                Sent::Gone(back) => {
                    // It is out of the list, or will be at once.
                    tokio::task::yield_now().await;
                    event = back.event;
                    continue;
                }
            }
            match answer.await {
                Ok(Reply::Done(result)) => return result,
                Ok(Reply::Again(back)) => event = back,
                Err(_) if self.is_stopped() => return Err(EngineError::Closed.into()),
                Err(_) => {
                    let why = "the group's task has ended".to_owned();
                    return Err(EngineError::OutcomeUnknown(why).into());
                }
            }
        }
    }

    /// Stores that a group is deleted.
    pub async fn put_deleted(
        &self,
        mut changes: Vec<Change>,
        generation: Generation,
    ) -> Result<(), EngineError> {
        let _one_by_one = self.deleting.lock().await;
        let floor = self.floor.load(Ordering::SeqCst).max(generation.0);
        changes.push(store::floor(Generation(floor)));
        self.table.put(changes).await?;
        self.floor.fetch_max(floor, Ordering::SeqCst);
        Ok(())
    }

    /// Takes a group that is none out of the list; says whether it was none.
    pub fn forget(&self, slot: &Arc<Slot>) -> bool {
        let mut groups = self.groups.lock();
        let gone = slot.close_if_gone();
        if gone {
            groups.remove(&slot.shown().name);
            self.metrics.groups.set(groups.len() as i64);
        }
        gone
    }

    fn start(self: &Arc<Self>, slot: Arc<Slot>) {
        let owner = task::own(Arc::clone(self), slot);
        self.tasks.spawn("group", TaskKind::Worker, owner);
    }
}
