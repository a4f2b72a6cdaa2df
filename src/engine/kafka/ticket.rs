//! What is heard of the records of one part of an append, one by one, as one
//! answer: where they went, or that they did not all get there.

use crate::domain::Offset;
use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::oneshot;

/// What became of a part.
pub(super) type Landing = Result<Offset, Fall>;

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
    count: u32,
    first: i64,
    last: i64,
    failed: Option<Code>,
    answer: Option<oneshot::Sender<Landing>>,
}

impl Ticket {
    /// For `count` records.
    pub(super) fn new(count: u32) -> (Ticket, oneshot::Receiver<Landing>) {
        let (answer, landing) = oneshot::channel();
        let answer = Some(answer);
        let (first, last) = (i64::MAX, i64::MIN);
        let state = State { left: count, count, first, last, failed: None, answer };
        (Ticket(Mutex::new(state)), landing)
    }

    /// One record is in the log.
    pub(super) fn landed(&self, offset: i64) {
        let mut state = self.0.lock();
        state.first = state.first.min(offset);
        state.last = state.last.max(offset);
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
            let _ = answer.send(self.landing());
        }
    }

    fn landing(&self) -> Landing {
        let some_landed = self.last >= self.first;
        if let Some(code) = self.failed {
            return Err(Fall { code, some_landed });
        }
        let base = u64::try_from(self.first).map(Offset);
        let together = self.last - self.first + 1 == i64::from(self.count);
        match base {
            Ok(base) if together => Ok(base),
            // They are there, but not where the answer could say.
            Ok(_) | Err(_) => Err(Fall { code: Code::OutOfOrderSequenceNumber, some_landed }),
        }
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

    #[test]
    fn all_reports_are_waited_for_and_the_least_offset_is_the_base() {
        assert_eq!(told(3, &[Ok(8), Ok(7)]), None);
        assert_eq!(told(3, &[Ok(8), Ok(7), Ok(9)]), Some(Ok(Offset(7))));
    }

    #[test]
    fn the_first_fault_is_told_and_whether_anything_got_there() {
        let fall = |some_landed| Some(Err(Fall { code: Code::MessageTimedOut, some_landed }));
        let late = Err(Code::MessageTimedOut);
        assert_eq!(told(2, &[late, Err(Code::Fail)]), fall(false));
        assert_eq!(told(2, &[Ok(1), late]), fall(true));
    }

    #[test]
    fn offsets_that_are_not_consecutive_are_no_answer() {
        assert!(matches!(told(2, &[Ok(1), Ok(3)]), Some(Err(Fall { some_landed: true, .. }))));
    }
}
