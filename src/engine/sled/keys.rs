//! The keys inside a volume. Big-endian, so that their order is the order of
//! what they name.
//!
//! | kind | then | names |
//! | --- | --- | --- |
//! | `R` | topic u32, partition u32, **last** offset u64, chunk u16 | a packed batch; by its last offset, so that a seek to an offset lands on the batch that holds it |
//! | `R` | the same, chunk from 0xFF00 on | no record: a row of a fence, empty (see `fence`) |
//! | `P` | the same, chunk 0 | a small batch that is still to be merged into an `R` (see `scan`) |
//! | `T` | topic u32, partition u32, offset u64 | an entry of the sparse time index |
//! | `K` | topic u32, partition u32, end offset u64, chunk u16 | a run of the index of keys (see `keyed`) |
//! | `A` | | an append in several steps is under way: the places it began at |
//! | `M` | | says nothing: the volume's number, in a volume that was made ahead |
//! | `S` | sequence u64, part u16 | changes to the state table, in order |

use crate::domain::{Offset, PartitionId, TopicId};

const RECORD: u8 = b'R';
const SMALL: u8 = b'P';
const RUN: u8 = b'K';
const INDEX: u8 = b'T';
const STATE: u8 = b'S';

/// The key of an append that is under way.
pub(super) const UNDER_WAY: &[u8] = b"A";

/// The key of a row that says nothing new.
pub(super) const MARKER: &[u8] = b"M";

/// An index key's length, bytes.
pub(super) const INDEX_LEN: usize = 17;
/// A state key's length, bytes.
pub(super) const STATE_LEN: usize = 11;
/// A record key's length, bytes.
pub(super) const RECORD_LEN: usize = 19;

/// A partition of a topic, as keys name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) topic: TopicId,
    pub(super) partition: PartitionId,
}

fn prefix<const N: usize>(kind: u8, place: Place) -> [u8; N] {
    let mut key = [0; N];
    key[0] = kind;
    key[1..5].copy_from_slice(&place.topic.0.to_be_bytes());
    key[5..9].copy_from_slice(&place.partition.0.to_be_bytes());
    key
}

/// The key of chunk `chunk` of the batch whose last offset is `last`.
pub(super) fn record(place: Place, last: Offset, chunk: u16) -> [u8; RECORD_LEN] {
    let mut key = prefix(RECORD, place);
    key[9..17].copy_from_slice(&last.0.to_be_bytes());
    key[17..19].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// Chunks from here on are rows of fences. No record has as many.
const FENCE: u16 = 0xFF00;

/// The key of row `row` of the fence behind the batch whose last offset is
/// `last`, or would be.
pub(super) fn fence(place: Place, last: Offset, row: u16) -> [u8; RECORD_LEN] {
    record(place, last, FENCE + row)
}

/// Whether this chunk of a record's key says that it is a fence's.
pub(super) fn is_fence(chunk: u16) -> bool {
    chunk >= FENCE
}

/// The key of the small batch whose last offset is `last`.
pub(super) fn small(place: Place, last: Offset) -> [u8; RECORD_LEN] {
    let mut key = record(place, last, 0);
    key[0] = SMALL;
    key
}

/// The last key that a partition's small batches can have.
pub(super) fn small_end(place: Place) -> [u8; RECORD_LEN] {
    small(place, Offset(u64::MAX))
}

/// The last record key that a partition can have.
pub(super) fn record_end(place: Place) -> [u8; RECORD_LEN] {
    record(place, Offset(u64::MAX), u16::MAX)
}

/// Reads a record key back.
pub(super) fn parse_record(key: &[u8]) -> Option<(Place, Offset, u16)> {
    let key: &[u8; RECORD_LEN] = key.try_into().ok()?;
    if key[0] != RECORD {
        return None;
    }
    let offset = u64::from_be_bytes(key[9..17].try_into().ok()?);
    let chunk = u16::from_be_bytes(key[17..19].try_into().ok()?);
    Some((place_of(key)?, Offset(offset), chunk))
}

/// Reads the key of a batch back, small or not: its last offset, and which
/// chunk.
pub(super) fn parse_batch(key: &[u8]) -> Option<(Offset, u16)> {
    let mut key: [u8; RECORD_LEN] = key.try_into().ok()?;
    if key[0] == SMALL {
        key[0] = RECORD;
    }
    parse_record(&key).map(|(_, last, chunk)| (last, chunk))
}

/// The key of a run that ends at `end`: 0 = its directory, then its chunks.
pub(super) fn run(place: Place, end: Offset, chunk: u16) -> [u8; RECORD_LEN] {
    let mut key = record(place, end, chunk);
    key[0] = RUN;
    key
}

/// The last key that a run of a partition can have.
pub(super) fn runs_end(place: Place) -> [u8; RECORD_LEN] {
    run(place, Offset(u64::MAX), u16::MAX)
}

/// Reads a run's key back: its end, and which chunk.
pub(super) fn parse_run(key: &[u8]) -> Option<(Offset, u16)> {
    let mut key: [u8; RECORD_LEN] = key.try_into().ok()?;
    if std::mem::replace(&mut key[0], RECORD) != RUN {
        return None;
    }
    parse_record(&key).map(|(_, end, chunk)| (end, chunk))
}

fn place_of(key: &[u8]) -> Option<Place> {
    let topic = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let partition = u32::from_be_bytes(key.get(5..9)?.try_into().ok()?);
    Some(Place { topic: TopicId(topic), partition: PartitionId(partition) })
}

/// The key of the time index entry at `offset`.
pub(super) fn index(place: Place, offset: Offset) -> [u8; INDEX_LEN] {
    let mut key = prefix(INDEX, place);
    key[9..17].copy_from_slice(&offset.0.to_be_bytes());
    key
}

/// Reads an index key back.
pub(super) fn parse_index(key: &[u8]) -> Option<(Place, Offset)> {
    let key: &[u8; INDEX_LEN] = key.try_into().ok()?;
    if key[0] != INDEX {
        return None;
    }
    let offset = u64::from_be_bytes(key[9..17].try_into().ok()?);
    Some((place_of(key)?, Offset(offset)))
}

/// The key of part `part` of the state changes of commit `sequence`.
pub(super) fn state(sequence: u64, part: u16) -> [u8; STATE_LEN] {
    let mut key = [0; 11];
    key[0] = STATE;
    key[1..9].copy_from_slice(&sequence.to_be_bytes());
    key[9..11].copy_from_slice(&part.to_be_bytes());
    key
}

/// Reads a state key back: its sequence.
pub(super) fn parse_state(key: &[u8]) -> Option<u64> {
    let key: &[u8; STATE_LEN] = key.try_into().ok()?;
    (key[0] == STATE).then_some(())?;
    Some(u64::from_be_bytes(key[1..9].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_back_and_keep_order(a in any::<(u32, u32, u64, u16)>(), b in any::<(u32, u32, u64, u16)>()) {
            let key = |(t, p, o, c): (u32, u32, u64, u16)| {
                record(Place { topic: TopicId(t), partition: PartitionId(p) }, Offset(o), c)
            };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            let (place, offset, chunk) = parse_record(&key(a)).unwrap();
            prop_assert_eq!((place.topic.0, place.partition.0, offset.0, chunk), a);
            prop_assert_eq!(parse_index(&index(place, offset)), Some((place, offset)));
            prop_assert_eq!(parse_state(&state(a.2, a.3)), Some(a.2));
            prop_assert_eq!(parse_record(&index(place, offset)), None);
            prop_assert_eq!(parse_run(&run(place, offset, chunk)), Some((offset, chunk)));
            prop_assert_eq!(parse_run(&key(a)), None);
            prop_assert_eq!(parse_batch(&key(a)), Some((offset, chunk)));
            prop_assert_eq!(parse_batch(&small(place, offset)), Some((offset, 0)));
            prop_assert_eq!(parse_record(&small(place, offset)), None);
            prop_assert!(small(place, offset) <= small_end(place) && small_end(place) < record(place, offset, 0));
        }
    }
}
