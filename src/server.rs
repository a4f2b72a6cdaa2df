//! Composition: the one place that names the engines. Builds a gateway from
//! its settings, and stops it in order.

#[cfg(feature = "kafka")]
mod passing;

use crate::{
    broker::Broker,
    config::{Config, EngineKind},
    domain::{Clock, Timestamp},
    engine::{
        Coordinator, Engine, EngineError, StateTable,
        memory::MemoryEngine,
        sled::{OpenError, SledEngine},
    },
    group::Groups,
    http::{self, Forward, Site},
    runtime::{Metrics, Phase, Shutdown, ShutdownToken, TaskFailed, TaskKind, Tasks},
    session::Host,
};
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpListener;

/// How often the memory engine drops what is kept no longer.
const MEMORY_RETENTION: Duration = Duration::from_secs(1);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The store was refused. Nothing was changed.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The cluster could not be joined.
    #[cfg(feature = "kafka")]
    #[error(transparent)]
    Cluster(#[from] crate::engine::kafka::JoinError),
    /// What is kept of groups cannot be used.
    #[error("groups cannot be opened: {0}")]
    Groups(EngineError),
    /// No calls can be passed on to other gateways.
    #[error("other gateways cannot be spoken to: {0}")]
    Others(String),
    /// This build has no such engine.
    #[error("this build has no {0} engine")]
    NoEngine(&'static str),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

/// A gateway that runs. Stop it: dropped, its tasks end with the process.
pub struct Server {
    address: SocketAddr,
    engine: Arc<dyn Engine>,
    broker: Arc<Broker>,
    shutdown: Shutdown,
    tasks: Tasks,
}

impl Server {
    /// Opens the store, binds the address, and serves from then on.
    pub async fn start(mut config: Config) -> Result<Server, ServerError> {
        config.allow_advertised();
        let metrics = Metrics::default();
        metrics.show_memory();
        let tasks = Tasks::default();
        let shutdown = Shutdown::new(config.http.shutdown_deadline);
        let failed = |error| ServerError::Listen { address: config.listen, error };
        // Bound first: a store is not opened, and locked, for an address that
        // is taken. Until it is, connections wait in the backlog.
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let forward = other_gateways(&config)?;
        let draining = shutdown.token(Phase::Draining);
        let (engine, coordinator) = open_engine(&config, &metrics, &tasks, draining).await?;
        let broker = Broker::new(Arc::clone(&engine), coordinator, config.limits, &metrics);
        let serving = Arc::clone(&broker);
        let (stop, own) = (shutdown.clone(), tasks.clone());
        let sessions = Host::new(serving, config.session, &metrics);
        let site = Site::new(config.http, address, sessions, &metrics, stop, own, forward);
        tasks.spawn("listener", TaskKind::Vital, http::listen(site, listener));
        tracing::info!(%address, engine = engine.name(), "serving");
        Ok(Server { address, engine, broker, shutdown, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many tasks are running, or have just ended.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until something that it cannot do without has failed; for ever if
    /// nothing does.
    pub async fn failed(&self) -> TaskFailed {
        self.tasks.failed().await
    }

    /// Stops in order: not ready, no new connections, what is in flight is
    /// finished or at the deadline cut, and the store is synced and closed.
    pub async fn stop(self) {
        let deadline = self.shutdown.deadline();
        self.shutdown.enter(Phase::NotReady);
        self.shutdown.enter(Phase::Refusing);
        self.shutdown.enter(Phase::Draining);
        let cut = self.tasks.join(deadline).await;
        if cut > 0 {
            tracing::warn!(tasks = cut, "not all was finished at the deadline");
        }
        self.shutdown.enter(Phase::Closing);
        self.broker.close(deadline).await;
        self.engine.close().await;
        tracing::info!("stopped");
    }
}

/// The log, and who coordinates groups over it.
type Opened = (Arc<dyn Engine>, Arc<dyn Coordinator>);

async fn open_engine(
    config: &Config,
    metrics: &Metrics,
    tasks: &Tasks,
    stopping: ShutdownToken,
) -> Result<Opened, ServerError> {
    match config.engine {
        EngineKind::Sled => {
            let opened = SledEngine::open(config.sled.clone(), system_clock(), metrics).await;
            with_groups(opened?, config, metrics).await
        }
        EngineKind::Memory => {
            let engine = Arc::new(MemoryEngine::new(system_clock()));
            let kept = retain(Arc::clone(&engine), stopping);
            tasks.spawn("memory retention", TaskKind::Vital, kept);
            with_groups(engine, config, metrics).await
        }
        #[cfg(feature = "kafka")]
        EngineKind::Kafka => {
            let joining = crate::engine::kafka::KafkaEngine::open;
            let engine = joining(config.kafka.clone(), system_clock(), metrics).await?;
            let (log, grace) = (Arc::clone(&engine), config.group.revoke_grace);
            let groups = crate::engine::kafka::KafkaGroups::open(log, grace, metrics).await;
            Ok((engine, groups.map_err(ServerError::Groups)?))
        }
        #[cfg(not(feature = "kafka"))]
        EngineKind::Kafka => Err(ServerError::NoEngine("kafka")),
    }
}

/// The way to other gateways of the same cluster, where there may be some.
fn other_gateways(config: &Config) -> Result<Option<Arc<dyn Forward>>, ServerError> {
    #[cfg(feature = "kafka")]
    if config.engine == EngineKind::Kafka {
        let others = passing::OtherGateways::new();
        return Ok(Some(Arc::new(others.map_err(|e| ServerError::Others(e.to_string()))?)));
    }
    let _no_others = config;
    Ok(None)
}

/// An engine that has no coordinator of its own, with one over its table.
async fn with_groups<E: Engine + StateTable>(
    engine: Arc<E>,
    config: &Config,
    metrics: &Metrics,
) -> Result<Opened, ServerError> {
    let (log, table) = (Arc::clone(&engine), Arc::clone(&engine));
    let groups = Groups::open(log, table, system_clock(), config.group, metrics).await;
    Ok((engine, groups.map_err(ServerError::Groups)?))
}

/// Milliseconds of the system's clock.
fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}

/// The memory engine has no threads of its own.
async fn retain(engine: Arc<MemoryEngine>, stopping: ShutdownToken) {
    let mut tick = tokio::time::interval(MEMORY_RETENTION);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stopping.cancelled() => return,
        }
        if let Err(error) = engine.enforce_retention() {
            tracing::warn!(%error, "retention failed");
        }
    }
}

#[cfg(test)]
mod tests;
