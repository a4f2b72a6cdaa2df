//! A place of its own in the cluster for each test: a prefix that nobody else
//! has.

use crate::{
    domain::{Clock, Timestamp},
    engine::{
        Engine,
        contract::{Harness, TestTime},
        kafka::{KafkaConfig, KafkaEngine},
    },
    runtime::Metrics,
};
use std::{sync::Arc, time::SystemTime};

/// Names the file with the addresses of the cluster, as `tests/kafka/cluster`
/// writes it.
const CLUSTER: &str = "TIDEGATE_KAFKA";

/// Part of a cluster.
pub struct OnCluster {
    pub config: KafkaConfig,
}

fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since.as_millis() as i64)
    })
}

fn described() -> serde_json::Value {
    let path = std::env::var(CLUSTER)
        .unwrap_or_else(|_| panic!("{CLUSTER} names no cluster.json; see tests/kafka/run"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl OnCluster {
    pub fn new() -> OnCluster {
        if std::env::var_os("TIDEGATE_KAFKA_LOG").is_some() {
            // The first test of the process sets it up.
            let _ =
                tracing_subscriber::fmt().with_env_filter("debug").with_test_writer().try_init();
        }
        let brokers = described()["bootstrap"]["PLAINTEXT"].as_str().unwrap().to_owned();
        let config = KafkaConfig {
            brokers: brokers.split(',').map(str::to_owned).collect(),
            topic_prefix: format!("t{:08x}-", fastrand::u32(..)),
            refresh: std::time::Duration::from_millis(300),
            transactions: 2,
            readers: 2,
            idempotency_max: 64,
            table_max: 60,
            group_session: std::time::Duration::from_secs(6),
            ..KafkaConfig::default()
        };
        OnCluster { config }
    }

    pub async fn open(&self) -> Arc<KafkaEngine> {
        let metrics = Metrics::default();
        KafkaEngine::open(self.config.clone(), system_clock(), &metrics).await.unwrap()
    }
}

impl Harness for OnCluster {
    type E = KafkaEngine;

    async fn start(&self) -> Arc<KafkaEngine> {
        self.open().await
    }

    async fn restart(&self, engine: Arc<KafkaEngine>) -> Option<Arc<KafkaEngine>> {
        engine.close().await;
        drop(engine);
        Some(self.open().await)
    }

    fn opens_up_to_date(&self) -> bool {
        false
    }

    /// The cluster has clocks of its own.
    fn time(&self) -> Option<&TestTime> {
        None
    }

    /// Kafka drops whole segments, when it comes to it.
    async fn settle_retention(&self, _: &KafkaEngine) {}

    fn retention_settles(&self) -> bool {
        false
    }

    fn idempotency_max(&self) -> Option<usize> {
        Some(self.config.idempotency_max)
    }

    fn table_max(&self) -> Option<usize> {
        Some(self.config.table_max)
    }
}
