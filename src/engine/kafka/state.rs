//! The state topic: read into memory before the gateway is ready, and followed
//! from then on. What is written counts once our own reader has seen it.

use super::{
    client::{Clients, Consumer},
    notes::{Changed, Note, Notes},
    transactions::Noted,
};
use crate::{domain::Offset, engine::EngineError, runtime};
use parking_lot::{Mutex, RwLock};
use rdkafka::{
    Message, Offset as At, TopicPartitionList, consumer::Consumer as _, error::KafkaError,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// How long the reader waits before it looks whether it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// How long a change may take to come back from the cluster. A gateway that dies
/// in a transaction hides what is behind that until the cluster has undone it,
/// which looks for such ones every ten seconds.
const SEEN: Duration = Duration::from_secs(30);

/// What the state topic says, and how far it was read.
pub(super) struct StateTopic {
    /// Its name in the cluster.
    pub raw: String,
    notes: RwLock<Notes>,
    /// The offset after the last record that is in `notes`.
    read: watch::Sender<Offset>,
    /// What is known of topics has changed.
    pub topics_changed: Arc<Notify>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl StateTopic {
    /// Begins to read. The topic is there. Blocks.
    pub(super) fn start(clients: &Clients, raw: String) -> Result<Arc<StateTopic>, EngineError> {
        let consumer = clients.consumer(100)?;
        let state = Arc::new(StateTopic {
            raw,
            notes: RwLock::default(),
            read: watch::Sender::new(Offset::ZERO),
            topics_changed: Arc::default(),
            stop: Arc::default(),
            thread: Mutex::new(None),
        });
        state.seat(&consumer, At::Beginning)?;
        let reading = Arc::clone(&state);
        let thread = runtime::thread("kafka-state", move || reading.follow(&consumer));
        *state.thread.lock() = Some(thread);
        Ok(state)
    }

    fn seat(&self, consumer: &Consumer, at: At) -> Result<(), EngineError> {
        let fault = |e: KafkaError| EngineError::Unavailable(e.to_string());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.raw, 0, at).map_err(fault)?;
        consumer.assign(&list).map_err(fault)
    }

    fn follow(&self, consumer: &Consumer) {
        while !self.stop.load(Ordering::Acquire) {
            match consumer.poll(POLL) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Ok(message)) => {
                    let offset = Offset(u64::try_from(message.offset()).unwrap_or(0));
                    self.take_in(message.key().unwrap_or_default(), message.payload());
                    self.read.send_replace(offset.plus(1));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "the state topic cannot be read now");
                    if super::errors::code_of(&error) == super::errors::OUT_OF_RANGE {
                        // Compaction has taken the place away: all from the start.
                        let _ = self.seat(consumer, At::Beginning);
                    }
                    std::thread::sleep(POLL);
                }
            }
        }
    }

    fn take_in(&self, key: &[u8], value: Option<&[u8]>) {
        let changed = self.notes.write().apply(key, value);
        match changed {
            Some(Changed::Topics) => self.topics_changed.notify_one(),
            Some(Changed::Other) => {}
            None => tracing::debug!(key = ?key.first(), "a note that this version does not know"),
        }
    }

    /// Notes, to be written behind all that was read.
    pub(super) fn noted(&self, notes: Vec<Note>) -> Noted {
        Noted { raw: self.raw.clone(), least: self.read_to(), notes }
    }

    /// What the notes say.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Notes) -> T) -> T {
        look(&self.notes.read())
    }

    /// Waits until all before `to` was read. `OutcomeUnknown` if that takes too
    /// long: it is in the log, and not seen.
    pub(super) async fn seen(&self, to: Offset) -> Result<(), EngineError> {
        if self.seen_within(to, SEEN).await {
            return Ok(());
        }
        Err(EngineError::OutcomeUnknown("the state topic is not read".to_owned()))
    }

    /// The offset after the last record that was read.
    pub(super) fn read_to(&self) -> Offset {
        *self.read.borrow()
    }

    /// Whether all before `to` is read in that time.
    pub(super) async fn seen_within(&self, to: Offset, most: Duration) -> bool {
        let mut read = self.read.subscribe();
        let seen = tokio::time::timeout(most, read.wait_for(|read| *read >= to)).await;
        matches!(seen, Ok(Ok(_)))
    }

    /// Ends the reader. Blocks.
    pub(super) fn close(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
