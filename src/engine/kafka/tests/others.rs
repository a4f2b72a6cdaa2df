//! Beside others: a second gateway on the same topics, and programs that know
//! nothing of gateways.

use super::OnCluster;
use crate::{
    domain::{IdempotencyKey, PartitionCount, PartitionId, TopicConfig, TopicName},
    engine::{
        Append, Appended, Engine, EngineError, Idempotency, Topic,
        contract::{Plain, pack, read_values},
        kafka::KafkaEngine,
    },
};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{sync::Arc, time::Duration};

const P0: PartitionId = PartitionId(0);
const SOON: Duration = Duration::from_secs(20);

fn name() -> TopicName {
    TopicName::new("shared").unwrap()
}

/// Two gateways, and a topic that the first of them made.
async fn two() -> (OnCluster, [Arc<KafkaEngine>; 2], Arc<Topic>) {
    let home = OnCluster::new();
    let both = [home.open().await, home.open().await];
    let config = TopicConfig { partitions: PartitionCount(2), ..TopicConfig::default() };
    let topic = both[0].create_topic(&name(), &config).await.unwrap();
    known(&both[1], &topic).await;
    (home, both, topic)
}

/// Waits until a gateway knows the topic as the one it is.
async fn known(engine: &KafkaEngine, topic: &Topic) {
    let knows = async {
        while engine.topic(&topic.name).map(|t| t.incarnation) != Ok(topic.incarnation) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, knows).await.unwrap();
}

async fn say(
    engine: &KafkaEngine,
    topic: &Arc<Topic>,
    value: &str,
    key: Option<(&str, u8)>,
) -> Result<Appended, EngineError> {
    let parts = vec![(P0, pack(&[Plain::text(value)]))];
    let idempotency = key.map(|(key, digest)| Idempotency {
        key: IdempotencyKey::new(key).unwrap(),
        digest: [digest; 16],
        ttl: Duration::from_secs(600),
    });
    let durability = topic.config.durability;
    engine.append(Append { topic: topic.clone(), parts, durability, idempotency }).await
}

async fn said(engine: &KafkaEngine, topic: &Topic) -> Vec<String> {
    engine.freshen(topic, &[P0]).await.unwrap();
    read_values(engine, topic, P0).await
}

async fn close(both: [Arc<KafkaEngine>; 2]) {
    for engine in both {
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn what_one_gateway_appends_the_other_reads_at_once() {
    let (_home, both, topic) = two().await;
    for round in 0..20 {
        say(&both[round % 2], &topic, &round.to_string(), None).await.unwrap();
        assert_eq!(said(&both[(round + 1) % 2], &topic).await.len(), round + 1);
    }
    let mut watch = both[1].watch_tail(&topic, P0).unwrap();
    let done = say(&both[0], &topic, "followed", None).await.unwrap();
    let end = done.parts[0].base.plus(1);
    tokio::time::timeout(SOON, watch.wait_for(|tail| *tail >= end)).await.unwrap().unwrap();
    close(both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn a_key_holds_across_gateways() {
    let (_home, both, topic) = two().await;
    for round in 0..6 {
        let key = format!("k{round}");
        let first = say(&both[round % 2], &topic, "x", Some((&key, 1))).await.unwrap();
        let again = say(&both[(round + 1) % 2], &topic, "x", Some((&key, 1))).await.unwrap();
        assert_eq!(again, Appended { repeated: true, ..first });
        let other = say(&both[(round + 1) % 2], &topic, "y", Some((&key, 2))).await;
        assert_eq!(other, Err(EngineError::IdempotencyConflict));
    }
    assert_eq!(said(&both[0], &topic).await, ["x"; 6]);
    close(both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn of_the_same_key_at_both_gateways_at_once_one_appends() {
    let (_home, both, topic) = two().await;
    for round in 0..5 {
        let key = format!("k{round}");
        let all = (0..8).map(|n| say(&both[n % 2], &topic, "x", Some((&key, 1))));
        let all =
            tokio::time::timeout(3 * SOON, futures_util::future::join_all(all)).await.unwrap();
        let done: Vec<_> = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(done.iter().filter(|done| !done.repeated).count(), 1, "{done:?}");
        assert!(done.iter().all(|d| d.parts == done[0].parts));
    }
    assert_eq!(said(&both[1], &topic).await, ["x"; 5]);
    close(both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn who_hangs_up_and_asks_again_has_it_stored_once() {
    let (_home, both, topic) = two().await;
    for round in 0..40 {
        let key = format!("k{round}");
        let first = say(&both[0], &topic, "x", Some((&key, 1)));
        // Dropped wherever it is by then; what it began goes on.
        let _answered = tokio::time::timeout(Duration::from_millis(round % 20), first).await;
        say(&both[0], &topic, "x", Some((&key, 1))).await.unwrap();
    }
    assert_eq!(said(&both[1], &topic).await.len(), 40);
    close(both).await;
}

/// A producer of another program.
fn foreign(home: &OnCluster, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", home.config.brokers.join(","));
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

fn send(producer: &BaseProducer, raw: &str, value: &str) {
    let record = BaseRecord::<(), str>::to(raw).partition(0).payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(SOON).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn of_another_programs_transaction_only_what_is_committed_is_read() {
    let (home, both, topic) = two().await;
    let raw = format!("{}shared", home.config.topic_prefix);
    let (id, raw_of) = (format!("{raw}-foreign"), raw.clone());
    let begun = tokio::task::spawn_blocking(move || {
        let foreign = foreign(&home, &[("transactional.id", &id)]);
        foreign.init_transactions(SOON).unwrap();
        foreign.begin_transaction().unwrap();
        send(&foreign, &raw_of, "of an aborted one");
        foreign.abort_transaction(SOON).unwrap();
        foreign.begin_transaction().unwrap();
        send(&foreign, &raw_of, "of an open one");
        foreign
    });
    let foreign = begun.await.unwrap();
    assert_eq!(said(&both[0], &topic).await, [""; 0]);
    // Written and answered, though nobody can read it yet.
    say(&both[0], &topic, "behind it", None).await.unwrap();
    assert_eq!(said(&both[0], &topic).await, [""; 0]);
    tokio::task::spawn_blocking(move || foreign.commit_transaction(SOON).unwrap()).await.unwrap();
    let both_seen = async {
        while said(&both[0], &topic).await != ["of an open one", "behind it"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, both_seen).await.unwrap();
    close(both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kafka cluster: tests/kafka/run"]
async fn records_are_read_however_they_were_compressed() {
    let (home, both, topic) = two().await;
    let raw = format!("{}shared", home.config.topic_prefix);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    tokio::task::spawn_blocking(move || {
        for codec in codecs {
            send(&foreign(&home, &[("compression.type", codec)]), &raw, &codec.repeat(500));
        }
    })
    .await
    .unwrap();
    let read = said(&both[0], &topic).await;
    assert_eq!(read, codecs.map(|codec| codec.repeat(500)));
    close(both).await;
}
