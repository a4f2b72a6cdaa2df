//! `bench restart`: how long the gateway takes to be ready after SIGKILL with cold caches, with little and with much
//! stored; and how fast a trim gives the disk back.

use std::time::{Duration, Instant};

use super::api;
use super::error::BenchError;
use super::fill::{GIB, fill};
use super::measure::megabytes;
use super::process::Server;
use super::progress;
use super::report::{Row, Series, Table, Target};
use super::setup::{Setup, disk_usage};

/// Stored between two kills, so that each finds the active volume filled to another degree. In bytes.
const BETWEEN_KILLS: u64 = 160 << 20;
/// The part of the disk space that may be left when half was trimmed: whole volumes go, the one that the new start
/// lies in does not.
const LEFT: f64 = 0.6;
/// How often the disk space is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Compares stores of `small` and `large` GiB, then trims half of the large one.
///
/// # Errors
/// When a server cannot be started, a request fails, or the disk space does not come back.
pub async fn restart(setup: &Setup, small: f64, large: f64) -> Result<Table, BenchError> {
    let pinning = setup.place_freely();
    let mut stores =
        [Store::fill(setup, "small", small).await?, Store::fill(setup, "large", large).await?];
    let mut series = Series::default();
    let mut cold = true;
    for round in 1..=setup.rounds {
        progress(&format!("restart: kill {round} of {}", setup.rounds));
        let [small, large] = &mut stores;
        series.floor.push(small.killed_and_ready(setup, &mut cold).await?);
        series.subject.push(large.killed_and_ready(setup, &mut cold).await?);
    }
    let what = format!("ready after SIGKILL, {large} GiB against {small}");
    let note =
        if cold { "file caches dropped" } else { "file caches NOT dropped: that takes root" };
    let [small_store, large_store] = stores;
    drop(small_store);
    setup.discard("small");
    progress("restart: trimming half");
    let rows = vec![
        Row::new(what, "s", series, Target::AtMost(1.5), None, note),
        large_store.trim_half(setup).await?,
    ];
    setup.discard("large");
    let notes = vec![format!(
        "the floor of the first row is the small store, of the second the time that writing the trimmed half took; {} \
         MB more stored before each further kill.",
        megabytes(BETWEEN_KILLS).round()
    )];
    Ok(Table { benchmark: "restart", columns: ("tidegate", "floor"), pinning, rows, notes })
}

/// A data directory and the gateway on it.
struct Store {
    name: &'static str,
    server: Server,
    /// How long filling it took.
    written_in: Duration,
    kills: u32,
}

impl Store {
    async fn fill(setup: &Setup, name: &'static str, gib: f64) -> Result<Self, BenchError> {
        progress(&format!("restart: storing {gib} GiB"));
        let (server, _) = setup.gateway(name, &[], false).await?;
        api::create_topic(&server, "bench", "synced").await?;
        let written_in = fill(&server, (gib * GIB as f64) as u64).await?;
        Ok(Self { name, server, written_in, kills: 0 })
    }

    /// Kills the gateway within its work, and returns the seconds that the next one takes to be ready.
    async fn killed_and_ready(
        &mut self,
        setup: &Setup,
        cold: &mut bool,
    ) -> Result<f64, BenchError> {
        if self.kills > 0 {
            fill(&self.server, BETWEEN_KILLS).await?;
        }
        self.kills += 1;
        self.server.kill();
        *cold &= setup.drop_file_caches();
        let (server, took) = setup.gateway(self.name, &[], false).await?;
        self.server = server;
        Ok(took.as_secs_f64())
    }

    /// Trims half of every partition and waits until the disk has it back.
    async fn trim_half(self, setup: &Setup) -> Result<Row, BenchError> {
        let directory = setup.path(self.name);
        let writing_half = self.written_in / 2;
        let limit = self.written_in * 2 + Duration::from_secs(60);
        let spans = api::spans(&self.server, "bench").await?;
        setup.settle();
        let before = disk_usage(&directory)?;
        let begin = Instant::now();
        for span in spans {
            api::trim(&self.server, "bench", span.partition, span.start.midpoint(span.tail))
                .await?;
        }
        let after = loop {
            let now = disk_usage(&directory)?;
            if (now as f64) <= LEFT * before as f64 {
                break now;
            }
            if begin.elapsed() > limit {
                return Err(BenchError::TimedOut {
                    what: "giving the disk back".to_owned(),
                    after: limit,
                });
            }
            tokio::time::sleep(POLL).await;
        };
        let took = begin.elapsed().as_secs_f64();
        let note = format!("disk {:.0} MB -> {:.0} MB", megabytes(before), megabytes(after));
        let series = Series { subject: vec![took], floor: vec![writing_half.as_secs_f64()] };
        Ok(Row::new("trimming half", "s", series, Target::AtMost(0.1), None, note))
    }
}
