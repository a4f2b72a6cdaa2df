//! Publishing: each record goes to its partition and is packed there at once;
//! then all are appended together, or none.

use super::{Broker, BrokerError, RecordFault, turns::Turn};
use crate::{
    domain::{
        Durability, Epoch, Offset, PackedRecords, PartitionCount, PartitionId, RecordDraft,
        Timestamp, limits, partitioner,
    },
    engine::{Append, Appended, AppendedPart, Idempotency, Topic},
};
use std::{sync::Arc, time::Instant};

/// Partitions up to which a publish looks for its part one by one.
const FEW_PARTS: usize = 8;

/// Records on their way into one topic, to be appended as one.
pub struct PublishBuilder {
    broker: Arc<Broker>,
    topic: Arc<Topic>,
    idempotency: Option<Idempotency>,
    turn: Option<Turn>,
    /// Where those without key and partition go that do not go one by one.
    together: Option<PartitionId>,
    parts: Vec<(PartitionId, PackedRecords)>,
    /// By partition: its place in `parts`, plus 1. Made once there are many.
    places: Vec<u16>,
    /// For each record, in order: the place of its part.
    order: Vec<u16>,
    bytes: usize,
}

const _: () = assert!(limits::MAX_PARTITIONS < u16::MAX as u32);

/// Where a publish went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Part by part.
    pub parts: Vec<AppendedPart>,
    /// The time of appending.
    pub appended: Timestamp,
    /// Whether an earlier request of the same idempotency key did it.
    pub repeated: bool,
    order: Vec<u16>,
}

impl PublishBuilder {
    /// A publish to `topic` without records yet.
    #[must_use]
    pub fn new(
        broker: &Arc<Broker>,
        topic: Arc<Topic>,
        idempotency: Option<Idempotency>,
    ) -> PublishBuilder {
        PublishBuilder {
            broker: Arc::clone(broker),
            topic,
            idempotency,
            turn: None,
            together: None,
            parts: vec![],
            places: vec![],
            order: vec![],
            bytes: 0,
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Bytes of keys, headers and values taken so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a record; nothing is added on an error.
    ///
    /// `Record` when this one cannot be taken, `BatchTooLarge` when there are
    /// as many as there may be.
    pub fn push(&mut self, draft: &RecordDraft<'_>) -> Result<(), BrokerError> {
        if self.order.len() >= limits::MAX_BATCH_RECORDS {
            return Err(BrokerError::BatchTooLarge { max: limits::MAX_BATCH_RECORDS });
        }
        self.try_push(draft).map_err(|fault| BrokerError::Record { index: self.order.len(), fault })
    }

    fn try_push(&mut self, draft: &RecordDraft<'_>) -> Result<(), RecordFault> {
        let partition = self.partition_of(draft)?;
        let max = self.topic.config.max_record_bytes as usize;
        let place = self.place_of(partition);
        let (_, part) = &mut self.parts[place];
        if let Err(fault) = part.push(draft, max) {
            // A part that was made for this record must not stay behind empty.
            if part.is_empty() {
                self.parts.pop();
                self.places.clear();
            }
            return Err(fault.into());
        }
        self.order.push(place as u16);
        self.bytes += draft.key.as_ref().map_or(0, |key| key.len())
            + draft.headers.iter().map(|h| h.name.len() + h.value.len()).sum::<usize>()
            + draft.value.len();
        Ok(())
    }

    fn partition_of(&mut self, draft: &RecordDraft<'_>) -> Result<PartitionId, RecordFault> {
        let config = &self.topic.config;
        let count = config.partitions;
        match (draft.partition, &draft.key) {
            (Some(_), _) if config.keyed => Err(RecordFault::PartitionNotFree),
            (Some(partition), _) if !count.contains(partition) => {
                Err(RecordFault::PartitionUnknown(partition))
            }
            (Some(partition), _) => Ok(partition),
            (None, Some(key)) => Ok(partitioner::by_key(key, count)),
            (None, None) if count.0 == 1 => Ok(PartitionId(0)),
            (None, None) => Ok(self.in_turn(count)),
        }
    }

    /// The partition of a record that may go to any.
    fn in_turn(&mut self, count: PartitionCount) -> PartitionId {
        if let Some(together) = self.together {
            return together;
        }
        let turn = self.turn.get_or_insert_with(|| match &self.idempotency {
            Some(idempotency) => Turn::repeatable(&idempotency.key),
            None => self.broker.turns.of(&self.topic),
        });
        let next = turn.next(count);
        self.together = (!self.broker.engine.promises().spreads_each).then_some(next);
        next
    }

    /// The place of the partition's part, which is made if there is none.
    fn place_of(&mut self, partition: PartitionId) -> usize {
        let known = if self.parts.len() <= FEW_PARTS {
            self.parts.iter().position(|(p, _)| *p == partition)
        } else {
            if self.places.is_empty() {
                self.places = vec![0; self.topic.config.partitions.0 as usize];
                for (place, (p, _)) in self.parts.iter().enumerate() {
                    self.places[p.index()] = place as u16 + 1;
                }
            }
            usize::from(self.places[partition.index()]).checked_sub(1)
        };
        known.unwrap_or_else(|| {
            self.parts.push((partition, PackedRecords::default()));
            if !self.places.is_empty() {
                self.places[partition.index()] = self.parts.len() as u16;
            }
            self.parts.len() - 1
        })
    }

    /// Appends all records, and answers when they are as durable as asked for
    /// (by default as the topic says). `BatchEmpty` when there are none.
    pub async fn commit(self, durability: Option<Durability>) -> Result<Published, BrokerError> {
        if self.order.is_empty() {
            return Err(BrokerError::BatchEmpty);
        }
        let durability = durability.unwrap_or(self.topic.config.durability);
        let bytes = self.parts.iter().map(|(_, part)| part.body().len()).sum();
        let counts: Vec<_> = self.parts.iter().map(|(p, part)| (*p, part.count())).collect();
        let append = Append {
            topic: self.topic,
            parts: self.parts,
            durability,
            idempotency: self.idempotency,
        };
        let begun = Instant::now();
        let appended = self.broker.engine.append(append).await.inspect_err(|_| {
            self.broker.metrics.publish_failed.inc();
        })?;
        let metrics = &self.broker.metrics;
        metrics.published(durability, self.order.len(), bytes, begun.elapsed());
        Ok(Published::new(appended, &counts, self.order))
    }
}

impl Published {
    fn new(appended: Appended, asked: &[(PartitionId, u32)], order: Vec<u16>) -> Published {
        let Appended { parts, appended, repeated } = appended;
        let same = parts.len() == asked.len()
            && parts.iter().zip(asked).all(|(part, asked)| (part.partition, part.count) == *asked);
        // A repeat takes the same turns, so that the parts are the same. Were
        // they not, the answer is told part by part.
        let order = if same { order } else { in_turn(&parts) };
        Published { parts, appended, repeated, order }
    }

    /// Where each record went, in the order of the request.
    pub fn records(&self) -> impl ExactSizeIterator<Item = (PartitionId, Offset, Epoch)> + '_ {
        let mut next: Vec<Offset> = self.parts.iter().map(|part| part.base).collect();
        self.order.iter().map(move |place| {
            let place = usize::from(*place);
            let part = &self.parts[place];
            let offset = next[place];
            next[place] = offset.plus(1);
            (part.partition, offset, part.epoch)
        })
    }
}

fn in_turn(parts: &[AppendedPart]) -> Vec<u16> {
    let places = (0u16..).zip(parts);
    places.flat_map(|(place, part)| (0..part.count).map(move |_| place)).collect()
}
