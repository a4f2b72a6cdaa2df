//! Durable commits of 64 members against durable publishes of one record over as many connections: both are a small
//! change that has to be on the disk before it is answered.

use std::cell::Cell;
use std::net::SocketAddr;

use bytes::Bytes;

use super::super::api::{self, Form};
use super::super::data;
use super::super::error::BenchError;
use super::super::measure::{Load, Pair, Side, describe, rates};
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Table, Target};
use super::super::setup::Setup;
use super::calls::{self, Held, TOPIC};
use crate::client::load::drive_count_with;

/// Commits, or publishes, at once.
const AT_ONCE: u64 = 64;
/// Bytes of a published record's value.
const RECORD: usize = 200;
/// Different bodies.
const BODIES: usize = 64;
/// Commits per second of one member that there are offsets for.
const FASTEST: f64 = 1_000.0;
/// Records of a request where there only have to be some.
const BATCH: u64 = 1_000;

/// Measures a group for each member, and one group of all.
///
/// # Errors
/// When a server cannot be started or a request fails.
pub async fn commits(setup: &Setup) -> Result<Table, BenchError> {
    let pinning = setup.place_apart();
    let mut rows = Vec::new();
    for (what, apart) in [("a group for each member", true), ("one group of 64 members", false)] {
        progress(&format!("commits: {what}"));
        let rounds = measure(setup, apart).await?;
        let note = describe(&rounds);
        rows.push(Row::new(
            what,
            "commits/s",
            rates(&rounds, 1.0),
            Target::AtLeast(0.6),
            None,
            note,
        ));
    }
    Ok(Table {
        benchmark: "commits",
        columns: ("commits", "publishes"),
        pinning,
        rows,
        notes: vec![format!(
            "{AT_ONCE} keep-alive connections on each side; a commit moves one partition by one record; the floor of these \
             rows is another tidegate, to which records of {RECORD} B are published one by one, `synced`."
        )],
    })
}

async fn measure(setup: &Setup, apart: bool) -> Result<Vec<(Load, Load)>, BenchError> {
    let rounds = {
        let (subject, _) = setup.gateway("commits", &[], true).await?;
        let (floor, _) = setup.gateway("publishes", &[], true).await?;
        api::create(&subject, TOPIC, AT_ONCE as u32, "synced").await?;
        api::create_topic(&floor, TOPIC, "synced").await?;
        fill(setup, &subject).await?;
        let members = Members::join(&subject, apart).await?;
        let publishes = publishes(floor.address());
        let pair = Pair { subject: &subject, floor: &floor };
        pair.interleaved(setup, async |side| match side {
            Side::Subject => {
                let next = |connection: usize, _| members.next(subject.address(), connection);
                Load::measure_with(setup, &subject, next, AT_ONCE as usize).await
            }
            Side::Floor => Load::measure(setup, &floor, &publishes, AT_ONCE as usize).await,
        })
        .await?
    };
    setup.discard("commits");
    setup.discard("publishes");
    Ok(rounds)
}

fn publishes(address: SocketAddr) -> Vec<Bytes> {
    let mut rng = data::seeded();
    let body = |_| data::json_batch(&[data::order(&mut rng, RECORD)]);
    let bodies: Vec<_> = (0..BODIES).map(body).collect();
    bodies.iter().map(|body| api::publish(address, TOPIC, Form::Json, body)).collect()
}

/// Publishes what there is to commit.
async fn fill(setup: &Setup, server: &Server) -> Result<(), BenchError> {
    let seconds = (setup.warm_up + setup.stretch).as_secs_f64() * setup.rounds as f64;
    let batches = ((seconds * FASTEST) as u64).div_ceil(BATCH);
    let batch = |partition: u64| {
        let record = format!(r#"{{"partition":{partition},"value":1}}"#);
        let records = vec![record; BATCH as usize].join(",");
        let body = format!(r#"{{"records":[{records}]}}"#);
        api::publish(server.address(), TOPIC, Form::Json, body.as_bytes())
    };
    let requests: Vec<Bytes> = (0..AT_ONCE).map(batch).collect();
    let make = |number: u64| requests[(number % AT_ONCE) as usize].clone();
    let sent = drive_count_with(server.address(), make, 4, batches * AT_ONCE).await;
    sent.map(drop).map_err(BenchError::load("publishing what is to be committed"))
}

/// Who commits what.
struct Members {
    /// By connection: its group, its member, its generation, its partition, and how far it is.
    all: Vec<(String, String, u64, u64, Cell<u64>)>,
}

impl Members {
    async fn join(server: &Server, apart: bool) -> Result<Self, BenchError> {
        let mut all = Vec::new();
        let mut add = |group: String, member: String, held: &Held, nth: usize| {
            let partition = held.partitions.get(nth).copied().unwrap_or_default();
            all.push((group, member, held.generation, partition, Cell::new(0)));
        };
        if apart {
            for nth in 0..AT_ONCE {
                let group = format!("apart-{nth}");
                let held = calls::settled(server, &group, 1).await?;
                held.iter()
                    .for_each(|held| add(group.clone(), "m0".to_owned(), held, nth as usize));
            }
        } else {
            let held = calls::settled(server, "together", AT_ONCE).await?;
            for (nth, held) in held.iter().enumerate() {
                add("together".to_owned(), format!("m{nth}"), held, 0);
            }
        }
        Ok(Self { all })
    }

    /// The next commit of a connection, one record further. Past the end of the partition the gateway refuses it, and the
    /// stretch fails.
    fn next(&self, address: SocketAddr, connection: usize) -> Bytes {
        let (group, member, generation, partition, offset) = &self.all[connection];
        offset.set(offset.get() + 1);
        calls::commit(address, group, Some((member, *generation)), *partition, offset.get())
    }
}
