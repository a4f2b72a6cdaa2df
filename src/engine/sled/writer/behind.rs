//! Syncs beside the writer, where nobody waits for one: `buffered` records are
//! answered already, and those that come meanwhile need not wait for the disk.
//! One at a time, and its bytes count as unsynced until it is done.

use super::super::{commit::Show, store::Store, volume::Volume};
use crate::{engine::EngineError, runtime};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Instant,
};

/// What was applied before it was asked for.
struct Ask {
    volume: Arc<Volume>,
    shows: Vec<Show>,
}

/// The thread, and what it is at.
pub(super) struct Behind {
    /// `None` once it is to end.
    asks: Option<Sender<Ask>>,
    done: Receiver<Result<(), EngineError>>,
    thread: Option<JoinHandle<()>>,
    /// The bytes that are being synced.
    under_way: Option<usize>,
}

impl Behind {
    pub(super) fn new(store: Arc<Store>) -> Behind {
        let (asks, asked) = channel::<Ask>();
        let (tell, done) = channel();
        let thread = runtime::thread("sled-sync", move || {
            for Ask { volume, shows } in asked {
                let began = Instant::now();
                let synced = volume.sync();
                // Whoever hears of it may have the volume closed.
                drop(volume);
                store.meters.sync_seconds.observe_time(began.elapsed());
                if synced.is_ok() {
                    shows.iter().for_each(Show::synced);
                }
                // The writer ends after its last sync.
                let _ = tell.send(synced);
            }
        });
        Behind { asks: Some(asks), done, thread: Some(thread), under_way: None }
    }

    /// Begins to sync what was applied to `volume`, after the one before. Errors
    /// with what that met.
    pub(super) fn begin(
        &mut self,
        volume: Arc<Volume>,
        shows: Vec<Show>,
        bytes: usize,
    ) -> Result<(), EngineError> {
        self.end()?;
        let asked = self.asks.as_ref().map(|asks| asks.send(Ask { volume, shows }));
        match asked {
            Some(Ok(())) => self.under_way = Some(bytes),
            Some(Err(_)) | None => return Err(EngineError::Closed),
        }
        Ok(())
    }

    /// Whether one was begun and not heard of since.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The bytes that may not be on the disk yet. Errors with what the sync met.
    pub(super) fn bytes(&mut self) -> Result<usize, EngineError> {
        if self.under_way.is_some()
            && let Ok(synced) = self.done.try_recv()
        {
            self.under_way = None;
            synced?;
        }
        Ok(self.under_way.unwrap_or(0))
    }

    /// Waits for the one that is under way. Errors with what it met.
    pub(super) fn end(&mut self) -> Result<(), EngineError> {
        match self.under_way.take() {
            Some(_) => self.done.recv().unwrap_or(Err(EngineError::Closed)),
            None => Ok(()),
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}
