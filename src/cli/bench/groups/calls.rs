//! What the benchmarks say to a gateway about groups, and what they look for in its answers: as little as will do, since
//! the generator is to cost less than what it measures.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::api;
use super::super::error::BenchError;
use super::super::process::Server;
use crate::client::load::request;

/// The topic of all benchmarks of groups.
pub const TOPIC: &str = "bench";
/// No session ends while something is measured.
const SESSION_MS: u64 = 600_000;

fn post(address: SocketAddr, path: &str, body: &Value) -> Bytes {
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    request(address, "POST", path, &headers, body.to_string().as_bytes())
}

/// A member's join.
pub fn join(address: SocketAddr, group: &str, member: &str) -> Bytes {
    let body = json!({"topics": [TOPIC], "member_id": member, "session_timeout_ms": SESSION_MS});
    post(address, &format!("/v1/groups/{group}/members"), &body)
}

/// A member's leave.
pub fn leave(address: SocketAddr, group: &str, member: &str) -> Bytes {
    request(address, "DELETE", &format!("/v1/groups/{group}/members/{member}"), &[], b"")
}

/// A member's heartbeat, answered with what it holds.
pub fn heartbeat(address: SocketAddr, group: &str, member: &str) -> Bytes {
    post(address, &format!("/v1/groups/{group}/members/{member}/heartbeat"), &json!({}))
}

/// Lets go of all that is being revoked.
pub fn release(address: SocketAddr, group: &str, member: &str) -> Bytes {
    post(address, &format!("/v1/groups/{group}/members/{member}/release"), &json!({}))
}

/// A member's poll, on from a cursor or from the commits.
pub fn poll(
    address: SocketAddr,
    group: &str,
    member: &str,
    cursor: Option<&str>,
    limit: u64,
    wait_ms: u64,
) -> Bytes {
    let mut body = json!({"limit": limit, "wait_ms": wait_ms});
    if let Some(cursor) = cursor {
        body["cursor"] = json!(cursor);
    }
    post(address, &format!("/v1/groups/{group}/members/{member}/poll"), &body)
}

/// A commit of one partition: a member's in a generation, or nobody's.
pub fn commit(
    address: SocketAddr,
    group: &str,
    by: Option<(&str, u64)>,
    partition: u64,
    offset: u64,
) -> Bytes {
    let commits = json!([{"topic": TOPIC, "partition": partition, "offset": offset}]);
    let body = match by {
        Some((member, generation)) => {
            json!({"member_id": member, "generation": generation, "commits": commits})
        }
        None => json!({"commits": commits}),
    };
    post(address, &format!("/v1/groups/{group}/commits"), &body)
}

/// A page of one partition, from its beginning or on from a cursor.
pub fn page(address: SocketAddr, partition: u64, cursor: Option<&str>, limit: u64) -> Bytes {
    let from = match cursor {
        Some(cursor) => format!("cursor={cursor}"),
        None => format!("from=earliest&partition={partition}"),
    };
    let target = format!("/v1/topics/{TOPIC}/records?{from}&limit={limit}");
    request(address, "GET", &target, &[("accept", "application/json")], b"")
}

/// A group as the list of groups shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether everyone holds what it is to hold.
    pub stable: bool,
    /// The generation.
    pub generation: u64,
    /// How many members.
    pub members: u64,
}

/// The request for the list of groups whose names begin so.
pub fn list(address: SocketAddr, prefix: &str) -> Bytes {
    request(address, "GET", &format!("/v1/groups?prefix={prefix}&limit=1"), &[], b"")
}

/// The first group of a list; none of an empty one.
pub fn shown(list: &[u8]) -> Option<Shown> {
    let list: Value = serde_json::from_slice(list).ok()?;
    let group = list.get("groups")?.get(0)?;
    Some(Shown {
        stable: group.get("state")? == "stable",
        generation: group.get("generation")?.as_u64()?,
        members: group.get("members")?.as_u64()?,
    })
}

/// What a member holds: its generation, its partitions, and whether it is to let go of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// To commit under.
    pub generation: u64,
    /// Of the one topic.
    pub partitions: Vec<u64>,
    /// Whether something is being revoked.
    pub revoking: bool,
}

/// What an answer to a member says that it holds.
pub fn held(answer: &[u8]) -> Option<Held> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let of_topic = answer.get("assignment")?.get(TOPIC).and_then(Value::as_array);
    Some(Held {
        generation: answer.get("generation")?.as_u64()?,
        partitions: of_topic.into_iter().flatten().filter_map(Value::as_u64).collect(),
        revoking: !answer.get("revoking")?.as_object()?.is_empty(),
    })
}

/// The cursor of a page or a poll; it stands behind the records.
pub fn cursor(answer: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"cursor\":\"";
    let start = memchr::memmem::rfind(answer, NAME)? + NAME.len();
    let end = start + memchr::memchr(b'"', &answer[start..])?;
    std::str::from_utf8(&answer[start..end]).ok()
}

/// How many records a page or a poll has: those that are published here have no member of this name in them.
pub fn records(answer: &[u8]) -> u64 {
    memchr::memmem::find_iter(answer, b"\"offset\":").count() as u64
}

/// Has `count` members `m0`, `m1`, … join `group`, and hands partitions over until each holds one at least and none has
/// anything to let go of. Returns what each holds.
///
/// # Errors
/// When the gateway refuses, or its answers are not understood.
pub async fn settled(server: &Server, group: &str, count: u64) -> Result<Vec<Held>, BenchError> {
    let mut connection = api::connected(server).await?;
    let address = server.address();
    for member in 0..count {
        let joining = connection.call(&join(address, group, &format!("m{member}"))).await;
        joining.map_err(BenchError::load("joining"))?;
    }
    loop {
        let mut all = Vec::new();
        for member in 0..count {
            let name = format!("m{member}");
            let call = connection.call(&heartbeat(address, group, &name)).await;
            let answer = call.map_err(BenchError::load("a heartbeat"))?;
            let is = held(&answer).ok_or_else(|| not_understood("a heartbeat", &answer))?;
            if is.revoking {
                let letting = connection.call(&release(address, group, &name)).await;
                letting.map_err(BenchError::load("a release"))?;
            }
            all.push(is);
        }
        if all.iter().all(|held| !held.revoking && !held.partitions.is_empty()) {
            return Ok(all);
        }
    }
}

/// The error of an answer that says something else than was expected.
pub fn not_understood(what: &str, answer: &[u8]) -> BenchError {
    let answer = String::from_utf8_lossy(answer).chars().take(500).collect();
    BenchError::Answer { what: what.to_owned(), answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_poll_says_is_found_in_it() {
        let poll = br#"{"records":[{"topic":"bench","partition":1,"offset":5,"timestamp":1,"headers":[],"value":{"cursor":"no"}},{"topic":"bench","partition":1,"offset":6,"timestamp":1,"headers":[],"value":2}],"generation":3,"assignment":{"bench":[1,4]},"revoking":{"bench":[2]},"grace_ms":7,"waiting":{},"lost":[],"cursor":"AQ_-","at_tail":true}"#;
        assert_eq!(cursor(poll), Some("AQ_-"));
        assert_eq!(records(poll), 2);
        let expected = Held { generation: 3, partitions: vec![1, 4], revoking: true };
        assert_eq!(held(poll), Some(expected));
        assert_eq!(cursor(b"{}"), None);
        assert_eq!(held(b"{}"), None);
    }

    #[test]
    fn a_group_is_found_in_a_list() {
        let list = br#"{"groups":[{"group":"g","state":"stable","generation":9,"members":2}],"next":null}"#;
        let expected = Shown { stable: true, generation: 9, members: 2 };
        assert_eq!(shown(list), Some(expected));
        assert_eq!(shown(br#"{"groups":[],"next":null}"#), None);
    }
}
