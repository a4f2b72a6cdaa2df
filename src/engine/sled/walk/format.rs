//! The bytes of a sled 0.34.7 log: numbers, segment headers and messages, read and checked, never written.
//!
//! The file `db` is a row of *places* of `segment_size` bytes; the last may be short. A *segment* is one stretch
//! of the log, `segment_size` sequence numbers (lsn) long, lying in some place: lsn and file offset are equal modulo
//! `segment_size`. All integers are little-endian.
//!
//! Segment header, at the start of a place (all zeros: the place is free):
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 4 | crc32 of bytes 4..20, inverted |
//! | 4 | 8 | lsn of the segment's first byte, XOR `i64::MAX`; a multiple of `segment_size` |
//! | 12 | 8 | the highest lsn known to be written when the segment was begun, XOR `i64::MAX` (-1: none) |
//!
//! Messages follow from offset 20 without gaps. None begins in the last 31 bytes of a segment.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 4 | crc32 of the body and then of this header from byte 4 on, inverted |
//! | 4 | 1 | kind, see below |
//! | 5 | 1-9 | varint: length of the body |
//! | then | 1-9 | varint: number of the segment, its lsn / `segment_size` (so a stale message is known as one) |
//! | then | 1-9 | varint: page |
//! | then | length | body |
//!
//! | kind | name | what replay does |
//! | --- | --- | --- |
//! | 0, 12.. | corrupted | stops: zeros read as this |
//! | 1 | cancelled | passes over it |
//! | 2 | cap | goes to the next segment; its body is padding, and so are the bytes behind it |
//! | 3 | batch manifest | body = lsn (8 bytes) of the last byte of the batch that begins here; passes over it if the log reaches that far, stops otherwise |
//! | 4 | free | frees the page |
//! | 5, 6, 8 | counter, meta, node | replaces the page's state |
//! | 7, 9 | meta, node kept in `blobs/` | the same; body = name of the blob (8 bytes) |
//! | 10 | link | adds to the page's state |
//! | 11 | link kept in `blobs/` | the same; body = name of the blob (8 bytes) |
//!
//! Varint, by its first byte `b`:
//!
//! | b | bytes | value |
//! | --- | --- | --- |
//! | 0..=240 | 1 | b |
//! | 241..=248 | 2 | 240 + 256 (b - 241) + next |
//! | 249 | 3 | 2288 + 256 next + next but one |
//! | 250..=255 | b - 246 | the b - 247 bytes behind it, as an integer |

use std::ops::RangeInclusive;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 20;

/// No message begins nearer to a segment's end than this many bytes.
pub(super) const RED_ZONE: usize = 32;

/// The most bytes that the header of a message takes.
pub(super) const MESSAGE_HEADER_MAX: usize = 4 + 1 + 9 + 9 + 9;

/// The kinds that a written message can have.
pub(super) const KINDS: RangeInclusive<u8> = 1..=11;

/// What the first bytes of a place say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    /// All zeros: nothing was ever written, or recovery has cleared it.
    Blank,
    /// Neither zeros nor a header with the right checksum. Headers lie within one sector, so no crash leaves this.
    Bad,
    /// A segment.
    Good {
        /// The lsn of its first byte.
        lsn: i64,
        /// The highest lsn known to be written when the segment was begun; -1 for none.
        stable: i64,
    },
}

impl SegmentHeader {
    /// Reads the header of a place.
    pub(super) fn read(bytes: &[u8; SEGMENT_HEADER]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Blank;
        }
        if u32_at(bytes, 0) ^ u32::MAX != crc32fast::hash(&bytes[4..]) {
            return Self::Bad;
        }
        Self::Good { lsn: i64_at(bytes, 4) ^ i64::MAX, stable: i64_at(bytes, 12) ^ i64::MAX }
    }
}

/// What replay does on meeting a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Skip,
    /// The segment ends here.
    Cap,
    /// What follows counts only if the log reaches this lsn.
    Batch(i64),
    /// The page has a new state, or is free.
    Replace,
    /// The page's state has grown.
    Link,
}

/// A message whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    /// What replay does.
    pub(super) effect: Effect,
    /// The number of the segment that it was written for.
    pub(super) number: u64,
    /// Its page.
    pub(super) page: u64,
    /// Bytes of header and body.
    pub(super) size: usize,
}

impl Message {
    /// Reads the message at `at`, whatever segment it was written for. `None` if no intact message begins there.
    pub(super) fn read(segment: &[u8], at: usize) -> Option<Self> {
        let bytes = segment.get(at..)?;
        if !KINDS.contains(bytes.get(4)?) {
            return None;
        }
        let header = MessageHeader::read(bytes)?;
        let whole = bytes.get(..header.size())?;
        if header.crc != checksum(whole, header.bytes) {
            return None;
        }
        Some(Self {
            effect: effect(header.kind, &whole[header.bytes..])?,
            number: header.number,
            page: header.page,
            size: whole.len(),
        })
    }
}

/// A message's header as it stands, unchecked.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageHeader {
    /// The checksum that the message should have.
    pub(super) crc: u32,
    /// The kind, any byte.
    pub(super) kind: u8,
    /// Bytes of the body.
    pub(super) body: usize,
    /// The number of the segment.
    pub(super) number: u64,
    /// The page.
    pub(super) page: u64,
    /// Bytes of this header.
    pub(super) bytes: usize,
}

impl MessageHeader {
    /// Reads a header at the start of `bytes`. `None` if they are too few.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let crc = bytes.get(..4).map(|crc| u32_at(crc, 0))?;
        let kind = *bytes.get(4)?;
        let mut rest = &bytes[5..];
        let (body, number, page) = (varint(&mut rest)?, varint(&mut rest)?, varint(&mut rest)?);
        let body = usize::try_from(body).ok().filter(|body| *body <= bytes.len())?;
        Some(Self { crc, kind, body, number, page, bytes: bytes.len() - rest.len() })
    }

    /// Bytes of the whole message.
    pub(super) fn size(&self) -> usize {
        self.bytes + self.body
    }
}

/// The checksum of a whole message, whose header is `header` bytes long, as it is stored.
pub(super) fn checksum(message: &[u8], header: usize) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&message[header..]);
    crc.update(&message[4..header]);
    crc.finalize() ^ u32::MAX
}

/// What a message of this kind and body does. `None` where sled would panic: a body of the wrong length.
fn effect(kind: u8, body: &[u8]) -> Option<Effect> {
    Some(match kind {
        1 => Effect::Skip,
        2 => Effect::Cap,
        3 if body.len() == 8 => Effect::Batch(i64_at(body, 0)),
        4..=6 | 8 => Effect::Replace,
        7 | 9 if body.len() == 8 => Effect::Replace,
        10 => Effect::Link,
        11 if body.len() == 8 => Effect::Link,
        _ => return None,
    })
}

/// Takes a varint off the front of `bytes`.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let size = match first {
        0..=240 => 1,
        241..=248 => 2,
        249 => 3,
        250..=255 => usize::from(first) - 246,
    };
    let rest = bytes.get(1..size)?;
    *bytes = &bytes[size..];
    Some(match *rest {
        [] => u64::from(first),
        [low] => 240 + 256 * (u64::from(first) - 241) + u64::from(low),
        [high, low] => 2288 + 256 * u64::from(high) + u64::from(low),
        _ => rest.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    })
}

/// The four bytes at `at`, which must be there.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// The eight bytes at `at`, which must be there.
pub(super) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(eight)
}
