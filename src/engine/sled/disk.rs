//! Files and directories, made durable: sled syncs neither well enough.

use crate::engine::EngineError;
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// An I/O error with the path it is about.
pub(super) fn at(path: &Path, error: &io::Error) -> EngineError {
    let text = format!("{}: {error}", path.display());
    if error.kind() == io::ErrorKind::StorageFull {
        EngineError::OutOfSpace(text)
    } else {
        EngineError::Unavailable(text)
    }
}

/// Makes a directory's entries durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), EngineError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| at(dir, &e))
}

/// Makes every file of a directory durable, and then its entries.
pub(super) fn sync_files(dir: &Path) -> Result<(), EngineError> {
    for entry in fs::read_dir(dir).map_err(|e| at(dir, &e))? {
        let path = entry.map_err(|e| at(dir, &e))?.path();
        if path.is_dir() {
            sync_files(&path)?;
        } else {
            File::open(&path).and_then(|f| f.sync_all()).map_err(|e| at(&path, &e))?;
        }
    }
    sync_dir(dir)
}

/// Writes a whole file so that after a crash it is the old one or the new.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let next = path.with_extension("next");
    let write = || -> io::Result<()> {
        let mut file = File::create(&next)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&next, path)
    };
    write().map_err(|e| at(path, &e))
}

/// Bytes of a file; 0 when there is none.
pub(super) fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Free bytes of the file system that holds `path`, for one who is not root.
pub(super) fn free_bytes(path: &Path) -> Result<u64, EngineError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|e| EngineError::Unavailable(format!("{}: {e}", path.display())))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Says so when less than `bytes` are free.
pub(super) fn need_free(path: &Path, bytes: u64) -> Result<(), EngineError> {
    let free = free_bytes(path)?;
    if free >= bytes {
        return Ok(());
    }
    Err(EngineError::OutOfSpace(format!("{} MiB are free, {} are needed", free >> 20, bytes >> 20)))
}

/// Removes a directory and all in it, durably; it may be gone already.
pub(super) fn remove_dir(dir: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(dir, &e)),
        _ => dir.parent().map_or(Ok(()), sync_dir),
    }
}

/// Copies a directory and all in it.
pub(super) fn copy_dir(from: &Path, to: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(to).map_err(|e| at(to, &e))?;
    for entry in fs::read_dir(from).map_err(|e| at(from, &e))? {
        let path = entry.map_err(|e| at(from, &e))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            copy_dir(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|e| at(&path, &e))?;
        }
    }
    sync_files(to)
}
