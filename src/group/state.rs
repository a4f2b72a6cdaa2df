//! A group as a pure state machine: what is asked of it is applied, or refused
//! and nothing changed; then it is settled (`handover`), once for all that was
//! applied. Whoever keeps it stores the difference before anyone sees it.

use super::{GroupConfig, commits::Commits, handover::Cause, member::Member};
use crate::{
    domain::{Generation, GroupName, MemberId, Principal, StartPolicy, Timestamp, TopicName},
    engine::{
        Assignment, Committer, GroupCommit, GroupDescription, GroupError, GroupState, GroupSummary,
        Lease, MemberRef, MemberView,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// When something happens: on the clock that never jumps, and on the wall's.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For sessions and graces.
    pub at: Instant,
    /// For what is stored.
    pub wall: Timestamp,
}

/// A join, as far as it concerns the group.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Its id, or the one that was made for it.
    pub member: MemberId,
    /// Whose it is.
    pub principal: Principal,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicy,
    /// Larger than that of every join before it.
    pub session: u64,
}

/// What is asked of a group.
#[derive(Clone, Debug)]
pub enum Event {
    /// A member joins or comes back.
    Join(Joining),
    /// A member goes.
    Leave(MemberRef),
    /// A member lets go of what is being revoked.
    Release(MemberRef, Assignment),
    /// Something was done up to there.
    Commit(Committer, Vec<GroupCommit>),
    /// Everything is to be done again from there, or some left out.
    Reset(Vec<GroupCommit>),
    /// These commits are of topics that are no more.
    Prune(Vec<GroupCommit>),
    /// The group is to be forgotten.
    Delete,
    /// The same, if nobody was in it for as long as it is kept.
    Forget,
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    pub(super) config: GroupConfig,
    /// Whether it is one: not before its first member or commit, and not after
    /// it was deleted.
    pub(super) exists: bool,
    /// Generations up to this one were given to groups of this name before.
    pub(super) floor: Generation,
    pub(super) generation: Generation,
    pub(super) members: BTreeMap<MemberId, Arc<Member>>,
    /// When each member is given up.
    pub(super) deadlines: BTreeMap<MemberId, Instant>,
    pub(super) commits: Commits,
    /// Since when it has no members.
    pub(super) emptied: Option<Timestamp>,
    /// Members that were given up lately, and whose they were: the newest
    /// last. Only to tell them what happened.
    expired: Arc<VecDeque<(MemberId, Principal)>>,
    /// What happened since it was last settled.
    pub(super) causes: Vec<Cause>,
}

impl Group {
    /// A group that nobody has asked for yet. Its generations will lie beyond
    /// `floor`.
    #[must_use]
    pub fn new(name: GroupName, config: GroupConfig, floor: Generation) -> Group {
        Group {
            name,
            config,
            exists: false,
            floor,
            generation: Generation::default(),
            members: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            commits: Commits::default(),
            emptied: None,
            expired: Arc::default(),
            causes: vec![],
        }
    }

    /// Does what is asked, or refuses and changes nothing.
    pub fn apply(&mut self, event: Event, now: Now) -> Result<(), GroupError> {
        match event {
            Event::Join(joining) => self.join(joining, now),
            Event::Leave(member) => self.leave(&member, now),
            Event::Release(member, what) => self.release(&member, &what, now),
            Event::Commit(by, commits) => self.commit(by, commits, now),
            Event::Reset(commits) => {
                self.outside(now)?;
                commits.into_iter().for_each(|commit| self.commits.set(commit));
                Ok(())
            }
            Event::Prune(dead) => {
                self.commits.retain(|commit| !dead.contains(commit));
                Ok(())
            }
            Event::Delete => self.delete(),
            Event::Forget if self.expires().is_some_and(|at| at <= now.wall) => self.delete(),
            Event::Forget => Ok(()),
        }
    }

    /// Gives up members that were silent for too long, and takes what was to
    /// be released by now.
    pub fn tick(&mut self, now: Now) {
        let silent: Vec<MemberId> = self
            .deadlines
            .iter()
            .filter(|(_, at)| **at <= now.at)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            if let Some(member) = self.remove(&id, now) {
                let expired = Arc::make_mut(&mut self.expired);
                expired.push_back((id.clone(), member.principal.clone()));
                if expired.len() > self.config.max_members {
                    expired.pop_front();
                }
            }
            self.causes.push(Cause::Expired(id));
        }
        for (id, member) in &mut self.members {
            if member.each().any(|(.., held)| held.until().is_some_and(|until| until <= now.at)) {
                Arc::make_mut(member)
                    .retain(|_, _, _, held| held.until().is_none_or(|until| until > now.at));
                self.causes.push(Cause::GraceOver(id.clone()));
            }
        }
    }

    /// A member was heard from at this time.
    pub fn heard(&mut self, member: &MemberId, at: Instant) {
        if let (Some(known), Some(deadline)) =
            (self.members.get(member), self.deadlines.get_mut(member))
        {
            *deadline = (*deadline).max(at + known.session_timeout);
        }
    }

    /// When a member is to be given up or a partition to be taken, if nothing
    /// happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let held = self.members.values().flat_map(|member| member.each());
        let graces = held.filter_map(|(.., held)| held.until());
        self.deadlines.values().copied().chain(graces).min()
    }

    /// The member that calls, if it may.
    pub fn check(&self, caller: &MemberRef) -> Result<&Member, GroupError> {
        if !self.exists {
            return Err(GroupError::GroupUnknown(self.name.clone()));
        }
        let (group, member) = (self.name.clone(), caller.member.clone());
        let Some(known) = self.members.get(&caller.member) else {
            let was_given_up = |(id, principal): &(MemberId, Principal)| {
                *id == caller.member && *principal == caller.principal
            };
            return Err(if self.expired.iter().any(was_given_up) {
                GroupError::MemberExpired { group, member }
            } else {
                GroupError::MemberUnknown { group, member }
            });
        };
        if known.principal != caller.principal {
            return Err(GroupError::MemberTaken(member));
        }
        if caller.session.is_some_and(|session| session < known.session) {
            return Err(GroupError::Replaced(member));
        }
        Ok(known)
    }

    /// What a member holds.
    pub fn lease(&self, caller: &MemberRef, now: Instant) -> Result<Lease, GroupError> {
        Ok(self.check(caller)?.lease(&caller.member, self.generation, now))
    }

    /// When it is forgotten, if it stays without members.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.emptied.map(|emptied| emptied.plus(self.config.retention))
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> GroupState {
        let revoking =
            || self.members.values().any(|m| m.each().any(|(.., h)| h.leaving.is_some()));
        match () {
            () if self.members.is_empty() => GroupState::Empty,
            () if revoking() => GroupState::Rebalancing,
            () => GroupState::Stable,
        }
    }

    /// The group in a list.
    #[must_use]
    pub fn summary(&self) -> GroupSummary {
        GroupSummary {
            group: self.name.clone(),
            state: self.state(),
            generation: self.generation,
            members: self.members.len(),
        }
    }

    /// The group as it stands; of its commits those that `counts`.
    #[must_use]
    pub fn describe(
        &self,
        counts: impl Fn(&GroupCommit) -> bool,
        now: Instant,
    ) -> GroupDescription {
        let view = |(id, member): (&MemberId, &Arc<Member>)| MemberView {
            lease: member.lease(id, self.generation, now),
            topics: member.topics.clone(),
        };
        GroupDescription {
            group: self.name.clone(),
            state: self.state(),
            generation: self.generation,
            members: self.members.iter().map(view).collect(),
            commits: self.commits.iter().filter(|commit| counts(commit)).cloned().collect(),
            expires: self.expires(),
        }
    }

    /// The generation after all that were.
    pub(super) fn next_generation(&self) -> Generation {
        self.generation.max(self.floor).next()
    }

    fn join(&mut self, joining: Joining, now: Now) -> Result<(), GroupError> {
        let Joining { member: id, principal, topics, session_timeout, from, session } = joining;
        let known = self.members.get(&id);
        if known.is_some_and(|known| known.principal != principal) {
            return Err(GroupError::MemberTaken(id));
        }
        if known.is_none() && self.members.len() >= self.config.max_members {
            return Err(GroupError::MembersFull(self.config.max_members));
        }
        match known {
            None => self.causes.push(Cause::Joined(id.clone())),
            Some(known) if known.topics != topics => {
                self.causes.push(Cause::OtherTopics(id.clone()));
            }
            Some(_) => {}
        }
        let holds = known.map(|known| known.holds.clone()).unwrap_or_default();
        let joined = known.map_or_else(|| self.next_generation(), |known| known.joined);
        if self.expired.iter().any(|(gone, _)| *gone == id) {
            Arc::make_mut(&mut self.expired).retain(|(gone, _)| *gone != id);
        }
        let member = Member { principal, topics, session_timeout, from, joined, session, holds };
        self.deadlines.insert(id.clone(), now.at + session_timeout);
        self.members.insert(id, Arc::new(member));
        (self.exists, self.emptied) = (true, None);
        Ok(())
    }

    fn leave(&mut self, caller: &MemberRef, now: Now) -> Result<(), GroupError> {
        self.check(caller)?;
        self.remove(&caller.member, now);
        self.causes.push(Cause::Left(caller.member.clone()));
        Ok(())
    }

    fn release(
        &mut self,
        caller: &MemberRef,
        what: &Assignment,
        now: Now,
    ) -> Result<(), GroupError> {
        self.check(caller)?;
        self.heard(&caller.member, now.at);
        let named = |topic: &TopicName, partition| {
            what.get(topic).is_some_and(|partitions| partitions.contains(&partition))
        };
        let Some(member) = self.members.get_mut(&caller.member) else { return Ok(()) };
        if member.each().any(|(topic, p, held)| held.leaving.is_some() && named(topic, p)) {
            Arc::make_mut(member)
                .retain(|topic, _, p, held| held.leaving.is_none() || !named(topic, p));
            self.causes.push(Cause::Released(caller.member.clone()));
        }
        Ok(())
    }

    fn commit(
        &mut self,
        by: Committer,
        commits: Vec<GroupCommit>,
        now: Now,
    ) -> Result<(), GroupError> {
        match by {
            Committer::Outsider => self.outside(now)?,
            Committer::Member(caller, generation) => {
                let member = self.check(&caller)?;
                self.fence(member, generation, &commits)?;
                self.heard(&caller.member, now.at);
            }
        }
        commits.into_iter().for_each(|commit| self.commits.advance(commit));
        Ok(())
    }

    /// Whether a member may commit all of this under this generation.
    fn fence(
        &self,
        member: &Member,
        told: Generation,
        commits: &[GroupCommit],
    ) -> Result<(), GroupError> {
        if told > self.generation {
            let newest = self.generation;
            return Err(GroupError::Fenced(format!(
                "generation {told} has not been; the newest is {newest}"
            )));
        }
        for GroupCommit { topic, incarnation, partition, .. } in commits {
            let Some(held) = member.held(topic, *incarnation, *partition) else {
                return Err(GroupError::Fenced(format!(
                    "partition {partition} of '{topic}' is not held by this member"
                )));
            };
            if told < held.since {
                return Err(GroupError::Fenced(format!(
                    "partition {partition} of '{topic}' came to this member in generation {}, \
                     later than {told}",
                    held.since
                )));
            }
        }
        Ok(())
    }

    /// What only a group without members takes. It is kept from now on.
    fn outside(&mut self, now: Now) -> Result<(), GroupError> {
        if !self.members.is_empty() {
            return Err(GroupError::NotEmpty(self.name.clone()));
        }
        (self.exists, self.emptied) = (true, Some(now.wall));
        Ok(())
    }

    fn delete(&mut self) -> Result<(), GroupError> {
        if !self.exists {
            return Err(GroupError::GroupUnknown(self.name.clone()));
        }
        if !self.members.is_empty() {
            return Err(GroupError::NotEmpty(self.name.clone()));
        }
        let floor = self.floor.max(self.generation);
        *self = Group::new(self.name.clone(), self.config, floor);
        Ok(())
    }

    fn remove(&mut self, id: &MemberId, now: Now) -> Option<Arc<Member>> {
        self.deadlines.remove(id);
        let removed = self.members.remove(id);
        if self.members.is_empty() {
            self.emptied = Some(now.wall);
        }
        removed
    }
}
