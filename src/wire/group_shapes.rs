//! What calls about groups are answered.

use super::group_bodies::{Partitions, StartPolicyName};
use super::shapes::ReadRecord;
use crate::domain::{LostReason, PartitionId, TopicName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Partitions by topic, as clients read them.
#[must_use]
pub fn partitions(of: &BTreeMap<TopicName, BTreeSet<PartitionId>>) -> Partitions {
    let one = |(topic, ids): (&TopicName, &BTreeSet<PartitionId>)| {
        (topic.to_string(), ids.iter().map(|id| id.0).collect())
    };
    of.iter().map(one).collect()
}

/// What a member holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "member_id": "worker-7", "generation": 3, "assignment": {"earthquakes": [0, 2]},
    "revoking": {"earthquakes": [1]}, "grace_ms": 28_500, "session_timeout_ms": 45_000
}))]
pub struct MemberLease {
    /// The member.
    pub member_id: String,
    /// Which change of the group this is; to commit under.
    pub generation: u64,
    /// What it reads and may commit, by topic.
    pub assignment: Partitions,
    /// What it may still commit and is to release; it gets no more of it.
    pub revoking: Partitions,
    /// How long it has for that, milliseconds; 0 while nothing is revoked.
    pub grace_ms: u64,
    /// How long it may be silent, milliseconds.
    pub session_timeout_ms: u64,
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupStateName {
    /// It has no members.
    Empty,
    /// Something is being handed over.
    Rebalancing,
    /// Everyone holds what it is to hold.
    Stable,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupInfo {
    /// The group.
    pub group: String,
    /// What it is doing.
    pub state: GroupStateName,
    /// How often what its members hold has changed.
    pub generation: u64,
    /// How many members it has.
    pub members: u64,
}

/// A page of the list of groups, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "groups": [{"group": "billing", "state": "stable", "generation": 3, "members": 2}],
    "next": null
}))]
pub struct GroupPage {
    /// The groups.
    pub groups: Vec<GroupInfo>,
    /// What to give as `after` for the page that follows; null on the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// A member as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberInfo {
    /// What it holds.
    #[serde(flatten)]
    pub lease: MemberLease,
    /// What it wants to read.
    pub topics: Vec<String>,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicyName,
}

/// One partition of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupPartitionInfo {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The earliest offset that is kept.
    pub start: u64,
    /// The next offset to be written.
    pub tail: u64,
    /// The next offset to read; null if nothing was committed.
    #[schema(required)]
    pub commit: Option<u64>,
    /// The epoch of the commit.
    #[schema(required)]
    pub epoch: Option<u32>,
    /// What was noted beside it.
    #[schema(required)]
    pub metadata: Option<String>,
    /// Records still to be processed; null if nothing was committed. At most so
    /// many where offsets have gaps (Kafka).
    #[schema(required)]
    pub lag: Option<u64>,
    /// Who holds it; null if nobody does.
    #[schema(required)]
    pub member_id: Option<String>,
}

/// A group as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "group": "billing", "state": "stable", "generation": 3, "lag": 12, "expires": null,
    "members": [{
        "member_id": "worker-7", "generation": 3, "assignment": {"earthquakes": [0]},
        "revoking": {}, "grace_ms": 0, "session_timeout_ms": 45_000,
        "topics": ["earthquakes"], "from": "earliest"
    }],
    "partitions": [{
        "topic": "earthquakes", "partition": 0, "start": 0, "tail": 1707, "commit": 1695,
        "epoch": 0, "metadata": null, "lag": 12, "member_id": "worker-7"
    }]
}))]
pub struct GroupDetails {
    /// The group.
    pub group: String,
    /// What it is doing.
    pub state: GroupStateName,
    /// How often what its members hold has changed.
    pub generation: u64,
    /// Records still to be processed, of all its partitions together.
    pub lag: u64,
    /// When it is forgotten if it stays without members, milliseconds since
    /// 1970; null while it has some.
    #[schema(required)]
    pub expires: Option<i64>,
    /// Its members, in the order of their ids.
    pub members: Vec<MemberInfo>,
    /// What it has committed in, or a member holds.
    pub partitions: Vec<GroupPartitionInfo>,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to read.
    pub offset: u64,
    /// The epoch of it.
    pub epoch: u32,
    /// What was noted beside it.
    #[schema(required)]
    pub metadata: Option<String>,
}

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"commits": [
    {"topic": "earthquakes", "partition": 0, "offset": 4, "epoch": 0, "metadata": null}
]}))]
pub struct CommitList {
    /// By topic and partition.
    pub commits: Vec<CommittedOffset>,
}

/// What a reset does in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResetPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Where the group stood; null if nothing was committed.
    #[schema(required)]
    pub from: Option<u64>,
    /// Where it stands after it.
    pub to: u64,
    /// The epoch of that.
    pub epoch: u32,
}

/// What a reset did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"dry_run": true, "partitions": [
    {"topic": "earthquakes", "partition": 0, "from": 1695, "to": 0, "epoch": 0}
]}))]
pub struct ResetAnswer {
    /// Whether it only would.
    pub dry_run: bool,
    /// By topic and partition.
    pub partitions: Vec<ResetPartition>,
}

/// Records that a group will never see, and where it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "topic": "orders", "partition": 0, "from": 10, "to": 99, "reason": "retention", "next": 100
}))]
pub struct GroupLostNotice {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset that is gone.
    pub from: u64,
    /// The last offset that is gone.
    pub to: u64,
    /// Why.
    #[schema(value_type = super::LostReasonName)]
    pub reason: LostReason,
    /// Where the member goes on; null = nowhere, until something is committed.
    #[schema(required)]
    pub next: Option<u64>,
}

/// What a poll tells beside the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PollTold {
    /// Which change of the group this is; to commit under.
    pub generation: u64,
    /// What the member reads and may commit, by topic.
    pub assignment: Partitions,
    /// What it may still commit and is to release; it gets no more of it.
    pub revoking: Partitions,
    /// How long it has for that, milliseconds; 0 while nothing is revoked.
    pub grace_ms: u64,
    /// What it holds and gets nothing of until something is committed.
    pub waiting: Partitions,
    /// What it will never see.
    pub lost: Vec<GroupLostNotice>,
    /// For the next poll.
    pub cursor: String,
    /// Whether there was no more to read.
    pub at_tail: bool,
}

/// What a poll is answered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "records": [{
        "topic": "earthquakes", "partition": 0, "offset": 5, "timestamp": 1_700_000_000_000_u64,
        "headers": [], "value": {"mag": 4.2}
    }],
    "generation": 3, "assignment": {"earthquakes": [0]}, "revoking": {}, "grace_ms": 0,
    "waiting": {}, "lost": [], "cursor": "AQEGb3JkZXJz", "at_tail": true
}))]
pub struct PollPage {
    /// In order within each partition; each says its `topic`.
    pub records: Vec<ReadRecord>,
    /// What there is beside them.
    #[serde(flatten)]
    pub told: PollTold,
}
