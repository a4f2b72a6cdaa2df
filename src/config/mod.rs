//! Settings as written → settings as used. Every setting has one row in
//! `table`, from which its key in the file, its environment variable, its flag
//! and its help follow. Opens nothing but the settings file.

mod fault;
mod file;
mod flags;
mod print;
mod resolve;
mod setting;
mod table;
#[cfg(test)]
mod tests;
pub mod value;

pub use fault::{Fault, Faults, Origin};
pub use file::SettingsFile;
pub use flags::SettingFlags;
pub use print::as_toml;
pub use resolve::{Resolved, Written, resolve};
pub use setting::Choice;

use crate::domain::Limits;
use crate::engine::{
    kafka::{KafkaConfig, SaslMechanismConfig},
    sled::SledConfig,
};
use crate::group::GroupConfig;
use crate::http::HttpConfig;
use crate::session::SessionConfig;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// What the names of all environment variables begin with.
const VARIABLES: &str = "TIDEGATE_";
/// Names the settings file.
const CONFIG_VARIABLE: &str = "TIDEGATE_CONFIG";
/// Variables that are no settings of the gateway: the settings file, the
/// server that the command line speaks to, and the binary that tests run.
const NOT_SETTINGS: &[&str] = &[CONFIG_VARIABLE, "TIDEGATE_SERVER", "TIDEGATE_BIN"];

/// Everything that an operator may set, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether `listen` may be more than loopback, though anyone who reaches
    /// it may publish and read.
    pub listen_anywhere: bool,
    /// Where the store lies.
    pub data_dir: PathBuf,
    /// Which engine keeps the records.
    pub engine: EngineKind,
    /// Connections and their time-outs.
    pub http: HttpConfig,
    /// Streaming connections.
    pub session: SessionConfig,
    /// Bounds on what clients can make grow.
    pub limits: Limits,
    /// Groups that the gateway itself coordinates.
    pub group: GroupConfig,
    /// The embedded store.
    pub sled: SledConfig,
    /// The way to the Kafka cluster.
    pub kafka: KafkaConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// The engines that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The embedded store on disk.
    Sled,
    /// In memory: gone when the process ends.
    Memory,
    /// A Kafka cluster.
    Kafka,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One readable line each.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Levels by part of the program, as `tracing` writes them.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

impl EngineKind {
    /// Every engine.
    pub const ALL: &'static [EngineKind] =
        &[EngineKind::Sled, EngineKind::Memory, EngineKind::Kafka];
}

impl Choice for EngineKind {
    fn name(&self) -> &'static str {
        match self {
            EngineKind::Sled => "sled",
            EngineKind::Memory => "memory",
            EngineKind::Kafka => "kafka",
        }
    }
}

impl LogFormat {
    /// Every format.
    pub const ALL: &'static [LogFormat] = &[LogFormat::Auto, LogFormat::Text, LogFormat::Json];
}

impl Choice for LogFormat {
    fn name(&self) -> &'static str {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            listen_anywhere: false,
            data_dir: PathBuf::from("./data"),
            engine: EngineKind::Sled,
            http: HttpConfig::default(),
            session: SessionConfig::default(),
            limits: Limits::default(),
            group: GroupConfig::default(),
            sled: SledConfig::default(),
            kafka: KafkaConfig::default(),
            log: LogConfig { filter: "info".to_owned(), format: LogFormat::Auto },
        };
        config.finish();
        config
    }
}

impl Config {
    /// Puts the store elsewhere than the settings say.
    pub fn move_store(&mut self, data_dir: &Path) {
        data_dir.clone_into(&mut self.data_dir);
        self.finish();
    }

    /// Hands to the rooms what they need of settings that stand elsewhere.
    fn finish(&mut self) {
        self.sled.data_dir.clone_from(&self.data_dir);
    }

    /// What contradicts itself though each value alone is allowed: the key
    /// that is to be changed, and why.
    fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = vec![];
        if !self.listen.ip().is_loopback() && !self.listen_anywhere {
            let what = format!(
                "{} can be reached from other machines, and there is no authentication yet: whoever \
                 reaches it may publish, read and delete. Listen on 127.0.0.1 or [::1], or say \
                 --insecure-listen-anywhere if the network is trusted",
                self.listen
            );
            found.push(("listen", what));
        }
        if let Some(origin) = self.http.no_origin() {
            let what = format!(
                "{origin:?} is no origin: write https:// or http://, a host, and a port if it is not \
                 the usual one, without a path"
            );
            found.push(("http.cors-origins", what));
        }
        if self.limits.inflight_bytes < self.limits.body_bytes {
            let what = format!(
                "{} is less than `limits.body-bytes` ({}): no body of that size would ever be taken",
                value::print_size(self.limits.inflight_bytes as u64),
                value::print_size(self.limits.body_bytes as u64),
            );
            found.push(("limits.inflight-bytes", what));
        }
        if self.limits.partitions < self.limits.topics {
            let what = format!(
                "{} is less than `limits.topics` ({}), and each topic has one at least",
                self.limits.partitions, self.limits.topics
            );
            found.push(("limits.partitions", what));
        }
        self.contradictions_of_kafka(&mut found);
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&self.log.filter) {
            let allowed =
                "write a level (error, warn, info, debug, trace) or part=level, by commas";
            found.push(("log.filter", format!("{error}; {allowed}")));
        }
        found
    }

    fn contradictions_of_kafka(&self, found: &mut Vec<(&'static str, String)>) {
        if self.engine != EngineKind::Kafka {
            return;
        }
        let kafka = &self.kafka;
        let mut say = |key, what: &str| found.push((key, what.to_owned()));
        if !cfg!(feature = "kafka") {
            say("engine", "this build has no Kafka engine: build it with the feature `kafka`");
        }
        if kafka.brokers.is_empty() {
            say("kafka.brokers", "--engine kafka needs brokers: host:port, separated by commas");
        }
        let encrypts = cfg!(feature = "kafka-tls") || cfg!(feature = "kafka-tls-vendored");
        if kafka.tls && !encrypts {
            say("kafka.tls", "this build has no TLS: build it with the feature `kafka-tls`");
        }
        let scram = !matches!(kafka.sasl, SaslMechanismConfig::None | SaslMechanismConfig::Plain);
        if scram && !encrypts {
            say("kafka.sasl-mechanism", "SCRAM needs a build with the feature `kafka-tls`");
        }
        let named = !kafka.sasl_username.is_empty();
        if kafka.sasl != SaslMechanismConfig::None && !named {
            say("kafka.sasl-username", "a mechanism to log in by needs a name");
        }
        let (by_file, by_text) =
            (!kafka.sasl_password_file.as_os_str().is_empty(), !kafka.sasl_password.0.is_empty());
        if by_file && by_text {
            say("kafka.sasl-password-file", "the password is given twice: here and by itself");
        }
        if kafka.sasl != SaslMechanismConfig::None && !by_file && !by_text {
            say("kafka.sasl-password-file", "a mechanism to log in by needs a password");
        }
        if !kafka.advertise.is_empty() && self.advertised_host().is_none() {
            say("advertise", "other gateways need an address such as http://10.0.0.7:8080");
        }
        let name = format!("{}{}", kafka.topic_prefix, kafka.state_topic);
        if let Err(error) = crate::domain::TopicName::new(&name) {
            say("kafka.state-topic", &format!("{name:?}: {error}"));
        }
    }

    /// The host of the address that other gateways call; `None` if it is none.
    fn advertised_host(&self) -> Option<&str> {
        let authority = self.kafka.advertise.strip_prefix("http://")?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let plain = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
        (plain && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(host)
    }

    /// Other gateways call this one by the name that it is advertised by.
    pub fn allow_advertised(&mut self) {
        if let Some(host) = self.advertised_host().map(str::to_owned) {
            self.http.allowed_hosts.push(host);
        }
    }
}
