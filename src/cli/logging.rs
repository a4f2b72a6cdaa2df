//! Where logs go: standard error, readable on a terminal, JSON otherwise.

use super::CliError;
use crate::config::{LogConfig, LogFormat};
use std::io::{IsTerminal, stderr};
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging for the whole process. A second call is an error.
pub fn start(config: &LogConfig) -> Result<(), CliError> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|error| CliError::Usage(format!("log.filter: {error}")))?;
    let terminal = stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let base = fmt().with_env_filter(filter).with_writer(stderr);
    let started = if json {
        base.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        base.with_ansi(terminal).with_target(false).try_init()
    };
    started.map_err(|error| CliError::Server(format!("logging could not be started: {error}")))
}
