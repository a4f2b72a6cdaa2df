//! Disk space that is held for one purpose: sled remembers its first full disk
//! for ever, and whoever reads an active volume does some of what its writer
//! left to do, which fails from then on. To be read on, it is opened anew, and
//! that takes space. So a file is kept that is given up when the disk is full.

use super::disk;
use crate::engine::EngineError;
use rustix::fs::FallocateFlags;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Bytes of the file: the next segments of the catalogue and of the active
/// volume, what sled writes when it opens them, and as much again.
pub(super) const BALLAST_BYTES: u64 = 16 << 20;

const NAME: &str = "ballast";

/// Takes the space, unless it is taken already. Not where less than `reserve`
/// would be left: answers whether it is there.
pub(super) fn take(data: &Path, reserve: u64) -> Result<bool, EngineError> {
    let path = data.join(NAME);
    if disk::len(&path) >= BALLAST_BYTES {
        return Ok(true);
    }
    if disk::free_bytes(data)? < reserve.saturating_add(BALLAST_BYTES) {
        return Ok(false);
    }
    let beside = path.with_extension("new");
    fill(&beside).and_then(|()| fs::rename(&beside, &path)).map_err(|e| disk::at(&path, &e))?;
    Ok(true)
}

/// Gives the space up, if it is there.
pub(super) fn give_up(data: &Path) -> Result<(), EngineError> {
    let path = data.join(NAME);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk::at(&path, &e)),
        _ => Ok(()),
    }
}

/// Blocks that are really there, not a hole of that length.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let reserved = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES);
    if reserved == Err(rustix::io::Errno::OPNOTSUPP) {
        io::copy(&mut io::Read::take(io::repeat(0xb5), BALLAST_BYTES), &mut file)?;
        file.flush()?;
    } else {
        reserved?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_space_is_taken_once_and_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        give_up(dir.path()).unwrap();
        assert!(take(dir.path(), 0).unwrap() && take(dir.path(), 0).unwrap());
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= BALLAST_BYTES);
        give_up(dir.path()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn it_is_not_taken_from_a_disk_that_has_little_left() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(take(dir.path(), u64::MAX), Ok(false));
        assert!(!dir.path().join(NAME).exists());
    }
}
