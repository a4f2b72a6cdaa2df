//! Groups for engines without a coordinator of their own: membership,
//! assignment and commits, kept in the engine's state table. Knows nothing of
//! records.
//!
//! ```text
//!   Groups (the trait) ── hub (all groups) ── slot (one: what is stored, its mail)
//!                                                └── task (its owner)
//!   pure:  state ── member ── handover ── assign ── commits ── store
//! ```

pub mod assign;
mod commits;
mod config;
mod handover;
mod hub;
mod keeper;
mod member;
mod metrics;
mod slot;
mod state;
mod store;
mod task;
#[cfg(test)]
mod tests;

pub use config::GroupConfig;

use crate::{
    domain::{Clock, GroupName, MemberId},
    engine::{
        Assignment, Committer, Coordinator, Engine, EngineError, GroupCommit, GroupDescription,
        GroupError, GroupSummary, JoinRequest, Lease, MemberRef, StateTable,
    },
    runtime::{Metrics, TaskKind},
};
use async_trait::async_trait;
use hub::Hub;
use slot::Slot;
use state::{Event, Joining};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a stop waits for what is being stored.
const STOP: Duration = Duration::from_secs(10);

/// The coordinator of an embedded engine.
pub struct Groups {
    hub: Arc<Hub>,
}

impl Groups {
    /// Goes on with the groups that the table holds. Their members have a whole
    /// session timeout from now. `Damaged` where the table holds what no
    /// coordinator wrote.
    pub async fn open(
        engine: Arc<dyn Engine>,
        table: Arc<dyn StateTable>,
        clock: Clock,
        config: GroupConfig,
        metrics: &Metrics,
    ) -> Result<Arc<Groups>, EngineError> {
        let hub = Hub::open(engine, table, clock, config, metrics)?;
        hub.tasks().spawn("group keeper", TaskKind::Worker, keeper::keep(Arc::clone(&hub)));
        Ok(Arc::new(Groups { hub }))
    }

    fn slot(&self, group: &GroupName) -> Result<Arc<Slot>, GroupError> {
        self.hub.slot(group).ok_or_else(|| GroupError::GroupUnknown(group.clone()))
    }

    /// What the member holds now.
    fn lease(&self, member: &MemberRef) -> Result<Lease, GroupError> {
        self.slot(&member.group)?.shown().lease(member, Instant::now())
    }
}

/// An id for a member that brings none: nobody else's, and not to be guessed.
fn fresh_id() -> Result<MemberId, GroupError> {
    let unavailable = |error: String| GroupError::Engine(EngineError::Unavailable(error));
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| unavailable(error.to_string()))?;
    let id = format!("m-{:032x}", u128::from_be_bytes(bytes));
    MemberId::new(id).map_err(|error| unavailable(error.to_string()))
}

#[async_trait]
impl Coordinator for Groups {
    async fn join(&self, request: JoinRequest) -> Result<Lease, GroupError> {
        for topic in &request.topics {
            self.hub.engine().topic(topic)?;
        }
        let JoinRequest { group, member, principal, topics, session_timeout, from, .. } = request;
        let member = member.map_or_else(fresh_id, Ok)?;
        let session = self.hub.next_session();
        let caller = MemberRef {
            group: group.clone(),
            member: member.clone(),
            principal: principal.clone(),
            session: Some(session),
        };
        let joining = Joining { member, principal, topics, session_timeout, from, session };
        self.hub.ask(&group, Event::Join(joining), true).await?;
        self.lease(&caller)
    }

    async fn renew(&self, member: &MemberRef) -> Result<Lease, GroupError> {
        let slot = self.slot(&member.group)?;
        let now = Instant::now();
        let lease = slot.shown().lease(member, now)?;
        slot.hear(&member.member, now);
        Ok(lease)
    }

    async fn changed(&self, member: &MemberRef, seen: u64) -> Result<Lease, GroupError> {
        let slot = self.slot(&member.group)?;
        loop {
            let mut changed = std::pin::pin!(slot.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.hub.is_stopped() {
                return Err(GroupError::Engine(EngineError::Closed));
            }
            let lease = slot.shown().lease(member, Instant::now())?;
            if lease.version != seen {
                return Ok(lease);
            }
            changed.await;
        }
    }

    async fn release(&self, member: &MemberRef, what: &Assignment) -> Result<Lease, GroupError> {
        let event = Event::Release(member.clone(), what.clone());
        self.hub.ask(&member.group, event, false).await?;
        self.lease(member)
    }

    async fn leave(&self, member: &MemberRef) -> Result<(), GroupError> {
        self.hub.ask(&member.group, Event::Leave(member.clone()), false).await
    }

    async fn commit(
        &self,
        group: &GroupName,
        by: Committer,
        commits: Vec<GroupCommit>,
    ) -> Result<(), GroupError> {
        let (begun, offsets) = (Instant::now(), commits.len() as u64);
        let make = by == Committer::Outsider;
        let result = self.hub.ask(group, Event::Commit(by, commits), make).await;
        let metrics = &self.hub.metrics;
        match &result {
            Ok(()) => {
                metrics.commits.add(offsets);
                metrics.commit_seconds.observe_time(begun.elapsed());
            }
            Err(_) => metrics.refused.inc(),
        }
        result
    }

    async fn committed(
        &self,
        group: &GroupName,
        of: &Assignment,
    ) -> Result<Vec<GroupCommit>, GroupError> {
        let Some(slot) = self.hub.slot(group) else { return Ok(vec![]) };
        let shown = slot.shown();
        let mut found = vec![];
        for (topic, partitions) in of {
            for partition in partitions {
                found.extend(shown.commits.get(topic, *partition).cloned());
            }
        }
        found.retain(|commit| self.hub.counts(commit));
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<GroupSummary>, GroupError> {
        let shown = self.hub.slots().into_iter().map(|slot| slot.shown());
        Ok(shown.filter(|group| group.exists).map(|group| group.summary()).collect())
    }

    async fn describe(&self, group: &GroupName) -> Result<GroupDescription, GroupError> {
        let shown = self.slot(group)?.shown();
        if !shown.exists {
            return Err(GroupError::GroupUnknown(group.clone()));
        }
        Ok(shown.describe(|commit| self.hub.counts(commit), Instant::now()))
    }

    async fn reset(&self, group: &GroupName, to: Vec<GroupCommit>) -> Result<(), GroupError> {
        self.hub.ask(group, Event::Reset(to), true).await
    }

    async fn delete(&self, group: &GroupName) -> Result<(), GroupError> {
        self.hub.ask(group, Event::Delete, false).await
    }

    async fn close(&self) {
        self.hub.stop(Instant::now() + STOP).await;
    }
}
