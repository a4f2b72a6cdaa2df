//! What a member of a group sends: that it joins, how far it has come, and
//! what it lets go of.

use super::{
    RequestId, SubId,
    client::{Encoding, delivery, once_each, topic, topics},
    members::{Members, invalid, number, typed},
};
use crate::{
    domain::{
        Epoch, Generation, GroupName, MemberId, Offset, PartitionId, StartPolicy, TopicName, limits,
    },
    wire::{As, ErrorCode, Problem, fields::Text},
};
use serde::Deserialize;
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

/// How far a member has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitEntry {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
    /// The epoch in which that was learnt; `None` = the offset's own.
    pub epoch: Option<Epoch>,
    /// A note beside it. Not bounded yet.
    pub metadata: Option<String>,
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
    /// At least one, each partition once.
    pub commits: Vec<CommitEntry>,
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

/// A commit as it is written. A negative offset is told from what is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    #[serde(borrow)]
    topic: std::borrow::Cow<'a, str>,
    partition: u32,
    offset: i64,
    epoch: Option<u32>,
    metadata: Option<String>,
}

pub(super) fn commit(members: &mut Members<'_>) -> Result<CommitFrame, Problem> {
    let (id, sub) = (members.id()?, members.sub()?);
    let generation = Generation(number("generation", members.must_raw("generation")?)?);
    let entries: Vec<Entry<'_>> = typed("commits", members.must_raw("commits")?)?;
    let max = limits::MAX_COMMITS;
    if entries.is_empty() || entries.len() > max {
        return Err(wrong(format!("a commit has 1 to {max} partitions")));
    }
    let commits = entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let named: Vec<_> = commits.iter().map(|commit| (&commit.topic, commit.partition)).collect();
    once_each("commits", &named).map_err(|problem| wrong(problem.detail))?;
    Ok(CommitFrame { id, sub, generation, commits })
}

fn entry(entry: Entry<'_>) -> Result<CommitEntry, Problem> {
    let Entry { topic: name, partition, offset, epoch, metadata } = entry;
    let offset = u64::try_from(offset)
        .map_err(|_| wrong(format!("offset {offset} of partition {partition} is negative")))?;
    let (partition, offset) = (PartitionId(partition), Offset(offset));
    Ok(CommitEntry { topic: topic(&name)?, partition, offset, epoch: epoch.map(Epoch), metadata })
}

fn wrong(detail: String) -> Problem {
    Problem::new(ErrorCode::CommitInvalid, detail)
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
