//! Whatever their pace, and wherever what they read comes from: all readers of
//! a partition see the same records in the same order, each once.

use super::{scripted::Scripted, *};
use crate::domain::{LostReason, Offset};
use proptest::prelude::*;
use std::collections::BTreeMap;

const PARTITIONS: u32 = 3;
const KEYS: u32 = 4;

#[derive(Clone, Debug)]
enum Act {
    /// Publishes records of these keys at once, each `size` bytes large.
    Publish { keys: Vec<u32>, size: usize },
    /// A reader takes at most so many records, so many times.
    Read { reader: usize, records: u32, times: usize },
    /// A reader comes to the tail, and waits if nothing is there.
    Wait { reader: usize },
    /// A reader ends, and another goes on from its cursor.
    Reopen { reader: usize },
    /// A partition's start moves so far towards its tail, in hundredths.
    Trim { partition: u32, part: u64 },
    /// From now on the engine has nothing, or has everything, in memory.
    Forget { all: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let reader = 0..READERS.len();
    prop_oneof![
        4 => (prop::collection::vec(0..KEYS, 1..40), prop_oneof![Just(10usize), Just(20_000)])
            .prop_map(|(keys, size)| Act::Publish { keys, size }),
        4 => (reader.clone(), 1..50u32, 1..8usize)
            .prop_map(|(reader, records, times)| Act::Read { reader, records, times }),
        2 => reader.clone().prop_map(|reader| Act::Wait { reader }),
        1 => reader.prop_map(|reader| Act::Reopen { reader }),
        1 => (0..PARTITIONS, 0..=100u64)
            .prop_map(|(partition, part)| Act::Trim { partition, part }),
        1 => any::<bool>().prop_map(|all| Act::Forget { all }),
    ]
}

/// The keys of each reader; none: all records.
const READERS: [&[&str]; 6] = [&[], &[], &[], &["k0"], &["k1", "k3"], &["k0"]];

/// What a reader came to, by partition.
type Seen = BTreeMap<u32, Vec<Item>>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// Its offset, and its value's first word.
    Record(u64, String),
    /// The first and the last offset.
    Lost(u64, u64),
}

fn note(seen: &mut Seen, event: &ReadEvent) {
    if let ReadEvent::Lost { partition, range, .. } = event {
        assert_eq!(range.reason, LostReason::Trimmed);
        seen.entry(partition.0).or_default().push(Item::Lost(range.from.0, range.to.0));
    }
    let ReadEvent::Records { partition, batches, .. } = event else { return };
    for item in batches.iter().flat_map(|shared| shared.batch.iter()) {
        let (offset, record) = item.unwrap();
        let value = String::from_utf8(record.value.to_vec()).unwrap();
        let word = value.split(' ').next().unwrap().to_owned();
        seen.entry(partition.0).or_default().push(Item::Record(offset.0, word));
    }
}

async fn step(reader: &mut Reader, records: u32, seen: &mut Seen) -> bool {
    let event = reader.next(ReadBudget { records, bytes: 64 << 10 }).await.unwrap();
    event.inspect(|event| note(seen, event)).is_some()
}

async fn run(acts: Vec<Act>) {
    let engine = Arc::new(Scripted::new(clock()));
    let broker = broker_over(Arc::clone(&engine) as _, Limits::default());
    topic(&broker, "t", PARTITIONS).await;
    let mut readers = vec![];
    for keys in READERS {
        let reader = open_keys(&broker, &["t"], StartAt::Earliest, keys).await;
        readers.push((reader, Seen::new()));
    }
    let mut published = Published::new();
    for act in acts {
        match act {
            Act::Publish { keys, size } => {
                let first = published.len();
                let names: Vec<_> = keys.iter().map(|key| format!("k{key}")).collect();
                let values: Vec<_> =
                    (first..).take(keys.len()).map(|n| format!("{n} {:size$}", "")).collect();
                let drafts: Vec<_> =
                    names.iter().zip(&values).map(|(key, value)| keyed(key, value)).collect();
                let places = publish(&broker, "t", &drafts).await;
                for (n, ((partition, offset), key)) in places.into_iter().zip(keys).enumerate() {
                    published.push((partition, offset, (first + n).to_string(), key));
                }
                tokio::task::yield_now().await;
            }
            Act::Read { reader, records, times } => {
                let (reader, seen) = &mut readers[reader];
                for _ in 0..times {
                    step(reader, records, seen).await;
                }
            }
            Act::Wait { reader } => {
                let (reader, seen) = &mut readers[reader];
                while step(reader, 1_000, seen).await {}
                let _nothing_new = soon(reader.wait()).await;
            }
            Act::Reopen { reader: n } => {
                let (reader, _) = &mut readers[n];
                let keys = READERS[n].iter().map(|key| key.as_bytes().into()).collect();
                let from = ReadFrom::Cursor(reader.cursor());
                let topics = vec![name("t")];
                let request = ReadRequest { topics, partitions: None, from, keys };
                *reader = Reader::open(&broker, request).await.unwrap();
            }
            Act::Trim { partition, part } => {
                let partition = PartitionId(partition);
                let view = broker.describe_topic(&name("t")).await.unwrap().partitions;
                let tail = view[partition.index()].1.tail.0;
                let to = TrimTo::Offset(Offset(tail * part / 100));
                broker.trim(&name("t"), Some(partition), to).await.unwrap();
            }
            Act::Forget { all } => engine.forgets(all),
        }
    }
    publish_ends(&broker, &mut published).await;
    for ((reader, seen), keys) in readers.iter_mut().zip(READERS) {
        let ends = PARTITIONS as usize * if keys.is_empty() { KEYS as usize } else { keys.len() };
        while seen.values().flatten().filter(|item| is_end(item)).count() < ends {
            while step(reader, 1_000, seen).await {}
            let _woken = soon(reader.wait()).await;
        }
        for partition in 0..PARTITIONS {
            check(&seen[&partition], &wanted(&published, partition, keys), keys.is_empty());
        }
    }
}

/// What was published: partition, offset, the value's first word, key.
type Published = Vec<(u32, u64, String, u32)>;

/// One more of each key in each partition, so that every reader comes to the
/// end.
async fn publish_ends(broker: &Arc<Broker>, published: &mut Published) {
    for (partition, key) in (0..PARTITIONS).flat_map(|p| (0..KEYS).map(move |key| (p, key))) {
        let called = format!("k{key}");
        let draft =
            RecordDraft { partition: Some(PartitionId(partition)), ..keyed(&called, "end") };
        let at = publish(broker, "t", &[draft]).await[0];
        published.push((at.0, at.1, "end".to_owned(), key));
    }
}

fn is_end(item: &Item) -> bool {
    matches!(item, Item::Record(_, word) if word == "end")
}

/// What a reader of `keys` has to see of a partition, unless it is lost.
fn wanted(published: &[(u32, u64, String, u32)], of: u32, keys: &[&str]) -> Vec<(u64, String)> {
    let of_keys = |key| keys.is_empty() || keys.contains(&format!("k{key}").as_str());
    let of = published.iter().filter(|(partition, _, _, key)| *partition == of && of_keys(key));
    of.map(|(_, offset, word, _)| (*offset, word.clone())).collect()
}

/// That each record wanted was seen once and in order, or was said to be lost
/// in that place; and of a reader of all, that nothing is left out between.
fn check(seen: &[Item], wanted: &[(u64, String)], all: bool) {
    let mut wanted = wanted.iter().peekable();
    let mut next = 0;
    for item in seen {
        let (from, to) = match item {
            Item::Record(offset, word) => {
                assert_eq!(wanted.next(), Some(&(*offset, word.clone())), "{seen:?}");
                (*offset, *offset)
            }
            Item::Lost(from, to) => {
                while wanted.next_if(|(offset, _)| (from..=to).contains(&offset)).is_some() {}
                (*from, *to)
            }
        };
        assert!(from >= next && (from == next || !all), "{next} is left out: {seen:?}");
        next = to + 1;
    }
    assert_eq!(wanted.next(), None, "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_readers_see_the_same_in_the_same_order(acts in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(acts));
    }
}
