//! What handlers take out of a request. Whatever is wrong with it is refused
//! as a problem, never as plain text.

use super::refusal::Refusal;
use crate::{
    domain::{GroupName, MemberId, PartitionId, TopicName},
    wire::{ErrorCode, Problem, path_group, path_member, path_partition, path_topic},
};
use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::{HeaderMap, HeaderName, request::Parts},
};

/// `{topic}` of the path.
pub(super) struct TopicPath(pub TopicName);

/// `{topic}` and `{partition}` of the path.
pub(super) struct PartitionPath(pub TopicName, pub PartitionId);

/// `{group}` of the path.
pub(super) struct GroupPath(pub GroupName);

/// `{group}` and `{member}` of the path.
pub(super) struct MemberPath(pub GroupName, pub MemberId);

/// `{code}` of the path.
pub(super) struct CodePath(pub String);

/// The decoded query.
pub(super) struct Pairs(pub Vec<(String, String)>);

async fn params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Refusal> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    params.map_err(|error| Refusal::new(ErrorCode::ParameterInvalid, error.to_string()))
}

fn named<'a>(params: &'a RawPathParams, name: &str) -> &'a str {
    params.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
}

impl<S: Send + Sync> FromRequestParts<S> for TopicPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = params(parts, state).await?;
        Ok(TopicPath(path_topic(named(&params, "topic"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PartitionPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = params(parts, state).await?;
        let topic = path_topic(named(&params, "topic"))?;
        Ok(PartitionPath(topic, path_partition(named(&params, "partition"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for GroupPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = params(parts, state).await?;
        Ok(GroupPath(path_group(named(&params, "group"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = params(parts, state).await?;
        let group = path_group(named(&params, "group"))?;
        Ok(MemberPath(group, path_member(named(&params, "member"))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CodePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = params(parts, state).await?;
        Ok(CodePath(named(&params, "code").to_owned()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        if parts.uri.query().is_none_or(str::is_empty) {
            return Ok(Pairs(vec![]));
        }
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(pairs)) => Ok(Pairs(pairs)),
            Err(error) => Err(Refusal::new(ErrorCode::ParameterInvalid, error.to_string())),
        }
    }
}

/// A header as text; `None` if it is not there. One that comes twice, or is
/// not text, is refused with `code`.
pub(super) fn text_header(
    headers: &HeaderMap,
    name: HeaderName,
    code: ErrorCode,
) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all(&name).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::new(code, format!("header '{name}' comes more than once")));
    }
    let text = first.to_str();
    text.map(Some).map_err(|_| Problem::new(code, format!("header '{name}' is not plain ASCII")))
}

/// `Accept` as one list; what is not text is passed over.
pub(super) fn accept(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(axum::http::header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    all.map(str::to_owned).reduce(|all, next| format!("{all}, {next}"))
}
