//! The sled engine: a durable partitioned log on one machine. Its store is a
//! chain of *volumes*, each a sled database; see `open` for what is looked at
//! before one is trusted, `writer` for how records become durable, `seal` for
//! a volume's life. sled's own types stay in this room.

mod ballast;
mod catalog;
mod check;
mod commit;
mod config;
mod copy;
mod disk;
mod engine;
mod fence;
mod guard;
mod idempotency;
mod jobs;
mod keeper;
mod keyed;
mod keys;
mod loss;
mod marks;
mod merge;
mod meta;
mod meters;
mod open;
mod read;
mod recent;
mod recover;
mod retention;
mod rows;
mod scan;
mod seal;
mod state;
mod store;
mod topics;
mod value;
mod volume;
mod volumes;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use check::{Finding, Report, check};
pub use config::SledConfig;
pub use engine::SledEngine;
pub use open::OpenError;
