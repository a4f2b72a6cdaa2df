//! What tells a repeat of a publish from another one under the same key.

use crate::engine::BodyDigest;
use sha2::{Digest, Sha256};

/// A digest of all that makes a publish. Each part counts with its length, so
/// that none can take bytes of the next.
#[derive(Clone, Default)]
pub struct RequestDigest(Sha256);

impl RequestDigest {
    /// Of `{"records":[…]}` as JSON, whatever carried it, so that a repeat over
    /// another transport is one. `pieces` are the parts of one text.
    #[must_use]
    pub fn of_json(pieces: &[&[u8]]) -> BodyDigest {
        let mut digest = RequestDigest::default();
        digest.add("json");
        digest.0.update(pieces.iter().map(|piece| piece.len() as u64).sum::<u64>().to_le_bytes());
        pieces.iter().for_each(|piece| digest.0.update(piece));
        digest.finish()
    }

    /// Adds a part.
    pub fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// The digest of all parts.
    #[must_use]
    pub fn finish(self) -> BodyDigest {
        let mut digest = BodyDigest::default();
        let full = self.0.finalize();
        digest.iter_mut().zip(full.iter()).for_each(|(to, from)| *to = *from);
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_text_and_parts_are_not() {
        assert_eq!(RequestDigest::of_json(&[b"ab", b"c"]), RequestDigest::of_json(&[b"abc"]));
        let of = |parts: &[&str]| {
            let mut digest = RequestDigest::default();
            parts.iter().for_each(|part| digest.add(part));
            digest.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }
}
