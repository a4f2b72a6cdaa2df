//! Frames of a streaming connection (`tidegate.v1`): what a client may send,
//! parsed strictly, and what it is sent. JSON objects, one a frame, told apart
//! by `op`; they are the same on any transport that carries messages.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `client` | the frames of a client, and how each is parsed |
//! | `members` | the members of one frame, taken one by one |
//! | `start` | `from`: where a subscription begins |
//! | `join` | the frames of a member of a group |
//! | `server` | the frames of the gateway |
//! | `lease` | those that a member of a group is sent |
//! | `packed` | frames of records whose shared part is compressed |
//! | `close` | the codes by which a connection ends |

#[cfg(test)]
mod asyncapi;
mod client;
mod close;
mod join;
mod lease;
mod members;
mod packed;
mod server;
mod start;
#[cfg(test)]
mod tests;

pub use client::{ClientFrame, Encoding, FrameFault, Publish, Subscribe, parse_frame};
pub use close::CloseCode;
pub use join::{CommitFrame, JoinFrame, Parts, ReleaseFrame};
pub use lease::{
    LeaseNotice, assigned_frame, committed_frame, joined_frame, revoked_frame, revoking_frame,
};
pub use packed::{MAX_HEAD_BYTES, pack, packed_head};
pub use server::{
    ClosingNotice, FrameLimits, HEARTBEAT_FRAME, Hello, PROTOCOL, caught_up_frame, closing_frame,
    error_frame, hello_frame, lagging_frame, lost_frame, ok_frame, pong_frame, position_frame,
    published_frame, records_head, subscribed_frame, unsubscribed_frame,
};

use std::fmt;

/// The largest `id` and `sub`: whole numbers up to this are exact in every
/// language that reads JSON numbers as doubles.
pub const MAX_FRAME_NUMBER: u64 = (1 << 53) - 1;

/// Ties an answer to its request; the client's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub u64);

/// Names a subscription in its connection; the client's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(pub u64);

impl fmt::Display for SubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
