//! The few calls of the gateway's interface that the benchmarks make. Their shapes are here and nowhere else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::error::BenchError;
use super::process::Server;
use crate::client::load::{Connection, LoadError, chunked_head, request};

/// How long a server that listens may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(2);
/// The counter of volumes rolled since the start.
const ROLLS: &str = "tidegate_volume_rolls_total";

/// The form of a publish body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `{"records":[…]}`.
    Json,
    /// A line for each record.
    Ndjson,
    /// The body is the value.
    Raw,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Raw => "text/plain",
        }
    }
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The partition's number.
    pub partition: u64,
    /// The earliest offset.
    pub start: u64,
    /// The offset behind the newest record.
    pub tail: u64,
}

/// A publish request.
#[must_use]
pub fn publish(address: SocketAddr, topic: &str, form: Form, body: &[u8]) -> Bytes {
    let headers = [("content-type", form.content_type())];
    request(address, "POST", &records_path(topic), &headers, body)
}

/// The same body for the appending floor.
#[must_use]
pub fn floor_append(address: SocketAddr, form: Form, body: &[u8]) -> Bytes {
    request(address, "POST", "/", &[("content-type", form.content_type())], body)
}

/// The head of an NDJSON upload without a known length.
#[must_use]
pub fn upload_head(address: SocketAddr, topic: &str) -> Bytes {
    chunked_head(
        address,
        "POST",
        &records_path(topic),
        &[("content-type", Form::Ndjson.content_type())],
    )
}

/// A request for all records of a topic as NDJSON, up to the tail.
#[must_use]
pub fn read_all(address: SocketAddr, topic: &str) -> Bytes {
    read(address, &format!("{}?from=earliest", records_path(topic)))
}

/// A request for the records of one partition from an offset on, as NDJSON, up to the tail.
#[must_use]
pub fn read_from(address: SocketAddr, topic: &str, partition: u64, offset: u64) -> Bytes {
    read(address, &format!("{}?from=offset:{offset}&partition={partition}", records_path(topic)))
}

/// A request for one record of one partition.
#[must_use]
pub fn read_one(address: SocketAddr, topic: &str, partition: u64, offset: u64) -> Bytes {
    let path = records_path(topic);
    read(address, &format!("{path}?from=offset:{offset}&partition={partition}&limit=1"))
}

/// A request for all records with this key, which needs no escaping, as NDJSON, up to the tail.
#[must_use]
pub fn read_key(address: SocketAddr, topic: &str, key: &str) -> Bytes {
    read(address, &format!("{}?from=earliest&key={key}", records_path(topic)))
}

fn read(address: SocketAddr, target: &str) -> Bytes {
    request(address, "GET", target, &[("accept", Form::Ndjson.content_type())], b"")
}

fn records_path(topic: &str) -> String {
    format!("/v1/topics/{topic}/records")
}

/// Makes a topic of four partitions.
///
/// # Errors
/// When the gateway refuses.
pub async fn create_topic(
    server: &Server,
    topic: &str,
    durability: &str,
) -> Result<(), BenchError> {
    create(server, topic, 4, durability).await
}

/// Makes a topic.
///
/// # Errors
/// When the gateway refuses.
pub async fn create(
    server: &Server,
    topic: &str,
    partitions: u32,
    durability: &str,
) -> Result<(), BenchError> {
    let body = json!({"partitions": partitions, "durability": durability});
    call(server, "PUT", &format!("/v1/topics/{topic}"), Some(&body)).await.map(drop)
}

/// Makes a buffered topic of four partitions with an index of its keys.
///
/// # Errors
/// When the gateway refuses.
pub async fn create_keyed(server: &Server, topic: &str) -> Result<(), BenchError> {
    let body = json!({"partitions": 4, "durability": "buffered", "keyed": true});
    call(server, "PUT", &format!("/v1/topics/{topic}"), Some(&body)).await.map(drop)
}

/// What the partitions of a topic hold.
///
/// # Errors
/// When the gateway refuses or describes no partitions.
pub async fn spans(server: &Server, topic: &str) -> Result<Vec<Span>, BenchError> {
    let answer = call(server, "GET", &format!("/v1/topics/{topic}"), None).await?;
    let parsed = serde_json::from_slice(&answer).ok().as_ref().and_then(spans_in);
    parsed.ok_or_else(|| BenchError::Answer {
        what: format!("describing {topic}"),
        answer: String::from_utf8_lossy(&answer).into_owned(),
    })
}

/// The list of partitions, whatever the field is called that holds it: the one whose entries have a tail.
fn spans_in(description: &Value) -> Option<Vec<Span>> {
    let fields = description.as_object()?;
    let lists = fields.values().filter_map(Value::as_array);
    let list = lists
        .into_iter()
        .find(|list| list.first().is_some_and(|entry| entry.get("tail").is_some()))?;
    let number = |entry: &Value, field: &str| entry.get(field)?.as_u64();
    list.iter()
        .map(|entry| {
            Some(Span {
                partition: number(entry, "partition")?,
                start: number(entry, "start")?,
                tail: number(entry, "tail")?,
            })
        })
        .collect()
}

/// Moves the start of one partition to `before`.
///
/// # Errors
/// When the gateway refuses.
pub async fn trim(
    server: &Server,
    topic: &str,
    partition: u64,
    before: u64,
) -> Result<(), BenchError> {
    let body = json!({"before": {"offset": before}, "partition": partition});
    call(server, "POST", &format!("/v1/topics/{topic}/trim"), Some(&body)).await.map(drop)
}

/// Volumes rolled since the server started; none when it does not say.
///
/// # Errors
/// When the metrics cannot be read.
pub async fn rolls(
    connection: &mut Connection,
    address: SocketAddr,
) -> Result<Option<f64>, LoadError> {
    let text = connection.call(&request(address, "GET", "/metrics", &[], b"")).await?;
    Ok(counter_in(&String::from_utf8_lossy(&text), ROLLS))
}

fn counter_in(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let labels_or_value = rest.starts_with([' ', '{']);
        labels_or_value.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// Waits until the server answers that it is ready, and returns how long that took since its process was started.
///
/// # Errors
/// When it is not ready in time.
pub async fn ready(server: &Server, name: &str) -> Result<Duration, BenchError> {
    let probe = request(server.address(), "GET", "/readyz", &[], b"");
    let limit = Instant::now() + READY_LIMIT;
    while Instant::now() < limit {
        if let Ok(mut connection) = Connection::open(server.address(), Connection::SMALL).await
            && connection.hit(&probe).await.is_ok()
        {
            return Ok(server.spawned().elapsed());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(BenchError::NotReady { name: name.to_owned(), after: READY_LIMIT })
}

/// A connection for single calls.
///
/// # Errors
/// When it is refused.
pub async fn connected(server: &Server) -> Result<Connection, BenchError> {
    let opened = Connection::open(server.address(), Connection::LARGE).await;
    opened.map_err(BenchError::load("connecting"))
}

async fn call(
    server: &Server,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Result<Vec<u8>, BenchError> {
    let failed = || BenchError::load(format!("{method} {target}"));
    let body = body.map(Value::to_string).unwrap_or_default();
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let mut connection =
        Connection::open(server.address(), Connection::LARGE).await.map_err(failed())?;
    let request = request(server.address(), method, target, &headers, body.as_bytes());
    connection.call(&request).await.map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_found_in_a_description() {
        let description = json!({
            "topic": "bench",
            "partition_count": 2,
            "partitions": [
                {"partition": 0, "start": 3, "tail": 9, "epoch": 0},
                {"partition": 1, "start": 0, "tail": 7, "epoch": 0},
            ],
        });
        let spans = spans_in(&description).expect("two partitions");
        assert_eq!(spans[0], Span { partition: 0, start: 3, tail: 9 });
        assert_eq!(spans[1].tail, 7);
        assert_eq!(spans_in(&json!({"topic": "bench"})), None);
    }

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let metrics =
            "# HELP a_total x\na_total{engine=\"x\"} 2\na_total{engine=\"y\"} 3\na_total_other 9\n";
        assert_eq!(counter_in(metrics, "a_total"), Some(5.0));
        assert_eq!(counter_in("a_total 4\n", "a_total"), Some(4.0));
        assert_eq!(counter_in(metrics, "b_total"), None);
    }
}
