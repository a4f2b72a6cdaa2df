//! Bodies about what groups have committed: committing, resetting.

use super::{
    ErrorCode, Problem,
    group_bodies::{path_member, topic},
    json,
    topics::TimeText,
};
use crate::domain::{
    CommitDraft, Epoch, Generation, MemberId, Offset, PartitionId, Timestamp, TopicName, limits,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};
use utoipa::ToSchema;

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
