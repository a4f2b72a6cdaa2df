//! The client library set up for each of its uses, and what it tells by
//! callbacks: deliveries, statistics, faults, and lines for the log.

use super::{
    config::{KafkaConfig, SaslMechanismConfig},
    groups::{GroupConsumer, Rebalances},
    ticket::Ticket,
};
use crate::engine::EngineError;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::KafkaError,
    producer::{BaseProducer, DeliveryResult, ProducerContext},
    types::RDKafkaErrorCode as Code,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A consumer of this engine.
pub(super) type Consumer = BaseConsumer<Link>;
/// A producer of this engine.
pub(super) type Producer = BaseProducer<Link>;

/// Room in a batch of the log beside the record itself.
pub(super) const BATCH_OVERHEAD: u32 = 16 << 10;
/// How long an answer to a rebalance may take beside the member's own time.
const ANSWERS: Duration = Duration::from_secs(15);
/// What a consumer holds ahead of its reader, KiB.
const PREFETCH_KIB: u32 = 8 << 10;

/// Listens to what a consumer without records has to tell: faults, and lines for
/// the log, which it would keep otherwise. Blocks for `most`.
pub(super) fn hear(consumer: &Consumer, most: Duration) {
    let until = Instant::now() + most;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let told = consumer.poll(left);
        if told.is_none() && Instant::now() >= until {
            return;
        }
    }
}

/// What the library's callbacks found last, shared by all clients.
#[derive(Default)]
pub(super) struct Heard {
    fault: Mutex<Option<(Code, String)>>,
    stats: Mutex<Option<ClusterStats>>,
}

/// What the shared producer knows of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterStats {
    /// The ids of the brokers that it is connected to.
    pub up: Vec<i32>,
    /// Records that wait to be delivered.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
}

impl Heard {
    /// The last fault of a connection, with what the library says of it.
    pub(super) fn fault(&self) -> Option<(Code, String)> {
        self.fault.lock().clone()
    }

    pub(super) fn stats(&self) -> Option<ClusterStats> {
        self.stats.lock().clone()
    }
}

/// What the library calls back.
#[derive(Clone)]
pub(super) struct Link {
    heard: Arc<Heard>,
}

impl ClientContext for Link {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        match level {
            Emerg | Alert | Critical | Error => tracing::warn!(target: "librdkafka", fac, message),
            Warning => tracing::info!(target: "librdkafka", fac, message),
            Notice | Info | Debug => tracing::debug!(target: "librdkafka", fac, message),
        }
    }

    fn stats(&self, stats: Statistics) {
        let up = stats.brokers.values().filter(|b| b.nodeid >= 0 && b.state == "UP");
        let mut up: Vec<i32> = up.map(|b| b.nodeid).collect();
        up.sort_unstable();
        up.dedup();
        let (queued, queued_bytes) = (stats.msg_cnt, stats.msg_size);
        *self.heard.stats.lock() = Some(ClusterStats { up, queued, queued_bytes });
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = super::errors::code_of(&error);
        // Nothing is wrong with an end of a partition, or a connection that
        // was idle too long.
        if code != Code::PartitionEOF {
            tracing::debug!(%error, reason, "the Kafka client");
            let mut fault = self.heard.fault.lock();
            // That all are down says nothing of why.
            if code != Code::AllBrokersDown || fault.is_none() {
                *fault = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ConsumerContext for Link {}

impl ProducerContext for Link {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        use rdkafka::Message as _;
        match result {
            Ok(message) => ticket.landed(message.offset()),
            Err((error, _)) => ticket.failed(super::errors::code_of(error)),
        }
    }
}

/// Makes clients.
#[derive(Clone)]
pub(super) struct Clients {
    base: ClientConfig,
    link: Link,
    publish_timeout_ms: u128,
    queue_bytes: usize,
}

impl Clients {
    /// By these settings. An error says which file cannot be read.
    pub(super) fn new(config: &KafkaConfig, heard: Arc<Heard>) -> Result<Clients, std::io::Error> {
        let mut base = ClientConfig::new();
        base.set("bootstrap.servers", config.brokers.join(","))
            .set("client.id", "tidegate")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "10000")
            .set("log.connection.close", "false");
        set_security(&mut base, config)?;
        Ok(Clients {
            base,
            link: Link { heard },
            publish_timeout_ms: config.publish_timeout.as_millis(),
            queue_bytes: config.queue_bytes,
        })
    }

    /// The plain settings, for calls to the cluster's administration.
    pub(super) fn admin(&self) -> (&ClientConfig, Link) {
        (&self.base, self.link.clone())
    }

    /// A consumer that is assigned by hand and sees what was committed alone.
    /// It waits at most `wait_ms` for new records with one request.
    pub(super) fn consumer(&self, wait_ms: u32) -> Result<Consumer, EngineError> {
        let mut config = self.base.clone();
        config
            // Without a group there is no assignment; none is ever joined.
            .set("group.id", "tidegate-reader")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", wait_ms.to_string())
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", PREFETCH_KIB.to_string());
        made(config.create_with_context(self.link.clone()))
    }

    /// What listens to the library.
    pub(super) fn link(&self) -> Link {
        self.link.clone()
    }

    /// A consumer that names a group and never joins it, for its commits.
    pub(super) fn outsider(&self, group: &str) -> Result<Consumer, EngineError> {
        let mut config = self.base.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        made(config.create_with_context(self.link.clone()))
    }

    /// A consumer that is a member of a group and carries no records.
    pub(super) fn member(
        &self,
        settings: &MemberSettings<'_>,
        context: Rebalances,
    ) -> Result<GroupConsumer, EngineError> {
        let session = settings.session.as_millis();
        // Who does not answer a rebalance for longer is left out of it: the grace
        // of a member is one such time.
        let answers = (settings.grace + ANSWERS).max(settings.session).as_millis();
        let mut config = self.base.clone();
        config
            .set("client.id", settings.client)
            .set("group.id", settings.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 20).clamp(100, 1_000).to_string())
            .set("max.poll.interval.ms", answers.to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest")
            .set("allow.auto.create.topics", "false")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "64")
            .set("fetch.message.max.bytes", "1024");
        made(config.create_with_context(context))
    }

    /// The producer that all plain publishes share.
    pub(super) fn producer(&self) -> Result<Producer, EngineError> {
        let mut config = self.producing();
        config.set("linger.ms", "0.5").set("statistics.interval.ms", "1000");
        made(config.create_with_context(self.link.clone()))
    }

    /// A producer for one transaction at a time.
    pub(super) fn transactional(&self, id: &str, timeout_ms: u32) -> Result<Producer, EngineError> {
        let mut config = self.producing();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", timeout_ms.to_string())
            // Within the transaction's own time, as the library demands.
            .set("message.timeout.ms", timeout_ms.to_string())
            // Long enough that what is handed over together is one batch.
            .set("linger.ms", "3");
        made(config.create_with_context(self.link.clone()))
    }

    fn producing(&self) -> ClientConfig {
        let mut config = self.base.clone();
        let largest = crate::domain::limits::MAX_RECORD_BYTES + BATCH_OVERHEAD;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", self.publish_timeout_ms.to_string())
            .set("message.max.bytes", largest.to_string())
            .set("batch.size", super::catalog::BATCH_BYTES.to_string())
            .set("batch.num.messages", "10000")
            // What waits is bounded before it is handed over, so that an append
            // is never cut by a queue that is full.
            .set("queue.buffering.max.messages", "0")
            .set(
                "queue.buffering.max.kbytes",
                (self.queue_bytes / 1024 * 4 + (256 << 10)).to_string(),
            );
        config
    }
}

/// What a member of a group is set up with.
pub(super) struct MemberSettings<'a> {
    /// The group's name in the cluster.
    pub group: &'a str,
    /// What the client calls itself.
    pub client: &'a str,
    /// How long Kafka waits for a gateway that says nothing.
    pub session: Duration,
    /// How long a member may take to let go.
    pub grace: Duration,
}

fn made<T>(client: Result<T, KafkaError>) -> Result<T, EngineError> {
    client.map_err(|error| EngineError::Unavailable(format!("the Kafka client: {error}")))
}

fn set_security(base: &mut ClientConfig, config: &KafkaConfig) -> Result<(), std::io::Error> {
    let mechanism = match config.sasl {
        SaslMechanismConfig::None => None,
        SaslMechanismConfig::Plain => Some("PLAIN"),
        SaslMechanismConfig::ScramSha256 => Some("SCRAM-SHA-256"),
        SaslMechanismConfig::ScramSha512 => Some("SCRAM-SHA-512"),
    };
    let protocol = match (config.tls, mechanism) {
        (false, None) => "plaintext",
        (true, None) => "ssl",
        (false, Some(_)) => "sasl_plaintext",
        (true, Some(_)) => "sasl_ssl",
    };
    base.set("security.protocol", protocol);
    let files = [
        ("ssl.ca.location", &config.tls_ca),
        ("ssl.certificate.location", &config.tls_certificate),
        ("ssl.key.location", &config.tls_key),
    ];
    for (name, path) in files {
        if !path.as_os_str().is_empty() && config.tls {
            base.set(name, path.to_string_lossy());
        }
    }
    if let Some(mechanism) = mechanism {
        let password = if config.sasl_password_file.as_os_str().is_empty() {
            config.sasl_password.0.clone()
        } else {
            let text = std::fs::read_to_string(&config.sasl_password_file)?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        };
        base.set("sasl.mechanism", mechanism)
            .set("sasl.username", &config.sasl_username)
            .set("sasl.password", password);
    }
    Ok(())
}
