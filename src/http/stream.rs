//! Reading as a stream, of NDJSON or of events: to the tail, or on and on. A
//! task encodes a few pieces ahead of what the client takes, and no more.

use super::{
    App,
    page::{held, kib},
    refusal::Refusal,
    stream_form::{HEARTBEAT, Part, StreamForm},
};
use crate::{
    broker::{ReadEvent, Reader},
    engine::ReadBudget,
    runtime::{Phase, ShutdownToken, TaskKind},
    wire::{ErrorCode, LostNotice, Problem, ReadQuery},
};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 2;
/// A piece is sent when it has grown to this.
const PIECE_BYTES: usize = 192 << 10;
/// Who wants no more than this gets some of every partition, not of the first
/// alone.
const FEW_RECORDS: u64 = 2_048;
/// What the first read takes: the first bytes come early.
const FIRST_READ_BYTES: usize = 16 << 10;
/// What a read takes once the stream runs.
const READ_BYTES: usize = 256 << 10;
/// A piece beyond this is counted as memory that the gateway has to spare.
const LARGE_PIECE_BYTES: usize = 1 << 20;
/// The answer that streams what `reader` comes to, in `form`.
pub(super) fn stream<F: StreamForm>(
    app: &Arc<App>,
    mut reader: Reader,
    query: &ReadQuery,
    form: F,
) -> Response {
    if !query.follow {
        reader.stop_at_tail();
    }
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let producer = Producer {
        reader,
        form,
        follow: query.follow,
        left: query.limit.unwrap_or(u64::MAX),
        sender,
        out: vec![],
        records: 0,
        told: Instant::now(),
        draining: app.shutdown.token(Phase::Draining),
        room: Arc::clone(&app.answer_room),
    };
    app.tasks.spawn("read stream", TaskKind::Worker, producer.run());
    let pieces = stream::unfold(pieces, |mut pieces| async {
        let piece: Bytes = pieces.recv().await?;
        Some((Ok::<_, Infallible>(piece), pieces))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(F::MEDIA));
    // Proxies are not to hold back or to pack what is to come at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Producer<F> {
    reader: Reader,
    form: F,
    follow: bool,
    /// Records that may still come.
    left: u64,
    sender: mpsc::Sender<Bytes>,
    /// What was not sent yet.
    out: Vec<u8>,
    records: u64,
    /// When a cursor was told.
    told: Instant,
    draining: ShutdownToken,
    room: Arc<Semaphore>,
}

/// Why a stream ends before its time.
enum Cut {
    /// The client is gone: nobody is to be told.
    Gone,
    /// The client is told.
    Failed(Refusal),
}

fn stopping() -> Cut {
    let detail = "the gateway stops; go on from the cursor elsewhere, or later";
    Cut::from(Problem::new(ErrorCode::Closing, detail))
}

impl<E: Into<Refusal>> From<E> for Cut {
    fn from(error: E) -> Cut {
        Cut::Failed(error.into())
    }
}

impl<F: StreamForm> Producer<F> {
    async fn run(mut self) {
        match self.produce().await {
            Ok(()) => {
                let cursor = self.reader.cursor().encode();
                self.form.end(&mut self.out, &cursor, self.records);
            }
            Err(Cut::Gone) => return,
            Err(Cut::Failed(refusal)) => {
                if let Some(cause) = &refusal.cause {
                    tracing::warn!(code = %refusal.problem.code, %cause, "a stream failed");
                }
                let cursor = self.reader.cursor().encode();
                self.form.failed(&mut self.out, &refusal.problem, &cursor);
            }
        }
        // The last piece: a client that is gone does not miss it.
        let _gone = self.flush().await;
    }

    async fn produce(&mut self) -> Result<(), Cut> {
        // Where it begins, also when nothing comes for long.
        self.form.opening(&mut self.out, &self.reader.cursor().encode());
        let mut bytes = FIRST_READ_BYTES;
        while self.left > 0 {
            if self.follow && self.draining.is_cancelled() {
                return Err(stopping());
            }
            let records = u32::try_from(self.left).unwrap_or(u32::MAX);
            let budget = ReadBudget { records, bytes };
            let read = if self.left <= FEW_RECORDS {
                self.reader.next_of_page(budget, true).await?
            } else {
                self.reader.next(budget).await?
            };
            match read {
                Some(ReadEvent::Skipped) => {
                    // What was found is not kept back while more is looked for.
                    self.take(ReadEvent::Skipped).await?;
                    self.flush().await?;
                }
                Some(event) => self.take(event).await?,
                None if !self.follow => break,
                None => self.wait_at_tail().await?,
            }
            if bytes < READ_BYTES {
                // The first records are on their way before more are read.
                self.flush().await?;
                bytes = READ_BYTES.min(bytes * 4);
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: ReadEvent) -> Result<(), Cut> {
        if let Some(part) = Part::of(&event) {
            for (n, shared) in part.batches.iter().enumerate() {
                self.form.batch(&mut self.out, &self.reader, &part, n)?;
                self.records += u64::from(shared.batch.count);
                self.left = self.left.saturating_sub(shared.batch.count.into());
                if self.out.len() >= PIECE_BYTES {
                    self.flush().await?;
                }
            }
            // Not in the middle of what the reader answered at once: a cursor
            // speaks of all of it.
            if self.form.wants_cursor() {
                self.tell_cursor();
            }
        } else if let ReadEvent::Lost { topic, partition, range } = &event {
            let notice = LostNotice::new(&topic.name, *partition, *range);
            self.form.lost(&mut self.out, &self.reader, &notice);
        } else if self.told + HEARTBEAT <= Instant::now() {
            // Much was looked through that is not for this reader.
            self.tell_cursor();
            self.flush().await?;
        } else {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn tell_cursor(&mut self) {
        self.form.cursor(&mut self.out, &self.reader.cursor().encode());
        self.told = Instant::now();
    }

    /// Sends all that there is, and waits for more.
    async fn wait_at_tail(&mut self) -> Result<(), Cut> {
        let due = self.told + self.form.patience();
        if Instant::now() >= due {
            self.tell_cursor();
        }
        self.flush().await?;
        tokio::select! {
            () = self.reader.wait() => Ok(()),
            () = tokio::time::sleep_until(due.max(Instant::now() + Duration::from_millis(1))) => {
                Ok(())
            }
            () = self.sender.closed() => Err(Cut::Gone),
            () = self.draining.cancelled() => Err(stopping()),
        }
    }

    async fn flush(&mut self) -> Result<(), Cut> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        let piece = if out.len() > LARGE_PIECE_BYTES {
            let room = Arc::clone(&self.room).acquire_many_owned(kib(out.len())).await;
            room.map_or_else(|_| Bytes::new(), |room| held(out, room))
        } else {
            Bytes::from(out)
        };
        self.sender.send(piece).await.map_err(|_| Cut::Gone)
    }
}
