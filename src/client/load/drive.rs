//! Many connections at once: closed loops for throughput, a steady pace for latency, a fixed count for filling.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::{Connection, LoadError, Sample};

/// How long past its planned end a stretch may hang before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A closed-loop stretch: every connection sends its next request when the last is answered.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Connections at once.
    pub connections: usize,
    /// Load before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub measured: Duration,
}

/// Runs `stretch` over `requests`, which every connection takes in turn, each from another beginning.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn drive(
    address: SocketAddr,
    requests: &[Bytes],
    stretch: Stretch,
) -> Result<Sample, LoadError> {
    drive_with(address, in_turn(requests), stretch).await
}

/// Of `requests` the one whose turn it is: each connection takes them from another beginning.
pub fn in_turn(requests: &[Bytes]) -> impl Fn(usize, usize) -> Bytes + '_ {
    |connection, number| requests[(connection + number) % requests.len()].clone()
}

/// As [`drive`](fn@drive), with requests that `make` makes when they are sent: of the connection's number, and of how
/// many it has sent before.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn drive_with(
    address: SocketAddr,
    make: impl Fn(usize, usize) -> Bytes,
    stretch: Stretch,
) -> Result<Sample, LoadError> {
    let mut connections = connect(address, stretch.connections).await?;
    let begin = Instant::now() + stretch.warm_up;
    let end = begin + stretch.measured;
    let make = &make;
    let loops = connections.iter_mut().enumerate().map(|(index, connection)| async move {
        let mut latencies = Vec::with_capacity(64 << 10);
        for number in 0.. {
            let request = make(index, number);
            let sent = Instant::now();
            connection.hit(&request).await?;
            let answered = Instant::now();
            if answered >= end {
                break;
            }
            if answered >= begin {
                latencies.push(micros(answered - sent));
            }
        }
        Ok::<_, LoadError>(latencies)
    });
    let mut latencies_us =
        in_time(stretch.warm_up + stretch.measured, try_join_all(loops)).await?.concat();
    latencies_us.sort_unstable();
    Ok(Sample { requests: latencies_us.len() as u64, elapsed: stretch.measured, latencies_us })
}

/// Sends `count` requests, taken in turn from `requests`, over `connections` connections, and returns how long it took.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn drive_count(
    address: SocketAddr,
    requests: &[Bytes],
    connections: usize,
    count: u64,
) -> Result<Duration, LoadError> {
    let of = |index: u64| requests[(index % requests.len() as u64) as usize].clone();
    drive_count_with(address, of, connections, count).await
}

/// Sends `count` requests that `make` makes of their numbers over `connections` connections, and returns how long it
/// took.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn drive_count_with(
    address: SocketAddr,
    make: impl Fn(u64) -> Bytes,
    connections: usize,
    count: u64,
) -> Result<Duration, LoadError> {
    let mut connections = connect(address, connections).await?;
    let next = Cell::new(0_u64);
    let begin = Instant::now();
    let loops = connections.iter_mut().map(|connection| async {
        while next.get() < count {
            let index = next.replace(next.get() + 1);
            connection.hit(&make(index)).await?;
        }
        Ok::<_, LoadError>(())
    });
    try_join_all(loops).await?;
    Ok(begin.elapsed())
}

/// A stretch at a steady pace.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Connections at once.
    pub connections: usize,
    /// Requests per second, of all connections together.
    pub rate: f64,
    /// How long.
    pub length: Duration,
}

/// One request of a paced stretch.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    /// When it was due.
    pub due: Instant,
    /// From then to its answer.
    pub latency: Duration,
}

/// Runs `pace` over `requests`. A request that could not be sent when it was due, since the one before it on its
/// connection was still unanswered, is measured from when it was due: a stall counts for all that it held up.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn pace(
    address: SocketAddr,
    requests: &[Bytes],
    pace: Pace,
) -> Result<Vec<Timed>, LoadError> {
    let of = |index: u64, _| requests[(index % requests.len() as u64) as usize].clone();
    pace_with(address, of, pace).await
}

/// As [`pace`](fn@pace), with requests that `make` makes when they are sent: of the number of the request, in the order
/// in which they are due, and of the time that counts as its beginning.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn pace_with(
    address: SocketAddr,
    make: impl Fn(u64, Instant) -> Bytes,
    pace: Pace,
) -> Result<Vec<Timed>, LoadError> {
    let mut connections = connect(address, pace.connections).await?;
    let gap = Duration::from_secs_f64(1.0 / pace.rate);
    let step = gap * u32::try_from(pace.connections).unwrap_or(u32::MAX);
    let begin = Instant::now();
    let make = &make;
    let loops = connections.iter_mut().zip(0_u32..).map(|(connection, index)| async move {
        let mut timed = Vec::new();
        let mut due = begin + gap * index;
        let mut number = u64::from(index);
        while due < begin + pace.length {
            // The timer is coarse (a millisecond): being woken late is the generator's doing and not measured.
            let from = if Instant::now() < due {
                tokio::time::sleep_until(due.into()).await;
                Instant::now()
            } else {
                due
            };
            connection.hit(&make(number, from)).await?;
            timed.push(Timed { due: from, latency: from.elapsed() });
            due += step;
            number += pace.connections as u64;
        }
        Ok::<_, LoadError>(timed)
    });
    Ok(in_time(pace.length, try_join_all(loops)).await?.concat())
}

/// Sends requests over `connections` connections until `end`, each when `admit` lets it: the number of a request says
/// which of `requests` it is, taken in turn. Returns how many were sent; all were answered.
///
/// # Errors
/// At the first request that is not answered with a success.
pub async fn flow(
    address: SocketAddr,
    requests: &[Bytes],
    connections: usize,
    end: Instant,
    admit: impl AsyncFn(u64),
) -> Result<u64, LoadError> {
    let mut connections = connect(address, connections).await?;
    let next = Cell::new(0_u64);
    let loops = connections.iter_mut().map(|connection| async {
        while Instant::now() < end {
            let number = next.replace(next.get() + 1);
            admit(number).await;
            connection.hit(&requests[(number % requests.len() as u64) as usize]).await?;
        }
        Ok::<_, LoadError>(())
    });
    in_time(end.saturating_duration_since(Instant::now()), try_join_all(loops)).await?;
    Ok(next.get())
}

async fn connect(address: SocketAddr, connections: usize) -> Result<Vec<Connection>, LoadError> {
    try_join_all((0..connections).map(|_| Connection::open(address, Connection::SMALL))).await
}

async fn in_time<T>(
    planned: Duration,
    work: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    let limit = planned + PATIENCE;
    tokio::time::timeout(limit, work).await.unwrap_or(Err(LoadError::Stuck(limit)))
}

fn micros(latency: Duration) -> u32 {
    u32::try_from(latency.as_micros()).unwrap_or(u32::MAX)
}
