//! What is asked for a member of a group: to join, where it begins, to commit,
//! to let go, to leave. Futures of their own, as other requests are.

use super::{
    Host,
    requests::{Done, Request, failed, refused},
    wake::Serial,
};
use crate::{
    broker::{
        Broker, BrokerError, GroupPlaces, JoinRequest, Membership, ReadFrom, ReadRequest, Reader,
    },
    domain::{Cursor, Principal},
    wire::{
        CommitFrame, JoinFrame, Parts, ReleaseFrame, RequestId, SubId, committed_frame, ok_frame,
    },
};
use std::{sync::Arc, time::Duration};

/// After how long places are looked for again that could not be told.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Where a member begins in what it was given, and what reads from there.
pub(super) struct Placed {
    pub places: GroupPlaces,
    pub reader: Option<Reader>,
}

/// Becomes a member.
pub(super) fn join(host: &Arc<Host>, request: JoinFrame, serial: Serial) -> Request {
    let broker = Arc::clone(&host.broker);
    Box::pin(async move {
        let JoinFrame { id, sub, group, topics, member, session_timeout, from, .. } = request;
        let (topics, principal) = (topics.into_iter().collect(), Principal::ANYONE);
        let request = JoinRequest {
            group,
            member,
            principal,
            topics,
            session_timeout,
            from,
            takes_over: true,
        };
        let membership = Membership::join(&broker, request).await;
        Done::Joined { id, sub, serial, membership }
    })
}

/// Looks for the places of `asked`, and opens a reader there.
pub(super) fn places(
    host: &Arc<Host>,
    member: Membership,
    asked: Parts,
    sub: SubId,
    serial: Serial,
) -> Request {
    let broker = Arc::clone(&host.broker);
    Box::pin(async move {
        let placed = match member.cursor_of(&asked).await {
            Ok(places) => opened(&broker, places).await,
            Err(error) => Err(error),
        };
        if placed.is_err() {
            // It is asked again where that may help, but not at once.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Done::Placed { sub, serial, asked, placed }
    })
}

/// Opens a reader at the places. Topics that are gone meanwhile have none.
async fn opened(broker: &Arc<Broker>, mut places: GroupPlaces) -> Result<Placed, BrokerError> {
    while !places.cursor.topics.is_empty() {
        let cursor: Cursor = places.cursor.clone();
        let topics = cursor.topics.keys().cloned().collect();
        let from = ReadFrom::Cursor(cursor);
        let request = ReadRequest { topics, partitions: None, from, keys: vec![] };
        match Reader::open(broker, request).await {
            Ok(reader) => return Ok(Placed { places, reader: Some(reader) }),
            Err(BrokerError::CursorTopicGone(topic)) => {
                places.cursor.topics.remove(&topic);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Placed { places, reader: None })
}

/// Commits for a member.
pub(super) fn commit(member: Membership, request: CommitFrame, serial: Serial) -> Request {
    Box::pin(async move {
        let CommitFrame { id, sub, generation, commits } = request;
        let mut named = Parts::new();
        for commit in &commits {
            named.entry(commit.topic.clone()).or_default().insert(commit.partition);
        }
        match member.commit(generation, commits).await {
            Ok(stands) => {
                let stands = stands.iter().map(|c| (&c.topic, c.partition, c.position));
                let answer = committed_frame(id, sub, stands);
                Done::Committed { sub, serial, parts: named, answer }
            }
            Err(error) => refused(Some(id), Some(sub), failed(error)),
        }
    })
}

/// Lets go for a member.
pub(super) fn release(member: Membership, request: ReleaseFrame) -> Request {
    Box::pin(async move {
        let ReleaseFrame { id, sub, partitions } = request;
        match member.release(&partitions).await {
            Ok(()) => Done::Answer(id.map(ok_frame), None),
            Err(error) => refused(id, Some(sub), failed(error)),
        }
    })
}

/// Leaves the group. One that is no member any more has left.
pub(super) fn leave(member: Membership, id: Option<RequestId>) -> Request {
    Box::pin(async move {
        if let Err(error) = member.leave().await {
            tracing::debug!(%error, "a member that leaves was none any more");
        }
        Done::Answer(id.map(ok_frame), None)
    })
}
