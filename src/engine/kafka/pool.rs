//! Who runs a transaction: producers of this gateway alone for appends without
//! a key, and producers that all gateways share, by the idempotency key.
//!
//! A shared producer is one transactional id. Whoever initialises it has it,
//! and who had it before can commit nothing more. So while a gateway has it, it
//! knows every key that belongs to it: a key is looked up and used by one
//! gateway at a time, without any other agreement between them.

use super::{
    client::{Clients, Producer},
    errors::When,
    transactions::{OPEN_MS, Undone, undone},
};
use crate::engine::EngineError;
use parking_lot::Mutex;
use rdkafka::producer::Producer as _;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Shared transactional ids: as many requests with keys can be under way.
pub(super) const SLOTS: usize = 8;

/// How long an idle producer is listened to.
const HEAR: Duration = Duration::from_millis(1);

/// A shared producer's place; `None` until it is wanted, and after it was lost.
pub(super) type Slot = AsyncMutex<Option<Producer>>;

/// All transactional producers.
pub(super) struct Pool {
    clients: Clients,
    /// What this gateway calls itself.
    gateway: String,
    /// What all gateways of these topics call themselves.
    family: String,
    own: Mutex<Own>,
    turns: Arc<Semaphore>,
    slots: Vec<Arc<Slot>>,
}

struct Own {
    /// The one that rested longest is taken first: the cluster may still be
    /// finishing the last transaction of one that was just used.
    idle: VecDeque<OwnProducer>,
    /// Numbers whose producers were of no use any more. The cluster keeps each
    /// number for days.
    free: Vec<u64>,
    made: u64,
}

/// A producer of this gateway alone.
pub(super) struct OwnProducer {
    number: u64,
    pub producer: Producer,
}

impl Pool {
    pub(super) fn new(clients: &Clients, family: &str, gateway: u64, most: usize) -> Pool {
        Pool {
            clients: clients.clone(),
            gateway: format!("{family}-{gateway:016x}"),
            family: family.to_owned(),
            own: Mutex::new(Own { idle: VecDeque::new(), free: vec![], made: 0 }),
            turns: Arc::new(Semaphore::new(most.max(1))),
            slots: (0..SLOTS).map(|_| Arc::default()).collect(),
        }
    }

    /// Waits for the turn of an append without a key.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_| EngineError::Closed)
    }

    /// A producer of this gateway alone, ready. Blocks.
    pub(super) fn take(&self, most: Duration) -> Result<OwnProducer, Undone> {
        let number = {
            let mut own = self.own.lock();
            if let Some(idle) = own.idle.pop_front() {
                return Ok(idle);
            }
            own.free.pop().unwrap_or_else(|| {
                own.made += 1;
                own.made
            })
        };
        match self.ready(&format!("{}-{number}", self.gateway), most) {
            Ok(producer) => Ok(OwnProducer { number, producer }),
            Err(undone) => {
                self.own.lock().free.push(number);
                Err(undone)
            }
        }
    }

    /// Gives one back. If it is not `of_use` any more, another one has its number
    /// next. Blocks then.
    pub(super) fn give_back(&self, own: OwnProducer, of_use: bool) {
        if of_use {
            self.own.lock().idle.push_back(own);
            return;
        }
        drop(own.producer);
        self.own.lock().free.push(own.number);
    }

    /// The place of the shared producer of `slot`.
    pub(super) async fn slot(&self, slot: usize) -> OwnedMutexGuard<Option<Producer>> {
        Arc::clone(&self.slots[slot % SLOTS]).lock_owned().await
    }

    /// As [`Pool::slot`], unless it is taken.
    pub(super) fn slot_at_rest(&self, slot: usize) -> Option<OwnedMutexGuard<Option<Producer>>> {
        Arc::clone(&self.slots[slot % SLOTS]).try_lock_owned().ok()
    }

    /// Takes the shared producer of `slot` away from whoever has it. Blocks.
    pub(super) fn take_over(&self, slot: usize, most: Duration) -> Result<Producer, Undone> {
        self.ready(&format!("{}-shared-{}", self.family, slot % SLOTS), most)
    }

    fn ready(&self, id: &str, most: Duration) -> Result<Producer, Undone> {
        let producer = self.clients.transactional(id, OPEN_MS).map_err(Undone::Aborted)?;
        match producer.init_transactions(most) {
            Ok(()) => Ok(producer),
            Err(error) => Err(match undone(&error, None, When::Before) {
                Undone::Unknown(error) => Undone::Aborted(error),
                other => other,
            }),
        }
    }

    /// Listens to what idle producers have to tell, for a moment each. Blocks.
    pub(super) fn hear(&self) {
        for own in &self.own.lock().idle {
            own.producer.poll(HEAR);
        }
        for slot in &self.slots {
            if let Ok(slot) = slot.try_lock()
                && let Some(producer) = &*slot
            {
                producer.poll(HEAR);
            }
        }
    }

    /// No more transactions. Blocks.
    pub(super) fn close(&self) {
        self.turns.close();
        self.own.lock().idle.clear();
        for slot in &self.slots {
            if let Ok(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
    }
}
