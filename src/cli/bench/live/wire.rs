//! The frames of the gateway's WebSocket, as far as the benchmarks need them. Their shapes are here and nowhere else.

use serde_json::json;

/// Where the WebSocket is.
pub const PATH: &str = "/v1/ws";
/// What is spoken on it.
pub const PROTOCOL: &str = "tidegate.v1";
/// As much of a frame as [`Said::of`] looks at.
pub const HEAD: usize = 256;

/// A request for a topic's records from `from` (`earliest` or `latest`) on; of these `keys` only, if there are any.
#[must_use]
pub fn subscribe(topic: &str, from: &str, keys: &[String]) -> String {
    let mut frame = json!({"op": "subscribe", "id": 1, "sub": 1, "topics": [topic], "from": from});
    if !keys.is_empty() {
        frame["keys"] = json!(keys);
    }
    frame.to_string()
}

/// What a frame from the gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Records of one partition.
    Records(Batch),
    /// A request was granted.
    Granted,
    /// The socket has fallen behind and is read for from the store.
    Lagging,
    /// All is well, and nothing more.
    Aside,
    /// What no benchmark expects: an error, a loss, an end.
    Wrong,
}

/// The place of a frame's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Their partition.
    pub partition: usize,
    /// The first one's offset.
    pub first: u64,
    /// The offset behind the last.
    pub next: u64,
}

impl Batch {
    /// How many they are, if none was left out.
    #[must_use]
    pub fn len(self) -> u64 {
        self.next.saturating_sub(self.first)
    }
}

impl Said {
    /// What a frame says that begins with `head`.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let Some(rest) = head.strip_prefix(br#"{"op":""#) else { return Self::Wrong };
        let op = &rest[..memchr::memchr(b'"', rest).unwrap_or(rest.len())];
        match op {
            b"records" => batch(rest).map_or(Self::Wrong, Self::Records),
            b"ok" => Self::Granted,
            b"lagging" => Self::Lagging,
            b"hello" | b"heartbeat" | b"position" | b"caught_up" => Self::Aside,
            _ => Self::Wrong,
        }
    }
}

/// The place of the records in a frame, whose members come in this order.
fn batch(text: &[u8]) -> Option<Batch> {
    let (partition, rest) = number(text, br#""partition":"#)?;
    let (next, rest) = number(rest, br#""next":"#)?;
    let (first, _) = number(rest, OFFSET)?;
    Some(Batch { partition: usize::try_from(partition).ok()?, first, next })
}

/// What stands before a record's offset.
const OFFSET: &[u8] = br#""offset":"#;

/// The number behind the first `name` in `text`, and what follows.
fn number<'a>(text: &'a [u8], name: &[u8]) -> Option<(u64, &'a [u8])> {
    let rest = &text[memchr::memmem::find(text, name)? + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // A number that is cut off is none.
    rest.get(digits)?;
    let value = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some((value, &rest[digits..]))
}

/// The offsets of all records in a whole frame, as JSON has them.
#[must_use]
pub fn offsets(frame: &[u8]) -> Option<Vec<u64>> {
    let parsed: serde_json::Value = serde_json::from_slice(frame).ok()?;
    parsed.get("records")?.as_array()?.iter().map(|record| record.get("offset")?.as_u64()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = br#"{"op":"records","sub":1,"topic":"bench","partition":3,"epoch":0,"next":43,"records":[{"partition":3,"offset":41,"value":1},{"partition":3,"offset":42,"value":2}]}"#;

    #[test]
    fn a_frame_of_records_says_where_it_belongs() {
        let batch = Batch { partition: 3, first: 41, next: 43 };
        assert_eq!(Said::of(FRAME), Said::Records(batch));
        assert_eq!(batch.len(), 2);
        assert_eq!(offsets(FRAME), Some(vec![41, 42]));
        let digits = memchr::memmem::find(FRAME, b"41,").expect("an offset");
        assert_eq!(Said::of(&FRAME[..digits + 1]), Said::Wrong, "cut within a number");
    }

    #[test]
    fn other_frames_are_told_apart() {
        assert_eq!(Said::of(br#"{"op":"ok","id":1,"sub":1,"cursor":"x"}"#), Said::Granted);
        assert_eq!(Said::of(br#"{"op":"heartbeat"}"#), Said::Aside);
        assert_eq!(Said::of(br#"{"op":"lagging","sub":1,"behind":9}"#), Said::Lagging);
        for wrong in [&br#"{"op":"error","id":1}"#[..], br#"{"op":"lost"}"#, b"", b"{}"] {
            assert_eq!(Said::of(wrong), Said::Wrong);
        }
    }

    #[test]
    fn keys_are_asked_for_only_where_there_are_some() {
        assert!(!subscribe("t", "latest", &[]).contains("keys"));
        assert!(subscribe("t", "latest", &["k".to_owned()]).contains(r#""keys":["k"]"#));
    }
}
