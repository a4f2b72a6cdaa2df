//! Records on standard output.

use super::Format;
use crate::{cli::CliError, client::ClientError};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Standard output, and how records are written to it.
pub struct Shown<'a> {
    out: BufWriter<StdoutLock<'a>>,
    format: Format,
    topics: bool,
}

impl Shown<'_> {
    /// In `format`, or as is usual for the output. `topics`: each record says
    /// which it is of.
    pub fn new(format: Option<Format>, topics: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let usual = if terminal { Format::Text } else { Format::Json };
        Shown {
            out: BufWriter::with_capacity(64 << 10, io::stdout().lock()),
            format: format.unwrap_or(usual),
            topics,
        }
    }

    /// Writes a record, which is JSON.
    pub fn record(&mut self, line: &[u8]) -> Result<(), CliError> {
        match self.format.write(line, self.topics, &mut self.out) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = format!("a record could not be read: {error}");
                Err(CliError::Client(ClientError::Input(what)))
            }
            Err(error) => Err(CliError::io("writing the output")(error)),
        }
    }

    /// Shows all that was written.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.out.flush().map_err(CliError::io("writing the output"))
    }
}
