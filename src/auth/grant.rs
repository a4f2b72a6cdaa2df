//! One thing that a token allows.

use super::pattern::Pattern;
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Appends records to a topic.
    Publish,
    /// Reads a topic's records.
    Read,
    /// Works in a group: joins, polls, commits, describes it.
    Group,
    /// Makes, changes and deletes topics and groups; without a name: everything
    /// that an operator does.
    Admin,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 4] = [Action::Publish, Action::Read, Action::Group, Action::Admin];

    /// Its word in a token.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Read => "read",
            Action::Group => "group",
            Action::Admin => "admin",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.word() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Keys that a grant is confined to, in order and once each.
pub(super) type Keys = Arc<[Bytes]>;

/// Actions on whatever has one of these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// Where it stands in the token.
    pub origin: String,
    pub actions: Vec<Action>,
    pub topics: Vec<Pattern>,
    pub groups: Vec<Pattern>,
    /// `None`: records of every key, and those without one.
    pub keys: Option<Keys>,
    /// Whether it is for the gateway as a whole too.
    pub gateway: bool,
}

impl Grant {
    pub(super) fn allows(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    pub(super) fn is_for_topic(&self, name: &str) -> bool {
        self.topics.iter().any(|pattern| pattern.fits(name))
    }

    pub(super) fn is_for_group(&self, name: &str) -> bool {
        self.groups.iter().any(|pattern| pattern.fits(name))
    }
}
