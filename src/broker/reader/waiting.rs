//! Waiting for any of several partitions: only those that moved are looked at,
//! and only they are waited for anew.

use super::lane::Lane;
use crate::domain::Offset;
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use tokio::sync::watch;

/// A tail that moved, or whose topic is gone.
struct Moved {
    lane: usize,
    tail: watch::Receiver<Offset>,
    gone: bool,
}

/// The tails that are waited for, one for each lane that has not ended.
#[derive(Default)]
pub(super) struct Tails {
    moves: FuturesUnordered<BoxFuture<'static, Moved>>,
    begun: bool,
}

fn moved(lane: usize, mut tail: watch::Receiver<Offset>) -> BoxFuture<'static, Moved> {
    async move {
        let gone = tail.changed().await.is_err();
        Moved { lane, tail, gone }
    }
    .boxed()
}

impl Tails {
    /// Waits until one of `lanes`, all of which were looked at, is ready or
    /// gone; for ever if all have ended. Safe to drop.
    pub(super) async fn any(&mut self, lanes: &mut [Lane]) {
        if !std::mem::replace(&mut self.begun, true) {
            let open = lanes.iter().enumerate().filter(|(_, lane)| !lane.ended());
            self.moves.extend(open.map(|(n, lane)| moved(n, lane.tail.clone())));
        }
        loop {
            match self.moves.next().await {
                None => return std::future::pending().await,
                Some(Moved { gone: true, .. }) => return,
                Some(Moved { lane, tail, .. }) => {
                    self.moves.push(moved(lane, tail));
                    // What moved may have been read since.
                    if lanes.get_mut(lane).is_some_and(Lane::look) {
                        return;
                    }
                }
            }
        }
    }
}
