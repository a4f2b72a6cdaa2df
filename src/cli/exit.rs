//! How a command ends: its errors, and the exit code of each.

use super::bench::BenchError;
use crate::client::ClientError;
use crate::config::Faults;
use std::io;

/// The exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the request failed, or something else went wrong
  2    wrong usage, or settings that cannot be used
  3    the store was refused: it is damaged, in use, or of another version
  4    no gateway could be reached
  130  interrupted";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Settings that cannot be used.
    #[error("{0}")]
    Settings(#[from] Faults),
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
    /// The store cannot be opened, or is damaged. Says what to do.
    #[error("{0}")]
    Store(String),
    /// A call to a gateway failed.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The gateway could not be started, or did not stop in order.
    #[error("{0}")]
    Server(String),
    /// A benchmark failed.
    #[error("{0}")]
    Bench(#[from] BenchError),
    /// A file or the terminal failed.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// Whoever was asked said no.
    #[error("nothing was done")]
    Declined,
    /// The reader of the output went away, which is no fault of ours.
    #[error("the output was closed")]
    OutputClosed,
    /// Someone pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// What failed while doing `what`; a closed output is told apart.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> CliError {
        let what = what.into();
        move |error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Io { what, error },
        }
    }

    /// The exit code, as [`EXIT_CODES`] lists them.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            CliError::OutputClosed => 0,
            CliError::Settings(_) | CliError::Usage(_) => 2,
            CliError::Store(_) => 3,
            CliError::Client(error) if error.is_unreachable() => 4,
            CliError::Client(_)
            | CliError::Server(_)
            | CliError::Bench(_)
            | CliError::Io { .. }
            | CliError::Declined => 1,
            CliError::Interrupted => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_end_has_the_code_that_help_names() {
        let unreachable = ClientError::Unreachable { server: String::new(), reason: String::new() };
        for (error, code) in [
            (CliError::OutputClosed, 0),
            (CliError::Declined, 1),
            (CliError::Client(ClientError::Cut), 1),
            (CliError::Usage(String::new()), 2),
            (CliError::Store(String::new()), 3),
            (CliError::Client(unreachable), 4),
            (CliError::Interrupted, 130),
        ] {
            assert_eq!(error.code(), code, "{error:?}");
            assert!(EXIT_CODES.contains(&format!("\n  {code:<5}")), "{code}");
        }
    }
}
