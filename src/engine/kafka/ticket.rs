//! What is heard of the records of one part of an append, one by one, as one
//! answer: where they went, or that they did not all get there.

use super::errors;
use crate::domain::Offset;
use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Records that stand next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub base: Offset,
    pub count: u32,
}

/// What became of a part: one run as a rule. Where its records did not fit one
/// batch of the log, those of others may stand between.
pub(super) type Landing = Result<Vec<Run>, Fall>;

/// Not all records of a part got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fall {
    /// What they met: if one of them may have got there, what that one met.
    pub code: Code,
    /// Whether others may be in the log.
    pub some_landed: bool,
    /// Whether the library had taken any of those that did not get there.
    pub some_taken: bool,
}

/// Counts the reports of a part's records.
pub(super) struct Ticket(Mutex<State>);

struct State {
    left: u32,
    /// No record that is written now has an offset before this.
    least: Offset,
    offsets: Vec<i64>,
    failed: Option<Code>,
    some_taken: bool,
    answer: Option<oneshot::Sender<Landing>>,
    /// Of the bound on what waits: given back with the last report, whether
    /// anybody still waits for the answer or not.
    room: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// For `count` records of a partition that reaches to `least` at least.
    pub(super) fn new(count: u32, least: Offset) -> (Ticket, oneshot::Receiver<Landing>) {
        Ticket::holding(count, least, None)
    }

    /// As [`Ticket::new`], for records that have this room until they are
    /// reported.
    pub(super) fn holding(
        count: u32,
        least: Offset,
        room: Option<OwnedSemaphorePermit>,
    ) -> (Ticket, oneshot::Receiver<Landing>) {
        let (answer, landing) = oneshot::channel();
        let answer = Some(answer);
        let offsets = Vec::with_capacity(count as usize);
        let (failed, some_taken) = (None, false);
        let state = State { left: count, least, offsets, failed, some_taken, answer, room };
        (Ticket(Mutex::new(state)), landing)
    }

    /// One record is in the log.
    pub(super) fn landed(&self, offset: i64) {
        let mut state = self.0.lock();
        state.offsets.push(offset);
        state.count_down(1);
    }

    /// One record is not.
    pub(super) fn failed(&self, code: Code) {
        let mut state = self.0.lock();
        state.some_taken = true;
        state.fail(1, code);
    }

    /// So many records were not even handed over.
    pub(super) fn never_sent(&self, records: u32, code: Code) {
        self.0.lock().fail(records, code);
    }
}

impl State {
    fn fail(&mut self, records: u32, code: Code) {
        let worse = self.failed.is_some_and(errors::had_no_effect) && !errors::had_no_effect(code);
        if self.failed.is_none() || worse {
            self.failed = Some(code);
        }
        self.count_down(records);
    }

    fn count_down(&mut self, records: u32) {
        self.left = self.left.saturating_sub(records);
        if self.left == 0
            && let Some(answer) = self.answer.take()
        {
            // Nobody may wait any more.
            let landing = self.landing();
            self.room = None;
            let _ = answer.send(landing);
        }
    }

    fn landing(&mut self) -> Landing {
        if let Some(code) = self.failed {
            let (some_landed, some_taken) = (!self.offsets.is_empty(), self.some_taken);
            return Err(Fall { code, some_landed, some_taken });
        }
        // The library keeps the order of a partition, so theirs is that of the
        // records.
        self.offsets.sort_unstable();
        let known = |offset: &i64| u64::try_from(*offset).is_ok_and(|o| o >= self.least.0);
        if !self.offsets.first().is_none_or(known) {
            // A repeat of what had been written already, and the cluster does not
            // know where any more: the library counts on from -1.
            let code = Code::DuplicateSequenceNumber;
            return Err(Fall { code, some_landed: true, some_taken: true });
        }
        let runs = self.offsets.chunk_by(|a, b| a + 1 == *b);
        let run = |run: &[i64]| Run {
            base: Offset(run.first().map_or(0, |base| u64::try_from(*base).unwrap_or(0))),
            count: u32::try_from(run.len()).unwrap_or(u32::MAX),
        };
        Ok(runs.map(run).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: u32, reports: &[Result<i64, Code>]) -> Option<Landing> {
        told_from(Offset::ZERO, count, reports)
    }

    fn told_from(least: Offset, count: u32, reports: &[Result<i64, Code>]) -> Option<Landing> {
        let (ticket, mut landing) = Ticket::new(count, least);
        for report in reports {
            match report {
                Ok(offset) => ticket.landed(*offset),
                Err(code) => ticket.failed(*code),
            }
        }
        landing.try_recv().ok()
    }

    fn run(base: u64, count: u32) -> Run {
        Run { base: Offset(base), count }
    }

    #[test]
    fn all_reports_are_waited_for_and_the_least_offset_is_the_base() {
        assert_eq!(told(3, &[Ok(8), Ok(7)]), None);
        assert_eq!(told(3, &[Ok(8), Ok(7), Ok(9)]), Some(Ok(vec![run(7, 3)])));
    }

    #[test]
    fn the_fault_of_what_may_be_there_is_told_and_whether_anything_got_there() {
        let fall = |some_landed| {
            Some(Err(Fall { code: Code::MessageTimedOut, some_landed, some_taken: true }))
        };
        let (late, never) = (Err(Code::MessageTimedOut), Err(Code::QueueFull));
        assert_eq!(told(2, &[late, Err(Code::Fail)]), fall(false));
        assert_eq!(told(2, &[late, never]), fall(false));
        assert_eq!(told(2, &[never, late]), fall(false));
        assert_eq!(told(2, &[Ok(1), late]), fall(true));
    }

    #[test]
    fn what_is_there_and_nobody_knows_where_is_told_as_unknown() {
        let fall =
            Fall { code: Code::DuplicateSequenceNumber, some_landed: true, some_taken: true };
        assert_eq!(told(3, &[Ok(-1), Ok(0), Ok(1)]), Some(Err(fall)));
        // The rest of such a batch, of which others had the first records.
        let from = |reports: &[_]| told_from(Offset(7), reports.len() as u32, reports);
        assert_eq!(from(&[Ok(0), Ok(1)]), Some(Err(fall)));
        assert_eq!(from(&[Ok(6), Ok(7)]), Some(Err(fall)));
        assert_eq!(from(&[Ok(7), Ok(8)]), Some(Ok(vec![run(7, 2)])));
    }

    #[test]
    fn what_was_never_handed_over_is_told_from_what_was() {
        let (ticket, mut landing) = Ticket::new(3, Offset::ZERO);
        ticket.landed(4);
        ticket.never_sent(2, Code::QueueFull);
        let fall = Fall { code: Code::QueueFull, some_landed: true, some_taken: false };
        assert_eq!(landing.try_recv().unwrap(), Err(fall));
    }

    #[test]
    fn room_is_held_until_the_last_report_though_nobody_waits() {
        let room = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let held = std::sync::Arc::clone(&room).try_acquire_owned().unwrap();
        let (ticket, landing) = Ticket::holding(2, Offset::ZERO, Some(held));
        drop(landing);
        ticket.landed(1);
        assert_eq!(room.available_permits(), 0);
        ticket.failed(Code::MessageTimedOut);
        assert_eq!(room.available_permits(), 1);
    }

    #[test]
    fn records_that_others_stand_between_are_told_in_runs() {
        let landed = [Ok(1), Ok(2), Ok(5)];
        assert_eq!(told(3, &landed), Some(Ok(vec![run(1, 2), run(5, 1)])));
    }
}
