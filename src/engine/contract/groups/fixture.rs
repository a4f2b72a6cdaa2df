//! What a coordinator brings to the suite ([`GroupHarness`]), and what the
//! suite makes of it ([`Site`]).

use crate::{
    domain::{
        Generation, GroupName, MemberId, Offset, PartitionId, Principal, StartPolicy, TopicName,
    },
    engine::{
        Assignment, Committer, Coordinator, Engine, GroupCommit, GroupError, GroupState,
        JoinRequest, Lease, MemberRef,
        contract::{
            Harness, Log,
            fixture::{name, soon},
        },
    },
};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

/// How a coordinator takes part in the suite.
pub trait GroupHarness: Harness {
    /// The coordinator over a running engine, with [`GroupHarness::grace`].
    fn coordinate(&self, engine: &Arc<Self::E>) -> impl Future<Output = Arc<dyn Coordinator>>;

    /// How long a member has to let go of what is being revoked: seconds.
    fn grace(&self) -> Duration;

    /// Whether members live through a restart, as only a coordinator does that
    /// stores them itself.
    fn keeps_members(&self) -> bool {
        true
    }

    /// A session that a test can wait for the end of.
    fn short_session(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// A running coordinator and its engine.
pub struct Site<H: GroupHarness> {
    /// The engine.
    pub log: Log<H>,
    /// `None` only while it restarts.
    coordinator: Option<Arc<dyn Coordinator>>,
}

/// The group of most tests.
pub fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

/// A member of it, known by its id.
pub fn caller(member: &str) -> MemberRef {
    let (member, principal) = (MemberId::new(member).unwrap(), Principal::ANYONE);
    MemberRef { group: group(), member, principal, session: None }
}

/// Partitions as `topic/number`, in order.
pub fn short(all: &Assignment) -> Vec<String> {
    all.iter().flat_map(|(topic, of)| of.iter().map(move |p| format!("{topic}/{p}"))).collect()
}

/// A request with the usual values.
pub fn request(member: &str, topics: &[&str]) -> JoinRequest {
    JoinRequest {
        group: group(),
        member: Some(MemberId::new(member).unwrap()),
        principal: Principal::ANYONE,
        topics: topics.iter().map(|topic| name(topic)).collect(),
        session_timeout: Duration::from_secs(30),
        from: StartPolicy::Earliest,
        takes_over: false,
    }
}

impl<H: GroupHarness> Site<H> {
    /// Starts an engine, and a coordinator over it.
    pub async fn start(harness: H) -> Site<H> {
        let log = Log::start(harness).await;
        let coordinator = Some(log.harness().coordinate(log.engine()).await);
        Site { log, coordinator }
    }

    /// The coordinator.
    pub fn groups(&self) -> &dyn Coordinator {
        self.coordinator.as_deref().expect("the coordinator runs")
    }

    /// Ends both.
    pub async fn close(&self) {
        self.groups().close().await;
        Engine::close(&**self.log.engine()).await;
    }

    /// Ends both and starts them again; of an engine that forgets, the
    /// coordinator alone.
    pub async fn restart(&mut self) {
        self.groups().close().await;
        self.coordinator = None;
        if self.log.promises().durable {
            assert!(self.log.restart().await);
        }
        self.coordinator = Some(self.log.harness().coordinate(self.log.engine()).await);
    }

    /// Joins with the usual values.
    pub async fn join(&self, member: &str, topics: &[&str]) -> Lease {
        soon("a join", self.groups().join(request(member, topics))).await.unwrap()
    }

    /// Renews a member's session.
    pub async fn renew(&self, member: &str) -> Result<Lease, GroupError> {
        soon("a renewal", self.groups().renew(&caller(member))).await
    }

    /// A member leaves.
    pub async fn leave(&self, member: &str) {
        soon("leaving", self.groups().leave(&caller(member))).await.unwrap();
    }

    /// Waits, as a living member does, until its lease is as wanted.
    pub async fn until(&self, member: &str, what: &str, ready: impl Fn(&Lease) -> bool) -> Lease {
        let waiting = async {
            let mut lease = self.renew(member).await.unwrap();
            while !ready(&lease) {
                let (who, seen) = (caller(member), lease.version);
                let changed = self.groups().changed(&who, seen);
                lease = match tokio::time::timeout(Duration::from_millis(300), changed).await {
                    Ok(changed) => changed.unwrap(),
                    Err(_) => self.renew(member).await.unwrap(),
                };
            }
            lease
        };
        soon(what, waiting).await
    }

    /// All members let go of what they are to, until the group is stable and
    /// so many partitions are held, each by one. Who holds what.
    pub async fn settled(
        &self,
        members: &[&str],
        partitions: usize,
    ) -> BTreeMap<String, Vec<String>> {
        let settling = async {
            loop {
                for member in members {
                    let lease = self.renew(member).await.unwrap();
                    if !lease.revoking.is_empty() {
                        let who = caller(member);
                        self.groups().release(&who, &lease.revoking).await.unwrap();
                    }
                }
                let found = self.groups().describe(&group()).await.unwrap();
                let held: BTreeMap<_, _> = found
                    .members
                    .iter()
                    .map(|m| (m.lease.member.to_string(), short(&m.lease.assignment)))
                    .collect();
                let count: usize = held.values().map(Vec::len).sum();
                let letting_go = found.members.iter().any(|m| !m.lease.revoking.is_empty());
                if found.state == GroupState::Stable && count == partitions && !letting_go {
                    let mut all: Vec<_> = held.values().flatten().collect();
                    all.sort();
                    all.dedup();
                    assert_eq!(all.len(), partitions, "a partition has two owners: {held:?}");
                    return held;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("the group to be stable", settling).await
    }

    /// What a committer says of a place in epoch 0 of a topic that exists.
    pub fn place(&self, topic: &str, partition: u32, next: u64) -> GroupCommit {
        let topic = self.log.topic(&name(topic)).unwrap();
        let partition = PartitionId(partition);
        let view = self.log.view(&topic, partition);
        GroupCommit {
            topic: topic.name.clone(),
            incarnation: topic.incarnation,
            partition,
            position: view.position(Offset(next)),
            metadata: None,
        }
    }

    /// A member commits.
    pub async fn commit(
        &self,
        member: &str,
        generation: Generation,
        commits: Vec<GroupCommit>,
    ) -> Result<(), GroupError> {
        let by = Committer::Member(caller(member), generation);
        soon("a commit", self.groups().commit(&group(), by, commits)).await
    }

    /// Somebody commits who is no member.
    pub async fn outside(&self, commits: Vec<GroupCommit>) -> Result<(), GroupError> {
        soon("a commit", self.groups().commit(&group(), Committer::Outsider, commits)).await
    }

    /// What was committed of a topic, as (partition, next offset).
    pub async fn committed(&self, topic: &str) -> Vec<(u32, u64)> {
        let found = self.commits_of(topic).await;
        found.iter().map(|c| (c.partition.0, c.position.next.0)).collect()
    }

    /// What was committed of a topic.
    pub async fn commits_of(&self, of: &str) -> Vec<GroupCommit> {
        let topic: TopicName = name(of);
        let Ok(known) = self.log.topic(&topic) else { return vec![] };
        let of = Assignment::from([(topic, known.config.partitions.ids().collect())]);
        soon("the commits", self.groups().committed(&group(), &of)).await.unwrap()
    }
}
