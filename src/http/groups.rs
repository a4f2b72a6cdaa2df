//! Handlers of groups: list, describe, delete; and of what they have committed.

use super::{
    App,
    extract::{GroupPath, Pairs},
    forward::Call,
    group_answers,
    problems::problems_of,
    refusal::Refusal,
    shape,
};
use crate::{
    broker::ResetTo,
    domain::Principal,
    engine::{Committer, MemberRef},
    wire::{
        CommitBody, CommitList, GroupDetails, GroupListQuery, GroupPage, ResetAnswer, ResetBody,
        ResetPlace, no_query,
    },
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

type Answer = Result<Response, Refusal>;

problems_of!(ListProblems: GroupNameInvalid, ParameterInvalid, ParameterUnknown, Unavailable);

/// List groups
///
/// In the order of their names, a page at a time.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups",
    params(
        ("prefix" = Option<String>, Query, description = "Only names that begin so.", pattern = "^[a-zA-Z0-9._-]{0,248}$", example = "billing"),
        ("after" = Option<String>, Query, description = "Only names after this one: `next` of the page before.", pattern = "^[a-zA-Z0-9._-]{1,249}$"),
        ("limit" = Option<u32>, Query, description = "At most so many; 100 if left out.", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "A page of groups.", body = GroupPage), ListProblems)
)]
pub(super) async fn list_groups(State(app): State<Arc<App>>, Pairs(pairs): Pairs) -> Answer {
    let query = GroupListQuery::parse(pairs)?;
    let limit = query.limit as usize;
    let (groups, more) = app.broker.list_groups(&query.prefix, query.after.as_ref(), limit).await?;
    let next = groups.last().filter(|_| more).map(|group| group.group.to_string());
    let groups = groups.iter().map(group_answers::summary).collect();
    Ok(shape(StatusCode::OK, &GroupPage { groups, next }))
}

problems_of!(GetProblems: GroupNameInvalid, GroupUnknown, ParameterUnknown, ParameterInvalid,
    Unavailable);

/// Describe a group
///
/// Its members and what each holds, and for each partition what was committed
/// and how much is still to be processed.
#[utoipa::path(
    get, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing")),
    responses((status = 200, description = "The group.", body = GroupDetails), GetProblems)
)]
pub(super) async fn get_group(
    State(app): State<Arc<App>>,
    GroupPath(group): GroupPath,
    Pairs(pairs): Pairs,
) -> Answer {
    no_query(pairs)?;
    let view = app.broker.describe_group(&group).await?;
    Ok(shape(StatusCode::OK, &group_answers::details(&view)))
}

problems_of!(DeleteProblems: GroupNameInvalid, GroupUnknown, GroupNotEmpty, ParameterUnknown,
    ParameterInvalid, EngineRefused, StorageFull, StateFull, Unavailable, OutcomeUnknown,
    OriginRefused);

/// Delete a group
///
/// And all that it has committed. Only while it has no members.
#[utoipa::path(
    delete, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "outdated")),
    responses((status = 204, description = "The group is gone."), DeleteProblems)
)]
pub(super) async fn delete_group(
    State(app): State<Arc<App>>,
    GroupPath(group): GroupPath,
    Pairs(pairs): Pairs,
) -> Answer {
    no_query(pairs)?;
    app.broker.delete_group(&group).await?;
    tracing::info!(%group, "group deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

problems_of!(CommitProblems: GroupNameInvalid, MemberIdInvalid, TopicNameInvalid, GroupUnknown,
    MemberUnknown, MemberExpired, MemberTaken, Fenced, GroupNotEmpty, GroupsFull, TopicUnknown,
    PartitionUnknown, CommitInvalid, CommitOutOfRange, JsonInvalid, JsonTooDeep, BodyInvalid,
    BodyTooLarge, BodyTimeout, BodyIncomplete, ParameterUnknown, ParameterInvalid,
    ContentTypeMissing, ContentTypeUnsupported, EngineRefused, StorageFull, StateFull,
    Unavailable, OutcomeUnknown, OriginRefused);

/// Commit offsets
///
/// All of them, or none; durable when this answers. A member commits what it
/// holds, or is still to release, under a generation no older than the one in
/// which it got it; else `fenced`. Without a member only while the group is
/// empty. A commit never goes back: one that lies behind changes nothing, and
/// the answer tells where the group stands.
#[utoipa::path(
    post, path = "/v1/groups/{group}/commits", tag = "groups",
    params(("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "reports")),
    request_body(content = CommitBody, content_type = "application/json"),
    responses((status = 200, description = "Where the group stands in these partitions.", body = CommitList), CommitProblems)
)]
pub(super) async fn commit_offsets(
    State(app): State<Arc<App>>,
    GroupPath(group): GroupPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let commits = CommitBody::parse(call.body())?.commits()?;
    let by = match commits.by {
        None => Committer::Outsider,
        Some((member, generation)) => {
            let (group, principal) = (group.clone(), Principal::ANYONE);
            Committer::Member(MemberRef { group, member, principal, session: None }, generation)
        }
    };
    let stands = app.broker.commit_offsets(&group, by, commits.drafts).await;
    let answer = stands.map(|stands| shape(StatusCode::OK, &group_answers::commits(&stands)));
    call.or_elsewhere(&app, answer.map_err(Refusal::from)).await
}

/// Where a group stands
///
/// All that it has committed, by topic and partition.
#[utoipa::path(
    get, path = "/v1/groups/{group}/commits", tag = "groups",
    params(("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing")),
    responses((status = 200, description = "What it has committed.", body = CommitList), GetProblems)
)]
pub(super) async fn get_commits(
    State(app): State<Arc<App>>,
    GroupPath(group): GroupPath,
    Pairs(pairs): Pairs,
) -> Answer {
    no_query(pairs)?;
    let commits = app.broker.group_commits(&group).await?;
    Ok(shape(StatusCode::OK, &group_answers::commits(&commits)))
}

problems_of!(ResetProblems: GroupNameInvalid, TopicNameInvalid, GroupUnknown, GroupNotEmpty,
    GroupsFull, TopicUnknown, PartitionUnknown, CommitInvalid, CommitOutOfRange,
    TimestampInvalid, JsonInvalid, JsonTooDeep, BodyInvalid, BodyTooLarge, BodyTimeout,
    BodyIncomplete, ParameterUnknown, ParameterInvalid, ContentTypeMissing,
    ContentTypeUnsupported, EngineRefused, StorageFull, StateFull, StorageDamaged, Unavailable,
    OutcomeUnknown, OriginRefused);

/// Move a group
///
/// To the earliest record, the latest, a time or given offsets, also back. Only
/// while it has no members. `dry_run` tells what it would do, and does nothing.
#[utoipa::path(
    post, path = "/v1/groups/{group}/commits/reset", tag = "groups",
    params(("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "reports")),
    request_body(content = ResetBody, content_type = "application/json"),
    responses((status = 200, description = "What was moved, or would be.", body = ResetAnswer), ResetProblems)
)]
pub(super) async fn reset_commits(
    State(app): State<Arc<App>>,
    GroupPath(group): GroupPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let body = ResetBody::parse(call.body())?;
    let to = match body.place()? {
        ResetPlace::Earliest(topics) => ResetTo::Earliest(topics),
        ResetPlace::Latest(topics) => ResetTo::Latest(topics),
        ResetPlace::Time(time, topics) => ResetTo::Time(time, topics),
        ResetPlace::Offsets(drafts) => ResetTo::Offsets(drafts),
    };
    let moves = app.broker.reset_group(&group, to, body.dry_run).await?;
    Ok(shape(StatusCode::OK, &group_answers::reset(&moves, body.dry_run)))
}
