//! Bodies about topics: how they are to be set, and how they stand.

use super::{ErrorCode, Problem, json, params::parse_time};
use crate::domain::{
    Durability, Incarnation, Offset, PartitionCount, PartitionId, PartitionView, Timestamp,
    TopicConfig, TopicName, TopicPatch,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// When a publish is acknowledged, and from when on readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityName {
    /// Once it would survive a power cut.
    Synced,
    /// Once it was taken; the last 100 ms may be lost in a crash.
    Buffered,
}

impl From<DurabilityName> for Durability {
    fn from(name: DurabilityName) -> Durability {
        match name {
            DurabilityName::Synced => Durability::Synced,
            DurabilityName::Buffered => Durability::Buffered,
        }
    }
}

impl From<Durability> for DurabilityName {
    fn from(durability: Durability) -> DurabilityName {
        match durability {
            Durability::Synced => DurabilityName::Synced,
            Durability::Buffered => DurabilityName::Buffered,
        }
    }
}

/// How a topic is to be. What is left out, or null, takes its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"partitions": 4, "retention_ms": 604_800_000, "keyed": false}))]
pub struct TopicBody {
    /// How many partitions, for the topic's whole life. 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1024)]
    pub partitions: Option<u32>,
    /// How long records are kept after they were stored, milliseconds; null
    /// (the default) = for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 2_305_843_009_213_693_951_u64)]
    pub retention_ms: Option<u64>,
    /// How many bytes each partition keeps; null (the default) = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 65536, maximum = 9_223_372_036_854_775_807_u64)]
    pub retention_bytes: Option<u64>,
    /// The largest record: key, headers and value, bytes. 1 MiB if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1024, maximum = 16_777_216)]
    pub max_record_bytes: Option<u32>,
    /// When a publish is acknowledged. `synced` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityName>,
    /// Whether the partition always follows from the key.
    #[serde(default)]
    pub keyed: bool,
    /// Copies on a cluster; null (the default) = as the cluster does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub replication_factor: Option<u16>,
    /// Copies that must have a record before it is acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub min_insync_replicas: Option<u16>,
}

impl TopicBody {
    /// Parses a body; an empty one asks for the defaults.
    pub fn parse(body: &[u8]) -> Result<TopicBody, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(TopicBody::default());
        }
        json::parse(body)
    }

    /// The settings, checked; `topic_config_invalid` names all faults.
    pub fn config(&self) -> Result<TopicConfig, Problem> {
        let default = TopicConfig::default();
        let config = TopicConfig {
            partitions: self.partitions.map_or(default.partitions, PartitionCount),
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
            max_record_bytes: self.max_record_bytes.unwrap_or(default.max_record_bytes),
            durability: self.durability.map_or(default.durability, Durability::from),
            keyed: self.keyed,
            replication_factor: self.replication_factor,
            min_insync_replicas: self.min_insync_replicas,
        };
        checked(config)
    }
}

fn checked(config: TopicConfig) -> Result<TopicConfig, Problem> {
    let faults = config.faults();
    if faults.is_empty() { Ok(config) } else { Err(Problem::topic_config(&faults)) }
}

/// Changes to a topic. What is left out stays; null takes a bound away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"retention_ms": 86_400_000, "retention_bytes": null}))]
pub struct TopicPatchBody {
    /// How long records are kept after they were stored, milliseconds.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1000, maximum = 2_305_843_009_213_693_951_u64)]
    pub retention_ms: Option<Option<u64>>,
    /// How many bytes each partition keeps.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 65536, maximum = 9_223_372_036_854_775_807_u64)]
    pub retention_bytes: Option<Option<u64>>,
    /// The largest record: key, headers and value, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1024, maximum = 16_777_216)]
    pub max_record_bytes: Option<u32>,
    /// When a publish is acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityName>,
}

/// Tells `null` (`Some(None)`) from a field that is not there (`None`).
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(Some)
}

impl TopicPatchBody {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<TopicPatchBody, Problem> {
        json::parse(body)
    }

    /// The changes, checked; `topic_config_invalid` names all faults.
    pub fn patch(&self) -> Result<TopicPatch, Problem> {
        let patch = TopicPatch {
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
            max_record_bytes: self.max_record_bytes,
            durability: self.durability.map(Durability::from),
        };
        checked(TopicConfig::default().patched(&patch))?;
        Ok(patch)
    }
}

/// The settings of a topic, as it has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicSettings {
    /// How many partitions.
    pub partitions: u32,
    /// How long records are kept after they were stored, milliseconds; null = for ever.
    #[schema(required)]
    pub retention_ms: Option<u64>,
    /// How many bytes each partition keeps; null = all.
    #[schema(required)]
    pub retention_bytes: Option<u64>,
    /// The largest record: key, headers and value, bytes.
    pub max_record_bytes: u32,
    /// When a publish is acknowledged.
    pub durability: DurabilityName,
    /// Whether the partition always follows from the key.
    pub keyed: bool,
    /// Copies on a cluster, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replication_factor: Option<u16>,
    /// Copies that must have a record before it is acknowledged, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub min_insync_replicas: Option<u16>,
}

impl From<&TopicConfig> for TopicSettings {
    fn from(config: &TopicConfig) -> TopicSettings {
        TopicSettings {
            partitions: config.partitions.0,
            retention_ms: config.retention_ms,
            retention_bytes: config.retention_bytes,
            max_record_bytes: config.max_record_bytes,
            durability: config.durability.into(),
            keyed: config.keyed,
            replication_factor: config.replication_factor,
            min_insync_replicas: config.min_insync_replicas,
        }
    }
}

/// A topic in a list, and as the answer to making or changing one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "earthquakes", "partitions": 4, "retention_ms": null, "retention_bytes": null,
    "max_record_bytes": 1_048_576, "durability": "synced", "keyed": false,
    "created": 1_700_000_000_000_u64, "incarnation": "00000000000000a1"
}))]
pub struct TopicSummary {
    /// The name.
    pub name: String,
    /// The settings.
    #[serde(flatten)]
    pub settings: TopicSettings,
    /// When it was made, milliseconds since 1970.
    pub created: i64,
    /// Tells it from an earlier topic of the same name; 16 hexadecimal digits.
    pub incarnation: String,
}

impl TopicSummary {
    /// Of a topic as the engine has it.
    #[must_use]
    pub fn new(
        name: &TopicName,
        config: &TopicConfig,
        created: Timestamp,
        incarnation: Incarnation,
    ) -> TopicSummary {
        TopicSummary {
            name: name.to_string(),
            settings: config.into(),
            created: created.millis(),
            incarnation: format!("{:016x}", incarnation.0),
        }
    }
}

/// A page of the list of topics, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"topics": [], "next": null}))]
pub struct TopicPage {
    /// The topics.
    pub topics: Vec<TopicSummary>,
    /// What to give as `after` for the page that follows; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// One partition as readers may see it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "partition": 0, "start": 0, "tail": 1707, "epoch": 0, "bytes": 1_261_530, "records": 1707
}))]
pub struct PartitionDescription {
    /// Which partition, from 0.
    pub partition: u32,
    /// The earliest offset that is kept.
    pub start: u64,
    /// The next offset to be written.
    pub tail: u64,
    /// The epoch that is being written.
    pub epoch: u32,
    /// Bytes of records kept, before compression.
    pub bytes: u64,
    /// Records kept; at most so many where offsets have gaps (Kafka).
    pub records: u64,
}

impl PartitionDescription {
    /// Of a partition as the engine shows it.
    #[must_use]
    pub fn new(partition: PartitionId, view: &PartitionView) -> PartitionDescription {
        PartitionDescription {
            partition: partition.0,
            start: view.start.0,
            tail: view.tail.0,
            epoch: view.epoch().0,
            bytes: view.bytes,
            records: view.tail.since(view.start),
        }
    }
}

/// A topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicDescription {
    /// The topic.
    #[serde(flatten)]
    pub topic: TopicSummary,
    /// Every partition, in order.
    pub partition_list: Vec<PartitionDescription>,
}

/// Where to move the start: before an offset of one partition, or before a
/// time in one or all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"before": {"time": "2026-01-01T00:00:00Z"}}))]
pub struct TrimBody {
    /// The partition; all of them if left out, which only a time allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1023)]
    pub partition: Option<u32>,
    /// What is kept begins here.
    #[schema(value_type = TrimBeforeShape)]
    pub before: TrimBefore,
}

/// The first record that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "TrimBeforeShape")]
pub enum TrimBefore {
    /// By offset; the tail removes all.
    Offset(u64),
    /// By time: RFC 3339, or milliseconds since 1970.
    Time(TimeText),
}

/// The first record that is kept: by exactly one of these.
#[derive(Debug, ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(as = TrimBefore, example = json!({"offset": 1200}))]
pub struct TrimBeforeShape {
    /// By offset; the tail removes all.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false)]
    pub offset: Option<u64>,
    /// By time.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(nullable = false)]
    pub time: Option<TimeText>,
}

/// A field that may be left out, and is not null.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl TryFrom<TrimBeforeShape> for TrimBefore {
    type Error = &'static str;

    fn try_from(shape: TrimBeforeShape) -> Result<TrimBefore, &'static str> {
        match (shape.offset, shape.time) {
            (Some(offset), None) => Ok(TrimBefore::Offset(offset)),
            (None, Some(time)) => Ok(TrimBefore::Time(time)),
            _ => Err("'before' needs exactly one of 'offset' and 'time'"),
        }
    }
}

/// A time as a client writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TimeText {
    /// Milliseconds since 1970.
    Millis(u64),
    /// RFC 3339 with an offset.
    Text(String),
}

impl TimeText {
    /// The time; `timestamp_invalid` if it is none.
    pub fn time(&self) -> Result<Timestamp, Problem> {
        match self {
            TimeText::Millis(ms) => parse_time(&ms.to_string()),
            TimeText::Text(text) => parse_time(text),
        }
    }
}

/// A trim, checked in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// One partition, up to an offset (exclusive).
    Offset(PartitionId, Offset),
    /// One partition or all, up to the first record at or after a time.
    Time(Option<PartitionId>, Timestamp),
}

impl TrimBody {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<TrimBody, Problem> {
        json::parse(body)
    }

    /// The trim; `body_invalid` for an offset without a partition,
    /// `timestamp_invalid` for a time that is none.
    pub fn trim(&self) -> Result<Trim, Problem> {
        let partition = self.partition.map(PartitionId);
        match (&self.before, partition) {
            (TrimBefore::Offset(offset), Some(p)) => Ok(Trim::Offset(p, Offset(*offset))),
            (TrimBefore::Offset(_), None) => {
                let detail = "an offset means one partition: name it with 'partition'";
                Err(Problem::new(ErrorCode::BodyInvalid, detail))
            }
            (TrimBefore::Time(time), p) => Ok(Trim::Time(p, time.time()?)),
        }
    }
}

/// Where partitions begin after a trim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"partitions": [{"partition": 0, "start": 1200}]}))]
pub struct TrimAnswer {
    /// The partitions that the trim was about.
    pub partitions: Vec<TrimmedPartition>,
}

/// Where one partition begins after a trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrimmedPartition {
    /// Which partition.
    pub partition: u32,
    /// The earliest offset that is kept.
    pub start: u64,
}

/// The first offset at or after a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"partition": 0, "time": 1_700_000_000_000_u64, "offset": 831, "tail": 1707}))]
pub struct OffsetAnswer {
    /// Which partition.
    pub partition: u32,
    /// The time that was asked for, milliseconds since 1970.
    pub time: i64,
    /// The first offset at or after it; the tail if there is none.
    pub offset: u64,
    /// The next offset to be written.
    pub tail: u64,
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
