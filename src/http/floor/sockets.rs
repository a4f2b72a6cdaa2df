//! The WebSocket floor: ready-made text frames, written to all sockets as they come, or from a file to whoever asks.
//! What waits for a socket is written in one go, since the gateway may do the same.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::runtime::{TaskKind, Tasks};

/// The gateway's own address of its WebSocket, so that the generator asks both sides alike.
const PATH: &str = "/v1/ws";
/// Frames that may wait for the slowest socket. One that falls further behind is cut: the generator keeps fewer under way.
const WAITING: usize = 16 << 10;
/// Bytes of a socket's read buffer: clients say next to nothing.
const READ_BUFFER: usize = 1 << 10;

/// All sockets that hear what is appended.
#[derive(Clone)]
pub(super) struct Audience {
    frames: broadcast::Sender<Message>,
    tasks: Tasks,
}

impl Default for Audience {
    fn default() -> Self {
        Self { frames: broadcast::Sender::new(WAITING), tasks: Tasks::default() }
    }
}

impl Audience {
    /// Where they join.
    pub fn router(&self) -> Router {
        Router::new().route(PATH, get(join)).with_state(self.clone())
    }

    /// Gives every socket this frame. What is no text has no listeners.
    pub fn tell(&self, frame: Bytes) {
        if let Ok(text) = Utf8Bytes::try_from(frame) {
            // An error only says that nobody listens.
            let _ = self.frames.send(Message::Text(text));
        }
    }
}

async fn join(State(audience): State<Audience>, request: Request) -> Response {
    // Before the answer: whoever is told that it has joined hears all that follows.
    let frames = audience.frames.subscribe();
    upgrade(&audience.tasks, request, async move |socket| deliver(socket, frames).await)
}

/// Writes all that waits, flushes once, and reads what the client says, so that pings are answered.
async fn deliver(
    mut socket: WebSocketStream<TcpStream>,
    mut frames: broadcast::Receiver<Message>,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Ok(frame) = frame else { return Ok(()) };
                socket.feed(frame).await?;
                while let Ok(frame) = frames.try_recv() {
                    socket.feed(frame).await?;
                }
                socket.flush().await?;
            }
            said = socket.next() => match said {
                Some(said) => drop(said?),
                None => return Ok(()),
            }
        }
    }
}

/// The router that answers whoever says something with all of `file`.
pub(super) fn replaying(file: FrameFile) -> Router {
    Router::new().route(PATH, get(replay)).with_state((Arc::new(file), Tasks::default()))
}

async fn replay(
    State((file, tasks)): State<(Arc<FrameFile>, Tasks)>,
    request: Request,
) -> Response {
    upgrade(&tasks, request, async move |mut socket: WebSocketStream<TcpStream>| {
        let Some(asked) = socket.next().await else { return Ok(()) };
        asked?;
        for frame in &file.0 {
            socket.feed(Message::Text(frame.clone())).await?;
        }
        socket.flush().await?;
        while let Some(said) = socket.next().await {
            said?;
        }
        Ok(())
    })
}

/// Answers the upgrade and lets `serve` have the socket, without hyper in between.
fn upgrade<F>(
    tasks: &Tasks,
    mut request: Request,
    serve: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return answer(StatusCode::BAD_REQUEST);
    };
    let accept = derive_accept_key(key.as_bytes());
    let protocol = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
    tasks.spawn("socket", TaskKind::Worker, async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let Ok(parts) =
            hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)
        else {
            eprintln!("the floor does not know its own sockets");
            return;
        };
        let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let socket =
            WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
        // However a socket ends: the generator, which opened it, knows and says so.
        let _ = serve(socket).await;
    });
    let mut response = answer(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept.parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

fn answer(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Frames kept in a file, in memory once it is opened: each is its length (4 bytes, little-endian) and its payload.
#[derive(Debug)]
pub struct FrameFile(Vec<Utf8Bytes>);

impl FrameFile {
    /// Reads the frames of the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, ends within a frame, or holds what is no text.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        let mut rest = Bytes::from(bytes);
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let length = rest.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
            let Some(length) = length.filter(|length| rest.len() - LENGTH >= *length) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let payload = rest.split_to(LENGTH + length).slice(LENGTH..);
            frames.push(Utf8Bytes::try_from(payload).map_err(io::Error::other)?);
        }
        Ok(Self(frames))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes of a frame's length in a file.
const LENGTH: usize = 4;

/// Appends a frame to a file that [`FrameFile::open`] is to read.
///
/// # Errors
/// When it cannot be written, or is larger than 4 GiB.
pub fn write_frame(file: &mut BufWriter<File>, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_written_and_a_cut_file_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("frames");
        let mut file = BufWriter::new(File::create(&path).expect("a temporary file"));
        for payload in [&b"one"[..], b"", b"three"] {
            write_frame(&mut file, payload).expect("a write");
        }
        drop(file);
        let frames = FrameFile::open(&path).expect("the frames");
        assert_eq!(
            frames.0.iter().map(Utf8Bytes::as_str).collect::<Vec<_>>(),
            ["one", "", "three"]
        );
        let bytes = std::fs::read(&path).expect("the file");
        for cut in [bytes.len() - 1, bytes.len() - 7, 3] {
            std::fs::write(&path, &bytes[..cut]).expect("a write");
            assert!(FrameFile::open(&path).is_err(), "{cut}");
        }
    }
}
