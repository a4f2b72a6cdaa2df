//! Accepting connections: within a bound, watched for time, ended in order.
//!
//! One connection over the bound is accepted, told 503 and closed: holding it
//! in the backlog would leave its client waiting without a word.

use super::{
    Site,
    canned::TOO_MANY_CONNECTIONS,
    connection::{Patience, Place, Watched, WatchedStream, obey},
    serve::serve_request,
};
use crate::runtime::{Phase, TaskKind, Tasks};
use hyper::{rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use parking_lot::Mutex;
use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// How often connections are looked at.
const SWEEP: Duration = Duration::from_millis(100);
/// In how many of these looks every one of many is seen.
const SWEEPS: usize = 10;
/// So many are seen in each look.
const FEW: usize = 500;
/// Clients over the bound that are being told so; any more are just closed.
const MAX_REFUSALS: usize = 64;
/// How long one that was refused may take to hang up.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);
/// A request's line and headers, bytes: a cursor may have 64 KiB.
const MAX_HEAD_BYTES: usize = 128 << 10;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// How often a silent HTTP/2 client is asked whether it is there.
const H2_PING: Duration = Duration::from_secs(25);

/// The connections of one listener.
struct Listener {
    site: Arc<Site>,
    builder: Builder<StreamTasks>,
    clock: Arc<AtomicU64>,
    connections: Mutex<Vec<Weak<Watched>>>,
    room: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
}

/// Accepts and serves until the gateway refuses connections. Each connection
/// is a task of its own, which ends when the gateway drains.
pub async fn listen(site: Arc<Site>, listener: TcpListener) {
    let refusing = site.app.shutdown.token(Phase::Refusing);
    let listener_of = Arc::new(Listener::new(site));
    let sweeping = Arc::clone(&listener_of);
    listener_of.site.app.tasks.spawn(
        "sweep",
        TaskKind::Vital,
        async move { sweeping.sweep().await },
    );
    loop {
        tokio::select! {
            () = refusing.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => listener_of.take(stream),
                Err(error) => pause_after(&error).await,
            }
        }
    }
}

/// Out of descriptors, most likely: they come back when connections end. What
/// a client did (a reset before it was accepted) is no reason to pause.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Listener {
    fn new(site: Arc<Site>) -> Listener {
        let mut builder = Builder::new(StreamTasks(site.app.tasks.clone()));
        // The sweep times the heads of HTTP/1; hyper would need a timer each.
        builder.http1().keep_alive(true).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            .keep_alive_interval(H2_PING);
        let max = site.app.config.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Listener {
            site,
            builder,
            clock: Arc::new(AtomicU64::new(0)),
            connections: Mutex::default(),
            room: Arc::new(Semaphore::new(max)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
        }
    }

    fn take(self: &Arc<Listener>, stream: TcpStream) {
        self.site.app.http.accepted.inc();
        let listener = Arc::clone(self);
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            self.site.app.tasks.spawn("connection", TaskKind::Worker, async move {
                listener.serve(stream, place).await;
            });
        } else {
            self.site.app.http.refused.inc();
            if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
                let refusal = refuse(stream, place);
                self.site.app.tasks.spawn("refusal", TaskKind::Worker, refusal);
            }
        }
    }

    async fn serve(&self, stream: TcpStream, room: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let watched = Watched::new(Arc::clone(&self.clock));
        self.connections.lock().push(Arc::downgrade(&watched));
        // One that comes after the sweep's last look must be told as well.
        if self.site.app.shutdown.reached(Phase::Draining) {
            watched.finish();
        }
        let place = Place::new(room, &self.site.app.http.open);
        let io = TokioIo::new(WatchedStream::new(stream, Arc::clone(&watched), place));
        let (site, seen) = (Arc::clone(&self.site), Arc::clone(&watched));
        let service =
            service_fn(move |request| serve_request(Arc::clone(&site), Arc::clone(&seen), request));
        let connection = self.builder.serve_connection_with_upgrades(io, service);
        let ended = obey(&watched, connection, |connection| connection.graceful_shutdown()).await;
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }

    /// Looks at connections, over and over, until the gateway drains;
    /// then tells them all to finish.
    async fn sweep(&self) {
        let draining = self.site.app.shutdown.token(Phase::Draining);
        let patience = Patience {
            head: self.site.app.config.header_timeout,
            idle: self.site.app.config.keep_alive_timeout,
            write: self.site.app.config.write_timeout,
        };
        let begun = Instant::now();
        let mut tick = tokio::time::interval(SWEEP);
        let mut place = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = draining.cancelled() => break,
            }
            let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.clock.store(now, Relaxed);
            look_at_some(&mut self.connections.lock(), &mut place, &patience);
        }
        self.connections.lock().iter().filter_map(Weak::upgrade).for_each(|c| c.finish());
    }
}

/// Looks at the next connections of a list and forgets those that ended: at
/// all if they are few, else at each one once a second.
fn look_at_some(connections: &mut Vec<Weak<Watched>>, place: &mut usize, patience: &Patience) {
    for _ in 0..connections.len().div_ceil(SWEEPS).max(FEW).min(connections.len()) {
        if *place >= connections.len() {
            *place = 0;
        }
        match connections.get(*place).map(Weak::upgrade) {
            Some(Some(watched)) => {
                watched.check(patience);
                *place += 1;
            }
            Some(None) => drop(connections.swap_remove(*place)),
            None => return,
        }
    }
}

/// Runs the streams of HTTP/2 connections as tasks that are joined at the end.
#[derive(Clone)]
struct StreamTasks(Tasks);

impl<F> Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        self.0.spawn("stream", TaskKind::Worker, async move {
            stream.await;
        });
    }
}

async fn refuse(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let told = async {
        stream.write_all(TOO_MANY_CONNECTIONS.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer
        // with it: what the client has sent is taken off first.
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(REFUSAL_LINGER, told).await {
        tracing::debug!(%error, "a client over the bound could not be told");
    }
}
