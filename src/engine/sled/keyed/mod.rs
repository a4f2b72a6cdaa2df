//! The index of keys of `keyed` topics: for each key where its records are.
//!
//! New records are noted in memory. When these notes, *postings*, have become
//! many, and before a roll, they are sorted and written as one *run* to the
//! volume that holds the records; a crash in between costs a look at the
//! records since the last run, and no write is added to a publish. A reader of
//! keys asks each run, and what is in memory, and then reads just what it wants.

mod find;
mod run;

pub(super) use find::find;
pub(super) use run::{check, recover, write};

use crate::domain::{CorruptRecord, Offset, RecordBatch, partitioner::murmur2};

/// Postings of one run: 8 bytes each, under what goes to sled at once.
const RUN_POSTINGS: usize = 48_000;
/// Records of one run, packed bytes: what a start may have to look at again.
const RUN_BYTES: u64 = 16 << 20;

/// What a key is found by. Others may have the same: what is found is compared.
fn hash(key: &[u8]) -> u32 {
    murmur2(key) as u32
}

/// A key's hash, and how far behind the base its record is.
type Posting = (u32, u32);

/// The postings of consecutive records of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Postings {
    base: Offset,
    end: Offset,
    list: Vec<Posting>,
    /// Packed bytes of the records.
    bytes: u64,
}

impl Postings {
    /// None yet, of records from `base` on.
    pub(super) fn from(base: Offset) -> Postings {
        Postings { base, end: base, list: vec![], bytes: 0 }
    }

    /// Notes the keys of the next records.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), CorruptRecord> {
        for item in batch.iter() {
            let (offset, record) = item?;
            if let Some(key) = record.key {
                self.list.push((hash(key), offset.since(self.base) as u32));
            }
        }
        self.end = batch.end();
        self.bytes += batch.body.len() as u64;
        Ok(())
    }

    /// Whether they are to become a run.
    pub(super) fn is_due(&self) -> bool {
        self.list.len() >= RUN_POSTINGS || self.bytes >= RUN_BYTES
    }

    /// Whether there are none, not even of records without a key.
    pub(super) fn is_empty(&self) -> bool {
        self.base == self.end
    }

    /// They were written: what comes next begins here.
    pub(super) fn begin_anew(&mut self) {
        *self = Postings::from(self.end);
    }

    /// By hash, and those of one hash in order.
    fn sorted(&self) -> Vec<Posting> {
        let mut list = self.list.clone();
        list.sort_unstable();
        list
    }

    /// Offsets from `from` on with one of `hashes`, which are sorted.
    fn matching(&self, hashes: &[u32], from: Offset) -> Vec<Offset> {
        let wanted = |(hash, _): &&Posting| hashes.binary_search(hash).is_ok();
        let offset = |(_, at): &Posting| self.base.plus((*at).into());
        self.list.iter().filter(wanted).map(offset).filter(|at| *at >= from).collect()
    }
}
