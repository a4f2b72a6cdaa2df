//! `bench fanout`: one partition's records to many sockets, as fast as they go.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::measure::{Pair, Side, busy, generator_cpu_time};
use super::super::process::Server;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::super::{FloorKind, progress};
use super::crowd::{Check, Crowd, Ears};
use super::gate::Gate;
use super::limits::allow_descriptors;
use super::wire::{Batch, Said, subscribe};
use crate::client::load::flow;

/// Bytes of a record's value.
const RECORD: usize = 200;
/// Different bodies.
const BODIES: usize = 64;
/// Frames that are captured for the floor.
const CAPTURED: usize = 4_096;
/// Sockets whose frames are held against the order as a whole, record by record.
const READ_WHOLE: usize = 2;
/// Connections that publish, at most.
const MOST_PUBLISHERS: u64 = 64;
/// The topic.
const TOPIC: &str = "bench";

/// Records of a batch, where one is under way at a time.
const STEP: u64 = 50;

/// How `fanout` is run.
#[derive(Debug, Clone, Copy)]
pub struct Fanout {
    /// Sockets that hear everything.
    pub sockets: usize,
    /// Records of a request.
    pub batch: u64,
    /// Records under way at once.
    pub window: u64,
}

/// Publishes to many sockets as fast as they hear it: so much at once that both sides always have work, then one batch
/// at a time, so that both sides write the same at once.
///
/// # Errors
/// When a server cannot be started, a request or a socket fails, or a socket misses a record.
pub async fn fanout(setup: &Setup, args: Fanout) -> Result<Table, BenchError> {
    let Fanout { sockets, batch, window } = args;
    allow_descriptors(sockets)?;
    let pinning = setup.place_apart();
    let (subject, _) = setup.gateway("data", &[], true).await?;
    let floor = setup.floor(FloorKind::BufferedSockets, "floor").await?;
    api::create(&subject, TOPIC, 1, "buffered").await?;
    let from_latest = |_| subscribe(TOPIC, "latest", &[]);
    let mut sides = Sides {
        at_subject: Crowd::subscribed(&subject, sockets, Check::Dense, from_latest).await?,
        at_floor: Crowd::open(&floor, sockets, Check::Nothing).await?,
        pair: Pair { subject: &subject, floor: &floor },
    };
    progress(&format!("fanout: {sockets} sockets, saturated"));
    let mut rows = rows("saturated", &sides.measure(setup, batch, window).await?);
    progress(&format!("fanout: {sockets} sockets, in step"));
    rows.extend(self::rows("in step", &sides.measure(setup, STEP, STEP).await?));
    drop(sides);
    drop((subject, floor));
    setup.discard("data");
    setup.discard("floor");
    Ok(Table {
        benchmark: "fanout",
        columns: ("tidegate", "floor"),
        pinning,
        rows,
        notes: vec![format!(
            "{sockets} sockets on one partition, records of {RECORD} B, buffered; saturated: {batch} per request, \
             {window} under way at once; in step: {STEP} per request, the next when all sockets have heard it. The floor \
             writes frames captured from the gateway to all sockets."
        )],
    })
}

/// The two servers and the sockets on each.
struct Sides<'a> {
    at_subject: Crowd,
    at_floor: Crowd,
    pair: Pair<'a>,
}

impl Sides<'_> {
    async fn measure(
        &mut self,
        setup: &Setup,
        batch: u64,
        window: u64,
    ) -> Result<Vec<(Delivery, Delivery)>, BenchError> {
        let Pair { subject, floor } = self.pair;
        let to_subject = Load::of_records(subject, batch, window);
        let frames = capture(setup, subject, &mut self.at_subject, &to_subject).await?;
        let to_floor = Load::of_frames(floor, &frames, window);
        self.at_subject.read_whole(READ_WHOLE);
        let (at_subject, at_floor) = (&mut self.at_subject, &mut self.at_floor);
        self.pair
            .interleaved(setup, async |side| match side {
                Side::Subject => stretch(setup, subject, at_subject, &to_subject).await,
                Side::Floor => stretch(setup, floor, at_floor, &to_floor).await,
            })
            .await
    }
}

fn rows(name: &str, rounds: &[(Delivery, Delivery)]) -> Vec<Row> {
    let series = |of: fn(&Delivery) -> f64| Series {
        subject: rounds.iter().map(|(subject, _)| of(subject)).collect(),
        floor: rounds.iter().map(|(_, floor)| of(floor)).collect(),
    };
    let words = |name: &str, side: fn(&(Delivery, Delivery)) -> &Delivery| {
        let over = |of: fn(&Delivery) -> f64| {
            median(&rounds.iter().map(|round| of(side(round))).collect::<Vec<_>>())
        };
        format!(
            "{name} {:.2} records a frame, {:.0} MB/s, {:.2} cpu (generator {:.2})",
            over(|delivery| delivery.records as f64 / delivery.frames as f64),
            over(|delivery| delivery.bytes as f64 / 1e6 / delivery.elapsed.as_secs_f64()),
            over(|delivery| delivery.server_cpus),
            over(|delivery| delivery.generator_cpus),
        )
    };
    let note =
        format!("{}; {}", words("gateway", |round| &round.0), words("floor", |round| &round.1));
    vec![
        Row::new(
            format!("deliveries, {name}"),
            "records/s",
            series(Delivery::rate),
            Target::AtLeast(0.8),
            Some(0.95),
            note,
        ),
        Row::new(
            format!("server's processor time, {name}"),
            "s/million",
            series(Delivery::seconds_per_million),
            Target::AtMost(1.25),
            Some(1.1),
            "",
        ),
    ]
}

/// What is sent, and how much of it at once.
struct Load {
    requests: Vec<Bytes>,
    /// Records of each request.
    records: Vec<u64>,
    window: u64,
}

impl Load {
    fn of_records(server: &Server, batch: u64, window: u64) -> Self {
        let mut rng = data::seeded();
        let mut body = || {
            let values: Vec<String> = (0..batch).map(|_| data::order(&mut rng, RECORD)).collect();
            data::json_batch(&values)
        };
        let requests: Vec<Bytes> = (0..BODIES)
            .map(|_| api::publish(server.address(), TOPIC, Form::Json, &body()))
            .collect();
        Self { records: vec![batch; requests.len()], requests, window }
    }

    fn of_frames(server: &Server, frames: &[(Batch, Vec<u8>)], window: u64) -> Self {
        Self {
            requests: frames
                .iter()
                .map(|(_, frame)| api::floor_append(server.address(), Form::Json, frame))
                .collect(),
            records: frames.iter().map(|(batch, _)| batch.len()).collect(),
            window,
        }
    }
}

/// Frames as the gateway sends them when it is saturated.
async fn capture(
    setup: &Setup,
    server: &Server,
    crowd: &mut Crowd,
    load: &Load,
) -> Result<Vec<(Batch, Vec<u8>)>, BenchError> {
    crowd.read_whole(1);
    let gate = Gate::new(load.window, crowd.len());
    let frames = RefCell::new(Vec::new());
    let each = |index: usize, batch: Batch, frame: &[u8]| {
        gate.hear(batch.len());
        let mut frames = frames.borrow_mut();
        if index == 0 && frames.len() < CAPTURED {
            frames.push((batch, frame.to_vec()));
        }
    };
    let end = Instant::now() + setup.warm_up.max(Duration::from_millis(200));
    crowd.attend(each, async |ears| publish(server, load, &gate, end, ears).await).await?;
    let mut frames = frames.into_inner();
    // The first ones were sent before the gateway had much to do.
    let begin = frames.len() / 2;
    frames.drain(..begin);
    debug_assert!(frames.iter().all(|(_, frame)| matches!(Said::of(frame), Said::Records(_))));
    if frames.is_empty() {
        return Err(BenchError::TimedOut {
            what: "the delivery of two records".to_owned(),
            after: setup.warm_up,
        });
    }
    Ok(frames)
}

/// Publishes until `end`, and waits until all sockets have heard it all.
async fn publish(
    server: &Server,
    load: &Load,
    gate: &Gate,
    end: Instant,
    ears: &Ears,
) -> Result<(), BenchError> {
    let count = load.records.len() as u64;
    // As many connections as requests may be under way: the window alone holds them back.
    let smallest = load.records.iter().min().copied().unwrap_or(1).max(1);
    let connections = load.window.div_ceil(smallest).clamp(1, MOST_PUBLISHERS) as usize;
    flow(server.address(), &load.requests, connections, end, async |number| {
        gate.admit(load.records[(number % count) as usize]).await;
    })
    .await
    .map_err(BenchError::load("publishing"))?;
    ears.until("the delivery of all records", |_| gate.is_empty()).await
}

/// What was delivered in a stretch.
#[derive(Debug, Clone, Copy)]
struct Delivery {
    records: u64,
    frames: u64,
    bytes: u64,
    elapsed: Duration,
    server_cpus: f64,
    generator_cpus: f64,
}

impl Delivery {
    fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }

    /// Seconds of the server's processor time for a million records.
    fn seconds_per_million(&self) -> f64 {
        self.server_cpus * 1e6 / self.rate()
    }
}

async fn stretch(
    setup: &Setup,
    server: &Server,
    crowd: &mut Crowd,
    load: &Load,
) -> Result<Delivery, BenchError> {
    let gate = Gate::new(load.window, crowd.len());
    let each = |_: usize, batch: Batch, _: &[u8]| gate.hear(batch.len());
    crowd
        .attend(each, async |ears| {
            let end = Instant::now() + setup.warm_up + setup.stretch;
            let measuring = async { Ok(measure(setup, server, ears).await) };
            let publishing = publish(server, load, &gate, end, ears);
            let ((), delivery) = tokio::try_join!(publishing, measuring)?;
            Ok(delivery)
        })
        .await
}

async fn measure(setup: &Setup, server: &Server, ears: &Ears) -> Delivery {
    tokio::time::sleep(setup.warm_up).await;
    let (begin, cpu) = (Instant::now(), (server.cpu_time(), generator_cpu_time()));
    let before = (ears.records(), ears.frames(), ears.bytes());
    tokio::time::sleep(setup.stretch).await;
    let elapsed = begin.elapsed();
    Delivery {
        records: ears.records() - before.0,
        frames: ears.frames() - before.1,
        bytes: ears.bytes() - before.2,
        elapsed,
        server_cpus: busy(cpu.0, server.cpu_time(), elapsed),
        generator_cpus: busy(cpu.1, generator_cpu_time(), elapsed),
    }
}
