//! The words of the system: names, offsets, positions, records, batches,
//! limits and time. Pure data and pure decisions: no clock, no I/O, no
//! runtime. Every other room speaks in these types.

mod batch;
mod cursor;
mod group;
mod ids;
pub mod limits;
mod names;
mod pack;
pub mod partitioner;
mod position;
mod record;
mod start;
mod time;
mod topic;

pub use batch::{PackedRecords, RecordBatch};
pub use cursor::{Cursor, CursorError, TopicPositions};
pub use group::{CommitDraft, Principal, StartPolicy};
pub use ids::{Epoch, Generation, Incarnation, Offset, PartitionCount, PartitionId, TopicId};
pub use limits::Limits;
pub use names::{GroupName, IdempotencyKey, MemberId, NameError, TopicName};
pub use pack::{CorruptRecord, PackError};
pub use position::{EpochStart, LostRange, LostReason, PartitionView, Position, Resume};
pub use record::{Header, HeaderList, RecordDraft, RecordView, ValueKind};
pub use start::StartAt;
pub use time::{Clock, Timestamp};
pub use topic::{Durability, TopicConfig, TopicConfigError, TopicDifference, TopicPatch};
