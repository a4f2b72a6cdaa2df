//! Waiting for any of several partitions: only those that moved are looked at,
//! and only they are waited for anew. So what a record costs does not grow with
//! the partitions that its reader has.

use super::lane::Lane;
use crate::domain::Offset;
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use std::collections::VecDeque;
use tokio::sync::watch;

/// A tail that moved, or whose topic is gone.
struct Moved {
    lane: usize,
    tail: watch::Receiver<Offset>,
    gone: bool,
}

/// The tails that are waited for, one for each lane that has not ended.
pub(super) struct Tails {
    moves: FuturesUnordered<BoxFuture<'static, Moved>>,
    /// The lanes that moved since they were last at the tail, whose turn it is
    /// first; each once.
    hot: VecDeque<usize>,
}

fn moved(lane: usize, mut tail: watch::Receiver<Offset>) -> BoxFuture<'static, Moved> {
    async move {
        let gone = tail.changed().await.is_err();
        Moved { lane, tail, gone }
    }
    .boxed()
}

impl Tails {
    /// Of `lanes`, all of which were looked at and are at the tail.
    pub(super) fn of(lanes: &[Lane]) -> Tails {
        let open = lanes.iter().enumerate().filter(|(_, lane)| !lane.ended());
        let moves = open.map(|(n, lane)| moved(n, lane.tail.clone())).collect();
        Tails { moves, hot: VecDeque::new() }
    }

    /// How many lanes have moved, and whose turn it is of them.
    pub(super) fn turn(&self) -> Option<(usize, usize)> {
        self.hot.front().map(|lane| (self.hot.len(), *lane))
    }

    /// The lane whose turn it was is the last now, or not among them.
    pub(super) fn had_turn(&mut self, more: bool) {
        if more {
            self.hot.rotate_left(1);
        } else {
            self.hot.pop_front();
        }
    }

    /// Waits until one of `lanes` is ready or gone; for ever if all have ended.
    /// Safe to drop.
    pub(super) async fn any(&mut self, lanes: &mut [Lane]) {
        if self.hot.iter().any(|lane| lanes[*lane].is_ready()) {
            return;
        }
        loop {
            let Some(first) = self.moves.next().await else { return std::future::pending().await };
            self.take(first, lanes);
            // What moved together is read together.
            while let Some(Some(more)) = self.moves.next().now_or_never() {
                self.take(more, lanes);
            }
            if !self.hot.is_empty() {
                return;
            }
        }
    }

    fn take(&mut self, moved: Moved, lanes: &mut [Lane]) {
        let Moved { lane, tail, gone } = moved;
        if !gone {
            self.moves.push(self::moved(lane, tail));
        }
        // What moved may have been read since. That a topic is gone, `next` of
        // the lane will tell.
        if (lanes[lane].look() || gone) && !self.hot.contains(&lane) {
            self.hot.push_back(lane);
        }
    }
}
