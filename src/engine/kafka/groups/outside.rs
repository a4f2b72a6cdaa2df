//! Groups as those see them who are not in them: a client that names a group
//! and never joins it reads and makes commits; a broker tells of all groups.

use super::protocol;
use crate::{
    domain::{GroupName, MemberId},
    engine::{
        EngineError, GroupError, GroupState,
        kafka::{
            client::Consumer,
            core::Core,
            errors::{self, When},
        },
    },
};
use parking_lot::Mutex;
use rdkafka::{consumer::Consumer as _, error::KafkaError, groups::GroupInfo};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A client that names a group and is not in it.
pub(super) type Outsider = Consumer;

/// How many are kept for the next who asks.
const KEPT: usize = 8;
/// And for how long.
const IDLE: Duration = Duration::from_secs(20);
/// How long the cluster may take to tell of groups.
const LOOK: Duration = Duration::from_secs(10);
/// How often it is asked: a broker may be gone, or new.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(300);
/// What the client of a member calls itself, before the member's id.
const CLIENT: &str = "tidegate-member:";

/// What the client of a member calls itself.
pub(super) fn client_id(member: &MemberId) -> String {
    format!("{CLIENT}{member}")
}

/// A member that Kafka tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundMember {
    /// A gateway's member by its own id, others by Kafka's.
    pub id: MemberId,
    pub topics: Vec<String>,
    pub assignment: Vec<(String, Vec<i32>)>,
}

/// A group that Kafka tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundGroup {
    pub name: GroupName,
    pub state: GroupState,
    pub members: Vec<FoundMember>,
}

/// Clients that name groups, kept for a while.
pub(super) struct Outside {
    core: Arc<Core>,
    idle: Mutex<BTreeMap<String, (Arc<Outsider>, Instant)>>,
    /// Held by whoever makes commits.
    turn: Mutex<()>,
}

impl Outside {
    pub(super) fn new(core: Arc<Core>) -> Outside {
        Outside { core, idle: Mutex::default(), turn: Mutex::new(()) }
    }

    /// Does something with a client of a group. Blocks.
    pub(super) fn with<T>(
        &self,
        raw: &str,
        work: impl FnOnce(&Outsider) -> Result<T, GroupError>,
    ) -> Result<T, GroupError> {
        let kept = self.idle.lock().remove(raw);
        let outsider = match kept {
            Some((outsider, _)) => outsider,
            None => Arc::new(self.core.clients.outsider(raw)?),
        };
        let done = work(&outsider)?;
        // One that met an error is not used again: it may think that it lost
        // something.
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.insert(raw.to_owned(), (outsider, Instant::now()));
        }
        Ok(done)
    }

    /// As `with`, one after the other.
    pub(super) fn in_turn<T>(
        &self,
        raw: &str,
        work: impl FnOnce(&Outsider) -> Result<T, GroupError>,
    ) -> Result<T, GroupError> {
        let _turn = self.turn.lock();
        self.with(raw, work)
    }

    /// Ends those that nobody asked for in a while. Blocks.
    pub(super) fn sweep(&self) {
        let old: Vec<_> = {
            let mut idle = self.idle.lock();
            let all = std::mem::take(&mut *idle).into_iter();
            let (young, old) = all.partition(|(_, (_, at))| at.elapsed() < IDLE);
            *idle = young;
            BTreeMap::into_values(old).collect()
        };
        drop(old);
    }

    /// Ends all. Blocks.
    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *self.idle.lock());
        drop(all);
    }

    /// The group of this name in the cluster, or all of this gateway's, in the
    /// order of their names. Blocks.
    pub(super) fn look(&self, raw: Option<&str>) -> Result<Vec<FoundGroup>, EngineError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let listed = self.core.cluster.consumer().fetch_group_list(raw, LOOK);
            let found = listed.map(|list| {
                list.groups().iter().map(|g| self.found(g)).collect::<Option<Vec<_>>>()
            });
            match found {
                Ok(Some(found)) => {
                    let mut found: Vec<_> = found.into_iter().flatten().collect();
                    found.sort_by(|a, b| a.name.cmp(&b.name));
                    return Ok(found);
                }
                // A coordinator has just moved.
                Ok(None) if tries < TRIES => {}
                Err(error) if tries < TRIES && errors::code_of(&error) != GROUP_AUTH => {}
                Ok(None) => {
                    return Err(EngineError::Unavailable("a group is being moved".to_owned()));
                }
                Err(error) => return Err(failed(&error)),
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// `None` if the broker that answered is not to be asked of it now; nothing
    /// in it if it is no group of this gateway.
    fn found(&self, group: &GroupInfo) -> Option<Option<FoundGroup>> {
        let name = group.name().strip_prefix(self.core.config.topic_prefix.as_str());
        let Some(name) = name.and_then(|name| GroupName::new(name).ok()) else {
            return Some(None);
        };
        let state = match group.state() {
            "Stable" => GroupState::Stable,
            "Empty" => GroupState::Empty,
            "PreparingRebalance" | "CompletingRebalance" => GroupState::Rebalancing,
            "Dead" => return Some(None),
            _ => return None,
        };
        // Kafka's own services form groups as well.
        if !matches!(group.protocol_type(), "consumer" | "") {
            return Some(None);
        }
        let members = group.members().iter().map(|member| FoundMember {
            id: shown(member.client_id(), member.id()),
            topics: member.metadata().map(protocol::subscription).unwrap_or_default(),
            assignment: member.assignment().map(protocol::assignment).unwrap_or_default(),
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Some(Some(FoundGroup { name, state, members }))
    }
}

const GROUP_AUTH: rdkafka::types::RDKafkaErrorCode =
    rdkafka::types::RDKafkaErrorCode::GroupAuthorizationFailed;

fn failed(error: &KafkaError) -> EngineError {
    errors::of(error, None, When::Before)
}

/// What a member is called here.
fn shown(client: &str, kafka: &str) -> MemberId {
    let own = client.strip_prefix(CLIENT).and_then(|id| MemberId::new(id).ok());
    own.or_else(|| MemberId::new(kafka).ok()).unwrap_or_else(|| legible(kafka))
}

/// An id of another program, in characters that an id may have here.
fn legible(kafka: &str) -> MemberId {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let text: String = kafka.chars().take(200).map(plain).collect();
    #[expect(clippy::expect_used, reason = "the letters before it make it a name")]
    MemberId::new(format!("kafka-{text}")).expect("it has allowed characters alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_gateways_have_their_own_ids_and_others_kafkas() {
        let id = MemberId::new("worker.1").unwrap();
        assert_eq!(shown(&client_id(&id), "rdkafka-1"), id);
        assert_eq!(shown("billing", "consumer-billing-1").as_str(), "consumer-billing-1");
        assert_eq!(shown("x", "a b/ü").as_str(), "kafka-a_b__");
        assert_eq!(shown("x", "").as_str(), "kafka-");
    }
}
