//! Bodies about groups: joining, polling, releasing, committing, resetting.

use super::{As, ErrorCode, Problem, json, topics::TimeText};
use crate::domain::{
    CommitDraft, Cursor, Epoch, Generation, GroupName, MemberId, Offset, PartitionId, StartPolicy,
    Timestamp, TopicName, limits,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use utoipa::ToSchema;

/// Partitions by topic, as clients write them.
pub type Partitions = BTreeMap<String, Vec<u32>>;

/// Where a group begins in a partition that it has no usable commit for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartPolicyName {
    /// At the earliest record that is kept and that the group has not read.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
    /// Nowhere: the partition is told as `waiting` until something is committed.
    None,
}

impl From<StartPolicyName> for StartPolicy {
    fn from(name: StartPolicyName) -> StartPolicy {
        match name {
            StartPolicyName::Earliest => StartPolicy::Earliest,
            StartPolicyName::Latest => StartPolicy::Latest,
            StartPolicyName::None => StartPolicy::None,
        }
    }
}

impl From<StartPolicy> for StartPolicyName {
    fn from(policy: StartPolicy) -> StartPolicyName {
        match policy {
            StartPolicy::Earliest => StartPolicyName::Earliest,
            StartPolicy::Latest => StartPolicyName::Latest,
            StartPolicy::None => StartPolicyName::None,
        }
    }
}

/// What somebody who wants to share the work of a group asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "topics": ["earthquakes"], "session_timeout_ms": 45_000, "from": "earliest"
}))]
pub struct JoinBody {
    /// The topics to read, 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub topics: Vec<String>,
    /// How long the member may be silent, milliseconds: 45,000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1000, maximum = 1_800_000)]
    pub session_timeout_ms: Option<i64>,
    /// Where a partition begins that has no usable commit; `earliest` if left out.
    #[serde(default)]
    pub from: StartPolicyName,
    /// The member's own id, by which it comes back; one is made if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "worker-7")]
    pub member_id: Option<String>,
}

/// A join, checked in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The topics; how many there may be, the broker says.
    pub topics: BTreeSet<TopicName>,
    /// How long it may be silent; its bounds are the broker's as well.
    pub session_timeout: Duration,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicy,
    /// Its own id.
    pub member: Option<MemberId>,
}

impl JoinBody {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<JoinBody, Problem> {
        json::parse(body)
    }

    /// The join; `topic_name_invalid`, `member_id_invalid` or
    /// `session_timeout_invalid` for what cannot be.
    pub fn join(&self) -> Result<Join, Problem> {
        let default = i64::try_from(limits::DEFAULT_SESSION_MS).unwrap_or(i64::MAX);
        let asked = self.session_timeout_ms.unwrap_or(default);
        let session_timeout = u64::try_from(asked).map(Duration::from_millis).map_err(|_| {
            let detail = format!("a session timeout of {asked} ms is none");
            Problem::new(ErrorCode::SessionTimeoutInvalid, detail)
        })?;
        Ok(Join {
            topics: self.topics.iter().map(|name| topic(name)).collect::<Result<_, _>>()?,
            session_timeout,
            from: self.from.into(),
            member: self.member_id.as_deref().map(path_member).transpose()?,
        })
    }
}

/// What a member asks for in a poll. All of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"limit": 100, "wait_ms": 20}))]
pub struct PollBody {
    /// The last poll's cursor, to go on from there; from the commits without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Records, 500 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
    /// Bytes of records, 1 MiB if left out. One record comes in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16_777_216)]
    pub max_bytes: Option<u32>,
    /// How long to wait for a record or for other news, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 55_000)]
    pub wait_ms: Option<u32>,
    /// The form of values: `auto` (as published, the default), `json`, `text`
    /// or `base64`.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(auto|json|text|base64)$")]
    pub as_: Option<String>,
}

/// A poll, checked in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Where the last one ended.
    pub cursor: Option<Cursor>,
    /// Records.
    pub limit: u32,
    /// Bytes of records.
    pub max_bytes: u32,
    /// How long to wait.
    pub wait: Duration,
    /// The form of values.
    pub as_: As,
}

impl PollBody {
    /// Parses a body; an empty one asks for the defaults.
    pub fn parse(body: &[u8]) -> Result<PollBody, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(PollBody::default());
        }
        json::parse(body)
    }

    /// The poll; `body_invalid` for what is out of bounds, and what may be
    /// wrong with a cursor.
    pub fn poll(&self) -> Result<Poll, Problem> {
        let bounded = |name: &str, given: Option<u32>, default: u32, min: u32, max: u32| {
            let n = given.unwrap_or(default);
            if n < min || n > max {
                let detail = format!("'{name}' is {n}, allowed are {min} to {max}");
                return Err(Problem::new(ErrorCode::BodyInvalid, detail));
            }
            Ok(n)
        };
        let (records, bytes) = (limits::DEFAULT_PAGE_RECORDS, limits::DEFAULT_PAGE_BYTES);
        let wait = bounded("wait_ms", self.wait_ms, 0, 0, limits::MAX_WAIT_MS)?;
        let as_ = self
            .as_
            .as_deref()
            .map(As::parse)
            .transpose()
            .map_err(|problem| Problem::new(ErrorCode::BodyInvalid, problem.detail))?;
        Ok(Poll {
            cursor: self.cursor.as_deref().map(Cursor::decode).transpose()?,
            limit: bounded("limit", self.limit, records, 1, limits::MAX_PAGE_RECORDS)?,
            max_bytes: bounded("max_bytes", self.max_bytes, bytes, 1, limits::MAX_PAGE_BYTES)?,
            wait: Duration::from_millis(wait.into()),
            as_: as_.unwrap_or_default(),
        })
    }
}

/// What a member lets go of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"partitions": {"earthquakes": [1]}}))]
pub struct ReleaseBody {
    /// By topic; all that is being revoked if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Partitions>,
}

impl ReleaseBody {
    /// Parses a body; an empty one lets go of all that is being revoked.
    pub fn parse(body: &[u8]) -> Result<ReleaseBody, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(ReleaseBody::default());
        }
        json::parse(body)
    }

    /// What is let go of; `topic_name_invalid` for a topic that cannot be.
    pub fn partitions(
        &self,
    ) -> Result<Option<BTreeMap<TopicName, BTreeSet<PartitionId>>>, Problem> {
        let Some(partitions) = &self.partitions else { return Ok(None) };
        let of = partitions.iter().filter(|(_, ids)| !ids.is_empty());
        let of = of
            .map(|(name, ids)| Ok((topic(name)?, ids.iter().copied().map(PartitionId).collect())));
        of.collect::<Result<_, _>>().map(Some)
    }
}

/// One offset to be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitEntry {
    /// The topic.
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,249}$")]
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to read: that after the last record that was processed.
    #[schema(value_type = u64, minimum = 0, maximum = 9_223_372_036_854_775_807_u64)]
    pub offset: i64,
    /// The epoch of the last record that was processed; that of the offset if
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// A note beside it, up to 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub metadata: Option<String>,
}

/// What is to be committed, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "commits": [{"topic": "earthquakes", "partition": 0, "offset": 4}]
}))]
pub struct CommitBody {
    /// The member. Without one, only while the group is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "worker-7")]
    pub member_id: Option<String>,
    /// The generation that the member was told; with `member_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The offsets, each partition once: all of them are stored, or none.
    #[schema(min_items = 1, max_items = 1024)]
    pub commits: Vec<CommitEntry>,
}

/// Commits, checked in themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commits {
    /// The member and the generation that it was told; `None` = nobody's.
    pub by: Option<(MemberId, Generation)>,
    /// What is to be committed.
    pub drafts: Vec<CommitDraft>,
}

impl CommitBody {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<CommitBody, Problem> {
        json::parse(body)
    }

    /// The commits; `body_invalid` for a member without a generation, and
    /// `commit_invalid`, `member_id_invalid` or `topic_name_invalid`.
    pub fn commits(&self) -> Result<Commits, Problem> {
        let by = match (self.member_id.as_deref(), self.generation) {
            (None, None) => None,
            (Some(member), Some(generation)) => {
                Some((path_member(member)?, Generation(generation)))
            }
            _ => {
                let detail = "'member_id' and 'generation' come together, or neither does";
                return Err(Problem::new(ErrorCode::BodyInvalid, detail));
            }
        };
        Ok(Commits { by, drafts: drafts(&self.commits)? })
    }
}

/// Offsets to commit, as clients write them. `commit_invalid` for a negative
/// one, `topic_name_invalid` for a topic that cannot be.
pub fn drafts(entries: &[CommitEntry]) -> Result<Vec<CommitDraft>, Problem> {
    let draft = |(index, entry): (usize, &CommitEntry)| {
        let offset = u64::try_from(entry.offset).map_err(|_| {
            Problem::commit_invalid(Some(index), format!("offset {} is negative", entry.offset))
        })?;
        Ok(CommitDraft {
            topic: topic(&entry.topic).map_err(|problem| problem.with("commit", index))?,
            partition: PartitionId(entry.partition),
            offset: Offset(offset),
            epoch: entry.epoch.map(Epoch),
            metadata: entry.metadata.as_deref().map(Arc::from),
        })
    };
    entries.iter().enumerate().map(draft).collect()
}

/// Where a group is to be moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetWord {
    /// The earliest record that is kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// The first record that is not older than `time`.
    Time,
    /// The `offsets`.
    Offsets,
}

/// How a group without members is to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "earliest", "topics": ["earthquakes"], "dry_run": true}))]
pub struct ResetBody {
    /// Where to.
    pub to: ResetWord,
    /// With `to: time`: RFC 3339 or milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeText>,
    /// With `to: offsets`; other partitions stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 1024)]
    pub offsets: Option<Vec<CommitEntry>>,
    /// The topics; those that the group has committed in if left out. Not with
    /// `to: offsets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 100)]
    pub topics: Option<Vec<String>>,
    /// Whether to only tell what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// Where to, checked in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetPlace {
    /// The earliest record, in these topics or those that were committed in.
    Earliest(Option<BTreeSet<TopicName>>),
    /// Behind the newest record, likewise.
    Latest(Option<BTreeSet<TopicName>>),
    /// The first record that is not older, likewise.
    Time(Timestamp, Option<BTreeSet<TopicName>>),
    /// These places.
    Offsets(Vec<CommitDraft>),
}

impl ResetBody {
    /// Parses a body.
    pub fn parse(body: &[u8]) -> Result<ResetBody, Problem> {
        json::parse(body)
    }

    /// Where to; `body_invalid` for members that do not go together.
    pub fn place(&self) -> Result<ResetPlace, Problem> {
        let invalid = |detail: &str| Err(Problem::new(ErrorCode::BodyInvalid, detail));
        if self.time.is_some() != (self.to == ResetWord::Time) {
            return invalid("'time' comes with \"to\": \"time\", and only then");
        }
        if self.offsets.is_some() != (self.to == ResetWord::Offsets) {
            return invalid("'offsets' come with \"to\": \"offsets\", and only then");
        }
        let topics = match &self.topics {
            Some(_) if self.offsets.is_some() => {
                return invalid("'offsets' name their topics: leave 'topics' out");
            }
            Some(names) if names.is_empty() || names.len() > limits::MAX_READ_TOPICS => {
                return invalid("'topics' are 1 to 100, or left out");
            }
            Some(names) => Some(names.iter().map(|n| topic(n)).collect::<Result<_, _>>()?),
            None => None,
        };
        Ok(match (self.to, &self.time, &self.offsets) {
            (ResetWord::Latest, ..) => ResetPlace::Latest(topics),
            (_, Some(time), _) => ResetPlace::Time(time.time()?, topics),
            (_, _, Some(offsets)) => ResetPlace::Offsets(drafts(offsets)?),
            (_, None, None) => ResetPlace::Earliest(topics),
        })
    }
}

fn topic(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|e| Problem::topic_name(&e).with("topic", text))
}

/// A group's name in a path.
pub fn path_group(text: &str) -> Result<GroupName, Problem> {
    GroupName::new(text).map_err(|e| Problem::group_name(&e))
}

/// A member's id in a path or a body.
pub fn path_member(text: &str) -> Result<MemberId, Problem> {
    MemberId::new(text).map_err(|e| Problem::member_id(&e))
}
