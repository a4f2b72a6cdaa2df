//! Replaying the log as sled would, and judging every place where it would stop or pass something over.

use std::io;
use std::path::Path;

use super::file::{LogFile, Place, Survey};
use super::flip;
use super::format::{KINDS, Message, MessageHeader, SEGMENT_HEADER};
use super::pages::Pages;
use super::segment::{End, forward, hunt};
use super::snapshot::Snapshot;
use super::{Fault, Stop, Tip};

/// Freed places that sled may have cleared, and not begun to write, when a cut came.
pub(super) const FREED_AHEAD: i64 = 3;

/// What has been read so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) segments: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// A walk under way.
#[derive(Debug)]
pub(super) struct Replay {
    log: LogFile,
    pub(super) tally: Tally,
}

/// What one replay knows beforehand.
struct Ground {
    survey: Survey,
    /// Everything up to this lsn was written.
    stable: i64,
    /// From this lsn on no segment may be missing.
    tail: i64,
    /// The lsn that the snapshot reaches to.
    snapshot: Option<i64>,
}

impl Replay {
    /// Opens the log.
    pub(super) fn open(db_file: &Path, segment_size: usize) -> io::Result<Self> {
        Ok(Self { log: LogFile::open(db_file, segment_size)?, tally: Tally::default() })
    }

    /// Replays the log behind `snapshot`.
    pub(super) fn run(&mut self, snapshot: &Snapshot) -> Result<Tip, Stop> {
        let next = snapshot.next_lsn.unwrap_or(0);
        let replay_from = self.base(next);
        let survey = self.log.survey(replay_from)?;
        let stable = survey.segments.values().map(|place| place.stable).fold(next - 1, i64::max);
        let ground = Ground {
            tail: self.base(stable).max(replay_from),
            survey,
            stable,
            snapshot: snapshot.next_lsn,
        };
        let mut pages = Pages::new(snapshot);

        let mut tip = self.messages(&ground, next, &mut pages)?;
        if let Some(lsn) = pages.finish(tip.lsn) {
            tip = self.cut_batch(&ground, tip, lsn)?;
        }
        self.blank_places(&ground, &mut tip)?;
        self.references(&pages, replay_from)?;
        if let Some(page) = pages.orphan() {
            return Err(fault(
                0,
                -1,
                format!("page {page} has changes but no state: a segment is lost"),
                0,
            ));
        }
        Ok(tip)
    }

    /// The lsn of the segment that `lsn` is in; 0 for -1.
    fn base(&self, lsn: i64) -> i64 {
        lsn.max(0) / self.log.size as i64 * self.log.size as i64
    }

    fn number(&self, lsn: i64) -> u64 {
        (lsn / self.log.size as i64).unsigned_abs()
    }

    fn lsn(&self, message: &Message, at: usize) -> i64 {
        i64::try_from(message.number)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.log.size as i64)
            .saturating_add(at as i64)
    }

    /// Reads the segments in the order of the log, up to its end.
    fn messages(&mut self, ground: &Ground, next: i64, pages: &mut Pages) -> Result<Tip, Stop> {
        let mut expected = ground.tail;
        let mut torn = false;
        for (&lsn, &place) in &ground.survey.segments {
            if lsn >= ground.tail {
                if lsn != expected {
                    break;
                }
                expected += self.log.size as i64;
            }
            self.log.load(place.at)?;
            self.tally.segments += 1;
            let number = self.number(lsn);
            let tally = &mut self.tally;
            let end = forward(&self.log.segment, self.log.size, number, |at, message| {
                tally.messages += 1;
                tally.bytes += message.size as u64;
                if lsn + at as i64 >= next {
                    pages.take(lsn + at as i64, message);
                }
            });
            let End::At(at) = end else {
                continue;
            };
            if lsn >= ground.tail {
                return self.tail(ground, lsn, place, at, torn);
            }
            if !self.taken_again(ground, at) {
                let behind = self.behind(lsn, at).bytes;
                return Err(bad_message(place.at + at as u64, lsn + at as i64, behind));
            }
            torn = true;
        }
        self.missing(ground, expected, torn)
    }

    /// Judges the end of the log at offset `at` of the segment `lsn` in the tail.
    fn tail(
        &mut self,
        ground: &Ground,
        lsn: i64,
        place: Place,
        at: usize,
        torn: bool,
    ) -> Result<Tip, Stop> {
        let spot = Tip { at: place.at + at as u64, lsn: lsn + at as i64, torn, dropped: 0 };
        let behind = self.behind(lsn, at);
        let rest = &self.log.segment[at.min(self.log.segment.len())..];
        let begun = MessageHeader::read(rest).is_some_and(|header| {
            header.number == self.number(lsn) && KINDS.contains(&header.kind)
        });
        let later = self.later(ground, lsn + self.log.size as i64)?;
        let altered = (behind.next.is_some() || later.segments) && {
            self.log.load(place.at)?;
            let rest = &self.log.segment[at.min(self.log.segment.len())..];
            flip::altered(rest, self.number(lsn), behind.next.map(|next| next - at))
        };
        let dropped = behind.bytes + later.bytes;
        if spot.lsn <= ground.stable || altered {
            return Err(bad_message(spot.at, spot.lsn, dropped));
        }
        Ok(Tip { torn: torn || begun || dropped > 0 || later.segments, dropped, ..spot })
    }

    /// Judges the end of the log before the segment `lsn`, of which nothing is there.
    fn missing(&mut self, ground: &Ground, lsn: i64, torn: bool) -> Result<Tip, Stop> {
        let later = self.later(ground, lsn)?;
        let at = self.log.length;
        if lsn <= ground.stable {
            let what =
                format!("the log ends at {lsn}, though it was written up to {}", ground.stable);
            return Err(fault(at, lsn, what, later.bytes));
        }
        Ok(Tip { at, lsn, torn: torn || later.segments, dropped: later.bytes })
    }

    /// What lies behind offset `at` of the loaded segment `lsn`.
    fn behind(&self, lsn: i64, at: usize) -> Behind {
        let mut behind = Behind::default();
        hunt(&self.log.segment, at + 1, |at, message| {
            if message.number == self.number(lsn) {
                behind.next.get_or_insert(at);
                behind.bytes += message.size as u64;
            }
        });
        behind
    }

    /// What lies in the segments from `lsn` on.
    fn later(&mut self, ground: &Ground, lsn: i64) -> io::Result<Later> {
        let mut later = Later::default();
        for (&lsn, place) in ground.survey.segments.range(lsn..) {
            self.log.load(place.at)?;
            later.segments = true;
            later.bytes += self.behind(lsn, SEGMENT_HEADER - 1).bytes;
        }
        Ok(later)
    }

    /// Whether the loaded segment was free and its place was being written anew, the header not yet.
    fn taken_again(&self, ground: &Ground, at: usize) -> bool {
        let mut again = false;
        hunt(&self.log.segment, at, |at, message| {
            let lsn = self.lsn(message, at);
            again |= lsn > ground.stable && !ground.survey.segments.contains_key(&self.base(lsn));
        });
        again
    }

    /// Judges a log that ends before its last batch is complete, which replay stops at.
    fn cut_batch(&self, ground: &Ground, tip: Tip, lsn: i64) -> Result<Tip, Stop> {
        let within = lsn - self.base(lsn);
        let at = ground
            .survey
            .segments
            .get(&self.base(lsn))
            .map_or(tip.at, |place| place.at + within.unsigned_abs());
        let dropped = tip.dropped + (tip.lsn - lsn).unsigned_abs();
        if lsn <= ground.stable {
            return Err(fault(
                at,
                lsn,
                "the log ends within a batch that was complete".to_owned(),
                dropped,
            ));
        }
        Ok(Tip { at, lsn, torn: true, dropped })
    }

    /// Judges the places without a header.
    fn blank_places(&mut self, ground: &Ground, tip: &mut Tip) -> Result<(), Stop> {
        let mut empty = Vec::new();
        for &at in &ground.survey.blank {
            self.log.load(at)?;
            let (mut lost, mut found, mut bytes) = (None, false, 0);
            hunt(&self.log.segment, SEGMENT_HEADER, |within, message| {
                let lsn = self.lsn(message, within);
                let base = self.base(lsn);
                found = true;
                bytes += message.size as u64;
                // Older ones were cleared by recovery, which may not have finished.
                if lsn > ground.stable {
                    tip.torn = true;
                    tip.dropped += message.size as u64;
                } else if lsn >= ground.snapshot.unwrap_or(0)
                    && !ground.survey.segments.contains_key(&base)
                {
                    lost.get_or_insert(base);
                }
            });
            if let Some(lsn) = lost {
                return Err(fault(at, lsn, "the header of a segment is cleared".to_owned(), bytes));
            }
            if !found {
                empty.push(at);
            }
        }
        self.empty_places(ground, &empty)
    }

    /// Judges the places without any content: at most as many may lie before newer segments as were being written,
    /// or cleared to be written next (seen: two, after a power cut in a commit that rewrote several large nodes).
    /// What such a place held that still counted is noticed by its absence: by the page table, by the tails in the
    /// marks, or by the reader that comes to it.
    fn empty_places(&self, ground: &Ground, empty: &[u64]) -> Result<(), Stop> {
        // Without a snapshot it is not known which segments are newer than the last recovery.
        let Some(next) = ground.snapshot else {
            return Ok(());
        };
        let segments = &ground.survey.segments;
        let newest_place = segments.range(next..).map(|(_, place)| place.at).max();
        let lost: Vec<u64> = empty.iter().copied().filter(|at| Some(*at) < newest_place).collect();
        let in_tail = segments.range(ground.tail..).count() as i64;
        let last = segments.last_key_value().map_or(ground.tail, |(lsn, _)| *lsn);
        let being_written = (last - ground.tail) / self.log.size as i64 + 1 - in_tail;
        match lost.first() {
            Some(&at) if lost.len() as i64 > being_written + FREED_AHEAD => {
                Err(fault(at, -1, "a segment is cleared that was in use".to_owned(), 0))
            }
            _ => Ok(()),
        }
    }

    /// Reads what the page table needs of what the snapshot covers.
    fn references(&mut self, pages: &Pages, replay_from: i64) -> Result<(), Stop> {
        let size = self.log.size as u64;
        let mut loaded = None;
        for reference in pages.references() {
            let place = reference.at / size * size;
            if loaded != Some(place) {
                self.log.load(place)?;
                self.tally.segments += 1;
                loaded = Some(place);
            }
            let within = usize::try_from(reference.at - place).unwrap_or(usize::MAX);
            match Message::read(&self.log.segment, within) {
                Some(message) if message.number == self.number(reference.lsn) => {
                    if reference.lsn < replay_from {
                        self.tally.messages += 1;
                        self.tally.bytes += message.size as u64;
                    }
                }
                _ => {
                    let what = format!("the state of page {} is bad or missing", reference.page);
                    return Err(fault(reference.at, reference.lsn, what, 0));
                }
            }
        }
        Ok(())
    }
}

/// What lies behind a spot in its segment.
#[derive(Debug, Default)]
struct Behind {
    /// Offset of the next intact message.
    next: Option<usize>,
    /// Bytes of all intact messages.
    bytes: u64,
}

/// What lies in later segments.
#[derive(Debug, Default)]
struct Later {
    /// Whether there are any.
    segments: bool,
    /// Bytes of all intact messages.
    bytes: u64,
}

fn bad_message(at: u64, lsn: i64, bytes_behind: u64) -> Stop {
    fault(at, lsn, "a message is bad".to_owned(), bytes_behind)
}

fn fault(at: u64, lsn: i64, what: String, bytes_behind: u64) -> Stop {
    Stop::Fault(Fault { at, lsn, what, bytes_behind })
}
