//! The order in which a gateway joins its cluster, and why it may not.

use super::{
    catalog::Catalog,
    client::{Clients, Heard},
    cluster::{Cluster, Seen},
    config::KafkaConfig,
    core::{Core, Parts},
    keeper,
    marks::{Marks, Truncated},
    publisher::Publisher,
    state::StateTopic,
};
use crate::{domain::Clock, engine::EngineError, runtime};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How soon an unreachable cluster is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Why the engine did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// No brokers were named.
    #[error("--kafka-brokers names no broker: write host:port, several by commas")]
    NoBrokers,
    /// A file that the settings name cannot be read.
    #[error("a file of the Kafka settings cannot be read: {0}")]
    Settings(String),
    /// Nobody answers.
    #[error("no Kafka broker can be reached at {brokers}: {why}")]
    Unreachable {
        /// Those that were tried.
        brokers: String,
        /// What the last attempt met.
        why: String,
    },
    /// The cluster does not let this gateway in.
    #[error("the Kafka cluster at {brokers} refuses the gateway: {why}")]
    Refused {
        /// Those that were asked.
        brokers: String,
        /// What they said.
        why: String,
    },
    /// The state topic could not be made, written or read.
    #[error("the state topic '{topic}' cannot be used: {why}")]
    State {
        /// Its name in the cluster.
        topic: String,
        /// What was met.
        why: String,
    },
}

/// Joins the cluster: everything is known when this answers.
pub(super) async fn open(
    config: KafkaConfig,
    clock: Clock,
) -> Result<(Arc<Core>, UnboundedReceiver<Truncated>), JoinError> {
    if config.brokers.is_empty() {
        return Err(JoinError::NoBrokers);
    }
    let brokers = config.brokers.join(",");
    let deadline = Instant::now() + config.start_timeout;
    let heard = Arc::<Heard>::default();
    let clients = Clients::new(&config, Arc::clone(&heard));
    let clients = clients.map_err(|e| JoinError::Settings(e.to_string()))?;
    let made = |error: EngineError| JoinError::Settings(error.to_string());
    let cluster = Cluster::new(&clients).map_err(made)?;
    let seen = reach(&cluster, &heard, &brokers, deadline).await?;
    let raw = format!("{}{}", config.topic_prefix, config.state_topic);
    let unusable =
        |error: EngineError| JoinError::State { topic: raw.clone(), why: error.to_string() };
    ensure_state(&config, &cluster, &seen, &raw, deadline).await.map_err(unusable)?;
    let publisher = Publisher::new(&clients, config.queue_bytes).map_err(made)?;
    let state = StateTopic::start(&clients, raw.clone()).map_err(made)?;
    let catalog = Arc::<Catalog>::default();
    let (truncated, told) = unbounded_channel();
    let listed = Arc::clone(&catalog);
    let marks = Marks::start(&clients, config.refresh, move || listed.all(), truncated);
    let gateway = getrandom::u64().map_err(|e| JoinError::Settings(e.to_string()))?;
    let parts = Parts {
        marks: marks.map_err(made)?,
        config,
        clock,
        gateway,
        heard,
        clients,
        cluster,
        catalog,
        publisher,
        state,
    };
    let core = Arc::new(Core::new(parts).map_err(made)?);
    let ready = async {
        core.first_barrier(deadline).await?;
        keeper::look(&core, true).await
    };
    if let Err(error) = ready.await {
        close(&core).await;
        return Err(unusable(error));
    }
    Ok((core, told))
}

/// Waits until a broker tells of the cluster.
async fn reach(
    cluster: &Cluster,
    heard: &Heard,
    brokers: &str,
    deadline: Instant,
) -> Result<Seen, JoinError> {
    loop {
        let why = match cluster.look().await {
            Ok(seen) if !seen.brokers.is_empty() => return Ok(seen),
            Ok(_) => "it has no brokers yet".to_owned(),
            Err(error) => error.to_string(),
        };
        let brokers = brokers.to_owned();
        if let Some((code, why)) = heard.fault() {
            // Waiting does not make a password right.
            if matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) {
                return Err(JoinError::Refused { brokers, why });
            }
            if Instant::now() >= deadline {
                return Err(JoinError::Unreachable { brokers, why });
            }
        } else if Instant::now() >= deadline {
            return Err(JoinError::Unreachable { brokers, why });
        }
        tracing::info!(%why, "waiting for the Kafka cluster");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Makes the state topic, unless it is there, and waits for its leader.
async fn ensure_state(
    config: &KafkaConfig,
    cluster: &Cluster,
    seen: &Seen,
    raw: &str,
    deadline: Instant,
) -> Result<(), EngineError> {
    if !seen.topics.contains_key(raw) {
        let settings = [
            ("cleanup.policy", "compact".to_owned()),
            ("min.cleanable.dirty.ratio", "0.1".to_owned()),
            // What is being written is not compacted, and all is read at a start.
            ("segment.bytes", (32 << 20).to_string()),
            ("retention.ms", "-1".to_owned()),
        ];
        let copies = u16::try_from(config.state_replication).ok().filter(|n| *n > 0);
        match cluster.create(raw, None, 1, copies, &settings).await {
            Ok(()) => tracing::info!(topic = raw, "the state topic was made"),
            // Another gateway was faster, or a broker was late.
            Err(error) if error.to_string().contains("exists") => {}
            Err(error) => return Err(error),
        }
    }
    loop {
        let seen = cluster.look_at(Some(raw.to_owned())).await;
        let led = seen.is_ok_and(|seen| {
            let parts = seen.topics.get(raw);
            parts.is_some_and(|parts| parts.first().is_some_and(|p| !p.in_sync.is_empty()))
        });
        if led {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(EngineError::Unavailable("it has no leader".to_owned()));
        }
        tokio::time::sleep(AGAIN / 4).await;
    }
}

/// How long what is under way may take to end.
const LAST: Duration = Duration::from_secs(10);

/// Ends all threads: what was acknowledged is in the cluster.
pub(super) async fn close(core: &Arc<Core>) {
    core.catalog.close();
    core.look.notify_waiters();
    core.closing.notify_one();
    let ending = Arc::clone(core);
    let ended = runtime::blocking(move || {
        ending.publisher.close(LAST);
        ending.pool.close();
        ending.follower.close();
        ending.marks.close();
        ending.history.close();
        ending.state.close();
    });
    if ended.await.is_err() {
        tracing::error!("the Kafka engine did not end in order");
    }
    core.catalog.end();
}
