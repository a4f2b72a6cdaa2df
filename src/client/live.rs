//! Subscribing over WebSocket: records as they come, through lost connections.
//! The place is kept as a cursor, and a new connection goes on from it.

use super::{Client, ClientError, link::Link};
use crate::domain::{Cursor, Epoch, Offset, PartitionId, Position, StartAt, TopicName};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{borrow::Cow, collections::VecDeque};

/// The number of the one subscription, and of its request.
const SUB: u64 = 1;

/// What is to be subscribed to.
#[derive(Clone, Debug, Default)]
pub struct SubscribeRequest {
    /// The topics; one at least.
    pub topics: Vec<TopicName>,
    /// Where to begin, without a cursor; with what comes from now on if not
    /// said.
    pub start: Option<StartAt>,
    /// Or: where an earlier reader was.
    pub cursor: Option<Cursor>,
    /// Only these partitions.
    pub partitions: Vec<u32>,
    /// Only records with one of these keys.
    pub keys: Vec<String>,
}

/// What comes of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveItem {
    /// A record, as JSON; with its topic where there are several.
    Record(Bytes),
    /// Records that it will not see, as JSON.
    Lost(Value),
    /// So many records lie between it and the newest.
    Lagging(u64),
    /// The connection was lost, as this says; it is tried again by itself.
    Reconnecting(String),
    /// There is a connection again.
    Resumed,
}

/// A subscription that outlives its connections.
pub struct LiveReader {
    request: SubscribeRequest,
    link: Link,
    /// After all records that were handed out or wait in `items`.
    cursor: Option<Cursor>,
    items: VecDeque<LiveItem>,
}

/// A frame of the gateway, as far as it matters here.
#[derive(Deserialize)]
struct ServerFrame<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    partition: Option<u32>,
    epoch: Option<u32>,
    next: Option<u64>,
    #[serde(borrow, default)]
    records: Vec<&'a RawValue>,
    cursor: Option<String>,
    behind: Option<u64>,
    heartbeat_ms: Option<u64>,
    reconnect: Option<bool>,
    after_ms: Option<u64>,
    problem: Option<Value>,
}

impl Client {
    /// Subscribes. The first connection is made by the first `next`.
    #[must_use]
    pub fn subscribe(&self, request: SubscribeRequest) -> LiveReader {
        LiveReader {
            link: Link::new(self),
            cursor: request.cursor.clone(),
            request,
            items: VecDeque::new(),
        }
    }
}

impl LiveReader {
    /// Where the reader stands, after all that `next` has answered.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        // A frame's records are answered before the next frame is read.
        self.cursor.as_ref()
    }

    /// An item that needs no waiting for.
    pub fn next_ready(&mut self) -> Option<LiveItem> {
        self.items.pop_front()
    }

    /// The next item. An error is one that another try would not mend; so is
    /// every error of the first connection.
    pub async fn next(&mut self) -> Result<LiveItem, ClientError> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(item);
            }
            if !self.link.is_open() {
                if self.link.connect(&self.subscribe_frame()).await? == Some(true) {
                    self.items.push_back(LiveItem::Resumed);
                }
                continue;
            }
            match self.link.frame().await {
                Ok(frame) => self.take(&frame)?,
                Err(why) => self.items.push_back(LiveItem::Reconnecting(why)),
            }
        }
    }

    fn subscribe_frame(&self) -> Value {
        let from = match (&self.cursor, self.request.start) {
            (Some(cursor), _) => json!({"cursor": cursor.encode()}),
            (None, None | Some(StartAt::Latest)) => json!("latest"),
            (None, Some(StartAt::Earliest)) => json!("earliest"),
            (None, Some(StartAt::Last(n))) => json!({"last": n}),
            (None, Some(StartAt::Offset(offset))) => json!({"offset": offset}),
            (None, Some(StartAt::Time(time))) => json!({"time": time.millis()}),
        };
        let request = &self.request;
        let topics: Vec<_> = request.topics.iter().map(TopicName::as_str).collect();
        let mut frame = json!({
            "op": "subscribe", "id": SUB, "sub": SUB, "topics": topics, "from": from
        });
        if !request.partitions.is_empty() {
            frame["partitions"] = json!(request.partitions);
        }
        if !request.keys.is_empty() {
            frame["keys"] = json!(request.keys);
        }
        frame
    }

    fn take(&mut self, text: &str) -> Result<(), ClientError> {
        let foreign = |link: &Link| link.foreign(text);
        let frame: ServerFrame<'_> = serde_json::from_str(text).map_err(|_| foreign(&self.link))?;
        match &*frame.op {
            "hello" => self.link.greeted(frame.heartbeat_ms),
            "ok" | "position" => {
                let cursor = frame.cursor.as_deref().map(Cursor::decode);
                if let Some(cursor) = cursor {
                    self.cursor = Some(cursor.map_err(|_| foreign(&self.link))?);
                }
                self.link.granted();
            }
            "records" => self.records(&frame).ok_or_else(|| foreign(&self.link))?,
            "lost" => {
                let lost = serde_json::from_str(text).unwrap_or(Value::Null);
                self.items.push_back(LiveItem::Lost(lost));
            }
            "lagging" => self.items.extend(frame.behind.map(LiveItem::Lagging)),
            "error" | "unsubscribed" => {
                return Err(self.link.problem(frame.problem.as_ref(), text));
            }
            "closing" => {
                self.link.stay_away(frame.after_ms);
                if frame.reconnect == Some(false) {
                    return Err(self.link.problem(frame.problem.as_ref(), text));
                }
                self.link.drop_socket();
                let why = "the gateway closes it".to_owned();
                self.items.push_back(LiveItem::Reconnecting(why));
            }
            // Heartbeats, and what later versions may say.
            _ => {}
        }
        Ok(())
    }

    /// Hands the records out and moves the place behind them.
    fn records(&mut self, frame: &ServerFrame<'_>) -> Option<()> {
        let name = TopicName::new(frame.topic.as_deref()?).ok()?;
        let topic = self.cursor.as_mut()?.topics.get_mut(&name)?;
        let at = Position { epoch: Epoch(frame.epoch?), next: Offset(frame.next?) };
        topic.partitions.insert(PartitionId(frame.partition?), at);
        let several = self.request.topics.len() > 1;
        for record in &frame.records {
            self.items.push_back(LiveItem::Record(line(record, several.then_some(&name))));
        }
        Some(())
    }
}

/// A record as one line; with its topic, where that is to be said.
pub(super) fn line(record: &RawValue, topic: Option<&TopicName>) -> Bytes {
    let record = record.get();
    match (topic, record.strip_prefix('{')) {
        (Some(topic), Some(members)) => format!("{{\"topic\":\"{topic}\",{members}").into(),
        _ => record.to_owned().into(),
    }
}
