//! A clock for tests, which moves when it is told to.

use crate::domain::{Clock, Timestamp};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct TestTime(Arc<AtomicI64>);

impl Default for TestTime {
    fn default() -> Self {
        TestTime(Arc::new(AtomicI64::new(1_790_000_000_000)))
    }
}

impl TestTime {
    /// The clock to hand to an engine.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Arc::new(move || time.now())
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.0.store(self.now().plus(by).millis(), Ordering::SeqCst);
    }

    /// Moves it back, as a corrected clock does.
    pub fn set_back(&self, by: Duration) {
        self.0.store(self.now().minus(by).millis(), Ordering::SeqCst);
    }
}
