//! What a group is doing, which is more than Kafka says of it.

use super::outside::FoundGroup;
use crate::{
    domain::PartitionId,
    engine::{Assignment, GroupState, MemberView},
};
use std::collections::BTreeSet;

/// What a group is doing. Kafka calls it stable while members here still hold
/// back what they were to give, and between the two rounds of a cooperative
/// hand-over, when what was taken from one has not been given to the next.
pub(super) fn state_of(
    found: Option<&FoundGroup>,
    views: &[MemberView],
    known: &Assignment,
) -> GroupState {
    match found.map(|found| found.state) {
        Some(GroupState::Stable) if is_handing_over(views, known) => GroupState::Rebalancing,
        Some(state) => state,
        None if views.is_empty() => GroupState::Empty,
        None => GroupState::Rebalancing,
    }
}

fn is_handing_over(views: &[MemberView], known: &Assignment) -> bool {
    if views.iter().any(|view| !view.lease.revoking.is_empty()) {
        return true;
    }
    let wanted: BTreeSet<_> = views.iter().flat_map(|view| &view.topics).collect();
    wanted.into_iter().any(|topic| {
        let held: BTreeSet<&PartitionId> =
            views.iter().filter_map(|view| view.lease.assignment.get(topic)).flatten().collect();
        known.get(topic).is_some_and(|all| all.iter().any(|partition| !held.contains(partition)))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::coordinator::lease_of_others, *};
    use crate::{
        domain::{GroupName, MemberId, TopicName},
        engine::GroupState::{Empty, Rebalancing, Stable},
    };

    fn of(topic: &str, partitions: &[u32]) -> Assignment {
        let partitions = partitions.iter().copied().map(PartitionId).collect();
        Assignment::from([(TopicName::new(topic).unwrap(), partitions)])
    }

    fn member(wants: &str, holds: Assignment) -> MemberView {
        let lease = lease_of_others(&MemberId::new("m").unwrap(), holds);
        MemberView { lease, topics: BTreeSet::from([TopicName::new(wants).unwrap()]) }
    }

    fn stable(views: &[MemberView]) -> GroupState {
        let name = GroupName::new("g").unwrap();
        let found = FoundGroup { name, state: Stable, members: Vec::new() };
        state_of(Some(&found), views, &of("jobs", &[0, 1]))
    }

    #[test]
    fn a_group_is_stable_when_everything_is_held_by_someone() {
        assert_eq!(stable(&[member("jobs", of("jobs", &[0, 1]))]), Stable);
        let shared = [member("jobs", of("jobs", &[1])), member("jobs", of("jobs", &[0]))];
        assert_eq!(stable(&shared), Stable);
    }

    #[test]
    fn it_is_not_while_something_is_held_by_nobody() {
        assert_eq!(stable(&[member("jobs", of("jobs", &[0]))]), Rebalancing);
        assert_eq!(stable(&[member("jobs", Assignment::new())]), Rebalancing);
    }

    #[test]
    fn it_is_not_while_something_is_held_back() {
        let mut holds = member("jobs", of("jobs", &[0, 1]));
        holds.lease.revoking = of("jobs", &[0]);
        assert_eq!(stable(&[holds]), Rebalancing);
    }

    #[test]
    fn topics_that_nobody_wants_or_knows_are_not_waited_for() {
        assert_eq!(stable(&[]), Stable);
        assert_eq!(stable(&[member("unknown", Assignment::new())]), Stable);
    }

    #[test]
    fn a_group_that_kafka_does_not_know_begins_or_is_empty() {
        assert_eq!(state_of(None, &[], &Assignment::new()), Empty);
        let views = [member("jobs", of("jobs", &[0]))];
        assert_eq!(state_of(None, &views, &of("jobs", &[0])), Rebalancing);
    }
}
