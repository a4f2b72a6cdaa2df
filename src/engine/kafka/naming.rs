//! How topics are called in the cluster, and what a topic of another program is
//! known by. Pure.

use crate::domain::{Incarnation, TopicId, TopicName};
use sha2::{Digest, Sha256};

/// What the names of a cluster's own topics begin with.
const INTERNAL: &str = "__";

/// The name in the cluster.
pub(super) fn raw(prefix: &str, name: &TopicName) -> String {
    format!("{prefix}{name}")
}

/// The topic that a name in the cluster means; `None` if it is none of this
/// gateway's, or one that Kafka or a gateway keeps for itself.
pub(super) fn served(prefix: &str, raw: &str) -> Option<TopicName> {
    let name = raw.strip_prefix(prefix)?;
    if name.starts_with(INTERNAL) || raw.starts_with(INTERNAL) {
        return None;
    }
    TopicName::new(name).ok()
}

/// What a topic of another program is told from others of its name by: every
/// gateway comes to the same. `times` is how often one of this name has gone.
pub(super) fn of_others(raw: &str, times: u32) -> Incarnation {
    let mut digest = Sha256::new();
    digest.update(b"tidegate topic\0");
    digest.update(raw.as_bytes());
    digest.update(times.to_be_bytes());
    let digest = digest.finalize();
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    Incarnation(u64::from_be_bytes(first))
}

/// The short name that follows from an incarnation. Where two meet, the catalogue
/// gives one of them another.
pub(super) fn id(of: Incarnation) -> TopicId {
    TopicId((of.0 ^ (of.0 >> 32)) as u32)
}

/// Which shared producer a key belongs to, out of `slots`.
pub(super) fn slot(of: Incarnation, key: &str, slots: usize) -> usize {
    let mut digest = Sha256::new();
    digest.update(of.0.to_be_bytes());
    digest.update(key.as_bytes());
    usize::from(digest.finalize()[0]) % slots.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_topics_with_the_prefix_are_served_and_none_that_are_internal() {
        let name = |s: &str| TopicName::new(s).ok();
        assert_eq!(served("", "orders"), name("orders"));
        assert_eq!(served("eu-", "eu-orders"), name("orders"));
        for (prefix, raw) in [("eu-", "orders"), ("", "__consumer_offsets"), ("eu-", "eu-__state")]
        {
            assert_eq!(served(prefix, raw), None, "{raw}");
        }
        assert_eq!(served("eu-", &raw("eu-", &name("a").unwrap())), name("a"));
    }

    #[test]
    fn a_topic_that_comes_again_is_another() {
        assert_eq!(of_others("a", 0), of_others("a", 0));
        assert_ne!(of_others("a", 0), of_others("a", 1));
        assert_ne!(of_others("a", 0), of_others("b", 0));
        assert!(slot(Incarnation(1), "k", 8) < 8);
    }
}
