//! One partition's batch as every live transport sends it. Only what stands
//! before it differs between readers, so it is written once for all of them:
//!
//! `"topic":"orders","partition":0,"epoch":0,"next":43,"records":[{…},…]}`
//!
//! A WebSocket frame is `{"op":"records","sub":7,` and this; the data of a
//! server-sent event is `{` and this. No raw line break occurs in it.

use super::{As, RecordEncoder};
use crate::domain::{CorruptRecord, Epoch, PartitionId, RecordBatch, TopicName};
use bytes::Bytes;

/// Writes batches of one partition, with values in one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchEncoder {
    /// The form of values.
    pub as_: As,
}

/// Bytes of the members around the records, but for the topic's name.
const ENVELOPE: usize = 112;

impl BatchEncoder {
    /// Writes values as `as_` says.
    #[must_use]
    pub fn new(as_: As) -> BatchEncoder {
        BatchEncoder { as_ }
    }

    /// Tells this form from those of the other [`As`], below 8: what is made
    /// of it in turn may be numbered from 8 on.
    #[must_use]
    pub fn number(self) -> u64 {
        match self.as_ {
            As::Auto => 0,
            As::Json => 1,
            As::Text => 2,
            As::Base64 => 3,
        }
    }

    /// The shared part, from `"topic"` to the closing brace. All records of
    /// the batch are of `epoch`; `next` is the offset after them.
    pub fn encode(
        self,
        topic: &TopicName,
        partition: PartitionId,
        epoch: Epoch,
        batch: &RecordBatch,
    ) -> Result<Bytes, CorruptRecord> {
        self.encode_run(topic, partition, epoch, &[batch])
    }

    /// As [`BatchEncoder::encode`], of batches that follow each other. An empty
    /// run has no form.
    pub fn encode_run(
        self,
        topic: &TopicName,
        partition: PartitionId,
        epoch: Epoch,
        run: &[&RecordBatch],
    ) -> Result<Bytes, CorruptRecord> {
        let end = run.last().ok_or(CorruptRecord)?.end();
        let room: usize = run.iter().map(|batch| RecordEncoder::room(batch)).sum();
        let room = room + ENVELOPE + topic.as_str().len();
        let mut out = Vec::with_capacity(room);
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"\"topic\":\"");
        // Of letters, digits and `._-`: nothing to escape.
        out.extend_from_slice(topic.as_str().as_bytes());
        out.extend_from_slice(b"\",\"partition\":");
        out.extend_from_slice(digits.format(partition.0).as_bytes());
        out.extend_from_slice(b",\"epoch\":");
        out.extend_from_slice(digits.format(epoch.0).as_bytes());
        out.extend_from_slice(b",\"next\":");
        out.extend_from_slice(digits.format(end.0).as_bytes());
        out.extend_from_slice(b",\"records\":[");
        let records = RecordEncoder::new(self.as_);
        for (index, batch) in run.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            records.list_into(&mut out, None, partition, batch)?;
        }
        out.extend_from_slice(b"]}");
        Ok(Bytes::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Offset, PackedRecords, RecordDraft, Timestamp, ValueKind};
    use serde_json::{Value, json};

    fn batch(values: &[&str]) -> RecordBatch {
        let mut packed = PackedRecords::default();
        for value in values {
            let draft = RecordDraft {
                partition: None,
                timestamp: None,
                key: Some(b"k".as_slice().into()),
                headers: vec![],
                kind: ValueKind::Json,
                value: value.as_bytes().into(),
            };
            packed.push(&draft, 1 << 20).unwrap();
        }
        let (count, body) = (packed.count(), packed.into_body().into());
        let appended = Timestamp::from_millis(1_700_000_000_000);
        RecordBatch { base: Offset(41), count, appended, body }
    }

    fn encoded(as_: As, batch: &RecordBatch) -> Result<String, CorruptRecord> {
        let topic = TopicName::new("orders").unwrap();
        let shared = BatchEncoder::new(as_).encode(&topic, PartitionId(3), Epoch(2), batch)?;
        Ok(String::from_utf8(shared.to_vec()).unwrap())
    }

    #[test]
    fn a_batch_says_where_it_is_from_and_where_it_ends() {
        let shared = encoded(As::Auto, &batch(&["1", "{\"a\":\"\\n\"}"])).unwrap();
        assert!(shared.starts_with("\"topic\":\"orders\",") && !shared.contains('\n'), "{shared}");
        let frame: Value = serde_json::from_str(&format!("{{{shared}")).unwrap();
        let record = |offset: u64, value: Value| {
            json!({"partition": 3, "offset": offset, "timestamp": 1_700_000_000_000_u64,
                "key": "k", "headers": [], "value": value})
        };
        let expected = json!({"topic": "orders", "partition": 3, "epoch": 2, "next": 43,
            "records": [record(41, json!(1)), record(42, json!({"a": "\n"}))]});
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_run_is_one_list_up_to_the_last_offset() {
        let (first, second) = (batch(&["1", "2"]), batch(&["3"]));
        let second = RecordBatch { base: Offset(50), ..second };
        let topic = TopicName::new("orders").unwrap();
        let encoder = BatchEncoder::default();
        let run = encoder.encode_run(&topic, PartitionId(3), Epoch(2), &[&first, &second]);
        let frame = format!("{{{}", String::from_utf8(run.unwrap().to_vec()).unwrap());
        let frame: Value = serde_json::from_str(&frame).unwrap();
        let offsets: Vec<_> =
            frame["records"].as_array().unwrap().iter().map(|r| r["offset"].clone()).collect();
        assert_eq!((offsets, &frame["next"]), (vec![json!(41), json!(42), json!(50)], &json!(51)));
        let none = encoder.encode_run(&topic, PartitionId(3), Epoch(2), &[]);
        assert_eq!(none, Err(CorruptRecord));
    }

    #[test]
    fn values_come_in_the_form_asked_for_and_forms_are_told_apart() {
        assert!(encoded(As::Text, &batch(&["7"])).unwrap().contains("\"text\":\"7\""));
        let forms = [As::Auto, As::Json, As::Text, As::Base64];
        let numbers: std::collections::BTreeSet<_> =
            forms.iter().map(|as_| BatchEncoder::new(*as_).number()).collect();
        assert_eq!(numbers.len(), forms.len());
        assert!(numbers.iter().all(|number| *number < 8));
    }

    #[test]
    fn a_damaged_batch_has_no_form() {
        let damaged = RecordBatch { count: 3, ..batch(&["1"]) };
        assert_eq!(encoded(As::Auto, &damaged), Err(CorruptRecord));
    }
}
