//! From what the broker says of groups to the shapes that clients get.

use crate::{
    broker::{GroupLoss, GroupPartition, GroupView, ResetMove},
    engine::{GroupCommit, GroupState, GroupSummary, Lease, MemberView},
    wire::{
        CommitList, CommittedOffset, GroupDetails, GroupInfo, GroupLostNotice, GroupPartitionInfo,
        GroupStateName, LostNotice, MemberInfo, MemberLease, ResetAnswer, ResetPartition,
        partitions,
    },
};
use std::time::Duration;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn state(state: GroupState) -> GroupStateName {
    match state {
        GroupState::Empty => GroupStateName::Empty,
        GroupState::Rebalancing => GroupStateName::Rebalancing,
        GroupState::Stable => GroupStateName::Stable,
    }
}

pub(super) fn lease(lease: &Lease) -> MemberLease {
    MemberLease {
        member_id: lease.member.to_string(),
        generation: lease.generation.0,
        assignment: partitions(&lease.assignment),
        revoking: partitions(&lease.revoking),
        grace_ms: grace(lease),
        session_timeout_ms: millis(lease.session_timeout),
    }
}

/// How long the member has to let go, milliseconds.
pub(super) fn grace(lease: &Lease) -> u64 {
    if lease.revoking.is_empty() { 0 } else { millis(lease.grace) }
}

pub(super) fn summary(group: &GroupSummary) -> GroupInfo {
    GroupInfo {
        group: group.group.to_string(),
        state: state(group.state),
        generation: group.generation.0,
        members: group.members as u64,
    }
}

pub(super) fn details(view: &GroupView) -> GroupDetails {
    let group = &view.group;
    GroupDetails {
        group: group.group.to_string(),
        state: state(group.state),
        generation: group.generation.0,
        lag: view.partitions.iter().filter_map(|partition| partition.lag).sum(),
        expires: group.expires.map(|time| time.millis()),
        members: group.members.iter().map(member).collect(),
        partitions: view.partitions.iter().map(partition).collect(),
    }
}

fn member(member: &MemberView) -> MemberInfo {
    MemberInfo {
        lease: lease(&member.lease),
        topics: member.topics.iter().map(ToString::to_string).collect(),
        from: member.lease.from.into(),
    }
}

fn partition(of: &GroupPartition) -> GroupPartitionInfo {
    let commit = of.commit.as_ref();
    GroupPartitionInfo {
        topic: of.topic.to_string(),
        partition: of.partition.0,
        start: of.start.0,
        tail: of.tail.0,
        commit: commit.map(|commit| commit.position.next.0),
        epoch: commit.map(|commit| commit.position.epoch.0),
        metadata: commit.and_then(|commit| commit.metadata.as_deref().map(str::to_owned)),
        lag: of.lag,
        member_id: of.member.as_ref().map(ToString::to_string),
    }
}

pub(super) fn commits(commits: &[GroupCommit]) -> CommitList {
    let one = |commit: &GroupCommit| CommittedOffset {
        topic: commit.topic.to_string(),
        partition: commit.partition.0,
        offset: commit.position.next.0,
        epoch: commit.position.epoch.0,
        metadata: commit.metadata.as_deref().map(str::to_owned),
    };
    CommitList { commits: commits.iter().map(one).collect() }
}

pub(super) fn reset(moves: &[ResetMove], dry_run: bool) -> ResetAnswer {
    let one = |moved: &ResetMove| ResetPartition {
        topic: moved.topic.to_string(),
        partition: moved.partition.0,
        from: moved.from.map(|from| from.next.0),
        to: moved.to.next.0,
        epoch: moved.to.epoch.0,
    };
    ResetAnswer { dry_run, partitions: moves.iter().map(one).collect() }
}

/// What was lost before the member's place, and what a reader told since.
pub(super) fn lost(placed: &[GroupLoss], read: &[LostNotice]) -> Vec<GroupLostNotice> {
    let placed = placed.iter().map(|loss| GroupLostNotice {
        topic: loss.topic.to_string(),
        partition: loss.partition.0,
        from: loss.range.from.0,
        to: loss.range.to.0,
        reason: loss.range.reason,
        next: loss.next.map(|next| next.0),
    });
    let read = read.iter().map(|notice| GroupLostNotice {
        topic: notice.topic.clone(),
        partition: notice.partition,
        from: notice.from,
        to: notice.to,
        reason: notice.reason,
        next: Some(notice.to.saturating_add(1)),
    });
    placed.chain(read).collect()
}
