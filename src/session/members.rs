//! Members of groups: a subscription whose partitions the group decides on.
//!
//! ```text
//!   join ─► Membership ─► watch: renews, and tells of each change ─┐
//!                                                                  ▼
//!   client ◄─ revoking, revoked ◄──────────────────────────────  Holding
//!          ◄─ assigned, lost ◄─ places, and a reader of them ◄─────┘
//!   sub's reader: lets go of what it does not hold, takes over what is new
//! ```
//!
//! The watch goes on whether or not the client takes frames: a member is alive
//! while its connection is. What it is told waits until there is room, and is
//! one turn then however often the group changed.

use super::{
    Session, calls,
    calls::Placed,
    member::Member,
    requests::failed,
    sub::{Delivery, Sub},
    wake::Serial,
};
use crate::{
    broker::{BrokerError, Membership, Reader},
    wire::{
        CloseCode, CommitFrame, ErrorCode, JoinFrame, Parts, Problem, ReleaseFrame, RequestId,
        SubId, joined_frame, unsubscribed_frame,
    },
};
use futures_util::{
    Stream,
    future::{AbortHandle, Abortable},
    stream::FuturesUnordered,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A membership, when it has changed or ended.
pub(super) struct Watched {
    sub: SubId,
    serial: Serial,
    membership: Membership,
    outcome: Result<(), BrokerError>,
}

type Watch = Abortable<Pin<Box<dyn Future<Output = Watched> + Send>>>;

/// The members of one connection.
#[derive(Default)]
pub(super) struct Members {
    watches: FuturesUnordered<Watch>,
    /// Those with something to be told.
    changed: Vec<(SubId, Serial)>,
}

impl Members {
    fn watch(&mut self, sub: SubId, serial: Serial, mut membership: Membership) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let watch: Pin<Box<dyn Future<Output = Watched> + Send>> = Box::pin(async move {
            let outcome = membership.changed().await;
            Watched { sub, serial, membership, outcome }
        });
        self.watches.push(Abortable::new(watch, registration));
        handle
    }

    /// The next that has changed. Of those that were aborted nothing is heard.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Watched> {
        while !self.watches.is_empty() {
            match Pin::new(&mut self.watches).poll_next(cx) {
                Poll::Ready(Some(Ok(watched))) => return Poll::Ready(watched),
                Poll::Ready(Some(Err(_)) | None) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// Notes that a member is to be told something.
    pub fn note(&mut self, sub: SubId, serial: Serial) {
        if !self.changed.contains(&(sub, serial)) {
            self.changed.push((sub, serial));
        }
    }
}

impl Session {
    pub(super) fn join(&mut self, request: JoinFrame) {
        let (id, sub) = (request.id, request.sub);
        if let Err(problem) = self.room_for(sub) {
            return self.refuse(Some(id), Some(sub), &problem);
        }
        let JoinFrame { credit, encoding, as_, .. } = request;
        let delivery = Delivery { sub, credit, encoding, as_, keyed: false };
        let serial = self.add(delivery, request.member.clone().map(|m| (request.group.clone(), m)));
        self.requests.push(calls::join(&self.host, request, serial));
    }

    pub(super) fn joined(
        &mut self,
        id: RequestId,
        sub_id: SubId,
        serial: Serial,
        membership: Result<Membership, BrokerError>,
    ) {
        let known = self.subs.get_mut(&sub_id).filter(|sub| sub.serial == serial);
        let membership = match membership {
            Ok(membership) => membership,
            Err(error) => {
                let is_known = known.is_some();
                self.refuse(Some(id), Some(sub_id), &failed(error));
                if is_known {
                    self.remove(sub_id);
                }
                return;
            }
        };
        let lease = membership.lease();
        let (generation, timeout) = (lease.generation, lease.session_timeout);
        self.answers.push_back(joined_frame(id, sub_id, &lease.member, generation, timeout));
        let Some(sub) = known else {
            // It was unsubscribed before it had joined.
            return self.requests.push(calls::leave(membership, None));
        };
        let watch = self.members.watch(sub_id, serial, membership.clone());
        sub.member = Some(Box::new(Member::new(membership, watch)));
        sub.put(Reader::of_nothing(&self.host.broker));
        self.members.note(sub_id, serial);
        self.enqueue(sub_id);
    }

    /// Goes on with memberships, whether or not the client takes frames.
    pub(super) fn poll_members(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(watched) = self.members.poll_changed(cx) {
            let Watched { sub: id, serial, membership, outcome } = watched;
            let known = self.subs.get_mut(&id).filter(|sub| sub.serial == serial);
            let Some(member) = known.and_then(|sub| sub.member.as_mut()) else { continue };
            match outcome {
                Ok(()) => {
                    member.holding.note(membership.lease().clone());
                    member.calls = membership.clone();
                    member.watch = self.members.watch(id, serial, membership);
                    self.members.note(id, serial);
                }
                Err(error) => self.ended(id, membership, failed(error)),
            }
        }
    }

    /// A membership is over.
    fn ended(&mut self, id: SubId, was: Membership, problem: Problem) {
        self.remove(id);
        let me = was.member();
        let (group, member) = (&me.group, &me.member);
        let replaced = problem.code == ErrorCode::MemberReplaced;
        // By another subscription of this connection, which is no newer one.
        let here = |sub: &Sub| {
            sub.member.as_ref().is_some_and(|other| other.is(group, member))
                || sub.joins.as_ref().is_some_and(|joins| (&joins.0, &joins.1) == (group, member))
        };
        if replaced && !self.subs.values().any(|sub| here(sub)) {
            return self.close(CloseCode::Replaced, 0, Some(problem));
        }
        self.answers.push_back(unsubscribed_frame(id, &problem));
    }

    /// Tells members what has become of what they hold.
    pub(super) fn tell_members(&mut self) {
        for (id, serial) in std::mem::take(&mut self.members.changed) {
            let known = self.subs.get_mut(&id).filter(|sub| sub.serial == serial);
            let Some(sub) = known else { continue };
            let Some(member) = &mut sub.member else { continue };
            member.tell(id, &mut self.answers);
            let missing = member.holding.missing();
            if !missing.is_empty() && !member.looking {
                member.looking = true;
                let member = member.calls.clone();
                self.requests.push(calls::places(&self.host, member, missing, id, serial));
            }
            sub.refit();
            self.enqueue(id);
        }
    }

    /// Places were looked for.
    pub(super) fn placed(
        &mut self,
        id: SubId,
        serial: Serial,
        asked: &Parts,
        placed: Result<Placed, BrokerError>,
    ) {
        let known = self.subs.get_mut(&id).filter(|sub| sub.serial == serial);
        let Some(member) = known.and_then(|sub| sub.member.as_mut()) else { return };
        member.looking = false;
        match placed {
            Ok(Placed { places, reader }) => {
                member.take(asked, places, reader);
                self.members.note(id, serial);
            }
            // The watch says so too, and what it means.
            Err(BrokerError::Group(_)) => {}
            Err(error) => {
                let problem = failed(error);
                if problem.code.retryable() {
                    return self.members.note(id, serial);
                }
                self.answers.push_back(unsubscribed_frame(id, &problem));
                self.remove(id);
            }
        }
    }

    pub(super) fn commit(&mut self, request: CommitFrame) {
        let (id, sub) = (request.id, request.sub);
        match self.member(sub) {
            Ok((member, serial)) => self.requests.push(calls::commit(member, request, serial)),
            Err(problem) => self.refuse(Some(id), Some(sub), &problem),
        }
    }

    /// A commit is durable: what waited for one has a place now.
    pub(super) fn committed(&mut self, id: SubId, serial: Serial, parts: &Parts) {
        let known = self.subs.get_mut(&id).filter(|sub| sub.serial == serial);
        let Some(member) = known.and_then(|sub| sub.member.as_mut()) else { return };
        if member.holding.committed(parts) {
            self.members.note(id, serial);
        }
    }

    pub(super) fn release(&mut self, request: ReleaseFrame) {
        let (id, sub) = (request.id, request.sub);
        match self.member(sub) {
            Ok((member, _)) => self.requests.push(calls::release(member, request)),
            Err(problem) => self.refuse(id, Some(sub), &problem),
        }
    }

    /// Whether a reader that failed can go on: a member's, of whose topics one
    /// is gone. Its group follows.
    pub(super) fn goes_on_without(&mut self, id: SubId, error: &BrokerError) -> bool {
        let Some(sub) = self.subs.get_mut(&id) else { return false };
        let (Some(member), Some(topic)) = (&mut sub.member, error.topic_gone()) else {
            return false;
        };
        if !member.lose(topic) {
            return false;
        }
        let serial = sub.serial;
        sub.refit();
        self.members.note(id, serial);
        true
    }

    /// The member that a subscription is.
    fn member(&self, id: SubId) -> Result<(Membership, Serial), Problem> {
        let Some(sub) = self.subs.get(&id) else { return Err(super::unknown(id)) };
        match &sub.member {
            Some(member) => Ok((member.calls.clone(), sub.serial)),
            None => {
                let detail = format!("subscription {id} is no member of a group");
                Err(Problem::new(ErrorCode::FrameInvalid, detail))
            }
        }
    }

    /// A member that goes: by its own will it leaves its group.
    pub(super) fn leave(&mut self, id: Option<RequestId>, sub: &Sub) -> bool {
        let Some(member) = &sub.member else { return false };
        self.requests.push(calls::leave(member.calls.clone(), id));
        true
    }
}
