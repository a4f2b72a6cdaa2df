//! Where sled's leaves are to end. sled splits a leaf of more than 16 rows in
//! the middle and writes both halves anew, and a leaf of which ten rows were
//! written as a whole: values that follow each other are written five times.
//! Empty rows, *fences*, are split in their stead: put ahead of the values, so
//! that each leaf ends before it has too many, a value is written once.
//!
//! ```text
//!   leaf:  f f f f f f f f  v v v v v v v  f │ f f f f f f f f  v …
//!          of the last fence    values    the next one: the split goes through it
//! ```
//!
//! Which offsets will fill a leaf is a guess for all but the values at hand.
//! One that is wrong costs a split, and nothing else: a fence is no record,
//! may lie anywhere, and is passed over by whoever reads.

use super::keys::{self, Place};
use crate::domain::Offset;

/// Rows of one fence. sled splits 17 rows behind the 9th: 8 of one fence and
/// the first of the next.
const ROWS: u16 = 9;
/// Values between two fences: with 9 rows of fences no more than 16.
const VALUES: usize = 7;
/// The same where records are looked for by key, here and there: sled reads the
/// whole leaf for each.
pub(super) const KEYED_VALUES: usize = 3;

/// About what sled writes for a fence: its rows, and the halves of a split.
pub(super) const WRITTEN_BYTES: usize = 2 << 10;

/// The fences of one partition in the active volume.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fencing {
    /// Where the newest fence is: values up to it lie before it.
    newest: Option<Offset>,
    /// Offsets that a value spans, about.
    span: u64,
}

impl Fencing {
    /// The fences to be put before values are written of which these are the
    /// last offsets, the first value beginning at `base`: each goes behind the
    /// offset that is answered.
    pub(super) fn ahead_of(&mut self, base: Offset, lasts: &[Offset], keyed: bool) -> Vec<Offset> {
        let Some(end) = lasts.last() else { return vec![] };
        let span = (end.since(base) + 1) / lasts.len() as u64;
        self.span = if self.span == 0 { span } else { (3 * self.span + span).div_ceil(4) };
        let mut fences = vec![];
        let mut newest = *self.newest.get_or_insert_with(|| {
            fences.push(base.minus(1));
            base.minus(1)
        });
        for (i, last) in lasts.iter().enumerate() {
            if *last > newest {
                newest = self.leaf_from(&lasts[i..], if keyed { KEYED_VALUES } else { VALUES });
                fences.push(newest);
            }
        }
        self.newest = Some(newest);
        fences
    }

    /// Where a leaf of so many values ends that begins with the first of `lasts`.
    fn leaf_from(&self, lasts: &[Offset], values: usize) -> Offset {
        let at_hand = lasts.len().min(values);
        let to_come = (values - at_hand) as u64;
        // Rather a value too few than one too many.
        lasts.get(at_hand - 1).copied().unwrap_or_default().plus(to_come * self.span * 7 / 8)
    }
}

/// The keys of the rows of the fence behind `offset`, in their order.
pub(super) fn rows(place: Place, offset: Offset) -> impl Iterator<Item = [u8; keys::RECORD_LEN]> {
    (0..ROWS).map(move |row| keys::fence(place, offset, row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PartitionId, TopicId};

    const PLACE: Place = Place { topic: TopicId(1), partition: PartitionId(2) };
    const VALUE: usize = 12_000;

    /// Bytes of sled's log per byte of the values, written `at_once` at a time
    /// that span about `span` offsets each.
    fn written(at_once: usize, span: u64, fenced: bool, keyed: bool) -> f64 {
        let dir = tempfile::tempdir().unwrap();
        let config = ::sled::Config::new().path(dir.path()).segment_size(2 << 20);
        let db = config.flush_every_ms(None).open().unwrap();
        let mut rng = fastrand::Rng::with_seed(span);
        let mut fencing = Fencing::default();
        let (mut next, mut bytes) = (Offset(1_000), 0);
        while bytes < 24 << 20 {
            let base = next;
            let mut batch = ::sled::Batch::default();
            let mut lasts = vec![];
            for _ in 0..at_once {
                next = next.plus(rng.u64(span.div_ceil(2)..=span * 3 / 2));
                let last = next.minus(1);
                let value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(VALUE).collect();
                batch.insert(&keys::record(PLACE, last, 0), value);
                lasts.push(last);
                bytes += VALUE;
            }
            if fenced {
                for fence in fencing.ahead_of(base, &lasts, keyed) {
                    rows(PLACE, fence).for_each(|row| drop(db.insert(row, &[]).unwrap()));
                }
            }
            db.apply_batch(batch).unwrap();
        }
        db.flush().unwrap();
        db.size_on_disk().unwrap() as f64 / bytes as f64
    }

    #[test]
    fn values_are_written_about_once() {
        for (at_once, span) in [(1, 16), (3, 80), (7, 16), (28, 16)] {
            let without = written(at_once, span, false, false);
            for keyed in [false, true] {
                let with = written(at_once, span, true, keyed);
                assert!(
                    with < 1.4,
                    "{at_once} at once of {span} offsets: {with} with fences, {keyed}"
                );
            }
            assert!(without > 1.6, "{at_once} at once of {span} offsets: {without} without");
        }
    }

    #[test]
    fn a_leaf_ends_where_the_values_at_hand_say_or_about_there() {
        let mut fencing = Fencing::default();
        let lasts: Vec<_> = (1..=16).map(|i| Offset(i * 10 - 1)).collect();
        let fences: Vec<_> =
            fencing.ahead_of(Offset(0), &lasts, false).iter().map(|o| o.0).collect();
        // Two leaves of seven, and one that is to take five more.
        assert_eq!(fences, [0, 69, 139, 159 + 5 * 10 * 7 / 8]);
        assert_eq!(fencing.ahead_of(Offset(160), &[Offset(169)], false), []);
        assert_eq!(fencing.ahead_of(Offset(170), &[Offset(299)], false).len(), 1);
    }
}
