//! A cursor: the positions of a reader in all its partitions, as one opaque
//! text that a client keeps and hands back, on any transport.
//!
//! base64url (no padding) of: version (1 byte), varint number of topics, each
//! {name (varint length, bytes), incarnation (u64 LE), varint number of
//! positions, each {varint partition, varint epoch, varint next}}, then the
//! CRC-32 of all before it (u32 LE).

use super::{Epoch, Incarnation, Offset, PartitionId, Position, TopicName, limits};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// Why a text is not a cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not base64url, cut short, or altered.
    #[error("the cursor is damaged: it must be given back exactly as it was received")]
    Damaged,
    /// Made by a later version.
    #[error("the cursor has version {0}, which this gateway does not know")]
    Version(u8),
    /// Longer than any cursor that this gateway makes.
    #[error("the cursor is longer than {max} bytes", max = limits::MAX_CURSOR_BYTES)]
    TooLong,
}

/// The positions in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPositions {
    /// Which topic of that name.
    pub incarnation: Incarnation,
    /// Where the reader stands in each partition that it reads.
    pub partitions: BTreeMap<PartitionId, Position>,
}

/// The positions of a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// By topic.
    pub topics: BTreeMap<TopicName, TopicPositions>,
}

impl Cursor {
    /// The cursor as a text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = vec![VERSION];
        put(&mut out, self.topics.len() as u64);
        for (name, topic) in &self.topics {
            put(&mut out, name.as_str().len() as u64);
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(&topic.incarnation.0.to_le_bytes());
            put(&mut out, topic.partitions.len() as u64);
            for (partition, position) in &topic.partitions {
                put(&mut out, u64::from(partition.0));
                put(&mut out, u64::from(position.epoch.0));
                put(&mut out, position.next.0);
            }
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Reads a cursor's text.
    pub fn decode(text: &str) -> Result<Cursor, CursorError> {
        if text.len() > limits::MAX_CURSOR_BYTES {
            return Err(CursorError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Damaged)?;
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(CursorError::Damaged)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(CursorError::Damaged);
        }
        match body.split_first() {
            Some((&VERSION, rest)) => parse(rest).ok_or(CursorError::Damaged),
            Some((&version, _)) => Err(CursorError::Version(version)),
            None => Err(CursorError::Damaged),
        }
    }
}

fn parse(mut rest: &[u8]) -> Option<Cursor> {
    let mut cursor = Cursor::default();
    for _ in 0..get(&mut rest)? {
        let len = usize::try_from(get(&mut rest)?).ok()?;
        let (name, after) = rest.split_at_checked(len)?;
        let (incarnation, after) = after.split_first_chunk::<8>()?;
        rest = after;
        let name = TopicName::new(std::str::from_utf8(name).ok()?).ok()?;
        let mut partitions = BTreeMap::new();
        for _ in 0..get(&mut rest)? {
            let partition = PartitionId(u32::try_from(get(&mut rest)?).ok()?);
            let epoch = Epoch(u32::try_from(get(&mut rest)?).ok()?);
            let next = Offset(get(&mut rest)?);
            partitions.insert(partition, Position { epoch, next });
        }
        let incarnation = Incarnation(u64::from_le_bytes(*incarnation));
        cursor.topics.insert(name, TopicPositions { incarnation, partitions });
    }
    rest.is_empty().then_some(cursor)
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn get(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursor() -> impl Strategy<Value = Cursor> {
        let positions = proptest::collection::btree_map(
            (0u32..2000).prop_map(PartitionId),
            (any::<u32>(), any::<u64>())
                .prop_map(|(e, n)| Position { epoch: Epoch(e), next: Offset(n) }),
            0..8,
        );
        let topic = (any::<u64>(), positions)
            .prop_map(|(i, partitions)| TopicPositions { incarnation: Incarnation(i), partitions });
        let name = "[a-z]{1,20}".prop_map(|n| TopicName::new(n).unwrap());
        proptest::collection::btree_map(name, topic, 0..4).prop_map(|topics| Cursor { topics })
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(cursor in cursor()) {
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn any_altered_byte_is_noticed(cursor in cursor(), at in any::<proptest::sample::Index>(), to in any::<u8>()) {
            let mut bytes = URL_SAFE_NO_PAD.decode(cursor.encode()).unwrap();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert!(Cursor::decode(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn any_text_is_refused_without_panic(text in ".{0,100}") {
            prop_assert!(Cursor::decode(&text).is_err());
        }
    }
}
