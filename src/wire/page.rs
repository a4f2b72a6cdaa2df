//! What is around records that are read: the page, and the control lines of a
//! stream. A control line is told from a record by its `op`.

use super::{As, Problem, RecordEncoder, json::string_into};
use crate::domain::{CorruptRecord, LostRange, LostReason, PartitionId, RecordBatch, TopicName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Records that a reader will not see, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "topic": "orders", "partition": 0, "from": 10, "to": 99, "reason": "retention"
}))]
pub struct LostNotice {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset that is gone.
    pub from: u64,
    /// The last offset that is gone.
    pub to: u64,
    /// Why.
    #[schema(value_type = LostReasonName)]
    pub reason: LostReason,
}

/// Why records are gone.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(as = LostReason, rename_all = "snake_case")]
pub enum LostReasonName {
    /// Older, or more, than the topic keeps.
    Retention,
    /// Lost in a crash, or with a loss that was accepted.
    Truncated,
    /// Someone moved the start.
    Trimmed,
}

impl LostNotice {
    /// Of a range in one partition of a topic.
    #[must_use]
    pub fn new(topic: &TopicName, partition: PartitionId, range: LostRange) -> LostNotice {
        LostNotice {
            topic: topic.to_string(),
            partition: partition.0,
            from: range.from.0,
            to: range.to.0,
            reason: range.reason,
        }
    }

    /// Writes the members, without braces.
    pub(super) fn members_into(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"\"topic\":");
        string_into(out, &self.topic);
        for (name, number) in
            [("partition", self.partition.into()), ("from", self.from), ("to", self.to)]
        {
            member_into(out, name);
            out.extend_from_slice(digits.format(number).as_bytes());
        }
        member_into(out, "reason");
        string_into(out, reason(self.reason));
    }
}

fn reason(reason: LostReason) -> &'static str {
    match reason {
        LostReason::Retention => "retention",
        LostReason::Truncated => "truncated",
        LostReason::Trimmed => "trimmed",
    }
}

/// A comma, a name and a colon.
pub(super) fn member_into(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writes one page:
/// `{"records":[…],"cursor":"…","lost":[…],"at_tail":true}`.
#[derive(Debug)]
pub struct PageWriter {
    out: Vec<u8>,
    encoder: RecordEncoder,
    /// Whether each record names its topic.
    named: bool,
    records: u64,
}

impl PageWriter {
    /// An empty page. `named`: each record says its topic, as where several
    /// are read.
    #[must_use]
    pub fn new(as_: As, named: bool) -> PageWriter {
        let out = b"{\"records\":[".to_vec();
        PageWriter { out, encoder: RecordEncoder::new(as_), named, records: 0 }
    }

    /// Adds a batch. After an error the page is not to be sent.
    pub fn batch(
        &mut self,
        topic: &TopicName,
        partition: PartitionId,
        batch: &RecordBatch,
    ) -> Result<(), CorruptRecord> {
        if batch.count == 0 {
            return Ok(());
        }
        if self.records > 0 {
            self.out.push(b',');
        }
        self.records += u64::from(batch.count);
        let topic = self.named.then_some(topic);
        self.encoder.list_into(&mut self.out, topic, partition, batch)
    }

    /// Ends the page with the members of `told`, which is an object.
    #[must_use]
    pub fn finish_with(mut self, told: &impl Serialize) -> Vec<u8> {
        self.out.extend_from_slice(b"],");
        let from = self.out.len();
        // Strings, numbers and string keys alone: serialising cannot fail.
        let told = serde_json::to_vec(told).unwrap_or_default();
        self.out.extend_from_slice(told.get(1..).unwrap_or(b"}"));
        debug_assert!(self.out.len() > from + 1, "an object with members");
        self.out
    }

    /// How many records the page has.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Ends the page. `at_tail`: there was no more to read.
    #[must_use]
    pub fn finish(mut self, cursor: &str, lost: &[LostNotice], at_tail: bool) -> Vec<u8> {
        let out = &mut self.out;
        out.extend_from_slice(b"],\"cursor\":");
        string_into(out, cursor);
        out.extend_from_slice(b",\"lost\":[");
        for (index, notice) in lost.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
            notice.members_into(out);
            out.push(b'}');
        }
        out.extend_from_slice(if at_tail {
            b"],\"at_tail\":true}"
        } else {
            b"],\"at_tail\":false}"
        });
        self.out
    }
}

/// `{"op":"cursor","cursor":"…"}`: where the stream stands.
pub fn cursor_line(out: &mut Vec<u8>, cursor: &str) {
    out.extend_from_slice(b"{\"op\":\"cursor\",\"cursor\":");
    string_into(out, cursor);
    out.extend_from_slice(b"}\n");
}

/// `{"op":"lost","topic":…,"partition":…,"from":…,"to":…,"reason":…}`: said
/// before the next record of that partition.
pub fn lost_line(out: &mut Vec<u8>, notice: &LostNotice) {
    out.extend_from_slice(b"{\"op\":\"lost\",");
    notice.members_into(out);
    out.extend_from_slice(b"}\n");
}

/// `{"op":"error","problem":{…}}`: the last line of a stream that failed. With
/// the cursor, if there is one, from which the rest can be read.
pub fn error_line(out: &mut Vec<u8>, problem: &Problem, cursor: Option<&str>) {
    out.extend_from_slice(b"{\"op\":\"error\",\"problem\":");
    out.extend_from_slice(&problem.to_json());
    if let Some(cursor) = cursor {
        member_into(out, "cursor");
        string_into(out, cursor);
    }
    out.extend_from_slice(b"}\n");
}

/// `{"op":"end","cursor":"…","records":N}`: the last line of a stream that is
/// complete. Without it or an error a stream was cut.
pub fn end_line(out: &mut Vec<u8>, cursor: &str, records: u64) {
    out.extend_from_slice(b"{\"op\":\"end\",\"cursor\":");
    string_into(out, cursor);
    member_into(out, "records");
    out.extend_from_slice(itoa::Buffer::new().format(records).as_bytes());
    out.extend_from_slice(b"}\n");
}
