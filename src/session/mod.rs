//! One streaming client, whatever carries it: frames in, frames out. Knows no
//! socket and has no timer; the carrier hands in what came, asks for what is
//! to be sent when there is room for it, and says when time has passed.
//!
//! ```text
//!            take ─► parse ─┬─ answers ───────────────────────────┐
//!                           ├─ requests (open, publish) ─ done ───┤
//!                           └─ credit                             ├─► poll_send ─► Outbox
//!   memberships: watched ─► what is held now ─────────────────────┤
//!   subscriptions: wait for the tail ─► in turn ─► read ─► frames ┘
//!            tick ─► heartbeat, positions
//! ```
//!
//! A reader is either idle, in the queue of those that may go, or at work in a
//! future of its own. Only one of a connection reads from the store at a time,
//! and none reads while the outbox is full: a client that does not read holds
//! what is in its outbox and no more.

mod calls;
mod config;
mod deliver;
mod flow;
mod holding;
mod member;
mod members;
mod metrics;
mod outbox;
mod pace;
mod requests;
mod room;
mod sub;
#[cfg(test)]
mod tests;
mod wake;

pub use config::SessionConfig;
pub use outbox::{Frame, FrameKind, Outbox};

use crate::{
    broker::Broker,
    domain::{GroupName, MemberId, limits},
    runtime::Metrics,
    wire::{
        ClientFrame, CloseCode, ClosingNotice, ErrorCode, FrameLimits, HEARTBEAT_FRAME, Hello,
        Problem, Publish, RequestId, SubId, Subscribe, closing_frame, error_frame, hello_frame,
        ok_frame, parse_frame, pong_frame, position_frame,
    },
};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use members::Members;
use metrics::SessionMetrics;
use requests::{PARSE_ASIDE_BYTES, Request};
use room::Room;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use sub::{Delivery, Sub};
use tokio::time::Instant;
use wake::{Serial, Woken};

/// What the program calls itself in `hello`.
const SERVER: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
/// A millisecond for each client: about how long it takes to serve one that
/// connects and subscribes.
const LEAST_SPREAD_MS: u64 = 100;
const MOST_SPREAD_MS: u64 = 10_000;
/// Answers that may wait for a client before no further frame of it is taken.
const WAITING_ANSWERS: usize = 64;
/// How long what is under way may take once the end has begun.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// What all sessions of a gateway share.
pub struct Host {
    broker: Arc<Broker>,
    config: SessionConfig,
    metrics: SessionMetrics,
    room: Room,
}

impl Host {
    /// Sessions over `broker`.
    #[must_use]
    pub fn new(broker: Arc<Broker>, config: SessionConfig, metrics: &Metrics) -> Arc<Host> {
        let metrics = SessionMetrics::new(metrics);
        Arc::new(Host { broker, config, metrics, room: Room::default() })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    fn limits(&self) -> FrameLimits {
        FrameLimits {
            frame_bytes: self.config.frame_bytes,
            subscriptions: self.config.subscriptions,
            keys: limits::MAX_READ_KEYS,
            pending_requests: self.config.pending_requests,
        }
    }
}

/// Why and how a session ends.
struct Ending {
    code: CloseCode,
    after_ms: u64,
    problem: Option<Problem>,
    /// Until then what is under way is waited for.
    until: Instant,
    /// Whether `closing` was put out: nothing comes after it.
    told: bool,
}

/// One client's session.
pub struct Session {
    host: Arc<Host>,
    /// Apart: the table has room for several, and most clients have one.
    subs: HashMap<SubId, Box<Sub>>,
    next_serial: u64,
    woken: Arc<Woken>,
    /// Those that may go, in turn.
    ready: VecDeque<(SubId, Serial)>,
    /// The one that reads from the store.
    reading: Option<(SubId, Serial)>,
    requests: FuturesUnordered<Request>,
    members: Members,
    /// Whether a frame is being parsed aside: the next one has to wait, so
    /// that publishes are stored in the order in which they came.
    parsing: bool,
    /// Small frames that were not put out yet.
    answers: VecDeque<Vec<u8>>,
    last_sent: Instant,
    last_tick: Instant,
    ending: Option<Ending>,
}

impl Session {
    /// A session that begins now, with `hello`. `connection` is its name.
    #[must_use]
    pub fn new(host: &Arc<Host>, connection: &str) -> Session {
        let heartbeat_ms = host.config.heartbeat.as_millis() as u64;
        let limits = host.limits();
        let hello = hello_frame(&Hello { server: SERVER, connection, heartbeat_ms, limits });
        let now = Instant::now();
        host.metrics.open.add(1);
        Session {
            host: Arc::clone(host),
            subs: HashMap::new(),
            next_serial: 0,
            woken: Arc::default(),
            ready: VecDeque::new(),
            reading: None,
            requests: FuturesUnordered::new(),
            members: Members::default(),
            parsing: false,
            answers: VecDeque::from([hello]),
            last_sent: now,
            last_tick: now,
            ending: None,
        }
    }

    /// A session that only says why it ends.
    #[must_use]
    pub fn refused(host: &Arc<Host>, code: CloseCode, problem: Problem) -> Session {
        let mut session = Session::new(host, "");
        session.answers.clear();
        session.close(code, 0, Some(problem));
        session
    }

    /// Whether the next frame of the client may be handed in. While it may
    /// not, none is to be read.
    #[must_use]
    pub fn takes(&self) -> bool {
        self.ending.is_none()
            && !self.parsing
            && self.answers.len() < WAITING_ANSWERS
            && self.requests.len() < self.host.config.pending_requests
    }

    /// Takes a frame of the client.
    pub fn take(&mut self, frame: Bytes) {
        self.host.metrics.frames_in.inc();
        if self.ending.is_some() {
            return;
        }
        if frame.len() > PARSE_ASIDE_BYTES {
            self.parsing = true;
            self.requests.push(requests::parse_aside(&self.host, frame));
        } else {
            self.take_small(&frame);
        }
    }

    fn take_small(&mut self, frame: &[u8]) {
        match parse_frame(frame) {
            Ok(ClientFrame::Ping { id }) => self.answers.push_back(pong_frame(id)),
            // There are no rights yet, so every token will do.
            Ok(ClientFrame::Auth { id }) => self.acknowledge(id),
            Ok(ClientFrame::Subscribe(request)) => self.subscribe(*request),
            Ok(ClientFrame::Unsubscribe { id, sub }) => self.unsubscribe(id, sub),
            Ok(ClientFrame::Credit { sub, records }) => self.credit(sub, records),
            Ok(ClientFrame::Publish(publish)) => self.publish(&publish, frame.len()),
            Ok(ClientFrame::Join(request)) => self.join(*request),
            Ok(ClientFrame::Commit(request)) => self.commit(request),
            Ok(ClientFrame::Release(request)) => self.release(request),
            Err(fault) if fault.fatal => {
                self.host.metrics.refused.inc();
                self.close(CloseCode::BadFrame, 0, Some(fault.problem));
            }
            Err(fault) => self.refuse(fault.id, fault.sub, &fault.problem),
        }
    }

    fn acknowledge(&mut self, id: Option<RequestId>) {
        self.answers.extend(id.map(ok_frame));
    }

    fn refuse(&mut self, id: Option<RequestId>, sub: Option<SubId>, problem: &Problem) {
        self.host.metrics.refused.inc();
        self.answers.push_back(error_frame(id, sub, problem));
    }

    fn subscribe(&mut self, request: Subscribe) {
        let (id, sub) = (request.id, request.sub);
        if let Err(problem) = self.room_for(sub) {
            return self.refuse(Some(id), Some(sub), &problem);
        }
        let Subscribe { credit, encoding, as_, .. } = request;
        let keyed = !request.keys.is_empty();
        let serial = self.add(Delivery { sub, credit, encoding, as_, keyed }, None);
        self.requests.push(requests::open(&self.host, request, serial));
    }

    /// Whether there may be a subscription of this number.
    fn room_for(&self, sub: SubId) -> Result<(), Problem> {
        if self.subs.contains_key(&sub) {
            let detail = format!("there is a subscription {sub} already");
            return Err(Problem::new(ErrorCode::SubscriptionExists, detail));
        }
        let max = self.host.config.subscriptions;
        if self.subs.len() >= max {
            let detail = format!("the connection has {max} subscriptions, as many as it may");
            return Err(Problem::new(ErrorCode::SubscriptionsFull, detail).with("max", max));
        }
        Ok(())
    }

    /// A subscription that is still to be opened; of a member, if it `joins`.
    fn add(&mut self, delivery: Delivery, joins: Option<(GroupName, MemberId)>) -> Serial {
        let serial = Serial(self.next_serial);
        self.next_serial += 1;
        let id = delivery.sub;
        let mut made = Sub::new(delivery, serial, &self.woken, Instant::now());
        made.joins = joins.map(Box::new);
        self.subs.insert(id, Box::new(made));
        self.host.metrics.subscriptions.add(1);
        serial
    }

    fn unsubscribe(&mut self, id: Option<RequestId>, sub: SubId) {
        match self.remove(sub) {
            Some(removed) if self.leave(id, &removed) => {}
            Some(_) => self.acknowledge(id),
            None => self.refuse(id, Some(sub), &unknown(sub)),
        }
    }

    /// Forgets a subscription, and its reader with it.
    fn remove(&mut self, sub: SubId) -> Option<Box<Sub>> {
        let removed = self.subs.remove(&sub)?;
        if self.reading == Some((sub, removed.serial)) {
            self.reading = None;
        }
        self.forgotten(&removed);
        Some(removed)
    }

    fn forgotten(&self, sub: &Sub) {
        self.host.metrics.subscriptions.add(-1);
        if sub.lag.is_told() {
            self.host.metrics.lagging.add(-1);
        }
    }

    fn credit(&mut self, id: SubId, records: u64) {
        let Some(sub) = self.subs.get_mut(&id) else {
            return self.refuse(None, Some(id), &unknown(id));
        };
        let Some(credit) = &mut sub.credit else {
            let detail = format!("subscription {id} was made without credit and needs none");
            let problem = Problem::new(ErrorCode::FrameInvalid, detail);
            return self.refuse(None, Some(id), &problem);
        };
        *credit = credit.saturating_add(records);
        self.enqueue(id);
    }

    fn publish(&mut self, publish: &Publish<'_>, bytes: usize) {
        match requests::prepare(&self.host, publish, bytes) {
            Ok(ready) => self.requests.push(requests::commit(publish.id, ready)),
            Err(problem) => self.refuse(Some(publish.id), None, &problem),
        }
    }

    /// Begins the end: no further frame is taken, what is under way is
    /// answered within a time, and `closing` is the last frame.
    pub fn close(&mut self, code: CloseCode, after_ms: u64, problem: Option<Problem>) {
        if self.ending.is_none() {
            let until = Instant::now() + LAST_ANSWERS;
            self.ending = Some(Ending { code, after_ms, problem, until, told: false });
        }
    }

    /// Begins the end because the gateway stops. Clients come back spread over
    /// a time that grows with their number.
    pub fn stop(&mut self) {
        let open = self.host.metrics.open.get().unsigned_abs();
        let spread = open.clamp(LEAST_SPREAD_MS, MOST_SPREAD_MS);
        self.close(CloseCode::ShuttingDown, fastrand::u64(0..=spread), None);
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the time for last answers is over.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        self.ending.as_ref().is_some_and(|ending| now >= ending.until)
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.host.config
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.host.broker
    }

    /// The code to close with, once `closing` was put out.
    #[must_use]
    pub fn closed(&self) -> Option<CloseCode> {
        self.ending.as_ref().filter(|ending| ending.told).map(|ending| ending.code)
    }

    /// When `tick` is to be called at the latest.
    #[must_use]
    pub fn due(&self) -> Instant {
        let beat = self.last_tick.min(self.last_sent) + self.host.config.heartbeat;
        self.ending.as_ref().map_or(beat, |ending| ending.until.min(beat))
    }

    /// Time has passed: positions and a heartbeat are sent where they are due.
    pub fn tick(&mut self, now: Instant) {
        let heartbeat = self.host.config.heartbeat;
        if now >= self.last_tick + heartbeat {
            self.last_tick = now;
            self.tell_places(now);
        }
        if now >= self.last_sent + heartbeat {
            self.last_sent = now;
            if self.answers.is_empty() && self.ending.is_none() {
                self.answers.push_back(HEARTBEAT_FRAME.to_vec());
            }
        }
    }

    fn tell_places(&mut self, now: Instant) {
        let heartbeat = self.host.config.heartbeat;
        for (id, sub) in &mut self.subs {
            let due = sub.place.due(now, heartbeat);
            match sub.reader() {
                Some(reader) if due => {
                    self.answers.push_back(position_frame(*id, &reader.cursor()));
                    sub.place = pace::Place::told(now);
                }
                // It is asked when it comes back.
                None if due || sub.keyed => sub.recall(),
                Some(_) | None => {}
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.subs.values().for_each(|sub| self.forgotten(sub));
        self.host.metrics.open.add(-1);
    }
}

fn unknown(sub: SubId) -> Problem {
    Problem::new(ErrorCode::SubscriptionUnknown, format!("there is no subscription {sub}"))
}

/// The notice of an ending.
fn closing(ending: &Ending) -> Vec<u8> {
    let Ending { code, after_ms, problem, .. } = ending;
    let notice = ClosingNotice { code: *code, after_ms: *after_ms, problem: problem.as_ref() };
    closing_frame(&notice)
}
