//! What a client may send. Every frame is refused whole: nothing of one that
//! is refused has had an effect.

use super::{
    RequestId, SubId,
    join::{self, CommitFrame, JoinFrame, ReleaseFrame},
    members::{Members, invalid, number, typed},
    start,
};
use crate::{
    domain::{IdempotencyKey, PartitionId, TopicName, limits},
    wire::{As, ErrorCode, Problem, ReadStart, fields::Text},
};
use bytes::Bytes;
use serde::Deserialize;

/// How records are to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As frames of text.
    #[default]
    Json,
    /// As binary frames, what readers share in them compressed (zlib).
    Deflate,
}

/// What is to be subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Answered by this.
    pub id: RequestId,
    /// The number that the client gives it.
    pub sub: SubId,
    /// The topics, 1 to 100, each once.
    pub topics: Vec<TopicName>,
    /// Where to begin; with what comes from now on where the frame says nothing.
    pub start: ReadStart,
    /// Only these partitions; `None` = all.
    pub partitions: Option<Vec<PartitionId>>,
    /// Only records with one of these keys; empty = all.
    pub keys: Vec<Bytes>,
    /// How many records may be sent until there is more credit; `None` = no
    /// such bound.
    pub credit: Option<u64>,
    /// How records are to come.
    pub encoding: Encoding,
    /// The form of values.
    pub as_: As,
}

/// Records on their way in. They are parsed by `for_each_of`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Answered by this.
    pub id: RequestId,
    /// Where to.
    pub topic: TopicName,
    /// The JSON array as it came.
    pub records: &'a str,
    /// Makes a repeat harmless.
    pub key: Option<IdempotencyKey>,
}

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// A token. Taken and not looked at for as long as there are no rights.
    Auth {
        /// Answered by this, if it is there.
        id: Option<RequestId>,
    },
    /// A reader of its own.
    Subscribe(Box<Subscribe>),
    /// More records may be sent.
    Credit {
        /// To this subscription.
        sub: SubId,
        /// So many; 1 at least.
        records: u64,
    },
    /// The end of a subscription.
    Unsubscribe {
        /// Answered by this, if it is there.
        id: Option<RequestId>,
        /// Which.
        sub: SubId,
    },
    /// Records.
    Publish(Publish<'a>),
    /// Is the gateway there?
    Ping {
        /// Answered by this.
        id: RequestId,
    },
    /// A member of a group.
    Join(Box<JoinFrame>),
    /// How far a member has come.
    Commit(CommitFrame),
    /// What a member lets go of.
    Release(ReleaseFrame),
}

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameFault {
    /// What the answer is tied to, where the frame got that far.
    pub id: Option<RequestId>,
    /// The subscription that it names, likewise.
    pub sub: Option<SubId>,
    /// What is wrong.
    pub problem: Problem,
    /// Whether the client cannot be understood at all: the connection ends,
    /// for another try would be no better.
    pub fatal: bool,
}

/// Parses a frame.
///
/// Fatal is what is no JSON object with an `op` and each member once. All else
/// is refused with the frame's `id`, and the connection goes on.
pub fn parse_frame(frame: &[u8]) -> Result<ClientFrame<'_>, FrameFault> {
    let fatal = |problem| FrameFault { id: None, sub: None, problem, fatal: true };
    let mut members = Members::of(frame).map_err(fatal)?;
    let op: Text<'_> = members.must("op").map_err(fatal)?;
    let (id, sub) = (members.peek("id").map(RequestId), members.peek("sub").map(SubId));
    by_op(&op.0, members).map_err(|problem| FrameFault { id, sub, problem, fatal: false })
}

fn by_op<'a>(op: &str, mut members: Members<'a>) -> Result<ClientFrame<'a>, Problem> {
    let m = &mut members;
    let frame = match op {
        "subscribe" => ClientFrame::Subscribe(Box::new(subscribe(m)?)),
        "credit" => ClientFrame::Credit { sub: m.sub()?, records: credit("records", m)? },
        "unsubscribe" => ClientFrame::Unsubscribe { id: m.maybe_id()?, sub: m.sub()? },
        "publish" => ClientFrame::Publish(publish(m)?),
        "ping" => ClientFrame::Ping { id: m.id()? },
        "auth" => {
            let _token: Text<'_> = m.must("token")?;
            ClientFrame::Auth { id: m.maybe_id()? }
        }
        "join" => ClientFrame::Join(Box::new(join::join(m)?)),
        "commit" => ClientFrame::Commit(join::commit(m)?),
        "release" => ClientFrame::Release(join::release(m)?),
        other => {
            let detail = format!(
                "no frame has the op '{other}'; known are auth, subscribe, credit, unsubscribe, \
                 publish, ping, join, commit, release"
            );
            return Err(Problem::new(ErrorCode::OpUnknown, detail));
        }
    };
    members.finish(op)?;
    Ok(frame)
}

fn publish<'a>(members: &mut Members<'a>) -> Result<Publish<'a>, Problem> {
    let id = members.id()?;
    let topic = topic(&members.must::<Text<'_>>("topic")?.0)?;
    let records = members.must_raw("records")?;
    let key = members.maybe::<Text<'_>>("idempotency_key")?;
    let key = key.map(|key| IdempotencyKey::new(key.0)).transpose();
    let key = key.map_err(|error| Problem::idempotency_key(&error))?;
    Ok(Publish { id, topic, records, key })
}

fn subscribe(members: &mut Members<'_>) -> Result<Subscribe, Problem> {
    let (credit, encoding, as_) = delivery(members)?;
    Ok(Subscribe {
        id: members.id()?,
        sub: members.sub()?,
        topics: topics(members)?,
        start: members.raw("from").map_or(Ok(start::DEFAULT), start::parse)?,
        partitions: partitions(members)?,
        keys: keys(members)?,
        credit,
        encoding,
        as_,
    })
}

/// How records are to come: their first credit, their encoding, their form.
pub(super) fn delivery(members: &mut Members<'_>) -> Result<(Option<u64>, Encoding, As), Problem> {
    let credit = members.raw("credit").map(|text| number("credit", text)).transpose()?;
    let encoding = members.maybe("encoding")?.unwrap_or_default();
    let as_ = members.maybe::<Text<'_>>("as")?.map_or(Ok(As::Auto), |text| {
        As::parse(&text.0).map_err(|problem| invalid(problem.detail))
    })?;
    Ok((credit, encoding, as_))
}

/// Credit that is added, of which there must be some.
fn credit(name: &str, members: &mut Members<'_>) -> Result<u64, Problem> {
    match number(name, members.must_raw(name)?)? {
        0 => Err(invalid(format!("member '{name}' must be 1 at least"))),
        credit => Ok(credit),
    }
}

pub(super) fn topic(text: &str) -> Result<TopicName, Problem> {
    TopicName::new(text).map_err(|error| Problem::topic_name(&error))
}

pub(super) fn topics(members: &mut Members<'_>) -> Result<Vec<TopicName>, Problem> {
    let texts: Vec<Text<'_>> = typed("topics", members.must_raw("topics")?)?;
    let max = limits::MAX_READ_TOPICS;
    if texts.is_empty() || texts.len() > max {
        return Err(invalid(format!("member 'topics' must have 1 to {max} names")));
    }
    let names = texts.iter().map(|text| topic(&text.0)).collect::<Result<Vec<_>, _>>()?;
    once_each("topics", &names)?;
    Ok(names)
}

fn partitions(members: &mut Members<'_>) -> Result<Option<Vec<PartitionId>>, Problem> {
    let Some(ids) = members.maybe::<Vec<u32>>("partitions")? else { return Ok(None) };
    let max = limits::MAX_NAMED_PARTITIONS;
    if ids.is_empty() || ids.len() > max {
        return Err(invalid(format!("member 'partitions' must have 1 to {max} numbers")));
    }
    once_each("partitions", &ids)?;
    Ok(Some(ids.into_iter().map(PartitionId).collect()))
}

fn keys(members: &mut Members<'_>) -> Result<Vec<Bytes>, Problem> {
    let Some(keys) = members.maybe::<Vec<String>>("keys")? else { return Ok(vec![]) };
    let max = limits::MAX_READ_KEYS;
    if keys.is_empty() || keys.len() > max {
        return Err(invalid(format!("member 'keys' must have 1 to {max} keys")));
    }
    if keys.iter().any(|key| key.len() > limits::MAX_KEY_BYTES) {
        let max = limits::MAX_KEY_BYTES;
        return Err(invalid(format!("member 'keys': a key has at most {max} bytes")));
    }
    once_each("keys", &keys)?;
    Ok(keys.into_iter().map(Bytes::from).collect())
}

pub(super) fn once_each<T: Ord>(name: &str, all: &[T]) -> Result<(), Problem> {
    let mut sorted: Vec<&T> = all.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(invalid(format!("member '{name}' names something twice"))),
        false => Ok(()),
    }
}
