//! What bounds groups: how many there may be and how large, and how long they
//! wait and remember.

use std::time::Duration;

/// The settings of groups that the gateway itself coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Groups at once, with those that have no members.
    pub max_groups: usize,
    /// Members of one group.
    pub max_members: usize,
    /// How long a member may still commit what is being taken from it, if it
    /// does not let go of it before.
    pub revoke_grace: Duration,
    /// How long the commits of a group without members are kept.
    pub retention: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            max_groups: 10_000,
            max_members: 1_000,
            revoke_grace: Duration::from_secs(30),
            // Kafka's default.
            retention: Duration::from_secs(7 * 86_400),
        }
    }
}
