//! The coordinator of groups keeps its contract over each embedded engine.

mod on_disk;
mod on_memory;
