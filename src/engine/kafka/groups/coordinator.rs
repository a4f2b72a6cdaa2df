//! [`KafkaGroups`]: the contract of a coordinator, call by call.

use super::{
    context::Rebalances,
    directory::{self, Whereabouts},
    driver,
    member::{Gone, Joining, Member},
    offsets,
    outside::{self, FoundGroup},
    standing::state_of,
    table::Groups,
};
use crate::{
    domain::{Generation, GroupName, MemberId, StartPolicy, TopicName},
    engine::{
        Assignment, Committer, Coordinator, EngineError, GroupCommit, GroupDescription, GroupError,
        GroupSummary, JoinRequest, Lease, MemberRef, MemberView,
        kafka::{KafkaEngine, client::MemberSettings, naming},
    },
    runtime::{Metrics, TaskKind},
};
use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// How long a join waits for the group to answer. The cluster may be waiting
/// for others to join as well; what the member gets later, its lease says.
const FIRST: Duration = Duration::from_secs(5);
/// How long one who leaves waits until it has left.
const LEFT: Duration = Duration::from_secs(10);
/// How long all members may take to leave when the gateway ends.
const END: Duration = Duration::from_secs(20);
/// So often out of beats the directory is swept.
const SWEEP_EVERY: u32 = 12;

/// Groups that Kafka coordinates.
pub struct KafkaGroups(Arc<Groups>);

impl KafkaGroups {
    /// Takes part in the groups of the engine's cluster. A member that is to let
    /// go of partitions has `grace` for it.
    pub async fn open(
        engine: Arc<KafkaEngine>,
        grace: Duration,
        metrics: &Metrics,
    ) -> Result<Arc<KafkaGroups>, EngineError> {
        let groups = Groups::new(engine, grace, metrics);
        groups.directory.announce().await?;
        groups.tasks.spawn("kafka groups", TaskKind::Vital, beat(Arc::clone(&groups)));
        Ok(Arc::new(KafkaGroups(groups)))
    }

    /// The member that calls, by its newest connection. Its session is renewed.
    fn entered(&self, by: &MemberRef) -> Result<Arc<Member>, GroupError> {
        let member = self.find(by)?;
        self.told(&by.group, by.session.is_some(), member.enter(by))?;
        Ok(member)
    }

    fn find(&self, by: &MemberRef) -> Result<Arc<Member>, GroupError> {
        self.0.check_open()?;
        if let Some(member) = self.0.here(&by.group, &by.member) {
            return Ok(member);
        }
        match self.check_elsewhere(&by.group, &by.member) {
            // The connection is here, and the member is where it has another.
            Err(_) if by.session.is_some() => return Err(GroupError::Replaced(by.member.clone())),
            checked => checked?,
        }
        let (group, member) = (by.group.clone(), by.member.clone());
        if self.0.has_expired(&group, &member) {
            return Err(GroupError::MemberExpired { group, member });
        }
        Err(GroupError::MemberUnknown { group, member })
    }

    /// Whether another gateway that lives serves the member.
    fn check_elsewhere(&self, group: &GroupName, id: &MemberId) -> Result<(), GroupError> {
        match self.0.directory.find(group, id) {
            Whereabouts::At(address) => Err(GroupError::Elsewhere(address)),
            Whereabouts::Unnamed => Err(EngineError::Unavailable(format!(
                "member '{id}' is served by another gateway, which says no address: start each \
                 gateway with --advertise"
            ))
            .into()),
            Whereabouts::Here | Whereabouts::Nowhere => Ok(()),
        }
    }

    /// Whether one that is not here may join.
    fn check_entry(&self, request: &JoinRequest, id: &MemberId) -> Result<(), GroupError> {
        let elsewhere = self.check_elsewhere(&request.group, id);
        if elsewhere.is_ok() || !request.takes_over {
            return elsewhere;
        }
        let whose = self.0.directory.principal(&request.group, id);
        if whose.is_some_and(|whose| whose != request.principal) {
            return Err(GroupError::MemberTaken(id.clone()));
        }
        Ok(())
    }

    fn raws(&self, topics: &BTreeSet<TopicName>) -> Vec<String> {
        let prefix = &self.0.core().config.topic_prefix;
        topics.iter().map(|topic| naming::raw(prefix, topic)).collect()
    }

    /// A member that is here joins again.
    async fn join_again(
        &self,
        member: &Arc<Member>,
        request: &JoinRequest,
    ) -> Result<Joining, GroupError> {
        if !request.takes_over {
            // It may have joined there since.
            self.check_elsewhere(&member.group, &member.id)?;
        }
        let session = self.0.numbers.newest(&member.group).await?;
        let (joining, others) = member.join_again(request, session.0)?;
        if let Some(consumer) = member.consumer().filter(|_| others) {
            let raws = self.raws(&request.topics);
            let asked = self.0.core().beside(move |_| {
                let raws: Vec<&str> = raws.iter().map(String::as_str).collect();
                consumer.subscribe(&raws)
            });
            asked.await?.map_err(|e| EngineError::Unavailable(e.to_string()))?;
        }
        Ok(joining)
    }

    /// A new member of Kafka's group.
    async fn enrol(&self, id: MemberId, request: &JoinRequest) -> Result<Joining, GroupError> {
        let session = self.0.numbers.newest(&request.group).await?;
        let wake = Arc::<Notify>::default();
        let (raw, raws) = (self.0.raw(&request.group), self.raws(&request.topics));
        let (grace, client, woken) = (self.0.grace, outside::client_id(&id), Arc::clone(&wake));
        let made = self.0.core().beside(move |core| {
            let settings = MemberSettings {
                group: &raw,
                client: &client,
                session: core.config.group_session,
                grace,
            };
            let context = Rebalances::new(core.clients.link());
            let mut consumer = core.clients.member(&settings, context)?;
            consumer.set_nonempty_callback(move || woken.notify_one());
            let raws: Vec<&str> = raws.iter().map(String::as_str).collect();
            let asked = consumer.subscribe(&raws);
            asked.map_err(|e| EngineError::Unavailable(e.to_string()))?;
            Ok::<_, EngineError>(consumer)
        });
        let consumer = made.await??;
        let member = Arc::new(Member::new(id, request, session.0, (consumer, wake)));
        if self.0.add(Arc::clone(&member)).is_err() {
            let unused = self.0.core().beside(move |_| drop(member)).await;
            unused?;
            return Err(EngineError::Unavailable("the member joins already".to_owned()).into());
        }
        let joining = member.joining();
        let driving = driver::drive(Arc::clone(&self.0), member);
        self.0.tasks.spawn("kafka member", TaskKind::Worker, driving);
        Ok(joining)
    }

    /// Says in the directory that a member is here, once Kafka's group has
    /// answered it: had it been refused, it would be where it was. `Replaced`
    /// if it has joined elsewhere meanwhile.
    async fn enlist(&self, joining: Joining) -> Result<Lease, GroupError> {
        let (group, id, whose) = (&joining.group, &joining.id, joining.principal());
        self.0.directory.enter(group, id, &whose).await?;
        self.0.check_open()?;
        if self.check_elsewhere(group, id).is_err() {
            return Err(GroupError::Replaced(id.clone()));
        }
        joining.lease()
    }

    /// The answer to a member: one that has no connection is served wherever it
    /// is now.
    fn told<T>(
        &self,
        group: &GroupName,
        connected: bool,
        answer: Result<T, GroupError>,
    ) -> Result<T, GroupError> {
        match answer {
            Err(GroupError::Replaced(member)) if !connected => {
                self.check_elsewhere(group, &member)?;
                Err(GroupError::MemberUnknown { group: group.clone(), member })
            }
            answer => answer,
        }
    }

    async fn look(&self, group: &GroupName) -> Result<Option<FoundGroup>, GroupError> {
        self.0.check_open()?;
        let (groups, raw) = (Arc::clone(&self.0), self.0.raw(group));
        let found = self.0.core().beside(move |_| groups.outside.look(Some(&raw))).await??;
        Ok(found.into_iter().find(|found| found.name == *group))
    }

    /// Commits for nobody.
    async fn commit_outside(
        &self,
        group: &GroupName,
        commits: Vec<GroupCommit>,
        back: bool,
    ) -> Result<(), GroupError> {
        self.0.check_open()?;
        if !self.0.of_group(group).is_empty() {
            return Err(GroupError::NotEmpty(group.clone()));
        }
        let (groups, group) = (Arc::clone(&self.0), group.clone());
        let done = self.0.core().beside(move |core| {
            let raw = groups.raw(&group);
            groups.outside.in_turn(&raw, |outsider| {
                offsets::by_outsider(core, &group, outsider, commits, back)
            })
        });
        done.await?
    }

    /// Every partition of every topic.
    fn everything(&self) -> Assignment {
        let all = self.0.core().catalog.all().into_iter();
        let parts = all.map(|state| {
            let ids = state.partitions.iter().map(|partition| partition.id).collect();
            (state.topic().name.clone(), ids)
        });
        parts.collect()
    }

    /// What the members of a group hold: those that are here, and those that
    /// Kafka tells of.
    fn views(&self, group: &GroupName, found: Option<&FoundGroup>) -> Vec<MemberView> {
        let here = self.0.of_group(group);
        let views = here.iter().map(|member| {
            let (lease, topics) = member.view();
            MemberView { lease, topics }
        });
        let mut views: Vec<_> = views.collect();
        let others = found.map(|found| found.members.as_slice()).unwrap_or_default().iter();
        let others = others.filter(|other| !here.iter().any(|member| member.id == other.id));
        views.extend(others.map(|other| {
            let served = |raw: &String| naming::served(&self.0.core().config.topic_prefix, raw);
            let places = other.assignment.iter().flat_map(|(raw, ids)| {
                ids.iter().filter_map(|id| self.0.place(&(raw.clone(), *id)))
            });
            MemberView {
                lease: lease_of_others(&other.id, super::lease::by_topic(places)),
                topics: other.topics.iter().filter_map(served).collect(),
            }
        }));
        views.sort_by(|a, b| a.lease.member.cmp(&b.lease.member));
        views
    }
}

/// What is known of a member that another program, or another gateway, keeps.
pub(super) fn lease_of_others(member: &MemberId, assignment: Assignment) -> Lease {
    Lease {
        member: member.clone(),
        session: 0,
        generation: Generation(0),
        version: 0,
        assignment,
        revoking: Assignment::new(),
        grace: Duration::ZERO,
        session_timeout: Duration::ZERO,
        from: StartPolicy::default(),
    }
}

/// Says that the gateway lives, and puts away what is not of use any more.
async fn beat(groups: Arc<Groups>) {
    for round in 1u32.. {
        tokio::select! {
            () = tokio::time::sleep(directory::BEAT) => {}
            () = groups.closing.notified() => return,
        }
        if let Err(error) = groups.directory.announce().await {
            tracing::warn!(%error, "other gateways are not told that this one lives");
        }
        let sweeping = Arc::clone(&groups);
        let _ = groups.core().beside(move |_| sweeping.outside.sweep()).await;
        if round.is_multiple_of(SWEEP_EVERY)
            && let Err(error) = groups.directory.sweep().await
        {
            tracing::debug!(%error, "the directory was not swept");
        }
    }
}

#[async_trait]
impl Coordinator for KafkaGroups {
    async fn join(&self, request: JoinRequest) -> Result<Lease, GroupError> {
        self.0.check_open()?;
        for topic in &request.topics {
            self.0.core().named(topic)?;
        }
        let id = match &request.member {
            Some(id) => id.clone(),
            None => made_up()?,
        };
        if let Some(member) = self.0.here(&request.group, &id) {
            match self.join_again(&member, &request).await {
                Ok(joining) if request.takes_over => return self.enlist(joining).await,
                Ok(joining) => return joining.lease(),
                // It has just gone, and may come back.
                Err(
                    GroupError::MemberExpired { .. }
                    | GroupError::MemberUnknown { .. }
                    | GroupError::Replaced(_),
                ) => {
                    let _ = tokio::time::timeout(LEFT, member.closed()).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.check_entry(&request, &id)?;
        self.0.check_room()?;
        let joining = self.enrol(id, &request).await?;
        let member = Arc::clone(&joining);
        let _ = tokio::time::timeout(FIRST, member.settled()).await;
        if let Err(refused) = member.lease() {
            let _ = tokio::time::timeout(LEFT, member.closed()).await;
            return Err(refused);
        }
        let lease = self.enlist(joining).await;
        if lease.is_err() {
            member.end(Gone::Left);
        }
        self.told(&request.group, request.takes_over, lease)
    }

    async fn renew(&self, member: &MemberRef) -> Result<Lease, GroupError> {
        let lease = self.entered(member)?.lease();
        self.told(&member.group, member.session.is_some(), lease)
    }

    async fn changed(&self, member: &MemberRef, seen: u64) -> Result<Lease, GroupError> {
        let changed = self.find(member)?.changed(member, seen).await;
        self.told(&member.group, member.session.is_some(), changed)
    }

    async fn release(&self, by: &MemberRef, what: &Assignment) -> Result<Lease, GroupError> {
        let member = self.entered(by)?;
        member.change(|held| held.release(what));
        member.wake.notify_one();
        self.told(&by.group, by.session.is_some(), member.lease())
    }

    async fn leave(&self, member: &MemberRef) -> Result<(), GroupError> {
        let member = self.entered(member)?;
        member.end(Gone::Left);
        if tokio::time::timeout(LEFT, member.closed()).await.is_err() {
            tracing::warn!(group = %member.group, member = %member.id, "still leaving");
        }
        Ok(())
    }

    async fn commit(
        &self,
        group: &GroupName,
        by: Committer,
        commits: Vec<GroupCommit>,
    ) -> Result<(), GroupError> {
        match by {
            Committer::Member(by, generation) => {
                let member = self.entered(&by)?;
                let done = offsets::by_member(&self.0, &member, generation, commits).await;
                self.told(group, by.session.is_some(), done)
            }
            Committer::Outsider => self.commit_outside(group, commits, false).await,
        }
    }

    async fn committed(
        &self,
        group: &GroupName,
        of: &Assignment,
    ) -> Result<Vec<GroupCommit>, GroupError> {
        self.0.check_open()?;
        let offsets::Recalled { mut found, left } = offsets::recall(&self.0, group, of);
        if !left.is_empty() {
            let here = self.0.of_group(group).into_iter().find_map(|member| member.consumer());
            let (groups, raw) = (Arc::clone(&self.0), self.0.raw(group));
            let asked = self.0.core().beside(move |core| match here {
                Some(consumer) => Ok(offsets::fetch(core, &*consumer, &left)?),
                None => groups.outside.with(&raw, |out| Ok(offsets::fetch(core, out, &left)?)),
            });
            found.extend(asked.await??);
        }
        offsets::sort(&mut found);
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<GroupSummary>, GroupError> {
        self.0.check_open()?;
        let groups = Arc::clone(&self.0);
        let found = self.0.core().beside(move |_| groups.outside.look(None)).await??;
        let known = self.everything();
        let summary = |found: &FoundGroup| {
            let views = self.views(&found.name, Some(found));
            GroupSummary {
                group: found.name.clone(),
                state: state_of(Some(found), &views, &known),
                generation: self.0.numbers.last(&found.name),
                members: views.len(),
            }
        };
        Ok(found.iter().map(summary).collect())
    }

    async fn describe(&self, group: &GroupName) -> Result<GroupDescription, GroupError> {
        let found = self.look(group).await?;
        let members = self.views(group, found.as_ref());
        if found.is_none() && members.is_empty() {
            return Err(GroupError::GroupUnknown(group.clone()));
        }
        let known = self.everything();
        Ok(GroupDescription {
            group: group.clone(),
            state: state_of(found.as_ref(), &members, &known),
            generation: self.0.numbers.last(group),
            members,
            commits: self.committed(group, &known).await?,
            expires: None,
        })
    }

    async fn reset(&self, group: &GroupName, to: Vec<GroupCommit>) -> Result<(), GroupError> {
        self.commit_outside(group, to, true).await
    }

    async fn delete(&self, group: &GroupName) -> Result<(), GroupError> {
        self.0.check_open()?;
        if !self.0.of_group(group).is_empty() {
            return Err(GroupError::NotEmpty(group.clone()));
        }
        self.0.core().cluster.delete_group(&self.0.raw(group), group).await
    }

    async fn close(&self) {
        let here = self.0.close();
        for member in &here {
            member.end(Gone::Closed);
        }
        self.0.closing.notify_one();
        let cut = self.0.tasks.join(Instant::now() + END).await;
        if cut > 0 {
            tracing::warn!(members = cut, "not all members have left Kafka's groups");
        }
        if let Err(error) = self.0.directory.withdraw().await {
            tracing::debug!(%error, "other gateways learn later that this one has ended");
        }
        let groups = Arc::clone(&self.0);
        let _ = self.0.core().beside(move |_| groups.outside.close()).await;
    }
}

/// An id for a member that has none.
fn made_up() -> Result<MemberId, EngineError> {
    let fault = |e: String| EngineError::Unavailable(e);
    let number = getrandom::u64().map_err(|e| fault(e.to_string()))?;
    MemberId::new(format!("m-{number:016x}")).map_err(|e| fault(e.to_string()))
}
