//! Publishing over HTTP: a body of any of the bounded forms becomes one atomic
//! publish. Streams are in `upload`.

use super::{
    App, body,
    extract::{Pairs, TopicPath, text_header},
    json,
    problems::problems_of,
    refusal::Refusal,
    upload,
};
use crate::{
    broker::{PublishBuilder, Published, RequestDigest},
    domain::{IdempotencyKey, RecordDraft},
    engine::{BodyDigest, Topic},
    runtime,
    wire::{
        self, BodyKind, ErrorCode, Problem, PublishAnswer, PublishBody, PublishQuery,
        PublishedRecord, StreamAnswer,
    },
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use std::sync::Arc;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CE_SPECVERSION: &str = "ce-specversion";
/// Beyond this a body is parsed beside the asynchronous tasks: it would hold
/// one up for half a millisecond and more.
const PARSE_ASIDE_BYTES: usize = 256 << 10;

problems_of!(PublishProblems: TopicNameInvalid, TopicUnknown, PartitionUnknown, JsonInvalid,
    JsonTooDeep, BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete, RecordInvalid,
    RecordTooLarge, BatchTooLarge, BatchEmpty, HeaderInvalid, KeyedTopicPartition,
    TimestampInvalid, CloudeventInvalid, ParameterUnknown, ParameterInvalid, ParametersConflict,
    ContentTypeMissing, ContentTypeUnsupported, IdempotencyKeyInvalid, IdempotencyConflict,
    IdempotencyInProgress, IdempotencyFull, IdempotencyNotForStream, StorageFull, Unavailable,
    OutcomeUnknown, OriginRefused);

/// What a publish is answered.
#[derive(utoipa::ToSchema)]
#[schema(as = PublishOrStreamAnswer)]
#[serde(untagged)]
#[expect(dead_code, reason = "stands for both answers in the document")]
enum Answered {
    /// To a bounded publish.
    Records(PublishAnswer),
    /// To a stream.
    Stream(StreamAnswer),
}

/// Publish records
///
/// By the content type of the body:
/// - `application/json`: `{"records": [...]}`, stored as a whole or not at all, over all
///   partitions.
/// - `application/x-ndjson`: a stream of records of any length, one a line. Chunks of about
///   448 KiB are stored in turn, and the answer comes at the end; an error says in
///   `durable_lines` how many lines are stored.
/// - `application/cloudevents+json`, `application/cloudevents-batch+json`, or `ce-` headers
///   with any type: CloudEvents 1.0.
/// - any other type: the body is one value. `key`, `partition` and `timestamp` come in the query.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/records", tag = "publishing",
    params(
        ("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes"),
        ("durability" = Option<wire::DurabilityName>, Query, description = "When to answer; as the topic says if left out. When readers see the records follows the topic."),
        ("key" = Option<String>, Query, description = "The key of a body that is one value."),
        ("partition" = Option<u32>, Query, description = "The partition of a body that is one value.", maximum = 1023),
        ("timestamp" = Option<String>, Query, description = "The time of a body that is one value: RFC 3339, or milliseconds since 1970."),
        ("idempotency-key" = Option<String>, Header, description = "A name for this request: a repeat answers what the first did, and stores nothing. Not for streams.", max_length = 255),
    ),
    request_body(content(
        (PublishBody = "application/json"),
        (String = "application/x-ndjson", example = "{\"key\":\"a\",\"value\":{\"n\":1}}\n{\"text\":\"plain\"}\n"),
        (serde_json::Value = "application/cloudevents+json", example = json!({"specversion": "1.0", "id": "17", "source": "/shop", "type": "order.placed", "data": {"total": 12}})),
        (serde_json::Value = "application/cloudevents-batch+json", example = json!([{"specversion": "1.0", "id": "17", "source": "/shop", "type": "order.placed", "data": {"total": 12}}])),
        (String = "text/plain", example = "one value"),
    )),
    responses(
        (status = 200, description = "The records are stored, as durably as asked for. A stream is answered by ranges.", body = Answered),
        PublishProblems,
    )
)]
pub(super) async fn publish(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let content_type =
        text_header(&headers, header::CONTENT_TYPE, ErrorCode::ContentTypeUnsupported)?;
    let kind = BodyKind::of(content_type, headers.contains_key(CE_SPECVERSION))?;
    let query = PublishQuery::parse(pairs, kind == BodyKind::Raw)?;
    let key = idempotency_key(&headers)?;
    let topic = app.broker.topic(&name)?;
    if kind == BodyKind::Ndjson {
        if key.is_some() {
            let detail = "a stream is stored in parts: an Idempotency-Key cannot stand for it";
            return Err(Refusal::new(ErrorCode::IdempotencyNotForStream, detail));
        }
        return upload::upload(&app, topic, query.durability, body).await;
    }
    let (bytes, permit) = body::admitted(&app, body).await?;
    let durability = query.durability;
    let incoming = Incoming { kind, headers, query, bytes };
    let publish = incoming.builder(&app, topic, key).await?;
    let published = publish.commit(durability).await?;
    drop(permit);
    Ok(answer(&published))
}

fn answer(published: &Published) -> Response {
    let mut out = Vec::with_capacity(64 + 48 * published.parts.len());
    let records = published.records().map(|(partition, offset, epoch)| PublishedRecord {
        partition,
        offset,
        epoch,
    });
    wire::publish_answer_into(&mut out, records, published.repeated);
    json(StatusCode::OK, out)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let text = text_header(headers, IDEMPOTENCY_KEY, ErrorCode::IdempotencyKeyInvalid)?;
    let key = text.map(IdempotencyKey::new).transpose();
    key.map_err(|error| Problem::idempotency_key(&error))
}

/// A bounded publish as it came in.
struct Incoming {
    kind: BodyKind,
    headers: HeaderMap,
    query: PublishQuery,
    bytes: Bytes,
}

impl Incoming {
    /// The publish with all its records; a large body is parsed aside.
    async fn builder(
        self,
        app: &App,
        topic: Arc<Topic>,
        key: Option<IdempotencyKey>,
    ) -> Result<PublishBuilder, Refusal> {
        let idempotency = key.map(|key| app.broker.idempotency(key, self.digest()));
        let mut publish = PublishBuilder::new(&app.broker, topic, idempotency);
        if self.bytes.len() <= PARSE_ASIDE_BYTES {
            self.fill(&mut publish)?;
            return Ok(publish);
        }
        runtime::blocking(move || self.fill(&mut publish).map(|()| publish))
            .await?
            .map_err(Into::into)
    }

    fn fill(&self, publish: &mut PublishBuilder) -> Result<(), Problem> {
        let mut take = |draft: &RecordDraft<'_>| publish.push(draft).map_err(Problem::from);
        match self.kind {
            BodyKind::Json => {
                wire::for_each_record(&self.bytes, |_, draft| take(&draft)).map(|_| ())
            }
            BodyKind::CloudEvents => wire::events(&self.bytes, |_, draft| take(&draft)).map(|_| ()),
            BodyKind::CloudEvent => wire::event(&self.bytes, |draft| take(&draft)),
            BodyKind::BinaryCloudEvent => {
                let headers = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
                let content_type = self.content_type();
                wire::binary_event(headers, content_type, &self.bytes, |draft| take(&draft))
            }
            // A stream does not come here; were it to, it would be one value.
            BodyKind::Raw | BodyKind::Ndjson => {
                let content_type = self.content_type().unwrap_or_default();
                take(&wire::raw_record(&self.bytes, content_type, &self.query)?)
            }
        }
    }

    fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    }

    /// Of all that makes the records, so that another request is not taken for
    /// a repeat.
    fn digest(&self) -> BodyDigest {
        if self.kind == BodyKind::Json {
            return RequestDigest::of_json(&[&self.bytes]);
        }
        let mut digest = RequestDigest::default();
        digest.add(self.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes));
        let query = &self.query;
        digest.add(format!("{:?} {:?} {:?}", query.key, query.partition, query.timestamp));
        if self.kind == BodyKind::BinaryCloudEvent {
            let mut events: Vec<_> = self.headers.iter().collect();
            events.retain(|(name, _)| name.as_str().starts_with("ce-"));
            events.sort_by_key(|(name, _)| name.as_str());
            for (name, value) in events {
                digest.add(name.as_str());
                digest.add(value.as_bytes());
            }
        }
        digest.add(&self.bytes);
        digest.finish()
    }
}
