//! One subscription: its reader, which is either here or at work, and how far
//! it may go.

use super::{
    member::Member,
    pace::{Lag, Place},
    room::{Held, Room},
    wake::{Serial, SubWaker, Woken},
};
use crate::{
    broker::{BrokerError, ReadBudget, ReadEvent, Reader},
    domain::{GroupName, MemberId},
    wire::{As, BatchEncoder, Encoding, SubId, packed_head, records_head},
};
use futures_util::FutureExt;
use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::time::Instant;
use tokio_util::sync::ReusableBoxFuture;

/// What the first read of a subscription takes: its first records come early.
const FIRST_READ_BYTES: usize = 16 << 10;
/// What a read takes once it runs.
const READ_BYTES: usize = 256 << 10;
/// The same where it is compressed, which takes a hundred times as long as to
/// write it: other clients are to have their turn.
const READ_TO_PACK_BYTES: usize = 64 << 10;
/// And how many records: the smallest are ten times as large in a frame.
const READ_RECORDS: u64 = 2_048;

/// What a reader comes back with.
pub(super) enum Outcome {
    /// There may be something to read.
    Woken(Reader),
    /// The wait was ended.
    Recalled(Reader),
    /// A read that took its time.
    Read(Reader, Result<Option<ReadEvent>, BrokerError>, Option<Held>),
}

/// Where the reader is.
enum State {
    /// It is still being opened.
    Opening,
    /// Here.
    Idle(Reader),
    /// In `work`: it waits for the tail to move, or reads.
    Working,
}

/// How the records of a subscription are to come.
pub(super) struct Delivery {
    pub sub: SubId,
    pub credit: Option<u64>,
    pub encoding: Encoding,
    pub as_: As,
    pub keyed: bool,
}

/// A subscription of one connection.
pub(super) struct Sub {
    pub serial: Serial,
    pub encoding: Encoding,
    pub encoder: BatchEncoder,
    /// What stands before the shared part of its frames.
    pub head: Box<[u8]>,
    /// Records that may still be sent; `None` = any number.
    pub credit: Option<u64>,
    pub lag: Lag,
    pub place: Place,
    /// Whether it waits for its turn.
    pub queued: bool,
    /// Whether it is confined to keys: its place moves though nothing is sent.
    pub keyed: bool,
    /// Whose records it gets, once it has joined a group.
    pub member: Option<Box<Member>>,
    /// The member that it asked to be, in which group.
    pub joins: Option<Box<(GroupName, MemberId)>>,
    /// Whether what comes next is most likely in memory.
    at_tail: bool,
    bytes: usize,
    state: State,
    work: Option<ReusableBoxFuture<'static, Outcome>>,
    wakes: Arc<SubWaker>,
    waker: Waker,
}

impl Sub {
    /// A subscription whose reader is still being opened.
    pub fn new(delivery: Delivery, serial: Serial, woken: &Arc<Woken>, now: Instant) -> Sub {
        let Delivery { sub, credit, encoding, as_, keyed } = delivery;
        let head = match encoding {
            Encoding::Json => records_head(sub),
            Encoding::Deflate => packed_head(sub),
        };
        let wakes = SubWaker::new(sub, serial, woken);
        Sub {
            serial,
            encoding,
            encoder: BatchEncoder::new(as_),
            head: head.into(),
            credit,
            lag: Lag::default(),
            place: Place::told(now),
            queued: false,
            keyed,
            member: None,
            joins: None,
            at_tail: false,
            bytes: FIRST_READ_BYTES,
            state: State::Opening,
            work: None,
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
        }
    }

    /// Whether it may be sent records now, as far as the client is concerned.
    pub fn may_go(&self) -> bool {
        self.credit != Some(0) && matches!(self.state, State::Idle(_))
    }

    /// The reader, where it is not at work.
    pub fn reader(&self) -> Option<&Reader> {
        match &self.state {
            State::Idle(reader) => Some(reader),
            State::Opening | State::Working => None,
        }
    }

    /// The reader is here, and has somewhere to go.
    pub fn put(&mut self, reader: Reader) {
        self.at_tail = false;
        self.state = State::Idle(reader);
        self.fit();
    }

    /// As [`Sub::put`], of a reader that waited at the tail: what woke it is
    /// most likely in memory.
    pub fn put_woken(&mut self, reader: Reader) {
        self.at_tail = true;
        self.state = State::Idle(reader);
        self.fit();
    }

    /// A member's partitions are others: its reader is made to fit, now or as
    /// soon as it is here.
    pub fn refit(&mut self) {
        match self.state {
            State::Idle(_) => self.fit(),
            State::Opening | State::Working => self.recall(),
        }
    }

    fn fit(&mut self) {
        if let (State::Idle(reader), Some(member)) = (&mut self.state, &mut self.member)
            && member.fit(reader)
        {
            self.at_tail = false;
        }
    }

    /// What was read while it may have ceased to be the client's.
    pub fn admit(&self, event: ReadEvent) -> ReadEvent {
        match &self.member {
            Some(member) => member.admit(event),
            None => event,
        }
    }

    fn budget(&mut self) -> ReadBudget {
        let records = self.credit.unwrap_or(READ_RECORDS).min(READ_RECORDS) as u32;
        let bytes = self.bytes;
        self.bytes = match self.encoding {
            Encoding::Json => READ_BYTES.min(bytes * 4),
            Encoding::Deflate => READ_TO_PACK_BYTES.min(bytes * 4),
        };
        ReadBudget { records, bytes }
    }

    /// What the reader has at hand: at the tail the newest records are in
    /// memory, and no future is to be made for each of them. `None` when it
    /// has to be read for, or is not here.
    pub fn read_now(&mut self) -> Option<Result<Option<ReadEvent>, BrokerError>> {
        if !self.at_tail {
            return None;
        }
        let budget = self.budget();
        let State::Idle(reader) = &mut self.state else { return None };
        let read = reader.next(budget).now_or_never();
        self.at_tail = read.is_some();
        read
    }

    /// Starts a read that takes its time.
    pub fn start_read(&mut self, room: &Room) {
        let (budget, room) = (self.budget(), room.clone());
        if let State::Idle(mut reader) = std::mem::replace(&mut self.state, State::Working) {
            self.start(async move {
                let event = reader.next(budget).await;
                let held = room.take(&event).await;
                Outcome::Read(reader, event, held)
            });
        }
    }

    /// Starts to wait for the tail to move.
    pub fn start_wait(&mut self) {
        let wakes = Arc::clone(&self.wakes);
        if let State::Idle(mut reader) = std::mem::replace(&mut self.state, State::Working) {
            self.start(async move {
                let recalled = poll_fn(|_| match wakes.take_recall() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                });
                tokio::select! {
                    biased;
                    () = recalled => return Outcome::Recalled(reader),
                    () = reader.wait() => {}
                }
                Outcome::Woken(reader)
            });
        }
    }

    fn start(&mut self, work: impl Future<Output = Outcome> + Send + 'static) {
        match &mut self.work {
            Some(slot) => slot.set(work),
            None => self.work = Some(ReusableBoxFuture::new(work)),
        }
    }

    /// Looks at the work. A reader that comes back is to be `put`.
    pub fn poll_work(&mut self) -> Poll<Outcome> {
        self.wakes.look();
        let (State::Working, Some(work)) = (&self.state, &mut self.work) else {
            return Poll::Pending;
        };
        work.poll(&mut Context::from_waker(&self.waker))
    }

    /// Ends a wait, so that the reader can be asked where it stands.
    pub fn recall(&self) {
        if matches!(self.state, State::Working) {
            self.wakes.recall();
        }
    }
}

/// The number of a subscription whose whole frames are shared, not their
/// larger part alone: nearly every client has one subscription, and calls it
/// so.
pub(super) const COMMON_SUB: SubId = SubId(1);
