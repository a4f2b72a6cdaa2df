//! Publishing a stream of NDJSON of any length in bounded memory: chunks are
//! committed in turn, one while the next is read. The answer comes at the end;
//! an error says how many lines are stored for certain.

use super::{
    App,
    body::{Chunks, busy},
    refusal::Refusal,
    shape,
};
use crate::{
    broker::{BrokerError, Permit, PublishBuilder, Published},
    domain::{Durability, TopicName, limits},
    engine::Topic,
    wire::{self, ErrorCode, NdjsonSplitter, Problem, StreamAnswer},
};
use axum::{body::Body, http::StatusCode, response::Response};
use futures_util::future::{BoxFuture, FutureExt};
use std::sync::Arc;

/// One chunk that is committed and one that is read; what lines of a longer
/// one need is taken on top.
const ROOM: usize = 2 * limits::NDJSON_CHUNK_BYTES;

/// Takes a stream of records.
pub(super) async fn upload(
    app: &App,
    topic: Arc<Topic>,
    durability: Option<Durability>,
    body: Body,
) -> Result<Response, Refusal> {
    let permit = app.broker.admit(ROOM)?;
    let mut upload = Upload {
        app,
        name: topic.name.clone(),
        durability,
        splitter: NdjsonSplitter::new(app.broker.limits().body_bytes),
        next: PublishBuilder::new(&app.broker, topic, None),
        committing: None,
        answer: StreamAnswer::default(),
        durable_lines: 0,
        permit,
    };
    match upload.run(Chunks::new(app, body)).await {
        Ok(()) if upload.answer.published == 0 => {
            Err(Refusal::new(ErrorCode::BatchEmpty, "the stream has no records"))
        }
        Ok(()) => Ok(shape(StatusCode::OK, &upload.answer)),
        Err(refusal) => Err(upload.failed(refusal).await),
    }
}

struct Upload<'a> {
    app: &'a App,
    name: TopicName,
    durability: Option<Durability>,
    splitter: NdjsonSplitter,
    /// What is read.
    next: PublishBuilder,
    committing: Option<Committing>,
    answer: StreamAnswer,
    /// All lines up to this one are stored.
    durable_lines: u64,
    permit: Permit,
}

/// A chunk on its way into the store.
struct Committing {
    done: BoxFuture<'static, Result<Published, BrokerError>>,
    /// The number of its last line.
    lines: u64,
}

impl Upload<'_> {
    async fn run(&mut self, mut chunks: Chunks) -> Result<(), Refusal> {
        while let Some(chunk) = self.next_chunk(&mut chunks).await? {
            let held = self.next.bytes() + limits::NDJSON_CHUNK_BYTES + chunk.len();
            if held > self.permit.bytes() {
                self.permit.resize(held).map_err(busy)?;
            }
            self.splitter.push(chunk);
            while let Some(line) = self.splitter.next_line()? {
                self.take(&line).await?;
            }
        }
        while let Some(line) = self.splitter.finish()? {
            self.take(&line).await?;
        }
        self.commit().await?;
        self.finish_commit().await
    }

    /// The next bytes; the chunk that is being committed goes on meanwhile.
    async fn next_chunk(&mut self, chunks: &mut Chunks) -> Result<Option<bytes::Bytes>, Refusal> {
        loop {
            let Some(committing) = &mut self.committing else { return chunks.next().await };
            tokio::select! {
                chunk = chunks.next() => return chunk,
                done = &mut committing.done => {
                    let lines = committing.lines;
                    self.committing = None;
                    self.committed(&done?, lines);
                }
            }
        }
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if wire::is_blank(line) {
            return Ok(());
        }
        let number = self.splitter.line_number();
        let next = &mut self.next;
        wire::parse_line(line, |draft| next.push(&draft).map_err(Problem::from))
            .map_err(|problem| of_line(problem, number))?;
        let full = self.next.bytes() >= limits::NDJSON_CHUNK_BYTES
            || self.next.len() >= limits::MAX_BATCH_RECORDS;
        if full { self.commit().await } else { Ok(()) }
    }

    /// Sends what was read on its way, after the chunk before it.
    async fn commit(&mut self) -> Result<(), Refusal> {
        self.finish_commit().await?;
        if self.next.is_empty() {
            return Ok(());
        }
        // Looked up again, so that a topic that was deleted is noticed.
        let topic = self.app.broker.topic(&self.name)?;
        let next = PublishBuilder::new(&self.app.broker, topic, None);
        let full = std::mem::replace(&mut self.next, next);
        let lines = self.splitter.line_number();
        let mut done = full.commit(self.durability).boxed();
        // Sent on its way now, not when it is next waited for.
        match (&mut done).now_or_never() {
            Some(published) => self.committed(&published?, lines),
            None => self.committing = Some(Committing { done, lines }),
        }
        Ok(())
    }

    async fn finish_commit(&mut self) -> Result<(), Refusal> {
        if let Some(Committing { done, lines }) = self.committing.take() {
            let published = done.await?;
            self.committed(&published, lines);
        }
        Ok(())
    }

    fn committed(&mut self, published: &Published, lines: u64) {
        for part in &published.parts {
            self.answer.add(part.partition, part.epoch, part.base, part.count);
        }
        self.durable_lines = lines;
    }

    /// What the client is told: how far it came, after what was on its way.
    async fn failed(mut self, refusal: Refusal) -> Refusal {
        // A chunk that fails as well is not counted; the first error is told.
        let _also = self.finish_commit().await;
        let (lines, published) = (self.durable_lines, self.answer.published);
        let mut problem = refusal.problem;
        problem.extras.remove("record");
        problem = problem.with("durable_lines", lines).with("published", published);
        let problem = if lines > 0 { problem.happened() } else { problem };
        Refusal { problem, ..refusal }
    }
}

/// A line's place counts from the beginning of the stream, a record's in its
/// chunk would say nothing.
fn of_line(mut problem: Problem, number: u64) -> Problem {
    problem.extras.remove("record");
    problem.with("line", number)
}
