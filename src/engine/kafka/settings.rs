//! A topic's settings as Kafka knows them, both ways. Pure.
//!
//! | of the topic | in the cluster |
//! | --- | --- |
//! | `retention_ms`, `retention_bytes` | `retention.ms`, `retention.bytes`; none is -1 |
//! | `max_record_bytes` | `max.message.bytes`, with room for a batch's own bytes |
//! | `min_insync_replicas` | `min.insync.replicas` |
//! | `replication_factor` | of the partitions |
//! | `durability`, `keyed` | the state topic alone |
//!
//! Times of records are the publishers', however old or early, as everywhere.

use super::client::BATCH_OVERHEAD;
use crate::domain::{Durability, PartitionCount, TopicConfig, limits};

/// What Kafka's own default for the largest batch is; less is never asked for.
const DEFAULT_MESSAGE_BYTES: u32 = 1_048_588;
const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const MESSAGE_BYTES: &str = "max.message.bytes";
const IN_SYNC: &str = "min.insync.replicas";

/// What a topic is to be set to.
pub(super) fn wanted(config: &TopicConfig) -> Vec<(&'static str, String)> {
    let number = |n: Option<u64>| n.map_or("-1".to_owned(), |n| n.to_string());
    let largest = config.max_record_bytes.saturating_add(BATCH_OVERHEAD);
    let mut wanted = vec![
        (RETENTION_MS, number(config.retention_ms)),
        (RETENTION_BYTES, number(config.retention_bytes)),
        (MESSAGE_BYTES, largest.max(DEFAULT_MESSAGE_BYTES).to_string()),
    ];
    if let Some(copies) = config.min_insync_replicas {
        wanted.push((IN_SYNC, copies.to_string()));
    }
    wanted
}

/// What a topic is set to once and for all when it is made.
pub(super) fn wanted_when_made(config: &TopicConfig) -> Vec<(&'static str, String)> {
    let mut wanted = wanted(config);
    let any = i64::MAX.to_string();
    wanted.push(("message.timestamp.type", "CreateTime".to_owned()));
    wanted.push(("message.timestamp.before.max.ms", any.clone()));
    wanted.push(("message.timestamp.after.max.ms", any));
    wanted.push(("cleanup.policy", "delete".to_owned()));
    wanted
}

/// What the cluster says of a topic's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    pub message_bytes: Option<u32>,
    pub min_insync: Option<u16>,
}

impl Found {
    /// Out of the cluster's list.
    pub(super) fn of<'a>(entries: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Found {
        let mut found = Found::default();
        for (name, value) in entries {
            let Some(value) = value else { continue };
            match name {
                // Below zero is none.
                RETENTION_MS => found.retention_ms = value.parse().ok(),
                RETENTION_BYTES => found.retention_bytes = value.parse().ok(),
                MESSAGE_BYTES => found.message_bytes = value.parse().ok(),
                IN_SYNC => found.min_insync = value.parse().ok(),
                _ => {}
            }
        }
        found
    }

    /// The settings of a topic of ours: what Kafka keeps may have been changed
    /// by others.
    pub(super) fn over(&self, kept: &TopicConfig) -> TopicConfig {
        let min_insync_replicas = kept.min_insync_replicas.and(self.min_insync);
        TopicConfig {
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
            min_insync_replicas,
            ..kept.clone()
        }
    }

    /// The settings of a topic that another program made.
    pub(super) fn of_others(&self, partitions: u32, replicas: usize) -> TopicConfig {
        let largest = self.message_bytes.unwrap_or(DEFAULT_MESSAGE_BYTES);
        // What fits with a little room for the batch around it.
        let fits = largest.saturating_sub(512).max(limits::MIN_RECORD_BYTES);
        TopicConfig {
            partitions: PartitionCount(partitions),
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
            max_record_bytes: fits.min(limits::MAX_RECORD_BYTES),
            durability: Durability::Synced,
            keyed: false,
            replication_factor: u16::try_from(replicas).ok(),
            min_insync_replicas: self.min_insync,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_again() {
        let config = TopicConfig {
            retention_ms: Some(5_000),
            max_record_bytes: 16 << 20,
            min_insync_replicas: Some(2),
            keyed: true,
            ..TopicConfig::default()
        };
        let wanted = wanted_when_made(&config);
        let found = Found::of(wanted.iter().map(|(name, value)| (*name, Some(value.as_str()))));
        assert_eq!(found.over(&config), config);
        assert_eq!(found.message_bytes, Some((16 << 20) + BATCH_OVERHEAD));
    }

    #[test]
    fn a_topic_of_others_is_bounded_by_what_the_cluster_takes() {
        let found = Found { message_bytes: Some(2_000), ..Found::default() };
        let config = found.of_others(3, 2);
        assert_eq!((config.max_record_bytes, config.replication_factor), (1_488, Some(2)));
        assert!(config.faults().is_empty());
    }
}
