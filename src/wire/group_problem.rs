//! What a client is told when a group's coordinator, or the broker on behalf of
//! a group, says no.

use super::{ErrorCode as C, Problem};
use crate::{
    domain::{NameError, Offset, PartitionId, Position, TopicName},
    engine::GroupError,
};

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Problem {
        let told = error.to_string();
        match error {
            GroupError::GroupUnknown(group) => {
                Problem::new(C::GroupUnknown, told).with("group", group.as_str())
            }
            GroupError::MemberUnknown { member, .. } => {
                Problem::new(C::MemberUnknown, told).with("member_id", member.as_str())
            }
            GroupError::MemberExpired { member, .. } => {
                Problem::new(C::MemberExpired, told).with("member_id", member.as_str())
            }
            GroupError::MemberTaken(member) => {
                Problem::new(C::MemberTaken, told).with("member_id", member.as_str())
            }
            GroupError::Replaced(member) => {
                Problem::new(C::MemberReplaced, told).with("member_id", member.as_str())
            }
            GroupError::Fenced(_) => Problem::new(C::Fenced, told),
            GroupError::NotEmpty(group) => {
                Problem::new(C::GroupNotEmpty, told).with("group", group.as_str())
            }
            GroupError::MembersFull(max) => Problem::new(C::MembersFull, told).with("max", max),
            GroupError::GroupsFull(max) => Problem::new(C::GroupsFull, told).with("max", max),
            // Addresses of other gateways are no business of the client.
            GroupError::Elsewhere(_) => {
                let detail = "the member is served by another gateway, which cannot be asked now";
                Problem::new(C::Unavailable, detail)
            }
            GroupError::Engine(error) => error.into(),
        }
    }
}

impl Problem {
    /// A name that a client gave a group is not one.
    #[must_use]
    pub fn group_name(error: &NameError) -> Problem {
        Problem::new(C::GroupNameInvalid, error.to_string())
    }

    /// What a client calls a member is no id.
    #[must_use]
    pub fn member_id(error: &NameError) -> Problem {
        Problem::new(C::MemberIdInvalid, error.to_string())
    }

    pub(super) fn commit_invalid(index: Option<usize>, told: String) -> Problem {
        match index {
            None => Problem::new(C::CommitInvalid, told),
            Some(index) => Problem::new(C::CommitInvalid, format!("commit {index}: {told}"))
                .with("commit", index),
        }
    }

    pub(super) fn commit_out_of_range(
        told: String,
        (topic, partition): (TopicName, PartitionId),
        asked: Position,
        (start, tail): (Offset, Position),
    ) -> Problem {
        Problem::new(C::CommitOutOfRange, told)
            .with("topic", topic.as_str())
            .with("partition", partition.0)
            .with("asked", asked.next.0)
            .with("start", start.0)
            .with("tail", tail.next.0)
            .with("epoch", tail.epoch.0)
    }
}
