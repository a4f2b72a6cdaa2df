//! What a client is told of a refusal: RFC 9457 problem details. Every error
//! of the rooms below becomes one here, and only here.

use super::ErrorCode;
use crate::{
    broker::error::{BrokerError, RecordFault},
    domain::{CorruptRecord, CursorError, NameError, PackError, TopicConfigError, TopicDifference},
    engine::EngineError,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};
use std::fmt;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A detail may quote what a client sent, which has no bound of its own.
const MAX_DETAIL_BYTES: usize = 600;

/// Why a request was refused. Serialises as problem details: `type`, `title`,
/// `status`, `detail`, `instance`, `code`, `retryable`, `may_have_happened`
/// and the extras.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong in this very case, for people.
    pub detail: String,
    /// The path or the request id that it is about.
    pub instance: Option<String>,
    /// Further members, such as `record`, `differences` or `durable_lines`.
    pub extras: Map<String, Value>,
    happened: bool,
}

impl Problem {
    /// A problem with what there is to say about it. Cut when it is long.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Problem {
        let mut detail = detail.into();
        if detail.len() > MAX_DETAIL_BYTES {
            detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
            detail.push('…');
        }
        let happened = code.may_have_happened();
        Problem { code, detail, instance: None, extras: Map::new(), happened }
    }

    /// With one more member; the first of a name stays.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.extras.entry(name).or_insert_with(|| value.into());
        self
    }

    /// About the record of this index in the request. The first index stays.
    #[must_use]
    pub fn at_record(self, index: usize) -> Problem {
        self.with("record", index)
    }

    /// About this path or request.
    #[must_use]
    pub fn at(mut self, instance: impl Into<String>) -> Problem {
        self.instance = Some(instance.into());
        self
    }

    /// A part of the request had its effect, as with the first chunks of a
    /// stream, whatever the code says.
    #[must_use]
    pub fn happened(mut self) -> Problem {
        self.happened = true;
        self
    }

    /// Whether the request may have had an effect.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        self.happened
    }

    /// The problem as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and string keys alone: serialising cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A name that a client gave a topic is not one.
    #[must_use]
    pub fn topic_name(error: &NameError) -> Problem {
        Problem::new(ErrorCode::TopicNameInvalid, error.to_string())
    }

    /// An `Idempotency-Key` is not one.
    #[must_use]
    pub fn idempotency_key(error: &NameError) -> Problem {
        Problem::new(ErrorCode::IdempotencyKeyInvalid, error.to_string())
    }

    /// Settings of a topic are out of bounds; all of them are told.
    #[must_use]
    pub fn topic_config(faults: &[TopicConfigError]) -> Problem {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let list: Vec<Value> = faults
            .iter()
            .map(|f| json!({"setting": f.setting, "got": f.got, "allowed": f.allowed}))
            .collect();
        Problem::new(ErrorCode::TopicConfigInvalid, told.join("; ")).with("faults", list)
    }

    /// A topic is there and not as asked for.
    #[must_use]
    pub fn topic_differs(topic: &str, differences: &[TopicDifference]) -> Problem {
        let named: Vec<&str> = differences.iter().map(|d| d.setting).collect();
        let detail = format!("topic '{topic}' exists and differs in {}", named.join(", "));
        let list: Vec<Value> = differences
            .iter()
            .map(|d| json!({"setting": d.setting, "is": d.is, "asked": d.asked}))
            .collect();
        Problem::new(ErrorCode::TopicDiffers, detail).with("differences", list)
    }

    /// A parameter has a value that it may not have.
    #[must_use]
    pub fn parameter(name: &str, detail: impl fmt::Display) -> Problem {
        let detail = format!("parameter '{name}': {detail}");
        Problem::new(ErrorCode::ParameterInvalid, detail).with("parameter", name)
    }

    /// Parameters exclude each other, or one needs another.
    #[must_use]
    pub fn conflict(parameters: &[&str], detail: impl Into<String>) -> Problem {
        Problem::new(ErrorCode::ParametersConflict, detail).with("parameters", json!(parameters))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &self.code.page())?;
        map.serialize_entry("title", self.code.title())?;
        map.serialize_entry("status", &self.code.status())?;
        map.serialize_entry("detail", &self.detail)?;
        if let Some(instance) = &self.instance {
            map.serialize_entry("instance", instance)?;
        }
        map.serialize_entry("code", self.code.as_str())?;
        map.serialize_entry("retryable", &self.code.retryable())?;
        map.serialize_entry("may_have_happened", &self.happened)?;
        for (name, value) in &self.extras {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<EngineError> for Problem {
    /// What the client may know: reasons that speak of the machine behind the
    /// gateway (paths, addresses) stay out; the caller logs the error itself.
    fn from(error: EngineError) -> Problem {
        use ErrorCode as C;
        let told = error.to_string();
        match error {
            EngineError::TopicUnknown(topic) => {
                Problem::new(C::TopicUnknown, told).with("topic", topic.as_str())
            }
            EngineError::TopicExists(topic) => {
                Problem::new(C::TopicExists, told).with("topic", topic.as_str())
            }
            EngineError::PartitionUnknown { topic, partition } => {
                Problem::new(C::PartitionUnknown, told)
                    .with("topic", topic.as_str())
                    .with("partition", partition.0)
            }
            EngineError::OffsetOutOfRange { asked, start, tail } => {
                Problem::new(C::OffsetOutOfRange, told)
                    .with("asked", asked.0)
                    .with("start", start.0)
                    .with("tail", tail.0)
            }
            EngineError::Lost { to } => Problem::new(C::RecordsLost, told).with("next", to.0),
            EngineError::IdempotencyConflict => Problem::new(C::IdempotencyConflict, told),
            EngineError::IdempotencyFull(_) => Problem::new(C::IdempotencyFull, told),
            EngineError::TableFull(_) => Problem::new(C::StateFull, told),
            EngineError::OutOfSpace(_) => {
                Problem::new(C::StorageFull, "the store has no space left; nothing was stored")
            }
            EngineError::Refused(_) => Problem::new(C::EngineRefused, told),
            EngineError::Unavailable(_) => {
                Problem::new(C::Unavailable, "the store is not available; nothing was done")
            }
            EngineError::OutcomeUnknown(_) => {
                Problem::new(C::OutcomeUnknown, "the store did not say whether it was done")
            }
            EngineError::Damaged(_) => Problem::new(C::StorageDamaged, "the store is damaged"),
            EngineError::Closed => Problem::new(C::Closing, "the gateway is shutting down"),
        }
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Problem {
        use ErrorCode as C;
        let told = error.to_string();
        match error {
            BrokerError::Engine(error) => error.into(),
            BrokerError::TopicSettings(faults) => Problem::topic_config(&faults),
            BrokerError::TopicsFull { max } => Problem::new(C::TopicsFull, told).with("max", max),
            BrokerError::PartitionsFull { max, left } => {
                Problem::new(C::PartitionsFull, told).with("max", max).with("left", left)
            }
            BrokerError::Overloaded(_) => Problem::new(C::TooBusy, told),
            BrokerError::Record { index, fault } => Problem::from(fault).at_record(index),
            BrokerError::BatchTooLarge { max } => {
                Problem::new(C::BatchTooLarge, told).with("max", max)
            }
            BrokerError::BatchEmpty => Problem::new(C::BatchEmpty, told),
            BrokerError::CursorForeign(_) => Problem::new(C::CursorForeign, told),
            BrokerError::CursorTopicGone(topic) => {
                Problem::new(C::CursorTopicGone, told).with("topic", topic.as_str())
            }
            BrokerError::TooManyKeys { max } => Problem::parameter("key", told).with("max", max),
            BrokerError::PartitionNeeded { .. } => Problem::conflict(&["from", "partition"], told),
            BrokerError::Group(error) => error.into(),
            BrokerError::GroupTopics { max, .. } => {
                Problem::new(C::BodyInvalid, told).with("max", max)
            }
            BrokerError::SessionTimeout { .. } => Problem::new(C::SessionTimeoutInvalid, told),
            BrokerError::CommitInvalid { index, what } => Problem::commit_invalid(index, what),
            BrokerError::CommitOutOfRange { topic, partition, asked, start, tail } => {
                Problem::commit_out_of_range(told, (topic, partition), asked, (start, tail))
            }
        }
    }
}

impl From<RecordFault> for Problem {
    fn from(fault: RecordFault) -> Problem {
        let told = fault.to_string();
        match fault {
            RecordFault::Pack(error) => PackError::into(error),
            RecordFault::PartitionUnknown(partition) => {
                Problem::new(ErrorCode::PartitionUnknown, told).with("partition", partition.0)
            }
            RecordFault::PartitionNotFree => Problem::new(ErrorCode::KeyedTopicPartition, told),
        }
    }
}

impl From<PackError> for Problem {
    fn from(error: PackError) -> Problem {
        let told = error.to_string();
        match error {
            PackError::RecordTooLarge { max, .. } | PackError::KeyTooLarge { max, .. } => {
                Problem::new(ErrorCode::RecordTooLarge, told).with("max", max)
            }
            PackError::Headers(_) => Problem::new(ErrorCode::HeaderInvalid, told),
        }
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Problem {
        let code = match error {
            CursorError::Damaged | CursorError::TooLong => ErrorCode::CursorDamaged,
            CursorError::Version(_) => ErrorCode::CursorForeign,
        };
        Problem::new(code, error.to_string())
    }
}

impl From<CorruptRecord> for Problem {
    fn from(error: CorruptRecord) -> Problem {
        Problem::new(ErrorCode::StorageDamaged, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Offset, TopicConfig, TopicName};

    #[test]
    fn a_problem_answers_the_three_questions() {
        let problem = Problem::from(EngineError::TopicUnknown(TopicName::new("orders").unwrap()))
            .at("/v1/topics/orders");
        let value: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        let expected = json!({
            "type": "/docs/errors/topic_unknown", "title": "Topic unknown", "status": 404,
            "detail": "topic 'orders' does not exist", "instance": "/v1/topics/orders",
            "code": "topic_unknown", "retryable": false, "may_have_happened": false,
            "topic": "orders"
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn the_clients_copy_says_nothing_of_the_machine() {
        for error in [
            EngineError::OutOfSpace("/secret".into()),
            EngineError::Unavailable("/secret".into()),
            EngineError::OutcomeUnknown("/secret".into()),
            EngineError::Damaged("/secret".into()),
        ] {
            let problem = Problem::from(error);
            assert!(!problem.detail.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn what_a_stream_did_before_it_failed_is_said() {
        let problem = Problem::new(ErrorCode::JsonInvalid, "x").with("durable_lines", 7).happened();
        assert!(problem.may_have_happened());
        let value: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(
            (&value["may_have_happened"], &value["durable_lines"]),
            (&json!(true), &json!(7))
        );
    }

    #[test]
    fn the_first_index_stays_and_long_details_are_cut() {
        let problem = Problem::new(ErrorCode::RecordInvalid, "é".repeat(5_000)).at_record(3);
        assert!(problem.detail.len() < 700);
        assert_eq!(problem.at_record(9).extras["record"], 3);
    }

    #[test]
    fn differences_and_faults_are_listed() {
        let asked = TopicConfig { keyed: true, ..TopicConfig::default() };
        let problem = Problem::topic_differs("t", &TopicConfig::default().differences(&asked));
        assert_eq!(problem.extras["differences"][0]["setting"], "keyed");
        let config = TopicConfig { max_record_bytes: 1, ..TopicConfig::default() };
        assert_eq!(Problem::topic_config(&config.faults()).extras["faults"][0]["got"], 1);
        let lost = Problem::from(EngineError::Lost { to: Offset(9) });
        assert_eq!(lost.extras["next"], 9);
    }
}
