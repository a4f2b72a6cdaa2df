//! Groups that Kafka coordinates: members of one gateway, of two, and of other
//! programs; and what a member costs.

use super::OnCluster;
use crate::{
    domain::{
        Epoch, Generation, GroupName, MemberId, Offset, PartitionCount, PartitionId, Position,
        Principal, StartPolicy, TopicConfig, TopicName,
    },
    engine::{
        Assignment, Committer, Coordinator, Engine, EngineError, GroupCommit, GroupError,
        GroupState, JoinRequest, Lease, MemberRef, Topic,
        kafka::{KafkaEngine, KafkaGroups},
    },
    runtime::Metrics,
};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{sync::Arc, time::Duration};

const SOON: Duration = Duration::from_secs(40);
const SESSION: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(4);

/// A gateway without its outside.
struct Gateway {
    engine: Arc<KafkaEngine>,
    groups: Arc<KafkaGroups>,
}

impl Gateway {
    async fn start(home: &OnCluster) -> Gateway {
        let engine = home.open().await;
        let metrics = Metrics::default();
        let groups = KafkaGroups::open(Arc::clone(&engine), GRACE, &metrics).await.unwrap();
        Gateway { engine, groups }
    }

    /// At an address of its own.
    async fn at(home: &OnCluster, address: &str) -> Gateway {
        let mut config = home.config.clone();
        config.advertise = address.to_owned();
        Gateway::start(&OnCluster { config }).await
    }

    /// Two of them, and the topic, with two partitions.
    async fn two() -> (Gateway, Gateway, Arc<Topic>) {
        let home = OnCluster::new();
        let one = Gateway::at(&home, "http://one").await;
        let of = one.topic(2).await;
        (one, Gateway::at(&home, "http://two").await, of)
    }

    async fn topic(&self, partitions: u32) -> Arc<Topic> {
        let partitions = PartitionCount(partitions);
        let config = TopicConfig { partitions, ..TopicConfig::default() };
        self.engine.create_topic(&topic(), &config).await.unwrap()
    }

    async fn join(&self, id: &str) -> Lease {
        self.groups.join(request(id)).await.unwrap()
    }

    async fn stop(self) {
        self.groups.close().await;
        self.engine.close().await;
    }

    /// Waits for a lease that is as it should be; renews and releases meanwhile.
    async fn until(&self, id: &str, is: impl Fn(&Lease) -> bool) -> Lease {
        let member = by(id);
        let looking = async {
            let mut lease = self.groups.renew(&member).await.unwrap();
            while !is(&lease) {
                if !lease.revoking.is_empty() {
                    self.groups.release(&member, &lease.revoking).await.unwrap();
                }
                let changed = self.groups.changed(&member, lease.version);
                let changed = tokio::time::timeout(Duration::from_secs(5), changed).await;
                lease = match changed {
                    Ok(changed) => changed.unwrap(),
                    Err(_) => self.groups.renew(&member).await.unwrap(),
                };
            }
            lease
        };
        tokio::time::timeout(SOON, looking).await.unwrap_or_else(|_| panic!("{id} waits"))
    }

    async fn commit(&self, id: &str, at: Generation, what: GroupCommit) -> Result<(), GroupError> {
        self.groups.commit(&group(), Committer::Member(by(id), at), vec![what]).await
    }

    async fn committed(&self, partitions: u32) -> Vec<u64> {
        let of = [(topic(), (0..partitions).map(PartitionId).collect())].into();
        let found = self.groups.committed(&group(), &of).await.unwrap();
        found.iter().map(|commit| commit.position.next.0).collect()
    }
}

fn topic() -> TopicName {
    TopicName::new("work").unwrap()
}

fn group() -> GroupName {
    GroupName::new("billing").unwrap()
}

fn request(id: &str) -> JoinRequest {
    JoinRequest {
        group: group(),
        member: Some(MemberId::new(id).unwrap()),
        principal: Principal::ANYONE,
        topics: [topic()].into(),
        session_timeout: SESSION,
        from: StartPolicy::Earliest,
        takes_over: false,
    }
}

fn by(id: &str) -> MemberRef {
    let member = MemberId::new(id).unwrap();
    MemberRef { group: group(), member, principal: Principal::ANYONE, session: None }
}

fn count(of: &Assignment) -> usize {
    of.values().map(std::collections::BTreeSet::len).sum()
}

fn first(lease: &Lease) -> PartitionId {
    *lease.assignment[&topic()].first().unwrap()
}

fn at(of: &Topic, partition: PartitionId, next: u64) -> GroupCommit {
    GroupCommit {
        topic: of.name.clone(),
        incarnation: of.incarnation,
        partition,
        position: Position { epoch: Epoch(0), next: Offset(next) },
        metadata: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn a_partition_moves_when_it_is_released_and_its_commit_with_it() {
    let gateway = Gateway::start(&OnCluster::new()).await;
    let of = gateway.topic(4).await;
    gateway.join("a").await;
    let a = gateway.until("a", |lease| count(&lease.assignment) == 4).await;
    gateway.commit("a", a.generation, at(&of, first(&a), 3)).await.unwrap();
    let joining = gateway.join("b");
    let revoking = async {
        let seen = gateway.groups.changed(&by("a"), a.version).await.unwrap();
        assert_eq!((count(&seen.assignment), count(&seen.revoking)), (2, 2));
        assert!(seen.generation > a.generation && seen.grace <= GRACE);
        for partition in seen.revoking[&topic()].iter() {
            gateway.commit("a", a.generation, at(&of, *partition, 7)).await.unwrap();
        }
        gateway.groups.release(&by("a"), &seen.revoking).await.unwrap();
        let moved = *seen.revoking[&topic()].first().unwrap();
        let late = gateway.commit("a", seen.generation, at(&of, moved, 8)).await;
        assert!(matches!(late, Err(GroupError::Fenced(_))), "{late:?}");
        moved
    };
    let (_, moved) = tokio::join!(joining, revoking);
    let b = gateway.until("b", |lease| count(&lease.assignment) == 2).await;
    assert!(b.assignment[&topic()].contains(&moved) && b.generation > a.generation);
    assert_eq!(gateway.committed(4).await.iter().filter(|next| **next == 7).count(), 2);
    // Who kept its partitions is not fenced by all that.
    let kept = gateway.until("a", |lease| count(&lease.assignment) == 2).await;
    gateway.commit("a", a.generation, at(&of, first(&kept), 5)).await.unwrap();
    // Back is no error, and nothing.
    gateway.commit("a", a.generation, at(&of, first(&kept), 4)).await.unwrap();
    assert!(gateway.committed(4).await.contains(&5));
    gateway.groups.leave(&by("a")).await.unwrap();
    gateway.until("b", |lease| count(&lease.assignment) == 4).await;
    let gone = gateway.groups.renew(&by("a")).await;
    assert!(matches!(gone, Err(GroupError::MemberUnknown { .. })), "{gone:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn one_who_does_not_release_has_its_grace_and_one_who_is_silent_expires() {
    let gateway = Gateway::start(&OnCluster::new()).await;
    let of = gateway.topic(2).await;
    let brief = JoinRequest { session_timeout: Duration::from_secs(9), ..request("a") };
    gateway.groups.join(brief).await.unwrap();
    let a = gateway.until("a", |lease| count(&lease.assignment) == 2).await;
    gateway.groups.renew(&by("a")).await.unwrap();
    gateway.join("b").await;
    gateway.until("b", |lease| count(&lease.assignment) == 1).await;
    gateway.until("b", |lease| count(&lease.assignment) == 2).await;
    let expired = gateway.groups.renew(&by("a")).await;
    assert!(matches!(expired, Err(GroupError::MemberExpired { .. })), "{expired:?}");
    let expired = gateway.commit("a", a.generation, at(&of, PartitionId(0), 9)).await;
    assert!(matches!(expired, Err(GroupError::MemberExpired { .. })), "{expired:?}");
    gateway.join("a").await;
    gateway.until("a", |lease| count(&lease.assignment) == 1).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn a_member_is_found_from_every_gateway_and_unknown_once_its_own_is_gone() {
    let (one, two, of) = Gateway::two().await;
    let a = one.join("a").await;
    two.join("b").await;
    let elsewhere = two.groups.renew(&by("a")).await;
    assert_eq!(elsewhere, Err(GroupError::Elsewhere("http://one".to_owned())));
    let again = two.groups.join(request("a")).await;
    assert_eq!(again, Err(GroupError::Elsewhere("http://one".to_owned())));
    one.until("a", |lease| count(&lease.assignment) == 1).await;
    two.until("b", |lease| count(&lease.assignment) == 1).await;
    let told = two.groups.describe(&group()).await.unwrap();
    let ids: Vec<_> = told.members.iter().map(|m| m.lease.member.to_string()).collect();
    assert_eq!((ids, told.state), (vec!["a".into(), "b".into()], GroupState::Stable));
    assert!(told.members.iter().all(|m| count(&m.lease.assignment) == 1));
    one.stop().await;
    let gone = two.groups.renew(&by("a")).await;
    assert!(matches!(gone, Err(GroupError::MemberUnknown { .. })), "{gone:?}");
    let back = two.join("a").await;
    assert!(back.session > a.session, "{} {}", back.session, a.session);
    let back = two.until("a", |lease| count(&lease.assignment) == 1).await;
    assert!(back.generation > a.generation);
    let old = two.commit("a", a.generation, at(&of, first(&back), 1)).await;
    assert!(matches!(old, Err(GroupError::Fenced(_))), "{old:?}");
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn a_connection_takes_its_member_over_from_another_gateway() {
    let (one, two, _) = Gateway::two().await;
    let a = one.join("a").await;
    one.until("a", |lease| count(&lease.assignment) == 2).await;
    let session = Some(a.session);
    let older = MemberRef { session, ..by("a") };
    let watched = one.groups.changed(&older, one.groups.renew(&older).await.unwrap().version);
    let eve = JoinRequest { takes_over: true, principal: Principal::named("eve"), ..request("a") };
    let id = MemberId::new("a").unwrap();
    assert_eq!(two.groups.join(eve).await, Err(GroupError::MemberTaken(id.clone())));
    let moved = two.groups.join(JoinRequest { takes_over: true, ..request("a") }).await.unwrap();
    assert!(moved.session > a.session);
    let told = until_it_ends(&one, &older, watched.await).await;
    assert_eq!(told, GroupError::Replaced(id.clone()));
    assert_eq!(one.groups.renew(&older).await, Err(GroupError::Replaced(id)));
    let by_call = one.groups.renew(&by("a")).await;
    assert_eq!(by_call, Err(GroupError::Elsewhere("http://two".to_owned())));
    two.until("a", |lease| count(&lease.assignment) == 2).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn one_that_comes_straight_back_is_not_ended_by_where_it_was_in_between() {
    let (one, two, _) = Gateway::two().await;
    let by_connection = JoinRequest { takes_over: true, ..request("a") };
    one.groups.join(by_connection.clone()).await.unwrap();
    let between = two.groups.join(by_connection.clone()).await.unwrap();
    let back = one.groups.join(by_connection).await.unwrap();
    assert_ne!(back.session, between.session);
    let in_between = MemberRef { session: Some(between.session), ..by("a") };
    let seen = two.groups.changed(&in_between, between.version).await;
    let ended = until_it_ends(&two, &in_between, seen).await;
    assert_eq!(ended, GroupError::Replaced(MemberId::new("a").unwrap()));
    let newest = MemberRef { session: Some(back.session), ..by("a") };
    let mut lease = one.groups.renew(&newest).await.unwrap();
    while count(&lease.assignment) < 2 {
        let changed = one.groups.changed(&newest, lease.version);
        let changed = tokio::time::timeout(Duration::from_secs(60), changed).await;
        lease = changed.expect("it is given all").unwrap();
    }
    let elsewhere = two.groups.renew(&by("a")).await;
    assert_eq!(elsewhere, Err(GroupError::Elsewhere("http://one".to_owned())));
    one.stop().await;
    two.stop().await;
}

/// The error that ends a watch; what it holds may change before.
async fn until_it_ends(
    gateway: &Gateway,
    by: &MemberRef,
    mut seen: Result<Lease, GroupError>,
) -> GroupError {
    loop {
        match seen {
            Ok(lease) => seen = gateway.groups.changed(by, lease.version).await,
            Err(error) => return error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn an_empty_group_is_committed_reset_and_deleted_by_anyone() {
    let gateway = Gateway::start(&OnCluster::new()).await;
    let of = gateway.topic(2).await;
    let commit = async |next| {
        let what = vec![at(&of, PartitionId(1), next)];
        gateway.groups.commit(&group(), Committer::Outsider, what).await
    };
    let unknown = gateway.groups.describe(&group()).await;
    assert_eq!(unknown, Err(GroupError::GroupUnknown(group())));
    assert_eq!(gateway.committed(2).await, [0; 0]);
    let noted = GroupCommit { metadata: Some("noted".into()), ..at(&of, PartitionId(1), 5) };
    let by_nobody = Committer::Outsider;
    gateway.groups.commit(&group(), by_nobody, vec![noted.clone()]).await.unwrap();
    let told = gateway.groups.describe(&group()).await.unwrap();
    assert_eq!((told.state, told.commits), (GroupState::Empty, vec![noted]));
    commit(4).await.unwrap();
    assert_eq!(gateway.committed(2).await, [5]);
    gateway.groups.reset(&group(), vec![at(&of, PartitionId(1), 2)]).await.unwrap();
    assert_eq!(gateway.committed(2).await, [2]);
    gateway.join("a").await;
    assert_eq!(commit(9).await, Err(GroupError::NotEmpty(group())));
    assert_eq!(gateway.groups.delete(&group()).await, Err(GroupError::NotEmpty(group())));
    gateway.groups.leave(&by("a")).await.unwrap();
    assert_eq!(gateway.groups.list().await.unwrap().len(), 1);
    gateway.groups.delete(&group()).await.unwrap();
    assert_eq!(gateway.committed(2).await, [0; 0]);
    assert_eq!(gateway.groups.delete(&group()).await, Err(GroupError::GroupUnknown(group())));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn a_member_of_another_program_shares_the_group_and_fences_outsiders() {
    let home = OnCluster::new();
    let gateway = Gateway::start(&home).await;
    let of = gateway.topic(4).await;
    let prefix = home.config.topic_prefix.clone();
    let brokers = home.config.brokers.join(",");
    let raw = format!("{prefix}{}", topic());
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    for n in 0..40 {
        let value = n.to_string();
        producer.send(BaseRecord::<(), _>::to(&raw).partition(n % 4).payload(&value)).unwrap();
    }
    producer.flush(SOON).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let other = crate::runtime::blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("group.id", format!("{prefix}{}", group()))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "300")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[&raw]).unwrap();
        let mut seen = 0;
        while !stopping.load(std::sync::atomic::Ordering::Acquire) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                seen += usize::from(message.payload().is_some());
                // Not while the group is between two generations.
                let _ = consumer.commit_message(&message, CommitMode::Sync);
            }
        }
        seen
    });
    let other = async { other.await.unwrap() };
    let ours = async {
        let told = async {
            loop {
                let told = gateway.groups.describe(&group()).await;
                if told.is_ok_and(|t| t.members.iter().any(|m| count(&m.lease.assignment) == 4)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(SOON, told).await.expect("the other member is shown");
        let late = vec![at(&of, PartitionId(0), 99)];
        let late = gateway.groups.commit(&group(), Committer::Outsider, late).await;
        assert_eq!(late, Err(GroupError::NotEmpty(group())));
        gateway.join("a").await;
        let a = gateway.until("a", |lease| count(&lease.assignment) == 2).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        // What the other has committed is where this one goes on.
        assert!(gateway.committed(4).await.iter().all(|next| *next <= 10));
        gateway.commit("a", a.generation, at(&of, first(&a), 10)).await.unwrap();
        stop.store(true, std::sync::atomic::Ordering::Release);
    };
    let (seen, ()) = tokio::join!(other, ours);
    assert!(seen <= 40, "{seen}");
    gateway.until("a", |lease| count(&lease.assignment) == 4).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn one_more_member_than_may_be_is_refused() {
    let mut home = OnCluster::new();
    home.config.members_max = 1;
    let gateway = Gateway::start(&home).await;
    gateway.topic(1).await;
    gateway.join("a").await;
    gateway.join("a").await;
    let more = gateway.groups.join(request("b")).await;
    assert_eq!(more, Err(GroupError::MembersFull(1)));
    let unknown = TopicName::new("absent").unwrap();
    let request = JoinRequest { topics: [unknown.clone()].into(), ..request("a") };
    let absent = gateway.groups.join(request).await;
    assert_eq!(absent, Err(EngineError::TopicUnknown(unknown).into()));
    gateway.stop().await;
}

/// Threads and KiB of this process.
fn own_size() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (of("Threads:"), of("VmRSS:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn what_a_member_costs_is_bounded() {
    const MEMBERS: usize = 100;
    let mut home = OnCluster::new();
    home.config.table_max = 10_000;
    let gateway = Gateway::start(&home).await;
    gateway.topic(8).await;
    let before = own_size();
    let long = Duration::from_secs(900);
    let joins = (0..MEMBERS).map(|n| {
        let request = request(&format!("m{n}"));
        gateway.groups.join(JoinRequest { session_timeout: long, ..request })
    });
    for joined in futures_util::future::join_all(joins).await {
        joined.unwrap();
    }
    let after = own_size();
    let threads = (after.0 - before.0) / MEMBERS;
    let kib = after.1.saturating_sub(before.1) / MEMBERS;
    println!("a member costs {threads} threads and {kib} KiB");
    assert!((1..=12).contains(&threads) && kib <= 4_096, "{threads} threads and {kib} KiB");
    gateway.stop().await;
}
