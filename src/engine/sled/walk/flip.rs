//! Telling an altered byte from a torn write, where both are possible.
//!
//! A crash leaves whole sectors or pages unwritten. A message that a change of one single byte makes whole, with
//! intact log behind it, was written as a whole and has changed since. For an error confined to one byte the
//! checksum's difference tells its place, so the search takes time in proportion to the message's length.

use super::format::{KINDS, MESSAGE_HEADER_MAX, MessageHeader, checksum};

/// Whether changing one byte would put an intact message of segment `number` at the start of `bytes`, ending where
/// `next` says that the next one begins (or, without `next`, where its own header says).
pub(super) fn altered(bytes: &[u8], number: u64, next: Option<usize>) -> bool {
    let Some(header) = MessageHeader::read(bytes) else {
        return false;
    };
    let end = next.unwrap_or(header.size());
    let Some(message) = bytes.get(..end) else {
        return false;
    };
    if header.size() == end {
        let difference = checksum(message, header.bytes) ^ header.crc;
        // None at all: the checksum is right, and the body's length or the segment is what is wrong.
        return difference != 0 && single_byte(difference, end - 4);
    }
    altered_length(message, number)
}

/// Whether a change of one byte of the header makes the message as long as it should be, and intact.
fn altered_length(message: &[u8], number: u64) -> bool {
    let mut trial = message.to_vec();
    for at in 5..MESSAGE_HEADER_MAX.min(trial.len()) {
        let stored = trial[at];
        for value in 0..=u8::MAX {
            trial[at] = value;
            let fits = MessageHeader::read(&trial).filter(|header| {
                header.size() == trial.len()
                    && header.number == number
                    && KINDS.contains(&header.kind)
            });
            if fits.is_some_and(|header| checksum(&trial, header.bytes) == header.crc) {
                return true;
            }
        }
        trial[at] = stored;
    }
    false
}

/// Whether a checksum that differs by `difference` is explained by one byte: of itself, or of the `covered` bytes.
fn single_byte(difference: u32, covered: usize) -> bool {
    if difference.to_le_bytes().iter().filter(|byte| **byte != 0).count() == 1 {
        return true;
    }
    let table = table();
    let mut by_top = [0_u8; 256];
    for (low, entry) in (0_u8..=u8::MAX).zip(&table) {
        by_top[usize::from(entry.to_be_bytes()[0])] = low;
    }
    // Undoes the checksum byte by byte from the end. What a single wrong byte leaves is, just behind it, an entry of
    // the table; undone once more, nothing.
    let mut difference = difference;
    for _ in 0..covered {
        let low = by_top[usize::from(difference.to_be_bytes()[0])];
        let rest = difference ^ table[usize::from(low)];
        if rest == 0 {
            return true;
        }
        difference = rest << 8 | u32::from(low);
    }
    false
}

/// The table of the reflected CRC-32 (polynomial 0xEDB88320).
fn table() -> [u32; 256] {
    let mut table = [0; 256];
    for (value, entry) in (0_u32..).zip(&mut table) {
        *entry = (0..8).fold(
            value,
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
            },
        );
    }
    table
}
