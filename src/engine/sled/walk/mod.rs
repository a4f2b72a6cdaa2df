//! A read-only walk over the log of a sled 0.34.7 database, before sled opens it after an unclean stop.
//!
//! On opening, sled replays the log up to the first bad bytes and clears what lies behind them, without a word. That is
//! right for the end that a crash tore and wrong for damage in the middle. The walk replays the log as sled would, and
//! tells the two apart:
//!
//! - Every segment's header carries how far the log was written when the segment was begun, and a snapshot how far it
//!   reaches. Below the highest of these (the *stable* lsn) everything was written, so a bad spot there is damage.
//! - Above it writes are under way side by side, so holes with intact log behind them are what a crash leaves:
//!   a torn tail. Only where changing one single byte makes a message whole, with intact log behind it, it is damage.
//! - A segment whose pages were all written anew is freed and its place taken again, header last of all perhaps. Missing
//!   segments below the stable lsn are thus no fault in themselves; nor is one that ends where messages
//!   of a segment not yet complete begin. What the page table needs must be there in any case.
//! - Recovery clears free places, and the lowest free one is taken first: a blank place among newer ones is one
//!   segment lost, unless it was being written. Blind spot: the file's last place, cleared from end to end.
//!
//! A power cut can lose what sled believes to be written, up to the last `fdatasync`. As long as that is called before
//! a segment's worth has been written, losses stay above the stable lsn; with more under way, a cut may leave what is
//! damage by these rules, and from which sled would not recover a consistent state either.
//!
//! `format.rs` describes the bytes, `snapshot.rs` the `snap.*` files. Blobs are not looked at: the engine makes none.

mod file;
mod flip;
mod format;
mod pages;
mod replay;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use replay::Replay;
use snapshot::Snapshot;

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Segments read.
    pub segments: u64,
    /// Intact messages among what replay reads.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// The lsn at which sled would go on writing; -1 when damage hides it.
    pub end_lsn: i64,
    /// Whether sled may open the database.
    pub verdict: Verdict,
}

/// Whether sled may open the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The log ends cleanly.
    Whole,
    /// The log ends as a crash leaves it: what was being written is lost, nothing else.
    TornTail {
        /// Offset in the file of the first byte that replay does not use.
        at: u64,
        /// Its lsn.
        lsn: i64,
        /// Bytes of intact messages behind it, which sled will clear. They were not yet known to be written;
        /// whether they had been acknowledged is for the caller to compare with its own marks.
        dropped: u64,
    },
    /// Something is missing that was written. sled must not open the database: it would clear what lies behind.
    Damaged {
        /// Offset in the file.
        at: u64,
        /// The lsn there; -1 where it is not known.
        lsn: i64,
        /// What is wrong, for people.
        what: String,
        /// Bytes of intact messages behind the bad spot that replay would pass over.
        bytes_behind: u64,
    },
}

/// Walks the log `db_file` of segments of `segment_size` bytes, and reads the newest `snap.*` file beside it.
/// Nothing is written. Memory: one segment and the page table (some 100 bytes for each page).
///
/// To be called before any `snap.*` file is removed: without one, places that recovery was just clearing look damaged.
/// `snap.*.generating` files are passed over, and must be removed before sled opens the database.
///
/// # Errors
/// When a file cannot be read. A missing `db_file` is `NotFound` (sled would begin an empty one); one of no
/// bytes without a snapshot is [`Verdict::Whole`], with no messages.
pub fn walk(db_file: &Path, segment_size: usize) -> io::Result<Walk> {
    let mut replay = Replay::open(db_file, segment_size)?;
    let directory =
        db_file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let result = match Snapshot::newest(directory)? {
        Ok(snapshot) => replay.run(&snapshot.unwrap_or_default()),
        Err(name) => Err(Stop::Fault(Fault {
            at: 0,
            lsn: -1,
            what: format!(
                "the snapshot {name} is bad (the log may be whole, and is replayed from its start without it)"
            ),
            bytes_behind: 0,
        })),
    };
    let (end_lsn, verdict) = match result {
        Ok(tip) if tip.torn => {
            (tip.lsn, Verdict::TornTail { at: tip.at, lsn: tip.lsn, dropped: tip.dropped })
        }
        Ok(tip) => (tip.lsn, Verdict::Whole),
        Err(Stop::Io(error)) => return Err(error),
        Err(Stop::Fault(Fault { at, lsn, what, bytes_behind })) => {
            (-1, Verdict::Damaged { at, lsn, what, bytes_behind })
        }
    };
    Ok(Walk {
        segments: replay.tally.segments,
        messages: replay.tally.messages,
        bytes: replay.tally.bytes,
        end_lsn,
        verdict,
    })
}

/// Damage, see [`Verdict::Damaged`].
#[derive(Debug)]
struct Fault {
    at: u64,
    lsn: i64,
    what: String,
    bytes_behind: u64,
}

/// Why a walk ended early.
#[derive(Debug)]
enum Stop {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where replay ends.
#[derive(Debug, Clone, Copy)]
struct Tip {
    at: u64,
    lsn: i64,
    torn: bool,
    dropped: u64,
}
