//! Memory for large records that one client alone is sent: those of the store,
//! which nobody shares. Small ones are bounded by the outbox of each client;
//! one that holds 16 MiB is counted against what all clients may hold so.

use crate::broker::{BrokerError, ReadEvent};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all such records may hold, in KiB.
const ALL_KIB: usize = 128 << 10;
/// What is not counted, bytes.
const SMALL_BYTES: usize = 1 << 20;

/// The memory that is left.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// Memory that was taken. It is given back when the frame was sent.
pub(super) struct Held(OwnedSemaphorePermit);

impl Default for Room {
    fn default() -> Room {
        Room(Arc::new(Semaphore::new(ALL_KIB)))
    }
}

impl Room {
    /// Waits for the memory of what was read, if it is large.
    pub async fn take(&self, read: &Result<Option<ReadEvent>, BrokerError>) -> Option<Held> {
        let Ok(Some(ReadEvent::Records { batches, .. })) = read else { return None };
        let private = batches.iter().filter(|batch| !batch.is_shared());
        let bytes: usize = private.map(|batch| batch.batch.body.len()).sum();
        if bytes <= SMALL_BYTES {
            return None;
        }
        // In a frame there is base64, or what has to be escaped.
        let kib = (bytes / 1024 * 3 / 2).min(ALL_KIB);
        let taken = Arc::clone(&self.0).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
        taken.await.ok().map(Held)
    }
}

impl Held {
    /// The frame's body, which holds its memory until it was sent.
    pub fn around(self, body: Bytes) -> Bytes {
        struct Owner(Bytes, Held);

        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                let Held(_taken) = &self.1;
                &self.0
            }
        }

        Bytes::from_owner(Owner(body, self))
    }
}
