//! The sockets of a benchmark, and what they hear: every record once, in order, whatever else is measured.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::process::Server;
use super::wire::{Batch, HEAD, PATH, PROTOCOL, Said, offsets};
use crate::client::load::{Fleet, Frame, LoadError};

/// How often a condition is looked at that something waits for.
const POLL: Duration = Duration::from_millis(1);
/// How long what was sent may take to arrive once nothing more is sent.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a frame that are shown when it should not have come.
const SHOWN: usize = 300;

/// What is held against what a socket hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// In each partition each frame begins where the last one ended.
    Dense,
    /// Offsets only rise: records of other keys are left out.
    Rising,
    /// Nothing: a floor repeats its frames.
    Nothing,
}

/// Sockets on one server.
#[derive(Debug)]
pub struct Crowd {
    fleet: Fleet,
    ears: Ears,
}

/// What a crowd has heard so far.
#[derive(Debug)]
pub struct Ears {
    check: Check,
    /// By socket and partition: the next offset.
    places: RefCell<Vec<Vec<Option<u64>>>>,
    /// Sockets before this one are held against what all their frames contain, not only how they begin.
    read_whole: Cell<usize>,
    records: Cell<u64>,
    frames: Cell<u64>,
    bytes: Cell<u64>,
    granted: Cell<usize>,
    lagging: Cell<u64>,
    asides: Cell<u64>,
}

impl Crowd {
    /// Opens `count` sockets on `server`.
    ///
    /// # Errors
    /// At the first that is refused.
    pub async fn open(server: &Server, count: usize, check: Check) -> Result<Self, BenchError> {
        let fleet = Fleet::open(server.address(), PATH, PROTOCOL, HEAD, count).await;
        let fleet = fleet.map_err(BenchError::load("opening sockets"))?;
        Ok(Self { fleet, ears: Ears::new(check) })
    }

    /// As [`Crowd::open`]; each socket is then subscribed with the frame that `text` makes for it.
    ///
    /// # Errors
    /// When a socket or a subscription is refused.
    pub async fn subscribed(
        server: &Server,
        count: usize,
        check: Check,
        text: impl Fn(usize) -> String,
    ) -> Result<Self, BenchError> {
        let mut crowd = Self::open(server, count, check).await?;
        crowd.subscribe(text).await?;
        crowd
            .attend(
                |_, _, _| {},
                async |ears| {
                    ears.until("a grant for every socket", |ears| ears.granted.get() == count).await
                },
            )
            .await?;
        Ok(crowd)
    }

    /// Sends each socket's subscription and does not wait for an answer.
    ///
    /// # Errors
    /// When a connection fails.
    pub async fn subscribe(&mut self, text: impl Fn(usize) -> String) -> Result<(), BenchError> {
        self.fleet.send(text).await.map_err(BenchError::load("subscribing"))
    }

    /// The sockets of `which` keep their frames whole, the others only as much as is needed to know their place.
    pub fn keep_whole(&mut self, which: impl Fn(usize) -> bool) {
        for (index, socket) in self.fleet.sockets.iter_mut().enumerate() {
            socket.keep(if which(index) { usize::MAX } else { HEAD });
        }
    }

    /// Holds the contents of all further frames of the first `count` sockets, which keep them whole, against the order.
    pub fn read_whole(&mut self, count: usize) {
        self.keep_whole(|index| index < count);
        self.ears.read_whole.set(count);
    }

    /// Takes the sockets of `other`, behind its own.
    pub fn join(&mut self, other: Self) {
        let own = self.fleet.sockets.len();
        self.fleet.sockets.extend(other.fleet.sockets);
        let mut places = self.ears.places.borrow_mut();
        places.resize(own, Vec::new());
        places.extend(other.ears.places.take());
    }

    /// Closes all but the first `count` sockets.
    pub fn cut(&mut self, count: usize) {
        self.fleet.sockets.truncate(count);
        self.ears.places.borrow_mut().truncate(count);
    }

    /// How many sockets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fleet.sockets.len()
    }

    /// Hears all sockets while `work` goes on; hands every frame of records, as much as is kept of it, to `each`.
    ///
    /// # Errors
    /// What `work` returns; a socket that fails, hears what it should not, or misses something.
    pub async fn attend<T>(
        &mut self,
        mut each: impl FnMut(usize, Batch, &[u8]),
        work: impl AsyncFnOnce(&Ears) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let (fleet, ears) = (&mut self.fleet, &self.ears);
        let sink = |index: usize, frame: Frame<'_>| {
            if let Some(batch) = ears.hear(index, frame)? {
                each(index, batch, frame.head);
            }
            Ok(())
        };
        let attended = fleet.attend(sink, work(ears)).await;
        attended.map_err(BenchError::load("hearing the sockets"))?
    }
}

impl Ears {
    fn new(check: Check) -> Self {
        Self {
            check,
            places: RefCell::default(),
            read_whole: Cell::new(0),
            records: Cell::new(0),
            frames: Cell::new(0),
            bytes: Cell::new(0),
            granted: Cell::new(0),
            lagging: Cell::new(0),
            asides: Cell::new(0),
        }
    }

    fn hear(&self, index: usize, frame: Frame<'_>) -> Result<Option<Batch>, LoadError> {
        add(&self.bytes, frame.length);
        match Said::of(frame.head) {
            Said::Records(batch) => {
                add(&self.frames, 1);
                add(&self.records, batch.len());
                self.hold(index, batch, frame.head)?;
                return Ok(Some(batch));
            }
            Said::Granted => self.granted.set(self.granted.get() + 1),
            Said::Lagging => add(&self.lagging, 1),
            Said::Aside => add(&self.asides, 1),
            Said::Wrong => {
                let shown = &frame.head[..frame.head.len().min(SHOWN)];
                return Err(LoadError::Said(String::from_utf8_lossy(shown).into_owned()));
            }
        }
        Ok(None)
    }

    /// Holds a frame against what its socket heard before.
    fn hold(&self, index: usize, batch: Batch, head: &[u8]) -> Result<(), LoadError> {
        if self.check == Check::Nothing {
            return Ok(());
        }
        let mut places = self.places.borrow_mut();
        if places.len() <= index {
            places.resize(index + 1, Vec::new());
        }
        let of_socket = &mut places[index];
        if of_socket.len() <= batch.partition {
            of_socket.resize(batch.partition + 1, None);
        }
        let place = &mut of_socket[batch.partition];
        let right = match (*place, self.check) {
            (Some(expected), Check::Dense) => batch.first == expected,
            (Some(least), _) => batch.first >= least,
            (None, _) => true,
        };
        let whole = || offsets(head).is_some_and(|all| all.into_iter().eq(batch.first..batch.next));
        if !right || (index < self.read_whole.get() && !whole()) {
            let said = format!("socket {index} was at {place:?} and got {batch:?}");
            return Err(LoadError::Said(said));
        }
        *place = Some(batch.next);
        Ok(())
    }

    /// Waits until `done`.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), BenchError> {
        let begin = Instant::now();
        while !done(self) {
            if begin.elapsed() > PATIENCE {
                return Err(BenchError::TimedOut { what: what.to_owned(), after: PATIENCE });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Records heard, all sockets together.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.get()
    }

    /// Frames of records heard.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Bytes of payload heard.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// How often a socket was told that it lags.
    #[must_use]
    pub fn lagging(&self) -> u64 {
        self.lagging.get()
    }

    /// Frames heard that carry nothing: heartbeats above all.
    #[must_use]
    pub fn asides(&self) -> u64 {
        self.asides.get()
    }
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get() + more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::load::Opcode;

    fn ears(check: Check) -> Ears {
        let ears = Ears::new(check);
        ears.read_whole.set(1);
        ears
    }

    /// Whether the socket at `index` may hear a frame with these offsets.
    fn hears(ears: &Ears, index: usize, offsets: &[u64], next: u64) -> bool {
        let records: Vec<_> = offsets
            .iter()
            .map(|offset| format!(r#"{{"partition":0,"offset":{offset}}}"#))
            .collect();
        let text = format!(
            r#"{{"op":"records","sub":1,"topic":"t","partition":0,"epoch":0,"next":{next},"records":[{}]}}"#,
            records.join(",")
        );
        let length = text.len() as u64;
        ears.hear(index, Frame { opcode: Opcode::Text, head: text.as_bytes(), length }).is_ok()
    }

    #[test]
    fn a_record_that_is_missing_or_comes_twice_is_noticed() {
        let dense = ears(Check::Dense);
        assert!(hears(&dense, 0, &[5, 6], 7) && hears(&dense, 0, &[7], 8));
        assert!(hears(&dense, 3, &[6], 7), "each socket has a place of its own");
        assert!(!hears(&dense, 0, &[9], 10), "8 is missing");
        assert!(!hears(&dense, 3, &[6], 7), "6 comes again");
        assert!(!hears(&dense, 0, &[8, 10], 11), "9 is missing within");
        assert_eq!((dense.frames(), dense.records()), (6, 9));
        let rising = ears(Check::Rising);
        assert!(hears(&rising, 1, &[5], 6) && hears(&rising, 1, &[9], 10));
        assert!(!hears(&rising, 1, &[7], 8));
        assert!(hears(&ears(Check::Nothing), 1, &[7], 8));
    }
}
