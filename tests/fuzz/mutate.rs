//! Changes frames at random: bytes, tokens, members, nesting.

use fastrand::Rng;

/// What stands in frames, and what a parser may stumble over.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\u006f",
    "null",
    "true",
    "-1",
    "0",
    "1.0",
    "1e400",
    "-0",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551616",
    "\"op\":",
    "\"id\":1,",
    "\"sub\":7,",
    "\"topics\":[\"orders\"],",
    "\"from\":",
    "\"earliest\"",
    "\"latest\"",
    "{\"last\":1}",
    "{\"offset\":0}",
    "{\"time\":0}",
    "{\"cursor\":\"AQ\"}",
    "\"positions\":{}",
    "\"keys\":[\"\"],",
    "\"partitions\":[0],",
    "\"credit\":0,",
    "\"encoding\":\"deflate\",",
    "\"as\":\"base64\",",
    "\"records\":[{\"value\":1}],",
    "\"value_base64\":\"AA==\"",
    "\"headers\":[{\"name\":\"a\",\"value\":\"b\"}]",
    "\"idempotency_key\":\"k\",",
    "subscribe",
    "publish",
    "unsubscribe",
    "credit",
    "ping",
    "auth",
    "join",
    "commit",
    "release",
    "\u{0}",
    "\u{7f}",
    "é",
    "\u{1f600}",
    " ",
    "\n",
];
/// The longest that an input may grow to, bytes.
const LONGEST: usize = 16 << 10;

/// A source of inputs.
pub struct Mutator(Rng);

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator(Rng::with_seed(seed))
    }

    /// One of `corpus`, changed a few times.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = self.0.choice(corpus).cloned().unwrap_or_default();
        for _ in 0..=self.0.usize(..4) {
            self.change(&mut frame, corpus);
        }
        frame.truncate(LONGEST);
        frame
    }

    fn change(&mut self, frame: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let rng = &mut self.0;
        let at = rng.usize(..=frame.len());
        let to = (at + rng.usize(..=16)).min(frame.len());
        match rng.u8(..9) {
            0 if at < frame.len() => frame[at] ^= 1 << rng.u8(..8),
            1 if at < frame.len() => frame[at] = rng.u8(..),
            2 => drop(frame.drain(at..to)),
            3 => drop(frame.splice(at..to, rng.choice(TOKENS).unwrap_or(&"").bytes())),
            4 => drop(frame.splice(at..at, rng.choice(TOKENS).unwrap_or(&"").bytes())),
            5 => {
                // A piece once more, as with members that are doubled.
                let piece = frame[at..to].to_vec();
                drop(frame.splice(to..to, piece));
            }
            6 => {
                // The beginning of one and the end of another.
                let other = rng.choice(corpus).cloned().unwrap_or_default();
                frame.truncate(at);
                frame.extend_from_slice(&other[rng.usize(..=other.len())..]);
            }
            7 => {
                let deep = rng.usize(1..300);
                drop(frame.splice(at..at, b"[".repeat(deep)));
            }
            _ => frame.truncate(at),
        }
    }
}
