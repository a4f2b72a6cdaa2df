//! The use-cases that every transport calls: topics, publishing, reading, and
//! how much of them may be under way at once. Knows no transport and no JSON;
//! it is handed `domain` types and answers in them.

mod admission;
mod digest;
pub mod error;
mod follow;
mod groups;
mod metrics;
mod publish;
mod reader;
mod shared;
#[cfg(test)]
mod tests;
mod topics;
mod turns;

pub use crate::domain::CommitDraft;
pub use crate::engine::ReadBudget;
pub use admission::Permit;
pub use digest::RequestDigest;
pub use error::{BrokerError, Overload, RecordFault};
pub use groups::{
    GroupLoss, GroupPartition, GroupPlaces, GroupPoll, GroupView, Membership, ResetMove, ResetTo,
};
pub use publish::{PublishBuilder, Published};
pub use reader::{ReadEvent, ReadFrom, ReadRequest, Reader};
pub use shared::{FormId, SharedBatch};
pub use topics::{Ensured, TopicView, TrimTo};

use crate::{
    domain::{IdempotencyKey, Limits, TopicName},
    engine::{BodyDigest, Coordinator, Engine, Health, Idempotency, Promises, Topic},
    runtime::{Metrics, Tasks},
};
use admission::Admission;
use follow::Hubs;
use metrics::BrokerMetrics;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use turns::Turns;

/// The use-cases over one engine.
pub struct Broker {
    engine: Arc<dyn Engine>,
    /// Who reads what for which group.
    coordinator: Arc<dyn Coordinator>,
    limits: Limits,
    admission: Admission,
    /// Reads at work; one more waits its turn.
    reads: Semaphore,
    turns: Turns,
    /// What followers share.
    hubs: Arc<Hubs>,
    /// What works for several readers at once.
    tasks: Tasks,
    /// Held while a topic is made, so that the bounds on their number hold.
    creation: tokio::sync::Mutex<()>,
    metrics: BrokerMetrics,
    /// When the lag of groups was last looked at.
    measured: groups::Measured,
}

impl Broker {
    /// A broker over `engine`, whose groups `coordinator` keeps, within `limits`.
    #[must_use]
    pub fn new(
        engine: Arc<dyn Engine>,
        coordinator: Arc<dyn Coordinator>,
        limits: Limits,
        metrics: &Metrics,
    ) -> Arc<Broker> {
        let counted = BrokerMetrics::new(metrics);
        let hubs = Arc::<Hubs>::default();
        metrics::show_follow(metrics, &hubs);
        Arc::new(Broker {
            engine,
            coordinator,
            admission: Admission::new(limits.inflight_bytes, limits.inflight_requests, metrics),
            reads: Semaphore::new(limits.concurrent_reads.clamp(1, Semaphore::MAX_PERMITS)),
            turns: Turns::default(),
            hubs,
            tasks: Tasks::default(),
            creation: tokio::sync::Mutex::new(()),
            metrics: counted,
            measured: groups::Measured::default(),
            limits,
        })
    }

    /// The bounds it works within.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// `memory`, `sled` or `kafka`.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    /// Where the engine differs from others.
    #[must_use]
    pub fn promises(&self) -> Promises {
        self.engine.promises()
    }

    /// Whether the engine can do its work now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// Waits for what it has under way by itself to end, which it does once no
    /// reader is left, and cuts it at `deadline`; then stops the groups.
    pub async fn close(&self, deadline: tokio::time::Instant) {
        self.tasks.join(deadline).await;
        self.coordinator.close().await;
    }

    /// A topic by name, at once. `Engine(TopicUnknown)` if there is none.
    pub fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, BrokerError> {
        Ok(self.engine.topic(name)?)
    }

    /// Takes `bytes` of the memory for request bodies, and a place among the
    /// publishes under way; both come back when the permit is dropped.
    /// Answers `Overloaded` at once where there is no room.
    pub fn admit(&self, bytes: usize) -> Result<Permit, BrokerError> {
        self.admission.admit(bytes).map_err(|overload| {
            self.metrics.refused.inc();
            BrokerError::Overloaded(overload)
        })
    }

    /// What makes a publish happen once: its key and the digest of its body.
    #[must_use]
    pub fn idempotency(&self, key: IdempotencyKey, digest: BodyDigest) -> Idempotency {
        let ttl = Duration::from_millis(self.limits.idempotency_ttl_ms);
        Idempotency { key, digest, ttl }
    }
}
