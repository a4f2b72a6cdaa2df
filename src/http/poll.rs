//! The poll of a group's member: a page of what it holds, which may wait for a
//! first record, or for the member to hold something else.

use super::{
    App,
    extract::{MemberPath, Pairs},
    forward::Call,
    group_answers, json,
    page::{self, Page},
    problems::problems_of,
    refusal::Refusal,
};
use crate::{
    broker::{BrokerError, GroupPoll},
    domain::Principal,
    engine::{MemberRef, ReadBudget},
    runtime::Phase,
    wire::{Poll, PollBody, PollPage, PollTold, no_query, partitions},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use std::sync::Arc;
use tokio::time::Instant;

problems_of!(PollProblems: GroupNameInvalid, MemberIdInvalid, GroupUnknown, MemberUnknown,
    MemberExpired, MemberTaken, CursorDamaged, CursorForeign, CursorTopicGone, JsonInvalid,
    JsonTooDeep, BodyInvalid, BodyTooLarge, BodyTimeout, BodyIncomplete, ParameterUnknown,
    ParameterInvalid, ContentTypeMissing, ContentTypeUnsupported, EngineRefused, StorageFull,
    StateFull, StorageDamaged, Unavailable, OutcomeUnknown, OriginRefused);

/// Read what a member holds
///
/// With the cursor of the last poll it goes on from there, for the partitions
/// that the member still holds and where nothing beyond was committed; without,
/// from the commits: a lost answer loses nothing. Waits up to `wait_ms` for a
/// record; a change of what the member holds is answered at once. Keeps the
/// session alive, also while it waits. What is `revoking` is not read any more:
/// finish it, commit it, and release it before `grace_ms` are over.
#[utoipa::path(
    post, path = "/v1/groups/{group}/members/{member}/poll", tag = "groups",
    params(
        ("group" = String, Path, description = "The group.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "billing"),
        ("member" = String, Path, description = "The member.", pattern = "^[a-zA-Z0-9._-]{1,249}$", example = "worker-7"),
    ),
    request_body(content = PollBody, content_type = "application/json", description = "All of it may be left out."),
    responses((status = 200, description = "Records, and what the member holds.", body = PollPage), PollProblems)
)]
pub(super) async fn poll_member(
    State(app): State<Arc<App>>,
    MemberPath(group, member): MemberPath,
    Pairs(pairs): Pairs,
    request: Request,
) -> Result<Response, Refusal> {
    no_query(pairs)?;
    let call = Call::take(&app, request).await?;
    let poll = PollBody::parse(call.body())?.poll()?;
    let member = MemberRef { group, member, principal: Principal::ANYONE, session: None };
    let answer = answer(&app, member, &poll).await;
    call.or_elsewhere(&app, answer).await
}

async fn answer(app: &App, member: MemberRef, asked: &Poll) -> Result<Response, Refusal> {
    let deadline = Instant::now() + asked.wait;
    let mut poll = GroupPoll::begin(&app.broker, member, asked.cursor.as_ref()).await?;
    let budget = ReadBudget { records: asked.limit, bytes: asked.max_bytes as usize };
    let mut page = Page::new(asked.as_, true, budget);
    let room = loop {
        let room = page::room(app, budget.bytes).await?;
        fill(&mut poll, &mut page).await?;
        if page.has_something() || poll.has_news() || !wait(app, &mut poll, deadline).await? {
            break room;
        }
    };
    let lease = poll.lease();
    let told = PollTold {
        generation: lease.generation.0,
        assignment: partitions(&lease.assignment),
        revoking: partitions(&lease.revoking),
        grace_ms: group_answers::grace(lease),
        waiting: partitions(poll.waiting()),
        lost: group_answers::lost(poll.lost(), page.lost()),
        cursor: poll.cursor().encode(),
        at_tail: page.is_at_tail(),
    };
    Ok(json(StatusCode::OK, page::held(page.finish_with(&told), room)))
}

/// Takes what there is. A topic that was deleted meanwhile is left behind.
async fn fill(poll: &mut GroupPoll, page: &mut Page) -> Result<(), BrokerError> {
    for _ in 0..2 {
        let Some(reader) = poll.reader() else {
            page.at_tail();
            return Ok(());
        };
        match page.fill(reader).await {
            Err(error) if GroupPoll::is_about_a_gone_topic(&error) => poll.again().await?,
            filled => return filled,
        }
    }
    Ok(())
}

/// Waits for a record or for news. `false` when the time is over, or the
/// gateway stops.
async fn wait(app: &App, poll: &mut GroupPoll, deadline: Instant) -> Result<bool, BrokerError> {
    let draining = app.shutdown.token(Phase::Draining);
    tokio::select! {
        woken = poll.wait() => woken.map(|()| true),
        () = tokio::time::sleep_until(deadline) => Ok(false),
        () = draining.cancelled() => Ok(false),
    }
}
