//! Groups on Kafka: each member of a gateway is a real member of Kafka's group,
//! which carries no records. Kafka shares the partitions out and keeps the
//! commits; what clients see of it is a lease with a number of our own.
//!
//! ```text
//!  join ─► consumer ─ rebalance ─► driver ─► lease ─► client
//!                                    │         │ release, or the grace ends
//!                                    └── unassign ◄──┘
//!  commit ─► lease: may it? ─► behind the last? ─► consumer ─► Kafka: may it?
//! ```
//!
//! | file | what it is |
//! | --- | --- |
//! | `coordinator` | the contract, call by call |
//! | `lease` | what a member holds and may commit; pure |
//! | `member`, `context` | one member, and what the library calls back |
//! | `driver` | the task that takes part in Kafka's group for a member |
//! | `numbers` | generations: they grow, and never repeat |
//! | `directory` | which gateway serves a member |
//! | `offsets`, `codec` | commits both ways, and what is noted beside an offset |
//! | `outside` | groups as those see them who are not in them |
//! | `standing` | what a group is doing; pure |
//! | `table` | what the parts share: the members that are here |
//! | `protocol` | what a member tells Kafka, read; pure |

mod codec;
mod context;
mod coordinator;
mod directory;
mod driver;
mod lease;
mod member;
mod numbers;
mod offsets;
mod outside;
mod protocol;
mod standing;
mod table;

pub(super) use context::{GroupConsumer, Rebalances};
pub use coordinator::KafkaGroups;
