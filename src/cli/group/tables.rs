//! Groups as tables, for people.

use super::Lag;
use crate::cli::{CliError, output};
use crate::config::value;
use crate::wire::{
    GroupDetails, GroupInfo, GroupPartitionInfo, GroupStateName, MemberInfo, Partitions,
};
use std::time::Duration;

fn state(state: GroupStateName) -> &'static str {
    match state {
        GroupStateName::Empty => "empty",
        GroupStateName::Rebalancing => "rebalancing",
        GroupStateName::Stable => "stable",
    }
}

fn or_dash(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// One line for each group.
pub fn list(groups: &[GroupInfo]) -> Result<(), CliError> {
    let rows: Vec<_> = groups
        .iter()
        .map(|group| {
            let state = state(group.state).to_owned();
            let (members, generation) = (group.members.to_string(), group.generation.to_string());
            vec![group.group.clone(), state, members, generation]
        })
        .collect();
    output::table(&["GROUP", "STATE", "MEMBERS", "GENERATION"], &rows)
}

/// A line on the group, its members, and its partitions.
pub fn describe(group: &GroupDetails) -> Result<(), CliError> {
    output::line(&summary(group))?;
    if !group.members.is_empty() {
        output::line("")?;
        output::table(&["MEMBER", "HOLDS", "GIVES AWAY", "SESSION"], &members(group))?;
    }
    if group.partitions.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let head = ["TOPIC", "PARTITION", "COMMIT", "TAIL", "LAG", "MEMBER", "NOTE"];
    output::table(&head, &partitions(group))
}

fn summary(group: &GroupDetails) -> String {
    let members = group.members.len();
    let (name, state, generation) = (&group.group, state(group.state), group.generation);
    let expires = group.expires.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let expires = expires.map_or(String::new(), |at| format!(", forgotten at {at:.0}"));
    let lag = group.lag;
    format!("{name}: {state}, generation {generation}, {members} members, lag {lag}{expires}")
}

fn members(group: &GroupDetails) -> Vec<Vec<String>> {
    let member = |member: &MemberInfo| {
        let lease = &member.lease;
        let session = Duration::from_millis(lease.session_timeout_ms);
        vec![
            lease.member_id.clone(),
            held(&lease.assignment),
            held(&lease.revoking),
            value::print_duration(session),
        ]
    };
    group.members.iter().map(member).collect()
}

/// Partitions in short: `orders/0-2,5 invoices/1`.
fn held(partitions: &Partitions) -> String {
    let topic = |(name, ids): (&String, &Vec<u32>)| format!("{name}/{}", ranges(ids));
    match partitions.is_empty() {
        true => "-".to_owned(),
        false => partitions.iter().map(topic).collect::<Vec<_>>().join(" "),
    }
}

/// Ascending numbers in short: `0-2,5`.
fn ranges(ids: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = vec![];
    for &id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => runs.push((id, id)),
        }
    }
    let run = |&(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

fn partitions(group: &GroupDetails) -> Vec<Vec<String>> {
    let row = |p: &GroupPartitionInfo| {
        vec![
            p.topic.clone(),
            p.partition.to_string(),
            or_dash(p.commit),
            p.tail.to_string(),
            or_dash(p.lag),
            p.member_id.clone().unwrap_or("-".to_owned()),
            p.metadata.clone().unwrap_or_default(),
        ]
    };
    group.partitions.iter().map(row).collect()
}

/// One line for each topic, and one for all.
pub fn lag(lag: &Lag) -> Result<(), CliError> {
    let mut rows: Vec<Vec<String>> = vec![];
    for (name, topic) in &lag.topics {
        let numbers = [topic.partitions, topic.lag, topic.largest, topic.without_commit];
        rows.push([name.clone()].into_iter().chain(numbers.iter().map(u64::to_string)).collect());
    }
    output::table(&["TOPIC", "PARTITIONS", "LAG", "LARGEST", "WITHOUT COMMIT"], &rows)?;
    output::line(&format!("{}: {} records still to be processed", lag.group, lag.lag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_shown_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        let all = Partitions::from([("a".to_owned(), vec![0, 1]), ("b".to_owned(), vec![3])]);
        assert_eq!(held(&all), "a/0-1 b/3");
        assert_eq!(held(&Partitions::new()), "-");
    }

    #[test]
    fn the_first_line_says_what_matters_of_a_group() {
        let group = GroupDetails {
            group: "g".to_owned(),
            state: GroupStateName::Empty,
            generation: 4,
            lag: 12,
            expires: Some(0),
            members: vec![],
            partitions: vec![],
        };
        let said = "g: empty, generation 4, 0 members, lag 12, forgotten at 1970-01-01T00:00:00Z";
        assert_eq!(summary(&group), said);
    }
}
