//! Work beside the asynchronous tasks: calls that block, and threads that an
//! owner keeps. Tasks are in `tasks`.

use tokio::task::JoinError;

/// A closure handed to [`blocking`] panicked; the panic was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a background call panicked")]
pub struct Panicked;

impl From<JoinError> for Panicked {
    fn from(error: JoinError) -> Self {
        tracing::error!(%error, "a background call did not end well");
        Panicked
    }
}

/// Runs what blocks (disk, long computations) beside the asynchronous tasks.
/// Dropping the future does not stop the work.
pub async fn blocking<T, F>(f: F) -> Result<T, Panicked>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Ok(tokio::task::spawn_blocking(f).await?)
}

/// Starts a thread of this name (at most 15 bytes are shown by the system).
/// Its owner ends it and joins the handle.
///
/// # Panics
/// When the system has no thread to give, which is fatal at start-up, where
/// threads are made.
#[must_use = "the owner of a thread joins it"]
pub fn thread(name: &str, f: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    #[expect(clippy::expect_used, reason = "without its threads the process cannot work")]
    std::thread::Builder::new().name(name.to_owned()).spawn(f).expect("a thread can be started")
}
