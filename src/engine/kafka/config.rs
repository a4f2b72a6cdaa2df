//! How the engine reaches its cluster. Compiled without the client too, so that
//! the table of settings is the same in every build.

use std::{fmt, path::PathBuf, time::Duration};

/// A password: never shown, neither by `Debug` nor by `--print-config`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretConfig(pub String);

impl fmt::Debug for SecretConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(set)" })
    }
}

/// How the gateway proves to the cluster who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanismConfig {
    /// It does not.
    None,
    /// A name and a password as they are; over TLS alone, if at all.
    Plain,
    /// A challenge of SHA-256.
    ScramSha256,
    /// A challenge of SHA-512.
    ScramSha512,
}

/// Settings of the Kafka engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Where to learn of the cluster: `host:port`.
    pub brokers: Vec<String>,
    /// What the names of this gateway's topics begin with in the cluster.
    pub topic_prefix: String,
    /// The compacted topic of what Kafka has no place for, after the prefix.
    pub state_topic: String,
    /// Copies of the state topic; 0 = the cluster's default.
    pub state_replication: usize,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// Who signs the brokers' certificates; empty = those the system trusts.
    pub tls_ca: PathBuf,
    /// The gateway's own certificate; empty = none.
    pub tls_certificate: PathBuf,
    /// Its key.
    pub tls_key: PathBuf,
    /// How it logs in.
    pub sasl: SaslMechanismConfig,
    /// As whom.
    pub sasl_username: String,
    /// With what.
    pub sasl_password: SecretConfig,
    /// Or the file that holds it.
    pub sasl_password_file: PathBuf,
    /// How long the cluster may take for a publish before its outcome counts as
    /// unknown.
    pub publish_timeout: Duration,
    /// How long the cluster may be unreachable at the start.
    pub start_timeout: Duration,
    /// How old what the gateway knows of a partition that nobody reads may be.
    pub refresh: Duration,
    /// Consumers for those who read history.
    pub readers: usize,
    /// Producers for publishes over several partitions at once.
    pub transactions: usize,
    /// The most bytes that wait for the cluster.
    pub queue_bytes: usize,
    /// Idempotency keys remembered at once.
    pub idempotency_max: usize,
    /// Entries of the state table, idempotency keys aside.
    pub table_max: usize,
    /// Members of groups that this gateway serves at once.
    pub members_max: usize,
    /// How long the cluster waits for a gateway that says nothing before what
    /// its members hold goes to others.
    pub group_session: Duration,
    /// Where other gateways of the cluster reach this one; empty = nowhere.
    pub advertise: String,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        KafkaConfig {
            brokers: vec![],
            topic_prefix: String::new(),
            state_topic: "__tidegate_state".to_owned(),
            state_replication: 0,
            tls: false,
            tls_ca: PathBuf::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            sasl: SaslMechanismConfig::None,
            sasl_username: String::new(),
            sasl_password: SecretConfig::default(),
            sasl_password_file: PathBuf::new(),
            publish_timeout: Duration::from_secs(15),
            start_timeout: Duration::from_secs(30),
            refresh: Duration::from_secs(1),
            readers: 4,
            transactions: 8,
            queue_bytes: 64 << 20,
            idempotency_max: 500_000,
            table_max: 100_000,
            members_max: 200,
            group_session: Duration::from_secs(10),
            advertise: String::new(),
        }
    }
}
