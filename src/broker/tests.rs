//! The use-cases as specifications, over the reference engine, under virtual
//! time where something waits.

mod following;
mod groups;
mod keys;
mod losses;
mod publishing;
mod reading;
mod scripted;
mod sequence;
mod topics;

use super::*;
use crate::{
    domain::{
        Clock, PartitionCount, PartitionId, RecordDraft, StartAt, Timestamp, TopicConfig, ValueKind,
    },
    engine::{NoGroups, ReadBudget, memory::MemoryEngine},
};
use std::{sync::Arc, time::Duration};

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_millis(1_000_000))
}

/// A broker without groups.
fn broker_over(engine: Arc<dyn Engine>, limits: Limits) -> Arc<Broker> {
    Broker::new(engine, Arc::new(NoGroups), limits, &Metrics::default())
}

fn broker_with(limits: Limits) -> Arc<Broker> {
    broker_over(Arc::new(MemoryEngine::new(clock())), limits)
}

fn broker() -> Arc<Broker> {
    broker_with(Limits::default())
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn partitions(n: u32) -> TopicConfig {
    TopicConfig { partitions: PartitionCount(n), ..TopicConfig::default() }
}

async fn topic(broker: &Broker, called: &str, n: u32) -> Arc<Topic> {
    broker.ensure_topic(&name(called), &partitions(n)).await.unwrap();
    broker.topic(&name(called)).unwrap()
}

fn text(value: &str) -> RecordDraft<'_> {
    RecordDraft {
        partition: None,
        timestamp: None,
        key: None,
        headers: vec![],
        kind: ValueKind::Text,
        value: value.as_bytes().into(),
    }
}

fn keyed<'a>(key: &'a str, value: &'a str) -> RecordDraft<'a> {
    RecordDraft { key: Some(key.as_bytes().into()), ..text(value) }
}

fn at(partition: u32, value: &str) -> RecordDraft<'_> {
    RecordDraft { partition: Some(PartitionId(partition)), ..text(value) }
}

/// Publishes as one, and answers partition and offset of each record.
async fn publish(broker: &Arc<Broker>, to: &str, drafts: &[RecordDraft<'_>]) -> Vec<(u32, u64)> {
    let mut publish = PublishBuilder::new(broker, broker.topic(&name(to)).unwrap(), None);
    drafts.iter().for_each(|draft| publish.push(draft).unwrap());
    let published = publish.commit(None).await.unwrap();
    published.records().map(|(p, o, _)| (p.0, o.0)).collect()
}

async fn open(broker: &Arc<Broker>, topics: &[&str], start: StartAt) -> Reader {
    open_keys(broker, topics, start, &[]).await
}

async fn open_keys(broker: &Arc<Broker>, topics: &[&str], start: StartAt, keys: &[&str]) -> Reader {
    let topics = topics.iter().map(|t| name(t)).collect();
    let keys = keys.iter().map(|key| key.as_bytes().to_vec().into()).collect();
    let from = ReadFrom::Start(start);
    Reader::open(broker, ReadRequest { topics, partitions: None, from, keys }).await.unwrap()
}

fn budget(records: u32) -> ReadBudget {
    ReadBudget { records, bytes: 1 << 20 }
}

/// An event as a line: `topic/partition: values` or `topic/partition lost a-b`.
fn told(event: &ReadEvent) -> String {
    match event {
        ReadEvent::Records { topic, partition, batches, .. } => {
            let values =
                batches.iter().flat_map(|b| b.batch.iter().map(|r| r.unwrap().1.value.to_vec()));
            let values: Vec<_> = values.map(|v| String::from_utf8(v).unwrap()).collect();
            format!("{}/{partition}: {}", topic.name, values.join(" "))
        }
        ReadEvent::Lost { topic, partition, range } => {
            let (from, to, reason) = (range.from, range.to, range.reason);
            format!("{}/{partition} lost {from}-{to} {reason:?}", topic.name)
        }
        ReadEvent::Skipped => "skipped".to_owned(),
        ReadEvent::Full => "full".to_owned(),
    }
}

/// All that can be read now, in the order in which it comes.
async fn drain(reader: &mut Reader, records: u32) -> Vec<String> {
    let mut lines = vec![];
    while let Some(event) = reader.next(budget(records)).await.unwrap() {
        lines.push(told(&event));
    }
    lines
}

/// A broker over a scripted engine whose topic `t` has one partition.
async fn scripted() -> (Arc<Broker>, Arc<scripted::Scripted>) {
    let engine = Arc::new(scripted::Scripted::new(clock()));
    let broker = broker_over(Arc::clone(&engine) as _, Limits::default());
    topic(&broker, "t", 1).await;
    (broker, engine)
}

async fn soon<T>(what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(1), what).await.ok()
}
