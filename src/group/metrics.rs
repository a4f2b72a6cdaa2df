//! What groups count, and the line that each change of one writes.

use super::handover::{Moved, Rebalance};
use crate::{
    domain::GroupName,
    runtime::{
        Metrics,
        metrics::{Counter, Gauge, Histogram, SECONDS},
    },
};
use std::fmt::Display;

/// How many things a line names; of more it says the number.
const NAMED: usize = 16;
/// Buckets for the length of rebalances, in seconds: up to some graces.
const LENGTHS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The metric handles of groups.
pub struct GroupMetrics {
    /// Groups, also those without members.
    pub groups: Gauge,
    /// Members of all groups.
    pub members: Gauge,
    generations: Counter,
    moved: Counter,
    /// How long it took until all held what they were to hold.
    pub settled: Histogram,
    /// Partitions that were committed.
    pub commits: Counter,
    /// Commits that were refused.
    pub refused: Counter,
    /// How long a commit took.
    pub commit_seconds: Histogram,
}

impl GroupMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> GroupMetrics {
        GroupMetrics {
            groups: metrics.gauge("tidegate_groups", "Groups that are known.", &[]),
            members: metrics.gauge("tidegate_group_members", "Members of all groups.", &[]),
            generations: metrics.counter(
                "tidegate_group_generations_total",
                "Changes of groups: of their members or of what they hold.",
                &[],
            ),
            moved: metrics.counter(
                "tidegate_group_partitions_granted_total",
                "Partitions that were given to a member.",
                &[],
            ),
            settled: metrics.histogram(
                "tidegate_group_rebalance_seconds",
                "From a change of a group until everyone held what they were to hold.",
                &[],
                LENGTHS,
            ),
            commits: metrics.counter(
                "tidegate_group_commits_total",
                "Offsets that were committed.",
                &[],
            ),
            refused: metrics.counter(
                "tidegate_group_commits_refused_total",
                "Requests to commit that were refused or failed.",
                &[],
            ),
            commit_seconds: metrics.histogram(
                "tidegate_group_commit_seconds",
                "Time from a commit to its answer.",
                &[],
                SECONDS,
            ),
        }
    }

    /// A group has a new generation.
    pub fn rebalanced(&self, group: &GroupName, rebalance: &Rebalance) {
        let Rebalance { generation, causes, granted, revoked, kept } = rebalance;
        self.generations.inc();
        self.moved.add(granted.len() as u64);
        let why = if causes.is_empty() { "other topics".to_owned() } else { listed(causes) };
        tracing::info!(
            %group,
            %generation,
            why,
            granted = moves(granted, "to"),
            revoking = moves(revoked, "from"),
            kept = moves(kept, "by"),
            "the group changed"
        );
    }
}

fn listed<T: Display>(all: &[T]) -> String {
    let mut text = all.iter().take(NAMED).map(T::to_string).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    text
}

fn moves(all: &[Moved], way: &str) -> String {
    let one = |moved: &Moved| format!("{}/{} {way} {}", moved.topic, moved.partition, moved.member);
    let named: Vec<String> = all.iter().take(NAMED + 1).map(one).collect();
    match all.len() {
        n if n > NAMED => format!("{} and {} more", named[..NAMED].join(", "), n - NAMED),
        _ => named.join(", "),
    }
}
