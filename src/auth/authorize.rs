//! The decision: what is asked, by the rights there are.

use super::{
    grant::{Action, Grant, Keys},
    rights::{Rights, all_keys},
};
use crate::domain::{GroupName, TopicName};
use bytes::Bytes;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Append to a topic.
    Publish(&'a TopicName),
    /// Read a topic's records.
    Read(&'a TopicName),
    /// See that a topic is there, its settings, offsets and counts: for whoever
    /// may do anything with it.
    Describe(&'a TopicName),
    /// Make, change, trim or delete a topic.
    Manage(&'a TopicName),
    /// Work in a group, or see how it stands. To join it for a topic, that topic
    /// has to be readable whole: see [`Reach::Whole`].
    Work(&'a GroupName),
    /// Delete a group, or move its commits.
    ManageGroup(&'a GroupName),
    /// What concerns the gateway as a whole: connections, revocations.
    Operate,
}

/// Which records of a topic an allowed action reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    Whole,
    /// Those with one of these keys, in order and once each; never one without
    /// a key.
    Keys(std::sync::Arc<[Bytes]>),
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No grant allows it.
    Refused,
    /// It is allowed.
    Allowed(Reach),
}

/// How one grant, or a part that is none, bears on what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Where it stands in the token.
    pub origin: String,
    /// What it comes to.
    pub outcome: String,
    /// Whether it allows what was asked.
    pub allows: bool,
}

impl Rights {
    /// Decides. Looks at each pattern once and needs no memory unless several
    /// grants are confined to keys.
    #[must_use]
    pub fn authorize(&self, ask: Ask<'_>) -> Verdict {
        let mut confined: Vec<&Keys> = vec![];
        for grant in self.grants.iter().filter(|grant| grant.allows_ask(ask)) {
            match &grant.keys {
                // What is described are offsets and counts, of all keys alike.
                Some(keys) if !matches!(ask, Ask::Describe(_)) => confined.push(keys),
                _ => return Verdict::Allowed(Reach::Whole),
            }
        }
        match confined.as_slice() {
            [] => Verdict::Refused,
            [keys] => Verdict::Allowed(Reach::Keys((*keys).clone())),
            several => Verdict::Allowed(Reach::Keys(all_keys(several.iter().copied()))),
        }
    }

    /// How each grant bears on what is asked, in the token's order, and what of
    /// the token grants nothing.
    #[must_use]
    pub fn explain(&self, ask: Ask<'_>) -> Vec<Why> {
        let grants = self.grants.iter().map(|grant| {
            let allows = grant.allows_ask(ask);
            Why { origin: grant.origin.clone(), outcome: grant.outcome(ask), allows }
        });
        let remarks = self.remarks().iter().map(|remark| Why {
            origin: String::new(),
            outcome: remark.to_string(),
            allows: false,
        });
        grants.chain(remarks).collect()
    }
}

impl Ask<'_> {
    /// The actions of which one is needed.
    #[must_use]
    pub fn needs(self) -> &'static [Action] {
        match self {
            Ask::Publish(_) => &[Action::Publish],
            Ask::Read(_) => &[Action::Read],
            Ask::Describe(_) => &[Action::Publish, Action::Read, Action::Admin],
            Ask::Manage(_) | Ask::ManageGroup(_) | Ask::Operate => &[Action::Admin],
            Ask::Work(_) => &[Action::Group],
        }
    }
}

impl Grant {
    fn allows_ask(&self, ask: Ask<'_>) -> bool {
        ask.needs().iter().any(|action| self.allows(*action)) && self.is_about(ask)
    }

    fn is_about(&self, ask: Ask<'_>) -> bool {
        match ask {
            Ask::Publish(topic) | Ask::Read(topic) | Ask::Describe(topic) | Ask::Manage(topic) => {
                self.is_for_topic(topic.as_str())
            }
            Ask::Work(group) | Ask::ManageGroup(group) => self.is_for_group(group.as_str()),
            Ask::Operate => self.gateway,
        }
    }

    fn outcome(&self, ask: Ask<'_>) -> String {
        let words = |actions: &[Action]| {
            actions.iter().map(|action| action.word()).collect::<Vec<_>>().join(" or ")
        };
        if !ask.needs().iter().any(|action| self.allows(*action)) {
            return format!("is for {}, not for {}", words(&self.actions), words(ask.needs()));
        }
        if !self.is_about(ask) {
            return "is for other names".to_owned();
        }
        match &self.keys {
            Some(keys) => format!("allows it for records of {} keys", keys.len()),
            None => "allows it".to_owned(),
        }
    }
}
