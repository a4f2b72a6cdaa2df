//! What a publish is answered.

use crate::domain::{Epoch, Offset, PartitionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where one record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedRecord {
    /// The partition.
    #[schema(value_type = u32)]
    pub partition: PartitionId,
    /// The offset.
    #[schema(value_type = u64)]
    pub offset: Offset,
    /// The epoch it was written in.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
}

/// The answer to a bounded publish: one entry per record, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"records": [{"partition": 0, "offset": 5, "epoch": 0}]}))]
pub struct PublishAnswer {
    /// Where the records went.
    pub records: Vec<PublishedRecord>,
    /// True when an earlier request of the same Idempotency-Key did it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub repeated: bool,
}

/// Writes a [`PublishAnswer`] without building one.
pub fn publish_answer_into(
    out: &mut Vec<u8>,
    records: impl IntoIterator<Item = PublishedRecord>,
    repeated: bool,
) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"records\":[");
    for (index, record) in records.into_iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"partition\":" } else { b",{\"partition\":" });
        out.extend_from_slice(digits.format(record.partition.0).as_bytes());
        out.extend_from_slice(b",\"offset\":");
        out.extend_from_slice(digits.format(record.offset.0).as_bytes());
        out.extend_from_slice(b",\"epoch\":");
        out.extend_from_slice(digits.format(record.epoch.0).as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(if repeated { b"],\"repeated\":true}" } else { b"]}" });
}

/// The answer to a stream, at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "published": 1707,
    "ranges": [{"partition": 0, "first": 0, "last": 1706, "count": 1707, "epoch": 0}]
}))]
pub struct StreamAnswer {
    /// How many records were published.
    pub published: u64,
    /// Where they went: one range for each partition and epoch, by these.
    pub ranges: Vec<StreamRange>,
}

/// The records of a stream in one partition and epoch. Those of others may lie
/// among them: then `count` is less than the range is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamRange {
    /// The partition.
    #[schema(value_type = u32)]
    pub partition: PartitionId,
    /// The offset of the first record.
    #[schema(value_type = u64)]
    pub first: Offset,
    /// The offset of the last record.
    #[schema(value_type = u64)]
    pub last: Offset,
    /// How many records of the stream lie from first to last.
    pub count: u64,
    /// The epoch they were written in.
    #[schema(value_type = u32)]
    pub epoch: Epoch,
}

impl StreamAnswer {
    /// Adds `count` records that went to consecutive offsets from `base`. One
    /// range grows, so that the answer's size does not follow the stream's.
    pub fn add(&mut self, partition: PartitionId, epoch: Epoch, base: Offset, count: u32) {
        let Some(more) = count.checked_sub(1) else { return };
        let (count, last) = (u64::from(count), base.plus(u64::from(more)));
        self.published += count;
        match self.ranges.binary_search_by_key(&(partition, epoch), |r| (r.partition, r.epoch)) {
            Ok(at) => {
                let range = &mut self.ranges[at];
                range.first = range.first.min(base);
                range.last = range.last.max(last);
                range.count += count;
            }
            Err(at) => {
                self.ranges.insert(at, StreamRange { partition, first: base, last, count, epoch });
            }
        }
    }

    /// The answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Numbers alone: serialising cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_written_as_serde_would() {
        let record = |partition, offset, epoch| PublishedRecord {
            partition: PartitionId(partition),
            offset: Offset(offset),
            epoch: Epoch(epoch),
        };
        for records in
            [vec![], vec![record(0, 5, 0)], vec![record(3, u64::MAX, 7), record(1, 0, 2)]]
        {
            for repeated in [false, true] {
                let mut out = vec![];
                publish_answer_into(&mut out, records.iter().copied(), repeated);
                let answer = PublishAnswer { records: records.clone(), repeated };
                assert_eq!(out, serde_json::to_vec(&answer).unwrap());
            }
        }
    }

    #[test]
    fn a_stream_has_one_range_per_partition_and_epoch() {
        let mut answer = StreamAnswer::default();
        for (partition, epoch, base, count) in
            [(1, 0, 10, 5), (0, 0, 0, 2), (1, 0, 20, 1), (1, 1, 21, 3)]
        {
            answer.add(PartitionId(partition), Epoch(epoch), Offset(base), count);
        }
        answer.add(PartitionId(9), Epoch(0), Offset(0), 0);
        assert_eq!(answer.published, 11);
        let seen: Vec<_> = answer
            .ranges
            .iter()
            .map(|r| (r.partition.0, r.epoch.0, r.first.0, r.last.0, r.count))
            .collect();
        assert_eq!(seen, [(0, 0, 0, 1, 2), (1, 0, 10, 20, 6), (1, 1, 21, 23, 3)]);
    }
}
