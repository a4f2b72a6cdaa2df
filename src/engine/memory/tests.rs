//! The reference engine keeps the contract, and is compared with itself.

use super::{MemoryBounds, MemoryEngine};
use crate::domain::PartitionId;
use crate::engine::contract::{Harness, Log, Plain, TestTime, contract_suite, model};
use std::{sync::Arc, time::Duration};

const BOUNDS: MemoryBounds = MemoryBounds { idempotency_max: 64, table_max: 60 };

#[derive(Default)]
struct InMemory {
    time: TestTime,
}

impl Harness for InMemory {
    type E = MemoryEngine;

    async fn start(&self) -> Arc<MemoryEngine> {
        Arc::new(MemoryEngine::with_bounds(self.time.clock(), BOUNDS))
    }

    async fn restart(&self, _: Arc<MemoryEngine>) -> Option<Arc<MemoryEngine>> {
        None
    }

    fn time(&self) -> Option<&TestTime> {
        Some(&self.time)
    }

    async fn settle_retention(&self, engine: &MemoryEngine) {
        engine.enforce_retention().unwrap();
    }

    fn idempotency_max(&self) -> Option<usize> {
        Some(BOUNDS.idempotency_max)
    }

    fn table_max(&self) -> Option<usize> {
        Some(BOUNDS.table_max)
    }
}

contract_suite!(InMemory::default());

#[tokio::test]
async fn retention_by_age_is_exact_to_the_record() {
    let log = Log::start(InMemory::default()).await;
    let topic = log.new_topic_with("a", |config| config.retention_ms = Some(1_000)).await;
    for i in 0..4 {
        log.say(&topic, &[&format!("{i}a"), &format!("{i}b")]).await;
        log.harness().time.advance(Duration::from_millis(500));
    }
    log.settle_retention().await;
    assert_eq!(log.said(&topic).await, ["2a", "2b", "3a", "3b"]);
    log.harness().time.advance(Duration::from_millis(1));
    log.settle_retention().await;
    assert_eq!(log.said(&topic).await, ["3a", "3b"]);
    log.harness().time.advance(Duration::from_secs(5));
    log.settle_retention().await;
    let view = log.view(&topic, PartitionId(0));
    assert_eq!((view.start.0, view.tail.0, view.bytes), (8, 8, 0));
}

#[tokio::test]
async fn retention_by_size_is_exact_to_the_record() {
    let log = Log::start(InMemory::default()).await;
    // Each record has 1,000 bytes when packed: two of length, one of flags.
    let topic = log.new_topic_with("a", |config| config.retention_bytes = Some(5_001)).await;
    log.publish(&topic, PartitionId(0), vec![Plain::noise(997, 1); 20]).await;
    log.settle_retention().await;
    let view = log.view(&topic, PartitionId(0));
    assert_eq!((view.start.0, view.bytes), (14, 6_000));
}

#[test]
fn answers_as_the_reference_does() {
    model::same_as_memory(64, InMemory::default);
}
