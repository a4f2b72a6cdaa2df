//! The signals that stop a gateway: the first in order, the second at once.

use super::CliError;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, taken from the moment that this is made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the system, which would end the process.
    pub fn new() -> Result<Signals, CliError> {
        let failed = || CliError::io("watching for signals");
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(failed())?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed())?,
        })
    }

    /// Waits for the next one, and tells its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
