//! The floor servers that `tidegate bench` measures against: the least that a handler on the same HTTP stack must do
//! to append a body to a file, to serve a file, or to write frames to WebSockets. They keep no offsets, no index and no
//! checksums, and check nothing; they are as fast as they can honestly be made, because a slow yardstick flatters what
//! it measures.

mod sockets;

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::io::ReaderStream;

use sockets::Audience;
pub use sockets::{FrameFile, write_frame};

/// At most this many bodies go into one commit.
const COMMIT_BODIES: usize = 1_024;
/// A commit takes no further body once it holds this many bytes.
const COMMIT_BYTES: usize = 4 << 20;
/// Below this many bytes one copy into a flat buffer is cheaper than a vectored write of many small pieces.
const COPY_BYTES: usize = 64 << 10;
/// Bytes per read of the file server.
const READ_BYTES: usize = 64 << 10;

/// What a floor server does with its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloorMode {
    /// Each body is appended and made durable by a group-committed `fdatasync` before it is answered.
    Synced,
    /// Each body is appended by one writer before it is answered; nothing is synced.
    Buffered,
    /// `GET /` answers the file's bytes through axum's streaming body.
    File,
    /// As [`FloorMode::Synced`]; what is durable is then written as a text frame to every WebSocket opened at `/v1/ws`.
    SyncedSockets,
    /// As [`FloorMode::Buffered`]; what is written is then written as a text frame to every such WebSocket.
    BufferedSockets,
    /// Answers the first message on a WebSocket with all frames of the file, which [`write_frame`] wrote.
    Frames,
}

/// Serves the floor `mode` over the file at `path` until SIGINT. `on_listening` gets the bound address.
///
/// # Errors
/// When the file cannot be opened, the address cannot be bound, or the listener fails.
pub async fn serve(
    mode: FloorMode,
    path: &Path,
    listen: SocketAddr,
    on_listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let (router, writer) = match mode {
        FloorMode::Synced => appending(path, true, None)?,
        FloorMode::Buffered => appending(path, false, None)?,
        FloorMode::File => (serving(path), None),
        FloorMode::SyncedSockets => appending(path, true, Some(Audience::default()))?,
        FloorMode::BufferedSockets => appending(path, false, Some(Audience::default()))?,
        FloorMode::Frames => (sockets::replaying(FrameFile::open(path)?), None),
    };
    let listener = TcpListener::bind(listen).await?;
    on_listening(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // A socket that refuses the option still serves, only later.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            // Without a signal handler there is nothing to wait for: stop at once rather than run for ever.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    // The router, and with it the last sender, is gone: the writer has seen its queue close.
    match writer {
        Some(writer) => writer.await.map_err(io::Error::other),
        None => Ok(()),
    }
}

/// One body that waits for the writer, and whom to tell.
struct Append {
    body: Bytes,
    done: oneshot::Sender<()>,
}

type Writer = Option<JoinHandle<()>>;

/// Unbounded, yet bounded by the connections: each waits for its answer before it sends again.
type Queue = mpsc::Sender<Append>;

/// The router that appends, and the writer behind it, which tells the `audience` what it wrote.
fn appending(
    path: &Path,
    synced: bool,
    audience: Option<Audience>,
) -> io::Result<(Router, Writer)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let (queue, waiting) = mpsc::channel();
    let mut router =
        Router::new().route("/", post(append)).layer(DefaultBodyLimit::disable()).with_state(queue);
    if let Some(audience) = &audience {
        router = router.merge(audience.router());
    }
    // It keeps one of the runtime's threads for blocking work for itself.
    let writer =
        spawn_blocking(move || write_all_that_waits(file, &waiting, synced, audience.as_ref()));
    Ok((router, Some(writer)))
}

async fn append(State(queue): State<Queue>, body: Bytes) -> StatusCode {
    let (done, written) = oneshot::channel();
    if queue.send(Append { body, done }).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    match written.await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The group commit: drain what waits, one write, one sync, answer all. Ends when all senders are gone, or at the first
/// failed write: then every caller is answered with an error, since its sender is dropped.
fn write_all_that_waits(
    mut file: File,
    waiting: &mpsc::Receiver<Append>,
    synced: bool,
    audience: Option<&Audience>,
) {
    let mut batch = Vec::with_capacity(COMMIT_BODIES);
    let mut flat = Vec::with_capacity(COPY_BYTES);
    while let Ok(first) = waiting.recv() {
        let mut bytes = first.body.len();
        batch.push(first);
        while batch.len() < COMMIT_BODIES && bytes < COMMIT_BYTES {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.body.len();
            batch.push(next);
        }
        let written = write_batch(&mut file, &batch, bytes, &mut flat)
            .and_then(|()| if synced { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            eprintln!("the floor cannot write: {error}");
            return;
        }
        for append in batch.drain(..) {
            if let Some(audience) = audience {
                audience.tell(append.body);
            }
            // A caller that hung up needs no answer.
            let _ = append.done.send(());
        }
    }
}

fn write_batch(
    file: &mut File,
    batch: &[Append],
    bytes: usize,
    flat: &mut Vec<u8>,
) -> io::Result<()> {
    if let [only] = batch {
        return file.write_all(&only.body);
    }
    if bytes <= COPY_BYTES {
        flat.clear();
        for append in batch {
            flat.extend_from_slice(&append.body);
        }
        return file.write_all(flat);
    }
    let mut slices: Vec<IoSlice<'_>> =
        batch.iter().map(|append| IoSlice::new(&append.body)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The router that serves the file, opened anew for every request.
fn serving(path: &Path) -> Router {
    Router::new().route("/", get(stream_file)).with_state(Arc::new(path.to_owned()))
}

async fn stream_file(State(path): State<Arc<PathBuf>>) -> Result<Response, StatusCode> {
    let file = tokio::fs::File::open(path.as_path()).await.map_err(|_| StatusCode::NOT_FOUND)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, READ_BYTES));
    Ok(Response::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch_of(bodies: &[Vec<u8>]) -> Vec<Append> {
        bodies
            .iter()
            .map(|body| Append { body: Bytes::from(body.clone()), done: oneshot::channel().0 })
            .collect()
    }

    #[test]
    fn every_way_of_writing_a_batch_writes_the_same_bytes() {
        for (name, bodies) in [
            ("single", vec![vec![b'a'; 10]]),
            ("copied", vec![vec![b'a'; 10], vec![b'b'; 20]]),
            ("vectored", vec![vec![b'a'; COPY_BYTES], vec![b'b'; 20], vec![b'c'; 7]]),
        ] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let path = directory.path().join("floor");
            let mut file = File::create(&path).expect("a temporary file");
            let bytes = bodies.iter().map(Vec::len).sum();
            write_batch(&mut file, &batch_of(&bodies), bytes, &mut Vec::new()).expect("a write");
            let written = std::fs::read(&path).expect("the file");
            assert_eq!(written, bodies.concat(), "{name}");
        }
    }
}
