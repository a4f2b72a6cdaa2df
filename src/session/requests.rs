//! What a client asked for and waits to be answered: opening a reader,
//! publishing. Answered in the order in which they are done.

use super::{Host, calls::Placed, wake::Serial};
use crate::{
    broker::{
        BrokerError, Membership, Permit, PublishBuilder, Published, ReadFrom, ReadRequest, Reader,
        RequestDigest,
    },
    runtime,
    wire::{
        ClientFrame, ErrorCode, Parts, Problem, Publish, PublishedRecord, ReadStart, RequestId,
        SubId, Subscribe, error_frame, for_each_of, parse_frame, published_frame,
    },
};
use bytes::Bytes;
use std::{future::Future, pin::Pin, sync::Arc};

/// Beyond this a frame is parsed beside the asynchronous tasks: it would hold
/// one up for half a millisecond and more.
pub(super) const PARSE_ASIDE_BYTES: usize = 256 << 10;

/// A request under way.
pub(super) type Request = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A request that is done.
pub(super) enum Done {
    /// A reader was opened, or could not be.
    Opened { id: RequestId, sub: SubId, serial: Serial, reader: Result<Reader, BrokerError> },
    /// A frame that was parsed aside is a publish.
    Parsed(RequestId, Result<Ready, Problem>),
    /// A frame that was parsed aside is none; it is to be taken as any other.
    NoPublish(Bytes),
    /// A frame could not be parsed aside.
    NotParsed(Problem),
    /// A member has joined, or could not.
    Joined {
        id: RequestId,
        sub: SubId,
        serial: Serial,
        membership: Result<Membership, BrokerError>,
    },
    /// Where a member begins in what it was given.
    Placed { sub: SubId, serial: Serial, asked: Parts, placed: Result<Placed, BrokerError> },
    /// A member's commit is durable.
    Committed { sub: SubId, serial: Serial, parts: Parts, answer: Vec<u8> },
    /// To be answered so, if at all.
    Answer(Option<Vec<u8>>, Option<Problem>),
}

/// A publish with all its records, and the memory that it may use.
pub(super) struct Ready {
    publish: PublishBuilder,
    permit: Permit,
}

/// Opens the reader of a subscription.
pub(super) fn open(host: &Arc<Host>, request: Subscribe, serial: Serial) -> Request {
    let host = Arc::clone(host);
    Box::pin(async move {
        let Subscribe { id, sub, topics, start, partitions, keys, .. } = request;
        let from = match start {
            ReadStart::At(start) => ReadFrom::Start(start),
            ReadStart::Cursor(cursor) => ReadFrom::Cursor(cursor),
        };
        let request = ReadRequest { topics, partitions, from, keys };
        let reader = Reader::open(&host.broker, request).await;
        Done::Opened { id, sub, serial, reader }
    })
}

/// Parses a publish, of a frame of `bytes`.
pub(super) fn prepare(host: &Host, frame: &Publish<'_>, bytes: usize) -> Result<Ready, Problem> {
    let permit = host.broker.admit(bytes)?;
    let topic = host.broker.topic(&frame.topic)?;
    let idempotency = frame.key.clone().map(|key| {
        // As if the list had come over HTTP, so that a repeat may go there.
        let body = [b"{\"records\":", frame.records.as_bytes(), b"}"];
        host.broker.idempotency(key, RequestDigest::of_json(&body))
    });
    let mut publish = PublishBuilder::new(&host.broker, topic, idempotency);
    for_each_of(frame.records.as_bytes(), |_, draft| publish.push(&draft).map_err(Problem::from))?;
    Ok(Ready { publish, permit })
}

/// Parses a large frame beside the asynchronous tasks.
pub(super) fn parse_aside(host: &Arc<Host>, frame: Bytes) -> Request {
    let host = Arc::clone(host);
    Box::pin(async move {
        let parsed = runtime::blocking(move || {
            let publish = match parse_frame(&frame) {
                Ok(ClientFrame::Publish(publish)) => {
                    Some((publish.id, prepare(&host, &publish, frame.len())))
                }
                _ => None,
            };
            publish.ok_or(frame)
        });
        match parsed.await {
            Ok(Ok((id, ready))) => Done::Parsed(id, ready),
            Ok(Err(frame)) => Done::NoPublish(frame),
            Err(_) => Done::NotParsed(internal()),
        }
    })
}

/// Appends the records, and answers when they are as durable as their topic
/// says.
pub(super) fn commit(id: RequestId, ready: Ready) -> Request {
    Box::pin(async move {
        let Ready { publish, permit } = ready;
        let published = publish.commit(None).await;
        drop(permit);
        match published {
            Ok(published) => Done::Answer(Some(answer(id, &published)), None),
            Err(error) => refused(Some(id), None, failed(error)),
        }
    })
}

fn answer(id: RequestId, published: &Published) -> Vec<u8> {
    let records = published.records().map(|(partition, offset, epoch)| PublishedRecord {
        partition,
        offset,
        epoch,
    });
    published_frame(id, records, published.repeated)
}

/// A request that failed.
pub(super) fn refused(id: Option<RequestId>, sub: Option<SubId>, problem: Problem) -> Done {
    Done::Answer(Some(error_frame(id, sub, &problem)), Some(problem))
}

/// What the client may know of an error; what it may not is for the log.
pub(super) fn failed(error: BrokerError) -> Problem {
    let cause = error.to_string();
    let problem = Problem::from(error);
    if problem.code.status() >= 500
        && !matches!(problem.code, ErrorCode::TooBusy | ErrorCode::Closing)
    {
        tracing::error!(code = %problem.code, %cause, "a frame failed");
    }
    problem
}

/// Something is wrong with the program itself.
fn internal() -> Problem {
    Problem::new(ErrorCode::Internal, "something went wrong in the gateway")
}
