//! The shared reader: one consumer for all partitions whose tail somebody waits
//! for, however many that are. What it reads goes to the partition's newest
//! batches; then the tail moves.

use super::{
    catalog::TopicState,
    client::{Clients, Consumer},
    errors,
    records::Gathered,
};
use crate::{
    domain::{Offset, PartitionId},
    engine::EngineError,
    runtime,
};
use parking_lot::Mutex;
use rdkafka::{
    Message, Offset as At, TopicPartitionList, consumer::Consumer as _, error::KafkaError,
    message::BorrowedMessage,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long the cluster holds a request for new records back. A partition that
/// is added meanwhile waits for that.
const WAIT_MS: u32 = 50;
/// How soon a new follower is noticed.
const POLL: Duration = Duration::from_millis(10);
/// How long the thread rests while nobody follows anything.
const REST: Duration = Duration::from_millis(500);
/// What is taken from the consumer before it is shown, records and bytes.
const TAKE_RECORDS: u64 = 2_000;
const TAKE_BYTES: usize = 1 << 20;
/// How long a partition that nobody waits for any more is kept.
const LINGER: Duration = Duration::from_secs(10);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// The thread and the way to it.
pub(super) struct Follower {
    asks: Sender<Ask>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// How many partitions it reads.
    pub partitions: Arc<AtomicU64>,
}

enum Ask {
    Follow(Arc<TopicState>, PartitionId),
    Stop,
}

/// A partition that is read.
struct Seat {
    topic: Arc<TopicState>,
    id: PartitionId,
    next: Offset,
    wanted: Instant,
    gathered: Gathered,
}

struct Thread {
    consumer: Consumer,
    seats: HashMap<String, HashMap<i32, Seat>>,
    count: Arc<AtomicU64>,
    /// Whether some place is not in the log any more.
    astray: bool,
}

impl Follower {
    pub(super) fn start(clients: &Clients) -> Result<Follower, EngineError> {
        let consumer = clients.consumer(WAIT_MS)?;
        let (asks, asked) = channel();
        let partitions = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&partitions);
        let mut thread = Thread { consumer, seats: HashMap::new(), count, astray: false };
        let thread = runtime::thread("kafka-follow", move || thread.run(&asked));
        Ok(Follower { asks, thread: Mutex::new(Some(thread)), partitions })
    }

    /// Has the partition read, unless it is.
    pub(super) fn follow(&self, topic: &Arc<TopicState>, id: PartitionId) {
        let Ok(partition) = topic.partition(id) else { return };
        if !partition.followed.load(Ordering::Acquire) {
            // After the end nobody follows.
            let _ = self.asks.send(Ask::Follow(Arc::clone(topic), id));
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
        let mut swept = Instant::now();
        loop {
            let resting = self.seats.is_empty();
            let first = if resting { asked.recv_timeout(REST).ok() } else { None };
            let mut new = vec![];
            let mut ask = first.map_or_else(|| asked.try_recv(), Ok);
            loop {
                match ask {
                    Ok(Ask::Follow(topic, id)) => new.push((topic, id)),
                    Ok(Ask::Stop) | Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => break,
                }
                ask = asked.try_recv();
            }
            self.seat(new);
            if !self.seats.is_empty() {
                self.take();
            } else {
                // Faults and statistics are told here too.
                self.consumer.poll(Duration::ZERO);
            }
            if swept.elapsed() >= SWEEP {
                if self.astray {
                    self.seat_again();
                }
                self.sweep();
                swept = Instant::now();
            }
        }
    }

    /// Begins to read partitions at their tails.
    fn seat(&mut self, new: Vec<(Arc<TopicState>, PartitionId)>) {
        let mut list = TopicPartitionList::new();
        for (topic, id) in new {
            let Ok(partition) = topic.partition(id) else { continue };
            if topic.is_gone() || partition.followed.swap(true, Ordering::AcqRel) {
                continue;
            }
            let next = partition.tail().max(partition.start());
            let place = i32::try_from(id.0).unwrap_or(i32::MAX);
            // A topic of that name that is gone may still be seated.
            let old = self.seats.get(&topic.raw).and_then(|seats| seats.get(&place));
            if let Some(old) = old.map(|seat| Arc::clone(&seat.topic)) {
                self.unseat(&[(old, id)]);
            }
            if let Err(error) = list.add_partition_offset(&topic.raw, place, at(next)) {
                tracing::warn!(%error, topic = topic.raw, "cannot be followed");
                continue;
            }
            let wanted = Instant::now();
            let raw = topic.raw.clone();
            let seat = Seat { topic, id, next, wanted, gathered: Gathered::default() };
            self.seats.entry(raw).or_default().insert(place, seat);
        }
        if list.count() > 0 {
            self.told(self.consumer.incremental_assign(&list));
            self.count_seats();
        }
    }

    fn unseat(&mut self, places: &[(Arc<TopicState>, PartitionId)]) {
        let mut list = TopicPartitionList::new();
        for (topic, id) in places {
            let place = i32::try_from(id.0).unwrap_or(i32::MAX);
            let Some(seats) = self.seats.get_mut(&topic.raw) else { continue };
            if seats.remove(&place).is_some() {
                list.add_partition(&topic.raw, place);
            }
            if seats.is_empty() {
                self.seats.remove(&topic.raw);
            }
            if let Ok(partition) = topic.partition(*id) {
                partition.followed.store(false, Ordering::Release);
                partition.recent.lock().clear();
            }
        }
        if list.count() > 0 {
            self.told(self.consumer.incremental_unassign(&list));
            self.count_seats();
        }
    }

    /// Takes what has come, and shows it.
    fn take(&mut self) {
        let mut wait = POLL;
        let (mut records, mut bytes) = (0, 0);
        let mut touched: Vec<(String, i32)> = vec![];
        while records < TAKE_RECORDS && bytes < TAKE_BYTES {
            let Some(polled) = self.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    records += 1;
                    bytes += message.payload_len();
                    gather(&mut self.seats, &message, &mut touched);
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => {
                    let lost = errors::code_of(&error) == errors::OUT_OF_RANGE;
                    tracing::debug!(%error, "the shared reader");
                    self.astray |= lost;
                    break;
                }
            }
        }
        for (raw, place) in touched {
            let seat = self.seats.get_mut(&raw).and_then(|seats| seats.get_mut(&place));
            if let Some(seat) = seat {
                seat.show();
            }
        }
    }

    /// Some place is not in the log any more, and the library does not say
    /// which: all are taken again where they can be read. Not at once, so that a
    /// place that stays lost for a while holds the others up no more than that.
    fn seat_again(&mut self) {
        self.astray = false;
        let all = self.seats.values().flat_map(HashMap::values);
        let all: Vec<_> = all.map(|seat| (Arc::clone(&seat.topic), seat.id)).collect();
        self.unseat(&all);
        self.seat(all);
    }

    /// Lets go of what nobody waits for, and of topics that are gone.
    fn sweep(&mut self) {
        let mut idle = vec![];
        for seat in self.seats.values_mut().flat_map(HashMap::values_mut) {
            let followers = seat.topic.partition(seat.id).map_or(0, |p| p.followers());
            if followers > 0 {
                seat.wanted = Instant::now();
            }
            if seat.topic.is_gone() || seat.wanted.elapsed() > LINGER {
                idle.push((Arc::clone(&seat.topic), seat.id));
            }
        }
        self.unseat(&idle);
    }

    fn count_seats(&self) {
        let seats = self.seats.values().map(HashMap::len).sum::<usize>();
        self.count.store(seats as u64, Ordering::Relaxed);
    }

    fn told(&self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "the shared reader cannot change what it reads");
        }
    }
}

impl Seat {
    /// What was gathered is read by followers from now on.
    fn show(&mut self) {
        let batches = std::mem::take(&mut self.gathered).into_batches();
        let (Ok(partition), Some(last)) = (self.topic.partition(self.id), batches.last()) else {
            return;
        };
        let end = last.end();
        partition.recent.lock().push(self.next, batches, end);
        self.next = end;
        partition.show(end);
    }
}

fn gather(
    seats: &mut HashMap<String, HashMap<i32, Seat>>,
    message: &BorrowedMessage<'_>,
    touched: &mut Vec<(String, i32)>,
) {
    let (raw, place) = (message.topic(), message.partition());
    let Some(seat) = seats.get_mut(raw).and_then(|seats| seats.get_mut(&place)) else { return };
    let offset = u64::try_from(message.offset()).unwrap_or(0);
    // Left over from before the partition was taken again.
    if Offset(offset) < seat.next {
        return;
    }
    if seat.gathered.records() == 0 {
        touched.push((raw.to_owned(), place));
    }
    seat.gathered.push(message);
}

/// An offset as the library wants it.
pub(super) fn at(offset: Offset) -> At {
    At::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX))
}
