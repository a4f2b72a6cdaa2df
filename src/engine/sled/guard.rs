//! sled behind glass: opened with a time limit, its panics turned into errors,
//! what it leaves half done removed, what it would not notice looked for.

use super::{config::SEGMENT_BYTES, disk, walk};
use crate::engine::EngineError;
use std::{
    fs::{self, TryLockError},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long sled may take to open one database.
const OPEN_LIMIT: Duration = Duration::from_secs(300);
/// How long to wait for the lock of a database that was just closed.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Runs `f`, in which sled may panic on damaged pages.
pub(super) fn catch<T>(f: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        Err(EngineError::Damaged(format!("a page cannot be read: {}", panic_text(&*panic))))
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panic".to_owned())
}

/// What sled said, as one of our errors.
pub(super) fn error(error: &::sled::Error) -> EngineError {
    match error {
        // By kind: sled's copies of its first error have lost the number.
        ::sled::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => {
            EngineError::OutOfSpace(e.to_string())
        }
        ::sled::Error::Corruption { .. } => EngineError::Damaged(error.to_string()),
        other => EngineError::Unavailable(other.to_string()),
    }
}

/// Looks at a database before sled may touch it. `Damaged` says what is wrong.
///
/// `found` is how much of the log is whole, for the log line.
pub(super) fn inspect(dir: &Path) -> Result<walk::Walk, EngineError> {
    let file = dir.join("db");
    if !file.is_file() {
        return Err(EngineError::Damaged(format!("{} is missing", file.display())));
    }
    let blobs = dir.join("blobs");
    if fs::read_dir(&blobs).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(EngineError::Damaged(format!("{} is not empty", blobs.display())));
    }
    let walk = walk::walk(&file, SEGMENT_BYTES).map_err(|e| disk::at(&file, &e))?;
    match &walk.verdict {
        walk::Verdict::Damaged { at, what, bytes_behind, .. } => {
            Err(EngineError::Damaged(format!(
                "{} at byte {at}: {what}; {bytes_behind} bytes of intact log lie behind it",
                file.display()
            )))
        }
        _ => Ok(walk),
    }
}

/// Removes what would block the next opening; makes what is there durable, since it will be relied on.
pub(super) fn prepare(dir: &Path) -> Result<(), EngineError> {
    clear_half_written(dir)?;
    let file = dir.join("db");
    fs::File::open(&file).and_then(|f| f.sync_all()).map_err(|e| disk::at(&file, &e))
}

/// Waits until sled is done with a database that was closed: threads of its own
/// may still shorten the log, and hold sled's lock until they have. A length
/// that is noted before does not last.
pub(super) fn let_go(dir: &Path) -> Result<(), EngineError> {
    let path = dir.join("db");
    let file = fs::File::open(&path).map_err(|e| disk::at(&path, &e))?;
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(disk::at(&path, &e)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => {
                let what = format!("{}: still at work on it after closing", path.display());
                return Err(EngineError::Unavailable(what));
            }
        }
    }
}

/// Removes snapshots that were not written to their end: an opening that a
/// crash or a full disk cut short leaves one, and the next takes it for whole.
fn clear_half_written(dir: &Path) -> Result<(), EngineError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| disk::at(dir, &e))?,
    };
    for entry in entries {
        let path = entry.map_err(|e| disk::at(dir, &e))?.path();
        if path.extension().is_some_and(|e| e == "generating") {
            fs::remove_file(&path).map_err(|e| disk::at(&path, &e))?;
        }
    }
    Ok(())
}

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// sled's cache, bytes.
    pub(super) cache: u64,
    /// Whether it will be written (sled's own flusher collects its space).
    pub(super) writable: bool,
}

/// Opens a database, or makes it where there is none.
pub(super) fn open(dir: &Path, opening: Opening) -> Result<::sled::Db, EngineError> {
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match open_once(dir, opening) {
            // Straight after a drop sled may still hold its own lock.
            Err(EngineError::Unavailable(text))
                if text.contains("lock") && Instant::now() < deadline =>
            {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

fn open_once(dir: &Path, opening: Opening) -> Result<::sled::Db, EngineError> {
    clear_half_written(dir)?;
    let config = ::sled::Config::new()
        .path(dir)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(opening.cache)
        .flush_every_ms(opening.writable.then_some(500));
    let (done, opened) = mpsc::channel();
    let opener = crate::runtime::thread("sled-open", move || {
        let result = catch_unwind(AssertUnwindSafe(|| config.open()));
        // The receiver is gone only after the time limit.
        let _ = done.send(result.map_err(|panic| panic_text(&*panic)));
    });
    let result = opened.recv_timeout(OPEN_LIMIT);
    if result.is_ok() {
        // It has said its last word; past the limit it is left behind.
        let _ = opener.join();
    }
    match result {
        Ok(Ok(Ok(db))) => Ok(db),
        Ok(Ok(Err(e))) => Err(error(&e)),
        Ok(Err(panic)) => Err(EngineError::Damaged(format!("{}: {panic}", dir.display()))),
        Err(_) => Err(EngineError::Damaged(format!(
            "{} could not be opened within {} s",
            dir.display(),
            OPEN_LIMIT.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_let_go_only_when_no_thread_of_sled_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), Opening { cache: 1 << 20, writable: true }).unwrap());
        let log = dir.path().join("db");
        // What a thread of sled does that outlives the database.
        let held = fs::File::options().write(true).open(&log).unwrap();
        let_go(dir.path()).unwrap();
        held.lock().unwrap();
        let (begun, begins) = mpsc::channel();
        let shortens = crate::runtime::thread("shortens", move || {
            begins.recv().unwrap();
            held.set_len(7).unwrap();
        });
        assert!(disk::len(&log) > 7);
        begun.send(()).unwrap();
        let_go(dir.path()).unwrap();
        assert_eq!(disk::len(&log), 7);
        shortens.join().unwrap();
    }
}
