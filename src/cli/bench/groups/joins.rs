//! Many members that join one group at once, each over a connection of its own, and do what members do: poll, and let go
//! of what is taken from them. Measured is how long it takes from the last join until everyone holds its share.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::super::api;
use super::super::error::BenchError;
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target};
use super::super::setup::Setup;
use super::calls::{self, TOPIC};
use crate::client::load::{Connection, LoadError, drive_count_with};

/// Partitions of the topic.
const PARTITIONS: u32 = 1_000;
/// Seconds from the last join until the group is stable.
const LIMIT: f64 = 3.0;
/// Generations for each 500 members. A group takes all joins and releases that wait in one step, and steps at most every
/// 10 ms and 0.2 ms more for each member; so generations follow from how long the joins come in, and not from how many
/// there are. One by one there would be two for each member.
const GENERATIONS: f64 = 50.0;
/// A member's poll waits so long.
const WAIT_MS: u64 = 50_000;
/// How often it is looked whether the group is stable.
const LOOK: Duration = Duration::from_millis(5);
/// How long the group may take at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one round found.
struct Joined {
    /// From the last join's answer until the group was stable, in seconds.
    settled: f64,
    /// From the first request to the last join's answer, in seconds.
    joining: f64,
    generations: f64,
}

/// Has `members` members join at once, a new group each round.
///
/// # Errors
/// When a request fails, or the group does not become stable.
pub async fn joins(setup: &Setup, members: u64) -> Result<Table, BenchError> {
    let pinning = setup.place_freely();
    let (server, _) = setup.gateway("data", &[], false).await?;
    api::create(&server, TOPIC, PARTITIONS, "synced").await?;
    let mut rounds = Vec::new();
    for round in 1..=setup.rounds {
        progress(&format!("joins: {members} members, round {round} of {}", setup.rounds));
        let group = format!("joins-{round}");
        rounds.push(together(&server, &group, members).await?);
        let address = server.address();
        let leave = |member| calls::leave(address, &group, &format!("m{member}"));
        let left = drive_count_with(address, leave, 16, members).await;
        left.map_err(BenchError::load("leaving"))?;
    }
    drop(server);
    setup.discard("data");
    let series = |of: fn(&Joined) -> f64, limit: f64| Series {
        subject: rounds.iter().map(of).collect(),
        floor: rounds.iter().map(|_| limit).collect(),
    };
    let joining = super::super::report::median(&series(|r| r.joining, 0.0).subject);
    let note = format!("the joins themselves were answered within {joining:.2} s");
    let most = (members as f64 / 500.0).max(1.0) * GENERATIONS;
    let limit = Target::AtMost(1.0);
    let rows = vec![
        Row::new("last join to stable", "s", series(|r| r.settled, LIMIT), limit, None, note),
        Row::new("generations", "count", series(|r| r.generations, most), limit, None, ""),
    ];
    let notes = vec![format!(
        "{members} members over REST, a keep-alive connection each, joining at once for {PARTITIONS} partitions; they poll \
         with {} s to wait, and release what is revoked.",
        WAIT_MS / 1_000
    )];
    Ok(Table { benchmark: "joins", columns: ("tidegate", "limit"), pinning, rows, notes })
}

/// One round.
async fn together(server: &Server, group: &str, members: u64) -> Result<Joined, BenchError> {
    let address = server.address();
    let failed = || BenchError::load(format!("{members} members that join at once"));
    let open = (0..members).map(|_| Connection::open(address, Connection::SMALL));
    let mut connections = try_join_all(open).await.map_err(failed())?;
    let mut watcher = Connection::open(address, Connection::SMALL).await.map_err(failed())?;
    let (joined, last) = (Cell::new(0), Cell::new(Instant::now()));
    let begin = Instant::now();
    let working = connections.iter_mut().enumerate().map(|(member, connection)| {
        let (joined, last) = (&joined, &last);
        async move {
            let name = format!("m{member}");
            connection.call(&calls::join(address, group, &name)).await?;
            joined.set(joined.get() + 1);
            last.set(Instant::now());
            work(connection, address, group, &name).await
        }
    });
    let stable = async {
        loop {
            let list = watcher.call(&calls::list(address, group)).await?;
            let shown = calls::shown(&list);
            if let Some(shown) =
                shown.filter(|s| s.stable && joined.get() == members && s.members == members)
            {
                return Ok::<_, LoadError>(shown);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let stable = tokio::select! {
        ended = try_join_all(working) => return Err(failed()(ended.err().unwrap_or(LoadError::Closed))),
        stable = tokio::time::timeout(PATIENCE, stable) => stable,
    };
    let stable = stable.map_err(|_| BenchError::TimedOut {
        what: format!("a stable group of {members} members"),
        after: PATIENCE,
    })?;
    Ok(Joined {
        settled: last.get().elapsed().as_secs_f64(),
        joining: (last.get() - begin).as_secs_f64(),
        generations: stable.map_err(failed())?.generation as f64,
    })
}

/// Polls for ever; lets go of what is revoked.
async fn work(
    connection: &mut Connection,
    address: SocketAddr,
    group: &str,
    member: &str,
) -> Result<(), LoadError> {
    let release = calls::release(address, group, member);
    let mut cursor: Option<String> = None;
    loop {
        let poll = calls::poll(address, group, member, cursor.as_deref(), 1, WAIT_MS);
        let answer = connection.call(&poll).await?;
        cursor = calls::cursor(&answer).map(str::to_owned);
        if memchr::memmem::find(&answer, b"\"revoking\":{}").is_none() {
            connection.hit(&release).await?;
        }
    }
}
