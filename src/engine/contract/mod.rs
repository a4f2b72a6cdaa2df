//! The suite that proves an engine: every promise of the contract is one test,
//! and every engine runs them all.
//!
//! ```text
//! contract_suite!(harness)      one #[tokio::test] per behaviour
//!     topics appending visibility reading time retention idempotency epochs table
//! group_suite!(harness)         the same of what coordinates groups
//! model::same_as_memory(...)    random operations, compared with the reference
//! ```
//!
//! An engine takes part with a [`Harness`] of its own. The suite knows nothing
//! of disks or clusters: it asserts dense offsets only where they are promised,
//! skips what needs a clock that can be moved where there is none, and leaves
//! out restarts of engines that forget.

pub mod appending;
pub mod epochs;
mod fixture;
pub mod groups;
pub mod idempotency;
pub mod model;
mod model_ops;
pub mod reading;
mod records;
pub mod retention;
mod suite;
pub mod table;
mod test_time;
pub mod time;
pub mod topics;
pub mod visibility;

#[cfg(feature = "kafka")]
pub use fixture::read_values;
pub use fixture::{Harness, Log};
pub(crate) use groups::group_suite;
pub use records::{Plain, Seen, pack};
pub(crate) use suite::contract_suite;
pub use test_time::TestTime;
