//! Handlers of topics: make, list, describe, change, delete, trim, and offsets
//! by time.

use super::{
    App, body,
    extract::{Pairs, PartitionPath, TopicPath, text_header},
    problems::problems_of,
    refusal::Refusal,
    shape,
};
use crate::{
    broker::{Ensured, TrimTo},
    engine::Topic,
    wire::{
        ErrorCode, OffsetAnswer, OffsetsQuery, PartitionDescription, Problem, TopicBody,
        TopicDescription, TopicListQuery, TopicPage, TopicPatchBody, TopicSummary, Trim,
        TrimAnswer, TrimBody, TrimmedPartition, no_query, require_json,
    },
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::sync::Arc;

type Answer = Result<Response, Refusal>;

/// The body of a call that takes JSON. Without a body no type is asked for.
async fn json_body(app: &App, request: Request) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let bytes = body::small(app, body).await?;
    if !bytes.is_empty() {
        require_json(content_type(&parts.headers)?)?;
    }
    Ok(bytes)
}

fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    text_header(headers, header::CONTENT_TYPE, ErrorCode::ContentTypeUnsupported)
}

fn summary(topic: &Topic) -> TopicSummary {
    TopicSummary::new(&topic.name, &topic.config, topic.created, topic.incarnation)
}

problems_of!(PutProblems: TopicNameInvalid, TopicConfigInvalid, JsonInvalid, JsonTooDeep,
    BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete, ParameterUnknown, ParameterInvalid,
    ContentTypeMissing, ContentTypeUnsupported, TopicDiffers, TopicExists, TopicsFull,
    PartitionsFull, StorageFull, Unavailable, OutcomeUnknown, OriginRefused);

/// Make a topic, or make sure of it
///
/// Creates the topic if there is none of this name; else compares. The number of
/// partitions and `keyed` are fixed for a topic's life, because keys must stay
/// where they are. An empty body asks for the defaults.
#[utoipa::path(
    put, path = "/v1/topics/{topic}", tag = "topics",
    params(("topic" = String, Path, description = "Letters, digits, `.`, `_` and `-`.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes")),
    request_body(content = TopicBody, content_type = "application/json", description = "The settings; what is left out takes its default."),
    responses(
        (status = 201, description = "The topic was made.", body = TopicSummary, headers(("location" = String, description = "Where the topic is."))),
        (status = 200, description = "The topic was there, as asked for.", body = TopicSummary),
        PutProblems,
    )
)]
pub(super) async fn put_topic(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let config = TopicBody::parse(&json_body(&app, request).await?)?.config()?;
    match app.broker.ensure_topic(&name, &config).await? {
        Ensured::Created(topic) => {
            tracing::info!(topic = %name, "topic made");
            let mut response = shape(StatusCode::CREATED, &summary(&topic));
            if let Ok(location) = HeaderValue::try_from(format!("/v1/topics/{name}")) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
        Ensured::Same(topic) => Ok(shape(StatusCode::OK, &summary(&topic))),
        Ensured::Differs(differences) => {
            Err(Problem::topic_differs(name.as_str(), &differences).into())
        }
    }
}

problems_of!(ListProblems: TopicNameInvalid, ParameterInvalid, ParameterUnknown);

/// List topics
///
/// In the order of their names, a page at a time.
#[utoipa::path(
    get, path = "/v1/topics", tag = "topics",
    params(
        ("prefix" = Option<String>, Query, description = "Only names that begin so.", pattern = "^[a-zA-Z0-9._-]{0,248}$", example = "orders."),
        ("after" = Option<String>, Query, description = "Only names after this one: `next` of the page before.", pattern = "^[a-zA-Z0-9._-]{1,249}$"),
        ("limit" = Option<u32>, Query, description = "At most so many; 100 if left out.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "A page of topics.", body = TopicPage), ListProblems)
)]
pub(super) async fn list_topics(State(app): State<Arc<App>>, Pairs(pairs): Pairs) -> Answer {
    let query = TopicListQuery::parse(pairs)?;
    let limit = query.limit as usize;
    let (topics, more) = app.broker.list_topics(&query.prefix, query.after.as_ref(), limit);
    let next = topics.last().filter(|_| more).map(|topic| topic.name.to_string());
    let topics = topics.iter().map(|topic| summary(topic)).collect();
    Ok(shape(StatusCode::OK, &TopicPage { topics, next }))
}

problems_of!(GetProblems: TopicNameInvalid, TopicUnknown, ParameterUnknown, ParameterInvalid);

/// Describe a topic
///
/// Its settings, and where each partition starts and ends.
#[utoipa::path(
    get, path = "/v1/topics/{topic}", tag = "topics",
    params(("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes")),
    responses((status = 200, description = "The topic.", body = TopicDescription), GetProblems)
)]
pub(super) async fn get_topic(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
) -> Answer {
    no_query(pairs)?;
    let view = app.broker.describe_topic(&name).await?;
    let partitions = view.partitions.iter();
    let description = TopicDescription {
        topic: summary(&view.topic),
        partition_list: partitions.map(|(p, v)| PartitionDescription::new(*p, v)).collect(),
    };
    Ok(shape(StatusCode::OK, &description))
}

problems_of!(PatchProblems: TopicNameInvalid, TopicUnknown, TopicConfigInvalid, JsonInvalid,
    JsonTooDeep, BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete, ParameterUnknown,
    ParameterInvalid, ContentTypeMissing, ContentTypeUnsupported, StorageFull, Unavailable,
    OutcomeUnknown, OriginRefused);

/// Change a topic's limits
///
/// What is left out stays as it is; `null` takes a bound away.
#[utoipa::path(
    patch, path = "/v1/topics/{topic}", tag = "topics",
    params(("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes")),
    request_body(content = TopicPatchBody, content_type = "application/json"),
    responses((status = 200, description = "The topic as it is now.", body = TopicSummary), PatchProblems)
)]
pub(super) async fn patch_topic(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let patch = TopicPatchBody::parse(&json_body(&app, request).await?)?.patch()?;
    let topic = app.broker.alter_topic(&name, &patch).await?;
    tracing::info!(topic = %name, "topic changed");
    Ok(shape(StatusCode::OK, &summary(&topic)))
}

problems_of!(DeleteProblems: TopicNameInvalid, TopicUnknown, ParameterUnknown, ParameterInvalid,
    StorageFull, Unavailable, OutcomeUnknown, OriginRefused);

/// Delete a topic
///
/// With all its records, for good. It is unknown when this answers; its disk is
/// given back behind.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}", tag = "topics",
    params(("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "outdated")),
    responses((status = 204, description = "The topic is gone."), DeleteProblems)
)]
pub(super) async fn delete_topic(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
) -> Answer {
    no_query(pairs)?;
    app.broker.delete_topic(&name).await?;
    tracing::info!(topic = %name, "topic deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

problems_of!(TrimProblems: TopicNameInvalid, TopicUnknown, PartitionUnknown, OffsetOutOfRange,
    TimestampInvalid, JsonInvalid, JsonTooDeep, BodyInvalid, BodyTooLarge, BodyTimeout,
    BodyIncomplete, ParameterUnknown, ParameterInvalid, ContentTypeMissing,
    ContentTypeUnsupported, StorageFull, Unavailable, OutcomeUnknown, OriginRefused);

/// Remove the oldest records
///
/// Moves the start of one partition to an offset, or of one or all partitions to
/// the first record that is not older than a time. Readers that would have come
/// to what is gone are told.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/trim", tag = "topics",
    params(("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes")),
    request_body(content = TrimBody, content_type = "application/json"),
    responses((status = 200, description = "Where the partitions start now.", body = TrimAnswer), TrimProblems)
)]
pub(super) async fn trim_topic(
    State(app): State<Arc<App>>,
    TopicPath(name): TopicPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let trim = TrimBody::parse(&json_body(&app, request).await?)?.trim()?;
    let (partition, to) = match trim {
        Trim::Offset(partition, offset) => (Some(partition), TrimTo::Offset(offset)),
        Trim::Time(partition, time) => (partition, TrimTo::Time(time)),
    };
    let starts = app.broker.trim(&name, partition, to).await?;
    tracing::info!(topic = %name, "topic trimmed");
    let trimmed = |(p, start): (crate::domain::PartitionId, crate::domain::Offset)| {
        TrimmedPartition { partition: p.0, start: start.0 }
    };
    let partitions = starts.into_iter().map(trimmed).collect();
    Ok(shape(StatusCode::OK, &TrimAnswer { partitions }))
}

problems_of!(OffsetProblems: TopicNameInvalid, TopicUnknown, PartitionUnknown, ParameterUnknown,
    ParameterInvalid, TimestampInvalid, Unavailable, StorageDamaged);

/// Find the offset of a time
///
/// The first offset whose record has a timestamp at or after `time`; the tail if
/// there is none.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/partitions/{partition}/offsets", tag = "reading",
    params(
        ("topic" = String, Path, description = "The topic.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "earthquakes"),
        ("partition" = u32, Path, description = "The partition, from 0.", maximum = 1023, example = 0),
        ("time" = String, Query, description = "RFC 3339 with an offset, or milliseconds since 1970.", pattern = "^([0-9]{1,15}|[0-9]{4}-[0-9]{2}-[0-9]{2}T.+)$", example = "2026-01-01T00:00:00Z"),
    ),
    responses((status = 200, description = "The offset.", body = OffsetAnswer), OffsetProblems)
)]
pub(super) async fn find_offset(
    State(app): State<Arc<App>>,
    PartitionPath(name, partition): PartitionPath,
    Pairs(pairs): Pairs,
) -> Answer {
    let OffsetsQuery { time } = OffsetsQuery::parse(pairs)?;
    let (offset, view) = app.broker.offset_at(&name, partition, time).await?;
    let answer = OffsetAnswer {
        partition: partition.0,
        time: time.millis(),
        offset: offset.0,
        tail: view.tail.0.max(offset.0),
    };
    Ok(shape(StatusCode::OK, &answer))
}
