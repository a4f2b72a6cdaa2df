//! Groups, seen from what they promise.

mod serving;
