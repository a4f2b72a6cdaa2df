//! The way out: answers first, then what subscriptions have, each in turn, for
//! as long as there is room.

use super::{
    Session, closing,
    deliver::{Origin, Target, deliver, runs},
    outbox::{Frame, FrameKind, Outbox},
    pace::{Lag, LagNews, Place},
    requests::{self, Done, failed},
    room::Held,
    sub::Outcome,
    wake::Serial,
};
use crate::{
    broker::{BrokerError, ReadEvent, Reader},
    wire::{
        LostNotice, Problem, RequestId, SubId, caught_up_frame, error_frame, lagging_frame,
        lost_frame, position_frame, subscribed_frame, unsubscribed_frame,
    },
};
use bytes::Bytes;
use futures_util::Stream;
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::Instant;

impl Session {
    /// Puts out what there is to send, until the outbox is full. Ready when
    /// something was put out; otherwise the task is woken when there is more.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut impl Outbox) -> Poll<()> {
        self.woken.register(cx.waker());
        let mut sent = 0;
        loop {
            let before = sent;
            // A subscription's answer comes before its records.
            sent += self.finish_requests(cx);
            self.poll_members(cx);
            if !out.is_full() {
                self.tell_members();
            }
            sent += self.put_answers(out);
            if self.ending.is_some() {
                sent += self.put_closing(out);
            } else if !out.is_full() {
                sent += self.look_at_woken(out);
                sent += self.serve_ready(out);
            }
            if sent == before || (out.is_full() && self.answers.is_empty()) {
                break;
            }
        }
        if sent == 0 {
            // One that came to nothing this time goes on with the next look,
            // and lets other tasks go before.
            let goes_on = self.ending.is_none() && self.reading.is_none();
            if goes_on && !self.ready.is_empty() && !out.is_full() {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        self.last_sent = Instant::now();
        Poll::Ready(())
    }

    /// Goes on with requests while nothing can be put out; their answers wait.
    pub fn poll_requests(&mut self, cx: &mut Context<'_>) {
        self.finish_requests(cx);
        self.poll_members(cx);
    }

    fn put_answers(&mut self, out: &mut impl Outbox) -> usize {
        let count = self.answers.len();
        for answer in self.answers.drain(..) {
            push(out, answer);
        }
        self.host.metrics.frames_out.add(count as u64);
        count
    }

    fn put_closing(&mut self, out: &mut impl Outbox) -> usize {
        let waits = !self.requests.is_empty() || !self.answers.is_empty();
        let Some(ending) = &mut self.ending else { return 0 };
        if ending.told || (waits && Instant::now() < ending.until) {
            return 0;
        }
        ending.told = true;
        push(out, closing(ending));
        self.host.metrics.frames_out.inc();
        1
    }

    /// Answers the requests that are done.
    fn finish_requests(&mut self, cx: &mut Context<'_>) -> usize {
        let mut done = 0;
        // Asked without need, an empty set would be told of as ended.
        while !self.requests.is_empty()
            && let Poll::Ready(Some(request)) = Pin::new(&mut self.requests).poll_next(cx)
        {
            self.finish(request);
            done += 1;
        }
        done
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Opened { id, sub, serial, reader } => self.opened(id, sub, serial, reader),
            Done::Parsed(id, ready) => {
                self.parsing = false;
                match ready {
                    Ok(ready) => self.requests.push(requests::commit(id, ready)),
                    Err(problem) => self.refuse(Some(id), None, &problem),
                }
            }
            Done::NoPublish(frame) => {
                self.parsing = false;
                self.take_small(&frame);
            }
            Done::NotParsed(problem) => {
                self.parsing = false;
                self.refuse(None, None, &problem);
            }
            Done::Joined { id, sub, serial, membership } => {
                self.joined(id, sub, serial, membership);
            }
            Done::Placed { sub, serial, asked, placed } => {
                self.placed(sub, serial, &asked, placed);
            }
            Done::Committed { sub, serial, parts, answer } => {
                self.answers.push_back(answer);
                self.committed(sub, serial, &parts);
            }
            Done::Answer(answer, problem) => {
                if problem.is_some() {
                    self.host.metrics.refused.inc();
                }
                self.answers.extend(answer);
            }
        }
    }

    fn opened(
        &mut self,
        id: RequestId,
        sub_id: SubId,
        serial: Serial,
        reader: Result<Reader, BrokerError>,
    ) {
        let known = self.subs.get_mut(&sub_id).filter(|sub| sub.serial == serial);
        match (reader, known) {
            (Ok(reader), known) => {
                self.answers.push_back(subscribed_frame(id, sub_id, &reader.cursor()));
                // It may have been unsubscribed before it was open.
                if let Some(sub) = known {
                    sub.put(reader);
                    self.enqueue(sub_id);
                }
            }
            (Err(error), known) => {
                let problem = failed(error);
                self.answers.push_back(error_frame(Some(id), Some(sub_id), &problem));
                self.host.metrics.refused.inc();
                if known.is_some() {
                    self.remove(sub_id);
                }
            }
        }
    }

    /// Puts a subscription in the queue, if it may go and is not there.
    pub(super) fn enqueue(&mut self, id: SubId) {
        let Some(sub) = self.subs.get_mut(&id) else { return };
        if sub.may_go() && !sub.queued {
            sub.queued = true;
            self.ready.push_back((id, sub.serial));
        }
    }

    /// Looks at the work of those that were woken.
    fn look_at_woken(&mut self, out: &mut impl Outbox) -> usize {
        let mut woken = vec![];
        self.woken.take(&mut woken);
        let mut sent = 0;
        for (id, serial) in woken {
            let known = self.subs.get_mut(&id).filter(|sub| sub.serial == serial);
            let Some(sub) = known else { continue };
            match sub.poll_work() {
                Poll::Pending => {}
                Poll::Ready(outcome) => sent += self.came_back(id, serial, outcome, out),
            }
        }
        sent
    }

    fn came_back(
        &mut self,
        id: SubId,
        serial: Serial,
        outcome: Outcome,
        out: &mut impl Outbox,
    ) -> usize {
        let Some(sub) = self.subs.get_mut(&id) else { return 0 };
        match outcome {
            Outcome::Woken(reader) => {
                // What woke it is read at hand, if it is.
                sub.put_woken(reader);
                self.enqueue(id);
                0
            }
            Outcome::Recalled(reader) => {
                let now = Instant::now();
                // With keys it moves at the tail without a word.
                if sub.keyed {
                    sub.place.skipped();
                }
                let due = sub.place.due(now, self.host.config.heartbeat);
                sub.put_woken(reader);
                self.enqueue(id);
                if due { self.tell_place(id, now, out) } else { 0 }
            }
            Outcome::Read(reader, event, held) => {
                if self.reading == Some((id, serial)) {
                    self.reading = None;
                }
                let event = event.map(|event| event.map(|event| sub.admit(event)));
                sub.put(reader);
                self.take_event(id, event, held, out)
            }
        }
    }

    /// Lets those in the queue go, each one read at a time.
    fn serve_ready(&mut self, out: &mut impl Outbox) -> usize {
        let mut sent = 0;
        for _ in 0..self.ready.len() {
            if out.is_full() {
                break;
            }
            let Some((id, serial)) = self.ready.pop_front() else { break };
            let known = self.subs.get_mut(&id).filter(|sub| sub.serial == serial);
            let Some(sub) = known else { continue };
            if !sub.may_go() {
                sub.queued = false;
                continue;
            }
            if let Some(event) = sub.read_now() {
                sub.queued = false;
                sent += self.take_event(id, event, None, out);
            } else if self.reading.is_none() {
                sub.queued = false;
                self.reading = Some((id, serial));
                sub.start_read(&self.host.room);
                sent += self.look_at(id, serial, out);
            } else {
                // Its turn comes when the one that reads is done.
                self.ready.push_back((id, serial));
            }
        }
        sent
    }

    /// Looks at work that was just started, which makes it wake.
    fn look_at(&mut self, id: SubId, serial: Serial, out: &mut impl Outbox) -> usize {
        match self.subs.get_mut(&id).map(|sub| sub.poll_work()) {
            Some(Poll::Ready(outcome)) => self.came_back(id, serial, outcome, out),
            Some(Poll::Pending) | None => 0,
        }
    }

    /// What a read of an idle subscription came to.
    fn take_event(
        &mut self,
        id: SubId,
        event: Result<Option<ReadEvent>, BrokerError>,
        held: Option<Held>,
        out: &mut impl Outbox,
    ) -> usize {
        match event {
            Ok(Some(event)) => match self.put_event(id, event, held, out) {
                Ok(put) => put + self.go_on(id, out),
                Err(problem) => self.end(id, &problem, out),
            },
            Ok(None) => self.rest(id, out),
            Err(error) if self.goes_on_without(id, &error) => self.go_on(id, out),
            Err(error) => self.end(id, &failed(error), out),
        }
    }

    fn put_event(
        &mut self,
        id: SubId,
        event: ReadEvent,
        mut held: Option<Held>,
        out: &mut impl Outbox,
    ) -> Result<usize, Problem> {
        let Some(sub) = self.subs.get_mut(&id) else { return Ok(0) };
        let metrics = &self.host.metrics;
        match event {
            ReadEvent::Records { topic, partition, epoch, batches } => {
                let origin = Origin { topic: &topic.name, partition, epoch };
                let (encoding, encoder) = (sub.encoding, sub.encoder);
                let to = Target { sub: id, encoding, encoder, head: &sub.head };
                let records = batches.iter().map(|batch| u64::from(batch.batch.count)).sum();
                let (mut frames, mut runs) = (0, runs(&batches).peekable());
                while let Some(run) = runs.next() {
                    let held = if runs.peek().is_none() { held.take() } else { None };
                    deliver(run, origin, to, held, out)?;
                    frames += 1;
                }
                metrics.frames_out.add(frames as u64);
                metrics.delivered.add(records);
                sub.credit = sub.credit.map(|credit| credit.saturating_sub(records));
                sub.place.sent();
                Ok(frames)
            }
            ReadEvent::Lost { topic, partition, range } => {
                push(out, lost_frame(id, &LostNotice::new(&topic.name, partition, range)));
                metrics.frames_out.inc();
                Ok(1)
            }
            ReadEvent::Skipped => {
                sub.place.skipped();
                Ok(0)
            }
            ReadEvent::Full => Ok(0),
        }
    }

    /// After a read: to the end of the queue, or at the tail to wait.
    fn go_on(&mut self, id: SubId, out: &mut impl Outbox) -> usize {
        let behind = self.subs.get(&id).and_then(|sub| sub.reader()).map_or(0, Reader::behind);
        if behind == 0 {
            return self.rest(id, out);
        }
        let told = self.tell_lag(id, behind, out);
        self.enqueue(id);
        told
    }

    /// At the tail: says what is to be said there, and waits.
    fn rest(&mut self, id: SubId, out: &mut impl Outbox) -> usize {
        let mut sent = self.tell_lag(id, 0, out);
        let Some(sub) = self.subs.get_mut(&id) else { return sent };
        if sub.place.may_be_due() {
            let now = Instant::now();
            if sub.place.due_at_tail(now) {
                sent += self.tell_place(id, now, out);
            }
        }
        let Some(sub) = self.subs.get_mut(&id) else { return sent };
        sub.start_wait();
        let serial = sub.serial;
        sent + self.look_at(id, serial, out)
    }

    fn tell_lag(&mut self, id: SubId, behind: u64, out: &mut impl Outbox) -> usize {
        let Some(sub) = self.subs.get_mut(&id) else { return 0 };
        // Nearly always; the clock need not be asked.
        if behind == 0 && sub.lag == Lag::None {
            return 0;
        }
        let before = sub.lag.is_told();
        let Some(news) = sub.lag.note(behind, Instant::now()) else { return 0 };
        let metrics = &self.host.metrics;
        metrics.lagging.add(i64::from(sub.lag.is_told()) - i64::from(before));
        metrics.frames_out.inc();
        let frame = match news {
            LagNews::Lagging(behind) => lagging_frame(id, behind),
            LagNews::CaughtUp => caught_up_frame(id),
        };
        push(out, frame);
        1
    }

    fn tell_place(&mut self, id: SubId, now: Instant, out: &mut impl Outbox) -> usize {
        let Some(sub) = self.subs.get_mut(&id) else { return 0 };
        let Some(reader) = sub.reader() else { return 0 };
        push(out, position_frame(id, &reader.cursor()));
        sub.place = Place::told(now);
        self.host.metrics.frames_out.inc();
        1
    }

    /// The gateway ends a subscription.
    fn end(&mut self, id: SubId, problem: &Problem, out: &mut impl Outbox) -> usize {
        push(out, unsubscribed_frame(id, problem));
        self.host.metrics.frames_out.inc();
        self.remove(id);
        1
    }
}

fn push(out: &mut impl Outbox, frame: Vec<u8>) {
    out.push(Frame { kind: FrameKind::Text, head: &[], body: Bytes::from(frame) });
}
