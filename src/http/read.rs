//! Reading over HTTP: a page, which may wait for a first record. Streams are
//! in `stream`.

use super::{
    App,
    extract::{Pairs, TopicPath, accept, text_header},
    json,
    page::{self, Page},
    problems::problems_of,
    refusal::Refusal,
    stream,
    stream_form::{Events, Lines},
};
use crate::{
    broker::{ReadFrom, ReadRequest, Reader},
    domain::TopicName,
    engine::ReadBudget,
    runtime::Phase,
    wire::{ErrorCode, ReadForm, ReadPage, ReadQuery, ReadRoute, ReadStart},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode},
    response::Response,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

problems_of!(ReadProblems: TopicNameInvalid, TopicUnknown, PartitionUnknown, OffsetOutOfRange,
    CursorDamaged, CursorForeign, CursorTopicGone, TimestampInvalid, ParameterUnknown,
    ParameterInvalid, ParametersConflict, NotAcceptable, Unavailable, StorageDamaged);

/// The forms of `as`.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the parameter in the document; `wire` parses it")]
pub(super) enum ValueForm {
    /// As published.
    Auto,
    /// Whatever is JSON as `value`.
    Json,
    /// Whatever is UTF-8 as `text`.
    Text,
    /// The bytes, as `value_base64`.
    Base64,
}

/// Read the records of a topic
///
/// `Accept: application/json` (the default) answers one page and the cursor for the next;
/// with `wait_ms` it waits for a first record. `application/x-ndjson` streams one record a
/// line up to the tail, or on and on with `follow=true`; lines with an `op` are control
/// lines, and a stream without a final `end` or `error` was cut. `text/event-stream` sends
/// server-sent events on and on: `hello`, `position`, `records` (one partition's batch),
/// `lost` and, before every end by the gateway, `closing`; an event's `id` is the cursor
/// after it.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/records", tag = "reading",
    params(
        ("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes"),
        ("from" = Option<String>, Query, description = "`earliest` (the default), `latest`, `last:N` (of each partition), `offset:N` (with one `partition`) or `time:<RFC 3339 or ms>`.", pattern = "^(earliest|latest|last:[1-9][0-9]{0,18}|offset:[0-9]{1,19}|time:.+)$", example = "last:10"),
        ("cursor" = Option<String>, Query, description = "Where an earlier read ended; instead of `from`."),
        ("partition" = Option<Vec<u32>>, Query, description = "Only these partitions; may repeat."),
        ("key" = Option<Vec<String>>, Query, description = "Only records with one of these keys, each given as text; may repeat, up to 100 times. A page then looks through a bounded part of the log: go on by its cursor while `at_tail` is false."),
        ("limit" = Option<u64>, Query, description = "Records: of a page 1 to 10000, 500 if left out; of NDJSON any number.", minimum = 1),
        ("max_bytes" = Option<u32>, Query, description = "Bytes of records of a page, 1 MiB if left out. One record comes in any case.", minimum = 1, maximum = 16_777_216),
        ("wait_ms" = Option<u32>, Query, description = "How long a page waits for a first record.", maximum = 55000),
        ("follow" = Option<bool>, Query, description = "Whether NDJSON goes on at the tail; events always do."),
        ("Last-Event-ID" = Option<String>, Header, description = "Of a stream of events: the `id` of the last event that was taken, which browsers send by themselves. It beats `cursor`, which then beats `from`."),
        ("as" = Option<ValueForm>, Query, description = "The form of values; `auto`, as published, if left out."),
    ),
    responses(
        (status = 200, description = "Records.", content(
            (ReadPage = "application/json"),
            (String = "text/event-stream", example = "id: AQEGb3JkZXJz\nevent: records\ndata: {\"topic\":\"orders\",\"partition\":0,\"epoch\":0,\"next\":6,\"records\":[{\"partition\":0,\"offset\":5,\"timestamp\":1700000000000,\"headers\":[],\"value\":{\"n\":1}}]}\n\n"),
            (String = "application/x-ndjson", example = "{\"partition\":0,\"offset\":5,\"timestamp\":1700000000000,\"headers\":[],\"value\":{\"n\":1}}\n{\"op\":\"end\",\"cursor\":\"AQEGb3JkZXJz\",\"records\":1}\n"),
        )),
        ReadProblems,
    )
)]
pub(super) async fn read_topic(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Result<Response, Refusal> {
    let form = ReadForm::of(accept(request.headers()).as_deref())?;
    let last = last_event(request.headers(), form)?;
    let mut query = ReadQuery::parse(pairs, ReadRoute::OneTopic, form, last)?;
    query.topics = vec![name];
    answer(app, query, form, false).await
}

/// Read the records of several topics
///
/// As one topic is read; each record says its `topic`.
#[utoipa::path(
    get, path = "/v1/records", tag = "reading",
    params(
        ("topic" = Vec<String>, Query, description = "The topics, 1 to 100, each once.", example = json!(["earthquakes"])),
        ("from" = Option<String>, Query, description = "`earliest` (the default), `latest`, `last:N` (of each partition) or `time:<RFC 3339 or ms>`.", pattern = "^(earliest|latest|last:[1-9][0-9]{0,18}|offset:[0-9]{1,19}|time:.+)$", example = "last:10"),
        ("cursor" = Option<String>, Query, description = "Where an earlier read of the same topics ended; instead of `from`."),
        ("partition" = Option<Vec<u32>>, Query, description = "Only these partitions of each; may repeat."),
        ("key" = Option<Vec<String>>, Query, description = "Only records with one of these keys, each given as text; may repeat, up to 100 times. A page then looks through a bounded part of the log: go on by its cursor while `at_tail` is false."),
        ("limit" = Option<u64>, Query, description = "Records: of a page 1 to 10000, 500 if left out; of NDJSON any number.", minimum = 1),
        ("max_bytes" = Option<u32>, Query, description = "Bytes of records of a page, 1 MiB if left out. One record comes in any case.", minimum = 1, maximum = 16_777_216),
        ("wait_ms" = Option<u32>, Query, description = "How long a page waits for a first record.", maximum = 55000),
        ("follow" = Option<bool>, Query, description = "Whether NDJSON goes on at the tail; events always do."),
        ("Last-Event-ID" = Option<String>, Header, description = "Of a stream of events: the `id` of the last event that was taken, which browsers send by themselves. It beats `cursor`, which then beats `from`."),
        ("as" = Option<ValueForm>, Query, description = "The form of values; `auto`, as published, if left out."),
    ),
    responses(
        (status = 200, description = "Records.", content(
            (ReadPage = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/event-stream"),
        )),
        ReadProblems,
    )
)]
pub(super) async fn read_topics(
    State(app): State<Arc<App>>,
    Pairs(pairs): Pairs,
    request: Request,
) -> Result<Response, Refusal> {
    let form = ReadForm::of(accept(request.headers()).as_deref())?;
    let last = last_event(request.headers(), form)?;
    let query = ReadQuery::parse(pairs, ReadRoute::ManyTopics, form, last)?;
    answer(app, query, form, true).await
}

/// Where a browser says that it was, of a stream of events.
fn last_event(headers: &HeaderMap, form: ReadForm) -> Result<Option<&str>, Refusal> {
    match form {
        ReadForm::Events => Ok(text_header(headers, LAST_EVENT_ID, ErrorCode::CursorDamaged)?),
        ReadForm::Page | ReadForm::Stream => Ok(None),
    }
}

async fn answer(
    app: Arc<App>,
    query: ReadQuery,
    form: ReadForm,
    named: bool,
) -> Result<Response, Refusal> {
    let reader = open(&app, &query).await?;
    match form {
        ReadForm::Stream => Ok(stream::stream(&app, reader, &query, Lines::new(query.as_, named))),
        ReadForm::Events => Ok(stream::stream(&app, reader, &query, Events::new(query.as_))),
        ReadForm::Page => page(&app, reader, &query, named).await,
    }
}

async fn open(app: &App, query: &ReadQuery) -> Result<Reader, Refusal> {
    let topics: Vec<TopicName> = query.topics.clone();
    let partitions = query.partitions.clone();
    let from = match &query.start {
        ReadStart::At(start) => ReadFrom::Start(*start),
        ReadStart::Cursor(cursor) => ReadFrom::Cursor(cursor.clone()),
    };
    let keys = query.keys.clone();
    Ok(Reader::open(&app.broker, ReadRequest { topics, partitions, from, keys }).await?)
}

/// A page, with whatever is there once there is a first record.
async fn page(
    app: &App,
    mut reader: Reader,
    query: &ReadQuery,
    named: bool,
) -> Result<Response, Refusal> {
    let records = u32::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
    let budget = ReadBudget { records, bytes: query.max_bytes as usize };
    let mut page = Page::new(query.as_, named, budget);
    let deadline = Instant::now() + Duration::from_millis(query.wait_ms.into());
    let room = loop {
        let room = page::room(app, budget.bytes).await?;
        page.fill(&mut reader).await?;
        if page.has_something() || !wait(app, &mut reader, deadline).await {
            break room;
        }
    };
    let page = page.finish(&reader.cursor().encode());
    Ok(json(StatusCode::OK, page::held(page, room)))
}

/// Waits for a first record. `false` when the time is over, or the gateway
/// stops: the page is then empty, and its cursor goes on elsewhere.
async fn wait(app: &App, reader: &mut Reader, deadline: Instant) -> bool {
    let draining = app.shutdown.token(Phase::Draining);
    tokio::select! {
        () = reader.wait() => true,
        () = tokio::time::sleep_until(deadline) => false,
        () = draining.cancelled() => false,
    }
}
