//! `GET /v1/ws`: the WebSocket that carries a session, subprotocol
//! `tidegate.v1`.
//!
//! ```text
//! connect ─► handshake ─► upgraded stream ─► socket ◄─► pump ◄─► session
//!            checks, 101                     queue, pulse
//! ```
//!
//! How a socket ends that is stalled: one that takes nothing for the bound on
//! unread answers (five minutes) is cut, however much waits for it; until then
//! it costs what is in its queue, and then it goes on where it was. One that
//! takes what it is sent and never says a word, not even to pings, is closed
//! with 4002.

mod handshake;
mod outbox;
mod pulse;
mod pump;
mod socket;

use super::{
    App,
    connection::{Serving, Watched, WatchedStream},
    refusal::Refusal,
};
use crate::{
    runtime::TaskKind,
    session::{Host, Session},
    wire::{CloseCode, ErrorCode, Problem},
};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use handshake::{Handshake, Verdict};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use pump::Pump;
use socket::Socket;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where it is.
pub(super) const PATH: &str = "/v1/ws";

/// The WebSockets of one gateway.
pub(super) struct WebSockets {
    host: Arc<Host>,
    room: Arc<Semaphore>,
    next: AtomicU64,
    prefix: u32,
}

impl WebSockets {
    pub(super) fn new(host: Arc<Host>) -> WebSockets {
        let max = host.config().max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(max));
        WebSockets { host, room, next: AtomicU64::new(1), prefix: fastrand::u32(..) }
    }

    /// A name for a connection, unique among gateways.
    fn name(&self) -> String {
        format!("{:08x}-{:x}", self.prefix, self.next.fetch_add(1, Relaxed))
    }
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route(PATH, get(connect))
}

/// Begins a WebSocket, or says why not: to browsers, which cannot read the
/// status of a refused upgrade, on the WebSocket itself.
async fn connect(State(app): State<Arc<App>>, mut request: Request) -> Result<Response, Refusal> {
    let checked = Handshake::check(&request)?;
    let watched = request.extensions_mut().remove::<Arc<Watched>>();
    let (Some(upgrade), Some(watched)) = (request.extensions_mut().remove::<OnUpgrade>(), watched)
    else {
        return Err(handshake::not_websocket("the connection cannot be upgraded").into());
    };
    let foreign = app.guard.check_origin(request.uri(), request.headers());
    let place = Arc::clone(&app.ws.room).try_acquire_owned();
    let refused = match (foreign, &checked.verdict, &place) {
        (Err(problem), _, _) => Some((CloseCode::NotAuthorised, problem)),
        (Ok(()), Verdict::Unsupported(problem), _) => {
            Some((CloseCode::UnsupportedSubprotocol, problem.clone()))
        }
        (Ok(()), Verdict::Spoken, Err(_)) => Some((CloseCode::OverCapacity, full())),
        (Ok(()), Verdict::Spoken, Ok(_)) => None,
    };
    if let (Some((_, problem)), false) = (&refused, checked.browser) {
        return Err(problem.clone().into());
    }
    let response = checked.response();
    let serving = watched.request(false);
    let task = run(Arc::clone(&app), upgrade, serving, place.ok(), refused);
    app.tasks.spawn("websocket", TaskKind::Worker, task);
    Ok(response.map(|()| Body::empty()))
}

fn full() -> Problem {
    Problem::new(ErrorCode::TooBusy, "there are as many WebSockets as there may be")
}

async fn run(
    app: Arc<App>,
    upgrade: OnUpgrade,
    serving: Serving,
    _place: Option<OwnedSemaphorePermit>,
    refused: Option<(CloseCode, Problem)>,
) {
    // A small task lives on: what the handshake needed is let go of here.
    if let Some(pump) = Box::pin(open(app, upgrade, serving, refused)).await {
        pump.await;
    }
}

async fn open(
    app: Arc<App>,
    upgrade: OnUpgrade,
    serving: Serving,
    refused: Option<(CloseCode, Problem)>,
) -> Option<Pump> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a client left during its handshake");
            return None;
        }
    };
    let (stream, first) = taken_out(upgraded)?;
    let host = &app.ws.host;
    let socket = Socket::new(stream, &first, host.config().frame_bytes);
    let session = match refused {
        Some((code, problem)) => Session::refused(host, code, problem),
        None => Session::new(host, &app.ws.name()),
    };
    Some(Pump::new(socket, session, serving))
}

/// The stream under an upgraded connection, and what was read of it already.
fn taken_out(upgraded: Upgraded) -> Option<(WatchedStream, bytes::Bytes)> {
    match downcast::<TokioIo<WatchedStream>>(upgraded) {
        Ok(parts) => Some((parts.io.into_inner(), parts.read_buf)),
        Err(_) => {
            tracing::error!("an upgraded connection is not one of ours");
            None
        }
    }
}
