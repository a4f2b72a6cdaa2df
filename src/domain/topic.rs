//! What a topic is set to, and how two settings differ.

use super::{PartitionCount, limits};
use serde::{Deserialize, Serialize};

/// When a publish is acknowledged, and from when on readers see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once it would survive a power cut.
    #[default]
    Synced,
    /// Once the engine has taken it; the last 100 ms may be lost in a crash.
    Buffered,
}

/// The settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicConfig {
    /// How many partitions; never changes.
    pub partitions: PartitionCount,
    /// How long records are kept after appending, ms; `None` = for ever.
    pub retention_ms: Option<u64>,
    /// How many bytes each partition keeps; `None` = all.
    pub retention_bytes: Option<u64>,
    /// The largest record: key, headers and value, bytes.
    pub max_record_bytes: u32,
    /// When a publish is acknowledged.
    pub durability: Durability,
    /// Whether the partition always follows from the key, so that a key lives
    /// in one partition.
    pub keyed: bool,
    /// Copies on a cluster; `None` = the cluster's default. Not used by the
    /// embedded engines.
    #[serde(default)]
    pub replication_factor: Option<u16>,
    /// Copies that must have a record before it is acknowledged.
    #[serde(default)]
    pub min_insync_replicas: Option<u16>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            partitions: PartitionCount(1),
            retention_ms: None,
            retention_bytes: None,
            max_record_bytes: limits::DEFAULT_RECORD_BYTES,
            durability: Durability::default(),
            keyed: false,
            replication_factor: None,
            min_insync_replicas: None,
        }
    }
}

/// A setting outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {got}; allowed is {allowed}")]
pub struct TopicConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What was asked for.
    pub got: u64,
    /// What may be asked for.
    pub allowed: String,
}

/// One setting in which an existing topic is not as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicDifference {
    /// The setting's name.
    pub setting: &'static str,
    /// What the topic has.
    pub is: serde_json::Value,
    /// What was asked for.
    pub asked: serde_json::Value,
}

/// Changes to a topic; an outer `None` leaves a setting as it is, an inner
/// one takes the bound away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPatch {
    /// See [`TopicConfig::retention_ms`].
    pub retention_ms: Option<Option<u64>>,
    /// See [`TopicConfig::retention_bytes`].
    pub retention_bytes: Option<Option<u64>>,
    /// See [`TopicConfig::max_record_bytes`].
    pub max_record_bytes: Option<u32>,
    /// See [`TopicConfig::durability`].
    pub durability: Option<Durability>,
}

fn within(setting: &'static str, got: u64, min: u64, max: u64, errors: &mut Vec<TopicConfigError>) {
    if got < min || got > max {
        let allowed =
            if max == u64::MAX { format!("{min} or more") } else { format!("{min} to {max}") };
        errors.push(TopicConfigError { setting, got, allowed });
    }
}

impl TopicConfig {
    /// Every setting that lies outside its bounds.
    #[must_use]
    pub fn faults(&self) -> Vec<TopicConfigError> {
        let mut errors = vec![];
        let e = &mut errors;
        within("partitions", self.partitions.0.into(), 1, limits::MAX_PARTITIONS.into(), e);
        if let Some(ms) = self.retention_ms {
            // A bound that milliseconds since 1970 cannot overflow.
            within("retention_ms", ms, limits::MIN_RETENTION_MS, i64::MAX as u64 / 4, e);
        }
        if let Some(bytes) = self.retention_bytes {
            within("retention_bytes", bytes, limits::MIN_RETENTION_BYTES, i64::MAX as u64, e);
        }
        let max = self.max_record_bytes.into();
        within(
            "max_record_bytes",
            max,
            limits::MIN_RECORD_BYTES.into(),
            limits::MAX_RECORD_BYTES.into(),
            e,
        );
        for (setting, value) in [
            ("replication_factor", self.replication_factor),
            ("min_insync_replicas", self.min_insync_replicas),
        ] {
            if let Some(n) = value {
                within(setting, n.into(), 1, 100, e);
            }
        }
        errors
    }

    /// These settings with `patch` laid over them.
    #[must_use]
    pub fn patched(&self, patch: &TopicPatch) -> TopicConfig {
        TopicConfig {
            retention_ms: patch.retention_ms.unwrap_or(self.retention_ms),
            retention_bytes: patch.retention_bytes.unwrap_or(self.retention_bytes),
            max_record_bytes: patch.max_record_bytes.unwrap_or(self.max_record_bytes),
            durability: patch.durability.unwrap_or(self.durability),
            ..self.clone()
        }
    }

    /// In what `asked` differs from these settings.
    #[must_use]
    pub fn differences(&self, asked: &TopicConfig) -> Vec<TopicDifference> {
        let fields = |c: &TopicConfig| {
            [
                ("partitions", serde_json::json!(c.partitions)),
                ("retention_ms", serde_json::json!(c.retention_ms)),
                ("retention_bytes", serde_json::json!(c.retention_bytes)),
                ("max_record_bytes", serde_json::json!(c.max_record_bytes)),
                ("durability", serde_json::json!(c.durability)),
                ("keyed", serde_json::json!(c.keyed)),
                ("replication_factor", serde_json::json!(c.replication_factor)),
                ("min_insync_replicas", serde_json::json!(c.min_insync_replicas)),
            ]
        };
        fields(self)
            .into_iter()
            .zip(fields(asked))
            .filter(|((_, is), (_, asked))| is != asked)
            .map(|((setting, is), (_, asked))| TopicDifference { setting, is, asked })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_out_of_bounds_is_named() {
        let config = TopicConfig {
            partitions: PartitionCount(0),
            retention_ms: Some(1),
            max_record_bytes: u32::MAX,
            ..TopicConfig::default()
        };
        let named: Vec<_> = config.faults().into_iter().map(|e| e.setting).collect();
        assert_eq!(named, ["partitions", "retention_ms", "max_record_bytes"]);
        assert!(TopicConfig::default().faults().is_empty());
    }

    #[test]
    fn differences_name_setting_and_both_values() {
        let asked = TopicConfig { keyed: true, ..TopicConfig::default() };
        let differences = TopicConfig::default().differences(&asked);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].setting, "keyed");
        assert_eq!(differences[0].asked, serde_json::json!(true));
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let config = TopicConfig { retention_ms: Some(5_000), ..TopicConfig::default() };
        let patch = TopicPatch { retention_ms: Some(None), ..TopicPatch::default() };
        assert_eq!(config.patched(&patch), TopicConfig::default());
    }
}
