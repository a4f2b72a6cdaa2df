//! Who reads which partition of which topic for a group, and how far each has
//! come. The trait never carries records: they come by the one read path.
//!
//! ```text
//!  join ──► lease: generation 4, holds {0,1}           what it may read and commit
//!             │  another member joins
//!             ▼
//!           lease: generation 5, holds {0}, revoking {1}    read no more of 1, commit it still
//!             │  release, or the grace ends
//!             ▼
//!           generation 6: the other holds {1}, from what was committed
//! ```

use super::EngineError;
use crate::domain::{
    Generation, GroupName, Incarnation, MemberId, PartitionId, Position, Principal, StartPolicy,
    Timestamp, TopicName,
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Partitions by topic. No topic is there without a partition.
pub type Assignment = BTreeMap<TopicName, BTreeSet<PartitionId>>;

/// What a member asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// The group. The first member makes it.
    pub group: GroupName,
    /// An id of its own choice; one is made for it otherwise.
    pub member: Option<MemberId>,
    /// Whose it is. Another principal's id is `MemberTaken`.
    pub principal: Principal,
    /// What it wants to read: at least one topic, each known.
    pub topics: BTreeSet<TopicName>,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicy,
    /// Whether it is to be served here even where another gateway serves it:
    /// it has come by a connection, which cannot be passed on. The gateway
    /// that served it tells its connection there `Replaced`. Without this, the
    /// answer is `Elsewhere`, or `Unavailable` where that gateway names no
    /// address.
    pub takes_over: bool,
}

/// Who calls, and by which of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The group.
    pub group: GroupName,
    /// The member.
    pub member: MemberId,
    /// Whose it says it is. Another's is `MemberTaken`.
    pub principal: Principal,
    /// The join that the caller stands on, where it is a connection: an older
    /// one than the member's last is `Replaced`. `None` = whoever knows the id.
    pub session: Option<u64>,
}

/// What a member holds. Two leases of a member with the same version are equal
/// but for the time that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The member.
    pub member: MemberId,
    /// Grows with every join of this member.
    pub session: u64,
    /// Grows with every change of the group, also across restarts; never
    /// used twice under one name.
    pub generation: Generation,
    /// Grows whenever something in this lease is another than before.
    pub version: u64,
    /// What it may read and commit.
    pub assignment: Assignment,
    /// What it may still commit, is to read no more of, and has to let go of.
    pub revoking: Assignment,
    /// How long it still may; zero where nothing is being revoked.
    pub grace: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicy,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCommit {
    /// The topic.
    pub topic: TopicName,
    /// Which topic of that name.
    pub incarnation: Incarnation,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub position: Position,
    /// What the committer noted, at most `MAX_COMMIT_METADATA_BYTES`.
    pub metadata: Option<Arc<str>>,
}

/// On whose behalf a commit is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committer {
    /// A member's, under a generation that it was told.
    Member(MemberRef, Generation),
    /// Nobody's: only while the group is empty.
    Outsider,
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Something is being handed over.
    Rebalancing,
    /// Everyone holds what it is to hold.
    Stable,
}

/// A member as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// What it holds.
    pub lease: Lease,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group: GroupName,
    /// What it is doing.
    pub state: GroupState,
    /// The generation; zero before the first member.
    pub generation: Generation,
    /// Its members and what each holds, in the order of their ids.
    pub members: Vec<MemberView>,
    /// What was committed, in the order of topics and partitions.
    pub commits: Vec<GroupCommit>,
    /// When its commits are forgotten, if it stays without members.
    pub expires: Option<Timestamp>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// The group.
    pub group: GroupName,
    /// What it is doing.
    pub state: GroupState,
    /// The generation.
    pub generation: Generation,
    /// How many members.
    pub members: usize,
}

/// Why a coordinator did not do what it was asked. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// No group of that name.
    #[error("group '{0}' does not exist")]
    GroupUnknown(GroupName),
    /// The member never joined, or has left.
    #[error("group '{group}' has no member '{member}'")]
    MemberUnknown {
        /// The group.
        group: GroupName,
        /// The member.
        member: MemberId,
    },
    /// The member was silent for longer than its session timeout: what it held
    /// is another's. It may join again.
    #[error("the session of member '{member}' of group '{group}' has expired")]
    MemberExpired {
        /// The group.
        group: GroupName,
        /// The member.
        member: MemberId,
    },
    /// The id is another principal's.
    #[error("member '{0}' is another principal's")]
    MemberTaken(MemberId),
    /// The member has joined again by a newer connection.
    #[error("member '{0}' has joined again by a newer connection")]
    Replaced(MemberId),
    /// The generation is not one under which the member may commit this.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The group has members.
    #[error("group '{0}' has members")]
    NotEmpty(GroupName),
    /// The group has as many members as it may.
    #[error("the group has {0} members, as many as it may")]
    MembersFull(usize),
    /// There are as many groups as there may be.
    #[error("there are {0} groups, as many as there may be")]
    GroupsFull(usize),
    /// The member is served by another gateway, to be asked at this address.
    #[error("the member is served by the gateway at {0}")]
    Elsewhere(String),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Shares the partitions of topics among the members of groups.
///
/// What every coordinator keeps, and `contract::groups` proves:
/// - Once a group is stable, every partition of a topic that a member wants has
///   exactly one owner; in one generation never two.
/// - Whoever need not move a partition keeps it, and its older generation is
///   good for committing it.
/// - A partition that moves is granted once its owner released it, left, expired
///   or had its grace; the next owner finds what was committed until then.
/// - A member that was silent for its session timeout is none any more, and
///   hears `MemberExpired`.
/// - **A commit is durable when it is answered**, all of a call or nothing; it
///   never goes back (by epoch, then offset) but by `reset`: one that lies
///   behind changes nothing and is no error.
/// - Commits for a topic of which another incarnation stands now are not
///   answered any more. A group that was deleted leaves none behind.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Joins, or comes back: the same id is the same member, which keeps what
    /// it holds. Renews the session.
    async fn join(&self, request: JoinRequest) -> Result<Lease, GroupError>;

    /// Renews the session; answers at once with what the member holds now.
    async fn renew(&self, member: &MemberRef) -> Result<Lease, GroupError>;

    /// Waits until the member's lease is of another version than `seen`, for
    /// as long as it takes, and answers it; an error when the member is none
    /// any more, or was replaced. Does not renew the session. Safe to drop.
    async fn changed(&self, member: &MemberRef, seen: u64) -> Result<Lease, GroupError>;

    /// Lets go of what is being revoked, or of part of it; of others nothing
    /// happens. Renews the session.
    async fn release(&self, member: &MemberRef, what: &Assignment) -> Result<Lease, GroupError>;

    /// Leaves the group: what it held goes to others at once.
    async fn leave(&self, member: &MemberRef) -> Result<(), GroupError>;

    /// Commits. A member may for what it holds or is still to release, under a
    /// generation no older than the one in which it got it; else `Fenced`.
    /// That renews its session. The caller has checked that the places exist.
    async fn commit(
        &self,
        group: &GroupName,
        by: Committer,
        commits: Vec<GroupCommit>,
    ) -> Result<(), GroupError>;

    /// What was committed for these partitions; those without a commit are
    /// left out. Of a group that does not exist: nothing.
    async fn committed(
        &self,
        group: &GroupName,
        of: &Assignment,
    ) -> Result<Vec<GroupCommit>, GroupError>;

    /// All groups in the order of their names.
    async fn list(&self) -> Result<Vec<GroupSummary>, GroupError>;

    /// The group as it stands.
    async fn describe(&self, group: &GroupName) -> Result<GroupDescription, GroupError>;

    /// Moves a group without members to these commits, also back. Makes the
    /// group if there is none.
    async fn reset(&self, group: &GroupName, to: Vec<GroupCommit>) -> Result<(), GroupError>;

    /// Deletes a group without members, and what it committed.
    async fn delete(&self, group: &GroupName) -> Result<(), GroupError>;

    /// Ends all work. Members are not told: they find the gateway again, or
    /// another.
    async fn close(&self);
}
