//! What records are stored as: rows of bounded size, and the steps in which
//! they go to sled when they are many.

use super::{config::UNSYNCED_BYTES, keys, value};
use crate::domain::{CorruptRecord, Offset, PackedRecords, RecordBatch, Timestamp};

/// Small batches in a row as one, each record with the time it had.
pub(super) fn merged(small: &[RecordBatch]) -> Result<RecordBatch, CorruptRecord> {
    let mut packed = PackedRecords::default();
    for batch in small {
        for item in batch.raw() {
            packed.push_raw(item?.1, batch.appended);
        }
    }
    let first = small.first().ok_or(CorruptRecord)?;
    Ok(RecordBatch {
        base: first.base,
        count: packed.count(),
        appended: small.last().map_or(first.appended, |b| b.appended),
        body: packed.into_body().into(),
    })
}

/// A key and what is stored under it.
pub(super) type Row = ([u8; keys::RECORD_LEN], ::sled::IVec);

/// What a batch is stored as: `small` ones, of one row, are to be merged later.
pub(super) fn rows(
    place: keys::Place,
    piece: &RecordBatch,
    small: bool,
    encoder: &mut value::Encoder,
    packing: &mut value::Packing,
) -> Result<(impl Iterator<Item = Row> + use<>, (Timestamp, Timestamp)), CorruptRecord> {
    let last = piece.end().minus(1);
    let span = piece.time_span()?;
    let chunks = encoder.encode(piece, span, packing).into_iter().enumerate();
    let key = move |chunk| match small {
        true => keys::small(place, last),
        false => keys::record(place, last, chunk),
    };
    Ok((chunks.map(move |(i, chunk)| (key(i as u16), chunk)), span))
}

/// The rows that count together with the last of the records.
#[derive(Default)]
pub(super) struct Beside {
    batch: ::sled::Batch,
    rows: usize,
}

impl Beside {
    pub(super) fn insert(&mut self, key: &[u8], value: impl Into<::sled::IVec>) {
        self.batch.insert(key, value);
        self.rows += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// The rows of new records, which may be too many for one step.
#[derive(Default)]
pub(super) struct Records {
    rows: Vec<Row>,
    bytes: usize,
    /// Where each partition's new records begin.
    pub(super) begins: Vec<(keys::Place, Offset)>,
}

impl Records {
    /// Adds the rows of a batch.
    pub(super) fn add(&mut self, rows: impl Iterator<Item = Row>) {
        for row in rows {
            self.bytes += row.1.len();
            self.rows.push(row);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row, where there is but one and nothing beside it.
    pub(super) fn single(&self, beside: &Beside) -> Option<&Row> {
        match self.rows.as_slice() {
            [row] if beside.is_empty() => Some(row),
            _ => None,
        }
    }

    /// Their bytes on disk, before sled's own overhead.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records in steps of bounded size, to be synced one by one, and then
    /// what is `beside` with the last of them, in one atomic step that makes all count.
    ///
    /// The first of several steps says where the records begin, the last one
    /// takes that back: a crash between them is undone at recovery.
    pub(super) fn into_steps(self, beside: Beside) -> (Vec<::sled::Batch>, ::sled::Batch) {
        let mut batch = beside.batch;
        let many = self.bytes > UNSYNCED_BYTES;
        let mut steps = vec![];
        if many {
            let mut first = ::sled::Batch::default();
            first.insert(keys::UNDER_WAY, undo_list(&self.begins));
            steps.push(first);
        }
        let (mut step, mut left, mut held) = (::sled::Batch::default(), self.bytes, 0);
        for (key, value) in self.rows {
            if left <= UNSYNCED_BYTES / 2 || !many {
                batch.insert(&key, value);
                continue;
            }
            left -= value.len();
            held += value.len();
            step.insert(&key, value);
            if held > UNSYNCED_BYTES / 2 {
                steps.push(std::mem::take(&mut step));
                held = 0;
            }
        }
        steps.push(step);
        if many {
            batch.remove(keys::UNDER_WAY);
        } else {
            steps.clear();
        }
        (steps, batch)
    }
}

fn undo_list(begins: &[(keys::Place, Offset)]) -> Vec<u8> {
    let row = |(place, base): &(keys::Place, Offset)| keys::index(*place, *base);
    begins.iter().flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PartitionId, TopicId};

    #[test]
    fn a_row_is_single_only_with_nothing_beside_it() {
        let place = keys::Place { topic: TopicId(1), partition: PartitionId(0) };
        let row = |n| (keys::record(place, Offset(n), 0), ::sled::IVec::from(b"value"));
        let mut records = Records::default();
        let mut beside = Beside::default();
        assert!(records.is_empty() && records.single(&beside).is_none());
        records.add([row(1)].into_iter());
        assert_eq!(records.single(&beside), Some(&row(1)));
        beside.insert(b"a row", b"");
        assert!(records.single(&beside).is_none());
        records.add([row(2)].into_iter());
        assert!(records.single(&Beside::default()).is_none());
    }
}
