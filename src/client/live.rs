//! Subscribing over WebSocket: records as they come, through lost connections.
//! The place is kept as a cursor, and a new connection goes on from it.

use super::{Client, ClientError, Refusal};
use crate::domain::{Cursor, Epoch, Offset, PartitionId, Position, StartAt, TopicName};
use crate::wire::PROTOCOL;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{borrow::Cow, collections::VecDeque, time::Duration};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, ClientRequestBuilder, Message, Utf8Bytes, http::Uri, protocol::WebSocketConfig,
    },
};

/// The number of the one subscription, and of its request.
const SUB: u64 = 1;
/// What a connection may take to be made and greeted.
const CONNECT: Duration = Duration::from_secs(10);
/// The first and the longest wait before another try.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// A gateway's largest records come in frames of about twice their size.
const FRAME_BYTES: usize = 64 << 20;
/// What the socket reads at once.
const READ_BYTES: usize = 64 << 10;

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
    client: Client,
    request: SubscribeRequest,
    /// After all records that were handed out or wait in `items`.
    cursor: Option<Cursor>,
    socket: Option<WebSocketStream<TcpStream>>,
    items: VecDeque<LiveItem>,
    /// Tries in a row that came to nothing.
    failures: u32,
    /// How long the gateway asked to stay away.
    stay_away: Duration,
    /// How long a gateway that is there says nothing at most.
    silence: Duration,
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
            client: self.clone(),
            cursor: request.cursor.clone(),
            request,
            socket: None,
            items: VecDeque::new(),
            failures: 0,
            stay_away: Duration::ZERO,
            silence: CONNECT,
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
            let Some(socket) = &mut self.socket else {
                self.connect().await?;
                continue;
            };
            match tokio::time::timeout(self.silence, socket.next()).await {
                Ok(Some(Ok(Message::Text(frame)))) => self.take(&frame)?,
                Ok(Some(Ok(Message::Close(_)))) | Ok(None) => self.lost("it was closed"),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => self.lost(&error.to_string()),
                Err(_) => self.lost("nothing came for too long"),
            }
        }
    }

    fn lost(&mut self, why: &str) {
        if self.socket.take().is_some() {
            self.items.push_back(LiveItem::Reconnecting(why.to_owned()));
        }
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let again = self.cursor.is_some() && self.silence != CONNECT;
        if again {
            tokio::time::sleep(self.wait()).await;
        }
        let tried = tokio::time::timeout(CONNECT, self.open()).await;
        match tried.unwrap_or_else(|_| Err(self.unreachable("no answer in time"))) {
            Ok(socket) => {
                self.socket = Some(socket);
                if again {
                    self.items.push_back(LiveItem::Resumed);
                }
                Ok(())
            }
            // A gateway that is starting or full is as good as none.
            Err(error) if again && passes(&error) => {
                self.failures += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// How long to wait before another try: what the gateway asked for, then
    /// longer and longer, never the same as others.
    fn wait(&mut self) -> Duration {
        let most = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        std::mem::take(&mut self.stay_away) + most.mul_f64(fastrand::f64())
    }

    async fn open(&mut self) -> Result<WebSocketStream<TcpStream>, ClientError> {
        let server = self.client.server().to_owned();
        let bad = || ClientError::Server(server.clone());
        let url = Url::parse(&server).map_err(|_| bad())?;
        let host = url.host_str().ok_or_else(bad)?;
        let port = url.port_or_known_default().unwrap_or(80);
        let uri: Uri = format!("ws{}/v1/ws", server.strip_prefix("http").ok_or_else(bad)?)
            .parse()
            .map_err(|_| bad())?;
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((plain, port)).await;
        let stream = stream.map_err(|error| self.unreachable(&error.to_string()))?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(PROTOCOL);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_frame_size(Some(FRAME_BYTES))
            .max_message_size(Some(FRAME_BYTES));
        let opened = client_async_with_config(request, stream, Some(config)).await;
        let (mut socket, _) = opened.map_err(|error| self.refused(&error))?;
        let subscribe = self.subscribe_frame().to_string();
        let sent = socket.send(Message::Text(Utf8Bytes::from(subscribe))).await;
        sent.map_err(|error| self.unreachable(&error.to_string()))?;
        Ok(socket)
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
        let frame: ServerFrame<'_> = serde_json::from_str(text).map_err(|_| self.foreign(text))?;
        match &*frame.op {
            "hello" => {
                let heartbeat = Duration::from_millis(frame.heartbeat_ms.unwrap_or(25_000));
                self.silence = heartbeat * 2 + Duration::from_secs(5);
            }
            "ok" | "position" => {
                let cursor = frame.cursor.as_deref().map(Cursor::decode);
                if let Some(cursor) = cursor {
                    self.cursor = Some(cursor.map_err(|_| self.foreign(text))?);
                }
                self.failures = 0;
            }
            "records" => self.records(&frame).ok_or_else(|| self.foreign(text))?,
            "lost" => {
                let lost = serde_json::from_str(text).unwrap_or(Value::Null);
                self.items.push_back(LiveItem::Lost(lost));
            }
            "lagging" => self.items.extend(frame.behind.map(LiveItem::Lagging)),
            "error" | "unsubscribed" => return Err(self.problem(&frame, text)),
            "closing" => {
                self.stay_away = Duration::from_millis(frame.after_ms.unwrap_or(0));
                if frame.reconnect == Some(false) {
                    return Err(self.problem(&frame, text));
                }
                self.lost("the gateway closes it");
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
            let record = record.get();
            let line = match (several, record.strip_prefix('{')) {
                (true, Some(members)) => format!("{{\"topic\":\"{name}\",{members}"),
                _ => record.to_owned(),
            };
            self.items.push_back(LiveItem::Record(line.into()));
        }
        Some(())
    }

    fn problem(&self, frame: &ServerFrame<'_>, text: &str) -> ClientError {
        let problem = frame.problem.as_ref();
        match problem.and_then(|problem| Refusal::read(self.client.server(), problem)) {
            Some(refusal) => ClientError::Refused(Box::new(refusal)),
            None => self.foreign(text),
        }
    }

    fn foreign(&self, text: &str) -> ClientError {
        self.client.foreign(101, text.as_bytes())
    }

    fn unreachable(&self, reason: &str) -> ClientError {
        let server = self.client.server().to_owned();
        ClientError::Unreachable { server, reason: reason.to_owned() }
    }

    /// Why there is no WebSocket.
    fn refused(&self, error: &tungstenite::Error) -> ClientError {
        let tungstenite::Error::Http(response) = error else {
            return self.unreachable(&error.to_string());
        };
        let body = response.body().as_deref().unwrap_or_default();
        let problem = serde_json::from_slice(body).ok();
        match problem.and_then(|problem| Refusal::read(self.client.server(), &problem)) {
            Some(refusal) => ClientError::Refused(Box::new(refusal)),
            None => self.client.foreign(response.status().as_u16(), body),
        }
    }
}

/// Whether another try may come to something.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Lost { .. } | ClientError::Cut => true,
        ClientError::Refused(refusal) => matches!(refusal.status, 429 | 503),
        // A balancer in front of a gateway that is starting.
        ClientError::Foreign { status, .. } => *status >= 500,
        ClientError::Server(_) | ClientError::Input(_) => false,
    }
}
