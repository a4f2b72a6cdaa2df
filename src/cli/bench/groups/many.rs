//! Groups that are only remembered, a commit in each: what they cost a start, in time and memory.

use std::time::Duration;

use super::super::api::{self, Form};
use super::super::error::BenchError;
use super::super::measure::megabytes;
use super::super::process::Server;
use super::super::progress;
use super::super::report::{Row, Series, Table, Target, median};
use super::super::setup::Setup;
use super::calls::{self, TOPIC};
use crate::client::load::drive_count_with;

/// Commits at once while the groups are made.
const AT_ONCE: usize = 64;
/// After a start, before its memory is looked at.
const REST: Duration = Duration::from_secs(1);

/// A store and the gateway on it.
struct Store {
    name: &'static str,
    server: Server,
    /// Seconds until it was ready, by round.
    ready: Vec<f64>,
    /// MB resident, by round.
    resident: Vec<f64>,
}

/// Compares a store that remembers `groups` groups with one that remembers none.
///
/// # Errors
/// When a server cannot be started or a request fails.
pub async fn many(setup: &Setup, groups: u64) -> Result<Table, BenchError> {
    let pinning = setup.place_freely();
    progress(&format!("many: {groups} groups"));
    let mut none = Store::new(setup, "none").await?;
    let mut many = Store::new(setup, "many").await?;
    let address = many.server.address();
    let commit = |number| calls::commit(address, &format!("group-{number}"), None, 0, 1);
    let made = drive_count_with(address, commit, AT_ONCE, groups).await;
    let made = made.map_err(BenchError::load("making groups"))?;
    for round in 1..=setup.rounds {
        progress(&format!("many: start {round} of {}", setup.rounds));
        none.restart(setup).await?;
        many.restart(setup).await?;
    }
    let each = (median(&many.resident) - median(&none.resident)) * 1e6 / groups as f64;
    let rows = vec![
        row("ready after SIGKILL", "s", &many.ready, &none.ready, String::new()),
        row(
            "resident",
            "MB",
            &many.resident,
            &none.resident,
            format!("{each:.0} B for each group"),
        ),
    ];
    drop((many, none));
    setup.discard("many");
    setup.discard("none");
    let notes = vec![format!(
        "{groups} groups with one commit each, made in {:.1} s by {AT_ONCE} connections, against a store with the same \
         topic and none; nothing is asked of these rows.",
        made.as_secs_f64()
    )];
    Ok(Table { benchmark: "many", columns: ("with groups", "without"), pinning, rows, notes })
}

fn row(what: &str, unit: &'static str, many: &[f64], none: &[f64], note: String) -> Row {
    let series = Series { subject: many.to_vec(), floor: none.to_vec() };
    Row::new(what, unit, series, Target::None, None, note)
}

impl Store {
    async fn new(setup: &Setup, name: &'static str) -> Result<Self, BenchError> {
        let (server, _) = setup.gateway(name, &[], false).await?;
        api::create_topic(&server, TOPIC, "synced").await?;
        let body = br#"{"records":[{"partition":0,"value":1}]}"#;
        let publish = api::publish(server.address(), TOPIC, Form::Json, body);
        let mut connection = api::connected(&server).await?;
        connection.hit(&publish).await.map_err(BenchError::load("publishing a record"))?;
        Ok(Self { name, server, ready: Vec::new(), resident: Vec::new() })
    }

    async fn restart(&mut self, setup: &Setup) -> Result<(), BenchError> {
        self.server.kill();
        let (server, took) = setup.gateway(self.name, &[], false).await?;
        self.server = server;
        tokio::time::sleep(REST).await;
        self.ready.push(took.as_secs_f64());
        self.resident.push(self.server.resident().map_or(f64::NAN, megabytes));
        Ok(())
    }
}
