//! Where a reader that brings no cursor begins.

use super::{Offset, Timestamp};

/// Where to begin in each partition that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The earliest record that is kept.
    Earliest,
    /// After the last record: what comes from now on.
    Latest,
    /// This many records before the tail of each partition, or the start.
    Last(u64),
    /// This offset; for one partition alone.
    Offset(Offset),
    /// The first record whose timestamp is at or after this.
    Time(Timestamp),
}
