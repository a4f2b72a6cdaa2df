//! Frames as a table: what is understood, what is refused and how, and what
//! the gateway writes.
