//! Where partitions begin and how far they are committed: one thread asks the
//! cluster, for all partitions at once, and moves tails and starts.
//!
//! The tail is the last stable offset: what is behind it is committed, and on
//! all replicas that are in sync. A publish waits here until it is visible; a
//! partition that the shared reader follows is left to that.

use super::{
    catalog::TopicState,
    client::{Clients, Consumer},
    errors,
};
use crate::{
    domain::{Offset, PartitionId},
    engine::EngineError,
    runtime,
};
use parking_lot::Mutex;
use rdkafka::{Offset as At, TopicPartitionList, consumer::Consumer as _, error::KafkaError};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long one question to the cluster may take where somebody waits for it
/// alone.
pub(super) const ASK: Duration = Duration::from_secs(5);
/// How long a broker may take to answer for its partitions: those of others wait
/// for it.
const ANSWER: Duration = Duration::from_millis(1_000);
/// One that did not is not asked again so soon: this long at first, then twice as
/// long each time, up to the other.
const SILENT: Duration = Duration::from_millis(250);
const SILENT_MOST: Duration = Duration::from_secs(2);
/// How soon the cluster is asked again for what is not visible yet.
const AGAIN: Duration = Duration::from_millis(2);
/// How long a followed partition's reader may take to come to where the log ends.
const SOON: Duration = Duration::from_millis(30);
/// All partitions are looked at every so many rounds.
const ALL_EVERY: u32 = 5;
/// So many looks in a row must agree that records are gone, over so long: a new
/// leader learns only from its replicas how far the log is committed.
const STRIKES: u32 = 3;
const STRUCK: Duration = Duration::from_secs(5);

/// A partition that was found shorter than it was: its epochs are to be kept.
pub(super) struct Truncated {
    pub topic: Arc<TopicState>,
    pub partition: PartitionId,
}

/// The thread and the way to it.
pub(super) struct Marks {
    asks: Sender<Ask>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Ask {
    /// Until the tail is at least there, or the time is up.
    Until(Arc<TopicState>, PartitionId, Offset, Instant),
    /// Once, for the tails as they are now; those that nobody tells are left out.
    Now(Arc<TopicState>, Vec<PartitionId>, oneshot::Sender<Tails>),
    /// At all partitions, now.
    Around(oneshot::Sender<()>),
    Stop,
}

struct Thread {
    consumer: Consumer,
    topics: Box<dyn Fn() -> Vec<Arc<TopicState>> + Send>,
    truncated: tokio::sync::mpsc::UnboundedSender<Truncated>,
    refresh: Duration,
    waiting: Vec<(Arc<TopicState>, PartitionId, Offset, Instant)>,
    fresh: Vec<(Arc<TopicState>, Vec<PartitionId>, oneshot::Sender<Tails>)>,
    strikes: HashMap<(Key, PartitionId), Strikes>,
    /// Brokers that did not answer: when they are asked again, and how long they
    /// were left alone.
    silent: HashMap<i32, (Instant, Duration)>,
    round: u32,
}

/// How often a partition was found shorter than it was.
struct Strikes {
    count: u32,
    first: Instant,
    last: Instant,
    /// The least that it was found to have: what is beyond is of other records.
    lowest: Offset,
}

/// Where the partitions of a topic end.
type Tails = Vec<(PartitionId, Offset)>;
/// A partition of a topic.
type Spot = (Arc<TopicState>, PartitionId);

/// Tells topic states apart by where they lie.
type Key = usize;

impl Marks {
    /// Starts the thread. `topics` lists what there is.
    pub(super) fn start(
        clients: &Clients,
        refresh: Duration,
        topics: impl Fn() -> Vec<Arc<TopicState>> + Send + 'static,
        truncated: tokio::sync::mpsc::UnboundedSender<Truncated>,
    ) -> Result<Marks, EngineError> {
        let (asks, asked) = channel();
        let mut thread = Thread {
            consumer: clients.consumer(100)?,
            topics: Box::new(topics),
            truncated,
            refresh,
            waiting: vec![],
            fresh: vec![],
            strikes: HashMap::new(),
            silent: HashMap::new(),
            round: 0,
        };
        let thread = runtime::thread("kafka-marks", move || thread.run(&asked));
        Ok(Marks { asks, thread: Mutex::new(Some(thread)) })
    }

    /// Has the tail looked at until it has come to `to`, at most for `most`.
    pub(super) fn until(
        &self,
        topic: &Arc<TopicState>,
        id: PartitionId,
        to: Offset,
        most: Duration,
    ) {
        let ask = Ask::Until(Arc::clone(topic), id, to, Instant::now() + most);
        // After the end nobody asks.
        let _ = self.asks.send(ask);
    }

    /// Moves tails to where they are now. `Unavailable` if nobody tells of one of
    /// them, which stays where it is.
    pub(super) async fn now(
        &self,
        topic: &Arc<TopicState>,
        ids: Vec<PartitionId>,
    ) -> Result<(), EngineError> {
        if ids.is_empty() {
            return Ok(());
        }
        let (done, told) = oneshot::channel();
        let asked = ids.clone();
        if self.asks.send(Ask::Now(Arc::clone(topic), ids, done)).is_err() {
            return Err(EngineError::Closed);
        }
        let tails = told.await.map_err(|_| EngineError::Closed)?;
        let deadline = tokio::time::Instant::now() + SOON;
        let silent = asked.into_iter().find(|id| !tails.iter().any(|(told, _)| told == id));
        for (id, to) in tails {
            let Ok(partition) = topic.partition(id) else { continue };
            if partition.tail() >= to {
                continue;
            }
            // The shared reader brings the records as well, so it is let go first.
            if partition.followed.load(Ordering::Acquire)
                && let Ok(mut tail) = partition.watch(&topic.topic().name)
            {
                let there = tail.wait_for(|tail| *tail >= to);
                let _in_time = tokio::time::timeout_at(deadline, there).await;
            }
            partition.show(to);
        }
        match silent {
            None => Ok(()),
            Some(id) => Err(EngineError::Unavailable(format!(
                "nobody tells where partition {id} of '{}' ends now",
                topic.topic().name
            ))),
        }
    }

    /// Looks at all partitions, and answers when that is done.
    pub(super) async fn around(&self) {
        let (done, told) = oneshot::channel();
        if self.asks.send(Ask::Around(done)).is_ok() {
            // An end meanwhile is an answer too.
            let _ended = told.await;
        }
    }

    /// Ends the thread. Blocks.
    pub(super) fn close(&self) {
        let _ = self.asks.send(Ask::Stop);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Thread {
    fn run(&mut self, asked: &Receiver<Ask>) {
        let mut next_round = Instant::now() + self.refresh;
        loop {
            let wait = next_round.saturating_duration_since(Instant::now());
            let wait = if self.waiting.is_empty() { wait } else { wait.min(AGAIN) };
            let mut ask = asked.recv_timeout(wait);
            let mut around = vec![];
            loop {
                match ask {
                    Ok(Ask::Until(topic, id, to, until)) => {
                        self.waiting.push((topic, id, to, until));
                    }
                    Ok(Ask::Now(topic, ids, done)) => self.fresh.push((topic, ids, done)),
                    Ok(Ask::Around(done)) => around.push(done),
                    Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
                ask = asked.try_recv().map_err(|empty| match empty {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                });
            }
            self.drop_seen();
            self.look_for_waiting();
            if Instant::now() >= next_round || !around.is_empty() {
                self.look_around(!around.is_empty());
                next_round = Instant::now() + self.refresh;
            }
            for done in around {
                // Who asked may have gone.
                let _ = done.send(());
            }
        }
    }

    fn drop_seen(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|(topic, id, to, until)| {
            let there = topic.partition(*id).is_ok_and(|p| p.tail() < *to);
            there && !topic.is_gone() && now < *until
        });
    }

    fn look_for_waiting(&mut self) {
        let followed = |topic: &TopicState, id: PartitionId| {
            topic.partition(id).is_ok_and(|p| p.followed.load(Ordering::Acquire))
        };
        let mut places: Vec<_> =
            self.waiting.iter().map(|(t, id, ..)| (Arc::clone(t), *id)).collect();
        places.retain(|(topic, id)| !followed(topic, *id));
        let fresh = std::mem::take(&mut self.fresh);
        for (topic, ids, _) in &fresh {
            places.extend(ids.iter().map(|id| (Arc::clone(topic), *id)));
        }
        places.sort_by_key(|(topic, id)| (key(topic), *id));
        places.dedup_by_key(|(topic, id)| (key(topic), *id));
        if places.is_empty() {
            return;
        }
        let tails: HashMap<_, _> = self
            .ask_leaders(places, At::End)
            .into_iter()
            .filter_map(|((topic, id), tail)| Some(((key(&topic), id), (topic, tail?))))
            .collect();
        for (topic, ids, done) in fresh {
            let tail = |id: &PartitionId| Some((*id, tails.get(&(key(&topic), *id))?.1));
            // Who asked may have gone.
            let _ = done.send(ids.iter().filter_map(tail).collect());
        }
        for ((_, id), (topic, tail)) in &tails {
            if let Ok(partition) = topic.partition(*id)
                && !partition.followed.load(Ordering::Acquire)
            {
                partition.show(*tail);
            }
        }
        self.drop_seen();
    }

    /// Looks at those partitions that are read, now and then at all.
    fn look_around(&mut self, all: bool) {
        super::client::hear(&self.consumer, Duration::from_millis(1));
        self.round = self.round.wrapping_add(1);
        let all = all || self.round.is_multiple_of(ALL_EVERY);
        let mut places = vec![];
        for topic in (self.topics)() {
            for partition in &topic.partitions {
                if all || partition.followers() > 0 {
                    places.push((Arc::clone(&topic), partition.id));
                }
            }
        }
        // The start first: it is never beyond a tail that is seen later.
        let starts = self.ask_leaders(places, At::Beginning);
        let starts = starts.into_iter().filter_map(|(spot, start)| Some((spot, start?)));
        let starts: HashMap<_, _> =
            starts.map(|(spot, start)| ((key(&spot.0), spot.1), (spot, start))).collect();
        let places: Vec<Spot> = starts.values().map(|(spot, _)| spot.clone()).collect();
        // As it was before the question: while that is under way it moves on.
        let tail_of = |(topic, id): &Spot| topic.partition(*id).map_or(Offset::ZERO, |p| p.tail());
        let was: HashMap<_, _> =
            places.iter().map(|spot| ((key(&spot.0), spot.1), tail_of(spot))).collect();
        for (spot, tail) in self.ask_leaders(places, At::End) {
            let place = (key(&spot.0), spot.1);
            if let (Some((_, start)), Some(was), Some(tail)) =
                (starts.get(&place), was.get(&place), tail)
            {
                self.take_in(&spot, *start, (*was, tail));
            }
        }
        // One that nobody told of since may have come back.
        let stale = (self.refresh * ALL_EVERY * 2).max(STRUCK);
        self.strikes.retain(|_, strikes| strikes.last.elapsed() < stale);
    }

    /// Asks each leader for the marks of its own, so that one that is gone holds
    /// up no other for long.
    fn ask_leaders(&mut self, places: Vec<Spot>, mark: At) -> Vec<(Spot, Option<Offset>)> {
        let now = Instant::now();
        let mut by_leader: HashMap<i32, Vec<Spot>> = HashMap::new();
        for (topic, id) in places {
            let leader = topic.partition(id).ok().and_then(|p| p.leader());
            let silent = |leader: &i32| self.silent.get(leader).is_some_and(|(at, _)| *at > now);
            if let Some(leader) = leader.filter(|leader| !silent(leader)) {
                by_leader.entry(leader).or_default().push((topic, id));
            }
        }
        let mut found = vec![];
        for (leader, places) in by_leader {
            match self.ask_one(&places, mark) {
                Ok(marks) => {
                    self.silent.remove(&leader);
                    found.extend(places.into_iter().zip(marks));
                }
                Err(error) => {
                    tracing::debug!(%error, leader, "a broker does not tell of its partitions");
                    if let Some((topic, _)) = places.first() {
                        self.learn_leader(&topic.raw, &error);
                    }
                    let before = self.silent.get(&leader).map(|(_, pause)| *pause * 2);
                    let pause = before.unwrap_or(SILENT).min(SILENT_MOST);
                    self.silent.insert(leader, (Instant::now() + pause, pause));
                }
            }
        }
        found
    }

    /// The client may still hold who led a topic before it was made anew, or before
    /// its leader went.
    fn learn_leader(&self, raw: &str, why: &KafkaError) {
        if let Err(error) = self.consumer.fetch_metadata(Some(raw), ANSWER) {
            tracing::debug!(%error, %why, topic = raw, "nobody tells who leads it");
        }
    }

    /// Asks one broker; topic by topic, if it does not answer for one of them: that
    /// is not there any more, or led by another since a moment ago.
    fn ask_one(&self, places: &[Spot], mark: At) -> Result<Vec<Option<Offset>>, KafkaError> {
        let raw: Vec<_> = places.iter().map(|(topic, id)| (topic.raw.as_str(), *id)).collect();
        match ask_raw(&self.consumer, &raw, mark, ANSWER) {
            Err(error) if !errors::is_silence(&error) => {
                let mut marks = Vec::with_capacity(raw.len());
                for topic in raw.chunk_by(|a, b| a.0 == b.0) {
                    let told = ask_raw(&self.consumer, topic, mark, ANSWER);
                    marks.extend(told.unwrap_or_else(|error| {
                        self.learn_leader(topic[0].0, &error);
                        vec![None; topic.len()]
                    }));
                }
                Ok(marks)
            }
            told => told,
        }
    }

    /// What a leader answered, and where the tail was before it was asked.
    fn take_in(&mut self, (topic, id): &Spot, start: Offset, (was, tail): (Offset, Offset)) {
        let Ok(partition) = topic.partition(*id) else { return };
        let place = (key(topic), *id);
        if tail < was {
            let now = Instant::now();
            let begun = Strikes { count: 0, first: now, last: now, lowest: tail };
            let strikes = self.strikes.entry(place).or_insert(begun);
            strikes.count += 1;
            strikes.last = now;
            strikes.lowest = strikes.lowest.min(tail);
            let to = strikes.lowest;
            if strikes.count >= STRIKES && strikes.first.elapsed() >= STRUCK {
                self.strikes.remove(&place);
                tracing::warn!(topic = topic.raw, partition = id.0, %to, %was,
                    "the cluster lost committed records");
                partition.truncate(to);
                let _ = self.truncated.send(Truncated { topic: Arc::clone(topic), partition: *id });
            }
            return;
        }
        self.strikes.remove(&place);
        partition.raise_start(start);
        if !partition.followed.load(Ordering::Acquire) {
            partition.show(tail);
        }
    }
}

fn key(topic: &Arc<TopicState>) -> Key {
    Arc::as_ptr(topic) as usize
}

/// Asks for the same mark of several partitions, in their order; `None` for one
/// that has no answer now. Blocks.
pub(super) fn ask(
    consumer: &Consumer,
    places: &[(Arc<TopicState>, PartitionId)],
    mark: At,
) -> Result<Vec<Option<Offset>>, KafkaError> {
    let places: Vec<_> = places.iter().map(|(topic, id)| (topic.raw.as_str(), *id)).collect();
    ask_raw(consumer, &places, mark, ASK)
}

/// As [`ask`], by the topics' names in the cluster.
pub(super) fn ask_raw(
    consumer: &Consumer,
    places: &[(&str, PartitionId)],
    mark: At,
    most: Duration,
) -> Result<Vec<Option<Offset>>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (raw, id) in places {
        list.add_partition_offset(raw, i32::try_from(id.0).unwrap_or(i32::MAX), mark)?;
    }
    let answer = consumer.offsets_for_times(list, most)?;
    let mut found: HashMap<(String, i32), Offset> = HashMap::with_capacity(places.len());
    for element in answer.elements() {
        if let (Ok(()), At::Offset(offset)) = (element.error(), element.offset()) {
            let offset = Offset(u64::try_from(offset).unwrap_or(0));
            found.insert((element.topic().to_owned(), element.partition()), offset);
        }
    }
    let of = |(raw, id): &(&str, PartitionId)| {
        found.get(&((*raw).to_owned(), i32::try_from(id.0).unwrap_or(i32::MAX))).copied()
    };
    Ok(places.iter().map(of).collect())
}
