//! The client of the command line against gateways that come and go.

use crate::util::Gateway;
use serde_json::{Value, json};
use std::time::Duration;
use tidegate::{
    client::{Client, ClientError, LiveItem, LiveReader, SubscribeRequest},
    config::{Config, EngineKind},
    domain::{StartAt, TopicName},
    server::Server,
};

fn topics(name: &str) -> Vec<TopicName> {
    vec![TopicName::new(name).unwrap()]
}

/// The values of the next records; what else is told goes to `told`.
async fn values(reader: &mut LiveReader, count: usize, told: &mut Vec<LiveItem>) -> Vec<Value> {
    let mut values = vec![];
    while values.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(30), reader.next());
        match next.await.expect("an item comes").unwrap() {
            LiveItem::Record(line) => {
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

async fn publish(client: &Client, range: std::ops::Range<u64>) {
    let records: Vec<_> = range.map(|n| json!({ "value": n })).collect();
    let body = json!({ "records": records }).to_string();
    client.publish(&topics("t")[0], body, &Default::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_goes_on_when_its_gateway_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
    config.sled.data_dir.clone_from(&config.data_dir);
    config.sled.reserve_bytes = 0;
    config.sled.cache_active = 16 << 20;
    config.listen = ([127, 0, 0, 1], 0).into();
    let server = Server::start(config.clone()).await.unwrap();
    // It is to come back where it was.
    config.listen = server.address();
    let client = Client::new(&format!("http://{}", server.address())).unwrap();
    client.put_topic(&topics("t")[0], &Default::default()).await.unwrap();
    publish(&client, 0..5).await;
    let request = SubscribeRequest {
        topics: topics("t"),
        start: Some(StartAt::Earliest),
        ..SubscribeRequest::default()
    };
    let mut reader = client.subscribe(request);
    let mut told = vec![];
    assert_eq!(values(&mut reader, 5, &mut told).await, numbers(0..5));
    assert_eq!(told, []);
    let mut server = server;
    for round in 1..4 {
        server.stop().await;
        server = Server::start(config.clone()).await.unwrap();
        let begun = round * 5;
        publish(&client, begun..begun + 5).await;
        assert_eq!(values(&mut reader, 5, &mut told).await, numbers(begun..begun + 5));
    }
    let resumed = told.iter().filter(|item| **item == LiveItem::Resumed).count();
    assert_eq!(resumed, 3, "{told:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_try_would_not_mend_is_told() {
    let gateway = Gateway::start(EngineKind::Memory, |_| {}).await;
    let client = Client::new(&gateway.url("")).unwrap();
    let mut reader =
        client.subscribe(SubscribeRequest { topics: topics("none"), ..Default::default() });
    let error = reader.next().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused(refusal) if refusal.code == "topic_unknown"),
        "{error}"
    );
    gateway.topic("t", 1).await;
    let mut reader =
        client.subscribe(SubscribeRequest { topics: topics("t"), ..Default::default() });
    let deleted = async {
        // Once it is subscribed to.
        while !gateway.get("/metrics").await.text().contains("tidegate_subscriptions 1") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gateway.json(reqwest::Method::DELETE, "/v1/topics/t", &json!({})).await
    };
    let (ended, _) = tokio::join!(reader.next(), deleted);
    let error = ended.unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused(refusal) if refusal.code == "topic_unknown"),
        "{error}"
    );
    let address = gateway.address();
    gateway.stop().await;
    let client = Client::new(&format!("http://{address}")).unwrap();
    let mut nobody =
        client.subscribe(SubscribeRequest { topics: topics("t"), ..Default::default() });
    assert!(nobody.next().await.unwrap_err().is_unreachable());
}
