//! `tidegate serve`: a gateway, from its settings to its ordered stop.

use super::{CliError, logging, output, signals::Signals};
use crate::config::{self, Config, SettingFlags};
use crate::server::{Server, ServerError};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  tidegate serve
  tidegate serve --listen 127.0.0.1:9090 --data-dir /var/lib/tidegate
  tidegate serve --config tidegate.toml --print-config
  TIDEGATE_SLED_ROLL_BYTES=64MiB tidegate serve --engine sled
  tidegate serve --engine kafka --kafka-brokers kafka-1:9092,kafka-2:9092

A setting in the file is called like its flag, with a dot after the group:
`--http-max-connections` is `http.max-connections`. Flags beat the environment, which beats
the file. Once it is ready the gateway prints one line, `listening on http://ADDR`, on standard
output; logs go to standard error. SIGTERM or SIGINT stop it in order, a second one at once.";

/// Start a gateway.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

/// Serves until a signal comes or the gateway cannot go on.
pub async fn run(args: ServeArgs) -> Result<(), CliError> {
    let resolved = args.settings.resolve()?;
    if args.settings.print {
        return output::line(config::as_toml(&resolved).trim_end());
    }
    logging::start(&resolved.config.log)?;
    let mut signals = Signals::new()?;
    let server = start(resolved.config, &mut signals).await?;
    output::line(&format!("listening on http://{}", server.address()))?;
    let failed = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            None
        }
        failed = server.failed() => Some(failed),
    };
    stop(server, &mut signals).await?;
    failed.map_or(Ok(()), |failed| Err(CliError::Server(failed.to_string())))
}

/// Starts a gateway. A signal meanwhile ends the attempt.
pub async fn start(config: Config, signals: &mut Signals) -> Result<Server, CliError> {
    tokio::select! {
        started = Server::start(config) => Ok(started?),
        _ = signals.next() => Err(CliError::Interrupted),
    }
}

/// Stops a gateway in order; a signal meanwhile ends the process.
pub async fn stop(server: Server, signals: &mut Signals) -> Result<(), CliError> {
    tokio::select! {
        () = server.stop() => Ok(()),
        name = signals.next() => {
            tracing::warn!(signal = name, "ended before all was done");
            Err(CliError::Interrupted)
        }
    }
}

impl From<ServerError> for CliError {
    fn from(error: ServerError) -> CliError {
        match error {
            ServerError::Store(_) | ServerError::Groups(_) => CliError::Store(error.to_string()),
            #[cfg(feature = "kafka")]
            ServerError::Cluster(_) => CliError::Server(error.to_string()),
            ServerError::Listen { .. } | ServerError::NoEngine(_) | ServerError::Others(_) => {
                CliError::Server(error.to_string())
            }
        }
    }
}
