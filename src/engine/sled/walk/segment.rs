//! Walking the messages of one segment held in memory: forward while they are intact, then hunting for more.

use super::format::{Effect, KINDS, Message, MessageHeader, RED_ZONE, SEGMENT_HEADER};

/// How many times its own length of a segment a hunt checksums at most: random bytes need some 30, and bytes made to
/// look like many long messages must not hold up a start.
const HUNT_CHECKSUMS: usize = 256;

/// Where the unbroken row of messages at a segment's start ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At a cap, or too near to the segment's end for another message: the log goes on in the next segment.
    Full,
    /// At this offset, where no intact message of this segment begins.
    At(usize),
}

/// Hands every intact message of segment `number` to `visit`, with its offset, up to the first that is not.
pub(super) fn forward(
    segment: &[u8],
    size: usize,
    number: u64,
    mut visit: impl FnMut(usize, &Message),
) -> End {
    let mut at = SEGMENT_HEADER;
    while at + RED_ZONE <= size {
        let Some(message) = Message::read(segment, at).filter(|message| message.number == number)
        else {
            // Recovery does not go on in a segment with exactly this much room left, and leaves no cap either.
            return if at + RED_ZONE == size { End::Full } else { End::At(at) };
        };
        visit(at, &message);
        if message.effect == Effect::Cap {
            return End::Full;
        }
        at += message.size;
    }
    End::Full
}

/// Hunts from offset `from` on, byte by byte, for intact messages of any segment and hands each to `visit`.
///
/// Behind a bad spot no length can be trusted, so this is the only way to know what still lies there.
pub(super) fn hunt(segment: &[u8], from: usize, mut visit: impl FnMut(usize, &Message)) {
    let mut budget = segment.len() * HUNT_CHECKSUMS;
    let mut at = from;
    while at < segment.len() && budget > 0 {
        if let Some(message) = Message::read(segment, at) {
            visit(at, &message);
            at += message.size;
        } else {
            budget = budget.saturating_sub(cost(&segment[at..]));
            at += 1;
        }
    }
}

/// How many bytes were checksummed in vain at the start of `bytes`.
fn cost(bytes: &[u8]) -> usize {
    match bytes.get(4) {
        Some(kind) if KINDS.contains(kind) => {
            MessageHeader::read(bytes).map_or(0, |header| header.size()).min(bytes.len())
        }
        _ => 0,
    }
}
