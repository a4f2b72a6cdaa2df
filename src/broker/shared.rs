//! A batch as readers get it: the records, and the forms that transports have
//! made of them, each made once however many readers there are.

use crate::domain::{CorruptRecord, RecordBatch};
use bytes::Bytes;
use std::sync::OnceLock;

/// Which form of a batch. The numbers are their callers' own: this room knows
/// no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FormId(pub u64);

/// Forms of a batch that are kept. Readers rarely ask for more than two; one
/// that asks for a fifth makes it for itself.
const FORMS: usize = 4;

type Form = (FormId, Result<Bytes, CorruptRecord>);

/// Records of one partition, and what was made of them.
#[derive(Debug)]
pub struct SharedBatch {
    /// The records.
    pub batch: RecordBatch,
    /// Cells that are written once, in order; none where nobody shares.
    forms: Option<[OnceLock<Form>; FORMS]>,
}

impl SharedBatch {
    /// A batch that many readers take.
    #[must_use]
    pub fn shared(batch: RecordBatch) -> SharedBatch {
        SharedBatch { batch, forms: Some(Default::default()) }
    }

    /// A batch that one reader has for itself: its forms are not kept.
    #[must_use]
    pub fn private(batch: RecordBatch) -> SharedBatch {
        SharedBatch { batch, forms: None }
    }

    /// Whether other readers take it too, so that a form is worth making well.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.forms.is_some()
    }

    /// The form of this id: as it was made before, else made now. Who asks
    /// while another makes it waits for that.
    pub fn form(
        &self,
        id: FormId,
        make: impl FnOnce(&RecordBatch) -> Result<Bytes, CorruptRecord>,
    ) -> Result<Bytes, CorruptRecord> {
        let mut make = Some(make);
        for cell in self.forms.iter().flatten() {
            let (of, form) = cell.get_or_init(|| {
                // Called at most once: the cell is of this id from then on.
                (id, make.take().map_or(Err(CorruptRecord), |make| make(&self.batch)))
            });
            if *of == id {
                return form.clone();
            }
        }
        make.map_or(Err(CorruptRecord), |make| make(&self.batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Offset, Timestamp};
    use std::cell::Cell;

    fn batch() -> RecordBatch {
        let body = Bytes::from_static(b"\x01\x00");
        RecordBatch { base: Offset(7), count: 1, appended: Timestamp::EPOCH, body }
    }

    /// How often a form was made when it is asked for `times` of these ids.
    fn made(batch: &SharedBatch, ids: &[u64], times: usize) -> usize {
        let made = Cell::new(0);
        for _ in 0..times {
            for id in ids {
                let form = batch.form(FormId(*id), |batch| {
                    made.set(made.get() + 1);
                    Ok(Bytes::from(format!("{id} of {}", batch.base)))
                });
                assert_eq!(form.unwrap(), format!("{id} of 7"));
            }
        }
        made.get()
    }

    #[test]
    fn a_shared_form_is_made_once() {
        let shared = SharedBatch::shared(batch());
        assert!(shared.is_shared());
        assert_eq!(made(&shared, &[5, 9], 100), 2);
    }

    #[test]
    fn forms_beyond_those_that_are_kept_are_made_anew() {
        let shared = SharedBatch::shared(batch());
        assert_eq!(made(&shared, &[1, 2, 3, 4, 5], 10), 4 + 10);
    }

    #[test]
    fn a_private_batch_keeps_nothing() {
        let private = SharedBatch::private(batch());
        assert!(!private.is_shared());
        assert_eq!(made(&private, &[1], 3), 3);
    }

    #[test]
    fn damage_is_told_to_all() {
        let shared = SharedBatch::shared(batch());
        assert_eq!(shared.form(FormId(1), |_| Err(CorruptRecord)), Err(CorruptRecord));
        assert_eq!(shared.form(FormId(1), |_| Ok(Bytes::new())), Err(CorruptRecord));
    }
}
