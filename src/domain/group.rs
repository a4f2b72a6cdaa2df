//! The words of groups: whose call it is, where a partition begins that nobody
//! has committed, and what somebody commits.

use super::{Epoch, Offset, PartitionId, TopicName};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// On whose behalf a call is made. Where nobody has to say who it is, all are
/// the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal(Option<Arc<str>>);

impl Principal {
    /// Whoever may do something without saying who it is.
    pub const ANYONE: Principal = Principal(None);

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Principal {
        Principal(Some(Arc::from(name)))
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("anyone"))
    }
}

/// Where a group begins in a partition that it has no usable commit for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartPolicy {
    /// At the earliest record that is kept.
    #[default]
    Earliest,
    /// Behind the newest record.
    Latest,
    /// Nowhere: the member is told, and gets nothing of that partition until
    /// something is committed.
    None,
}

impl StartPolicy {
    /// As clients write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StartPolicy::Earliest => "earliest",
            StartPolicy::Latest => "latest",
            StartPolicy::None => "none",
        }
    }
}

impl fmt::Display for StartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far somebody says that a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitDraft {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
    /// The epoch in which the record before it was read; that of the offset if
    /// left out.
    pub epoch: Option<Epoch>,
    /// What the committer notes beside it.
    pub metadata: Option<Arc<str>>,
}
