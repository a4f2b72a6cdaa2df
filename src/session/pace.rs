//! When a subscription is told where it stands: pure decisions, with the time
//! passed in.

use std::time::Duration;
use tokio::time::Instant;

/// A reader that is not at the tail for this long lags.
const LAG_AFTER: Duration = Duration::from_secs(2);
/// And that is so many records behind.
const LAG_RECORDS: u64 = 1_000;
/// One that was told so is at the tail again when it is this close: on a busy
/// topic it never is entirely.
const NEAR_RECORDS: u64 = 100;
/// How far behind it still is is told so often.
const LAG_AGAIN: Duration = Duration::from_secs(5);
/// The place is told after records were filtered out, but not more often.
const POSITION_AFTER_SKIP: Duration = Duration::from_secs(5);

/// What is to be said about a subscription's distance from the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LagNews {
    /// It is so many records behind, and has been for a while.
    Lagging(u64),
    /// It is not any more.
    CaughtUp,
}

/// Whether a subscription lags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lag {
    /// At the tail when it was last looked at.
    #[default]
    None,
    /// Behind since then; nothing was said.
    Since(Instant),
    /// Said then for the last time.
    Told(Instant),
}

impl Lag {
    /// Takes note of how far behind the subscription is after a read.
    pub fn note(&mut self, behind: u64, now: Instant) -> Option<LagNews> {
        match *self {
            Lag::None if behind == 0 => None,
            Lag::None => {
                *self = Lag::Since(now);
                None
            }
            Lag::Since(_) if behind == 0 => {
                *self = Lag::None;
                None
            }
            Lag::Since(since) if behind >= LAG_RECORDS && now - since >= LAG_AFTER => {
                *self = Lag::Told(now);
                Some(LagNews::Lagging(behind))
            }
            Lag::Told(_) if behind <= NEAR_RECORDS => {
                *self = Lag::None;
                Some(LagNews::CaughtUp)
            }
            Lag::Told(told) if now - told >= LAG_AGAIN => {
                *self = Lag::Told(now);
                Some(LagNews::Lagging(behind))
            }
            Lag::Since(_) | Lag::Told(_) => None,
        }
    }

    /// Whether the client was told that it lags.
    pub fn is_told(self) -> bool {
        matches!(self, Lag::Told(_))
    }
}

/// When the place of a subscription was told, and what has become of it since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    told: Instant,
    moved: bool,
    skipped: bool,
}

impl Place {
    /// Told now, with the answer to the subscription.
    pub fn told(now: Instant) -> Place {
        Place { told: now, moved: false, skipped: false }
    }

    /// Records were sent: the client can tell the place by them.
    pub fn sent(&mut self) {
        self.moved = true;
    }

    /// Records were filtered out: the client cannot know.
    pub fn skipped(&mut self) {
        self.moved = true;
        self.skipped = true;
    }

    /// Whether it may be due at the tail, before the clock is asked.
    pub fn may_be_due(&self) -> bool {
        self.skipped
    }

    /// Whether to tell it at the tail.
    pub fn due_at_tail(&self, now: Instant) -> bool {
        self.skipped && now - self.told >= POSITION_AFTER_SKIP
    }

    /// Whether to tell it at a tick, of which there is one every `heartbeat`.
    pub fn due(&self, now: Instant, heartbeat: Duration) -> bool {
        self.moved && now - self.told >= heartbeat / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_told_late_again_and_again_and_ended_once() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut lag = Lag::default();
        assert_eq!(lag.note(0, at(0)), None);
        // A short way behind, or far behind for a moment, is nothing to tell.
        assert_eq!(lag.note(50_000, at(0)), None);
        assert_eq!(lag.note(50_000, at(1)), None);
        assert_eq!(lag.note(0, at(1)), None);
        assert_eq!(lag.note(900, at(2)), None);
        assert_eq!(lag.note(999, at(9)), None);
        assert_eq!(lag.note(1_000, at(10)), Some(LagNews::Lagging(1_000)));
        assert!(lag.is_told());
        assert_eq!(lag.note(5_000, at(14)), None);
        assert_eq!(lag.note(4_000, at(15)), Some(LagNews::Lagging(4_000)));
        assert_eq!(lag.note(101, at(16)), None);
        assert_eq!(lag.note(100, at(17)), Some(LagNews::CaughtUp));
        assert_eq!(lag.note(100, at(18)), None);
        assert!(!lag.is_told());
    }

    #[test]
    fn a_place_is_told_when_it_moved() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let heartbeat = Duration::from_secs(25);
        let mut place = Place::told(begun);
        assert!(!place.due(at(100), heartbeat) && !place.due_at_tail(at(100)));
        place.sent();
        assert!(place.due(at(25), heartbeat) && !place.due(at(12), heartbeat));
        assert!(!place.due_at_tail(at(25)));
        place.skipped();
        assert!(place.due_at_tail(at(5)) && !place.due_at_tail(at(4)));
    }
}
