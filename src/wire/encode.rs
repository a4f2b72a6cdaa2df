//! Records on their way out: one JSON object each, written straight into the
//! answer's bytes.
//!
//! `{"topic":"t","partition":0,"offset":5,"timestamp":1700000000000,"key":"k",
//! "headers":[{"name":"n","value":"v"}],"value":…}`
//!
//! `topic` comes first, and only where a request reads several. `key` is left
//! out where there is none, and is `key_base64` where it is not UTF-8, as a
//! header's `value` is `value_base64`. `headers` is always there. The value is
//! one of `value` (JSON, token for token), `text` and `value_base64`. No raw
//! line break occurs, so an object is a line of NDJSON.

use super::{
    Problem,
    json::{sniff, string_into},
    media::MediaType,
};
use crate::domain::{
    CorruptRecord, Offset, PartitionId, RecordBatch, RecordView, Timestamp, TopicName, ValueKind,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The form of values that a reader asks for. A value that cannot have it has
/// the next of `value`, `text`, `value_base64` that it can, so the field tells
/// what it is. A tombstone is `"value":null` in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum As {
    /// As published. Bytes of another program: `value` if the record's
    /// content-type says JSON and they are, else `value_base64`.
    #[default]
    Auto,
    /// Whatever is JSON as `value`, however it was published.
    Json,
    /// Whatever is UTF-8 as `text`: of JSON, its source.
    Text,
    /// The bytes, as `value_base64`.
    Base64,
}

impl As {
    /// The value of `?as=`.
    pub fn parse(text: &str) -> Result<As, Problem> {
        match text {
            "auto" => Ok(As::Auto),
            "json" => Ok(As::Json),
            "text" => Ok(As::Text),
            "base64" => Ok(As::Base64),
            other => {
                let detail = format!("'{other}' is none of auto, json, text, base64");
                Err(Problem::parameter("as", detail))
            }
        }
    }
}

/// Writes records in one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordEncoder {
    /// The form of values.
    pub as_: As,
}

impl RecordEncoder {
    /// Writes values as `as_` says.
    #[must_use]
    pub fn new(as_: As) -> RecordEncoder {
        RecordEncoder { as_ }
    }

    /// Writes one record as an object.
    pub fn record_into(
        &self,
        out: &mut Vec<u8>,
        topic: Option<&TopicName>,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
    ) {
        let mut same = Same::new(topic, partition);
        self.object_into(out, &mut same, offset, record);
    }

    /// Writes a batch as lines of NDJSON, each with its line feed. What came
    /// before damage is written.
    pub fn lines_into(
        &self,
        out: &mut Vec<u8>,
        topic: Option<&TopicName>,
        partition: PartitionId,
        batch: &RecordBatch,
    ) -> Result<(), CorruptRecord> {
        out.reserve(Self::room(batch));
        let mut same = Same::new(topic, partition);
        for item in batch.iter() {
            let (offset, record) = item?;
            self.object_into(out, &mut same, offset, &record);
            out.push(b'\n');
        }
        Ok(())
    }

    /// Room for a batch's objects: enough for nearly all.
    pub(super) fn room(batch: &RecordBatch) -> usize {
        batch.body.len() + batch.count as usize * ROOM
    }

    /// Writes a batch as objects with commas between them, for the inside of
    /// an array. What came before damage is written.
    pub fn list_into(
        &self,
        out: &mut Vec<u8>,
        topic: Option<&TopicName>,
        partition: PartitionId,
        batch: &RecordBatch,
    ) -> Result<(), CorruptRecord> {
        out.reserve(Self::room(batch));
        let mut same = Same::new(topic, partition);
        for (index, item) in batch.iter().enumerate() {
            let (offset, record) = item?;
            if index > 0 {
                out.push(b',');
            }
            self.object_into(out, &mut same, offset, &record);
        }
        Ok(())
    }

    fn object_into(
        &self,
        out: &mut Vec<u8>,
        same: &mut Same,
        offset: Offset,
        record: &RecordView<'_>,
    ) {
        out.extend_from_slice(&same.begin);
        out.extend_from_slice(itoa::Buffer::new().format(offset.0).as_bytes());
        out.extend_from_slice(same.timestamp(record.timestamp));
        if let Some(key) = record.key {
            out.push(b',');
            bytes_into(out, "key", key);
        }
        headers_into(out, record);
        self.value_into(out, record);
        out.push(b'}');
    }

    fn value_into(&self, out: &mut Vec<u8>, record: &RecordView<'_>) {
        let value = record.value;
        match (self.as_, record.kind) {
            (_, ValueKind::Tombstone) => out.extend_from_slice(b",\"value\":null"),
            (As::Auto | As::Json, ValueKind::Json) => json_into(out, value),
            (As::Json, ValueKind::Text | ValueKind::Binary) => match sniff(value) {
                Some(json) => json_into(out, &json),
                None => text_into(out, value),
            },
            (As::Auto | As::Text, ValueKind::Text) | (As::Text, _) => text_into(out, value),
            (As::Auto, ValueKind::Binary) => match says_json(record).then(|| sniff(value)) {
                Some(Some(json)) => json_into(out, &json),
                Some(None) | None => base64_into(out, value),
            },
            (As::Base64, _) => base64_into(out, value),
        }
    }
}

/// Bytes that the names of a record's members need at most, but for `topic`.
const ROOM: usize = 128;

/// What many records of a batch have in common, written once.
struct Same {
    /// Everything before the offset.
    begin: Vec<u8>,
    /// The timestamp of the record before, and its member.
    timestamp: (Option<Timestamp>, Vec<u8>),
}

impl Same {
    fn new(topic: Option<&TopicName>, partition: PartitionId) -> Same {
        let mut begin = Vec::with_capacity(64);
        begin.push(b'{');
        if let Some(topic) = topic {
            begin.extend_from_slice(b"\"topic\":\"");
            // Of letters, digits and `._-`: nothing to escape.
            begin.extend_from_slice(topic.as_str().as_bytes());
            begin.extend_from_slice(b"\",");
        }
        begin.extend_from_slice(b"\"partition\":");
        begin.extend_from_slice(itoa::Buffer::new().format(partition.0).as_bytes());
        begin.extend_from_slice(b",\"offset\":");
        Same { begin, timestamp: (None, Vec::with_capacity(32)) }
    }

    /// `,"timestamp":…`. Records that came together mostly have the same.
    fn timestamp(&mut self, timestamp: Timestamp) -> &[u8] {
        let (last, member) = &mut self.timestamp;
        if *last != Some(timestamp) {
            *last = Some(timestamp);
            member.clear();
            member.extend_from_slice(b",\"timestamp\":");
            member.extend_from_slice(itoa::Buffer::new().format(timestamp.millis()).as_bytes());
        }
        member
    }
}

/// A member of text: `"name":"…"`, or `"name_base64":"…"` if it is not UTF-8.
fn bytes_into(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.extend_from_slice(b"\":");
            string_into(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"_base64\":");
            base64_string_into(out, bytes);
        }
    }
}

fn headers_into(out: &mut Vec<u8>, record: &RecordView<'_>) {
    if record.headers.is_empty() {
        return out.extend_from_slice(b",\"headers\":[]");
    }
    out.extend_from_slice(b",\"headers\":[");
    for (index, (name, value)) in record.headers.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"name\":" } else { b",{\"name\":" });
        string_into(out, name);
        out.push(b',');
        bytes_into(out, "value", value);
        out.push(b'}');
    }
    out.push(b']');
}

fn json_into(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(b",\"value\":");
    out.extend_from_slice(json);
}

/// Text, or base64 for what is not.
fn text_into(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.extend_from_slice(b",\"text\":");
            string_into(out, text);
        }
        Err(_) => base64_into(out, bytes),
    }
}

fn base64_into(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b",\"value_base64\":");
    base64_string_into(out, bytes);
}

fn base64_string_into(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let from = out.len();
    let room = base64::encoded_len(bytes.len(), true).unwrap_or(0);
    out.resize(from + room, 0);
    // The room is what the encoder itself asked for: it always fits.
    let written = STANDARD.encode_slice(bytes, &mut out[from..]).unwrap_or(0);
    out.truncate(from + written);
    out.push(b'"');
}

fn says_json(record: &RecordView<'_>) -> bool {
    let content_type = record.headers.get("content-type");
    content_type
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(MediaType::parse)
        .is_some_and(|media| media.is_json())
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
