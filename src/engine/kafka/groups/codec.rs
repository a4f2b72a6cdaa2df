//! What stands beside an offset that is committed to Kafka. Pure.
//!
//! Kafka keeps a text with each offset. A gateway's begins with what Kafka has
//! no place for, which topic of the name it was and in which epoch:
//!
//! ```text
//! tg1:00c0ffee00c0ffee:2            tg1:00c0ffee00c0ffee:2:what the client noted
//!     incarnation      epoch
//! ```
//!
//! Other programs' texts are the client's as they are. So is one that leaves no
//! room for the rest: its epoch is then the one that the offset lies in.

use crate::domain::{Epoch, Incarnation, limits};
use std::sync::Arc;

const TAG: &str = "tg1:";

/// What was noted beside an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// Which topic it was, and in which epoch; `None` if another program
    /// committed.
    pub ours: Option<(Incarnation, Epoch)>,
    /// The client's own.
    pub metadata: Option<Arc<str>>,
}

/// The text to commit. `None` if it would be read as something else.
pub(super) fn encode(of: Incarnation, epoch: Epoch, metadata: Option<&str>) -> Option<String> {
    let head = format!("{TAG}{:016x}:{epoch}", of.0);
    let Some(text) = metadata else { return Some(head) };
    let whole = format!("{head}:{text}");
    if whole.len() <= limits::MAX_COMMIT_METADATA_BYTES {
        return Some(whole);
    }
    tagged(text).is_none().then(|| text.to_owned())
}

/// What a committed text says.
pub(super) fn decode(text: &str) -> Beside {
    tagged(text).unwrap_or_else(|| Beside {
        ours: None,
        metadata: (!text.is_empty()).then(|| Arc::from(text)),
    })
}

fn tagged(text: &str) -> Option<Beside> {
    let rest = text.strip_prefix(TAG)?;
    let (of, rest) = rest.split_at_checked(16)?;
    let of = Incarnation(u64::from_str_radix(of, 16).ok()?);
    let rest = rest.strip_prefix(':')?;
    let (epoch, metadata) = match rest.split_once(':') {
        Some((epoch, metadata)) => (epoch, Some(Arc::from(metadata))),
        None => (rest, None),
    };
    Some(Beside { ours: Some((of, Epoch(epoch.parse().ok()?))), metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_comes_back() {
        let of = Incarnation(0x00c0_ffee);
        for metadata in [None, Some(""), Some("x"), Some("tg1:not"), Some("a:b:ü")] {
            let text = encode(of, Epoch(7), metadata).unwrap();
            let beside = Beside { ours: Some((of, Epoch(7))), metadata: metadata.map(Arc::from) };
            assert_eq!(decode(&text), beside);
        }
    }

    #[test]
    fn what_other_programs_noted_is_theirs() {
        for text in ["x", "tg1:", "tg1:zz", "tg1:00c0ffee00c0ffee", "tg1:00c0ffee00c0ffee:x"] {
            assert_eq!(decode(text), Beside { ours: None, metadata: Some(Arc::from(text)) });
        }
        assert_eq!(decode(""), Beside { ours: None, metadata: None });
    }

    #[test]
    fn the_largest_note_is_kept_alone() {
        let large = "x".repeat(limits::MAX_COMMIT_METADATA_BYTES);
        let text = encode(Incarnation(1), Epoch(0), Some(&large)).unwrap();
        assert_eq!(decode(&text), Beside { ours: None, metadata: Some(Arc::from(large)) });
        let forged = encode(Incarnation(1), Epoch(0), Some("f")).unwrap();
        let forged = format!("{forged}{}", "f".repeat(4_060));
        assert_eq!(encode(Incarnation(1), Epoch(0), Some(&forged)), None);
    }
}
