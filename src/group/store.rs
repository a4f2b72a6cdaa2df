//! Groups in the engine's state table: the difference between two states of a
//! group as changes of the table, and all groups from what the table holds.
//!
//! | key, in the space `group` | value (JSON) |
//! | --- | --- |
//! | `f` | the highest generation of the groups that were deleted |
//! | `g` name | generation, and since when it has no members (ms) |
//! | `m` name 0 member 0 piece (u16) | a member: what it asked for, what it holds |
//! | `c` name 0 topic 0 partition (u32) | a commit: incarnation, epoch, next offset, metadata |
//!
//! Numbers in keys are big-endian, so that entries come in order. No name holds
//! a zero byte. A member that does not fit one entry is cut into pieces. What a
//! member holds is written as runs of partitions that it got together. Times of
//! sessions are not stored: after a restart each member has a whole one.

use super::{
    GroupConfig,
    member::{Held, Holding, Leaving, Member},
    state::{Group, Now},
};
use crate::{
    domain::{
        Epoch, Generation, GroupName, Incarnation, MemberId, Offset, PartitionId, Position,
        Principal, StartPolicy, Timestamp, TopicName,
    },
    engine::{EngineError, GroupCommit, StateEntry, StateKey},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The namespace of groups.
pub const SPACE: &str = "group";
/// The most that one entry is given: less than the table takes.
const PIECE_BYTES: usize = 8_000;

/// A change of the table.
pub type Change = (StateKey, Option<StateEntry>);

#[derive(Serialize, Deserialize)]
struct StoredFloor {
    generation: Generation,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct StoredGroup {
    generation: Generation,
    emptied: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredMember {
    principal: Principal,
    topics: BTreeSet<TopicName>,
    session_timeout_ms: u64,
    from: StartPolicy,
    joined: Generation,
    holds: BTreeMap<TopicName, StoredHolding>,
}

#[derive(Serialize, Deserialize)]
struct StoredHolding {
    incarnation: Incarnation,
    runs: Vec<Run>,
}

/// Consecutive partitions that came together.
#[derive(Serialize, Deserialize)]
struct Run {
    first: PartitionId,
    count: u32,
    since: Generation,
    revoking: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<MemberId>,
}

#[derive(Serialize, Deserialize)]
struct StoredCommit {
    i: Incarnation,
    e: Epoch,
    n: Offset,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<Arc<str>>,
}

/// What the table holds of all groups.
pub struct Stored {
    /// The groups.
    pub groups: BTreeMap<GroupName, Group>,
    /// The highest generation of those that were deleted.
    pub floor: Generation,
}

/// The change that remembers the generations of deleted groups.
pub fn floor(generation: Generation) -> Change {
    (key(vec![b'f']), Some(entry(json(&StoredFloor { generation }))))
}

/// What makes one state of a group into another, in the table.
#[derive(Default)]
pub struct Changes {
    /// The group itself and its commits: together, and before all else.
    first: Vec<Change>,
    /// Its members. The entries of each are changed together.
    members: Vec<Vec<Change>>,
}

impl Changes {
    /// Adds what is to be changed first.
    pub fn add_first(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.first.extend(changes);
    }

    /// Every entry that is changed.
    pub fn keys(&self) -> BTreeSet<StateKey> {
        let all = self.first.iter().chain(self.members.iter().flatten());
        all.map(|(key, _)| key.clone()).collect()
    }

    /// As puts of about `bytes` at most, to be made in their order. If only
    /// some are made, what was told to nobody is not there as a whole; but the
    /// generation is, and `load` finds no partition twice.
    pub fn puts(self, bytes: usize) -> Vec<Vec<Change>> {
        let size = |(key, entry): &Change| {
            key.key.len() + entry.as_ref().map_or(0, |entry| entry.value.len())
        };
        let mut filled: usize = self.first.iter().map(size).sum();
        let mut puts = vec![self.first];
        for member in self.members {
            let more: usize = member.iter().map(size).sum();
            if filled > 0 && filled + more > bytes {
                puts.push(vec![]);
                filled = 0;
            }
            filled += more;
            if let Some(put) = puts.last_mut() {
                put.extend(member);
            }
        }
        puts.retain(|put| !put.is_empty());
        puts
    }
}

/// What makes `old` into `new` in the table; nothing where they are the same
/// there.
pub fn changes(old: &Group, new: &Group) -> Changes {
    let mut all = Changes::default();
    let stored = |group: &Group| {
        let (generation, emptied) = (group.generation, group.emptied);
        group.exists.then_some(StoredGroup { generation, emptied })
    };
    let (was, is) = (stored(old), stored(new));
    if was != is {
        let name = [b"g", new.name.as_str().as_bytes()].concat();
        all.first.push((key(name), is.map(|group| entry(json(&group)))));
    }
    commit_changes(old, new, &mut all.first);
    for id in old.members.keys().filter(|id| !new.members.contains_key(*id)) {
        all.members.push(member_changes(&new.name, id, old.members.get(id), None));
    }
    for (id, member) in &new.members {
        all.members.push(member_changes(&new.name, id, old.members.get(id), Some(member)));
    }
    all.members.retain(|changes| !changes.is_empty());
    all
}

fn member_changes(
    group: &GroupName,
    id: &MemberId,
    old: Option<&Arc<Member>>,
    new: Option<&Arc<Member>>,
) -> Vec<Change> {
    let mut all = vec![];
    if let (Some(old), Some(new)) = (old, new)
        && Arc::ptr_eq(old, new)
    {
        return all;
    }
    let (old, new) = (pieces(old), pieces(new));
    for at in 0..old.len().max(new.len()) {
        if old.get(at) != new.get(at) {
            let place = u16::try_from(at).unwrap_or(u16::MAX);
            let name = [b"m", group.as_str().as_bytes(), b"\0", id.as_str().as_bytes(), b"\0"];
            let name = [&name.concat()[..], &place.to_be_bytes()].concat();
            all.push((key(name), new.get(at).cloned().map(entry)));
        }
    }
    all
}

fn commit_changes(old: &Group, new: &Group, all: &mut Vec<Change>) {
    fn place(commit: &GroupCommit) -> (&TopicName, PartitionId) {
        (&commit.topic, commit.partition)
    }
    let mut before = old.commits.iter().peekable();
    let change = |commit: &GroupCommit, value| {
        let topic = commit.topic.as_str().as_bytes();
        let name = [b"c", new.name.as_str().as_bytes(), b"\0", topic, b"\0"].concat();
        (key([&name[..], &commit.partition.0.to_be_bytes()].concat()), value)
    };
    for commit in new.commits.iter() {
        while let Some(gone) = before.next_if(|b| place(b) < place(commit)) {
            all.push(change(gone, None));
        }
        if before.next_if(|b| place(b) == place(commit)) != Some(commit) {
            let stored = StoredCommit {
                i: commit.incarnation,
                e: commit.position.epoch,
                n: commit.position.next,
                m: commit.metadata.clone(),
            };
            all.push(change(commit, Some(entry(json(&stored)))));
        }
    }
    all.extend(before.map(|gone| change(gone, None)));
}

/// A member as it is stored; no pieces for none.
fn pieces(member: Option<&Arc<Member>>) -> Vec<Bytes> {
    let Some(member) = member else { return vec![] };
    let holds = member.holds.iter().map(|(topic, holding)| (topic.clone(), runs(holding)));
    let whole = json(&StoredMember {
        principal: member.principal.clone(),
        topics: member.topics.clone(),
        session_timeout_ms: u64::try_from(member.session_timeout.as_millis()).unwrap_or(u64::MAX),
        from: member.from,
        joined: member.joined,
        holds: holds.collect(),
    });
    whole.chunks(PIECE_BYTES).map(|piece| whole.slice_ref(piece)).collect()
}

fn runs(holding: &Holding) -> StoredHolding {
    let mut runs: Vec<Run> = vec![];
    for (&partition, held) in &holding.partitions {
        let (since, revoking) = (held.since, held.leaving.is_some());
        let to = held.leaving.as_ref().and_then(|leaving| leaving.to.clone());
        match runs.last_mut() {
            Some(run)
                if run.first.0 + run.count == partition.0
                    && (run.since, run.revoking, &run.to) == (since, revoking, &to) =>
            {
                run.count += 1;
            }
            _ => runs.push(Run { first: partition, count: 1, since, revoking, to }),
        }
    }
    StoredHolding { incarnation: holding.incarnation, runs }
}

/// All groups, from the entries of the space in their order. Each member has a
/// whole session from `now` on, and what is being revoked a whole grace.
pub fn load(
    entries: impl IntoIterator<Item = (Bytes, StateEntry)>,
    config: GroupConfig,
    now: Now,
) -> Result<Stored, EngineError> {
    let mut stored = Stored { groups: BTreeMap::new(), floor: Generation::default() };
    let mut members: BTreeMap<(GroupName, MemberId), Vec<u8>> = BTreeMap::new();
    let mut commits = vec![];
    let mut topics = BTreeSet::new();
    for (key, StateEntry { value, .. }) in entries {
        let fields: Vec<&[u8]> = key.splitn(3, |byte| *byte == 0).collect();
        match (key.first(), &fields[..]) {
            (Some(b'f'), _) => stored.floor = parsed::<StoredFloor>(&key, &value)?.generation,
            (Some(b'g'), [name]) => {
                let StoredGroup { generation, emptied } = parsed(&key, &value)?;
                let name = GroupName::new(text(&key, &name[1..])?).map_err(|_| damaged(&key))?;
                let mut group = Group::new(name.clone(), config, Generation::default());
                (group.exists, group.generation, group.emptied) = (true, generation, emptied);
                stored.groups.insert(name, group);
            }
            (Some(b'm'), [group, member, _]) => {
                let group = GroupName::new(text(&key, &group[1..])?).map_err(|_| damaged(&key))?;
                let member = MemberId::new(text(&key, member)?).map_err(|_| damaged(&key))?;
                members.entry((group, member)).or_default().extend_from_slice(&value);
            }
            (Some(b'c'), [group, topic, partition]) => {
                let group = text(&key, &group[1..])?.to_owned();
                let topic = shared(text(&key, topic)?, &mut topics).ok_or_else(|| damaged(&key))?;
                let partition = <[u8; 4]>::try_from(*partition).map_err(|_| damaged(&key))?;
                let StoredCommit { i: incarnation, e: epoch, n: next, m: metadata } =
                    parsed(&key, &value)?;
                let (partition, position) =
                    (PartitionId(u32::from_be_bytes(partition)), Position { epoch, next });
                let commit = GroupCommit { topic, incarnation, partition, position, metadata };
                commits.push((group, commit));
            }
            _ => return Err(damaged(&key)),
        }
    }
    for ((name, id), whole) in members {
        let group =
            stored.groups.get_mut(&name).ok_or_else(|| damaged(name.as_str().as_bytes()))?;
        let member = member(parsed(id.as_str().as_bytes(), &whole)?, now.at + config.revoke_grace);
        group.deadlines.insert(id.clone(), now.at + member.session_timeout);
        group.members.insert(id, Arc::new(member));
    }
    for (name, commit) in commits {
        let group = stored.groups.get_mut(&*name).ok_or_else(|| damaged(name.as_bytes()))?;
        group.commits.set(commit);
    }
    for group in stored.groups.values_mut() {
        group.commits.retain(|_| true);
        if group.generation == Generation::default() {
            // Made without members, perhaps after one of its name was deleted.
            group.floor = stored.floor;
        }
        if !group.members.is_empty() {
            group.emptied = None;
            keep_newest(group);
        }
    }
    Ok(stored)
}

/// Where a change was stored in part, a partition may be with the one who lost
/// it too: it is whose who got it last.
fn keep_newest(group: &mut Group) {
    let mut newest: BTreeMap<(TopicName, Incarnation, PartitionId), Generation> = BTreeMap::new();
    for member in group.members.values() {
        for (topic, holding) in &member.holds {
            for (&partition, held) in &holding.partitions {
                let since =
                    newest.entry((topic.clone(), holding.incarnation, partition)).or_default();
                *since = held.since.max(*since);
            }
        }
    }
    for member in group.members.values_mut() {
        Arc::make_mut(member).retain(|topic, holding, partition, held| {
            newest.get(&(topic.clone(), holding.incarnation, partition)) == Some(&held.since)
        });
    }
}

fn member(stored: StoredMember, grace_ends: tokio::time::Instant) -> Member {
    let holding = |stored: StoredHolding| {
        let each = stored.runs.into_iter().flat_map(|run| {
            let leaving = Leaving { until: grace_ends, to: run.to };
            let held = Held { since: run.since, leaving: run.revoking.then_some(leaving) };
            (run.first.0..run.first.0.saturating_add(run.count))
                .map(move |p| (PartitionId(p), held.clone()))
        });
        Holding { incarnation: stored.incarnation, partitions: each.collect() }
    };
    Member {
        principal: stored.principal,
        topics: stored.topics,
        session_timeout: Duration::from_millis(stored.session_timeout_ms),
        from: stored.from,
        joined: stored.joined,
        session: 0,
        holds: stored.holds.into_iter().map(|(topic, held)| (topic, holding(held))).collect(),
    }
}

/// One name in memory for all commits of a topic.
fn shared(name: &str, known: &mut BTreeSet<TopicName>) -> Option<TopicName> {
    if let Some(known) = known.get(name) {
        return Some(known.clone());
    }
    let name = TopicName::new(name).ok()?;
    known.insert(name.clone());
    Some(name)
}

fn key(key: Vec<u8>) -> StateKey {
    StateKey { space: SPACE, key: key.into() }
}

fn entry(value: Bytes) -> StateEntry {
    StateEntry { value, expires: None }
}

#[expect(clippy::expect_used, reason = "these structs have nothing that JSON cannot say")]
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("it can be written as JSON").into()
}

fn parsed<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(value).map_err(|_| damaged(key))
}

fn text<'a>(key: &[u8], part: &'a [u8]) -> Result<&'a str, EngineError> {
    std::str::from_utf8(part).map_err(|_| damaged(key))
}

fn damaged(key: &[u8]) -> EngineError {
    let key = key.escape_ascii();
    EngineError::Damaged(format!("the entry '{key}' of a group is not one that was written"))
}
