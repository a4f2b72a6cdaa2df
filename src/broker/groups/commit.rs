//! Commits, checked before a coordinator sees them.

use crate::{
    broker::{Broker, BrokerError},
    domain::{CommitDraft, GroupName, PartitionView, Position, limits},
    engine::{Assignment, Committer, GroupCommit, Topic},
};
use std::sync::Arc;

impl Broker {
    /// Commits, and answers where the group stands then in these partitions:
    /// further than was committed, where that lay behind.
    ///
    /// `CommitInvalid`, `CommitOutOfRange` or `Engine(TopicUnknown |
    /// PartitionUnknown)` for places that cannot be; then nothing of the call
    /// was stored.
    pub async fn commit_offsets(
        &self,
        group: &GroupName,
        by: Committer,
        drafts: Vec<CommitDraft>,
    ) -> Result<Vec<GroupCommit>, BrokerError> {
        let of = each_once(&drafts)?;
        let mut commits = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let (topic, view) = self.view_for(&draft).await?;
            commits.push(committed_at(draft, &topic, &view)?);
        }
        let started = tokio::time::Instant::now();
        let count = commits.len();
        self.coordinator.commit(group, by, commits).await?;
        self.metrics.groups.committed(count, started.elapsed());
        Ok(self.coordinator.committed(group, &of).await?)
    }

    /// The draft's partition as readers see it, up to date if the draft says
    /// that it has more than was known.
    pub(super) async fn view_for(
        &self,
        draft: &CommitDraft,
    ) -> Result<(Arc<Topic>, PartitionView), BrokerError> {
        let (topic, partition) = (self.engine.topic(&draft.topic)?, draft.partition);
        let view = self.engine.partition(&topic, partition)?;
        if draft.offset <= view.tail {
            return Ok((topic, view));
        }
        self.engine.freshen(&topic, &[partition]).await?;
        let view = self.engine.partition(&topic, partition)?;
        Ok((topic, view))
    }
}

/// The partitions of the drafts. `CommitInvalid` for none of them, too many,
/// one that is there twice, or a note that is too long.
pub(super) fn each_once(drafts: &[CommitDraft]) -> Result<Assignment, BrokerError> {
    let invalid =
        |index: Option<usize>, what: String| Err(BrokerError::CommitInvalid { index, what });
    let max = limits::MAX_COMMITS;
    if drafts.is_empty() {
        return invalid(None, "there is nothing to commit".to_owned());
    }
    if drafts.len() > max {
        return invalid(None, format!("a call commits at most {max} offsets"));
    }
    let mut of = Assignment::new();
    let mut all_noted = 0;
    for (index, draft) in drafts.iter().enumerate() {
        let (topic, partition) = (&draft.topic, draft.partition);
        let noted = draft.metadata.as_ref().map_or(0, |note| note.len());
        all_noted += noted;
        if noted > limits::MAX_COMMIT_METADATA_BYTES {
            let max = limits::MAX_COMMIT_METADATA_BYTES;
            let what = format!("the metadata has {noted} bytes, at most {max} are allowed");
            return invalid(Some(index), what);
        }
        if all_noted > limits::MAX_CALL_METADATA_BYTES {
            let max = limits::MAX_CALL_METADATA_BYTES;
            let what = format!("the metadata of a call has at most {max} bytes together");
            return invalid(Some(index), what);
        }
        if !of.entry(topic.clone()).or_default().insert(partition) {
            let what = format!("partition {partition} of topic '{topic}' is there twice");
            return invalid(Some(index), what);
        }
    }
    Ok(of)
}

/// The commit that a draft stands for. `CommitOutOfRange` beyond what was ever
/// written; what lies behind, or in an epoch that is over, is handled when the
/// group reads on.
pub(super) fn committed_at(
    draft: CommitDraft,
    topic: &Topic,
    view: &PartitionView,
) -> Result<GroupCommit, BrokerError> {
    let epoch = draft.epoch.unwrap_or_else(|| view.epoch_of(draft.offset));
    let position = Position { epoch, next: draft.offset };
    let past = epoch < view.epoch() && draft.epoch.is_some();
    if epoch > view.epoch() || (draft.offset > view.tail && !past) {
        return Err(out_of_range(draft, view, position));
    }
    Ok(GroupCommit {
        topic: draft.topic,
        incarnation: topic.incarnation,
        partition: draft.partition,
        position,
        metadata: draft.metadata,
    })
}

/// The refusal of a place that is not in the partition.
pub(super) fn out_of_range(
    draft: CommitDraft,
    view: &PartitionView,
    asked: Position,
) -> BrokerError {
    BrokerError::CommitOutOfRange {
        topic: draft.topic,
        partition: draft.partition,
        asked,
        start: view.start,
        tail: view.position(view.tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Offset, PartitionId, TopicName};

    #[test]
    fn the_notes_of_a_call_are_bounded_together() {
        let note: Arc<str> = "x".repeat(limits::MAX_COMMIT_METADATA_BYTES).into();
        let draft = |id| CommitDraft {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionId(id),
            offset: Offset(0),
            epoch: None,
            metadata: Some(Arc::clone(&note)),
        };
        let most = (limits::MAX_CALL_METADATA_BYTES / limits::MAX_COMMIT_METADATA_BYTES) as u32;
        assert!(each_once(&(0..most).map(draft).collect::<Vec<_>>()).is_ok());
        let refused = each_once(&(0..=most).map(draft).collect::<Vec<_>>());
        let last = Some(most as usize);
        assert!(matches!(refused, Err(BrokerError::CommitInvalid { index, .. }) if index == last));
    }
}
