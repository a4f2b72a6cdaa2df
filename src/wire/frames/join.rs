//! What a member of a group sends: that it joins, how far it has come, and
//! what it lets go of.

use super::{
    RequestId, SubId,
    client::{Encoding, delivery, topic, topics},
    members::{Members, invalid, number},
};
use crate::{
    domain::{
        CommitDraft, Generation, GroupName, MemberId, PartitionId, StartPolicy, TopicName, limits,
    },
    wire::{As, CommitEntry, Problem, drafts, fields::Text},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Partitions by topic, as members name them.
pub type Parts = BTreeMap<TopicName, BTreeSet<PartitionId>>;

/// Who is to become a member, and how records are to come to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinFrame {
    /// Answered by this.
    pub id: RequestId,
    /// The number that the client gives it, as to a subscription.
    pub sub: SubId,
    /// The group.
    pub group: GroupName,
    /// The topics, 1 to 100, each once.
    pub topics: Vec<TopicName>,
    /// Who it is; one that has been there keeps what it holds. `None` = new.
    pub member: Option<MemberId>,
    /// How long the membership outlives the connection. Not bounded yet.
    pub session_timeout: Duration,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicy,
    /// How many records may be sent until there is more credit; `None` = no
    /// such bound.
    pub credit: Option<u64>,
    /// How records are to come.
    pub encoding: Encoding,
    /// The form of values.
    pub as_: As,
}

/// How far a member has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFrame {
    /// Answered by this.
    pub id: RequestId,
    /// Whose.
    pub sub: SubId,
    /// The generation that the member was told last.
    pub generation: Generation,
    /// What is to be committed; how much there may be, the broker says.
    pub commits: Vec<CommitDraft>,
}

/// What a member lets go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseFrame {
    /// Answered by this, if it is there.
    pub id: Option<RequestId>,
    /// Whose.
    pub sub: SubId,
    /// What.
    pub partitions: Parts,
}

pub(super) fn join(members: &mut Members<'_>) -> Result<JoinFrame, Problem> {
    let group: Text<'_> = members.must("group")?;
    let group = GroupName::new(&group.0).map_err(|error| Problem::group_name(&error))?;
    let member = members.maybe::<Text<'_>>("member_id")?.map(|Text(id)| MemberId::new(id));
    let member = member.transpose().map_err(|error| Problem::member_id(&error))?;
    let timeout = members.raw("session_timeout_ms");
    let timeout = timeout.map(|text| number("session_timeout_ms", text)).transpose()?;
    let (credit, encoding, as_) = delivery(members)?;
    Ok(JoinFrame {
        id: members.id()?,
        sub: members.sub()?,
        group,
        topics: topics(members)?,
        member,
        session_timeout: Duration::from_millis(timeout.unwrap_or(limits::DEFAULT_SESSION_MS)),
        from: members.maybe("from")?.unwrap_or_default(),
        credit,
        encoding,
        as_,
    })
}

pub(super) fn commit(members: &mut Members<'_>) -> Result<CommitFrame, Problem> {
    let (id, sub) = (members.id()?, members.sub()?);
    let generation = Generation(number("generation", members.must_raw("generation")?)?);
    let entries: Vec<CommitEntry> = members.must("commits")?;
    Ok(CommitFrame { id, sub, generation, commits: drafts(&entries)? })
}

pub(super) fn release(members: &mut Members<'_>) -> Result<ReleaseFrame, Problem> {
    let (id, sub) = (members.maybe_id()?, members.sub()?);
    let named: BTreeMap<String, Vec<u32>> = members.must("partitions")?;
    let mut partitions = Parts::new();
    for (name, ids) in named {
        let name = topic(&name)?;
        if ids.is_empty() || ids.len() > limits::MAX_PARTITIONS as usize {
            let max = limits::MAX_PARTITIONS;
            return Err(invalid(format!("member 'partitions': a topic has 1 to {max} of them")));
        }
        partitions.insert(name, ids.into_iter().map(PartitionId).collect());
    }
    if partitions.is_empty() || partitions.len() > limits::MAX_READ_TOPICS {
        let max = limits::MAX_READ_TOPICS;
        return Err(invalid(format!("member 'partitions' must have 1 to {max} topics")));
    }
    Ok(ReleaseFrame { id, sub, partitions })
}
