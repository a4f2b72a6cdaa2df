//! Commits: to Kafka and from there. What a member holds it alone commits, so
//! what was committed last is known here, and one that lies behind is noticed.

use super::{
    codec,
    lease::Place,
    member::{Known, Member},
    outside::Outsider,
    table::Groups,
};
use crate::{
    domain::{Generation, GroupName, Offset, PartitionId, Position},
    engine::{
        Assignment, EngineError, GroupCommit, GroupError,
        kafka::{
            cluster::CALL,
            core::Core,
            errors::{self, When},
            follow, naming,
        },
    },
};
use rdkafka::{
    Offset as At, TopicPartitionList,
    consumer::{CommitMode, Consumer, ConsumerContext},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OwnedMutexGuard;

/// How long a commit that meets a rebalance waits for the group to come to rest.
const REBALANCE: Duration = Duration::from_secs(10);
/// And how soon it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// What of `of` was committed. Blocks.
pub(super) fn fetch<X: ConsumerContext>(
    core: &Core,
    consumer: &impl Consumer<X>,
    of: &Assignment,
) -> Result<Vec<GroupCommit>, EngineError> {
    let mut list = TopicPartitionList::new();
    for (topic, ids) in of {
        let Ok(state) = core.catalog.named(topic) else { continue };
        for id in ids.iter().filter(|id| state.partition(**id).is_ok()) {
            list.add_partition(&state.raw, raw_id(*id));
        }
    }
    if list.count() == 0 {
        return Ok(vec![]);
    }
    let list = consumer.committed_offsets(list, CALL);
    let list = list.map_err(|e| errors::of(&e, None, When::Before))?;
    let mut found = vec![];
    for element in list.elements() {
        match element.error().map_err(|e| errors::code_of(&e)) {
            Ok(()) => {}
            // A topic that was deleted meanwhile.
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                continue;
            }
            Err(code) => return Err(errors::of_code(code, None, When::Before)),
        }
        if let At::Offset(next) = element.offset() {
            let place = (element.topic(), element.partition());
            found.extend(read(core, place, next, element.metadata()));
        }
    }
    sort(&mut found);
    Ok(found)
}

/// What is known of `of` without asking: what members here hold, they alone
/// commit. Answers what is left to be asked for, too.
pub(super) fn recall(groups: &Groups, group: &GroupName, of: &Assignment) -> Recalled {
    let mut found = vec![];
    let mut left = of.clone();
    for member in groups.of_group(group) {
        // One that is committing is asked for.
        let Ok(known) = member.commits.try_lock() else { continue };
        member.look(|held| {
            for (place, commit) in known.iter().filter(|(place, _)| held.has(place)) {
                let wanted = left.get_mut(&place.0).is_some_and(|ids| ids.remove(&place.1));
                found.extend(commit.iter().filter(|_| wanted).cloned());
            }
        });
    }
    left.retain(|_, ids| !ids.is_empty());
    let stands = |commit: &GroupCommit| {
        let topic = groups.core().catalog.named(&commit.topic);
        topic.is_ok_and(|state| state.topic().incarnation == commit.incarnation)
    };
    found.retain(stands);
    Recalled { found, left }
}

/// What was known, and what was not.
pub(super) struct Recalled {
    pub found: Vec<GroupCommit>,
    pub left: Assignment,
}

/// In the order of topics and partitions.
pub(super) fn sort(commits: &mut [GroupCommit]) {
    commits.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
}

/// A commit as Kafka keeps it; `None` if it is of a topic that is no more.
fn read(core: &Core, (raw, id): (&str, i32), next: i64, text: &str) -> Option<GroupCommit> {
    let topic = naming::served(&core.config.topic_prefix, raw)?;
    let state = core.catalog.named(&topic).ok()?;
    let partition = PartitionId(u32::try_from(id).ok()?);
    let next = Offset(u64::try_from(next).ok()?);
    let stands = state.topic().incarnation;
    let beside = codec::decode(text);
    let (incarnation, epoch) = match beside.ours {
        Some(ours) => ours,
        None => (stands, state.partition(partition).ok()?.epoch_of(next)),
    };
    (incarnation == stands).then_some(GroupCommit {
        topic,
        incarnation,
        partition,
        position: Position { epoch, next },
        metadata: beside.metadata,
    })
}

/// Commits as Kafka takes them.
fn list_of(core: &Core, commits: &[GroupCommit]) -> Result<TopicPartitionList, GroupError> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let raw = naming::raw(&core.config.topic_prefix, &commit.topic);
        let text =
            codec::encode(commit.incarnation, commit.position.epoch, commit.metadata.as_deref());
        let text = text.ok_or_else(|| {
            EngineError::Refused("metadata of this form and size cannot be kept".to_owned())
        })?;
        let mut element = list.add_partition(&raw, raw_id(commit.partition));
        let set = element.set_offset(follow::at(commit.position.next));
        set.map_err(|e| errors::of(&e, Some(&commit.topic), When::Before))?;
        element.set_metadata(text);
    }
    Ok(list)
}

/// Whether a commit says more than the last one.
fn is_news(last: Option<&GroupCommit>, commit: &GroupCommit) -> bool {
    let Some(last) = last.filter(|last| last.incarnation == commit.incarnation) else {
        return true;
    };
    let place = |c: &GroupCommit| (c.position.epoch, c.position.next);
    place(commit) > place(last)
        || (place(commit) == place(last) && commit.metadata != last.metadata)
}

/// Commits for a member, one call after the other. The work goes on when the
/// caller does not wait for it.
pub(super) async fn by_member(
    groups: &Arc<Groups>,
    member: &Arc<Member>,
    told: Generation,
    commits: Vec<GroupCommit>,
) -> Result<(), GroupError> {
    may(member, told, &commits)?;
    let known = Arc::clone(&member.commits).lock_owned().await;
    let member = Arc::clone(member);
    let done = groups.core().beside(move |core| commit_held(core, &member, known, told, commits));
    done.await?
}

/// Whether the member may commit all of it.
fn may(member: &Member, told: Generation, commits: &[GroupCommit]) -> Result<(), GroupError> {
    member.look(|held| {
        let mut places = commits.iter().map(place);
        places.try_for_each(|place| held.check(&place, told)).map_err(GroupError::Fenced)
    })
}

fn place(commit: &GroupCommit) -> Place {
    (commit.topic.clone(), commit.partition)
}

fn commit_held(
    core: &Core,
    member: &Member,
    mut known: OwnedMutexGuard<Known>,
    told: Generation,
    commits: Vec<GroupCommit>,
) -> Result<(), GroupError> {
    may(member, told, &commits)?;
    let Some(consumer) = member.consumer() else {
        return Err(GroupError::Fenced("the member is leaving".to_owned()));
    };
    let unknown = commits.iter().map(place).filter(|place| !known.contains_key(place));
    let unknown: Vec<_> = unknown.collect();
    if !unknown.is_empty() {
        let of = super::lease::by_topic(unknown.iter().cloned());
        let found = fetch(core, &*consumer, &of)?;
        known.extend(unknown.into_iter().map(|place| (place, None)));
        known.extend(found.into_iter().map(|commit| (place(&commit), Some(commit))));
    }
    let mut commits = commits;
    commits.retain(|c| is_news(known.get(&place(c)).and_then(Option::as_ref), c));
    if commits.is_empty() {
        return Ok(());
    }
    let list = list_of(core, &commits)?;
    let until = Instant::now() + REBALANCE;
    loop {
        // What was held a moment ago may be lost by now.
        may(member, told, &commits)?;
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => break,
            // The group is between two generations; who keeps a partition goes on.
            Err(error) if meets_rebalance(&error) && Instant::now() < until => {
                std::thread::sleep(AGAIN);
            }
            Err(error) => {
                commits.iter().for_each(|commit| drop(known.remove(&place(commit))));
                return Err(refused(&error));
            }
        }
    }
    known.extend(commits.into_iter().map(|commit| (place(&commit), Some(commit))));
    Ok(())
}

fn meets_rebalance(error: &KafkaError) -> bool {
    matches!(errors::code_of(error), Code::RebalanceInProgress | Code::IllegalGeneration)
}

/// Kafka's refusal of a member's commit.
fn refused(error: &KafkaError) -> GroupError {
    match errors::code_of(error) {
        Code::RebalanceInProgress
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedInstanceId
        | Code::AssignmentLost => GroupError::Fenced(errors::code_of(error).to_string()),
        _ => unanswered(error),
    }
}

/// A commit that failed for another reason than whose it is.
fn unanswered(error: &KafkaError) -> GroupError {
    match errors::code_of(error) {
        code @ (Code::OffsetMetadataTooLarge | Code::InvalidCommitOffsetSize) => {
            EngineError::Refused(code.to_string()).into()
        }
        _ => errors::of(error, None, When::After).into(),
    }
}

/// Commits for nobody, which Kafka takes while the group is empty: only what is
/// ahead of what was committed, or with `back` all of it. Blocks.
pub(super) fn by_outsider(
    core: &Core,
    group: &GroupName,
    outsider: &Outsider,
    mut commits: Vec<GroupCommit>,
    back: bool,
) -> Result<(), GroupError> {
    if !back {
        let of = super::lease::by_topic(commits.iter().map(place));
        let known = fetch(core, outsider, &of)?;
        let last = |c: &GroupCommit| known.iter().find(|known| place(known) == place(c));
        commits.retain(|commit| is_news(last(commit), commit));
    }
    if commits.is_empty() {
        return Ok(());
    }
    let list = list_of(core, &commits)?;
    outsider.commit(&list, CommitMode::Sync).map_err(|error| match errors::code_of(&error) {
        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
            GroupError::NotEmpty(group.clone())
        }
        _ => unanswered(&error),
    })
}

fn raw_id(id: PartitionId) -> i32 {
    i32::try_from(id.0).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Incarnation, TopicName};

    fn commit(incarnation: u64, epoch: u32, next: u64, metadata: Option<&str>) -> GroupCommit {
        GroupCommit {
            topic: TopicName::new("a").unwrap(),
            incarnation: Incarnation(incarnation),
            partition: PartitionId(0),
            position: Position { epoch: Epoch(epoch), next: Offset(next) },
            metadata: metadata.map(Arc::from),
        }
    }

    #[test]
    fn a_commit_that_lies_behind_says_nothing_new() {
        let last = commit(1, 1, 10, None);
        let news = |c: GroupCommit| is_news(Some(&last), &c);
        assert!(news(commit(1, 1, 11, None)) && news(commit(1, 2, 3, None)));
        assert!(news(commit(1, 1, 10, Some("note"))), "another note at the same place");
        assert!(news(commit(2, 0, 0, None)), "another topic of the name");
        assert!(!news(commit(1, 1, 10, None)) && !news(commit(1, 1, 9, Some("x"))));
        assert!(!news(commit(1, 0, 99, None)), "an epoch before");
        assert!(is_news(None, &last));
    }

    #[test]
    fn a_refusal_by_kafka_is_a_fence() {
        let error = |code| refused(&KafkaError::ConsumerCommit(code));
        assert!(matches!(error(Code::UnknownMemberId), GroupError::Fenced(_)));
        assert!(matches!(error(Code::IllegalGeneration), GroupError::Fenced(_)));
        let large = error(Code::OffsetMetadataTooLarge);
        assert!(matches!(large, GroupError::Engine(EngineError::Refused(_))));
        let late = error(Code::RequestTimedOut);
        assert!(matches!(late, GroupError::Engine(EngineError::OutcomeUnknown(_))));
    }
}
