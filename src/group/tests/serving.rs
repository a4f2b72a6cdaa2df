//! Groups over an engine: what callers see, and when.

use crate::{
    domain::{
        Epoch, Generation, GroupName, MemberId, Offset, PartitionCount, PartitionId, Position,
        Principal, StartPolicy, Timestamp, TopicConfig, TopicName,
    },
    engine::{
        Assignment, Committer, Coordinator, Engine, EngineError, GroupCommit, GroupError,
        JoinRequest, Lease, MemberRef, StateEntry, StateKey, StateTable, contract::TestTime,
        memory::MemoryEngine,
    },
    group::{GroupConfig, Groups},
    runtime::Metrics,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const SESSION: Duration = Duration::from_secs(10);

struct Site {
    engine: Arc<MemoryEngine>,
    time: TestTime,
    groups: Arc<Groups>,
}

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

fn orders() -> TopicName {
    TopicName::new("orders").unwrap()
}

fn caller(member: &str) -> MemberRef {
    let (member, principal) = (MemberId::new(member).unwrap(), Principal::ANYONE);
    MemberRef { group: group(), member, principal, session: None }
}

fn partitions(all: &Assignment) -> Vec<u32> {
    all.values().flatten().map(|p| p.0).collect()
}

fn request(member: &str) -> JoinRequest {
    JoinRequest {
        group: group(),
        member: Some(MemberId::new(member).unwrap()),
        principal: Principal::ANYONE,
        topics: BTreeSet::from([orders()]),
        session_timeout: SESSION,
        from: StartPolicy::Earliest,
        takes_over: false,
    }
}

impl Site {
    async fn start(count: u32) -> Site {
        let time = TestTime::default();
        let engine = Arc::new(MemoryEngine::new(time.clock()));
        let config = TopicConfig { partitions: PartitionCount(count), ..TopicConfig::default() };
        engine.create_topic(&orders(), &config).await.unwrap();
        let groups = open(&engine, &time).await;
        Site { engine, time, groups }
    }

    async fn restart(&mut self) {
        self.groups.close().await;
        self.groups = open(&self.engine, &self.time).await;
    }

    async fn join(&self, member: &str) -> Lease {
        self.groups.join(request(member)).await.unwrap()
    }

    fn commit(&self, partition: u32, next: u64) -> GroupCommit {
        let incarnation = self.engine.topic(&orders()).unwrap().incarnation;
        let position = Position { epoch: Epoch(0), next: Offset(next) };
        let partition = PartitionId(partition);
        GroupCommit { topic: orders(), incarnation, partition, position, metadata: None }
    }

    async fn member_commits(
        &self,
        member: &str,
        generation: Generation,
        commits: Vec<GroupCommit>,
    ) -> Result<(), GroupError> {
        let by = Committer::Member(caller(member), generation);
        self.groups.commit(&group(), by, commits).await
    }

    async fn committed(&self) -> Vec<(u32, u64)> {
        let all = (0..8).map(PartitionId).collect();
        let of = Assignment::from([(orders(), all)]);
        let found = self.groups.committed(&group(), &of).await.unwrap();
        found.iter().map(|c| (c.partition.0, c.position.next.0)).collect()
    }
}

async fn open(engine: &Arc<MemoryEngine>, time: &TestTime) -> Arc<Groups> {
    let metrics = Metrics::default();
    Groups::open(engine.clone(), engine.clone(), time.clock(), GroupConfig::default(), &metrics)
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_partition_moves_once_it_is_released() {
    let site = Site::start(4).await;
    let a = site.join("a").await;
    assert_eq!(partitions(&a.assignment), [0, 1, 2, 3]);
    let b = site.join("b").await;
    assert!(b.assignment.is_empty() && b.generation > a.generation);
    let told = site.groups.changed(&caller("a"), a.version).await.unwrap();
    assert_eq!(
        (partitions(&told.assignment), partitions(&told.revoking)),
        (vec![0, 1], vec![2, 3])
    );
    assert!(told.grace > Duration::from_secs(29));
    site.member_commits("a", a.generation, vec![site.commit(2, 7), site.commit(0, 1)])
        .await
        .unwrap();
    let after = site.groups.release(&caller("a"), &told.revoking).await.unwrap();
    assert_eq!(partitions(&after.assignment), [0, 1]);
    let got = site.groups.changed(&caller("b"), b.version).await.unwrap();
    assert_eq!(partitions(&got.assignment), [2, 3]);
    assert_eq!(site.committed().await, [(0, 1), (2, 7)]);
    let late = site.member_commits("a", a.generation, vec![site.commit(2, 8)]).await;
    assert!(matches!(late, Err(GroupError::Fenced(_))), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_given_up_after_its_timeout_and_told_so() {
    let site = Site::start(4).await;
    site.join("a").await;
    let b = site.join("b").await;
    // b lives while it is heard from; a is silent.
    for _ in 0..4 {
        tokio::time::sleep(SESSION / 3).await;
        site.groups.renew(&caller("b")).await.unwrap();
    }
    let b = site.groups.changed(&caller("b"), b.version).await.unwrap();
    assert_eq!(partitions(&b.assignment), [0, 1, 2, 3]);
    let gone = site.groups.renew(&caller("a")).await;
    assert!(matches!(gone, Err(GroupError::MemberExpired { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn members_and_commits_survive_a_restart_without_a_rebalance() {
    let mut site = Site::start(4).await;
    let a = site.join("a").await;
    site.member_commits("a", a.generation, vec![site.commit(3, 5)]).await.unwrap();
    site.restart().await;
    let after = site.groups.renew(&caller("a")).await.unwrap();
    assert_eq!((&after.assignment, after.generation), (&a.assignment, a.generation));
    assert_eq!(site.committed().await, [(3, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_group_leaves_nothing_but_its_generations() {
    let mut site = Site::start(4).await;
    let a = site.join("a").await;
    site.member_commits("a", a.generation, vec![site.commit(3, 5)]).await.unwrap();
    assert_eq!(site.groups.delete(&group()).await, Err(GroupError::NotEmpty(group())));
    site.groups.leave(&caller("a")).await.unwrap();
    site.groups.delete(&group()).await.unwrap();
    assert_eq!(site.groups.list().await.unwrap(), []);
    site.restart().await;
    let again = site.join("a").await;
    assert!(again.generation > a.generation);
    assert_eq!(site.committed().await, []);
}

/// A table that fails when it is told to: it made the change, and says that it
/// does not know.
struct Shaky {
    inner: Arc<MemoryEngine>,
    fails: AtomicBool,
}

#[async_trait]
impl StateTable for Shaky {
    fn get(&self, key: &StateKey, now: Timestamp) -> Option<StateEntry> {
        self.inner.get(key, now)
    }

    fn list(&self, space: &'static str, now: Timestamp) -> Vec<(Bytes, StateEntry)> {
        self.inner.list(space, now)
    }

    async fn put(&self, changes: Vec<(StateKey, Option<StateEntry>)>) -> Result<(), EngineError> {
        self.inner.put(changes).await?;
        if self.fails.load(Ordering::SeqCst) {
            return Err(EngineError::OutcomeUnknown("told to".to_owned()));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_stored_for_sure_is_not_seen_and_is_put_right() {
    let mut site = Site::start(4).await;
    let shaky = Arc::new(Shaky { inner: site.engine.clone(), fails: AtomicBool::new(false) });
    let metrics = Metrics::default();
    let (clock, config) = (site.time.clock(), GroupConfig::default());
    site.groups =
        Groups::open(site.engine.clone(), shaky.clone(), clock, config, &metrics).await.unwrap();
    let a = site.join("a").await;
    shaky.fails.store(true, Ordering::SeqCst);
    let unknown = GroupError::Engine(EngineError::OutcomeUnknown("told to".to_owned()));
    assert_eq!(site.groups.join(request("b")).await, Err(unknown.clone()));
    let lost = site.member_commits("a", a.generation, vec![site.commit(0, 5)]).await;
    assert_eq!(lost, Err(unknown));
    // Refusals are as they were.
    let refused = site.groups.leave(&caller("nobody")).await;
    assert!(matches!(refused, Err(GroupError::MemberUnknown { .. })), "{refused:?}");
    assert_eq!(site.groups.renew(&caller("a")).await.unwrap(), a);
    assert_eq!(site.committed().await, []);
    shaky.fails.store(false, Ordering::SeqCst);
    site.member_commits("a", a.generation, vec![site.commit(1, 3)]).await.unwrap();
    // What the failed puts left in the table is not there after a restart.
    site.restart().await;
    assert_eq!(site.committed().await, [(1, 3)]);
    let described = site.groups.describe(&group()).await.unwrap();
    assert_eq!(described.members.len(), 1);
    assert_eq!(site.groups.renew(&caller("a")).await.unwrap().assignment, a.assignment);
}

#[tokio::test(start_paused = true)]
async fn five_hundred_that_join_at_once_make_few_generations() {
    let site = Site::start(64).await;
    let names: Vec<String> = (0..500).map(|n| format!("m{n}")).collect();
    let joins = names.iter().map(|name| site.join(name));
    let begun = tokio::time::Instant::now();
    futures_util::future::join_all(joins).await;
    let described = site.groups.describe(&group()).await.unwrap();
    assert_eq!(described.members.len(), 500);
    let owned: usize =
        described.members.iter().map(|m| partitions(&m.lease.assignment).len()).sum();
    assert_eq!(owned, 64);
    assert!(described.generation.0 <= 3, "{}", described.generation);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn groups_that_only_remember_have_no_task() {
    let mut site = Site::start(1).await;
    let all: Vec<GroupName> =
        (0..10_000).map(|n| GroupName::new(format!("g{n}")).unwrap()).collect();
    let commits = all
        .iter()
        .map(|group| site.groups.commit(group, Committer::Outsider, vec![site.commit(0, 1)]));
    for done in futures_util::future::join_all(commits).await {
        done.unwrap();
    }
    let full = site.groups.reset(&group(), vec![]).await;
    assert_eq!(full, Err(GroupError::GroupsFull(10_000)));
    site.restart().await;
    assert_eq!(site.groups.list().await.unwrap().len(), 10_000);
    // The keeper's.
    assert_eq!(site.groups.hub.tasks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_nobody_is_in_is_forgotten_in_time() {
    let site = Site::start(1).await;
    let generation = site.join("a").await.generation;
    site.member_commits("a", generation, vec![site.commit(0, 1)]).await.unwrap();
    site.groups.leave(&caller("a")).await.unwrap();
    let kept = GroupConfig::default().retention;
    site.time.advance(kept - Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(site.committed().await, [(0, 1)]);
    site.time.advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(site.groups.list().await.unwrap(), []);
    assert!(site.join("a").await.generation > generation);
}

#[tokio::test(start_paused = true)]
async fn commits_of_a_deleted_topic_are_not_kept_for_ever() {
    let site = Site::start(1).await;
    site.groups.reset(&group(), vec![site.commit(0, 1)]).await.unwrap();
    let topic = site.engine.topic(&orders()).unwrap();
    site.engine.delete_topic(&topic).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    let left = site.engine.list("group", Timestamp::EPOCH);
    assert_eq!(left.len(), 1, "the group itself: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn topics_are_followed_without_anyone_asking() {
    let site = Site::start(2).await;
    let lease = site.join("a").await;
    let topic = site.engine.topic(&orders()).unwrap();
    site.engine.delete_topic(&topic).await.unwrap();
    let without = site.groups.changed(&caller("a"), lease.version).await.unwrap();
    assert!(without.assignment.is_empty());
    let config = TopicConfig { partitions: PartitionCount(3), ..TopicConfig::default() };
    site.engine.create_topic(&orders(), &config).await.unwrap();
    let with = site.groups.changed(&caller("a"), without.version).await.unwrap();
    assert_eq!(partitions(&with.assignment), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn after_the_close_whoever_waits_is_told() {
    let site = Site::start(2).await;
    let lease = site.join("a").await;
    let who = caller("a");
    let (told, ()) = tokio::join!(site.groups.changed(&who, lease.version), site.groups.close());
    let closed = GroupError::Engine(EngineError::Closed);
    assert_eq!(told, Err(closed.clone()));
    assert_eq!(site.groups.leave(&caller("a")).await, Err(closed));
}
