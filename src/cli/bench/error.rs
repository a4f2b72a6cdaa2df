//! Why a benchmark could not be measured. A target that is missed is no error: it is printed.

use std::io;
use std::time::Duration;

use crate::client::load::LoadError;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Load did not get through.
    #[error("{what}: {source}")]
    Load {
        /// What was measured.
        what: String,
        /// Why it failed.
        source: LoadError,
    },
    /// A server ended, or said nothing, before it listened.
    #[error("{name} did not start; its last words:\n{tail}")]
    NotStarted {
        /// Which server.
        name: String,
        /// The end of its log.
        tail: String,
    },
    /// A server listened but did not become ready.
    #[error("{name} was not ready within {after:?}")]
    NotReady {
        /// Which server.
        name: String,
        /// How long it had.
        after: Duration,
    },
    /// An answer that cannot be understood.
    #[error("{what}: unexpected answer: {answer}")]
    Answer {
        /// What was asked.
        what: String,
        /// What came.
        answer: String,
    },
    /// What was published is not what was read.
    #[error("{what}: {read} records read, {published} published; stream ended properly: {ended}")]
    Lost {
        /// Which stream.
        what: String,
        /// Records published.
        published: u64,
        /// Records read.
        read: u64,
        /// Whether the stream had its final line.
        ended: bool,
    },
    /// Something that the benchmark waits for did not happen.
    #[error("{what} did not happen within {after:?}")]
    TimedOut {
        /// What was awaited.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The system allows too few file descriptors for so many sockets.
    #[error(
        "{needed} file descriptors are needed, {maximum} allowed: raise the hard limit (`ulimit -Hn`), or take fewer"
    )]
    Descriptors {
        /// How many are needed.
        needed: u64,
        /// The hard limit.
        maximum: u64,
    },
    /// A signal came. What was started is stopped, and the data removed.
    #[error("interrupted")]
    Interrupted,
    /// The thread of the generator ended without a result.
    #[error("the load generator failed")]
    Generator,
}

impl BenchError {
    /// An [`io::Error`] with what was tried; for `map_err`.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// A [`LoadError`] with what was measured; for `map_err`.
    pub(super) fn load(what: impl Into<String>) -> impl FnOnce(LoadError) -> Self {
        let what = what.into();
        move |source| Self::Load { what, source }
    }
}
