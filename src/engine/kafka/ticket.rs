//! What is heard of the records of one part of an append, one by one, as one
//! answer: where they went, or that they did not all get there.

use crate::domain::Offset;
use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::oneshot;

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
    /// What the first of them met.
    pub code: Code,
    /// Whether others may be in the log.
    pub some_landed: bool,
}

/// Counts the reports of a part's records.
pub(super) struct Ticket(Mutex<State>);

struct State {
    left: u32,
    offsets: Vec<i64>,
    failed: Option<Code>,
    answer: Option<oneshot::Sender<Landing>>,
}

impl Ticket {
    /// For `count` records.
    pub(super) fn new(count: u32) -> (Ticket, oneshot::Receiver<Landing>) {
        let (answer, landing) = oneshot::channel();
        let answer = Some(answer);
        let offsets = Vec::with_capacity(count as usize);
        let state = State { left: count, offsets, failed: None, answer };
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
        self.never_sent(1, code);
    }

    /// So many records were not even handed over.
    pub(super) fn never_sent(&self, records: u32, code: Code) {
        let mut state = self.0.lock();
        state.failed.get_or_insert(code);
        state.count_down(records);
    }
}

impl State {
    fn count_down(&mut self, records: u32) {
        self.left = self.left.saturating_sub(records);
        if self.left == 0
            && let Some(answer) = self.answer.take()
        {
            // Nobody may wait any more.
            let landing = self.landing();
            let _ = answer.send(landing);
        }
    }

    fn landing(&mut self) -> Landing {
        if let Some(code) = self.failed {
            return Err(Fall { code, some_landed: !self.offsets.is_empty() });
        }
        // The library keeps the order of a partition, so theirs is that of the
        // records.
        self.offsets.sort_unstable();
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
        let (ticket, mut landing) = Ticket::new(count);
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
    fn the_first_fault_is_told_and_whether_anything_got_there() {
        let fall = |some_landed| Some(Err(Fall { code: Code::MessageTimedOut, some_landed }));
        let late = Err(Code::MessageTimedOut);
        assert_eq!(told(2, &[late, Err(Code::Fail)]), fall(false));
        assert_eq!(told(2, &[Ok(1), late]), fall(true));
    }

    #[test]
    fn records_that_others_stand_between_are_told_in_runs() {
        let landed = [Ok(1), Ok(2), Ok(5)];
        assert_eq!(told(3, &landed), Some(Ok(vec![run(1, 2), run(5, 1)])));
    }
}
