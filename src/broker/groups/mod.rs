//! Use-cases of groups: who is a member, where it reads, what was committed.
//!
//! Who holds what is decided by the engine's [`Coordinator`]; here are the
//! checks before it, and the way from what a member holds to a [`Cursor`] for
//! the one reader. A coordinator carries no records, and a reader knows no
//! group.
//!
//! [`Coordinator`]: crate::engine::Coordinator
//! [`Cursor`]: crate::domain::Cursor

mod commit;
mod lag;
mod member;
mod place;
mod places;
mod poll;
mod reset;

pub(super) use lag::Measured;
pub use lag::{GroupPartition, GroupView};
pub use member::Membership;
pub use places::{GroupLoss, GroupPlaces};
pub use poll::GroupPoll;
pub use reset::{ResetMove, ResetTo};

use super::{Broker, BrokerError};
use crate::{
    domain::{GroupName, limits},
    engine::{Assignment, GroupCommit, GroupSummary, JoinRequest, Lease, MemberRef},
};
use std::time::Duration;

/// The shortest and the longest session of a member.
const SESSIONS: (Duration, Duration) =
    (Duration::from_millis(limits::MIN_SESSION_MS), Duration::from_millis(limits::MAX_SESSION_MS));

impl Broker {
    /// Joins a group, or comes back to it; see [`Membership`] for members that
    /// are served by a connection.
    pub async fn join_group(&self, request: JoinRequest) -> Result<Lease, BrokerError> {
        let (min, max) = SESSIONS;
        if request.session_timeout < min || request.session_timeout > max {
            return Err(BrokerError::SessionTimeout { min, max });
        }
        let (got, max) = (request.topics.len(), limits::MAX_READ_TOPICS);
        if got == 0 || got > max {
            return Err(BrokerError::GroupTopics { got, max });
        }
        for topic in &request.topics {
            self.engine.topic(topic)?;
        }
        Ok(self.coordinator.join(request).await?)
    }

    /// Renews a member's session, and answers what it holds.
    pub async fn renew_member(&self, member: &MemberRef) -> Result<Lease, BrokerError> {
        Ok(self.coordinator.renew(member).await?)
    }

    /// Lets go of what is being revoked from a member: of all of it, or of
    /// `what`.
    pub async fn release_partitions(
        &self,
        member: &MemberRef,
        what: Option<&Assignment>,
    ) -> Result<Lease, BrokerError> {
        let all;
        let what = match what {
            Some(what) => what,
            None => {
                all = self.coordinator.renew(member).await?.revoking;
                &all
            }
        };
        Ok(self.coordinator.release(member, what).await?)
    }

    /// Leaves a group.
    pub async fn leave_group(&self, member: &MemberRef) -> Result<(), BrokerError> {
        Ok(self.coordinator.leave(member).await?)
    }

    /// At most `limit` groups whose names begin with `prefix` and come after
    /// `after`, by name; and whether there are more.
    pub async fn list_groups(
        &self,
        prefix: &str,
        after: Option<&GroupName>,
        limit: usize,
    ) -> Result<(Vec<GroupSummary>, bool), BrokerError> {
        let mut found: Vec<_> = (self.coordinator.list().await?.into_iter())
            .filter(|group| group.group.as_str().starts_with(prefix))
            .filter(|group| after.is_none_or(|after| group.group > *after))
            .take(limit.saturating_add(1))
            .collect();
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    /// Deletes a group without members, and what it committed.
    pub async fn delete_group(&self, group: &GroupName) -> Result<(), BrokerError> {
        Ok(self.coordinator.delete(group).await?)
    }

    /// All that a group has committed. `Group(GroupUnknown)` if there is none.
    pub async fn group_commits(&self, group: &GroupName) -> Result<Vec<GroupCommit>, BrokerError> {
        Ok(self.coordinator.describe(group).await?.commits)
    }
}
