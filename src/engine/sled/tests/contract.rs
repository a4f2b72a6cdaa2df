//! The sled engine keeps the contract, and is compared with the reference.

use super::{Home, SledEngine};
use crate::engine::{
    Engine,
    contract::{Harness, TestTime, contract_suite, model},
};
use std::sync::Arc;

struct OnDisk {
    home: Home,
    time: TestTime,
}

impl OnDisk {
    fn new() -> OnDisk {
        let mut home = Home::new();
        home.config.idempotency_max = 64;
        home.config.table_max = 60;
        OnDisk { home, time: TestTime::default() }
    }

    async fn open(&self) -> Arc<SledEngine> {
        let metrics = crate::runtime::Metrics::default();
        SledEngine::open(self.home.config.clone(), self.time.clock(), &metrics).await.unwrap()
    }
}

impl Harness for OnDisk {
    type E = SledEngine;

    async fn start(&self) -> Arc<SledEngine> {
        self.open().await
    }

    async fn restart(&self, engine: Arc<SledEngine>) -> Option<Arc<SledEngine>> {
        engine.close().await;
        drop(engine);
        Some(self.open().await)
    }

    fn time(&self) -> Option<&TestTime> {
        Some(&self.time)
    }

    async fn settle_retention(&self, engine: &SledEngine) {
        engine.enforce_retention().await.unwrap();
    }

    fn retention_slack(&self) -> u64 {
        // An entry of the index, and the largest batch behind it.
        1 << 20
    }

    fn idempotency_max(&self) -> Option<usize> {
        Some(self.home.config.idempotency_max)
    }

    fn table_max(&self) -> Option<usize> {
        Some(self.home.config.table_max)
    }
}

contract_suite!(OnDisk::new());

#[test]
fn it_answers_as_the_reference_does() {
    model::same_as_memory(24, OnDisk::new);
}

#[test]
fn it_answers_as_the_reference_does_while_volumes_roll() {
    model::same_as_memory(24, || {
        let mut disk = OnDisk::new();
        disk.home.config.roll_bytes = 1 << 20;
        disk
    });
}
