//! Plain publishes: one idempotent producer for all, a thread that hears its
//! reports, and a bound on what waits.
//!
//! The records of an append to one partition are handed over together, so they
//! stand next to each other, and the library sends them in that order. As a
//! rule they are one batch of the log, which is there as a whole or not at all;
//! the library may cut it where its own batches end. Then those of another
//! gateway may come between, and the answer tells where the pieces are.

use super::{
    catalog::{Partition, TopicState},
    client::{Clients, Producer},
    errors::{self, When},
    records,
    ticket::{Fall, Landing, Run, Ticket},
};
use crate::{
    domain::{PackedRecords, Timestamp},
    engine::EngineError,
    runtime,
};
use parking_lot::{Mutex, RwLock};
use rdkafka::producer::Producer as _;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long the thread waits for reports before it looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// The unit in which waiting bytes are counted.
const UNIT: usize = 1 << 10;

/// The shared producer.
pub(super) struct Publisher {
    clients: Clients,
    producer: Arc<RwLock<Arc<Producer>>>,
    room: Arc<Semaphore>,
    units: usize,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Publisher {
    pub(super) fn new(clients: &Clients, queue_bytes: usize) -> Result<Publisher, EngineError> {
        let producer = Arc::new(RwLock::new(Arc::new(clients.producer()?)));
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopping) = (Arc::clone(&producer), Arc::clone(&stop));
        let thread = runtime::thread("kafka-reports", move || {
            while !stopping.load(Ordering::Acquire) {
                let producer = Arc::clone(&polled.read());
                producer.poll(POLL);
            }
        });
        let units = (queue_bytes / UNIT).clamp(1, u32::MAX as usize >> 4);
        Ok(Publisher {
            clients: clients.clone(),
            producer,
            room: Arc::new(Semaphore::new(units)),
            units,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands over the records of one partition and waits for the outcome.
    /// Errors with `OutcomeUnknown` if they may be there.
    pub(super) async fn append(
        &self,
        topic: &TopicState,
        partition: &Partition,
        records: &PackedRecords,
        appended: Timestamp,
    ) -> Result<Vec<Run>, EngineError> {
        let room = self.room_for(records.body().len()).await?;
        let alone = topic.takes_small_batches_alone();
        let _alone = if alone { Some(partition.alone.lock().await) } else { None };
        let (ticket, landing) = Ticket::holding(records.count(), partition.tail(), Some(room));
        let ticket = Arc::new(ticket);
        {
            let producer = Arc::clone(&self.producer.read());
            let _in_turn = partition.order.lock();
            records::send(&producer, &topic.raw, partition.id, records, appended, &ticket)?;
        }
        drop(ticket);
        let landing: Landing = landing.await.unwrap_or(Err(Fall::UNHEARD));
        match landing {
            Ok(runs) => Ok(runs),
            Err(fall) => {
                if let Some(fallen) = self.renewed_if_fatal() {
                    discard(fallen).await;
                }
                Err(fall.told(Some(&topic.topic().name)))
            }
        }
    }

    /// Hands over one record without partition order, as the state topic needs.
    pub(super) fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.read())
    }

    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, EngineError> {
        let units = (bytes / UNIT + 1).min(self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(units);
        room.await.map_err(|_| EngineError::Closed)
    }

    /// A producer that met something fatal takes nothing more: another does, and
    /// that one is answered.
    fn renewed_if_fatal(&self) -> Option<Arc<Producer>> {
        let mut producer = self.producer.write();
        let (code, reason) = producer.client().fatal_error()?;
        tracing::error!(%code, reason, "the producer met something fatal and is made anew");
        match self.clients.producer() {
            Ok(new) => Some(std::mem::replace(&mut *producer, Arc::new(new))),
            Err(error) => {
                tracing::error!(%error, "no new producer");
                None
            }
        }
    }

    /// Waits for what is under way, then ends. Blocks.
    pub(super) fn close(&self, most: Duration) {
        let producer = self.producer();
        if let Err(error) = producer.flush(most) {
            tracing::warn!(%error, "not every publish was answered at the end");
        }
        self.room.close();
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// Lets go of a producer beside the tasks: that waits for what it still has.
pub(super) async fn discard(producer: impl Send + 'static) {
    if runtime::blocking(move || drop(producer)).await.is_err() {
        tracing::warn!("a producer did not end in order");
    }
}

impl Fall {
    /// Nobody told what became of the records.
    pub(super) const UNHEARD: Fall =
        Fall { code: rdkafka::types::RDKafkaErrorCode::Fail, some_landed: true, some_taken: true };

    /// As the caller is told.
    pub(super) fn told(self, topic: Option<&crate::domain::TopicName>) -> EngineError {
        if self.some_landed {
            return EngineError::OutcomeUnknown(self.code.to_string());
        }
        errors::of_code(self.code, topic, When::After)
    }
}
