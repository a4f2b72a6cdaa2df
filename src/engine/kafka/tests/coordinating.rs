//! Kafka's own groups keep the contract of a coordinator.

use super::OnCluster;
use crate::{
    engine::{
        Coordinator,
        contract::{group_suite, groups::GroupHarness},
        kafka::{KafkaEngine, KafkaGroups},
    },
    runtime::Metrics,
};
use std::{sync::Arc, time::Duration};

const GRACE: Duration = Duration::from_secs(4);

impl GroupHarness for OnCluster {
    async fn coordinate(&self, engine: &Arc<KafkaEngine>) -> Arc<dyn Coordinator> {
        KafkaGroups::open(Arc::clone(engine), GRACE, &Metrics::default()).await.unwrap()
    }

    fn grace(&self) -> Duration {
        GRACE
    }

    /// They are the gateway's own consumers, which end with it.
    fn keeps_members(&self) -> bool {
        false
    }

    fn short_session(&self) -> Duration {
        Duration::from_secs(2)
    }
}

group_suite!(OnCluster::new(); ignore = "needs a Kafka cluster: tests/kafka/run");
