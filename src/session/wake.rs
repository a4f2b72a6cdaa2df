//! Which subscriptions of a connection have something to do: each has a waker
//! of its own, so that one that is woken does not make all others be looked at.

use crate::wire::SubId;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::{Wake, Waker},
};

/// Tells a subscription from an earlier one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Serial(pub u64);

/// The subscriptions that were woken, and who is to look at them.
#[derive(Default)]
pub(super) struct Woken {
    queue: Mutex<Vec<(SubId, Serial)>>,
    /// Of the connection's task.
    task: AtomicWaker,
}

impl Woken {
    /// Notes whom to wake. Before `take`, so that nothing slips between.
    pub fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Takes those that were woken since the last time, in order.
    pub fn take(&self, into: &mut Vec<(SubId, Serial)>) {
        std::mem::swap(&mut *self.queue.lock(), into);
    }
}

/// One subscription's waker.
pub(super) struct SubWaker {
    sub: SubId,
    serial: Serial,
    woken: Arc<Woken>,
    /// Whether it is in the queue already.
    queued: AtomicBool,
    /// Whether a wait is to end though there is nothing to read.
    recalled: AtomicBool,
}

impl SubWaker {
    pub fn new(sub: SubId, serial: Serial, woken: &Arc<Woken>) -> Arc<SubWaker> {
        let woken = Arc::clone(woken);
        let (queued, recalled) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(SubWaker { sub, serial, woken, queued, recalled })
    }

    /// It is being looked at: what wakes it from now on queues it again.
    pub fn look(&self) {
        self.queued.store(false, Release);
    }

    /// Ends a wait.
    pub fn recall(self: &Arc<SubWaker>) {
        self.recalled.store(true, Release);
        self.wake_by_ref();
    }

    /// Whether the wait was ended, once.
    pub fn take_recall(&self) -> bool {
        self.recalled.load(Acquire) && self.recalled.swap(false, AcqRel)
    }
}

impl Wake for SubWaker {
    fn wake(self: Arc<SubWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<SubWaker>) {
        if !self.queued.swap(true, AcqRel) {
            self.woken.queue.lock().push((self.sub, self.serial));
            self.woken.task.wake();
        }
    }
}
