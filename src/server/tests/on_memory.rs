//! Groups over the engine in memory.

use crate::{
    engine::{
        Coordinator,
        contract::{Harness, TestTime, group_suite, groups::GroupHarness},
        memory::MemoryEngine,
    },
    group::{GroupConfig, Groups},
    runtime::Metrics,
};
use std::{sync::Arc, time::Duration};

const GRACE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct InMemory {
    time: TestTime,
}

impl Harness for InMemory {
    type E = MemoryEngine;

    async fn start(&self) -> Arc<MemoryEngine> {
        Arc::new(MemoryEngine::new(self.time.clock()))
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
}

impl GroupHarness for InMemory {
    async fn coordinate(&self, engine: &Arc<MemoryEngine>) -> Arc<dyn Coordinator> {
        let config = GroupConfig { revoke_grace: GRACE, ..GroupConfig::default() };
        let (engine, table) = (engine.clone(), engine.clone());
        Groups::open(engine, table, self.time.clock(), config, &Metrics::default()).await.unwrap()
    }

    fn grace(&self) -> Duration {
        GRACE
    }
}

group_suite!(InMemory::default());
