//! The random operations of the model: small to print, so that a shrunk
//! failure can be read; what they mean is worked out when they are applied.

use crate::domain::Durability;
use crate::engine::ReadBudget;
use proptest::{collection::vec, option, prelude::*};

/// The records for one partition of an append.
#[derive(Clone, Debug)]
pub struct PartSize {
    /// Which partition, taken by remainder; 255 = one that is not there.
    pub partition: u8,
    /// How many records.
    pub count: usize,
    /// The least and the greatest length of a value, bytes.
    pub len: (usize, usize),
    /// Their times, about; `None` = the time of appending.
    pub time: Option<i64>,
    /// What their lengths and bytes are made of.
    pub seed: u64,
}

/// One change of the table.
#[derive(Clone, Debug)]
pub struct Change {
    /// The entry's key.
    pub key: u8,
    /// Its value and its time to live, ms; `None` removes it.
    pub entry: Option<(u8, Option<u64>)>,
}

/// One operation. Topics live in three slots; places are fractions of what is
/// there at that moment.
#[derive(Clone, Debug)]
pub enum Op {
    /// Makes a topic, or finds the name taken.
    Create { slot: usize, partitions: u32, durability: Durability },
    /// Sets a retention that never takes effect here.
    Alter { slot: usize, retention_ms: u64 },
    /// Deletes a topic.
    Delete { slot: usize },
    /// Appends, perhaps under a key that was used before.
    Append { slot: usize, parts: Vec<PartSize>, key: Option<u8> },
    /// Reads from anywhere.
    Read { slot: usize, partition: u8, at: u16, budget: ReadBudget },
    /// Searches a time.
    OffsetAt { slot: usize, partition: u8, time: i64 },
    /// Moves the start to anywhere.
    Trim { slot: usize, partition: u8, at: u16 },
    /// Changes the table.
    Put(Vec<Change>),
    /// Moves the clock on, ms.
    Advance(u64),
    /// Closes and opens the tested engine.
    Restart,
}

/// Sequences of operations; the first makes a topic.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    (create(), vec(op(), 1..60)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

fn op() -> impl Strategy<Value = Op> {
    let trim = (slot(), any::<u8>(), any::<u16>());
    let search = (slot(), any::<u8>(), -10i64..1_100);
    let change = (0u8..6, option::of((any::<u8>(), option::of(1u64..100_000))))
        .prop_map(|(key, entry)| Change { key, entry });
    prop_oneof![
        1 => create(),
        1 => (slot(), 1u64 << 40..1 << 50)
            .prop_map(|(slot, retention_ms)| Op::Alter { slot, retention_ms }),
        1 => slot().prop_map(|slot| Op::Delete { slot }),
        14 => append(),
        8 => (slot(), any::<u8>(), any::<u16>(), budget())
            .prop_map(|(slot, partition, at, budget)| Op::Read { slot, partition, at, budget }),
        3 => search.prop_map(|(slot, partition, time)| Op::OffsetAt { slot, partition, time }),
        2 => trim.prop_map(|(slot, partition, at)| Op::Trim { slot, partition, at }),
        2 => vec(change, 0..4).prop_map(Op::Put),
        2 => (1u64..40_000).prop_map(Op::Advance),
        1 => Just(Op::Restart),
    ]
}

/// The first slot is used most, so that much comes together there.
fn slot() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 1 => Just(1usize), 1 => Just(2usize)]
}

fn create() -> impl Strategy<Value = Op> {
    let durability = prop_oneof![Just(Durability::Synced), Just(Durability::Buffered)];
    (slot(), 1u32..5, durability).prop_map(|(slot, partitions, durability)| Op::Create {
        slot,
        partitions,
        durability,
    })
}

fn append() -> impl Strategy<Value = Op> {
    let key = prop_oneof![3 => Just(None), 1 => (0u8..4).prop_map(Some)];
    (slot(), vec(part(), 1..4), key).prop_map(|(slot, parts, key)| Op::Append { slot, parts, key })
}

fn part() -> impl Strategy<Value = PartSize> {
    let time = prop_oneof![Just(None), (0i64..1_000).prop_map(Some)];
    (any::<u8>(), sizes(), time, any::<u64>()).prop_map(|(partition, (count, len), time, seed)| {
        PartSize { partition, count, len, time, seed }
    })
}

/// Mostly small records, some around the sizes where they are cut, few large.
fn sizes() -> impl Strategy<Value = (usize, (usize, usize))> {
    prop_oneof![
        10 => (1usize..12, Just((0, 400))),
        3 => (1usize..2_000, Just((1, 8))),
        3 => (1usize..30, Just((0, 6_000))),
        3 => (1usize..4, Just((16_300, 16_450))),
        2 => (1usize..3, Just((16_000, 300_000))),
    ]
}

fn budget() -> impl Strategy<Value = ReadBudget> {
    let records = prop_oneof![Just(1), 1u32..50, Just(10_000)];
    let bytes = prop_oneof![Just(1), 1usize..40_000, Just(16 << 20)];
    (records, bytes).prop_map(|(records, bytes)| ReadBudget { records, bytes })
}
