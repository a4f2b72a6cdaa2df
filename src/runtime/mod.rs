//! What runs and for how long: supervised tasks, owned threads, the phases of
//! shutdown, and metric handles. The only room that starts tasks or threads,
//! so that each has an owner that ends and joins it.

pub mod metrics;
mod shutdown;
mod spawn;
mod tasks;

pub use metrics::Metrics;
pub use shutdown::{Phase, Shutdown, ShutdownToken};
pub use spawn::{Panicked, blocking, thread};
pub use tasks::{TaskFailed, TaskKind, Tasks};
