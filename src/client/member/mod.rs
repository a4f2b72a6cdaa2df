//! A member of a consumer group over WebSocket: records as they come, through
//! lost connections, and commits of what is done. At least once: what was
//! handed out and not committed comes again, to this member or to another.

mod work;

use super::{
    Client, ClientError,
    link::Link,
    live::{LiveItem, line},
};
use crate::domain::{GroupName, MemberId, StartPolicy, TopicName};
use crate::wire::Partitions;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{borrow::Cow, time::Duration};
use tokio::time::Instant;
use work::{Batch, Place, Work, entries};

/// The number of the one subscription, and those of its requests; commits are
/// counted on from there.
const SUB: u64 = 1;
const JOIN: u64 = 1;
const LEAVE: u64 = 2;
/// How long what is done may wait for its commit.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// What the last commit and the leaving may take.
const LEAVING: Duration = Duration::from_secs(10);

/// Who is to be a member of what.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
    pub group: GroupName,
    /// The topics; one at least.
    pub topics: Vec<TopicName>,
    /// Where a partition begins that the group has not committed in.
    pub from: StartPolicy,
    /// Its own id; the gateway makes one otherwise.
    pub member: Option<MemberId>,
    /// How long it may be away before others take over; as the gateway has it
    /// if not said.
    pub session_timeout: Option<Duration>,
}

/// What comes to a member.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberItem {
    /// A record, as JSON; with its topic where there are several.
    Record(Bytes),
    /// The member has joined, or is back: its id and the generation.
    Joined(String, u64),
    /// All that it holds from now on.
    Assigned(Partitions),
    /// What goes to others, once it is committed and let go of.
    Revoking(Partitions),
    /// What it does not hold any more.
    Revoked(Partitions),
    /// Of these nothing comes until something is committed.
    Waiting(Partitions),
    /// It was away for too long, and joins anew.
    Expired,
    /// What it has done was not committed, and why: others do it again.
    NotCommitted(String),
    /// What comes of any subscription.
    Live(LiveItem),
}

/// A membership that outlives its connections.
pub struct MemberReader {
    request: JoinRequest,
    link: Link,
    work: Work,
    member: Option<String>,
    /// Whether the gateway has let it join on this connection.
    joined: bool,
    /// What is under way, and by which number.
    committing: Option<(u64, Batch)>,
    commits: u64,
    /// Before that nothing is committed that does not press, and before that
    /// nothing at all.
    not_before: Instant,
    held_until: Instant,
    /// Whether the answer to its leaving has come.
    left: bool,
}

/// A frame of the gateway, as far as it matters here.
#[derive(Deserialize)]
struct MemberFrame<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    partition: Option<u32>,
    epoch: Option<u32>,
    next: Option<u64>,
    #[serde(borrow, default)]
    records: Vec<&'a RawValue>,
    member_id: Option<String>,
    generation: Option<u64>,
    #[serde(default)]
    partitions: Partitions,
    #[serde(default)]
    waiting: Partitions,
    behind: Option<u64>,
    heartbeat_ms: Option<u64>,
    reconnect: Option<bool>,
    after_ms: Option<u64>,
    problem: Option<Value>,
}

#[derive(Deserialize)]
struct RecordOffset {
    offset: u64,
}

impl Client {
    /// Joins a group. The first connection is made by the first `next`.
    #[must_use]
    pub fn join(&self, request: JoinRequest) -> MemberReader {
        MemberReader {
            link: Link::new(self),
            work: Work::default(),
            member: request.member.as_ref().map(MemberId::to_string),
            request,
            joined: false,
            committing: None,
            commits: LEAVE,
            not_before: Instant::now() + COMMIT_EVERY,
            held_until: Instant::now(),
            left: false,
        }
    }
}

impl MemberReader {
    /// An item that needs no waiting for.
    pub fn next_ready(&mut self) -> Option<MemberItem> {
        self.work.next()
    }

    /// All that `next` has answered is done, and may be committed: it will not
    /// come again.
    pub fn done(&mut self) {
        self.work.done();
    }

    /// The next item; meanwhile commits what is done. An error is one that
    /// another try would not mend; so is every error of the first connection.
    pub async fn next(&mut self) -> Result<MemberItem, ClientError> {
        loop {
            if let Some(item) = self.work.next() {
                return Ok(item);
            }
            if !self.link.is_open() {
                if self.link.connect(&self.join_frame()).await? == Some(true) {
                    self.work.tell(MemberItem::Live(LiveItem::Resumed));
                }
                continue;
            }
            self.step(false).await?;
        }
    }

    /// Commits what is done, and leaves: others take over at once. What could
    /// not be committed is done again.
    pub async fn leave(&mut self) -> Result<(), ClientError> {
        let leaving = async {
            while self.joined && !self.left {
                self.step(true).await?;
            }
            Ok(())
        };
        // Else the session's end does what was left undone.
        tokio::time::timeout(LEAVING, leaving).await.unwrap_or(Ok(()))
    }

    /// Sends what is due, and takes one frame.
    async fn step(&mut self, leaving: bool) -> Result<(), ClientError> {
        if let Err(why) = self.send_due(leaving).await {
            self.lost(why);
            return Ok(());
        }
        let came = match self.wakes(leaving) {
            None => self.link.frame().await,
            Some(at) => match tokio::time::timeout_at(at, self.link.frame()).await {
                Ok(came) => came,
                // A commit is due.
                Err(_) => return Ok(()),
            },
        };
        match came {
            Ok(frame) => self.take(&frame)?,
            Err(why) => self.lost(why),
        }
        Ok(())
    }

    /// When something is to be sent, if nothing comes.
    fn wakes(&self, leaving: bool) -> Option<Instant> {
        let open = self.joined && self.committing.is_none();
        (open && self.work.has_due()).then(|| self.due_at(leaving))
    }

    fn due_at(&self, leaving: bool) -> Instant {
        match leaving || self.work.is_pressing() {
            true => self.held_until,
            false => self.not_before.max(self.held_until),
        }
    }

    async fn send_due(&mut self, leaving: bool) -> Result<(), String> {
        if !self.joined || self.committing.is_some() {
            return Ok(());
        }
        if self.work.has_due() {
            if Instant::now() < self.due_at(leaving) {
                return Ok(());
            }
            let due = self.work.due();
            return self.commit(due).await;
        }
        let free = self.work.take_free();
        if !free.is_empty() {
            self.link.send(&json!({"op": "release", "sub": SUB, "partitions": free})).await?;
        }
        if leaving {
            let frame = json!({"op": "unsubscribe", "id": LEAVE, "sub": SUB});
            self.link.send(&frame).await?;
            // Said once; the answer is waited for.
            self.committing = Some((LEAVE, vec![]));
        }
        Ok(())
    }

    async fn commit(&mut self, due: Batch) -> Result<(), String> {
        self.commits += 1;
        let frame = json!({
            "op": "commit", "id": self.commits, "sub": SUB,
            "generation": self.work.generation(), "commits": entries(&due)
        });
        self.committing = Some((self.commits, due));
        self.not_before = Instant::now() + COMMIT_EVERY;
        self.link.send(&frame).await
    }

    fn join_frame(&self) -> Value {
        let request = &self.request;
        let topics: Vec<_> = request.topics.iter().map(TopicName::as_str).collect();
        let mut frame = json!({
            "op": "join", "id": JOIN, "sub": SUB, "group": request.group.as_str(),
            "topics": topics, "from": request.from.as_str()
        });
        if let Some(member) = &self.member {
            frame["member_id"] = json!(member);
        }
        if let Some(timeout) = request.session_timeout {
            frame["session_timeout_ms"] = json!(timeout.as_millis() as u64);
        }
        frame
    }

    fn lost(&mut self, why: String) {
        self.joined = false;
        self.committing = None;
        self.link.drop_socket();
        self.work.tell(MemberItem::Live(LiveItem::Reconnecting(why)));
    }

    fn take(&mut self, text: &str) -> Result<(), ClientError> {
        let frame: MemberFrame<'_> =
            serde_json::from_str(text).map_err(|_| self.link.foreign(text))?;
        let generation = frame.generation.unwrap_or(self.work.generation());
        match &*frame.op {
            "hello" => self.link.greeted(frame.heartbeat_ms),
            "ok" => self.granted(frame),
            "assigned" => {
                self.work.assigned(generation, &frame.partitions);
                if !frame.waiting.is_empty() {
                    self.work.tell(MemberItem::Waiting(frame.waiting));
                }
            }
            "revoking" => self.work.revoking(generation, &frame.partitions),
            "revoked" => self.work.revoked(generation, &frame.partitions),
            "records" => self.records(&frame).ok_or_else(|| self.link.foreign(text))?,
            "lost" => {
                let lost = serde_json::from_str(text).unwrap_or(Value::Null);
                self.work.tell(MemberItem::Live(LiveItem::Lost(lost)));
            }
            "lagging" => {
                let behind = frame.behind.map(LiveItem::Lagging);
                behind.into_iter().for_each(|item| self.work.tell(MemberItem::Live(item)));
            }
            "error" => self.refused(&frame, text)?,
            "unsubscribed" => self.ended(&frame, text)?,
            "closing" => {
                self.link.stay_away(frame.after_ms);
                if frame.reconnect == Some(false) {
                    return Err(self.link.problem(frame.problem.as_ref(), text));
                }
                self.lost("the gateway closes it".to_owned());
            }
            // Heartbeats, positions, and what later versions may say.
            _ => {}
        }
        Ok(())
    }

    fn granted(&mut self, frame: MemberFrame<'_>) {
        match frame.id {
            Some(JOIN) => {
                let generation = frame.generation.unwrap_or_default();
                self.work.joined(generation);
                self.joined = true;
                self.link.granted();
                self.member = frame.member_id.or(self.member.take());
                let member = self.member.clone().unwrap_or_default();
                self.work.tell(MemberItem::Joined(member, generation));
            }
            Some(LEAVE) => self.left = true,
            id => {
                if let Some((_, batch)) = self.committing.take_if(|(of, _)| Some(*of) == id) {
                    self.work.committed(&batch);
                }
            }
        }
    }

    /// A request was refused: the join, for good; a commit, for now or for
    /// good.
    fn refused(&mut self, frame: &MemberFrame<'_>, text: &str) -> Result<(), ClientError> {
        let error = self.link.problem(frame.problem.as_ref(), text);
        let ClientError::Refused(refusal) = &error else { return Err(error) };
        if frame.id == Some(LEAVE) {
            self.left = true;
            return Ok(());
        }
        let Some((_, batch)) = self.committing.take_if(|(of, _)| Some(*of) == frame.id) else {
            // Of a release nothing more is to be done: it is another's by now.
            return if frame.id.is_some() { Err(error) } else { Ok(()) };
        };
        if refusal.status == 429 || refusal.status >= 500 {
            self.held_until = Instant::now() + COMMIT_EVERY;
        } else if self.work.refused(batch) {
            self.work.tell(MemberItem::NotCommitted(refusal.detail.clone()));
        }
        Ok(())
    }

    /// The membership is over: another one begins where the member was only
    /// away for too long.
    fn ended(&mut self, frame: &MemberFrame<'_>, text: &str) -> Result<(), ClientError> {
        let error = self.link.problem(frame.problem.as_ref(), text);
        let ClientError::Refused(refusal) = &error else { return Err(error) };
        if !matches!(&*refusal.code, "member_expired" | "member_unknown") {
            return Err(error);
        }
        self.work.lose_all();
        self.work.tell(MemberItem::Expired);
        self.joined = false;
        self.committing = None;
        self.link.drop_socket();
        Ok(())
    }

    fn records(&mut self, frame: &MemberFrame<'_>) -> Option<()> {
        let name = TopicName::new(frame.topic.as_deref()?).ok()?;
        let part = (name.to_string(), frame.partition?);
        let (epoch, end) = (frame.epoch?, frame.next?);
        let several = self.request.topics.len() > 1;
        let last = frame.records.len().saturating_sub(1);
        for (index, record) in frame.records.iter().enumerate() {
            // Offsets may have gaps: behind the last one is where the frame ends.
            let next = match index == last {
                true => end,
                false => serde_json::from_str::<RecordOffset>(record.get()).ok()?.offset + 1,
            };
            let place = Place { epoch, next };
            self.work.record(&part, place, line(record, several.then_some(&name)));
        }
        Some(())
    }
}
