//! The owner of a group: applies what waits, settles, stores the difference in
//! one put, shows it, and answers. Nothing is seen before it is stored.
//!
//! ```text
//!   mail ──► commits ─────────────────────────► apply ─┐
//!        └─► others ── not before its pace ───► apply ─┴─► settle ─► put ─► show ─► answer
//!   time ──► expired, grace over, other topics ──┘                    └─ failed: all as before
//! ```

use super::{
    handover::{Rebalance, Shapes},
    hub::Hub,
    slot::{Message, Reply, Slot},
    state::{Event, Group, Now},
    store::{self, Changes},
};
use crate::{
    domain::Generation,
    engine::{EngineError, GroupError, GroupState, StateKey},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// The most that is stored in one put, so that it is but one step for the engine.
const PUT_BYTES: usize = 128 << 10;
/// How often the topics are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long what failed is left alone when nobody asks.
const RETRY: Duration = Duration::from_secs(1);
/// More often than that a group does not change who holds what: the more wait,
/// the more are taken at once.
const PACE: Duration = Duration::from_millis(10);
/// That much longer for each member, since each is to hear of it.
const PACE_EACH: Duration = Duration::from_micros(200);

/// The owner of one group, while there is something to do.
pub struct Owner {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
    /// When members may change again.
    paced: Instant,
    /// When the topics are looked at again.
    look: Instant,
    /// The topics as they were when it was last settled.
    shapes: Option<Shapes>,
    /// Since when something is being handed over.
    unsettled: Option<Instant>,
    /// Entries of which a failed put may have left one state or the other.
    unsure: BTreeSet<StateKey>,
}

type Replies = Vec<(oneshot::Sender<Reply>, Result<(), GroupError>)>;

/// Lets go of a group whose owner ends, however that comes.
struct Ended<'a>(&'a Slot);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

/// Owns the group until there is nothing more to do.
pub async fn own(hub: Arc<Hub>, slot: Arc<Slot>) {
    let now = Instant::now();
    let mut owner = Owner {
        hub: Arc::clone(&hub),
        slot: Arc::clone(&slot),
        paced: now,
        look: now,
        shapes: None,
        unsettled: None,
        unsure: BTreeSet::new(),
    };
    let _ended = Ended(&slot);
    loop {
        owner.round().await;
        if owner.is_done() {
            return;
        }
        tokio::select! {
            () = slot.mail.notified() => {}
            () = tokio::time::sleep_until(owner.wakes()) => {}
            () = hub.stopped() => {
                slot.abandon();
                return;
            }
        }
    }
}

impl Owner {
    /// Whether nothing is left to do; then it has given the group back.
    fn is_done(&self) -> bool {
        let shown = self.slot.shown();
        if !shown.exists {
            return self.hub.forget(&self.slot);
        }
        shown.members.is_empty() && self.unsure.is_empty() && self.slot.stop_if_idle()
    }

    /// When it has to look again, if nothing comes.
    fn wakes(&self) -> Instant {
        let shown = self.slot.shown();
        if self.slot.has_others() {
            return self.paced;
        }
        shown
            .next_deadline()
            .into_iter()
            .chain([self.look])
            .min()
            .unwrap_or(self.look)
            .max(self.paced)
    }

    async fn round(&mut self) {
        let now = self.hub.now();
        let shown = self.slot.shown();
        let mut next = Group::clone(&shown);
        for (member, at) in self.slot.take_heard() {
            next.heard(&member, at);
        }
        let mut replies = vec![];
        let commits = self.slot.take_commits();
        let strange = self.look_at_topics(&next, &commits, now);
        apply(commits, &mut next, now, &mut replies);
        let due = next.next_deadline().is_some_and(|at| at <= now.at);
        let wanted = due || strange || self.slot.has_others();
        let mut rebalance = None;
        if wanted && now.at >= self.paced {
            rebalance = self.change(&mut next, now, &mut replies);
        }
        match self.store(&shown, &next).await {
            Ok(()) => self.show(next, rebalance, now),
            Err(error) => {
                self.failed(&shown, &next, now, &error);
                replies.iter_mut().filter(|(_, result)| result.is_ok()).for_each(|(_, result)| {
                    *result = Err(GroupError::Engine(error.clone()));
                });
            }
        }
        for (reply, result) in replies {
            // Whoever asked may have gone.
            let _ = reply.send(Reply::Done(result));
        }
    }

    /// Whether the topics are others than before. They are looked at now and
    /// then, and when a commit speaks of one that members do not hold.
    fn look_at_topics(&mut self, group: &Group, commits: &[Message], now: Now) -> bool {
        let other = |shapes: &Shapes| {
            commits.iter().any(|message| match &message.event {
                Event::Commit(_, commits) => commits.iter().any(|commit| {
                    shapes
                        .get(&commit.topic)
                        .is_some_and(|shape| shape.incarnation != commit.incarnation)
                }),
                _ => false,
            })
        };
        let strange = self.shapes.as_ref().is_some_and(other);
        if group.members.is_empty() || (now.at < self.look && !strange) {
            return false;
        }
        self.look = now.at + LOOK;
        let is = self.hub.shapes(group);
        is.is_some() && self.shapes != is
    }

    /// Applies what changes who holds what, and settles.
    fn change(&mut self, next: &mut Group, now: Now, replies: &mut Replies) -> Option<Rebalance> {
        apply(self.slot.take_others(), next, now, replies);
        next.tick(now);
        let members = u32::try_from(next.members.len()).unwrap_or(u32::MAX);
        self.paced = now.at + PACE + PACE_EACH * members;
        let shapes = self.hub.shapes(next);
        let rebalance = shapes.as_ref().and_then(|shapes| next.settle(shapes, now));
        self.shapes = shapes;
        rebalance
    }

    async fn store(&mut self, shown: &Group, next: &Group) -> Result<(), EngineError> {
        let changes =
            if self.unsure.is_empty() { store::changes(shown, next) } else { self.whole(next) };
        let keys = changes.keys();
        let put = self.put(changes, next).await;
        match put {
            Ok(()) => self.unsure.clear(),
            Err(_) => self.unsure.extend(keys),
        }
        put
    }

    async fn put(&self, changes: Changes, next: &Group) -> Result<(), EngineError> {
        for put in changes.puts(PUT_BYTES) {
            if next.exists {
                self.hub.table.put(put).await?;
            } else {
                self.hub.put_deleted(put, next.floor).await?;
            }
        }
        Ok(())
    }

    /// The group as a whole, and the removal of what a failed put may have
    /// left.
    fn whole(&self, next: &Group) -> Changes {
        let blank = Group::new(next.name.clone(), next.config, Generation::default());
        let mut changes = store::changes(&blank, next);
        let named = changes.keys();
        changes.add_first(self.unsure.difference(&named).map(|key| (key.clone(), None)));
        changes
    }

    fn show(&mut self, next: Group, rebalance: Option<Rebalance>, now: Now) {
        let (name, state) = (next.name.clone(), next.state());
        let before = self.slot.shown();
        self.hub.metrics.members.add(next.members.len() as i64 - before.members.len() as i64);
        let changed = rebalance.is_some() || !same_sessions(&before, &next);
        self.slot.show(Arc::new(next));
        if changed {
            self.slot.changed.notify_waiters();
        }
        if let Some(rebalance) = rebalance {
            self.hub.metrics.rebalanced(&name, &rebalance);
            self.unsettled.get_or_insert(now.at);
        }
        if state != GroupState::Rebalancing
            && let Some(since) = self.unsettled.take()
        {
            self.hub.metrics.settled.observe_time(now.at.saturating_duration_since(since));
        }
    }

    /// Nothing happened, but that members were heard from. The generation is
    /// passed over, since the store may hold it.
    fn failed(&mut self, shown: &Group, next: &Group, now: Now, error: &EngineError) {
        tracing::warn!(group = %shown.name, %error, "the group's state was not stored");
        let mut kept = shown.clone();
        kept.floor = kept.floor.max(next.generation).max(next.floor);
        for (member, deadline) in &mut kept.deadlines {
            *deadline = next.deadlines.get(member).copied().unwrap_or(*deadline).max(*deadline);
        }
        self.slot.show(Arc::new(kept));
        self.shapes = None;
        self.paced = now.at + RETRY;
    }
}

/// Whether no member has come by another connection.
fn same_sessions(before: &Group, after: &Group) -> bool {
    let sessions = |group: &Group| group.members.values().map(|m| m.session).collect::<Vec<_>>();
    sessions(before) == sessions(after)
}

fn apply(messages: Vec<Message>, group: &mut Group, now: Now, replies: &mut Replies) {
    for Message { event, reply } in messages {
        let result = group.apply(event, now);
        replies.push((reply, result));
    }
}
