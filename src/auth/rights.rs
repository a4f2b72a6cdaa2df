//! All that a token allows.

use super::{
    details,
    grant::{Grant, Keys},
    scope,
};
use crate::domain::limits::MAX_READ_KEYS;
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// Patterns of one token: each is looked at for a decision.
pub const MAX_PATTERNS: usize = 1_000;
/// Keys of one token: as many as one reader may be confined to.
pub const MAX_GRANTED_KEYS: usize = MAX_READ_KEYS;

/// Why the rights of a token cannot be taken, though its signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// More patterns than a decision may look at.
    #[error(
        "the token names {0} patterns of topics and groups, at most {MAX_PATTERNS} are allowed"
    )]
    TooManyPatterns(usize),
    /// More keys than a reader may be confined to.
    #[error("the token confines to {0} keys, at most {MAX_GRANTED_KEYS} are allowed")]
    TooManyKeys(usize),
}

/// A part of a token that grants nothing because it is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    what: String,
    why: String,
}

impl Remark {
    pub(super) fn new(what: &str, why: String) -> Remark {
        Remark { what: what.to_owned(), why }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} grants nothing: {}", self.what, self.why)
    }
}

/// What a token allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub(super) grants: Vec<Grant>,
    remarks: Vec<Remark>,
}

impl Rights {
    /// The rights of a token's `scope` and `authorization_details`, each of
    /// which may be absent.
    ///
    /// # Errors
    /// When there is more of it than a decision may look at.
    pub fn of(scope: Option<&str>, details: Option<&Value>) -> Result<Rights, RightsError> {
        let (mut grants, mut remarks) = scope.map(scope::grants).unwrap_or_default();
        let (more, also) = details.map(details::grants).unwrap_or_default();
        grants.extend(more);
        remarks.extend(also);
        let patterns = grants.iter().map(|g| g.topics.len() + g.groups.len()).sum();
        if patterns > MAX_PATTERNS {
            return Err(RightsError::TooManyPatterns(patterns));
        }
        let keys = all_keys(grants.iter().filter_map(|g| g.keys.as_ref())).len();
        if keys > MAX_GRANTED_KEYS {
            return Err(RightsError::TooManyKeys(keys));
        }
        Ok(Rights { grants, remarks })
    }

    /// What of the token grants nothing because it is not understood.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }
}

/// The keys of several confinements, in order and once each.
pub(super) fn all_keys<'a>(of: impl Iterator<Item = &'a Keys>) -> Keys {
    let all: BTreeSet<_> = of.flat_map(|keys| keys.iter().cloned()).collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_claims_count_and_neither_is_needed() {
        let details = json!([{"type": "tidegate", "actions": ["read"], "topics": ["b"]}]);
        assert_eq!(Rights::of(Some("read:a"), Some(&details)).unwrap().grants.len(), 2);
        assert_eq!(Rights::of(None, None).unwrap(), Rights::default());
    }

    #[test]
    fn more_than_a_decision_may_look_at_is_refused() {
        let words = |n: usize| (0..n).map(|i| format!("read:t{i} ")).collect::<String>();
        assert!(Rights::of(Some(&words(MAX_PATTERNS)), None).is_ok());
        let error = Rights::of(Some(&words(MAX_PATTERNS + 1)), None).unwrap_err();
        assert_eq!(error, RightsError::TooManyPatterns(MAX_PATTERNS + 1));
        let keyed = |n: usize| {
            let keys: Vec<_> = (0..n).map(|i| i.to_string()).collect();
            json!([{"type": "tidegate", "actions": ["read"], "topics": ["t"], "keys": keys}])
        };
        assert!(Rights::of(None, Some(&keyed(MAX_GRANTED_KEYS))).is_ok());
        let error = Rights::of(None, Some(&keyed(MAX_GRANTED_KEYS + 1))).unwrap_err();
        assert_eq!(error, RightsError::TooManyKeys(MAX_GRANTED_KEYS + 1));
    }
}
