//! Disk space that is held for one purpose: sled remembers its first full disk
//! for ever, and whoever reads a volume that was written does some of what its
//! writer left to do, which fails from then on. To be read on, it is opened
//! anew, and that takes space. So a file is kept that is given up for it, and
//! taken back at once, as far as it goes, before another program takes it.

use super::disk;
use crate::engine::EngineError;
use rustix::fs::FallocateFlags;
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Bytes of the file: the next segments of the catalogue and of the active
/// volume, what sled writes when it opens them, and as much again.
pub(super) const BALLAST_BYTES: u64 = 16 << 20;
/// What it takes to open something anew.
pub(super) const OPEN_BYTES: u64 = BALLAST_BYTES / 4;
/// Left to others when all the rest is taken.
const LEFT_BYTES: u64 = 1 << 20;

const NAME: &str = "ballast";

/// Takes the space, unless it is taken already. Not where less than `reserve`
/// would be left: answers whether it is there.
pub(super) fn take(data: &Path, reserve: u64) -> Result<bool, EngineError> {
    let path = data.join(NAME);
    let lacks = BALLAST_BYTES.saturating_sub(disk::len(&path));
    if lacks > 0 {
        if disk::free_bytes(data)? < reserve.saturating_add(lacks) {
            return Ok(false);
        }
        fill(&path, BALLAST_BYTES)?;
    }
    Ok(true)
}

/// Takes as much of it as there is, whatever the reserve.
pub(super) fn hold(data: &Path) -> Result<(), EngineError> {
    let path = data.join(NAME);
    let held = disk::len(&path);
    let free = disk::free_bytes(data)?.saturating_sub(LEFT_BYTES);
    let more = free.min(BALLAST_BYTES.saturating_sub(held));
    if more < LEFT_BYTES { Ok(()) } else { fill(&path, held + more) }
}

/// Does something with the space given up, and takes it back. `OutOfSpace` if
/// there is too little of it.
pub(super) fn without<T>(
    data: &Path,
    work: impl FnOnce() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    // Root may write where nothing is free; what is held is there for sure.
    let there = disk::free_bytes(data)? + disk::len(&data.join(NAME));
    if there < OPEN_BYTES {
        return Err(EngineError::OutOfSpace(format!("{} KiB are left", there >> 10)));
    }
    give_up(data)?;
    let done = work();
    if let Err(error) = hold(data) {
        tracing::warn!(%error, "the space that is kept for reading on could not be taken again");
    }
    done
}

/// Gives the space up, if it is there.
pub(super) fn give_up(data: &Path) -> Result<(), EngineError> {
    let path = data.join(NAME);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk::at(&path, &e)),
        _ => Ok(()),
    }
}

/// Makes it so long, of blocks that are really there, not a hole.
fn fill(path: &Path, bytes: u64) -> Result<(), EngineError> {
    let held = disk::len(path);
    let fill = || -> io::Result<()> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        let filled = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                io::copy(&mut io::Read::take(io::repeat(0xb5), bytes), &mut &file).map(drop)
            }
            filled => filled.map_err(io::Error::from),
        };
        if filled.is_err() {
            // It tells by its length what it holds.
            file.set_len(held)?;
        }
        filled.and_then(|()| file.sync_all())
    };
    fill().map_err(|e| disk::at(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn held(dir: &Path) -> u64 {
        fs::metadata(dir.join(NAME)).map_or(0, |m| m.blocks() * 512)
    }

    #[test]
    fn the_space_is_taken_once_and_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        give_up(dir).unwrap();
        assert!(take(dir, 0).unwrap() && take(dir, 0).unwrap());
        assert!(held(dir) >= BALLAST_BYTES);
        give_up(dir).unwrap();
        assert_eq!(held(dir), 0);
    }

    #[test]
    fn it_is_not_taken_from_a_disk_that_has_little_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(take(dir.path(), u64::MAX), Ok(false));
        assert_eq!(held(dir.path()), 0);
    }

    #[test]
    fn it_is_there_again_after_work_that_needed_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert!(take(dir, 0).unwrap());
        let failed = EngineError::Closed;
        assert_eq!(without(dir, || Ok(held(dir))), Ok(0));
        assert!(held(dir) >= BALLAST_BYTES);
        assert_eq!(without(dir, || Err::<(), _>(failed.clone())), Err(failed));
        assert!(held(dir) >= BALLAST_BYTES);
    }
}
