//! Groups over the engine on disk.

use crate::{
    engine::{
        Coordinator, Engine,
        contract::{Harness, TestTime, group_suite, groups::GroupHarness},
        sled::{SledConfig, SledEngine},
    },
    group::{GroupConfig, Groups},
    runtime::Metrics,
};
use std::{sync::Arc, time::Duration};

const GRACE: Duration = Duration::from_secs(2);

struct OnDisk {
    dir: tempfile::TempDir,
    time: TestTime,
}

impl OnDisk {
    fn new() -> OnDisk {
        OnDisk { dir: tempfile::tempdir().unwrap(), time: TestTime::default() }
    }

    async fn open(&self) -> Arc<SledEngine> {
        let config = SledConfig {
            data_dir: self.dir.path().join("data"),
            roll_bytes: 4 << 20,
            reserve_bytes: 1 << 20,
            ..SledConfig::default()
        };
        SledEngine::open(config, self.time.clock(), &Metrics::default()).await.unwrap()
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

    /// Groups have nothing that retention drops.
    async fn settle_retention(&self, _: &SledEngine) {}
}

impl GroupHarness for OnDisk {
    async fn coordinate(&self, engine: &Arc<SledEngine>) -> Arc<dyn Coordinator> {
        let config = GroupConfig { revoke_grace: GRACE, ..GroupConfig::default() };
        let (engine, table) = (engine.clone(), engine.clone());
        Groups::open(engine, table, self.time.clock(), config, &Metrics::default()).await.unwrap()
    }

    fn grace(&self) -> Duration {
        GRACE
    }
}

group_suite!(OnDisk::new());
