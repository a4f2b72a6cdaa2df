//! Server-sent events: what a stream of `text/event-stream` consists of. An
//! event's `id` is the cursor to go on from once it was taken, and a browser
//! hands the last one back by itself, as `Last-Event-ID`.

use super::{LostNotice, Problem, json::string_into, page::member_into};
use std::time::Duration;

/// Media type of a stream of events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// Why a stream of events ends.
#[derive(Clone, Copy, Debug)]
pub enum Closing<'a> {
    /// The gateway stops.
    ShuttingDown,
    /// The reader cannot go on.
    Failed(&'a Problem),
}

/// The first event: with whom the client speaks.
pub fn hello_event(out: &mut Vec<u8>, connection: &str, heartbeat: Duration) {
    out.extend_from_slice(b"event: hello\ndata: {\"version\":\"tidegate.v1\",\"server\":");
    string_into(out, concat!("tidegate/", env!("CARGO_PKG_VERSION")));
    member_into(out, "connection");
    string_into(out, connection);
    member_into(out, "heartbeat_ms");
    let millis = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX);
    out.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
    out.extend_from_slice(b"}\n\n");
}

/// Records: `shared` is what [`super::BatchEncoder`] made of a batch, `cursor`
/// the place after it.
pub fn records_event(out: &mut Vec<u8>, cursor: &str, shared: &[u8]) {
    out.reserve(cursor.len() + shared.len() + 64);
    begin(out, "records", cursor);
    out.push(b'{');
    out.extend_from_slice(shared);
    out.extend_from_slice(b"\n\n");
}

/// Records that this reader will not see; said before the next record.
pub fn lost_event(out: &mut Vec<u8>, cursor: &str, notice: &LostNotice) {
    begin(out, "lost", cursor);
    out.push(b'{');
    notice.members_into(out);
    out.extend_from_slice(b"}\n\n");
}

/// Where the stream stands: at its beginning, and when nothing else was said
/// for long.
pub fn position_event(out: &mut Vec<u8>, cursor: &str) {
    begin(out, "position", cursor);
    out.extend_from_slice(b"{\"cursor\":");
    string_into(out, cursor);
    out.extend_from_slice(b"}\n\n");
}

/// The last event. A client that is to come back does so after `after`.
pub fn closing_event(out: &mut Vec<u8>, why: Closing<'_>, after: Duration) {
    let mut digits = itoa::Buffer::new();
    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let (reason, back) = match why {
        Closing::ShuttingDown => ("shutting_down", true),
        Closing::Failed(problem) => ("failed", problem.code.retryable()),
    };
    out.extend_from_slice(b"retry: ");
    out.extend_from_slice(digits.format(millis).as_bytes());
    out.extend_from_slice(b"\nevent: closing\ndata: {\"reason\":");
    string_into(out, reason);
    out.extend_from_slice(if back { b",\"reconnect\":true" } else { b",\"reconnect\":false" });
    member_into(out, "after_ms");
    out.extend_from_slice(digits.format(millis).as_bytes());
    if let Closing::Failed(problem) = why {
        member_into(out, "problem");
        out.extend_from_slice(&problem.to_json());
    }
    out.extend_from_slice(b"}\n\n");
}

fn begin(out: &mut Vec<u8>, event: &str, cursor: &str) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(cursor.as_bytes());
    out.extend_from_slice(b"\nevent: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorCode;
    use serde_json::Value;

    /// Name, id and data of the one event that `write` writes.
    fn written(write: impl FnOnce(&mut Vec<u8>)) -> (String, Option<String>, Value) {
        let mut out = vec![];
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let block = text.strip_suffix("\n\n").unwrap();
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.strip_prefix(name));
            let value = lines.next().map(str::to_owned);
            assert_eq!(lines.next(), None);
            value
        };
        let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
        (field("event: ").unwrap(), field("id: "), data)
    }

    #[test]
    fn an_event_has_its_name_its_cursor_and_one_line_of_json() {
        let shared = b"\"topic\":\"t\",\"partition\":0,\"epoch\":0,\"next\":1,\"records\":[]}";
        let (name, id, data) = written(|out| records_event(out, "cur", shared));
        assert_eq!((name.as_str(), id.as_deref()), ("records", Some("cur")));
        assert_eq!(data["next"], 1);
        let (name, id, data) = written(|out| position_event(out, "cur"));
        assert_eq!((name.as_str(), id.as_deref()), ("position", Some("cur")));
        assert_eq!(data["cursor"], "cur");
        let (name, id, data) = written(|out| hello_event(out, "c-1", Duration::from_secs(25)));
        assert_eq!((name.as_str(), id), ("hello", None));
        assert_eq!((&data["connection"], &data["heartbeat_ms"]), (&"c-1".into(), &25_000.into()));
    }

    #[test]
    fn the_last_event_says_whether_to_come_back_and_when() {
        let after = Duration::from_millis(1_234);
        let (name, _, data) = written(|out| closing_event(out, Closing::ShuttingDown, after));
        assert_eq!((name.as_str(), &data["reconnect"]), ("closing", &true.into()));
        assert_eq!(data["after_ms"], 1_234);
        let gone = Problem::new(ErrorCode::TopicUnknown, "topic 't' does not exist\nany more");
        let (_, _, data) = written(|out| closing_event(out, Closing::Failed(&gone), after));
        assert_eq!((&data["reason"], &data["reconnect"]), (&"failed".into(), &false.into()));
        assert_eq!(data["problem"]["code"], "topic_unknown");
    }
}
