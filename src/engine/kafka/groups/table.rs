//! What the parts share: the members that this gateway serves, and the steps
//! that several of them take.

use super::{
    directory::Directory, lease::Place, member::Member, numbers::Numbers, outside::Outside,
};
use crate::{
    domain::{GroupName, MemberId, PartitionId},
    engine::{
        EngineError, GroupError,
        kafka::{KafkaEngine, core::Core, naming},
    },
    runtime::{Metrics, Tasks, metrics::Counter},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// For how long a member is told that it has expired, rather than that it is
/// unknown.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Of how many that is remembered.
const MOST_REMEMBERED: usize = 10_000;

/// Everything that the coordinator has.
pub(super) struct Groups {
    pub engine: Arc<KafkaEngine>,
    /// How long a member may take to let go.
    pub grace: Duration,
    pub numbers: Numbers,
    pub directory: Arc<Directory>,
    pub outside: Outside,
    pub tasks: Tasks,
    /// Ends those that wait for their time.
    pub closing: Notify,
    pub rebalances: Counter,
    closed: AtomicBool,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    here: BTreeMap<(GroupName, MemberId), Arc<Member>>,
    expired: BTreeMap<(GroupName, MemberId), Instant>,
}

impl Groups {
    pub(super) fn new(engine: Arc<KafkaEngine>, grace: Duration, metrics: &Metrics) -> Arc<Groups> {
        let directory = Arc::new(Directory::new(Arc::clone(&engine)));
        let rebalances = metrics.counter(
            "tidegate_kafka_member_rebalances_total",
            "Changes of what members of this gateway hold in Kafka's groups.",
            &[],
        );
        let shown = metrics.gauge(
            "tidegate_kafka_members",
            "Members of Kafka's groups that this gateway keeps, each with a client of its own.",
            &[],
        );
        let groups = Arc::new(Groups {
            numbers: Numbers::new(Arc::clone(&engine), Arc::clone(&directory)),
            outside: Outside::new(Arc::clone(&engine.core)),
            directory,
            grace,
            tasks: Tasks::default(),
            closing: Notify::new(),
            rebalances,
            closed: AtomicBool::new(false),
            members: Mutex::default(),
            engine,
        });
        let counted = Arc::downgrade(&groups);
        metrics.before_render(move || {
            let Some(groups) = counted.upgrade() else { return };
            let members = groups.members.lock().here.len();
            shown.set(i64::try_from(members).unwrap_or(i64::MAX));
        });
        groups
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.engine.core
    }

    pub(super) fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::Acquire) { Err(EngineError::Closed) } else { Ok(()) }
    }

    /// From now on everything is refused; answers who is still here.
    pub(super) fn close(&self) -> Vec<Arc<Member>> {
        self.closed.store(true, Ordering::Release);
        self.members.lock().here.values().cloned().collect()
    }

    pub(super) fn here(&self, group: &GroupName, id: &MemberId) -> Option<Arc<Member>> {
        self.members.lock().here.get(&(group.clone(), id.clone())).cloned()
    }

    /// The members of a group that this gateway serves, in the order of ids.
    pub(super) fn of_group(&self, group: &GroupName) -> Vec<Arc<Member>> {
        let members = self.members.lock();
        members.here.values().filter(|member| member.group == *group).cloned().collect()
    }

    /// Whether one more would be too many.
    pub(super) fn check_room(&self) -> Result<(), GroupError> {
        let most = self.core().config.members_max;
        if self.members.lock().here.len() >= most {
            return Err(GroupError::MembersFull(most));
        }
        Ok(())
    }

    /// Adds a member; if one of that id is there, answers that one.
    pub(super) fn add(&self, member: Arc<Member>) -> Result<(), Arc<Member>> {
        let mut members = self.members.lock();
        let key = (member.group.clone(), member.id.clone());
        if let Some(there) = members.here.get(&key) {
            return Err(Arc::clone(there));
        }
        members.expired.remove(&key);
        members.here.insert(key, member);
        Ok(())
    }

    /// Takes a member out.
    pub(super) fn remove(&self, member: &Arc<Member>, expired: bool) {
        let key = (member.group.clone(), member.id.clone());
        let mut members = self.members.lock();
        if !members.here.get(&key).is_some_and(|there| Arc::ptr_eq(there, member)) {
            return;
        }
        members.here.remove(&key);
        if expired {
            members.expired.retain(|_, at| at.elapsed() < REMEMBERED);
            if members.expired.len() < MOST_REMEMBERED {
                members.expired.insert(key, Instant::now());
            }
        }
    }

    /// Whether a member that is not here was until it expired.
    pub(super) fn has_expired(&self, group: &GroupName, id: &MemberId) -> bool {
        let members = self.members.lock();
        let at = members.expired.get(&(group.clone(), id.clone()));
        at.is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// The group's name in the cluster.
    pub(super) fn raw(&self, group: &GroupName) -> String {
        format!("{}{group}", self.core().config.topic_prefix)
    }

    /// What a partition in the cluster is called here; `None` if it is of no
    /// topic of this gateway.
    pub(super) fn place(&self, (raw, id): &(String, i32)) -> Option<Place> {
        let topic = naming::served(&self.core().config.topic_prefix, raw)?;
        Some((topic, PartitionId(u32::try_from(*id).ok()?)))
    }
}
