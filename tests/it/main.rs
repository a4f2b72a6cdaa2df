//! The gateway through real HTTP: each scenario reads as a specification and
//! runs on every engine. `util` has the callers, by kind.

mod bad_input;
mod cloudevents;
mod connections;
mod openapi;
mod ops;
mod publishing;
mod reading;
mod streams;
mod topics;
mod util;
