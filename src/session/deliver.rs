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
    domain::{CorruptRecord, Epoch, PartitionId, TopicName},
    wire::{BatchEncoder, Encoding, SubId, pack},
};

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

/// Puts one batch out, with the memory that was taken for it.
pub(super) fn deliver(
    batch: &SharedBatch,
    origin: Origin<'_>,
    to: Target<'_>,
    held: Option<Held>,
    out: &mut impl Outbox,
) -> Result<(), CorruptRecord> {
    let kind = match to.encoding {
        Encoding::Json => FrameKind::Text,
        Encoding::Deflate => FrameKind::Binary,
    };
    let whole = to.sub == COMMON_SUB && batch.is_shared();
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
    let body = batch.form(FormId(form + to.encoder.number()), |batch| {
        let shared = to.encoder.encode(origin.topic, origin.partition, origin.epoch, batch)?;
        Ok(match to.encoding {
            Encoding::Json if in_form.is_empty() => shared,
            Encoding::Json => [in_form, &shared].concat().into(),
            Encoding::Deflate => pack(in_form, &shared).into(),
        })
    })?;
    let body = match held {
        Some(held) => held.around(body),
        None => body,
    };
    out.push(Frame { kind, head, body });
    Ok(())
}
