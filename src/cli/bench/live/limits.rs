//! Room for many sockets: file descriptors, of which each takes one here and one in the server, which inherits the limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::error::BenchError;

/// Descriptors for everything else: publishers, files, volumes.
const OTHERS: usize = 1_000;

/// The gateway's settings for so many sockets and everything else.
#[must_use]
pub fn room_for(sockets: usize) -> [String; 4] {
    let room = (sockets + OTHERS).to_string();
    let [connections, sessions] = ["--http-max-connections", "--session-max-connections"];
    [connections.to_owned(), room.clone(), sessions.to_owned(), room]
}

/// Raises the soft limit of descriptors to the hard one, and says what it is now.
///
/// # Errors
/// When the hard limit is too low for so many sockets.
pub fn allow_descriptors(sockets: usize) -> Result<String, BenchError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = (sockets + OTHERS) as u64;
    if maximum.is_some_and(|maximum| maximum < needed) {
        return Err(BenchError::Descriptors { needed, maximum: maximum.unwrap_or(u64::MAX) });
    }
    if current.is_some_and(|current| current < needed) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        raised.map_err(|error| BenchError::Io {
            what: "raising the limit of file descriptors".to_owned(),
            source: error.into(),
        })?;
    }
    let now = getrlimit(Resource::Nofile).current;
    Ok(format!("{} descriptors allowed", now.map_or("any number of".to_owned(), |n| n.to_string())))
}
