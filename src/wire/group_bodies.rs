//! Bodies about members of groups: joining, polling, releasing.

use super::{As, ErrorCode, Problem, json};
use crate::domain::{Cursor, GroupName, MemberId, PartitionId, StartPolicy, TopicName, limits};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
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

pub(super) fn topic(text: &str) -> Result<TopicName, Problem> {
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
