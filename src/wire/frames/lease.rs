//! What a member of a group is sent: that it has joined, what it holds and
//! where that begins, what it is to let go of, and how far its group has come.

use super::{
    RequestId, SubId,
    join::Parts,
    server::{Frame, positions_into},
};
use crate::{
    domain::{Cursor, Generation, MemberId, PartitionId, Position, TopicName},
    wire::json::string_into,
};
use std::time::Duration;

/// A change of what a member holds.
#[derive(Clone, Copy, Debug)]
pub struct LeaseNotice<'a> {
    /// Whose.
    pub sub: SubId,
    /// The generation that it came with.
    pub generation: Generation,
    /// What it is about.
    pub partitions: &'a Parts,
}

/// `{"orders":[0,1]}`
fn parts_into(out: &mut Vec<u8>, parts: &Parts) {
    out.push(b'{');
    for (at, (topic, partitions)) in parts.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        string_into(out, topic.as_str());
        out.extend_from_slice(b":[");
        for (at, partition) in partitions.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"" } else { b"," });
            out.extend_from_slice(itoa::Buffer::new().format(partition.0).as_bytes());
        }
        out.push(b']');
    }
    out.push(b'}');
}

impl Frame {
    fn parts(mut self, name: &str, parts: &Parts) -> Frame {
        self.name(name);
        parts_into(&mut self.0, parts);
        self
    }

    fn lease(op: &str, notice: LeaseNotice<'_>) -> Frame {
        Frame::new(op)
            .number("sub", notice.sub.0)
            .number("generation", notice.generation.0)
            .parts("partitions", notice.partitions)
    }
}

/// `ok` to `join`: who the member is, and how long it outlives its connection.
#[must_use]
pub fn joined_frame(
    id: RequestId,
    sub: SubId,
    member: &MemberId,
    generation: Generation,
    session_timeout: Duration,
) -> Vec<u8> {
    Frame::new("ok")
        .number("id", id.0)
        .number("sub", sub.0)
        .text("member_id", member.as_str())
        .number("generation", generation.0)
        .number("session_timeout_ms", session_timeout.as_millis() as u64)
        .end()
}

/// `assigned`: all that the member holds from now on; where those of it begin
/// that are new to it; and those of which it gets nothing until something is
/// committed, where there are any.
#[must_use]
pub fn assigned_frame(notice: LeaseNotice<'_>, begins: &Cursor, waiting: &Parts) -> Vec<u8> {
    let mut frame = Frame::lease("assigned", notice);
    frame.name("positions");
    positions_into(&mut frame.0, begins);
    match waiting.is_empty() {
        true => frame.end(),
        false => frame.parts("waiting", waiting).end(),
    }
}

/// `revoking`: nothing more comes of these; the member may commit them until
/// it releases them, or `grace` is over.
#[must_use]
pub fn revoking_frame(notice: LeaseNotice<'_>, grace: Duration) -> Vec<u8> {
    Frame::lease("revoking", notice).number("grace_ms", grace.as_millis() as u64).end()
}

/// `revoked`: they are not the member's any more.
#[must_use]
pub fn revoked_frame(notice: LeaseNotice<'_>) -> Vec<u8> {
    Frame::lease("revoked", notice).end()
}

/// `ok` to `commit`: where the group stands in each of its partitions.
#[must_use]
pub fn committed_frame<'a>(
    id: RequestId,
    sub: SubId,
    stands: impl IntoIterator<Item = (&'a TopicName, PartitionId, Position)>,
) -> Vec<u8> {
    let mut frame = Frame::new("ok").number("id", id.0).number("sub", sub.0);
    frame.name("commits");
    let out = &mut frame.0;
    let mut digits = itoa::Buffer::new();
    out.push(b'[');
    for (at, (topic, partition, position)) in stands.into_iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"topic\":" } else { b",{\"topic\":" });
        string_into(out, topic.as_str());
        let (epoch, next) = (u64::from(position.epoch.0), position.next.0);
        let partition = u64::from(partition.0);
        for (name, value) in [("partition", partition), ("offset", next), ("epoch", epoch)] {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            out.extend_from_slice(digits.format(value).as_bytes());
        }
        out.push(b'}');
    }
    out.push(b']');
    frame.end()
}
