//! Measuring two servers by turns: each stretch of one is followed by a stretch of the other, which goes first
//! alternates, and the one that waits is stopped, so that a noisy minute of the machine falls on both.

use std::cell::Cell;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::BenchError;
use super::process::{Server, cpu_time_of};
use super::report::{Series, median};
use super::setup::Setup;
use crate::client::load::{Sample, Stretch, drive_with, in_turn};

/// Which of the two is being measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The gateway.
    Subject,
    /// What it is compared with.
    Floor,
}

/// The two servers.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The gateway.
    pub subject: &'a Server,
    /// What it is compared with.
    pub floor: &'a Server,
}

impl Pair<'_> {
    /// The server of `side`.
    #[must_use]
    pub fn server(&self, side: Side) -> &Server {
        match side {
            Side::Subject => self.subject,
            Side::Floor => self.floor,
        }
    }

    /// Measures both sides in each round, and returns what `stretch` returned, a pair per round.
    ///
    /// # Errors
    /// The first that `stretch` returns.
    pub async fn interleaved<T>(
        &self,
        setup: &Setup,
        mut stretch: impl AsyncFnMut(Side) -> Result<T, BenchError>,
    ) -> Result<Vec<(T, T)>, BenchError> {
        let mut rounds = Vec::with_capacity(setup.rounds);
        for round in 0..setup.rounds {
            // Nobody should always go first: what the first leaves to the system, the second would pay for.
            rounds.push(if round % 2 == 0 {
                let floor = self.alone(setup, Side::Floor, &mut stretch).await?;
                (self.alone(setup, Side::Subject, &mut stretch).await?, floor)
            } else {
                let subject = self.alone(setup, Side::Subject, &mut stretch).await?;
                (subject, self.alone(setup, Side::Floor, &mut stretch).await?)
            });
        }
        self.subject.resume();
        self.floor.resume();
        Ok(rounds)
    }

    async fn alone<T>(
        &self,
        setup: &Setup,
        side: Side,
        stretch: &mut impl AsyncFnMut(Side) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let (measured, waiting) = match side {
            Side::Subject => (self.subject, self.floor),
            Side::Floor => (self.floor, self.subject),
        };
        waiting.pause();
        measured.resume();
        setup.settle();
        stretch(side).await
    }
}

/// A stretch of load, and how busy both ends were.
#[derive(Debug)]
pub struct Load {
    sample: Sample,
    /// Processors that the server kept busy, warm-up included.
    server_cpus: f64,
    /// The same of the generator.
    generator_cpus: f64,
}

impl Load {
    /// Drives `requests` at `server` over `connections` connections.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn measure(
        setup: &Setup,
        server: &Server,
        requests: &[Bytes],
        connections: usize,
    ) -> Result<Self, BenchError> {
        Self::measure_with(setup, server, in_turn(requests), connections).await
    }

    /// As [`Load::measure`], with requests that `make` makes of a connection's number, and of how many it has sent.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn measure_with(
        setup: &Setup,
        server: &Server,
        make: impl Fn(usize, usize) -> Bytes,
        connections: usize,
    ) -> Result<Self, BenchError> {
        let stretch = Stretch { connections, warm_up: setup.warm_up, measured: setup.stretch };
        let before = (Instant::now(), server.cpu_time(), generator_cpu_time());
        let sample = drive_with(server.address(), make, stretch)
            .await
            .map_err(BenchError::load("a stretch of load"))?;
        let elapsed = before.0.elapsed();
        Ok(Self {
            sample,
            server_cpus: busy(before.1, server.cpu_time(), elapsed),
            generator_cpus: busy(before.2, generator_cpu_time(), elapsed),
        })
    }

    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.sample.rate()
    }
}

/// The rates of both sides, each times `per_request`.
#[must_use]
pub fn rates(rounds: &[(Load, Load)], per_request: f64) -> Series {
    Series {
        subject: rounds.iter().map(|(subject, _)| subject.rate() * per_request).collect(),
        floor: rounds.iter().map(|(_, floor)| floor.rate() * per_request).collect(),
    }
}

/// Latencies and load of both sides in words, medians over the rounds.
#[must_use]
pub fn describe(rounds: &[(Load, Load)]) -> String {
    let side = |name: &str, of: fn(&(Load, Load)) -> &Load| {
        let over = |value: fn(&Load) -> f64| {
            median(&rounds.iter().map(|round| value(of(round))).collect::<Vec<_>>())
        };
        format!(
            "{name} p50 {:.2} ms, p99 {:.2} ms, {:.2} cpu (generator {:.2})",
            over(|load| load.sample.quantile_ms(0.5)),
            over(|load| load.sample.quantile_ms(0.99)),
            over(|load| load.server_cpus),
            over(|load| load.generator_cpus),
        )
    };
    format!("{}; {}", side("gateway", |round| &round.0), side("floor", |round| &round.1))
}

/// The processor time of the calling thread, which is the generator.
#[must_use]
pub fn generator_cpu_time() -> Option<Duration> {
    cpu_time_of(Path::new("/proc/thread-self"))
}

/// Processors kept busy between two readings of a processor time; not a number where the system does not tell.
#[must_use]
pub fn busy(before: Option<Duration>, after: Option<Duration>, elapsed: Duration) -> f64 {
    match (before, after) {
        (Some(before), Some(after)) => {
            after.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64()
        }
        _ => f64::NAN,
    }
}

/// A server's memory at some point of a long piece of work.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    /// How far the work was, in the work's own unit.
    pub progress: u64,
    /// Resident memory, in bytes.
    pub bytes: u64,
}

/// Does `work`, and meanwhile looks at the server's memory `every` so often.
pub async fn watch_memory<T>(
    server: &Server,
    progress: &Cell<u64>,
    every: Duration,
    work: impl Future<Output = T>,
) -> (T, Vec<Resident>) {
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(every);
    let mut work = pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return (result, samples),
            _ = ticks.tick() => {
                if let Some(bytes) = server.resident() {
                    samples.push(Resident { progress: progress.get(), bytes });
                }
            }
        }
    }
}

/// The most memory in `samples`, in MB.
#[must_use]
pub fn peak_mb(samples: &[Resident]) -> f64 {
    samples.iter().map(|sample| megabytes(sample.bytes)).fold(f64::NAN, f64::max)
}

/// Bytes as MB (10^6).
#[must_use]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
