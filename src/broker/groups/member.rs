//! One member of a group, as whoever serves it holds it: joins, hears of what
//! it holds, and is kept alive while it is listened to.
//!
//! ```text
//!   join ──► lease ──► cursor_of(assignment) ──► a Reader … changed ──► lease …
//!                       commit, release at any time          leave
//! ```

use super::GroupPlaces;
use crate::{
    broker::{Broker, BrokerError},
    domain::{CommitDraft, Cursor, Generation},
    engine::{
        Assignment, Committer, EngineError, GroupCommit, GroupError, JoinRequest, Lease, MemberRef,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Renewals in one session timeout: two may go wrong.
const RENEWALS: u32 = 3;
/// How often places are looked for anew when what is held changes meanwhile.
const PLACE_TRIES: usize = 4;
/// How long such a change is waited for.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// A member of a group. Dropping it does not leave the group: the member's
/// session runs on until its time-out. A clone is the same member, to make
/// calls while the other is in `changed`.
#[derive(Clone)]
pub struct Membership {
    broker: Arc<Broker>,
    member: MemberRef,
    lease: Lease,
    renew_at: Instant,
}

impl Membership {
    /// Joins, or comes back as the member it was, which ends what an older
    /// connection of that member has: it hears `Replaced`.
    ///
    /// `Engine(TopicUnknown)`, `GroupTopics` and `SessionTimeout` for what may
    /// not be asked, and what the coordinator refuses.
    pub async fn join(
        broker: &Arc<Broker>,
        request: JoinRequest,
    ) -> Result<Membership, BrokerError> {
        let (group, principal) = (request.group.clone(), request.principal.clone());
        let lease = broker.join_group(request).await?;
        let session = Some(lease.session);
        let member = MemberRef { group, member: lease.member.clone(), principal, session };
        Ok(Membership::new(broker, member, lease))
    }

    /// The member that someone says to be; renews its session.
    pub async fn of(broker: &Arc<Broker>, member: MemberRef) -> Result<Membership, BrokerError> {
        let lease = broker.coordinator.renew(&member).await?;
        Ok(Membership::new(broker, member, lease))
    }

    fn new(broker: &Arc<Broker>, member: MemberRef, lease: Lease) -> Membership {
        let renew_at = Instant::now() + pause(&lease);
        Membership { broker: Arc::clone(broker), member, lease, renew_at }
    }

    /// Whom it calls as.
    #[must_use]
    pub fn member(&self) -> &MemberRef {
        &self.member
    }

    /// What it holds, as it was last told.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Waits until the lease is another than [`Membership::lease`] says, and
    /// keeps the member alive meanwhile. Safe to drop; whoever serves the member
    /// is always in it. An error is the end of the membership: `Group` says why.
    pub async fn changed(&mut self) -> Result<(), BrokerError> {
        loop {
            let coordinator = Arc::clone(&self.broker.coordinator);
            // What comes by `changed` renews nothing.
            let (lease, renewed) = tokio::select! {
                changed = coordinator.changed(&self.member, self.lease.version) => {
                    (changed?, false)
                }
                () = tokio::time::sleep_until(self.renew_at) => {
                    match coordinator.renew(&self.member).await {
                        Ok(lease) => (lease, true),
                        // It may be back before the session is over.
                        Err(GroupError::Engine(EngineError::Unavailable(_))) => {
                            self.renew_at = Instant::now() + pause(&self.lease);
                            continue;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            if renewed {
                self.renew_at = Instant::now() + pause(&lease);
            }
            let news = lease.version != self.lease.version;
            self.lease = lease;
            if news {
                return Ok(());
            }
        }
    }

    /// Where the member goes on in the partitions `of`, which it holds: from
    /// what was committed, else by its policy. What the policy chose is
    /// committed before this answers, so that whoever reads them later begins
    /// at the same place. What it does not hold any more is left out.
    pub async fn cursor_of(&self, of: &Assignment) -> Result<GroupPlaces, BrokerError> {
        self.places(of.clone(), &Cursor::default()).await
    }

    /// As [`Membership::cursor_of`], but on from `known` where nothing beyond
    /// it was committed.
    pub(super) async fn places(
        &self,
        mut of: Assignment,
        known: &Cursor,
    ) -> Result<GroupPlaces, BrokerError> {
        let (group, from) = (&self.member.group, self.lease.from);
        let (mut generation, mut version) = (self.lease.generation, self.lease.version);
        for _ in 0..PLACE_TRIES {
            let found = self.broker.find_places(group, &of, known, from).await?;
            if found.chosen.is_empty() {
                return Ok(found.places);
            }
            let by = Committer::Member(self.member.clone(), generation);
            match self.broker.coordinator.commit(group, by, found.chosen).await {
                Ok(()) => return Ok(found.places),
                // Something of it is another's by now, or the topic is another,
                // which the group is about to notice. What is left of it then?
                Err(GroupError::Fenced(_)) => {
                    let lease = self.newer_lease(version).await?;
                    of = both(&of, &lease.assignment);
                    (generation, version) = (lease.generation, lease.version);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let what = "the group is being shared out anew".to_owned();
        Err(EngineError::Unavailable(what).into())
    }

    /// The lease once it is another than `seen`, or as it is after a while.
    async fn newer_lease(&self, seen: u64) -> Result<Lease, BrokerError> {
        let coordinator = &self.broker.coordinator;
        let lease = coordinator.renew(&self.member).await?;
        if lease.version != seen {
            return Ok(lease);
        }
        let changed = coordinator.changed(&self.member, seen);
        match tokio::time::timeout(PLACE_WAIT, changed).await {
            Ok(changed) => Ok(changed?),
            Err(_) => Ok(lease),
        }
    }

    /// Commits for the member, under a generation that it was told; answers
    /// where the group stands then in the same partitions.
    ///
    /// `CommitInvalid`, `CommitOutOfRange` or `Engine(TopicUnknown |
    /// PartitionUnknown)` for places that cannot be, `Group(Fenced)` for what
    /// it does not hold.
    pub async fn commit(
        &self,
        generation: Generation,
        commits: Vec<CommitDraft>,
    ) -> Result<Vec<GroupCommit>, BrokerError> {
        let by = Committer::Member(self.member.clone(), generation);
        self.broker.commit_offsets(&self.member.group, by, commits).await
    }

    /// Lets go of what is being revoked, or of a part of it; of others nothing
    /// happens. [`Membership::changed`] will tell of it.
    pub async fn release(&self, what: &Assignment) -> Result<(), BrokerError> {
        self.broker.coordinator.release(&self.member, what).await?;
        Ok(())
    }

    /// Leaves the group: what it held goes to others at once.
    pub async fn leave(&self) -> Result<(), BrokerError> {
        Ok(self.broker.coordinator.leave(&self.member).await?)
    }
}

fn pause(lease: &Lease) -> Duration {
    lease.session_timeout / RENEWALS
}

/// What is in both.
fn both(one: &Assignment, other: &Assignment) -> Assignment {
    let shared = one.iter().filter_map(|(topic, partitions)| {
        let shared: std::collections::BTreeSet<_> =
            partitions.intersection(other.get(topic)?).copied().collect();
        (!shared.is_empty()).then(|| (topic.clone(), shared))
    });
    shared.collect()
}
