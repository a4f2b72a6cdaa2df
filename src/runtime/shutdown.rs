//! The order in which the gateway stops, and the tokens by which every task
//! learns how far that has come.

use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How far the stop has come. Each phase begins when the one before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// `/readyz` says no, so that balancers send no more; all else goes on.
    NotReady,
    /// No connection is accepted any more.
    Refusing,
    /// What waits (long polls, followers) ends now; what works may finish.
    Draining,
    /// The deadline has passed or all is done: the rest is cut.
    Closing,
}

const PHASES: usize = Phase::Closing as usize + 1;

/// Tells a task that a phase of the stop has begun. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ShutdownToken(CancellationToken);

impl ShutdownToken {
    /// Whether the phase has begun.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the phase begins. Safe to drop and to call again.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Begins the phase.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// The stop of one gateway: its phases, and the time it may take.
#[derive(Clone, Debug)]
pub struct Shutdown {
    tokens: [ShutdownToken; PHASES],
    grace: Duration,
}

impl Shutdown {
    /// A gateway that runs. `grace` is the time between the first phase and
    /// the last.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Shutdown { tokens: Default::default(), grace }
    }

    /// The token that is cancelled when `phase` begins.
    #[must_use]
    pub fn token(&self, phase: Phase) -> ShutdownToken {
        self.tokens[phase as usize].clone()
    }

    /// Whether `phase` has begun.
    #[must_use]
    pub fn reached(&self, phase: Phase) -> bool {
        self.tokens[phase as usize].is_cancelled()
    }

    /// Begins `phase`, and those before it that have not begun.
    pub fn enter(&self, phase: Phase) {
        for token in &self.tokens[..=phase as usize] {
            token.cancel();
        }
        tracing::debug!(?phase, "stopping");
    }

    /// When a stop that begins now has to be done.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.grace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entering_a_phase_enters_those_before_it() {
        let stop = Shutdown::new(Duration::from_secs(1));
        assert!(!stop.reached(Phase::NotReady));
        stop.enter(Phase::Refusing);
        assert!(stop.reached(Phase::NotReady) && stop.reached(Phase::Refusing));
        assert!(!stop.token(Phase::Draining).is_cancelled());
    }
}
