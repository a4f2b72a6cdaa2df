//! What the library calls back for a member. Nothing waits here: an event is
//! kept for the driver, and the library waits with the group until the driver
//! has answered it.

use crate::engine::kafka::client::Link;
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

/// A consumer that is in a group.
pub(in crate::engine::kafka) type GroupConsumer = BaseConsumer<Rebalances>;

/// A partition as the cluster calls it.
pub(super) type RawPlace = (String, i32);

/// What Kafka's group wants of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// It gets these: none, if it keeps what it has.
    Granted(Vec<RawPlace>),
    /// It is to let go of these, and the group waits for that; or they are lost
    /// already.
    Revoked { places: Vec<RawPlace>, lost: bool },
}

/// Listens for one consumer.
pub(in crate::engine::kafka) struct Rebalances {
    link: Link,
    events: Mutex<VecDeque<Rebalance>>,
    leaving: AtomicBool,
}

impl Rebalances {
    pub(super) fn new(link: Link) -> Rebalances {
        Rebalances { link, events: Mutex::default(), leaving: AtomicBool::new(false) }
    }

    /// The next thing to be answered.
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.events.lock().pop_front()
    }

    /// From now on all is let go of at once: nobody answers any more.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        self.link.log(level, fac, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let granted = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::Acquire) {
            let answered = if granted {
                consumer.incremental_assign(list)
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "a member that leaves");
            }
            return;
        }
        let places = list.elements().into_iter().map(|e| (e.topic().to_owned(), e.partition()));
        let places: Vec<_> = places.collect();
        let event = if granted {
            Rebalance::Granted(places)
        } else {
            Rebalance::Revoked { places, lost: consumer.assignment_lost() }
        };
        self.events.lock().push_back(event);
    }
}

/// Places as the library wants them.
pub(super) fn list_of(places: &[RawPlace], at: rdkafka::Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (raw, id) in places {
        // No partition that the library named is refused by it.
        let _ = list.add_partition_offset(raw, *id, at);
    }
    list
}
