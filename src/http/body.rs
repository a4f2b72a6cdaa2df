//! Request bodies: within bounds of size, time and memory.

use super::{App, refusal::Refusal};
use crate::{
    broker::{BrokerError, Permit},
    domain::limits,
    wire::{ErrorCode, Problem},
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::time::Duration;

/// What is taken of the memory for bodies before the first byte. A client that
/// announces much and sends little holds no more than this.
const FIRST_BYTES: usize = 64 << 10;
/// Bodies about topics: some settings.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// Bodies about groups: the longest cursor, and what is around it.
const MODEST_BODY_BYTES: usize = limits::MAX_CURSOR_BYTES + (8 << 10);

/// A body as it comes, given up when it stands still.
pub(super) struct Chunks {
    body: Body,
    idle: Duration,
}

impl Chunks {
    pub(super) fn new(app: &App, body: Body) -> Chunks {
        Chunks { body, idle: app.config.body_idle_timeout }
    }

    /// The next bytes; `None` at the end. `body_timeout` or `body_incomplete`.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = tokio::time::timeout(self.idle, self.body.frame()).await.map_err(|_| {
                let idle = self.idle.as_millis();
                let detail = format!("nothing came of the body for {idle} ms");
                Refusal::new(ErrorCode::BodyTimeout, detail)
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                tracing::debug!(%error, "a body ended early");
                Refusal::new(ErrorCode::BodyIncomplete, "the body ended before it was complete")
            })?;
            // What is no data is trailers, which nothing here looks at.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
    }

    fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// A whole body, and its place among those in memory, taken before it is read.
pub(super) async fn admitted(app: &App, body: Body) -> Result<(Bytes, Permit), Refusal> {
    let max = app.broker.limits().body_bytes;
    let mut chunks = Chunks::new(app, body);
    let announced = fits(chunks.announced(), max)?;
    let mut permit = app.broker.admit(announced.min(FIRST_BYTES))?;
    let bytes = whole(&mut chunks, max, announced, |len| {
        if len > permit.bytes() { permit.resize(len).map_err(busy) } else { Ok(()) }
    })
    .await?;
    permit.resize(bytes.len()).map_err(busy)?;
    Ok((bytes, permit))
}

/// A whole body of a call about a group: as a rule a small one. Larger ones, as
/// of a thousand commits with their notes, take their place among all bodies
/// in memory while they come.
pub(super) async fn modest(app: &App, body: Body) -> Result<Bytes, Refusal> {
    match body.size_hint().exact() {
        Some(announced) if announced > MODEST_BODY_BYTES as u64 => Ok(admitted(app, body).await?.0),
        _ => {
            let mut chunks = Chunks::new(app, body);
            whole(&mut chunks, MODEST_BODY_BYTES, 0, |_| Ok(())).await
        }
    }
}

/// A whole body of a call that takes a small one.
pub(super) async fn small(app: &App, body: Body) -> Result<Bytes, Refusal> {
    let mut chunks = Chunks::new(app, body);
    let announced = fits(chunks.announced(), SMALL_BODY_BYTES)?;
    whole(&mut chunks, SMALL_BODY_BYTES, announced, |_| Ok(())).await
}

pub(super) fn busy(overload: crate::broker::Overload) -> Refusal {
    BrokerError::Overloaded(overload).into()
}

fn fits(announced: Option<u64>, max: usize) -> Result<usize, Refusal> {
    match announced {
        None => Ok(0),
        Some(n) => usize::try_from(n).ok().filter(|n| *n <= max).ok_or_else(|| too_large(max)),
    }
}

fn too_large(max: usize) -> Refusal {
    let detail = format!("the body is larger than {max} bytes");
    Problem::new(ErrorCode::BodyTooLarge, detail).with("max", max).into()
}

/// All of a body; `grown` is told its length as it grows.
async fn whole(
    chunks: &mut Chunks,
    max: usize,
    announced: usize,
    mut grown: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    let Some(first) = chunks.next().await? else { return Ok(Bytes::new()) };
    let mut len = first.len();
    if len > max {
        return Err(too_large(max));
    }
    grown(len)?;
    // A small body comes as one piece, which is taken as it is.
    if chunks.is_over() {
        return Ok(first);
    }
    // Not `announced` at once: memory follows what was sent.
    let mut all = BytesMut::with_capacity(announced.min(1 << 20).max(len));
    all.extend_from_slice(&first);
    while let Some(chunk) = chunks.next().await? {
        len += chunk.len();
        if len > max {
            return Err(too_large(max));
        }
        grown(len)?;
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}
