//! Members of groups: kept alive while they are listened to, and where they
//! read after a recovery. (What a client sees of groups is in `tests/it`.)

use super::{scripted::Scripted, *};
use crate::{
    broker::{CommitDraft, GroupPoll, Membership},
    domain::{
        Epoch, EpochStart, Generation, GroupName, LostReason, MemberId, Offset, Principal,
        StartPolicy,
    },
    engine::{Committer, GroupError, JoinRequest, MemberRef},
    group::{GroupConfig, Groups},
};

/// A broker with groups whose topic `t` has `partitions`, with three records
/// in the first.
async fn grouped(partitions: u32) -> (Arc<Broker>, Arc<Scripted>) {
    let engine = Arc::new(Scripted::new(clock()));
    let table = Arc::new(MemoryEngine::new(clock()));
    let (config, metrics) = (GroupConfig::default(), Metrics::default());
    let groups = Groups::open(Arc::clone(&engine) as _, table, clock(), config, &metrics);
    let groups = groups.await.unwrap();
    let broker = Broker::new(Arc::clone(&engine) as _, groups, Limits::default(), &metrics);
    topic(&broker, "t", partitions).await;
    for value in ["a", "b", "c"] {
        publish(&broker, "t", &[at(0, value)]).await;
    }
    (broker, engine)
}

fn joining(member: &str, from: StartPolicy) -> JoinRequest {
    JoinRequest {
        group: GroupName::new("g").unwrap(),
        member: Some(MemberId::new(member).unwrap()),
        principal: Principal::ANYONE,
        topics: [name("t")].into(),
        session_timeout: Duration::from_secs(9),
        from,
        takes_over: false,
    }
}

async fn joined(broker: &Arc<Broker>, member: &str, from: StartPolicy) -> Membership {
    Membership::join(broker, joining(member, from)).await.unwrap()
}

fn draft(offset: u64, epoch: Option<u32>) -> CommitDraft {
    CommitDraft {
        topic: name("t"),
        partition: PartitionId(0),
        offset: Offset(offset),
        epoch: epoch.map(Epoch),
        metadata: None,
    }
}

fn place(cursor: &crate::domain::Cursor) -> Option<(u32, u64)> {
    let at = cursor.topics.get(&name("t"))?.partitions.get(&PartitionId(0))?;
    Some((at.epoch.0, at.next.0))
}

#[tokio::test(start_paused = true)]
async fn a_member_lives_while_it_is_listened_to_and_expires_after() {
    let (broker, _) = grouped(1).await;
    let mut one = joined(&broker, "one", StartPolicy::Earliest).await;
    // Far beyond its session timeout nothing has changed for it.
    let listened = tokio::time::timeout(Duration::from_secs(100), one.changed()).await;
    assert!(listened.is_err());
    assert!(broker.renew_member(one.member()).await.is_ok());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let gone = one.changed().await.unwrap_err();
    assert!(matches!(gone, BrokerError::Group(GroupError::MemberExpired { .. })), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_poll_keeps_its_member_alive() {
    let (broker, _) = grouped(1).await;
    let one = joined(&broker, "one", StartPolicy::Latest).await;
    let mut poll = GroupPoll::begin(&broker, one.member().clone(), None).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(50), poll.wait()).await.is_err());
    publish(&broker, "t", &[at(0, "d")]).await;
    poll.wait().await.unwrap();
    assert!(!poll.has_news());
    let event = poll.reader().unwrap().next(budget(9)).await.unwrap().unwrap();
    assert_eq!(told(&event), "t/0: d");
}

#[tokio::test(start_paused = true)]
async fn the_older_connection_of_a_member_hears_that_it_was_replaced() {
    let (broker, _) = grouped(1).await;
    let mut old = joined(&broker, "one", StartPolicy::Earliest).await;
    let new = joined(&broker, "one", StartPolicy::Earliest).await;
    assert_eq!(new.lease().assignment, old.lease().assignment);
    let gone = soon(old.changed()).await.unwrap().unwrap_err();
    assert!(matches!(gone, BrokerError::Group(GroupError::Replaced(_))), "{gone}");
    let late = old.commit(old.lease().generation, vec![draft(1, None)]).await.unwrap_err();
    assert!(matches!(late, BrokerError::Group(GroupError::Replaced(_))), "{late}");
}

#[tokio::test(start_paused = true)]
async fn another_principals_member_is_taken_in_every_call() {
    let (broker, _) = grouped(1).await;
    let one = joined(&broker, "one", StartPolicy::Earliest).await;
    let principal = Principal::named("eve");
    let eve = MemberRef { principal: principal.clone(), session: None, ..one.member().clone() };
    let taken = |error: BrokerError| {
        assert!(matches!(error, BrokerError::Group(GroupError::MemberTaken(_))), "{error}");
    };
    let again = JoinRequest { principal, ..joining("one", StartPolicy::Earliest) };
    taken(broker.join_group(again).await.unwrap_err());
    taken(broker.renew_member(&eve).await.unwrap_err());
    taken(broker.release_partitions(&eve, None).await.unwrap_err());
    taken(broker.leave_group(&eve).await.unwrap_err());
    taken(GroupPoll::begin(&broker, eve.clone(), None).await.err().unwrap());
    let by = Committer::Member(eve.clone(), one.lease().generation);
    taken(broker.commit_offsets(&eve.group, by, vec![draft(1, None)]).await.unwrap_err());
}

/// A recovery that kept the first two records; what is there since is another.
async fn recovered(broker: &Arc<Broker>, engine: &Scripted) {
    let epoch = |epoch, first| EpochStart { epoch: Epoch(epoch), first: Offset(first) };
    engine.has_epochs(vec![epoch(0, 0), epoch(1, 2)]);
    publish(broker, "t", &[at(0, "f")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_a_past_epoch_goes_on_by_each_policy_and_is_told() {
    for (from, wanted) in [
        (StartPolicy::Earliest, Some((1, 2))),
        (StartPolicy::Latest, Some((1, 4))),
        (StartPolicy::None, None),
    ] {
        let (broker, engine) = grouped(1).await;
        let one = joined(&broker, "one", from).await;
        one.commit(one.lease().generation, vec![draft(3, None)]).await.unwrap();
        recovered(&broker, &engine).await;
        let places = one.cursor_of(&one.lease().assignment).await.unwrap();
        assert_eq!(place(&places.cursor), wanted, "{from}");
        let lost = &places.lost[0];
        assert_eq!((lost.range.from, lost.range.to), (Offset(2), Offset(2)), "{from}");
        assert_eq!(lost.range.reason, LostReason::Truncated);
        assert_eq!(lost.next, wanted.map(|(_, next)| Offset(next)));
        assert_eq!(places.waiting.is_empty(), wanted.is_some());
        // What the policy chose is committed, so it is told once.
        let again = one.cursor_of(&one.lease().assignment).await.unwrap();
        assert_eq!((place(&again.cursor), again.lost.is_empty()), (wanted, wanted.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_made_in_a_past_epoch_is_taken_and_one_of_an_epoch_to_come_is_not() {
    let (broker, engine) = grouped(1).await;
    let one = joined(&broker, "one", StartPolicy::Earliest).await;
    let generation = one.lease().generation;
    recovered(&broker, &engine).await;
    // It had read this before the recovery, and says so.
    one.commit(generation, vec![draft(3, Some(0))]).await.unwrap();
    let places = one.cursor_of(&one.lease().assignment).await.unwrap();
    assert_eq!(place(&places.cursor), Some((1, 2)));
    let early = one.commit(generation, vec![draft(3, Some(2))]).await.unwrap_err();
    assert!(matches!(early, BrokerError::CommitOutOfRange { .. }), "{early}");
}

#[tokio::test(start_paused = true)]
async fn places_of_what_was_lost_meanwhile_are_left_out() {
    let (broker, _) = grouped(2).await;
    let one = joined(&broker, "one", StartPolicy::Earliest).await;
    let before = one.lease().assignment.clone();
    let mut two = joined(&broker, "two", StartPolicy::Earliest).await;
    one.release(&before).await.unwrap();
    while two.lease().assignment.is_empty() {
        two.changed().await.unwrap();
    }
    // It has not heard of the change yet: nothing of the other's is committed.
    let mine = one.cursor_of(&before).await.unwrap().cursor;
    let others = two.cursor_of(&two.lease().assignment).await.unwrap().cursor;
    let of = |cursor: &crate::domain::Cursor| {
        cursor.topics[&name("t")].partitions.keys().copied().collect::<Vec<_>>()
    };
    assert_eq!((of(&mine).len(), of(&others).len()), (1, 1));
    assert_ne!(of(&mine), of(&others));
    let stale = two.commit(Generation(1), vec![draft(1, None)]).await;
    assert!(matches!(stale.unwrap_err(), BrokerError::Group(GroupError::Fenced(_))));
}
