//! Groups over an engine: what callers see, and when.

use crate::{
    domain::{
        Epoch, Generation, GroupName, MemberId, Offset, PartitionCount, PartitionId, Position,
        Principal, StartPolicy, TopicConfig, TopicName,
    },
    engine::{
        Assignment, Committer, Coordinator, Engine, GroupCommit, GroupError, JoinRequest, Lease,
        MemberRef, contract::TestTime, memory::MemoryEngine,
    },
    group::{GroupConfig, Groups},
    runtime::Metrics,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

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
