//! Where a session puts the frames that it sends: the carrier's side.

use bytes::Bytes;

/// How a frame is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// JSON.
    Text,
    /// A head and what is compressed.
    Binary,
}

/// A frame for the client. `head` and `body` are one message.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// How it is carried.
    pub kind: FrameKind,
    /// What is this client's own.
    pub head: &'a [u8],
    /// What may be shared with other clients; not to be copied if it is large.
    pub body: Bytes,
}

/// What waits to be sent to one client.
pub trait Outbox {
    /// Adds a frame. It is taken in any case.
    fn push(&mut self, frame: Frame<'_>);

    /// Whether so much waits that no more is to be read for the client.
    fn is_full(&self) -> bool;
}
