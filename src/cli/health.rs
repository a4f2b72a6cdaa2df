//! `tidegate health`: asks whether a gateway is ready, for container health
//! checks and scripts.

use super::{CliError, output};
use crate::client::{Client, ClientError};
use clap::Args;
use std::time::Duration;

/// Ask a gateway whether it is ready; the exit code says it: 0 ready, 1 not ready, 4 not reachable.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The gateway's address.
    #[arg(
        long,
        value_name = "URL",
        env = "TIDEGATE_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// How long to wait for the answer, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    timeout: f64,
    /// Print what the gateway says of itself.
    #[arg(long)]
    json: bool,
}

/// Asks. Not ready is an error.
pub async fn run(args: HealthArgs) -> Result<(), CliError> {
    let limit = Duration::try_from_secs_f64(args.timeout)
        .map_err(|_| CliError::Usage("--timeout is a number of seconds".to_owned()))?;
    let client = Client::new(&args.url)?;
    let answer = tokio::time::timeout(limit, client.ready()).await;
    let said = answer.map_err(|_| {
        let reason = format!("it did not answer within {limit:?}");
        ClientError::Unreachable { server: client.server().to_owned(), reason }
    })??;
    if args.json { output::json(&said) } else { output::line("ready") }
}
