//! A WebSocket to a gateway that is made again when it is lost: how it is
//! opened, how long to stay away, and when silence means that it is gone. What
//! is said on it is the caller's.

use super::{Client, ClientError, Refusal};
use crate::wire::PROTOCOL;
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde_json::Value;
use std::time::Duration;
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, ClientRequestBuilder, Message, Utf8Bytes, http::Uri, protocol::WebSocketConfig,
    },
};

/// What a connection may take to be made and greeted.
const CONNECT: Duration = Duration::from_secs(10);
/// The first and the longest wait before another try.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// A gateway's largest records come in frames of about twice their size.
const FRAME_BYTES: usize = 64 << 20;
/// What the socket reads at once.
const READ_BYTES: usize = 64 << 10;
/// How often a gateway says something that does not say how often.
const HEARTBEAT_MS: u64 = 25_000;

/// A connection, or the wish for one.
pub(super) struct Link {
    client: Client,
    socket: Option<WebSocketStream<TcpStream>>,
    /// Tries in a row by which nothing was granted.
    failures: u32,
    /// How long the gateway asked to stay away.
    stay_away: Duration,
    /// How long a gateway that is there says nothing at most.
    silence: Duration,
    /// When something came last.
    heard: Instant,
    /// Whether a request on it was ever granted.
    granted: bool,
}

impl Link {
    /// No connection as yet.
    pub fn new(client: &Client) -> Link {
        Link {
            client: client.clone(),
            socket: None,
            failures: 0,
            stay_away: Duration::ZERO,
            silence: CONNECT,
            heard: Instant::now(),
            granted: false,
        }
    }

    /// Whether there is a connection.
    pub fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Makes a connection and says `first`. Answers whether it is there again
    /// after another one: `None` when there is none, and another try may come
    /// to something. Every error of the first connection is one.
    pub async fn connect(&mut self, first: &Value) -> Result<Option<bool>, ClientError> {
        if self.granted || self.failures > 0 {
            tokio::time::sleep(self.wait()).await;
        }
        self.failures += 1;
        let tried = tokio::time::timeout(CONNECT, self.open(first)).await;
        match tried.unwrap_or_else(|_| Err(self.unreachable("no answer in time"))) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.heard = Instant::now();
                Ok(Some(self.granted))
            }
            // A gateway that is starting or full is as good as none.
            Err(error) if self.granted && passes(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next frame; `Err` says why the connection is lost. Safe to drop.
    pub async fn frame(&mut self) -> Result<Utf8Bytes, String> {
        let Some(socket) = &mut self.socket else { return Err("there is none".to_owned()) };
        let why = loop {
            match tokio::time::timeout_at(self.heard + self.silence, socket.next()).await {
                Ok(Some(Ok(message))) => {
                    self.heard = Instant::now();
                    match message {
                        Message::Text(frame) => return Ok(frame),
                        Message::Close(_) => break "it was closed".to_owned(),
                        _ => {}
                    }
                }
                Ok(None) => break "it was closed".to_owned(),
                Ok(Some(Err(error))) => break error.to_string(),
                Err(_) => break "nothing came for too long".to_owned(),
            }
        };
        self.socket = None;
        Err(why)
    }

    /// Sends a frame; `Err` says why the connection is lost.
    pub async fn send(&mut self, frame: &Value) -> Result<(), String> {
        let Some(socket) = &mut self.socket else { return Err("there is none".to_owned()) };
        let sent = socket.send(Message::Text(Utf8Bytes::from(frame.to_string()))).await;
        if sent.is_err() {
            self.socket = None;
        }
        sent.map_err(|error| error.to_string())
    }

    /// Ends the connection.
    pub fn drop_socket(&mut self) {
        self.socket = None;
    }

    /// The gateway has greeted, and said how often it says something.
    pub fn greeted(&mut self, heartbeat_ms: Option<u64>) {
        let heartbeat = Duration::from_millis(heartbeat_ms.unwrap_or(HEARTBEAT_MS));
        self.silence = heartbeat * 2 + Duration::from_secs(5);
    }

    /// What was asked for is granted: from now on a lost connection is made
    /// again.
    pub fn granted(&mut self) {
        self.granted = true;
        self.failures = 0;
    }

    /// The gateway asks to come back after so long.
    pub fn stay_away(&mut self, after_ms: Option<u64>) {
        self.stay_away = Duration::from_millis(after_ms.unwrap_or(0));
    }

    /// The refusal that a frame tells of.
    pub fn problem(&self, problem: Option<&Value>, text: &str) -> ClientError {
        match problem.and_then(|problem| Refusal::read(self.client.server(), problem)) {
            Some(refusal) => ClientError::Refused(Box::new(refusal)),
            None => self.foreign(text),
        }
    }

    /// What no gateway says.
    pub fn foreign(&self, text: &str) -> ClientError {
        self.client.foreign(101, text.as_bytes())
    }

    /// How long to wait before another try: what the gateway asked for, then
    /// longer and longer, never the same as others.
    fn wait(&mut self) -> Duration {
        let most = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        std::mem::take(&mut self.stay_away) + most.mul_f64(fastrand::f64())
    }

    async fn open(&self, first: &Value) -> Result<WebSocketStream<TcpStream>, ClientError> {
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
        let sent = socket.send(Message::Text(Utf8Bytes::from(first.to_string()))).await;
        sent.map_err(|error| self.unreachable(&error.to_string()))?;
        Ok(socket)
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
