//! What is remembered of an append that named itself: the digest of its body
//! and where its records went.
//!
//! Bytes, little-endian: digest (16), append time (i64), then per part:
//! partition u32, base u64, count u32, epoch u32.

use super::state::{RawKey, raw_key};
use crate::{
    domain::{Epoch, IdempotencyKey, Offset, PartitionId, Timestamp, TopicId},
    engine::{Appended, AppendedPart, BodyDigest},
};

const SPACE: &str = "idempotency";
const PART: usize = 20;

/// Where an append of this name is remembered; topics do not meet.
pub(super) fn key(topic: TopicId, name: &IdempotencyKey) -> RawKey {
    let text = name.as_str().as_bytes();
    raw_key(SPACE, &[&topic.0.to_be_bytes()[..], text].concat())
}

/// Whether an entry of the table is that of an append.
pub(super) fn is_key(key: &[u8]) -> bool {
    key.strip_prefix(SPACE.as_bytes()).is_some_and(|rest| rest.starts_with(&[0]))
}

/// What is to be remembered.
pub(super) fn encode(digest: &BodyDigest, appended: &Appended) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + appended.parts.len() * PART);
    out.extend_from_slice(digest);
    out.extend_from_slice(&appended.appended.millis().to_le_bytes());
    for part in &appended.parts {
        out.extend_from_slice(&part.partition.0.to_le_bytes());
        out.extend_from_slice(&part.base.0.to_le_bytes());
        out.extend_from_slice(&part.count.to_le_bytes());
        out.extend_from_slice(&part.epoch.0.to_le_bytes());
    }
    out
}

/// What was remembered: the digest, and the answer as a repeat gets it.
pub(super) fn decode(value: &[u8]) -> Option<(BodyDigest, Appended)> {
    let (digest, rest) = value.split_first_chunk::<16>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let part = |b: &[u8]| {
        Some(AppendedPart {
            partition: PartitionId(u32::from_le_bytes(b.get(..4)?.try_into().ok()?)),
            base: Offset(u64::from_le_bytes(b.get(4..12)?.try_into().ok()?)),
            count: u32::from_le_bytes(b.get(12..16)?.try_into().ok()?),
            epoch: Epoch(u32::from_le_bytes(b.get(16..20)?.try_into().ok()?)),
        })
    };
    let parts = rest.chunks(PART).map(part).collect::<Option<_>>()?;
    let appended = Timestamp::from_millis(i64::from_le_bytes(*time));
    Some((*digest, Appended { parts, appended, repeated: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_that_of_a_repeat() {
        let part = |p| AppendedPart {
            partition: PartitionId(p),
            base: Offset(1 << 40),
            count: 3,
            epoch: Epoch(2),
        };
        let appended = Appended {
            parts: vec![part(1), part(9)],
            appended: Timestamp::from_millis(77),
            repeated: false,
        };
        let (digest, back) = decode(&encode(&[5; 16], &appended)).unwrap();
        assert_eq!(digest, [5; 16]);
        assert_eq!(back, Appended { repeated: true, ..appended });
        assert_eq!(decode(&[0; 30]), None);
    }
}
