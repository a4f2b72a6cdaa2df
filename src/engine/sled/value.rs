//! The values of `R` and `P` keys: a batch of records, compressed and checked.
//!
//! | bytes | chunk 0 | further chunks |
//! | --- | --- | --- |
//! | 0 | format, 1 | the same |
//! | 1 | flags: bit 0 = body is lz4 | 0 |
//! | 2-3 | number of chunks | which chunk this is |
//! | 4-7 | CRC-32 of all that follows | the same |
//! | 8-15 | base offset | body from here |
//! | 16-23 | append time, ms | |
//! | 24-31, 32-39 | least and greatest timestamp, ms | |
//! | 40-43 | number of records | |
//! | 44-47 | body's length before compression | |
//! | 48… | body | |
//!
//! All little-endian. A body of over 16 KiB (one large record) goes on in
//! further chunks.

use super::config::VALUE_BYTES;
use crate::domain::{Offset, RecordBatch, Timestamp};
use bytes::Bytes;
use lz4_flex::block::{compress_into, get_maximum_output_size};

const FORMAT: u8 = 1;
const LZ4: u8 = 1;
const HEAD: usize = 48;
const CHUNK_HEAD: usize = 8;
/// Below this lz4 gains nothing worth the time.
const COMPRESS_FROM: usize = 256;
/// After a value that lz4 makes smaller by less than two fifths, so many of the
/// same partition stay as they are: it takes longer than writing what it saves.
const AS_THEY_ARE: u8 = 15;
/// An encoder keeps no more than this.
const KEPT_BYTES: usize = 64 << 10;
/// No body is longer: the largest record and its envelope.
const MAX_RAW: usize = 32 << 20;

/// What a packed value says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) base: Offset,
    pub(super) appended: Timestamp,
    pub(super) oldest: Timestamp,
    pub(super) newest: Timestamp,
    pub(super) count: u32,
    pub(super) raw_len: u32,
    pub(super) chunks: u16,
    lz4: bool,
}

impl Head {
    /// The last offset of the batch.
    pub(super) fn last(&self) -> Offset {
        self.base.plus(u64::from(self.count)).minus(1)
    }
}

/// Whether it is worth while to compress a partition's values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packing {
    /// Values that stay as they are before the next trial.
    as_is: u8,
}

impl Packing {
    fn is_tried(&mut self) -> bool {
        let tried = self.as_is == 0;
        self.as_is = self.as_is.saturating_sub(1);
        tried
    }

    fn came_to(&mut self, packed: Option<usize>, raw: usize) {
        if packed.is_none_or(|len| len * 5 > raw * 3) {
            self.as_is = AS_THEY_ARE;
        }
    }
}

/// Makes values of batches, in memory that it keeps for the next.
#[derive(Default)]
pub(super) struct Encoder {
    scratch: Vec<u8>,
}

impl Encoder {
    /// A batch as its chunks, in order: what goes under
    /// `keys::record(_, last, i)`, or `keys::small`.
    pub(super) fn encode(
        &mut self,
        batch: &RecordBatch,
        span: (Timestamp, Timestamp),
        packing: &mut Packing,
    ) -> Vec<::sled::IVec> {
        let raw = &batch.body;
        let room = HEAD + get_maximum_output_size(raw.len().max(1));
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        // Compressed to where it belongs: right behind the head.
        let packed = if raw.len() >= COMPRESS_FROM && packing.is_tried() {
            let packed = compress_into(raw, &mut self.scratch[HEAD..]).ok();
            packing.came_to(packed, raw.len());
            packed.filter(|len| *len < raw.len())
        } else {
            None
        };
        if packed.is_none() {
            self.scratch[HEAD..HEAD + raw.len()].copy_from_slice(raw);
        }
        let len = HEAD + packed.unwrap_or(raw.len());
        let (first, rest) = self.scratch[..len].split_at_mut((HEAD + VALUE_BYTES).min(len));
        let pieces = rest.chunks(VALUE_BYTES);
        let chunks = 1 + pieces.len();
        put_head(first, batch, span, packed.is_some(), chunks);
        put_crc(first);
        let mut out = Vec::with_capacity(chunks);
        out.push(::sled::IVec::from(&*first));
        for (i, piece) in pieces.enumerate() {
            let mut chunk = Vec::with_capacity(CHUNK_HEAD + piece.len());
            chunk.extend_from_slice(&[FORMAT, 0]);
            chunk.extend_from_slice(&(i as u16 + 1).to_le_bytes());
            chunk.extend_from_slice(&[0; 4]);
            chunk.extend_from_slice(piece);
            put_crc(&mut chunk);
            out.push(chunk.into());
        }
        if self.scratch.len() > KEPT_BYTES {
            self.scratch = vec![];
        }
        out
    }
}

fn put_head(
    value: &mut [u8],
    batch: &RecordBatch,
    span: (Timestamp, Timestamp),
    lz4: bool,
    chunks: usize,
) {
    value[..HEAD].fill(0);
    value[0] = FORMAT;
    value[1] = if lz4 { LZ4 } else { 0 };
    value[2..4].copy_from_slice(&(chunks as u16).to_le_bytes());
    value[8..16].copy_from_slice(&batch.base.0.to_le_bytes());
    for (at, time) in [(16, batch.appended), (24, span.0), (32, span.1)] {
        value[at..at + 8].copy_from_slice(&time.millis().to_le_bytes());
    }
    value[40..44].copy_from_slice(&batch.count.to_le_bytes());
    value[44..48].copy_from_slice(&(batch.body.len() as u32).to_le_bytes());
}

fn put_crc(value: &mut [u8]) {
    let crc = crc32fast::hash(&value[CHUNK_HEAD..]);
    value[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn verify(value: &[u8]) -> Result<(), String> {
    let Some((head, rest)) = value.split_first_chunk::<CHUNK_HEAD>() else {
        return Err("a value is cut short".to_owned());
    };
    if head[0] != FORMAT {
        return Err(format!("a value has format {}, known is {FORMAT}", head[0]));
    }
    let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    if crc32fast::hash(rest) != crc {
        return Err("a value's checksum does not match".to_owned());
    }
    Ok(())
}

/// The base offset that chunk 0 names, not checked.
pub(super) fn base(value: &[u8]) -> Option<Offset> {
    let base = value.get(8..16)?.try_into().ok()?;
    Some(Offset(u64::from_le_bytes(base)))
}

/// Reads and checks the head of chunk 0.
pub(super) fn head(value: &[u8]) -> Result<Head, String> {
    verify(value)?;
    let head: &[u8; HEAD] =
        value.first_chunk().ok_or_else(|| "a value is shorter than its head".to_owned())?;
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let time = |at: usize| Timestamp::from_millis(word(at) as i64);
    let sizes = word(40);
    Ok(Head {
        base: Offset(word(8)),
        appended: time(16),
        oldest: time(24),
        newest: time(32),
        count: sizes as u32,
        raw_len: (sizes >> 32) as u32,
        chunks: u16::from_le_bytes([head[2], head[3]]),
        lz4: head[1] & LZ4 != 0,
    })
}

/// Reads a batch: its chunk 0, and the others by asking `more` for each.
pub(super) fn decode(
    value: &::sled::IVec,
    mut more: impl FnMut(u16) -> Result<Option<::sled::IVec>, String>,
) -> Result<(Head, RecordBatch), String> {
    let head = head(value)?;
    let body = if head.chunks <= 1 && !head.lz4 {
        // As it is, and where it is.
        Bytes::from_owner(value.clone()).slice(HEAD..)
    } else if head.chunks <= 1 {
        unpack(&head, &value[HEAD..])?
    } else {
        let mut whole = Vec::with_capacity(usize::from(head.chunks) * VALUE_BYTES);
        whole.extend_from_slice(&value[HEAD..]);
        for i in 1..head.chunks {
            let chunk = more(i)?.ok_or_else(|| format!("chunk {i} of a record is missing"))?;
            verify(&chunk)?;
            if chunk[2..4] != i.to_le_bytes() {
                return Err(format!("chunk {i} of a record is another one"));
            }
            whole.extend_from_slice(&chunk[CHUNK_HEAD..]);
        }
        if head.lz4 { unpack(&head, &whole)? } else { whole.into() }
    };
    if body.len() != head.raw_len as usize {
        return Err("a value's length does not match".to_owned());
    }
    let batch = RecordBatch { base: head.base, count: head.count, appended: head.appended, body };
    Ok((head, batch))
}

fn unpack(head: &Head, body: &[u8]) -> Result<Bytes, String> {
    let raw_len = head.raw_len as usize;
    if raw_len > MAX_RAW {
        return Err("a value claims to be longer than any record".to_owned());
    }
    let raw = lz4_flex::block::decompress(body, raw_len).map_err(|e| format!("lz4: {e}"))?;
    Ok(raw.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(body: Vec<u8>) -> RecordBatch {
        RecordBatch {
            base: Offset(7),
            count: 1,
            appended: Timestamp::from_millis(5),
            body: body.into(),
        }
    }

    fn encode(batch: &RecordBatch, span: (Timestamp, Timestamp)) -> Vec<Vec<u8>> {
        Encoder::default()
            .encode(batch, span, &mut Packing::default())
            .iter()
            .map(|c| c.to_vec())
            .collect()
    }

    fn read(chunks: &[Vec<u8>]) -> Result<RecordBatch, String> {
        let more = |i: u16| Ok(chunks.get(usize::from(i)).map(|c| ::sled::IVec::from(&c[..])));
        decode(&chunks[0].as_slice().into(), more).map(|(_, batch)| batch)
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            proptest::collection::vec(any::<u8>(), 15_000..50_000),
            (0usize..90_000).prop_map(|n| b"abcd".repeat(n / 4)),
        ]
    }

    proptest! {
        #[test]
        fn a_batch_comes_back_whole_from_chunks_of_bounded_size(body in body()) {
            let batch = batch(body);
            let chunks = encode(&batch, (Timestamp::EPOCH, Timestamp::EPOCH));
            prop_assert!(chunks.iter().all(|c| c.len() <= VALUE_BYTES + HEAD));
            prop_assert_eq!(read(&chunks), Ok(batch));
        }

        #[test]
        fn a_flipped_bit_is_noticed(body in body(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let batch = batch(body);
            let mut chunks = encode(&batch, (Timestamp::EPOCH, Timestamp::EPOCH));
            let which = at.index(chunks.len());
            let byte = at.index(chunks[which].len());
            // Flags and chunk numbers are outside the checksum, yet checked.
            prop_assume!(!(1..4).contains(&byte));
            chunks[which][byte] ^= 1 << bit;
            prop_assert!(read(&chunks).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(decode(&bytes.into(), |_| Ok(None)).is_err());
        }
    }

    #[test]
    fn what_does_not_get_small_is_tried_now_and_then() {
        let noise = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            batch(std::iter::repeat_with(|| rng.u8(..)).take(10_000).collect())
        };
        let text = batch(b"once and again ".repeat(600));
        let (mut encoder, mut packing) = (Encoder::default(), Packing::default());
        let mut is_packed = |batch: &RecordBatch| {
            let value = encoder.encode(batch, (Timestamp::EPOCH, Timestamp::EPOCH), &mut packing);
            head(&value[0]).unwrap().lz4
        };
        assert!(is_packed(&text) && is_packed(&text));
        assert!(!is_packed(&noise(1)));
        assert_eq!((0..40).filter(|_| is_packed(&text)).count(), 40 - 15);
    }

    #[test]
    fn a_missing_chunk_is_an_error() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(40_000).collect();
        let mut chunks = encode(&batch(noise), (Timestamp::EPOCH, Timestamp::EPOCH));
        assert!(chunks.len() > 2);
        chunks.pop();
        assert!(read(&chunks).is_err());
    }
}
