//! One member: whose it is, what it holds, how long it may be silent.

use super::{
    context::GroupConsumer,
    lease::{Held, Place},
};
use crate::{
    domain::{GroupName, MemberId, Principal, StartPolicy, TopicName},
    engine::{EngineError, GroupCommit, GroupError, JoinRequest, Lease, MemberRef},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// What was committed last of the places that a member holds; `None` where
/// nothing was. What is not here was not asked for yet.
pub(super) type Known = BTreeMap<Place, Option<GroupCommit>>;

/// Why a member is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It left.
    Left,
    /// It was silent for too long.
    Expired,
    /// It joined by a connection to another gateway, which serves it now.
    Moved,
    /// Kafka does not let it in.
    Refused(GroupError),
    /// The gateway ends.
    Closed,
}

/// A member of a group.
pub(super) struct Member {
    pub group: GroupName,
    pub id: MemberId,
    consumer: Mutex<Option<Arc<GroupConsumer>>>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Has the driver look.
    pub wake: Arc<Notify>,
    /// Held while it commits, and while partitions are let go of.
    pub commits: Arc<tokio::sync::Mutex<Known>>,
    closed: watch::Sender<bool>,
}

/// A member while somebody joins as it. Until this is dropped it is not silent,
/// and the directory may not have it here yet.
pub(super) struct Joining(Arc<Member>);

impl Deref for Joining {
    type Target = Arc<Member>;

    fn deref(&self) -> &Arc<Member> {
        &self.0
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.joins -= 1;
        state.expires = Instant::now() + state.session_timeout;
    }
}

struct State {
    principal: Principal,
    topics: BTreeSet<TopicName>,
    from: StartPolicy,
    session_timeout: Duration,
    session: u64,
    held: Held,
    /// Joins that are under way.
    joins: usize,
    /// When it has been silent for too long, unless somebody joins as it.
    expires: Instant,
    /// Whether Kafka's group has answered it once.
    settled: bool,
    gone: Option<Gone>,
}

impl Member {
    pub(super) fn new(
        id: MemberId,
        request: &JoinRequest,
        session: u64,
        (consumer, wake): (GroupConsumer, Arc<Notify>),
    ) -> Member {
        let state = State {
            principal: request.principal.clone(),
            topics: request.topics.clone(),
            from: request.from,
            session_timeout: request.session_timeout,
            session,
            held: Held::default(),
            joins: 0,
            expires: Instant::now() + request.session_timeout,
            settled: false,
            gone: None,
        };
        Member {
            group: request.group.clone(),
            id,
            consumer: Mutex::new(Some(Arc::new(consumer))),
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            wake,
            commits: Arc::default(),
            closed: watch::Sender::new(false),
        }
    }

    /// Its part in Kafka's group; `None` once it has left.
    pub(super) fn consumer(&self) -> Option<Arc<GroupConsumer>> {
        self.consumer.lock().clone()
    }

    /// Takes that away, to be closed.
    pub(super) fn take_consumer(&self) -> Option<Arc<GroupConsumer>> {
        self.consumer.lock().take()
    }

    /// The same member comes again. Answers whether it wants other topics now.
    pub(super) fn join_again(
        self: &Arc<Member>,
        by: &JoinRequest,
        session: u64,
    ) -> Result<(Joining, bool), GroupError> {
        let mut state = self.state.lock();
        state.check_principal(&self.id, &by.principal)?;
        state.check_there(self, Instant::now())?;
        state.session = session;
        state.from = by.from;
        state.session_timeout = by.session_timeout;
        state.joins += 1;
        state.held.touch();
        let others = state.topics != by.topics;
        state.topics.clone_from(&by.topics);
        drop(state);
        self.tell();
        Ok((Joining(Arc::clone(self)), others))
    }

    /// Whether the caller is this member, by its newest connection; renews its
    /// session.
    pub(super) fn enter(&self, by: &MemberRef) -> Result<(), GroupError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.check(self, by, now)?;
        state.expires = now + state.session_timeout;
        Ok(())
    }

    /// What it holds, unless it is none any more.
    pub(super) fn lease(&self) -> Result<Lease, GroupError> {
        let now = Instant::now();
        let state = self.state.lock();
        state.check_there(self, now)?;
        Ok(state.lease(&self.id, now))
    }

    /// What it holds and wants, as others see it.
    pub(super) fn view(&self) -> (Lease, BTreeSet<TopicName>) {
        let state = self.state.lock();
        (state.lease(&self.id, Instant::now()), state.topics.clone())
    }

    /// Its lease, once it is of another version than `seen`.
    pub(super) async fn changed(&self, by: &MemberRef, seen: u64) -> Result<Lease, GroupError> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            {
                let (state, now) = (self.state.lock(), Instant::now());
                state.check(self, by, now)?;
                if state.held.version() != seen {
                    return Ok(state.lease(&self.id, now));
                }
            }
            // The sender is in `self`.
            let _ = changes.changed().await;
        }
    }

    /// Waits until Kafka's group has answered it for the first time, or it is
    /// none any more.
    pub(super) async fn settled(&self) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            {
                let state = self.state.lock();
                if state.settled || state.gone.is_some() {
                    return;
                }
            }
            let _ = changes.changed().await;
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.state.lock().settled
    }

    /// Changes what it holds, and says so.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        let done = change(&mut self.state.lock().held);
        self.tell();
        done
    }

    /// Looks at what it holds.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.state.lock().held)
    }

    /// Kafka's group has answered.
    pub(super) fn settle(&self) {
        self.state.lock().settled = true;
        self.tell();
    }

    /// It is none any more; the first reason counts. The driver closes it.
    pub(super) fn end(&self, why: Gone) {
        self.state.lock().gone.get_or_insert(why);
        self.tell();
        self.wake.notify_one();
    }

    /// Whose it is.
    pub(super) fn principal(&self) -> Principal {
        self.state.lock().principal.clone()
    }

    /// Somebody joins as this member, which is new.
    pub(super) fn joining(self: &Arc<Member>) -> Joining {
        self.state.lock().joins += 1;
        Joining(Arc::clone(self))
    }

    /// By which join it is here; `None` while somebody joins, or when it is none
    /// any more.
    pub(super) fn joined(&self) -> Option<u64> {
        self.state.lock().joined()
    }

    /// It is none any more if it has been silent for too long.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.gone.is_none() && state.expires(now) <= now {
            state.gone = Some(Gone::Expired);
            drop(state);
            self.tell();
        }
    }

    /// It is served elsewhere, unless somebody has joined as it here since
    /// `joined`.
    pub(super) fn move_away(&self, joined: u64) {
        let mut state = self.state.lock();
        if state.joined() == Some(joined) {
            state.gone = Some(Gone::Moved);
            drop(state);
            self.tell();
        }
    }

    pub(super) fn gone(&self) -> Option<Gone> {
        self.state.lock().gone.clone()
    }

    pub(super) fn expires(&self) -> Instant {
        self.state.lock().expires(Instant::now())
    }

    /// It has left Kafka's group.
    pub(super) fn has_closed(&self) {
        self.closed.send_replace(true);
    }

    /// Waits for that.
    pub(super) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn tell(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
}

impl State {
    fn joined(&self) -> Option<u64> {
        (self.joins == 0 && self.gone.is_none()).then_some(self.session)
    }

    fn expires(&self, now: Instant) -> Instant {
        if self.joins > 0 { now + self.session_timeout } else { self.expires }
    }

    fn check(&self, of: &Member, by: &MemberRef, now: Instant) -> Result<(), GroupError> {
        self.check_principal(&of.id, &by.principal)?;
        self.check_there(of, now)?;
        match by.session {
            Some(session) if session != self.session => Err(GroupError::Replaced(of.id.clone())),
            _ => Ok(()),
        }
    }

    fn check_principal(&self, id: &MemberId, by: &Principal) -> Result<(), GroupError> {
        if self.principal == *by { Ok(()) } else { Err(GroupError::MemberTaken(id.clone())) }
    }

    fn check_there(&self, of: &Member, now: Instant) -> Result<(), GroupError> {
        let (group, member) = (of.group.clone(), of.id.clone());
        match &self.gone {
            None if self.expires(now) > now => Ok(()),
            // The driver has not come to it yet.
            None | Some(Gone::Expired) => Err(GroupError::MemberExpired { group, member }),
            Some(Gone::Moved) => Err(GroupError::Replaced(member)),
            Some(Gone::Left) => Err(GroupError::MemberUnknown { group, member }),
            Some(Gone::Refused(error)) => Err(error.clone()),
            Some(Gone::Closed) => Err(EngineError::Closed.into()),
        }
    }

    fn lease(&self, member: &MemberId, now: Instant) -> Lease {
        Lease {
            member: member.clone(),
            session: self.session,
            generation: self.held.generation(),
            version: self.held.version(),
            assignment: self.held.assignment(),
            revoking: self.held.revoking(),
            grace: self.held.grace(now),
            session_timeout: self.session_timeout,
            from: self.from,
        }
    }
}
