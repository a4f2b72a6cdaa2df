//! The member of the command line in groups that come and go, and the calls
//! about groups as a whole.

use crate::util::{Gateway, on_every_engine};
use serde_json::{Value, json};
use std::time::Duration;
use tidegate::{
    client::{Client, ClientError, JoinRequest, LiveItem, MemberItem, MemberReader},
    config::{Config, EngineKind},
    domain::{GroupName, MemberId, StartPolicy, TopicName},
    server::Server,
    wire::{GroupStateName, ResetBody, ResetWord},
};

on_every_engine! {
    what_is_done_is_committed_and_what_is_not_comes_again;
    two_members_share_and_hand_over_what_is_done;
    a_group_is_listed_moved_and_deleted;
}

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

fn join(client: &Client, member: &str) -> MemberReader {
    client.join(JoinRequest {
        group: group(),
        topics: vec![TopicName::new("t").unwrap()],
        from: StartPolicy::Earliest,
        member: Some(MemberId::new(member).unwrap()),
        session_timeout: None,
    })
}

fn client(gateway: &Gateway) -> Client {
    Client::new(&gateway.url("")).unwrap()
}

async fn next(reader: &mut MemberReader) -> MemberItem {
    let next = tokio::time::timeout(Duration::from_secs(30), reader.next());
    next.await.expect("an item comes").unwrap()
}

/// The values of the next records; what else is told goes to `told`.
async fn values(reader: &mut MemberReader, count: usize, told: &mut Vec<MemberItem>) -> Vec<Value> {
    let mut values = vec![];
    while values.len() < count {
        match next(reader).await {
            MemberItem::Record(line) => {
                let record: Value = serde_json::from_slice(&line).unwrap();
                values.push(record["value"].clone());
            }
            other => told.push(other),
        }
    }
    values
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(|n| json!(n)).collect()
}

async fn publish(client: &Client, partition: u32, range: std::ops::Range<u64>) {
    let records: Vec<_> = range.map(|n| json!({"partition": partition, "value": n})).collect();
    let body = json!({ "records": records }).to_string();
    client.publish(&TopicName::new("t").unwrap(), body, &Default::default()).await.unwrap();
}

async fn what_is_done_is_committed_and_what_is_not_comes_again(gateway: &Gateway) {
    let client = client(gateway);
    gateway.topic("t", 1).await;
    publish(&client, 0, 0..5).await;
    let mut told = vec![];
    let mut reader = join(&client, "one");
    assert_eq!(values(&mut reader, 3, &mut told).await, numbers(0..3));
    assert!(matches!(&told[0], MemberItem::Joined(member, _) if member == "one"), "{told:?}");
    reader.done();
    assert_eq!(values(&mut reader, 1, &mut told).await, numbers(3..4));
    reader.leave().await.unwrap();
    let described = client.group(&group()).await.unwrap();
    assert_eq!(described.state, GroupStateName::Empty);
    assert_eq!(described.partitions[0].commit, Some(3));
    let mut reader = join(&client, "two");
    assert_eq!(values(&mut reader, 2, &mut told).await, numbers(3..5));
    reader.leave().await.unwrap();
}

async fn two_members_share_and_hand_over_what_is_done(gateway: &Gateway) {
    let client = client(gateway);
    gateway.topic("t", 2).await;
    publish(&client, 0, 0..5).await;
    publish(&client, 1, 5..10).await;
    let (mut one, mut two) = (join(&client, "one"), join(&client, "two"));
    let mut told = vec![];
    let mut first = values(&mut one, 10, &mut told).await;
    first.sort_by_key(Value::as_u64);
    assert_eq!(first, numbers(0..10));
    one.done();
    // The second gets its partition once the first has committed what is done.
    let holds = |item: &MemberItem| match item {
        MemberItem::Assigned(all) => all.values().map(Vec::len).sum::<usize>() == 1,
        _ => false,
    };
    let sharing = async {
        loop {
            if holds(&next(&mut two).await) {
                return;
            }
        }
    };
    let working = async {
        loop {
            next(&mut one).await;
            one.done();
        }
    };
    tokio::select! {
        () = sharing => {}
        () = working => {}
    }
    publish(&client, 0, 10..12).await;
    publish(&client, 1, 12..14).await;
    let (mut told_one, mut told_two) = (vec![], vec![]);
    let (mut all, others) =
        tokio::join!(values(&mut one, 2, &mut told_one), values(&mut two, 2, &mut told_two));
    all.extend(others);
    all.sort_by_key(Value::as_u64);
    assert_eq!(all, numbers(10..14));
    one.done();
    two.done();
    one.leave().await.unwrap();
    two.leave().await.unwrap();
    assert_eq!(client.group(&group()).await.unwrap().lag, 0);
}

async fn a_group_is_listed_moved_and_deleted(gateway: &Gateway) {
    let client = client(gateway);
    gateway.topic("t", 1).await;
    publish(&client, 0, 0..5).await;
    let mut reader = join(&client, "one");
    values(&mut reader, 5, &mut vec![]).await;
    reader.done();
    let groups = client.groups("g").await.unwrap();
    assert_eq!((groups.len(), &*groups[0].group, groups[0].members), (1, "g", 1));
    assert_eq!(client.groups("h").await.unwrap(), []);
    let to = |dry_run| {
        let (to, topics) = (ResetWord::Earliest, Some(vec!["t".to_owned()]));
        ResetBody { to, time: None, offsets: None, topics, dry_run }
    };
    let refused = client.delete_group(&group()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(r) if r.code == "group_not_empty"));
    reader.leave().await.unwrap();
    let would = client.reset_group(&group(), &to(true)).await.unwrap();
    assert_eq!((would.partitions[0].from, would.partitions[0].to), (Some(5), 0));
    assert_eq!(client.group(&group()).await.unwrap().lag, 0);
    client.reset_group(&group(), &to(false)).await.unwrap();
    assert_eq!(client.group(&group()).await.unwrap().lag, 5);
    client.delete_group(&group()).await.unwrap();
    let gone = client.group(&group()).await.unwrap_err();
    assert!(matches!(&gone, ClientError::Refused(r) if r.code == "group_unknown"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_goes_on_when_its_gateway_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
    config.sled.data_dir.clone_from(&config.data_dir);
    config.sled.reserve_bytes = 0;
    config.sled.cache_active = 16 << 20;
    config.listen = ([127, 0, 0, 1], 0).into();
    let mut server = Server::start(config.clone()).await.unwrap();
    // It is to come back where it was.
    config.listen = server.address();
    let client = Client::new(&format!("http://{}", server.address())).unwrap();
    client.put_topic(&TopicName::new("t").unwrap(), &Default::default()).await.unwrap();
    publish(&client, 0, 0..5).await;
    let mut reader = join(&client, "one");
    let mut told = vec![];
    assert_eq!(values(&mut reader, 5, &mut told).await, numbers(0..5));
    // What is in hand while the gateway is away is neither lost nor handed out twice.
    for round in 1..4 {
        server.stop().await;
        server = Server::start(config.clone()).await.unwrap();
        let begun = round * 5;
        publish(&client, 0, begun..begun + 5).await;
        assert_eq!(values(&mut reader, 5, &mut told).await, numbers(begun..begun + 5));
    }
    let resumed = MemberItem::Live(LiveItem::Resumed);
    assert_eq!(told.iter().filter(|item| **item == resumed).count(), 3, "{told:?}");
    reader.done();
    reader.leave().await.unwrap();
    assert_eq!(client.group(&group()).await.unwrap().partitions[0].commit, Some(20));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_is_refused_is_told() {
    let gateway = Gateway::start(EngineKind::Memory, |_| {}).await;
    let error = join(&client(&gateway), "one").next().await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused(r) if r.code == "topic_unknown"), "{error}");
    gateway.stop().await;
}
