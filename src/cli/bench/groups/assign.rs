//! The assignment alone: a pure function, called in this process. What it is asked is what a group asks it: who holds
//! what, when one comes, when many come, when all want something else.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Instant;

use super::super::data;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use crate::domain::{PartitionCount, TopicName};
use crate::engine::Assignment;
use crate::group::assign::{Contender, Stake, assign as assigned};

/// All partitions, of however many topics.
const PARTITIONS: u32 = 1_000;
/// Members.
const MEMBERS: usize = 200;
/// What an assignment may take, in milliseconds.
const LIMIT_MS: f64 = 5.0;
/// Calls for one value of a round.
const CALLS: usize = 20;

type Topics = BTreeMap<TopicName, PartitionCount>;
type Wants = Vec<BTreeSet<TopicName>>;

/// What one row asks.
struct Case {
    what: &'static str,
    topics: Topics,
    /// By member.
    wants: Wants,
    /// Who holds something already, the first members.
    holds: Vec<Assignment>,
}

/// Measures each case against the limit.
pub fn assign(setup: &Setup) -> Table {
    let pinning = setup.place_freely();
    let cases = cases();
    let rows = cases.iter().map(|case| {
        let mut series = Series::default();
        for _ in 0..setup.rounds {
            series.subject.push(case.milliseconds());
            series.floor.push(LIMIT_MS);
        }
        Row::new(case.what, "ms", series, Target::AtMost(1.0), None, "")
    });
    let notes = vec![format!(
        "{PARTITIONS} partitions, {MEMBERS} members, the median of {CALLS} calls in each round; `mixed` has 10 topics, of \
         which each member wants 5."
    )];
    Table {
        benchmark: "assign",
        columns: ("tidegate", "limit"),
        pinning,
        rows: rows.collect(),
        notes,
    }
}

fn topics(count: u32) -> Topics {
    let name = |at: u32| TopicName::new(format!("bench-{at}")).ok();
    let partitions = PartitionCount(PARTITIONS / count);
    (0..count).filter_map(name).map(|name| (name, partitions)).collect()
}

fn all(topics: &Topics, members: usize) -> Wants {
    vec![topics.keys().cloned().collect(); members]
}

/// Half of the topics for each, by a fixed seed.
fn some(topics: &Topics, members: usize) -> Wants {
    let mut rng = data::seeded();
    let mut names: Vec<_> = topics.keys().cloned().collect();
    let mut half = || {
        rng.shuffle(&mut names);
        names[..names.len() / 2].iter().cloned().collect()
    };
    (0..members).map(|_| half()).collect()
}

fn cases() -> Vec<Case> {
    let case = |what, topics: &Topics, wants: Wants, holding: usize| {
        let holds =
            Case { what, topics: topics.clone(), wants: wants[..holding].to_vec(), holds: vec![] };
        let holds = if holding == 0 { vec![] } else { holds.call() };
        Case { what, topics: topics.clone(), wants, holds }
    };
    let (one, ten) = (topics(1), topics(10));
    vec![
        case("nobody holds anything", &one, all(&one, MEMBERS), 0),
        case("one more joins", &one, all(&one, MEMBERS), MEMBERS - 1),
        case("as many again join", &one, all(&one, MEMBERS), MEMBERS / 2),
        case("ten topics, from nothing", &ten, all(&ten, MEMBERS), 0),
        case("ten topics, one more joins", &ten, all(&ten, MEMBERS), MEMBERS - 1),
        case("mixed, from nothing", &ten, some(&ten, MEMBERS), 0),
        case("mixed, as many again join", &ten, some(&ten, MEMBERS), MEMBERS / 2),
    ]
}

impl Case {
    fn call(&self) -> Vec<Assignment> {
        let nothing = Assignment::new();
        let contender = |(at, wants)| {
            let holds: &Assignment = self.holds.get(at).unwrap_or(&nothing);
            let stakes = holds.iter().flat_map(|(topic, ids)| {
                ids.iter().map(move |id| Stake { topic, partition: *id, next: None })
            });
            Contender { wants, holds: stakes.collect() }
        };
        let contenders: Vec<_> = self.wants.iter().enumerate().map(contender).collect();
        assigned(black_box(&contenders), black_box(&self.topics))
    }

    fn milliseconds(&self) -> f64 {
        let call = || {
            let begin = Instant::now();
            black_box(self.call());
            begin.elapsed().as_secs_f64() * 1e3
        };
        median(&(0..CALLS).map(|_| call()).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_gives_each_partition_to_someone() {
        for case in cases() {
            let given = case.call();
            let count: usize = given.iter().flat_map(|one| one.values()).map(BTreeSet::len).sum();
            assert_eq!((given.len(), count), (MEMBERS, PARTITIONS as usize), "{}", case.what);
        }
    }
}
