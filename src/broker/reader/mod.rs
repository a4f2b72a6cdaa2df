//! Reading: a cursor over the log, the one way in which every transport reads.
//!
//! ```text
//!   open ──► next ──► next ──► … None (at the tail) ──► wait ──► next …
//!            Records | Lost            cursor() at any time
//! ```
//!
//! A reader holds places, not records, so a slow one costs nothing and misses
//! nothing that the topic keeps; what it does miss it is told.

mod advance;
mod fit;
mod lane;
mod open;
mod share;
mod waiting;

pub(super) use fit::{Room, fit_each};
pub use open::{ReadFrom, ReadRequest};

use super::{Broker, BrokerError, SharedBatch};
use crate::{
    domain::{Cursor, Epoch, LostRange, PartitionId, TopicPositions},
    engine::{ReadBudget, Topic},
};
use lane::Lane;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Notify;
use waiting::Tails;

/// No partition's share of a budget is cut below this many bytes, lest many
/// partitions make many small reads.
const LEAST_SHARE_BYTES: usize = 64 << 10;

/// What a reader comes to next.
#[derive(Clone, Debug)]
pub enum ReadEvent {
    /// Records of one partition.
    Records {
        /// The topic.
        topic: Arc<Topic>,
        /// The partition.
        partition: PartitionId,
        /// The epoch that all of them were written in.
        epoch: Epoch,
        /// In order, none empty.
        batches: Vec<Arc<SharedBatch>>,
    },
    /// Records of one partition that the reader will never see; said before
    /// the next record.
    Lost {
        /// The topic.
        topic: Arc<Topic>,
        /// The partition.
        partition: PartitionId,
        /// Which, and why.
        range: LostRange,
    },
    /// The place moved on past records with other keys; there is more to look
    /// at.
    Skipped,
    /// The next record has no room in what is left of the budget.
    Full,
}

/// A reader of some partitions.
pub struct Reader {
    broker: Arc<Broker>,
    /// Partitions of one topic lie together. Empty only where a member of a
    /// group holds nothing.
    lanes: Vec<Lane>,
    /// Whose turn it is.
    turn: usize,
    /// How many lanes had something to read when the round began.
    ready: usize,
    /// What is waited for, where there are several lanes, once it was.
    tails: Option<Tails>,
    /// Wakes a reader of keys; all of its lanes have keys then.
    wake: Option<Arc<Notify>>,
}

impl Reader {
    fn new(broker: Arc<Broker>, lanes: Vec<Lane>, keyed: bool) -> Reader {
        // Pages that follow each other by cursor are readers of their own. That
        // each begins at another lane keeps a busy partition from taking every
        // page: the sum moves on with every record that is read.
        let read: u64 = lanes.iter().fold(0, |sum, lane| sum.wrapping_add(lane.at().next.0));
        let turn = (read % lanes.len().max(1) as u64) as usize;
        broker.metrics.readers.add(1);
        let wake = keyed.then(Arc::default);
        Reader { broker, lanes, turn, ready: 0, tails: None, wake }
    }

    /// Ends the reader where the tails are now: `next` answers `None` there
    /// for good, and `wait` is of no use any more.
    pub fn stop_at_tail(&mut self) {
        self.lanes.iter_mut().for_each(Lane::stop_at_tail);
    }

    /// The next event, without waiting; `None` at the tail of all partitions.
    /// A budget is never exceeded, but that one record comes in any case. It is
    /// for one partition alone: they take turns.
    ///
    /// Safe to drop: what was not answered is answered by the next call. An
    /// error ends the reader: `Engine(TopicUnknown)` when a topic was
    /// deleted. What was read before it has been answered.
    pub async fn next(&mut self, budget: ReadBudget) -> Result<Option<ReadEvent>, BrokerError> {
        self.take(Room { budget, least_one: true }, Share::All).await
    }

    /// As [`Reader::next`], for a page with room for what is `left`: all
    /// partitions that have something get their part of it. `first` says that
    /// the page has no record yet; once it has, it is never exceeded: `Full`
    /// when the next record is larger.
    pub async fn next_of_page(
        &mut self,
        left: ReadBudget,
        first: bool,
    ) -> Result<Option<ReadEvent>, BrokerError> {
        self.take(Room { budget: left, least_one: first }, Share::Each).await
    }

    async fn take(&mut self, room: Room, share: Share) -> Result<Option<ReadEvent>, BrokerError> {
        if self.tails.is_some() {
            return self.take_of_moved(room, share).await;
        }
        for _ in 0..self.lanes.len() {
            if self.ready == 0 {
                self.ready = self.lanes.iter().filter(|lane| lane.is_ready()).count().max(1);
            }
            let at = self.turn;
            self.turn = (at + 1) % self.lanes.len();
            let lane = &mut self.lanes[at];
            let event = lane.next(&self.broker, share.of(room, self.ready)).await?;
            if self.turn == 0 {
                self.ready = 0;
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// As `take`, once all lanes were at the tail: of those that moved since.
    async fn take_of_moved(
        &mut self,
        room: Room,
        share: Share,
    ) -> Result<Option<ReadEvent>, BrokerError> {
        let Some(tails) = &mut self.tails else { return Ok(None) };
        while let Some((moved, lane)) = tails.turn() {
            let event = self.lanes[lane].next(&self.broker, share.of(room, moved)).await?;
            tails.had_turn(event.is_some());
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Waits until `next` has something to say. Safe to drop.
    pub async fn wait(&mut self) {
        if let Some(wake) = &self.wake {
            let wake = Arc::clone(wake);
            let mut ready = |lane: &mut Lane| lane.look_for_keys(&self.broker, &wake);
            while !self.lanes.iter_mut().any(&mut ready) {
                wake.notified().await;
            }
            return;
        }
        if self.tails.is_none() && self.lanes.iter_mut().any(Lane::look) {
            return;
        }
        match self.lanes.as_mut_slice() {
            [lane] => lane.moved().await,
            lanes => {
                let tails = self.tails.get_or_insert_with(|| Tails::of(lanes));
                tails.any(lanes).await;
            }
        }
    }

    /// How many records lie between the reader's places and the tails, those
    /// with other keys among them.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.lanes.iter().map(Lane::behind).sum()
    }

    /// Where the reader stands, after all that `next` has answered.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let mut cursor = Cursor::default();
        for lane in &self.lanes {
            let topic = cursor.topics.entry(lane.topic().name.clone());
            let positions = topic.or_insert_with(|| TopicPositions {
                incarnation: lane.topic().incarnation,
                partitions: BTreeMap::new(),
            });
            positions.partitions.insert(lane.partition(), lane.at());
        }
        cursor
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.broker.metrics.readers.add(-1);
    }
}

/// How much of a budget is for the partition whose turn it is.
#[derive(Clone, Copy)]
enum Share {
    /// All of it: the next partition gets as much.
    All,
    /// Its part: there is no more.
    Each,
}

impl Share {
    /// The room of one partition where `ready` have something to read.
    fn of(self, room: Room, ready: usize) -> Room {
        if matches!(self, Share::All) {
            return room;
        }
        let ReadBudget { records, bytes } = room.budget;
        let records = records.div_ceil(u32::try_from(ready).unwrap_or(u32::MAX).max(1));
        let bytes = (bytes / ready.max(1)).max(bytes.min(LEAST_SHARE_BYTES));
        let least_one = room.least_one;
        Room { budget: ReadBudget { records: records.max(u32::from(least_one)), bytes }, least_one }
    }
}
