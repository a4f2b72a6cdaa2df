//! A group's place in memory: what everyone may see of it, what waits for its
//! owner, and who waits for a change. It has a task only while there is
//! something to do, so ten thousand groups that only remember cost no task.

use super::state::{Event, Group};
use crate::{
    domain::MemberId,
    engine::{GroupCommit, GroupError},
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// Something that is asked of a group, and whom to answer.
pub struct Message {
    /// What is asked.
    pub event: Event,
    /// Whom to answer, once it is durable.
    pub reply: oneshot::Sender<Reply>,
}

/// What becomes of what was asked.
pub enum Reply {
    /// It is done and durable, or refused.
    Done(Result<(), GroupError>),
    /// Nobody looked at it, since the group was deleted before: ask again.
    Again(Event),
}

/// What becomes of a message that is sent.
pub enum Sent {
    /// The owner has it.
    Taken,
    /// The same, and there has to be one: start it.
    Start,
    /// The group is no more under this place: look it up again.
    Gone(Message),
}

/// What the commits of one put may be, bytes.
const COMMIT_BYTES: usize = 64 << 10;

/// About what an event has to store of commits, bytes.
fn weight(event: &Event) -> usize {
    let one = |commit: &GroupCommit| 128 + commit.metadata.as_ref().map_or(0, |note| note.len());
    match event {
        Event::Commit(_, commits) => commits.iter().map(one).sum(),
        _ => 0,
    }
}

#[derive(Default)]
struct Mailbox {
    /// Commits: they do not wait for the pace of the others.
    commits: Vec<Message>,
    /// What changes who holds what, and all else.
    others: Vec<Message>,
    /// Whether an owner runs.
    running: bool,
    /// Whether the group was taken out of the list.
    gone: bool,
}

impl Mailbox {
    fn empty(&mut self) -> Vec<Message> {
        let mut all = std::mem::take(&mut self.commits);
        all.append(&mut self.others);
        all
    }
}

/// The place of one group.
pub struct Slot {
    /// As it is stored.
    shown: Mutex<Arc<Group>>,
    mailbox: Mutex<Mailbox>,
    /// Members heard from since the owner last looked.
    heard: Mutex<HashMap<MemberId, Instant>>,
    /// Wakes the owner.
    pub mail: Notify,
    /// Wakes those who wait for their lease to change.
    pub changed: Notify,
}

impl Slot {
    /// A place for a group as it is stored.
    pub fn new(group: Group) -> Slot {
        Slot {
            shown: Mutex::new(Arc::new(group)),
            mailbox: Mutex::default(),
            heard: Mutex::default(),
            mail: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// The group as it is stored.
    pub fn shown(&self) -> Arc<Group> {
        Arc::clone(&self.shown.lock())
    }

    /// Shows the group as it is stored now.
    pub fn show(&self, group: Arc<Group>) {
        *self.shown.lock() = group;
    }

    /// Takes note that a member was heard from.
    pub fn hear(&self, member: &MemberId, at: Instant) {
        self.heard.lock().insert(member.clone(), at);
    }

    /// The members heard from since this was last called.
    pub fn take_heard(&self) -> HashMap<MemberId, Instant> {
        std::mem::take(&mut *self.heard.lock())
    }

    /// Hands a message to the owner.
    pub fn send(&self, message: Message) -> Sent {
        let mut mailbox = self.mailbox.lock();
        if mailbox.gone {
            return Sent::Gone(message);
        }
        match message.event {
            Event::Commit(..) => mailbox.commits.push(message),
            _ => mailbox.others.push(message),
        }
        self.mail.notify_one();
        if std::mem::replace(&mut mailbox.running, true) { Sent::Taken } else { Sent::Start }
    }

    /// Says that an owner runs; false where one did already.
    pub fn start(&self) -> bool {
        !std::mem::replace(&mut self.mailbox.lock().running, true)
    }

    /// The commits that wait, the first ones: no more than can be stored
    /// together, but one.
    pub fn take_commits(&self) -> Vec<Message> {
        let mut mailbox = self.mailbox.lock();
        let mut bytes = 0;
        let fits = |message: &&Message| {
            let before = bytes;
            bytes += weight(&message.event);
            before == 0 || bytes <= COMMIT_BYTES
        };
        let count = mailbox.commits.iter().take_while(fits).count();
        if count < mailbox.commits.len() {
            self.mail.notify_one();
        }
        mailbox.commits.drain(..count).collect()
    }

    /// All else that waits.
    pub fn take_others(&self) -> Vec<Message> {
        std::mem::take(&mut self.mailbox.lock().others)
    }

    /// Whether something but commits waits.
    pub fn has_others(&self) -> bool {
        !self.mailbox.lock().others.is_empty()
    }

    /// The owner ends, if nothing waits for it. Says whether it may.
    pub fn stop_if_idle(&self) -> bool {
        let mut mailbox = self.mailbox.lock();
        let idle = mailbox.commits.is_empty() && mailbox.others.is_empty();
        mailbox.running &= !idle;
        idle
    }

    /// The owner ends, whatever waits: nobody will answer it.
    pub fn abandon(&self) {
        let mut mailbox = self.mailbox.lock();
        let waited = mailbox.empty();
        mailbox.running = false;
        drop(mailbox);
        drop(waited);
    }

    /// The group is taken out of the list, and what waits is to look it up
    /// again; but not if it is one after all.
    pub fn close_if_gone(&self) -> bool {
        if self.shown.lock().exists {
            return false;
        }
        let mut mailbox = self.mailbox.lock();
        mailbox.gone = true;
        for Message { event, reply } in mailbox.empty() {
            // Whoever asked may have gone.
            let _ = reply.send(Reply::Again(event));
        }
        true
    }
}
