//! Batches become frames. What readers share is made once for all of them:
//! the part from `"topic"` on, plain or compressed, and for the number that
//! nearly every client uses the whole frame.

use super::{
    outbox::{Frame, FrameKind, Outbox},
    room::Held,
    sub::COMMON_SUB,
};
use crate::{
    broker::{FormId, SharedBatch},
    domain::{CorruptRecord, Epoch, PartitionId, RecordBatch, TopicName},
    wire::{BatchEncoder, Encoding, SubId, pack},
};
use std::sync::Arc;

/// Where a batch comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub topic: &'a TopicName,
    pub partition: PartitionId,
    pub epoch: Epoch,
}

/// Who it goes to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub sub: SubId,
    pub encoding: Encoding,
    pub encoder: BatchEncoder,
    pub head: &'a [u8],
}

/// Kinds of forms, in steps above the encoder's own numbers.
const WHOLE: u64 = 8;
const PACKED: u64 = 16;
const PACKED_WHOLE: u64 = 24;

/// Batches that nobody shares go in one frame up to this, bytes of records: of
/// what was published one by one the store has small ones.
const RUN_BYTES: usize = 32 << 10;

/// `batches` as they go into frames: shared ones each in its own, which is the
/// same for all.
pub(super) fn runs(mut batches: &[Arc<SharedBatch>]) -> impl Iterator<Item = &[Arc<SharedBatch>]> {
    std::iter::from_fn(move || {
        let first = batches.first()?;
        let mut bytes = 0;
        let joins = |batch: &&Arc<SharedBatch>| {
            bytes += batch.batch.body.len();
            !first.is_shared() && !batch.is_shared() && bytes <= RUN_BYTES
        };
        let joined = batches.iter().take_while(joins).count().max(1);
        let (run, rest) = batches.split_at(joined);
        batches = rest;
        Some(run)
    })
}

/// Puts a run of batches out, with the memory that was taken for it.
pub(super) fn deliver(
    run: &[Arc<SharedBatch>],
    origin: Origin<'_>,
    to: Target<'_>,
    held: Option<Held>,
    out: &mut impl Outbox,
) -> Result<(), CorruptRecord> {
    let kind = match to.encoding {
        Encoding::Json => FrameKind::Text,
        Encoding::Deflate => FrameKind::Binary,
    };
    let whole = to.sub == COMMON_SUB && run.iter().all(|batch| batch.is_shared());
    // The form stands for what is before the shared part, too.
    let (head, in_form): (&[u8], &[u8]) = if whole { (&[], to.head) } else { (to.head, &[]) };
    let form = match (to.encoding, whole) {
        (Encoding::Json, false) => 0,
        (Encoding::Json, true) => WHOLE,
        (Encoding::Deflate, false) => PACKED,
        (Encoding::Deflate, true) => PACKED_WHOLE,
    };
    // A form is made without asking for another: whoever makes one holds up
    // those that wait for it.
    let make = |batches: &[&RecordBatch]| {
        let Origin { topic, partition, epoch } = origin;
        let shared = to.encoder.encode_run(topic, partition, epoch, batches)?;
        Ok(match to.encoding {
            Encoding::Json if in_form.is_empty() => shared,
            Encoding::Json => [in_form, &shared].concat().into(),
            Encoding::Deflate => pack(in_form, &shared).into(),
        })
    };
    let body = match run {
        [batch] => batch.form(FormId(form + to.encoder.number()), |batch| make(&[batch]))?,
        _ => make(&run.iter().map(|batch| &batch.batch).collect::<Vec<_>>())?,
    };
    let body = match held {
        Some(held) => held.around(body),
        None => body,
    };
    out.push(Frame { kind, head, body });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many batches go in each frame, of these sizes.
    fn joined(sizes: &[usize], wrap: fn(RecordBatch) -> SharedBatch) -> Vec<usize> {
        let batch = |size: &usize| Arc::new(wrap(RecordBatch::of_text(0, 1, *size)));
        let batches: Vec<_> = sizes.iter().map(batch).collect();
        runs(&batches).map(<[_]>::len).collect()
    }

    #[test]
    fn small_private_batches_go_together_and_shared_ones_alone() {
        let small = [1_000; 70];
        assert_eq!(joined(&small, SharedBatch::private), [32, 32, 6]);
        assert_eq!(joined(&small[..3], SharedBatch::shared), [1, 1, 1]);
        let large = [40_000, 10_000, 10_000, 40_000, 33_000];
        assert_eq!(joined(&large, SharedBatch::private), [1, 2, 1, 1]);
        assert_eq!(joined(&[], SharedBatch::private), [0; 0]);
    }
}
