//! Whether a client is still there: pings, and how long to wait for a sign of
//! life. Pure, with the time passed in.

use std::time::Duration;
use tokio::time::Instant;

/// What the slowest client that is worth waiting for reads in a second. What
/// was written before a ping has to be read before it.
const SLOW_BYTES_PER_SECOND: u64 = 8 << 10;
/// However much was written, a client is not waited for longer than this: the
/// buffers on the way hold no more than a few megabytes.
const LONGEST: Duration = Duration::from_secs(300);

/// What is to be done about a silent client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing yet.
    Quiet,
    /// It is asked for a sign of life.
    Ping,
    /// It is gone.
    Dead,
}

/// One client's signs of life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    every: Duration,
    timeout: Duration,
    heard: Instant,
    /// Bytes written when it was heard.
    written: u64,
    /// When it was asked.
    pinged: Option<Instant>,
}

impl Pulse {
    /// Of a client that was just heard. It is asked after silence of `every`,
    /// and has `timeout` to answer.
    pub fn new(every: Duration, timeout: Duration, now: Instant) -> Pulse {
        Pulse { every, timeout, heard: now, written: 0, pinged: None }
    }

    /// Something came; `written` bytes had been written until now.
    pub fn heard(&mut self, now: Instant, written: u64) {
        (self.heard, self.written, self.pinged) = (now, written, None);
    }

    /// When to look again.
    pub fn due(&self, written: u64) -> Instant {
        match self.pinged {
            None => self.heard + self.every,
            Some(pinged) => pinged + self.patience(written),
        }
    }

    /// What to do now. While `blocked` the client takes nothing, so that a
    /// ping could not reach it: that is for the bound on unread writes.
    pub fn beat(&mut self, now: Instant, written: u64, blocked: bool) -> Beat {
        if blocked {
            // Its time runs from when it reads again.
            self.pinged = self.pinged.map(|_| now);
            self.heard = now.max(self.heard);
            return Beat::Quiet;
        }
        if now < self.due(written) {
            return Beat::Quiet;
        }
        match self.pinged {
            Some(_) => Beat::Dead,
            None => {
                self.pinged = Some(now);
                Beat::Ping
            }
        }
    }

    fn patience(&self, written: u64) -> Duration {
        let behind = written.saturating_sub(self.written) / SLOW_BYTES_PER_SECOND;
        let most = LONGEST.max(self.timeout);
        (self.timeout + Duration::from_secs(behind)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> (Pulse, impl Fn(u64) -> Instant) {
        let begun = Instant::now();
        let pulse = Pulse::new(Duration::from_secs(25), Duration::from_secs(60), begun);
        (pulse, move |seconds| begun + Duration::from_secs(seconds))
    }

    #[test]
    fn a_silent_client_is_asked_and_then_given_up() {
        let (mut pulse, at) = pulse();
        assert_eq!(pulse.beat(at(24), 0, false), Beat::Quiet);
        assert_eq!(pulse.beat(at(25), 0, false), Beat::Ping);
        assert_eq!(pulse.beat(at(84), 0, false), Beat::Quiet);
        assert_eq!(pulse.beat(at(85), 0, false), Beat::Dead);
    }

    #[test]
    fn any_sign_of_life_begins_anew() {
        let (mut pulse, at) = pulse();
        assert_eq!(pulse.beat(at(25), 0, false), Beat::Ping);
        pulse.heard(at(30), 0);
        assert_eq!(pulse.beat(at(54), 0, false), Beat::Quiet);
        assert_eq!(pulse.beat(at(55), 0, false), Beat::Ping);
    }

    #[test]
    fn a_slow_client_has_time_for_what_lies_before_the_ping() {
        let (mut pulse, at) = pulse();
        let megabyte = 1 << 20;
        assert_eq!(pulse.beat(at(25), megabyte, false), Beat::Ping);
        // 128 s for the megabyte.
        assert_eq!(pulse.beat(at(25 + 60 + 127), megabyte, false), Beat::Quiet);
        assert_eq!(pulse.beat(at(25 + 60 + 128), megabyte, false), Beat::Dead);
        let (mut pulse, at) = self::pulse();
        assert_eq!(pulse.beat(at(25), 1 << 40, false), Beat::Ping);
        assert_eq!(pulse.beat(at(25 + 300), 1 << 40, false), Beat::Dead);
    }

    #[test]
    fn a_client_that_takes_nothing_is_not_given_up_here() {
        let (mut pulse, at) = pulse();
        assert_eq!(pulse.beat(at(25), 0, false), Beat::Ping);
        assert_eq!(pulse.beat(at(200), 0, true), Beat::Quiet);
        assert_eq!(pulse.beat(at(259), 0, false), Beat::Quiet);
        assert_eq!(pulse.beat(at(260), 0, false), Beat::Dead);
    }
}
