//! Generations: of a group they only grow, and none is used twice, by whichever
//! gateway, across restarts too.
//!
//! A gateway takes a block of numbers for a group, behind all that were taken,
//! and notes its end in the state table under a key of its own. Two may take the
//! same block at once; then the one whose note came later sees the other's in
//! the table when its own is there, and takes another.

use super::directory::Directory;
use crate::{
    domain::{Generation, GroupName},
    engine::{EngineError, StateEntry, StateKey, StateTable, kafka::KafkaEngine},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

const SPACE: &str = "group-generations";
/// Numbers that are taken at once.
const BLOCK: u64 = 1_000;
/// How often a block is tried for. Each time somebody else has got one.
const TRIES: usize = 20;

/// The numbers of all groups that this gateway serves members of.
pub(super) struct Numbers {
    engine: Arc<KafkaEngine>,
    directory: Arc<Directory>,
    blocks: Mutex<HashMap<GroupName, Block>>,
    turn: tokio::sync::Mutex<()>,
}

/// What is left of a block: from `next` up to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    next: u64,
    end: u64,
}

impl Numbers {
    pub(super) fn new(engine: Arc<KafkaEngine>, directory: Arc<Directory>) -> Numbers {
        Numbers { engine, directory, blocks: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    /// The next number of a group.
    pub(super) async fn next(&self, group: &GroupName) -> Result<Generation, EngineError> {
        if let Some(number) = self.take(group) {
            return Ok(number);
        }
        let _turn = self.turn.lock().await;
        if let Some(number) = self.take(group) {
            return Ok(number);
        }
        self.reserve(group).await?;
        self.take(group).ok_or_else(|| EngineError::Unavailable("no generation is left".to_owned()))
    }

    /// As `next`, and greater than what any gateway has used: for one who joins,
    /// and may have been elsewhere before.
    pub(super) async fn newest(&self, group: &GroupName) -> Result<Generation, EngineError> {
        let ours = self.blocks.lock().get(group).copied();
        let end = ours.map_or(0, |block| block.end);
        if self.taken(group).iter().any(|(_, others)| *others > end) {
            let _turn = self.turn.lock().await;
            self.reserve(group).await?;
        }
        self.next(group).await
    }

    /// The last number that was used here; zero if none was.
    pub(super) fn last(&self, group: &GroupName) -> Generation {
        Generation(self.blocks.lock().get(group).map_or(0, |block| block.next - 1))
    }

    fn take(&self, group: &GroupName) -> Option<Generation> {
        let mut blocks = self.blocks.lock();
        let block = blocks.get_mut(group).filter(|block| block.next <= block.end)?;
        block.next += 1;
        Some(Generation(block.next - 1))
    }

    async fn reserve(&self, group: &GroupName) -> Result<(), EngineError> {
        let own = self.directory.own();
        for _ in 0..TRIES {
            let taken = self.taken(group);
            let block = behind(&taken);
            // One that is dead takes no more; what it took is below this.
            let dead = taken.iter().filter(|(by, _)| *by != own && !self.directory.lives(*by));
            let mut changes: Vec<_> = dead.map(|(by, _)| (key(group, *by), None)).collect();
            let value = Bytes::copy_from_slice(&block.end.to_be_bytes());
            changes.push((key(group, own), Some(StateEntry { value, expires: None })));
            self.engine.put(changes).await?;
            if !collides(&self.taken(group), own, block) {
                self.blocks.lock().insert(group.clone(), block);
                return Ok(());
            }
        }
        let told = format!("too many gateways take generations of group '{group}' at once");
        Err(EngineError::Unavailable(told))
    }

    /// Who has taken numbers of a group up to where.
    fn taken(&self, group: &GroupName) -> Vec<(u64, u64)> {
        let all = self.engine.list(SPACE, self.directory.now());
        let of_group = all.iter().filter_map(|(key, entry)| {
            let (name, by) = key.split_last_chunk::<8>()?;
            let (zero, name) = name.split_last()?;
            let end = entry.value.first_chunk::<8>()?;
            (*zero == 0 && name == group.as_str().as_bytes())
                .then(|| (u64::from_be_bytes(*by), u64::from_be_bytes(*end)))
        });
        of_group.collect()
    }
}

fn key(group: &GroupName, gateway: u64) -> StateKey {
    let key = [group.as_str().as_bytes(), b"\0", &gateway.to_be_bytes()].concat();
    StateKey { space: SPACE, key: key.into() }
}

/// The block behind all that were taken.
fn behind(taken: &[(u64, u64)]) -> Block {
    let last = taken.iter().map(|(_, end)| *end).max().unwrap_or(0);
    Block { next: last + 1, end: last + BLOCK }
}

/// Whether somebody else has numbers of a block too.
fn collides(taken: &[(u64, u64)], own: u64, block: Block) -> bool {
    taken.iter().any(|(by, end)| *by != own && end.abs_diff(block.end) < BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_take_the_same_block_the_later_one_sees_it() {
        let block = behind(&[(1, 3_000), (2, 1_000)]);
        assert_eq!(block, Block { next: 3_001, end: 4_000 });
        assert!(collides(&[(1, 4_000), (2, 4_000)], 1, block));
        assert!(!collides(&[(1, 4_000), (2, 1_000)], 1, block));
        assert!(!collides(&[(1, 4_000), (2, 5_000)], 1, block));
        assert_eq!(behind(&[]), Block { next: 1, end: BLOCK });
    }
}
