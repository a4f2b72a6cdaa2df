//! Who reads which partition of a topic for a group. The trait never carries
//! records: they come by the one read path.

use super::EngineError;
use crate::domain::{GroupName, PartitionId, Position, TopicName};
use async_trait::async_trait;
use std::{collections::BTreeMap, time::Duration};

/// What a member calls itself, across its connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub String);

/// Partitions by topic.
pub type Assignment = BTreeMap<TopicName, Vec<PartitionId>>;

/// What a member asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// The group.
    pub group: GroupName,
    /// An id of its own choice; one is made for it otherwise.
    pub member: Option<MemberId>,
    /// What it wants to read.
    pub topics: Vec<TopicName>,
    /// How long it may be silent.
    pub session_timeout: Duration,
}

/// What a member holds, as of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The member.
    pub member: MemberId,
    /// Grows with every change of the group, also across restarts.
    pub generation: u64,
    /// What it may read and commit.
    pub assignment: Assignment,
    /// What it may still commit, and must let go of.
    pub revoking: Assignment,
    /// How long it may do that.
    pub grace: Duration,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCommit {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub position: Position,
    /// What the committer noted, at most 4 KiB.
    pub metadata: Option<String>,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group: GroupName,
    /// The generation.
    pub generation: u64,
    /// Its members and what each holds.
    pub members: Vec<Lease>,
    /// What was committed.
    pub commits: Vec<GroupCommit>,
}

/// Shares the partitions of topics among the members of groups.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Joins, or comes back: the same id is the same member.
    async fn join(&self, request: JoinRequest) -> Result<Lease, EngineError>;
    /// Renews the session; returns at once with what the member holds now.
    async fn heartbeat(&self, group: &GroupName, member: &MemberId) -> Result<Lease, EngineError>;
    /// Waits until what the member holds is no longer of `generation`.
    async fn changed(
        &self,
        group: &GroupName,
        member: &MemberId,
        generation: u64,
    ) -> Result<Lease, EngineError>;
    /// Lets go of what is being revoked.
    async fn release(
        &self,
        group: &GroupName,
        member: &MemberId,
        partitions: &Assignment,
    ) -> Result<(), EngineError>;
    /// Leaves the group.
    async fn leave(&self, group: &GroupName, member: &MemberId) -> Result<(), EngineError>;
    /// Commits, fenced by member and generation; durable when answered.
    async fn commit(
        &self,
        group: &GroupName,
        fence: Option<(&MemberId, u64)>,
        commits: Vec<GroupCommit>,
    ) -> Result<(), EngineError>;
    /// The group as it stands.
    async fn describe(&self, group: &GroupName) -> Result<GroupDescription, EngineError>;
    /// Moves a group without members to the given commits.
    async fn reset(&self, group: &GroupName, to: Vec<GroupCommit>) -> Result<(), EngineError>;
}
