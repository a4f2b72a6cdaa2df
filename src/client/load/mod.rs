//! The load generator of `tidegate bench`: HTTP/1.1 and WebSockets over plain sockets, with requests built once and
//! answers parsed no further than they must be, so that on a small machine the generator costs less than what it
//! measures. It knows nothing of topics or records, spawns nothing (all connections of a stretch are one future), and
//! fails a stretch at the first answer that is not a success: a rate with errors in it is no rate.

mod connection;
mod drive;
mod frames;
mod lines;
mod response;
mod socket;
mod upload;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

pub use connection::{Answer, Connection};
pub use drive::{
    Pace, Stretch, Timed, drive, drive_count, drive_count_with, drive_with, flow, in_turn, pace,
    pace_with,
};
pub use frames::{Frame, FrameReader, Opcode};
pub use lines::LineCounter;
pub use socket::{Fleet, Socket};

/// Why a stretch of load came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server did not take the connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke while in use.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server ended the connection within an answer.
    #[error("the server closed the connection within an answer")]
    Closed,
    /// The server closed a WebSocket that was to stay open.
    #[error("the server closed a socket: {0}")]
    Ended(String),
    /// A socket was sent what says that something is wrong.
    #[error("the server said: {0}")]
    Said(String),
    /// The answer is not HTTP/1.1 as this generator understands it.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    /// The server answered, but not with a success.
    #[error("the server answered {status}: {body}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The first bytes of the answer.
        body: String,
    },
    /// Nothing came to an end in time.
    #[error("the server gave no answer within {0:?}")]
    Stuck(Duration),
}

/// What one stretch of load measured.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Requests answered within the measured time.
    pub requests: u64,
    /// The measured time.
    pub elapsed: Duration,
    /// One latency per request, in microseconds, ascending.
    pub latencies_us: Vec<u32>,
}

impl Sample {
    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds which the fraction `of` (0 to 1) of the requests did not exceed.
    #[must_use]
    pub fn quantile_ms(&self, of: f64) -> f64 {
        quantile(&self.latencies_us, of).map_or(f64::NAN, |us| f64::from(us) / 1_000.0)
    }
}

/// The nearest-rank quantile `of` (0 to 1) of an ascending slice; none of an empty one.
#[must_use]
pub fn quantile(ascending: &[u32], of: f64) -> Option<u32> {
    let rank = (of * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.clamp(1, ascending.len().max(1)) - 1).copied()
}

/// A whole request as bytes, to be sent any number of times.
#[must_use]
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Bytes {
    let mut bytes = request_head(address, method, target, headers);
    if !body.is_empty() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Bytes::from(bytes)
}

/// The head of a request whose body follows in chunks.
#[must_use]
pub fn chunked_head(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Bytes {
    let mut bytes = request_head(address, method, target, headers);
    bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    Bytes::from(bytes)
}

/// `body` framed as one chunk of a chunked request.
#[must_use]
pub fn chunk(body: &[u8]) -> Bytes {
    let mut bytes = format!("{:x}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
    Bytes::from(bytes)
}

fn request_head(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&values, 0.5), Some(50));
        assert_eq!(quantile(&values, 0.99), Some(99));
        assert_eq!(quantile(&values, 0.0), Some(1));
        assert_eq!(quantile(&values, 1.0), Some(100));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_request_is_framed_by_its_length() {
        let address: SocketAddr = ([127, 0, 0, 1], 80).into();
        let bytes = request(address, "POST", "/x", &[("a", "b")], b"hey");
        assert_eq!(
            &bytes[..],
            b"POST /x HTTP/1.1\r\nhost: 127.0.0.1:80\r\na: b\r\ncontent-length: 3\r\n\r\nhey"
        );
        assert_eq!(&chunk(b"0123456789abcdef")[..], b"10\r\n0123456789abcdef\r\n");
    }
}
