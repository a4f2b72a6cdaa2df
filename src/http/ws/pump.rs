//! One WebSocket's task: carries frames between socket and session, and time
//! to both. All that it reacts to is looked at in one poll, so that a socket
//! costs one task and one timer.

use super::{
    pulse::{Beat, Pulse},
    socket::{Incoming, Socket},
};
use crate::{
    http::connection::{Order, Serving},
    session::{Session, SessionConfig},
    wire::CloseCode,
};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// How long a client may take to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Which part of a heartbeat's time does not matter.
const SLACK: u32 = 16;

/// A connection that goes on, or how it ended.
enum Step {
    /// There may be more to do at once.
    On,
    /// Nothing to do until the task is woken.
    Rest,
    /// It is over.
    Over,
}

/// The two ends of one connection.
pub(super) struct Pump {
    socket: Socket,
    session: Session,
    /// Keeps the connection from being taken for an idle one.
    serving: Serving,
    pulse: Pulse,
    timer: Pin<Box<Sleep>>,
    /// Once the close is out: until when the client may answer it.
    closed: Option<Instant>,
}

impl Pump {
    pub fn new(socket: Socket, session: Session, serving: Serving) -> Pump {
        let timer = Box::pin(tokio::time::sleep_until(session.due()));
        let SessionConfig { heartbeat, ping_timeout, .. } = *session.config();
        let pulse = Pulse::new(heartbeat, ping_timeout, Instant::now());
        Pump { socket, session, serving, pulse, timer, closed: None }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Result<Step, io::Error> {
        match self.serving.order(cx.waker()) {
            Order::GoOn => {}
            Order::Finish if !self.session.is_ending() => {
                self.session.stop();
                self.look_sooner();
            }
            Order::Finish => {}
            Order::Cut => return Ok(Step::Over),
        }
        let mut step = Step::Rest;
        let flushed = self.socket.poll_flush(cx)?.is_ready();
        while self.closed.is_some() || self.session.takes() {
            if !self.socket.queue.takes_control() {
                break;
            }
            match self.socket.poll_next(self.session.broker(), cx) {
                Poll::Pending => break,
                Poll::Ready(Incoming::Closed) => return Ok(Step::Over),
                Poll::Ready(incoming) => self.take(incoming),
            }
            step = Step::On;
        }
        if flushed && self.closed.is_none() {
            if self.session.poll_send(cx, &mut self.socket.queue).is_ready() {
                step = Step::On;
            }
            if let Some(code) = self.session.closed() {
                self.socket.close(code, cx);
                self.end_at(Instant::now() + CLOSE_WAIT);
                step = Step::On;
            }
        } else if flushed && self.socket.queue.is_empty() {
            let _shut = self.socket.poll_shutdown(cx);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            if self.time_passed(!flushed) {
                return Ok(Step::Over);
            }
            step = Step::On;
        }
        let more = flushed && !self.socket.queue.is_empty();
        Ok(if more { Step::On } else { step })
    }

    fn take(&mut self, incoming: Incoming) {
        self.pulse.heard(Instant::now(), self.socket.queue.written());
        if self.closed.is_some() {
            return;
        }
        match incoming {
            Incoming::Frame(frame) => self.session.take(frame),
            Incoming::Heard | Incoming::Closed => {}
            Incoming::Bad(problem) => self.session.close(CloseCode::BadFrame, 0, Some(problem)),
            Incoming::Overloaded => self.session.close(CloseCode::OverCapacity, 0, None),
        }
        self.look_sooner();
    }

    /// The session may be due earlier than it was.
    fn look_sooner(&mut self) {
        let due = self.session.due();
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }

    fn end_at(&mut self, at: Instant) {
        self.closed = Some(at);
        self.timer.as_mut().reset(at);
    }

    /// The timer rang. Whether the connection has had its time.
    fn time_passed(&mut self, blocked: bool) -> bool {
        let now = Instant::now();
        if let Some(until) = self.closed {
            return now >= until;
        }
        if blocked && self.session.is_late(now) {
            // It takes nothing, so it cannot be told.
            return true;
        }
        // What is due in a moment is done now: one look and one write for a
        // ping and a heartbeat, which are due at nearly the same time.
        let now = now + self.session.config().heartbeat / SLACK;
        let written = self.socket.queue.written();
        match self.pulse.beat(now, written, blocked) {
            Beat::Quiet => {}
            Beat::Ping => self.socket.queue.ping(),
            Beat::Dead => self.session.close(CloseCode::PingTimeout, 0, None),
        }
        self.session.tick(now);
        // Not at once again, whatever is due: a client that takes nothing is
        // looked at in a while.
        let soon = Instant::now() + Duration::from_millis(10);
        let next = self.session.due().min(self.pulse.due(written)).max(soon);
        self.timer.as_mut().reset(next);
        false
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.step(cx) {
                Ok(Step::On) => {}
                Ok(Step::Rest) => return Poll::Pending,
                Ok(Step::Over) => return Poll::Ready(()),
                Err(error) => {
                    tracing::debug!(%error, "a WebSocket ended badly");
                    return Poll::Ready(());
                }
            }
        }
    }
}
