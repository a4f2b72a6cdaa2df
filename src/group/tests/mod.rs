//! Groups, seen from what they promise.

mod assigning;
mod behaviour;
mod bounds;
mod handing_over;
mod properties;
mod serving;
mod storing;
mod world;
