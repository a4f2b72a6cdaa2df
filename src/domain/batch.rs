//! Records in bulk: [`PackedRecords`] on their way in, without offsets yet,
//! and [`RecordBatch`] on their way out, with them. Engines, rings and
//! encoders work on these, never record by record across a boundary.

use super::{CorruptRecord, Offset, PackError, RecordDraft, RecordView, Timestamp, pack};
use bytes::Bytes;

/// Records packed for one partition, not yet appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedRecords {
    body: Vec<u8>,
    count: u32,
}

impl PackedRecords {
    /// Adds a record; nothing is added on an error. `max` is the topic's
    /// `max_record_bytes`.
    pub fn push(&mut self, draft: &RecordDraft<'_>, max: usize) -> Result<(), PackError> {
        pack::push(&mut self.body, draft, max)?;
        self.count += 1;
        Ok(())
    }

    /// Adds a record that another program stored, as large as it is and with
    /// as many headers as it has.
    pub fn push_stored(&mut self, draft: &RecordDraft<'_>) {
        pack::push_stored(&mut self.body, draft);
        self.count += 1;
    }

    /// Adds a record that is packed already, fixing `append` as its time if it
    /// has none of its own.
    pub fn push_raw(&mut self, raw: &[u8], append: Timestamp) {
        pack::push_raw(&mut self.body, raw, append);
        self.count += 1;
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each record as it was packed; the time of those that name none is
    /// `appended`.
    pub fn iter(
        &self,
        appended: Timestamp,
    ) -> impl Iterator<Item = Result<RecordView<'_>, CorruptRecord>> {
        let mut rest: &[u8] = &self.body;
        (0..self.count).map(move |_| pack::view(pack::next_raw(&mut rest)?, appended))
    }

    /// The packed bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The packed bytes, taken.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// Records of one partition with consecutive offsets from `base`.
///
/// Where an engine's offsets have gaps, a batch ends at the gap: inside one
/// batch they are dense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    /// The offset of the first record.
    pub base: Offset,
    /// How many records follow.
    pub count: u32,
    /// When they were appended; the time of records that name none.
    pub appended: Timestamp,
    /// The packed records.
    pub body: Bytes,
}

impl RecordBatch {
    /// The offset after the last record.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.base.plus(u64::from(self.count))
    }

    /// Each record with its offset. Yields an error once, and ends, where the
    /// bytes are malformed or fewer than `count` say.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Offset, RecordView<'_>), CorruptRecord>> {
        let appended = self.appended;
        self.raw().map(move |item| {
            let (offset, raw) = item?;
            Ok((offset, pack::view(raw, appended)?))
        })
    }

    /// Each record's packed bytes with its offset, as [`RecordBatch::iter`].
    pub fn raw(&self) -> impl Iterator<Item = Result<(Offset, &[u8]), CorruptRecord>> {
        let mut rest: &[u8] = &self.body;
        let mut left = self.count;
        let mut next = self.base;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let offset = next;
            next = next.plus(1);
            match pack::next_raw(&mut rest) {
                Ok(raw) => Some(Ok((offset, raw))),
                Err(corrupt) => {
                    left = 0;
                    Some(Err(corrupt))
                }
            }
        })
    }

    /// Calls `each` with every record's key and a batch of that record alone,
    /// which is made when it is asked for; the bytes are shared.
    pub fn for_each_key<'a>(
        &'a self,
        mut each: impl FnMut(Option<&'a [u8]>, &mut dyn FnMut() -> RecordBatch),
    ) -> Result<(), CorruptRecord> {
        let mut rest: &[u8] = &self.body;
        for n in 0..u64::from(self.count) {
            let begin = self.body.len() - rest.len();
            let raw = pack::next_raw(&mut rest)?;
            let end = self.body.len() - rest.len();
            let key = pack::raw_key(raw)?;
            each(key, &mut || self.piece(begin..end, self.base.plus(n), 1));
        }
        Ok(())
    }

    /// The records whose key passes `keep`: each run of neighbours as a batch;
    /// the bytes are shared.
    pub fn with_keys(
        &self,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<RecordBatch>, CorruptRecord> {
        let mut runs = vec![];
        let mut run: Option<(usize, u64)> = None;
        let mut rest: &[u8] = &self.body;
        for n in 0..=u64::from(self.count) {
            let begin = self.body.len() - rest.len();
            let kept = n < u64::from(self.count)
                && pack::raw_key(pack::next_raw(&mut rest)?)?.is_some_and(&keep);
            match run {
                None if kept => run = Some((begin, n)),
                Some((from, first)) if !kept => {
                    let count = (n - first) as u32;
                    runs.push(self.piece(from..begin, self.base.plus(first), count));
                    run = None;
                }
                None | Some(_) => {}
            }
        }
        Ok(runs)
    }

    /// The batch from `from` on: the records before it are left out, and the
    /// bytes shared. `None` when nothing is left.
    pub fn from_offset(&self, from: Offset) -> Result<Option<RecordBatch>, CorruptRecord> {
        if from <= self.base {
            return Ok(Some(self.clone()));
        }
        if from >= self.end() {
            return Ok(None);
        }
        let skip = from.since(self.base);
        let at = skip_records(&self.body, skip)?;
        Ok(Some(RecordBatch {
            base: from,
            count: self.count - skip as u32,
            appended: self.appended,
            body: self.body.slice(at..),
        }))
    }

    /// The first `count` records of the batch; the bytes are shared.
    pub fn truncated(&self, count: u32) -> Result<RecordBatch, CorruptRecord> {
        if count >= self.count {
            return Ok(self.clone());
        }
        let end = skip_records(&self.body, u64::from(count))?;
        Ok(RecordBatch { count, body: self.body.slice(..end), ..self.clone() })
    }

    /// The batch cut at record boundaries into batches of at most `max` packed
    /// bytes; a record larger than that stands alone. The bytes are shared.
    pub fn split(&self, max: usize) -> Result<Vec<RecordBatch>, CorruptRecord> {
        let mut cuts = vec![];
        let (mut begin, mut end, mut first, mut count) = (0usize, 0usize, self.base, 0u32);
        let mut rest: &[u8] = &self.body;
        for _ in 0..self.count {
            pack::next_raw(&mut rest)?;
            let after = self.body.len() - rest.len();
            if count > 0 && after - begin > max {
                cuts.push(self.piece(begin..end, first, count));
                first = first.plus(u64::from(count));
                (begin, count) = (end, 0);
            }
            end = after;
            count += 1;
        }
        if count > 0 {
            cuts.push(self.piece(begin..end, first, count));
        }
        Ok(cuts)
    }

    fn piece(&self, bytes: std::ops::Range<usize>, base: Offset, count: u32) -> RecordBatch {
        RecordBatch { base, count, appended: self.appended, body: self.body.slice(bytes) }
    }

    /// The least and the greatest time of the records.
    pub fn time_span(&self) -> Result<(Timestamp, Timestamp), CorruptRecord> {
        let mut span: Option<(Timestamp, Timestamp)> = None;
        for item in self.raw() {
            let time = pack::raw_timestamp(item?.1).unwrap_or(self.appended);
            span = Some(span.map_or((time, time), |(a, b)| (a.min(time), b.max(time))));
        }
        Ok(span.unwrap_or((self.appended, self.appended)))
    }
}

fn skip_records(body: &[u8], records: u64) -> Result<usize, CorruptRecord> {
    let mut rest = body;
    for _ in 0..records {
        pack::next_raw(&mut rest)?;
    }
    Ok(body.len() - rest.len())
}

#[cfg(test)]
impl RecordBatch {
    /// For tests: `count` records of text, `size` bytes each.
    pub(crate) fn of_text(base: u64, count: u32, size: usize) -> RecordBatch {
        let mut packed = super::PackedRecords::default();
        for _ in 0..count {
            let draft = super::RecordDraft {
                partition: None,
                timestamp: None,
                key: None,
                headers: vec![],
                kind: super::ValueKind::Text,
                value: vec![b'x'; size].into(),
            };
            packed.push(&draft, 1 << 24).unwrap();
        }
        let body = packed.into_body().into();
        RecordBatch { base: Offset(base), count, appended: Timestamp::EPOCH, body }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
