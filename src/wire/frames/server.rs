//! What the gateway sends. Written by hand: the frames are few, small, and
//! sent by the thousand.

use super::{CloseCode, RequestId, SubId};
use crate::{
    domain::Cursor,
    wire::{LostNotice, Problem, PublishedRecord, json::string_into, publish_answer_into},
};

/// The subprotocol, and the version of the frames.
pub const PROTOCOL: &str = "tidegate.v1";

/// Says that the connection is alive, when nothing else has for a while.
pub const HEARTBEAT_FRAME: &[u8] = b"{\"op\":\"heartbeat\"}";

/// The first frame.
#[derive(Clone, Debug)]
pub struct Hello<'a> {
    /// The program and its version.
    pub server: &'a str,
    /// The connection's name in logs.
    pub connection: &'a str,
    /// How long the gateway may be silent, milliseconds.
    pub heartbeat_ms: u64,
    /// What the client may do.
    pub limits: FrameLimits,
}

/// Bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// A frame of the client, bytes.
    pub frame_bytes: usize,
    /// Subscriptions at once.
    pub subscriptions: usize,
    /// Keys of one subscription.
    pub keys: usize,
    /// Requests under way; the gateway reads no further frame meanwhile.
    pub pending_requests: usize,
}

/// The last frame before the gateway closes.
#[derive(Clone, Debug)]
pub struct ClosingNotice<'a> {
    /// With which code.
    pub code: CloseCode,
    /// How long the client is to wait before it comes back, milliseconds.
    pub after_ms: u64,
    /// What was wrong, if something was.
    pub problem: Option<&'a Problem>,
}

/// One object, member by member.
pub(super) struct Frame(pub(super) Vec<u8>);

impl Frame {
    pub(super) fn new(op: &str) -> Frame {
        let mut out = Vec::with_capacity(96);
        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.push(b'"');
        Frame(out)
    }

    pub(super) fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    pub(super) fn number(mut self, name: &str, value: u64) -> Frame {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    pub(super) fn text(mut self, name: &str, value: &str) -> Frame {
        self.name(name);
        string_into(&mut self.0, value);
        self
    }

    fn flag(mut self, name: &str, value: bool) -> Frame {
        self.name(name);
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    fn raw(mut self, name: &str, json: &[u8]) -> Frame {
        self.name(name);
        self.0.extend_from_slice(json);
        self
    }

    /// Where a subscription stands, opaque and in the open.
    fn place(self, cursor: &Cursor) -> Frame {
        let mut frame = self.text("cursor", &cursor.encode());
        frame.name("positions");
        positions_into(&mut frame.0, cursor);
        frame
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// `{"orders":{"incarnation":"…","partitions":{"0":[epoch,next]}}}`
pub(super) fn positions_into(out: &mut Vec<u8>, cursor: &Cursor) {
    let mut digits = itoa::Buffer::new();
    out.push(b'{');
    for (at, (name, topic)) in cursor.topics.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        string_into(out, name.as_str());
        let incarnation = format!(":{{\"incarnation\":\"{:016x}\"", topic.incarnation.0);
        out.extend_from_slice(incarnation.as_bytes());
        out.extend_from_slice(b",\"partitions\":{");
        for (at, (partition, position)) in topic.partitions.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(digits.format(partition.0).as_bytes());
            out.extend_from_slice(b"\":[");
            out.extend_from_slice(digits.format(position.epoch.0).as_bytes());
            out.push(b',');
            out.extend_from_slice(digits.format(position.next.0).as_bytes());
            out.push(b']');
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b'}');
}

/// `hello`: the first frame.
#[must_use]
pub fn hello_frame(hello: &Hello<'_>) -> Vec<u8> {
    let FrameLimits { frame_bytes, subscriptions, keys, pending_requests } = hello.limits;
    let limits = format!(
        "{{\"frame_bytes\":{frame_bytes},\"subscriptions\":{subscriptions},\"keys\":{keys},\
         \"pending_requests\":{pending_requests}}}"
    );
    Frame::new("hello")
        .text("version", PROTOCOL)
        .text("server", hello.server)
        .text("connection", hello.connection)
        .number("heartbeat_ms", hello.heartbeat_ms)
        .raw("limits", limits.as_bytes())
        .end()
}

/// `ok` to a request that is answered by nothing more.
#[must_use]
pub fn ok_frame(id: RequestId) -> Vec<u8> {
    Frame::new("ok").number("id", id.0).end()
}

/// `ok` to `subscribe`: the subscription stands, and where.
#[must_use]
pub fn subscribed_frame(id: RequestId, sub: SubId, cursor: &Cursor) -> Vec<u8> {
    Frame::new("ok").number("id", id.0).number("sub", sub.0).place(cursor).end()
}

/// `ok` to `publish`: where each record went, in order.
#[must_use]
pub fn published_frame(
    id: RequestId,
    records: impl IntoIterator<Item = PublishedRecord>,
    repeated: bool,
) -> Vec<u8> {
    let mut answer = Vec::with_capacity(64);
    publish_answer_into(&mut answer, records, repeated);
    let mut frame = Frame::new("ok").number("id", id.0);
    // The members of the answer, without its opening brace.
    frame.0.push(b',');
    frame.0.extend_from_slice(&answer[1..]);
    frame.0
}

/// `pong`: the answer to `ping`.
#[must_use]
pub fn pong_frame(id: RequestId) -> Vec<u8> {
    Frame::new("pong").number("id", id.0).end()
}

/// `error`: a frame was refused, or what it asked for failed. With the request
/// and the subscription that it named, as far as they were understood.
#[must_use]
pub fn error_frame(id: Option<RequestId>, sub: Option<SubId>, problem: &Problem) -> Vec<u8> {
    let mut frame = Frame::new("error");
    for (name, number) in [("id", id.map(|id| id.0)), ("sub", sub.map(|sub| sub.0))] {
        if let Some(number) = number {
            frame = frame.number(name, number);
        }
    }
    frame.raw("problem", &problem.to_json()).end()
}

/// What stands before the shared part of a frame `records`.
#[must_use]
pub fn records_head(sub: SubId) -> Vec<u8> {
    let mut head = Frame::new("records").number("sub", sub.0).0;
    head.push(b',');
    head
}

/// `position`: where a subscription stands, after all that was sent for it.
#[must_use]
pub fn position_frame(sub: SubId, cursor: &Cursor) -> Vec<u8> {
    Frame::new("position").number("sub", sub.0).place(cursor).end()
}

/// `lagging`: the subscription is so many records behind the tail.
#[must_use]
pub fn lagging_frame(sub: SubId, behind: u64) -> Vec<u8> {
    Frame::new("lagging").number("sub", sub.0).number("behind", behind).end()
}

/// `caught_up`: it is at the tail again.
#[must_use]
pub fn caught_up_frame(sub: SubId) -> Vec<u8> {
    Frame::new("caught_up").number("sub", sub.0).end()
}

/// `lost`: records that the subscription will not see.
#[must_use]
pub fn lost_frame(sub: SubId, notice: &LostNotice) -> Vec<u8> {
    let mut frame = Frame::new("lost").number("sub", sub.0);
    frame.0.push(b',');
    notice.members_into(&mut frame.0);
    frame.end()
}

/// `unsubscribed`: the gateway ended a subscription.
#[must_use]
pub fn unsubscribed_frame(sub: SubId, problem: &Problem) -> Vec<u8> {
    Frame::new("unsubscribed").number("sub", sub.0).raw("problem", &problem.to_json()).end()
}

/// `closing`: the last frame before the gateway closes.
#[must_use]
pub fn closing_frame(notice: &ClosingNotice<'_>) -> Vec<u8> {
    let frame = Frame::new("closing")
        .text("reason", notice.code.reason())
        .flag("reconnect", notice.code.reconnect())
        .number("after_ms", notice.after_ms);
    match notice.problem {
        Some(problem) => frame.raw("problem", &problem.to_json()).end(),
        None => frame.end(),
    }
}
