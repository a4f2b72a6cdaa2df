//! The shapes that this room writes and parses by hand, as types: for the
//! OpenAPI document, and for programs that read answers.

use super::{ErrorCode, LostNotice};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A bounded publish, stored as a whole or not at all.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"records": [
    {"key": "user-42", "value": {"action": "login"}, "headers": {"trace": "4bf92f"}},
    {"text": "plain text"}
]}))]
pub struct PublishBody {
    /// 1 to 10,000 records.
    #[schema(min_items = 1, max_items = 10000)]
    pub records: Vec<NewRecord>,
}

/// A record to publish, with exactly one of `value`, `text` and
/// `value_base64`; also one line of an NDJSON publish.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "user-42", "value": {"action": "login"}}))]
pub struct NewRecord {
    /// The partition, from 0; chosen by the key, or in turn, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Milliseconds since 1970; the time of storing if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 253_402_300_799_999_i64)]
    pub timestamp: Option<i64>,
    /// The key, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key, as base64 of any bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    pub key_base64: Option<String>,
    /// At most 64 headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<NewHeaders>,
    /// Any JSON, kept token for token; `null` says that the key is gone.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub value: Option<Box<RawValue>>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// Any bytes, as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64", nullable = false)]
    pub value_base64: Option<String>,
}

/// Headers of a record to publish.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum NewHeaders {
    /// By name, each once.
    Object(BTreeMap<String, String>),
    /// In order; names may repeat.
    Array(Vec<NewHeader>),
}

/// A header to publish, with exactly one of `value` and `value_base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "trace", "value": "4bf92f"}))]
pub struct NewHeader {
    /// The name, 1 to 255 bytes.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// The value, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub value: Option<String>,
    /// The value as base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64", nullable = false)]
    pub value_base64: Option<String>,
}

/// A header that is read, with exactly one of `value` and `value_base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "trace", "value": "4bf92f"}))]
pub struct RecordHeader {
    /// The name.
    pub name: String,
    /// The value, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub value: Option<String>,
    /// The value as base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64", nullable = false)]
    pub value_base64: Option<String>,
}

/// A record that is read, with exactly one of `value`, `text` and
/// `value_base64`; also one line of a stream.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "partition": 0, "offset": 5, "timestamp": 1_700_000_000_000_u64, "key": "user-42",
    "headers": [{"name": "trace", "value": "4bf92f"}], "value": {"action": "login"}
}))]
pub struct ReadRecord {
    /// The topic, where a request reads several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub topic: Option<String>,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
    /// Milliseconds since 1970: the publisher's, or the time of storing.
    pub timestamp: i64,
    /// The key, where there is one and it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
    /// The key as base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64", nullable = false)]
    pub key_base64: Option<String>,
    /// The headers, in the order of publication.
    pub headers: Vec<RecordHeader>,
    /// JSON, token for token; `null`: the key is gone.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub value: Option<Box<RawValue>>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// Any bytes, as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64", nullable = false)]
    pub value_base64: Option<String>,
}

/// Tells `"value": null`, a tombstone, from no `value`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Some records, and where to go on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "records": [{
        "partition": 0, "offset": 5, "timestamp": 1_700_000_000_000_u64, "key": "user-42",
        "headers": [], "value": {"action": "login"}
    }],
    "cursor": "AQEGb3JkZXJz", "lost": [], "at_tail": true
}))]
pub struct ReadPage {
    /// The records; in order within each partition.
    pub records: Vec<ReadRecord>,
    /// What to give as `cursor` for the page that follows; also on an empty page.
    pub cursor: String,
    /// Records that this reader will not see.
    pub lost: Vec<LostNotice>,
    /// Whether there was no more to read.
    pub at_tail: bool,
}

/// A line of a stream that is no record.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ControlLine {
    /// Where the stream stands.
    Cursor {
        /// What to give as `cursor` to go on from here.
        cursor: String,
    },
    /// Records that this reader will not see.
    Lost(LostNotice),
    /// The last line of a stream that failed.
    Error {
        /// Why.
        problem: ProblemBody,
        /// What to give as `cursor` to read the rest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        cursor: Option<String>,
    },
    /// The last line of a stream that is complete.
    End {
        /// What to give as `cursor` to go on from here.
        cursor: String,
        /// How many records the stream had.
        records: u64,
    },
}

/// Why a request was refused (RFC 9457), with further members by its code,
/// such as `record`, `parameter`, `differences` and `durable_lines`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/docs/errors/topic_unknown", "title": "Topic unknown", "status": 404,
    "detail": "topic 'orders' does not exist", "instance": "/v1/topics/orders",
    "code": "topic_unknown", "retryable": false, "may_have_happened": false, "topic": "orders"
}))]
pub struct ProblemBody {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    pub kind: String,
    /// One line on the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong in this very case.
    pub detail: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// What went wrong, for programs. More codes may be added.
    #[schema(value_type = ErrorCode)]
    pub code: String,
    /// Whether the same request may succeed when it is sent again.
    pub retryable: bool,
    /// Whether the request may have had an effect.
    pub may_have_happened: bool,
    /// Further members.
    #[serde(flatten)]
    pub extras: serde_json::Map<String, serde_json::Value>,
}
