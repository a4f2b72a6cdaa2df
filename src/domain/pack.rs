//! The packed form of records: one encoding from the request's edge to the
//! disk and back, so that a batch is copied, never rebuilt.
//!
//! | field | form | present |
//! | --- | --- | --- |
//! | length of what follows | varint | always |
//! | flags | 1 byte: bits 0-1 kind, 2 key, 3 headers, 4 timestamp | always |
//! | timestamp | i64 little-endian, ms | bit 4; else the batch's append time |
//! | key | varint length, bytes | bit 2 |
//! | headers | varint length of all, varint count, each: varint, name, varint, value | bit 3 |
//! | value | the rest | kind is not tombstone |

use super::{HeaderList, RecordDraft, RecordView, Timestamp, ValueKind, limits};

const KEY: u8 = 1 << 2;
const HEADERS: u8 = 1 << 3;
const TIMESTAMP: u8 = 1 << 4;
const KNOWN: u8 = 0b11 | KEY | HEADERS | TIMESTAMP;

/// Packed bytes that are not a record. Checksums make this unreachable but
/// for damage that they miss, or a newer format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packed record is malformed")]
pub struct CorruptRecord;

/// Why a draft cannot be a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The record is larger than its topic allows.
    #[error("the record has {got} bytes (key, headers and value); the topic allows {max}")]
    RecordTooLarge {
        /// Bytes of key, headers and value.
        got: usize,
        /// The topic's `max_record_bytes`.
        max: usize,
    },
    /// The key is too long.
    #[error("the key has {got} bytes; at most {max} are allowed")]
    KeyTooLarge {
        /// Bytes of the key.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Too many headers, or too large, or a name that is empty or too long.
    #[error("{0}")]
    Headers(String),
}

fn put_varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn varint_len(n: usize) -> usize {
    let bits = usize::BITS - (n | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn take_varint(bytes: &mut &[u8]) -> Result<usize, CorruptRecord> {
    let mut n = 0usize;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(CorruptRecord)?;
        *bytes = rest;
        n |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(CorruptRecord)
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], CorruptRecord> {
    let (head, rest) = bytes.split_at_checked(n).ok_or(CorruptRecord)?;
    *bytes = rest;
    Ok(head)
}

fn take_prefixed<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], CorruptRecord> {
    let n = take_varint(bytes)?;
    take(bytes, n)
}

fn kind_bits(kind: ValueKind) -> u8 {
    match kind {
        ValueKind::Tombstone => 0,
        ValueKind::Json => 1,
        ValueKind::Text => 2,
        ValueKind::Binary => 3,
    }
}

fn kind_of(flags: u8) -> ValueKind {
    match flags & 0b11 {
        0 => ValueKind::Tombstone,
        1 => ValueKind::Json,
        2 => ValueKind::Text,
        _ => ValueKind::Binary,
    }
}

/// Checks a draft against the fixed bounds and the topic's `max` bytes.
/// Returns the bytes of its packed headers.
fn check(draft: &RecordDraft<'_>, max: usize) -> Result<usize, PackError> {
    let key = draft.key.as_ref().map_or(0, |k| k.len());
    if key > limits::MAX_KEY_BYTES {
        return Err(PackError::KeyTooLarge { got: key, max: limits::MAX_KEY_BYTES });
    }
    if draft.headers.len() > limits::MAX_HEADERS {
        let (got, max) = (draft.headers.len(), limits::MAX_HEADERS);
        return Err(PackError::Headers(format!("{got} headers; at most {max} are allowed")));
    }
    let mut packed = varint_len(draft.headers.len());
    let mut bytes = 0;
    for h in &draft.headers {
        if h.name.is_empty() || h.name.len() > limits::MAX_HEADER_NAME_BYTES {
            let max = limits::MAX_HEADER_NAME_BYTES;
            return Err(PackError::Headers(format!("a header's name has 1 to {max} bytes")));
        }
        bytes += h.name.len() + h.value.len();
        packed += varint_len(h.name.len()) + varint_len(h.value.len());
    }
    if bytes > limits::MAX_HEADER_BYTES {
        let max = limits::MAX_HEADER_BYTES;
        return Err(PackError::Headers(format!(
            "headers of {bytes} bytes; at most {max} are allowed"
        )));
    }
    let got = key + bytes + draft.value.len();
    if got > max {
        return Err(PackError::RecordTooLarge { got, max });
    }
    Ok(packed + bytes)
}

/// Appends the packed form of `draft` to `out`; nothing on an error.
pub(super) fn push(
    out: &mut Vec<u8>,
    draft: &RecordDraft<'_>,
    max: usize,
) -> Result<(), PackError> {
    let headers = check(draft, max)?;
    put(out, draft, headers);
    Ok(())
}

/// As [`push`], of a record that is stored already, by whatever rules: its
/// bounds are not looked at.
pub(super) fn push_stored(out: &mut Vec<u8>, draft: &RecordDraft<'_>) {
    let each = draft.headers.iter().map(|h| {
        varint_len(h.name.len()) + h.name.len() + varint_len(h.value.len()) + h.value.len()
    });
    let headers = varint_len(draft.headers.len()) + each.sum::<usize>();
    put(out, draft, headers);
}

fn put(out: &mut Vec<u8>, draft: &RecordDraft<'_>, headers: usize) {
    let mut flags = kind_bits(draft.kind);
    let mut len = 1 + draft.value.len();
    if draft.timestamp.is_some() {
        flags |= TIMESTAMP;
        len += 8;
    }
    if let Some(key) = &draft.key {
        flags |= KEY;
        len += varint_len(key.len()) + key.len();
    }
    if !draft.headers.is_empty() {
        flags |= HEADERS;
        len += varint_len(headers) + headers;
    }
    out.reserve(len + 5);
    put_varint(out, len);
    out.push(flags);
    if let Some(timestamp) = draft.timestamp {
        out.extend_from_slice(&timestamp.millis().to_le_bytes());
    }
    if let Some(key) = &draft.key {
        put_varint(out, key.len());
        out.extend_from_slice(key);
    }
    if !draft.headers.is_empty() {
        put_varint(out, headers);
        put_varint(out, draft.headers.len());
        for h in &draft.headers {
            put_varint(out, h.name.len());
            out.extend_from_slice(h.name.as_bytes());
            put_varint(out, h.value.len());
            out.extend_from_slice(&h.value);
        }
    }
    out.extend_from_slice(&draft.value);
}

/// Takes the packed bytes of one record (without its length) off the front.
pub(super) fn next_raw<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], CorruptRecord> {
    take_prefixed(bytes)
}

/// Appends one record's raw bytes, giving it `append` as its time if it has
/// none of its own: what merging batches of different append times needs.
pub(super) fn push_raw(out: &mut Vec<u8>, raw: &[u8], append: Timestamp) {
    let Some((&flags, rest)) = raw.split_first() else { return };
    if flags & TIMESTAMP != 0 {
        put_varint(out, raw.len());
        out.extend_from_slice(raw);
    } else {
        put_varint(out, raw.len() + 8);
        out.push(flags | TIMESTAMP);
        out.extend_from_slice(&append.millis().to_le_bytes());
        out.extend_from_slice(rest);
    }
}

/// The explicit time of a raw record, without looking at the rest of it.
pub(super) fn raw_timestamp(raw: &[u8]) -> Option<Timestamp> {
    let (&flags, rest) = raw.split_first()?;
    if flags & TIMESTAMP == 0 {
        return None;
    }
    let bytes = rest.first_chunk::<8>()?;
    Some(Timestamp::from_millis(i64::from_le_bytes(*bytes)))
}

/// The key of a raw record, without looking at what follows it.
pub(super) fn raw_key(raw: &[u8]) -> Result<Option<&[u8]>, CorruptRecord> {
    let (&flags, mut rest) = raw.split_first().ok_or(CorruptRecord)?;
    if flags & KEY == 0 {
        return Ok(None);
    }
    if flags & TIMESTAMP != 0 {
        take(&mut rest, 8)?;
    }
    take_prefixed(&mut rest).map(Some)
}

/// Reads a record from its raw bytes; `append` is the batch's append time.
pub(super) fn view(raw: &[u8], append: Timestamp) -> Result<RecordView<'_>, CorruptRecord> {
    let (&flags, mut rest) = raw.split_first().ok_or(CorruptRecord)?;
    if flags & !KNOWN != 0 {
        return Err(CorruptRecord);
    }
    let mut timestamp = append;
    if flags & TIMESTAMP != 0 {
        let bytes = take(&mut rest, 8)?;
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| CorruptRecord)?;
        timestamp = Timestamp::from_millis(i64::from_le_bytes(bytes));
    }
    let key = if flags & KEY != 0 { Some(take_prefixed(&mut rest)?) } else { None };
    let mut headers = HeaderList::default();
    if flags & HEADERS != 0 {
        let mut packed = take_prefixed(&mut rest)?;
        let count = take_varint(&mut packed)?;
        headers = HeaderList { packed, count: u32::try_from(count).map_err(|_| CorruptRecord)? };
        if self::headers(packed).count() != count {
            return Err(CorruptRecord);
        }
    }
    Ok(RecordView { timestamp, key, headers, kind: kind_of(flags), value: rest })
}

/// Names and values of packed headers; ends at the first malformed one, which
/// [`view`] notices by the count.
pub(super) fn headers(mut packed: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        if packed.is_empty() {
            return None;
        }
        let name = take_prefixed(&mut packed).ok()?;
        let value = take_prefixed(&mut packed).ok()?;
        Some((std::str::from_utf8(name).ok()?, value))
    })
}
