//! How the store is set up, and the sizes that its format depends on.

use crate::engine::EngineError;
use std::{path::PathBuf, time::Duration};

/// sled's own unit of space. Nodes must stay under a quarter of it: beyond
/// that sled writes "blobs", which nothing syncs.
pub(super) const SEGMENT_BYTES: usize = 2 << 20;
/// The largest packed value, before compression. A node holds about 17 of
/// them: 272 KiB, under the 512 KiB where blobs begin.
pub(super) const VALUE_BYTES: usize = 16 << 10;
/// What a commit has for a partition is merged behind where it is smaller than
/// this.
pub(super) const SMALL_BYTES: usize = 4 << 10;
/// A time index entry is made about every so many bytes of a partition.
pub(super) const INDEX_BYTES: u64 = 256 << 10;
/// The most that one commit takes together.
pub(super) const COMMIT_REQUESTS: usize = 1_024;
/// The same in bytes; one request that is larger stands alone.
pub(super) const COMMIT_BYTES: usize = 448 << 10;
/// The most that is handed to sled between two syncs. Each of its segments
/// says how far the log was written when it was begun; with more than a
/// segment's worth under way, a power cut can make that a lie, and the log one
/// that cannot be told from a damaged one (seen in 3 of 45 cuts at 1 MB, in 0
/// of 135 below 700 KB). Segments of 4 MiB and commits of 896 KiB were tried:
/// eight connections with batches of 100 KB were no faster.
pub(super) const UNSYNCED_BYTES: usize = 480 << 10;
/// The format of everything under the data directory.
pub(super) const FORMAT_VERSION: u32 = 1;

const _: () = assert!(VALUE_BYTES * 17 < SEGMENT_BYTES / 4);
const _: () = assert!(COMMIT_BYTES <= UNSYNCED_BYTES && UNSYNCED_BYTES < SEGMENT_BYTES / 4);
const _: () = assert!(SMALL_BYTES * 2 <= VALUE_BYTES);

/// Refuses a store that another version wrote in another way.
pub(super) fn check_format(version: u32) -> Result<(), EngineError> {
    if version == FORMAT_VERSION {
        return Ok(());
    }
    // Nothing that could be accepted as a loss.
    Err(EngineError::Unavailable(format!(
        "the store has format {version}, this program knows {FORMAT_VERSION}: use the version \
         that wrote it"
    )))
}

/// Settings of the sled engine.
#[derive(Clone, Debug, PartialEq)]
pub struct SledConfig {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// A volume is rolled when its log has grown to this, bytes.
    pub roll_bytes: u64,
    /// Sealed volumes that are held open for reading.
    pub open_sealed: usize,
    /// sled's cache for the active volume, bytes.
    pub cache_active: u64,
    /// sled's cache for the catalogue, bytes.
    pub cache_meta: u64,
    /// sled's cache for each sealed volume that is open, bytes.
    pub cache_sealed: u64,
    /// Publishes are refused when the disk has less free space than this.
    pub reserve_bytes: u64,
    /// The longest that an acknowledged `buffered` record stays unsynced.
    pub buffered_sync: Duration,
    /// Idempotency keys remembered at once.
    pub idempotency_max: usize,
    /// Entries of the state table, idempotency keys aside.
    pub table_max: usize,
    /// Go on with what is left of a damaged store, after copying it.
    pub accept_loss: bool,
}

impl Default for SledConfig {
    fn default() -> Self {
        SledConfig {
            data_dir: PathBuf::from("data"),
            roll_bytes: 512 << 20,
            open_sealed: 8,
            cache_active: 128 << 20,
            cache_meta: 16 << 20,
            cache_sealed: 16 << 20,
            reserve_bytes: 256 << 20,
            buffered_sync: Duration::from_millis(100),
            idempotency_max: 500_000,
            table_max: 100_000,
            accept_loss: false,
        }
    }
}
