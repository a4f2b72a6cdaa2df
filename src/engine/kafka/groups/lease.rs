//! What a member holds, is to let go of, and may commit. Pure.

use crate::{
    domain::{Generation, PartitionId, TopicName},
    engine::Assignment,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// A partition of a topic.
pub(super) type Place = (TopicName, PartitionId);

/// What a member has, each with the generation in which it got it.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    held: BTreeMap<Place, Generation>,
    going: BTreeMap<Place, Generation>,
    until: Option<Instant>,
    generation: Generation,
    version: u64,
}

impl Held {
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Something in the lease is another, though not what is held.
    pub(super) fn touch(&mut self) {
        self.version += 1;
    }

    /// The member gets these, in a generation of their own.
    pub(super) fn grant(&mut self, places: &[Place], generation: Generation) {
        self.moved_on(generation);
        self.held.extend(places.iter().cloned().map(|place| (place, generation)));
    }

    /// The member is to let go of these; it may commit them until then.
    pub(super) fn revoke(&mut self, places: &[Place], generation: Generation, until: Instant) {
        self.moved_on(generation);
        for place in places {
            if let Some((place, got)) = self.held.remove_entry(place) {
                self.going.insert(place, got);
            }
        }
        self.until = Some(until);
    }

    /// The member lets go of these, as far as it is to.
    pub(super) fn release(&mut self, what: &Assignment) {
        let named = |(topic, id): &Place| what.get(topic).is_some_and(|parts| parts.contains(id));
        let before = self.going.len();
        self.going.retain(|place, _| !named(place));
        self.version += u64::from(self.going.len() != before);
    }

    /// What was to go is gone.
    pub(super) fn end(&mut self) {
        self.version += u64::from(!self.going.is_empty());
        self.going.clear();
        self.until = None;
    }

    /// These were given to others already.
    pub(super) fn lose(&mut self, places: &[Place], generation: Generation) {
        self.moved_on(generation);
        for place in places {
            self.held.remove(place);
            self.going.remove(place);
        }
    }

    /// Whether the member holds this, and is to keep it.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.held.contains_key(place)
    }

    /// Whether nothing is left to be let go of.
    pub(super) fn is_settled(&self) -> bool {
        self.going.is_empty()
    }

    /// When what is to go is taken.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How long the member may still take; zero if it is to release nothing.
    pub(super) fn grace(&self, now: Instant) -> Duration {
        let until = self.until.filter(|_| !self.going.is_empty());
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    pub(super) fn assignment(&self) -> Assignment {
        by_topic(self.held.keys().cloned())
    }

    pub(super) fn revoking(&self) -> Assignment {
        by_topic(self.going.keys().cloned())
    }

    /// Whether the member may commit this place under a generation that it was
    /// told; else what is wrong.
    pub(super) fn check(&self, place: &Place, told: Generation) -> Result<(), String> {
        let (topic, id) = place;
        let Some(got) = self.held.get(place).or_else(|| self.going.get(place)) else {
            return Err(format!("partition {id} of '{topic}' is not held by the member"));
        };
        if told < *got || told > self.generation {
            return Err(format!(
                "partition {id} of '{topic}' was got in generation {got}, the group is in {}, and \
                 the commit is of {told}",
                self.generation
            ));
        }
        Ok(())
    }

    fn moved_on(&mut self, generation: Generation) {
        self.generation = self.generation.max(generation);
        self.version += 1;
    }
}

/// Places as the contract has them.
pub(super) fn by_topic(places: impl IntoIterator<Item = Place>) -> Assignment {
    let mut all = BTreeMap::<TopicName, BTreeSet<PartitionId>>::new();
    for (topic, id) in places {
        all.entry(topic).or_default().insert(id);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn place(id: u32) -> Place {
        (TopicName::new("a").unwrap(), PartitionId(id))
    }

    fn of(ids: &[u32]) -> Assignment {
        by_topic(ids.iter().map(|id| place(*id)))
    }

    /// Holds 0 and 1 since generation 4.
    fn holding() -> Held {
        let mut held = Held::default();
        held.grant(&[place(0), place(1)], Generation(4));
        held
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_revoked_can_be_committed_until_it_is_released() {
        let (mut held, now) = (holding(), Instant::now());
        held.revoke(&[place(1)], Generation(5), now + GRACE);
        assert_eq!((held.assignment(), held.revoking()), (of(&[0]), of(&[1])));
        assert_eq!(held.grace(now), GRACE);
        assert_eq!(held.check(&place(1), Generation(4)), Ok(()));
        held.release(&of(&[0, 1]));
        assert!(held.is_settled() && held.check(&place(1), Generation(5)).is_err());
        assert_eq!((held.assignment(), held.grace(now)), (of(&[0]), Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_stays_good_for_its_older_generation() {
        let mut held = holding();
        held.grant(&[place(2)], Generation(9));
        assert_eq!(held.check(&place(0), Generation(4)), Ok(()));
        assert_eq!(held.check(&place(0), Generation(9)), Ok(()));
        assert!(held.check(&place(2), Generation(4)).is_err());
        assert!(held.check(&place(0), Generation(10)).is_err());
        assert!(held.check(&place(7), Generation(9)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_lost_cannot_be_committed_and_comes_back_in_a_new_generation() {
        let mut held = holding();
        held.lose(&[place(0), place(1)], Generation(5));
        assert!(held.check(&place(0), Generation(5)).is_err());
        held.grant(&[place(0)], Generation(6));
        assert!(held.check(&place(0), Generation(4)).is_err());
        assert_eq!(held.check(&place(0), Generation(6)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_stands_for_one_lease() {
        let (mut held, now) = (holding(), Instant::now());
        let mut seen = vec![held.version()];
        held.revoke(&[place(1)], Generation(5), now + GRACE);
        seen.push(held.version());
        held.release(&of(&[0]));
        assert_eq!(seen.last(), Some(&held.version()), "nothing was let go of");
        held.end();
        seen.push(held.version());
        held.end();
        assert_eq!(seen.last(), Some(&held.version()));
        assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    }
}
