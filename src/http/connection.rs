//! One connection's time: how long a client may take to send a request's
//! headers, to say nothing, or to leave what it is sent unread.
//!
//! Not a timer for each: a connection notes what it is at and since when, by a
//! coarse clock, and one sweep looks at all of them.

use super::canned;
use crate::runtime::metrics::Gauge;
use futures_util::task::AtomicWaker;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU8, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};

/// Nothing was received since the last answer, or since the opening.
const IDLE: u8 = 0;
/// A part of a request's headers was received.
const HEAD: u8 = 1;
/// A request is being served.
const BUSY: u8 = 2;

/// How long a connection may be at what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To send a request's headers; the first one's from the opening on.
    pub head: Duration,
    /// To be idle between requests.
    pub idle: Duration,
    /// To take nothing of an answer.
    pub write: Duration,
}

/// What one connection is at. Numbers only: no lock, no order between them.
pub(super) struct Watched {
    /// Milliseconds since the listener began, moved on by the sweep.
    clock: Arc<AtomicU64>,
    phase: AtomicU8,
    /// When the phase began.
    since: AtomicU64,
    /// When writing came to a stand, plus 1; 0 = it goes on.
    stalled: AtomicU64,
    /// Requests being served: with HTTP/2 there may be several.
    requests: AtomicU32,
    /// Whether any request has come.
    used: AtomicBool,
    /// Frames of HTTP/2 come between requests, so they say nothing of headers.
    multiplexed: AtomicBool,
    /// The client took too long over its headers, and is told so.
    told_late: AtomicBool,
    /// What the connection is to do: `GO_ON`, `FINISH` or `CUT`.
    order: AtomicU8,
    /// Of the connection's task.
    waker: AtomicWaker,
}

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// What is under way goes on, and may be followed by more.
    GoOn,
    /// What is under way is finished, and nothing comes after it.
    Finish,
    /// All ends now.
    Cut,
}

/// What is under way goes on, and may be followed by more.
const GO_ON: u8 = 0;
/// What is under way is finished, and nothing comes after it.
const FINISH: u8 = 1;
/// All ends now.
const CUT: u8 = 2;

impl Watched {
    pub(super) fn new(clock: Arc<AtomicU64>) -> Arc<Watched> {
        let now = clock.load(Relaxed);
        Arc::new(Watched {
            clock,
            phase: AtomicU8::new(IDLE),
            since: AtomicU64::new(now),
            stalled: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            used: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            told_late: AtomicBool::new(false),
            order: AtomicU8::new(GO_ON),
            waker: AtomicWaker::new(),
        })
    }

    fn now(&self) -> u64 {
        self.clock.load(Relaxed)
    }

    fn received(&self) {
        if self.phase.load(Relaxed) == IDLE {
            self.phase.store(HEAD, Relaxed);
            // The first head is timed from the opening.
            if self.used.load(Relaxed) {
                self.since.store(self.now(), Relaxed);
            }
        }
    }

    /// A request's headers are complete. The guard is kept until its answer
    /// was sent, or given up.
    pub(super) fn request(self: &Arc<Watched>, multiplexed: bool) -> Serving {
        self.requests.fetch_add(1, Relaxed);
        self.used.store(true, Relaxed);
        self.multiplexed.store(multiplexed, Relaxed);
        self.phase.store(BUSY, Relaxed);
        Serving(Arc::clone(self))
    }

    /// Ends the connection if it has had enough patience.
    pub(super) fn check(&self, patience: &Patience) {
        let now = self.now();
        let longer =
            |since: u64, than: Duration| u128::from(now.saturating_sub(since)) > than.as_millis();
        let since = self.since.load(Relaxed);
        let stalled = self.stalled.load(Relaxed);
        let used = self.used.load(Relaxed);
        let late = match self.phase.load(Relaxed) {
            IDLE if used => longer(since, patience.idle),
            HEAD if self.multiplexed.load(Relaxed) => longer(since, patience.idle),
            HEAD | IDLE if longer(since, patience.head) => {
                self.told_late.store(true, Relaxed);
                true
            }
            _ => false,
        };
        if late || (stalled > 0 && longer(stalled - 1, patience.write)) {
            self.give(CUT);
        }
    }

    /// The connection is to end once what is under way is done.
    pub(super) fn finish(&self) {
        self.give(FINISH);
    }

    /// What to do now; `waker` is woken when that changes.
    fn order(&self, waker: &Waker) -> Order {
        self.waker.register(waker);
        match self.order.load(Acquire) {
            CUT => Order::Cut,
            FINISH => Order::Finish,
            _ => Order::GoOn,
        }
    }

    fn give(&self, order: u8) {
        // An order is never taken back.
        if self.order.fetch_max(order, Release) < order {
            self.waker.wake();
        }
    }
}

/// A request that is being served.
pub(super) struct Serving(Arc<Watched>);

impl Serving {
    /// What the connection is to do; the task of `waker` is woken when that
    /// changes. For a connection that speaks something else than HTTP now.
    pub(super) fn order(&self, waker: &Waker) -> Order {
        self.0.order(waker)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let watched = &self.0;
        if watched.requests.fetch_sub(1, Relaxed) == 1 {
            watched.since.store(watched.now(), Relaxed);
            watched.phase.store(IDLE, Relaxed);
        }
    }
}

/// A client's stream, which notes what passes.
pub(super) struct WatchedStream {
    stream: TcpStream,
    watched: Arc<Watched>,
    /// Its place among the connections, for as long as it is open, whatever is
    /// spoken on it.
    _place: Place,
}

/// A place among the connections that may be open, and are counted.
pub(super) struct Place {
    _room: OwnedSemaphorePermit,
    open: Gauge,
}

impl Place {
    pub(super) fn new(room: OwnedSemaphorePermit, open: &Gauge) -> Place {
        open.add(1);
        Place { _room: room, open: open.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.add(-1);
    }
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, watched: Arc<Watched>, place: Place) -> WatchedStream {
        WatchedStream { stream, watched, _place: place }
    }

    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        let stalled = &self.watched.stalled;
        match &result {
            Poll::Pending if stalled.load(Relaxed) == 0 => {
                stalled.store(self.watched.now() + 1, Relaxed);
            }
            Poll::Pending => {}
            Poll::Ready(_) if stalled.load(Relaxed) > 0 => stalled.store(0, Relaxed),
            Poll::Ready(_) => {}
        }
        result
    }
}

impl Drop for WatchedStream {
    fn drop(&mut self) {
        if self.watched.told_late.load(Relaxed) {
            // As much as fits; a client that does not read does not matter.
            let _sent = self.stream.try_write(canned::HEADERS_TOO_SLOW.as_bytes());
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watched.received();
        }
        result
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Runs a connection until it ends or is cut; `finish` is called on it when it
/// is to take nothing more. One relaxed look a wake-up, instead of a future
/// for each of the two orders.
pub(super) async fn obey<C>(
    watched: &Watched,
    connection: C,
    mut finish: impl FnMut(Pin<&mut C>),
) -> Option<C::Output>
where
    C: Future,
{
    tokio::pin!(connection);
    let mut finishing = false;
    std::future::poll_fn(move |cx| {
        match watched.order(cx.waker()) {
            Order::Cut => return Poll::Ready(None),
            Order::Finish if !finishing => {
                finishing = true;
                finish(connection.as_mut());
            }
            Order::Finish | Order::GoOn => {}
        }
        connection.as_mut().poll(cx).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_millis(100),
        idle: Duration::from_millis(1_000),
        write: Duration::from_millis(500),
    };

    fn watched() -> (Arc<AtomicU64>, Arc<Watched>) {
        let clock = Arc::new(AtomicU64::new(0));
        let watched = Watched::new(Arc::clone(&clock));
        (clock, watched)
    }

    fn cut_at(clock: &AtomicU64, watched: &Watched, millis: u64) -> bool {
        clock.store(millis, Relaxed);
        watched.check(&PATIENCE);
        watched.order.load(Relaxed) == CUT
    }

    #[test]
    fn a_client_that_sends_nothing_or_half_a_head_is_told_that_it_is_late() {
        for sends in [false, true] {
            let (clock, watched) = watched();
            assert!(!cut_at(&clock, &watched, 90));
            if sends {
                watched.received();
            }
            assert!(!cut_at(&clock, &watched, 100));
            assert!(cut_at(&clock, &watched, 101));
            assert!(watched.told_late.load(Relaxed));
        }
    }

    #[test]
    fn between_requests_there_is_more_time_and_no_word() {
        let (clock, watched) = watched();
        watched.received();
        let serving = watched.request(false);
        assert!(!cut_at(&clock, &watched, 5_000));
        drop(serving);
        assert!(!cut_at(&clock, &watched, 5_900));
        watched.received();
        assert!(!cut_at(&clock, &watched, 6_000));
        assert!(cut_at(&clock, &watched, 6_001));

        let (clock, other) = self::watched();
        drop(other.request(false));
        assert!(!cut_at(&clock, &other, 1_000));
        assert!(cut_at(&clock, &other, 1_001));
        assert!(!other.told_late.load(Relaxed));
    }

    #[tokio::test]
    async fn orders_reach_the_connection() {
        let (_, watched) = watched();
        let finished = AtomicBool::new(false);
        let connection = obey(&watched, std::future::pending::<()>(), |_| {
            finished.store(true, Relaxed);
        });
        let orders = async {
            watched.finish();
            tokio::task::yield_now().await;
            assert!(finished.load(Relaxed));
            watched.give(CUT);
            watched.finish();
        };
        let (ended, ()) = tokio::join!(biased; connection, orders);
        assert_eq!(ended, None);
    }
}
