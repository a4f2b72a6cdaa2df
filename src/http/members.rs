//! Handlers of a group's members: join, stay, let go, leave.

use super::{
    App,
    extract::{GroupPath, MemberPath, Pairs},
    forward::Call,
    group_answers,
    problems::problems_of,
    refusal::Refusal,
    shape,
};
use crate::{
    domain::{GroupName, MemberId, Principal},
    engine::{JoinRequest, MemberRef},
    wire::{JoinBody, MemberLease, ReleaseBody, no_query},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

type Answer = Result<Response, Refusal>;

fn member_ref(group: GroupName, member: MemberId) -> MemberRef {
    MemberRef { group, member, principal: Principal::ANYONE, session: None }
}

problems_of!(JoinProblems: GroupNameInvalid, MemberIdInvalid, TopicNameInvalid, TopicUnknown,
    SessionTimeoutInvalid, MemberTaken, MembersFull, GroupsFull, JsonInvalid, JsonTooDeep,
    BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete, ParameterUnknown, ParameterInvalid,
    ContentTypeMissing, ContentTypeUnsupported, EngineRefused, StorageFull, StateFull,
    Unavailable, OutcomeUnknown, OriginRefused);

/// Join a group
///
/// The first member makes the group. The same `member_id` is the same member
/// again, which keeps what it holds. What it is to hold may still be another's:
/// it comes with a later poll.
#[utoipa::path(
    post, path = "/v1/groups/{group}/members", tag = "groups",
    params(("group" = String, Path, description = "Letters, digits, `.`, `_` and `-`.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing")),
    request_body(content = JoinBody, content_type = "application/json"),
    responses((status = 200, description = "The member, and what it holds.", body = MemberLease), JoinProblems)
)]
pub(super) async fn join_group(
    State(app): State<Arc<App>>,
    GroupPath(group): GroupPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let join = JoinBody::parse(call.body())?.join()?;
    let request = JoinRequest {
        group,
        member: join.member,
        principal: Principal::ANYONE,
        topics: join.topics,
        session_timeout: join.session_timeout,
        from: join.from,
        takes_over: false,
    };
    let joined = app.broker.join_group(request).await;
    let answer = joined.map(|lease| shape(StatusCode::OK, &group_answers::lease(&lease)));
    call.or_elsewhere(&app, answer.map_err(Refusal::from)).await
}

problems_of!(RenewProblems: GroupNameInvalid, MemberIdInvalid, GroupUnknown, MemberUnknown,
    MemberExpired, MemberTaken, BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete,
    ParameterUnknown, ParameterInvalid, ContentTypeMissing, ContentTypeUnsupported,
    EngineRefused, Unavailable, OriginRefused);

/// Stay a member
///
/// For a member that works longer than its session timeout between two polls;
/// any other of its requests does the same. Tells what it holds.
#[utoipa::path(
    post, path = "/v1/groups/{group}/members/{member}/heartbeat", tag = "groups",
    params(
        ("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing"),
        ("member" = String, Path, description = "The member.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "worker-7"),
    ),
    responses((status = 200, description = "What the member holds.", body = MemberLease), RenewProblems)
)]
pub(super) async fn renew_member(
    State(app): State<Arc<App>>,
    MemberPath(group, member): MemberPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let renewed = app.broker.renew_member(&member_ref(group, member)).await;
    let answer = renewed.map(|lease| shape(StatusCode::OK, &group_answers::lease(&lease)));
    call.or_elsewhere(&app, answer.map_err(Refusal::from)).await
}

problems_of!(ReleaseProblems: GroupNameInvalid, MemberIdInvalid, TopicNameInvalid, GroupUnknown,
    MemberUnknown, MemberExpired, MemberTaken, JsonInvalid, JsonTooDeep, BodyInvalid,
    BodyTooLarge, BodyTimeout, BodyIncomplete, ParameterUnknown, ParameterInvalid,
    ContentTypeMissing, ContentTypeUnsupported, EngineRefused, StorageFull, StateFull,
    Unavailable, OutcomeUnknown, OriginRefused);

/// Let go of what is being revoked
///
/// Of all of it, or of the `partitions` that are named; others are left alone.
/// Whoever gets them goes on from what was committed.
#[utoipa::path(
    post, path = "/v1/groups/{group}/members/{member}/release", tag = "groups",
    params(
        ("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing"),
        ("member" = String, Path, description = "The member.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "worker-7"),
    ),
    request_body(content = ReleaseBody, content_type = "application/json", description = "All that is being revoked if left out."),
    responses((status = 200, description = "What the member holds.", body = MemberLease), ReleaseProblems)
)]
pub(super) async fn release_partitions(
    State(app): State<Arc<App>>,
    MemberPath(group, member): MemberPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let what = ReleaseBody::parse(call.body())?.partitions()?;
    let member = member_ref(group, member);
    let released = app.broker.release_partitions(&member, what.as_ref()).await;
    let answer = released.map(|lease| shape(StatusCode::OK, &group_answers::lease(&lease)));
    call.or_elsewhere(&app, answer.map_err(Refusal::from)).await
}

problems_of!(LeaveProblems: GroupNameInvalid, MemberIdInvalid, GroupUnknown, MemberUnknown,
    MemberExpired, MemberTaken, BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete,
    ParameterUnknown, ParameterInvalid, ContentTypeMissing, ContentTypeUnsupported,
    EngineRefused, StorageFull, StateFull, Unavailable, OutcomeUnknown, OriginRefused);

/// Leave a group
///
/// What the member held goes to others at once, on from what was committed.
#[utoipa::path(
    delete, path = "/v1/groups/{group}/members/{member}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing"),
        ("member" = String, Path, description = "The member.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "worker-8"),
    ),
    responses((status = 204, description = "It is a member no more."), LeaveProblems)
)]
pub(super) async fn leave_group(
    State(app): State<Arc<App>>,
    MemberPath(group, member): MemberPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Answer {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let left = app.broker.leave_group(&member_ref(group, member)).await;
    let answer = left.map(|()| StatusCode::NO_CONTENT.into_response());
    call.or_elsewhere(&app, answer.map_err(Refusal::from)).await
}
