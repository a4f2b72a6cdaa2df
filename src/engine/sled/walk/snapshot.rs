//! The `snap.*` files beside a log: the page table as it was when the database was last opened.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | lsn up to which (not including) the log is contained, plus 1; 0 for none |
//! | 1-9 | varint: file offset of the segment being written then, plus 1; 0 for none |
//! | rest | the pages in order of their numbers, see below |
//! | 8 | length of all the above |
//! | 4 | crc32 of all the above but this length |
//!
//! A page: one byte, 0 = free, then one *pointer*; n > 0 = n entries, each a pointer and a varint (bytes in the log). A pointer: 8 bytes
//! of lsn, one byte (0 = in the log, 1 = in `blobs/`), varint (file offset), for a blob 8 bytes of its name.
//!
//! sled takes the file whose name sorts last and refuses to open when it is bad, writing nothing. With no such file it
//! replays the whole log, which comes to the same.

use std::fs;
use std::io;
use std::path::Path;

use super::format::{i64_at, u32_at, varint};

/// Where a page's state lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    /// The page.
    pub(super) page: u64,
    /// The lsn of the message.
    pub(super) lsn: i64,
    /// Its offset in the file.
    pub(super) at: u64,
}

/// A snapshot that is intact.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The log below this lsn is contained; `None` for an empty database.
    pub(super) next_lsn: Option<i64>,
    /// How many pages there are; their numbers are those below it.
    pub(super) pages: u64,
    /// Where the states of the pages lie, but for those in `blobs/` and those that are free.
    pub(super) references: Vec<Reference>,
}

impl Snapshot {
    /// Reads the newest snapshot in `directory`. `Ok(Ok(None))` if there is none, `Ok(Err(name))` if it is bad.
    ///
    /// `snap.*.generating` is left out: it is unfinished, and must be gone before sled opens the database.
    pub(super) fn newest(directory: &Path) -> io::Result<Result<Option<Self>, String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("snap.") && !name.ends_with(".generating") {
                names.push(name);
            }
        }
        let Some(name) = names.into_iter().max() else {
            return Ok(Ok(None));
        };
        let bytes = fs::read(directory.join(&name))?;
        Ok(Self::parse(&bytes).map(Some).ok_or(name))
    }

    fn parse(file: &[u8]) -> Option<Self> {
        let (bytes, trailer) = file.split_at_checked(file.len().checked_sub(12)?)?;
        if u32_at(trailer, 8) != crc32fast::hash(bytes) {
            return None;
        }
        let rest = &mut &*bytes;
        let shifted = eight_bytes(rest)?;
        let mut snapshot = Self { next_lsn: (shifted > 0).then(|| shifted - 1), ..Self::default() };
        let _active_segment = varint(rest)?;
        while !rest.is_empty() {
            snapshot.page(rest)?;
            snapshot.pages += 1;
        }
        Some(snapshot)
    }

    fn page(&mut self, rest: &mut &[u8]) -> Option<()> {
        let entries = byte(rest)?;
        if entries == 0 {
            let _free = pointer(rest)?;
        }
        for _ in 0..entries {
            let (lsn, at) = pointer(rest)?;
            let _size = varint(rest)?;
            if let Some(at) = at {
                self.references.push(Reference { page: self.pages, lsn, at });
            }
        }
        Some(())
    }
}

/// The lsn and, unless it is a blob, the file offset of a state.
fn pointer(rest: &mut &[u8]) -> Option<(i64, Option<u64>)> {
    let lsn = eight_bytes(rest)?;
    let blob = byte(rest)? != 0;
    let at = varint(rest)?;
    if blob {
        let _name = eight_bytes(rest)?;
    }
    Some((lsn, (!blob).then_some(at)))
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

fn eight_bytes(rest: &mut &[u8]) -> Option<i64> {
    let (eight, behind) = rest.split_at_checked(8)?;
    *rest = behind;
    Some(i64_at(eight, 0))
}
