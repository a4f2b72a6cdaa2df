//! The task that takes part in Kafka's group for one member: it listens to the
//! library, answers what the group wants in the member's time, and ends the
//! member when it leaves or was silent for too long.
//!
//! The library waits with the group until what is revoked was let go of, and
//! goes on telling Kafka that the member lives; so the task can wait for the
//! member without holding a thread.

use super::{
    context::{GroupConsumer, RawPlace, Rebalance, list_of},
    directory::Whereabouts,
    lease::Place,
    member::{Gone, Member},
    table::Groups,
};
use crate::{
    domain::Generation,
    engine::{EngineError, GroupError, kafka::errors},
    runtime,
};
use rdkafka::{
    Offset, consumer::Consumer as _, error::KafkaError, types::RDKafkaErrorCode as Code,
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The library is listened to at least so often.
const TICK: Duration = Duration::from_millis(500);
/// How long a commit that is under way may hold up the end of a member.
const LAST: Duration = Duration::from_secs(15);
/// How often one look listens at most.
const MOST: usize = 1_000;

struct Driver {
    groups: Arc<Groups>,
    member: Arc<Member>,
    consumer: Arc<GroupConsumer>,
    waiting: VecDeque<Rebalance>,
    /// What the group waits for the member to let go of.
    going: Option<Vec<RawPlace>>,
}

/// Until the member is gone.
pub(super) async fn drive(groups: Arc<Groups>, member: Arc<Member>) {
    let Some(consumer) = member.consumer() else { return };
    let waiting = VecDeque::new();
    let mut driver = Driver { groups, member, consumer, waiting, going: None };
    while driver.member.gone().is_none() {
        driver.listen();
        let next = match driver.act().await {
            Ok(()) => driver.next_time(),
            Err(error) => {
                let (group, member) = (&driver.member.group, &driver.member.id);
                tracing::warn!(%error, %group, %member, "a rebalance waits");
                Instant::now() + TICK
            }
        };
        tokio::select! {
            () = driver.member.wake.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        driver.member.expire();
        driver.look_up().await;
    }
    driver.finish().await;
}

impl Driver {
    /// Ends the member if it has joined at another gateway since. Enters it in
    /// the directory again if it is not there: whoever struck its predecessor
    /// may have been late.
    async fn look_up(&self) {
        let Member { group, id, .. } = &*self.member;
        // What a join has to say is not there yet.
        let Some(joined) = self.member.joined() else { return };
        match self.groups.directory.find(group, id) {
            Whereabouts::Here => {}
            Whereabouts::At(_) | Whereabouts::Unnamed => self.member.move_away(joined),
            Whereabouts::Nowhere => {
                let whose = self.member.principal();
                let entered = self.groups.directory.enter(group, id, &whose);
                // It is tried again at the next look.
                let _ = tokio::time::timeout(TICK, entered).await;
            }
        }
    }

    /// Takes in what the library has to tell. Does not wait.
    fn listen(&mut self) {
        for _ in 0..MOST {
            match self.consumer.poll(Duration::ZERO) {
                // A record that came before its partition was paused.
                Some(Ok(_)) => {}
                Some(Err(error)) => self.fault(&error),
                None => break,
            }
        }
        while let Some(event) = self.consumer.context().next() {
            self.waiting.push_back(event);
        }
    }

    /// Answers what the group wants, one after the other.
    async fn act(&mut self) -> Result<(), EngineError> {
        if let Some(going) = &self.going {
            let until = self.member.look(super::lease::Held::until);
            let over = until.is_none_or(|until| until <= Instant::now());
            if !over
                && !self.member.look(super::lease::Held::is_settled)
                && !self.consumer.assignment_lost()
            {
                return Ok(());
            }
            let going = going.clone();
            self.let_go(&going).await?;
            self.going = None;
        }
        while let Some(event) = self.waiting.front().cloned() {
            match event {
                Rebalance::Granted(places) => self.grant(&places).await?,
                Rebalance::Revoked { places, lost: true } => self.lose(&places).await?,
                Rebalance::Revoked { places, lost: false } => self.revoke(places).await?,
            }
            self.waiting.pop_front();
            if self.going.is_some() {
                break;
            }
            self.listen();
        }
        Ok(())
    }

    async fn grant(&self, raw: &[RawPlace]) -> Result<(), EngineError> {
        let places = self.places(raw);
        let generation = self.number(&places).await?;
        let (consumer, list) = (Arc::clone(&self.consumer), list_of(raw, Offset::End));
        // Paused at once and for good: the records come by another way.
        self.told(runtime::blocking(move || {
            consumer.incremental_assign(&list)?;
            if list.count() > 0 { consumer.pause(&list) } else { Ok(()) }
        }))
        .await?;
        if let Some(generation) = generation {
            self.member.change(|held| held.grant(&places, generation));
            self.log("partitions were granted", &places, generation);
        }
        self.member.settle();
        Ok(())
    }

    /// Asks the member to let go; without anything that it holds, lets go at
    /// once.
    async fn revoke(&mut self, raw: Vec<RawPlace>) -> Result<(), EngineError> {
        let places = self.places(&raw);
        let Some(generation) = self.number(&places).await? else {
            return self.let_go(&raw).await;
        };
        let until = Instant::now() + self.groups.grace;
        self.member.change(|held| held.revoke(&places, generation, until));
        self.log("partitions are to be let go of", &places, generation);
        self.going = Some(raw);
        if self.member.look(super::lease::Held::is_settled) {
            // It held none of them.
            self.member.wake.notify_one();
        }
        Ok(())
    }

    async fn lose(&self, raw: &[RawPlace]) -> Result<(), EngineError> {
        let places = self.places(raw);
        if let Some(generation) = self.number(&places).await? {
            self.member.change(|held| held.lose(&places, generation));
            self.log("partitions were lost", &places, generation);
        }
        self.let_go(raw).await
    }

    /// Lets go, behind the commits that are under way.
    async fn let_go(&self, raw: &[RawPlace]) -> Result<(), EngineError> {
        let mut known = self.member.commits.lock().await;
        self.member.change(super::lease::Held::end);
        for place in self.places(raw) {
            known.remove(&place);
        }
        let (consumer, list) = (Arc::clone(&self.consumer), list_of(raw, Offset::Invalid));
        self.told(runtime::blocking(move || consumer.incremental_unassign(&list))).await
    }

    /// A number for a change of these; `None` if nothing changes.
    async fn number(&self, places: &[Place]) -> Result<Option<Generation>, EngineError> {
        if places.is_empty() {
            return Ok(None);
        }
        self.groups.rebalances.inc();
        self.groups.numbers.next(&self.member.group).await.map(Some)
    }

    fn places(&self, raw: &[RawPlace]) -> Vec<Place> {
        raw.iter().filter_map(|place| self.groups.place(place)).collect()
    }

    /// What the library says to an answer is only for the log: it goes on in any
    /// case, and tells of what is lost.
    async fn told(
        &self,
        answer: impl Future<Output = Result<Result<(), KafkaError>, runtime::Panicked>>,
    ) -> Result<(), EngineError> {
        match answer.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let (group, member) = (&self.member.group, &self.member.id);
                tracing::warn!(%error, %group, %member, "the answer to a rebalance");
            }
            Err(panicked) => return Err(EngineError::OutcomeUnknown(panicked.to_string())),
        }
        Ok(())
    }

    fn log(&self, what: &str, places: &[Place], generation: Generation) {
        let (group, member) = (&self.member.group, &self.member.id);
        let moved: Vec<_> = places.iter().map(|(topic, id)| format!("{topic}/{id}")).collect();
        tracing::info!(%group, %member, %generation, moved = moved.join(","), "{what}");
    }

    /// Something that a consumer tells of. Some of it will not pass.
    fn fault(&self, error: &KafkaError) {
        let (group, member) = (&self.member.group, &self.member.id);
        let code = errors::code_of(error);
        let refused = |why: String| GroupError::from(EngineError::Refused(why));
        let why = match code {
            Code::GroupMaxSizeReached => Some(GroupError::MembersFull(
                self.groups.of_group(&self.member.group).len().saturating_sub(1),
            )),
            Code::InconsistentGroupProtocol => Some(refused(format!(
                "the other members of group '{group}' share by another assignor: all must offer \
                 cooperative-sticky"
            ))),
            Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::InvalidSessionTimeout
            | Code::InvalidGroupId => Some(refused(code.to_string())),
            _ => None,
        };
        match why {
            Some(why) if !self.member.is_settled() => self.member.end(Gone::Refused(why)),
            Some(_) | None => tracing::debug!(%error, %group, %member, "a member of Kafka's group"),
        }
    }

    /// When to look again, if nothing wakes the driver before.
    fn next_time(&self) -> Instant {
        let tick = Instant::now() + TICK;
        let until = self.going.as_ref().and_then(|_| self.member.look(super::lease::Held::until));
        tick.min(self.member.expires()).min(until.unwrap_or(tick))
    }

    /// Leaves Kafka's group: what the member held goes to others at once.
    async fn finish(self) {
        let Driver { groups, member, consumer, waiting, going } = self;
        let why = member.gone();
        groups.remove(&member, why == Some(Gone::Expired));
        tracing::info!(group = %member.group, member = %member.id, ?why, "a member is gone");
        if why != Some(Gone::Closed)
            && let Err(error) = groups.directory.strike(&member.group, &member.id).await
        {
            tracing::debug!(%error, "a member that is gone is still in the directory");
        }
        let commits = tokio::time::timeout(LAST, member.commits.lock()).await;
        drop(member.take_consumer());
        let left = runtime::blocking(move || leave(&consumer, waiting, going));
        if left.await.is_err() {
            tracing::error!("a member did not leave in order");
        }
        drop(commits);
        member.has_closed();
    }
}

/// Answers what is not answered yet, and closes the consumer. Blocks until it
/// has left.
fn leave(
    consumer: &Arc<GroupConsumer>,
    waiting: VecDeque<Rebalance>,
    going: Option<Vec<RawPlace>>,
) {
    consumer.context().leave();
    let late = std::iter::from_fn(|| consumer.context().next());
    let going = going.map(|places| Rebalance::Revoked { places, lost: false });
    for event in going.into_iter().chain(waiting).chain(late) {
        let answered = match event {
            Rebalance::Granted(places) => {
                consumer.incremental_assign(&list_of(&places, Offset::End))
            }
            Rebalance::Revoked { places, .. } => {
                consumer.incremental_unassign(&list_of(&places, Offset::Invalid))
            }
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "a member that leaves");
        }
    }
}
