//! Keeps so many records under way and no more: a server is saturated, and nobody falls ever further behind.

use std::cell::Cell;

use tokio::sync::Notify;

/// Records under way between publishers and sockets.
#[derive(Debug)]
pub struct Gate {
    window: u64,
    listeners: u64,
    sent: Cell<u64>,
    heard: Cell<u64>,
    open: Notify,
}

impl Gate {
    /// Lets `window` records be under way to `listeners` sockets.
    #[must_use]
    pub fn new(window: u64, listeners: usize) -> Self {
        let listeners = listeners.max(1) as u64;
        Self { window, listeners, sent: Cell::new(0), heard: Cell::new(0), open: Notify::new() }
    }

    /// Waits until `records` more may be sent. A batch larger than the window goes alone.
    pub async fn admit(&self, records: u64) {
        while !self.room(records) {
            self.open.notified().await;
        }
        self.sent.set(self.sent.get() + records);
        if self.room(1) {
            self.open.notify_one();
        }
    }

    /// A socket heard `records`.
    pub fn hear(&self, records: u64) {
        self.heard.set(self.heard.get() + records);
        if self.room(1) {
            self.open.notify_one();
        }
    }

    /// Whether every record that was sent was heard by all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heard.get() >= self.sent.get() * self.listeners
    }

    fn room(&self, records: u64) -> bool {
        let under_way = (self.sent.get() * self.listeners).saturating_sub(self.heard.get());
        under_way == 0 || under_way + records * self.listeners <= self.window * self.listeners
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let gate = Gate::new(2, 3);
        assert!(now(gate.admit(1)).is_some() && now(gate.admit(1)).is_some());
        assert!(now(gate.admit(1)).is_none() && !gate.is_empty());
        gate.hear(2);
        assert!(now(gate.admit(1)).is_none(), "one socket has not heard it");
        gate.hear(1);
        assert!(now(gate.admit(1)).is_some());
        gate.hear(6);
        assert!(gate.is_empty());
        assert!(now(gate.admit(9)).is_some(), "what never fits goes alone");
        assert!(now(gate.admit(1)).is_none());
    }

    #[test]
    fn who_waits_is_woken() {
        let gate = Gate::new(1, 1);
        assert!(now(gate.admit(1)).is_some());
        let mut waiting = pin!(gate.admit(1));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        gate.hear(1);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    }
}
