//! Readers of keys at the tail: parked until the driver finds a record of
//! theirs. There is one driver for a partition, while it has such readers.

use super::{
    FILL,
    hub::Hub,
    keyed::{KeySet, Wakes},
};
use crate::{
    broker::{
        Broker, SharedBatch,
        reader::{Room, fit_each},
    },
    domain::{CorruptRecord, Epoch, Offset, PartitionView, Position},
    engine::ReadChunk,
    runtime::TaskKind,
};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// A reader's place among those that wait for their keys. It leaves when this
/// is dropped.
pub(in crate::broker) struct Parked {
    hub: Arc<Hub>,
    id: u64,
}

/// What has become of a parked reader.
pub(in crate::broker) enum Live {
    /// Records of its keys, and the place after them.
    Found { batches: Vec<Arc<SharedBatch>>, next: Offset },
    /// The next one has no room.
    Full,
    /// It goes on from here by itself.
    GoOn(Offset),
    /// Nothing yet.
    Nothing,
}

impl Hub {
    /// Parks a reader whose place is `at`, the newest epoch that it knows
    /// being `epoch`. `None` if there is something before the tail that it has
    /// to look at by itself first.
    pub(in crate::broker) fn park(
        self: &Arc<Hub>,
        broker: &Arc<Broker>,
        tail: &watch::Receiver<Offset>,
        (at, epoch): (Offset, Epoch),
        keys: &KeySet,
        wake: &Arc<Notify>,
    ) -> Option<Parked> {
        let mut wakes = vec![];
        let parked = {
            let mut state = self.state.lock();
            let keyed = &mut state.keyed;
            if !keyed.driven || keyed.at.epoch < epoch {
                wakes = keyed.start_over(Position { epoch, next: at });
            }
            if keyed.at.epoch != epoch || at < keyed.at.next {
                None
            } else {
                let id = keyed.insert(keys.clone(), at, Arc::clone(wake));
                if !std::mem::replace(&mut keyed.driven, true) {
                    let (hub, broker, tail) = (Arc::clone(self), Arc::clone(broker), tail.clone());
                    let drive = hub.drive(Arc::clone(&broker), tail);
                    broker.tasks.spawn("readers of keys", TaskKind::Worker, drive);
                }
                Some(Parked { hub: Arc::clone(self), id })
            }
        };
        wake_all(wakes);
        parked
    }

    /// Looks through all that comes, until no reader of keys is left or the
    /// topic is gone.
    async fn drive(self: Arc<Hub>, broker: Arc<Broker>, mut tail: watch::Receiver<Offset>) {
        loop {
            let to = *tail.borrow_and_update();
            self.look_up_to(&broker, to).await;
            if self.has_none_left() {
                return;
            }
            tokio::select! {
                moved = tail.changed() => if moved.is_err() {
                    break;
                },
                () = self.left.notified() => {}
            }
        }
        // The readers learn by themselves that the topic is gone.
        let everybody = {
            let mut state = self.state.lock();
            state.keyed.driven = false;
            state.keyed.everybody()
        };
        wake_all(everybody);
    }

    /// Whether the driver is to end; nobody counts on it then.
    fn has_none_left(&self) -> bool {
        let mut state = self.state.lock();
        let none = state.keyed.is_empty();
        state.keyed.driven = !none;
        none
    }

    async fn look_up_to(&self, broker: &Broker, tail: Offset) {
        loop {
            let (at, wakes) = self.look_in_memory(broker);
            wake_all(wakes);
            if at.next >= tail {
                return;
            }
            // More than the engine keeps in memory came at once.
            let read = {
                let _permit = broker.reads.acquire().await;
                broker.engine.read(&self.topic, self.partition, at.next, FILL).await
            };
            let wakes = match read {
                // Nothing before the tail after all: the tail will tell.
                Ok(chunk) if chunk.next <= at.next => return,
                Ok(chunk) => self.look_through(at, chunk),
                Err(error) => {
                    tracing::debug!(%error, topic = %self.topic.name, "readers of keys go on by themselves");
                    match broker.engine.partition(&self.topic, self.partition) {
                        Ok(view) => self.start_over(&view),
                        // Gone, as the end of the watch tells.
                        Err(_) => return,
                    }
                }
            };
            wake_all(wakes);
        }
    }

    /// Looks through what the ring has, after it was filled.
    fn look_in_memory(&self, broker: &Broker) -> (Position, Wakes) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let at = state.keyed.at;
        let view = self.fill(&mut state.ring, &*broker.engine, at.next);
        let mut wakes = vec![];
        if let Some(view) = view.filter(|view| view.epoch() != at.epoch) {
            wakes = state.keyed.start_over(view.position(view.tail));
        } else if state.ring.has(at.next) {
            for shared in state.ring.after(at.next) {
                let rest = shared.batch.from_offset(at.next);
                let looked = rest.and_then(|rest| {
                    rest.map_or(Ok(()), |rest| state.keyed.look_through(&rest, &mut wakes))
                });
                if looked.is_err() {
                    // They come to the damage by themselves, and are told.
                    let past = Position { next: state.ring.end(), ..at };
                    wakes = state.keyed.start_over(past);
                    break;
                }
            }
            state.keyed.at.next = state.ring.end();
        }
        (state.keyed.at, wakes)
    }

    fn look_through(&self, at: Position, chunk: ReadChunk) -> Wakes {
        self.add(at.next, at.epoch, &chunk.batches, chunk.next);
        let mut wakes = vec![];
        let mut state = self.state.lock();
        let keyed = &mut state.keyed;
        if keyed.at != at {
            return wakes;
        }
        let mut batches = chunk.batches.iter();
        if batches.any(|batch| keyed.look_through(batch, &mut wakes).is_err()) {
            return keyed.start_over(Position { next: chunk.next, ..at });
        }
        keyed.at.next = chunk.next;
        wakes
    }

    fn start_over(&self, view: &PartitionView) -> Wakes {
        self.state.lock().keyed.start_over(view.position(view.tail))
    }
}

fn wake_all(wakes: Wakes) {
    wakes.iter().for_each(|wake| wake.notify_one());
}

impl Parked {
    /// Whether there is something for it.
    pub(in crate::broker) fn is_ready(&self) -> bool {
        let state = self.hub.state.lock();
        let slot = state.keyed.slot(self.id);
        slot.is_none_or(|slot| !slot.found.is_empty() || slot.missed.is_some())
    }

    /// Its place: the driver moves it on past what it does not want.
    pub(in crate::broker) fn next(&self) -> Option<Offset> {
        let state = self.hub.state.lock();
        state.keyed.slot(self.id).map(|slot| slot.place(state.keyed.at.next))
    }

    /// How many records were found for it and not taken yet.
    pub(in crate::broker) fn waiting(&self) -> u64 {
        self.hub.state.lock().keyed.slot(self.id).map_or(0, |slot| slot.found.len() as u64)
    }

    /// Takes what was found, as far as there is `room`.
    pub(in crate::broker) fn take(&self, room: Room) -> Result<Live, CorruptRecord> {
        let mut state = self.hub.state.lock();
        let keyed = &mut state.keyed;
        let at = keyed.at.next;
        let Some(slot) = keyed.slot(self.id) else { return Ok(Live::Nothing) };
        if slot.found.is_empty() {
            return Ok(slot.missed.map_or(Live::Nothing, Live::GoOn));
        }
        let mut count = 0;
        // Of one record each: taken as they are, or not.
        fit_each(slot.found.iter(), Offset::ZERO, room, None, |_, _| count += 1)?;
        if count == 0 {
            return Ok(Live::Full);
        }
        let batches = keyed.take(self.id, count);
        let next = keyed.slot(self.id).map_or(at, |slot| slot.place(at));
        Ok(Live::Found { batches, next })
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let none_left = {
            let mut state = self.hub.state.lock();
            state.keyed.remove(self.id);
            state.keyed.is_empty()
        };
        if none_left {
            self.hub.left.notify_one();
        }
    }
}
