//! Sessions as specifications: on a channel, over the reference engine, under
//! virtual time.

mod flowing;
mod members;
mod requests;
mod time;

use super::*;
use crate::{
    broker::TrimTo,
    domain::{Clock, Limits, Offset, PartitionCount, Timestamp, TopicConfig, TopicName},
    engine::memory::MemoryEngine,
    group::{GroupConfig, Groups},
};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::{future::poll_fn, task::Poll};

/// A gateway's sessions over an empty store.
fn host_with(settings: impl FnOnce(&mut SessionConfig)) -> Arc<Host> {
    let clock: Clock = Arc::new(|| Timestamp::from_millis(1_000_000));
    let metrics = Metrics::default();
    let engine = Arc::new(MemoryEngine::new(Arc::clone(&clock)));
    let (log, table) = (Arc::clone(&engine) as _, Arc::clone(&engine) as _);
    let groups = Groups::open(log, table, clock, GroupConfig::default(), &metrics);
    let groups = groups.now_or_never().expect("in memory it opens at once").unwrap();
    let broker = Broker::new(engine, groups, Limits::default(), &metrics);
    let mut config = SessionConfig::default();
    settings(&mut config);
    Host::new(broker, config, &metrics)
}

fn host() -> Arc<Host> {
    host_with(|_| {})
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

async fn topic(host: &Host, called: &str, partitions: u32) {
    let config = TopicConfig { partitions: PartitionCount(partitions), ..TopicConfig::default() };
    host.broker.ensure_topic(&name(called), &config).await.unwrap();
}

/// What a client receives, as a carrier with room for `room` bytes passes it.
struct Channel {
    frames: VecDeque<(FrameKind, Vec<u8>)>,
    bytes: usize,
    room: usize,
}

impl Outbox for Channel {
    fn push(&mut self, frame: Frame<'_>) {
        let message = [frame.head, &frame.body].concat();
        self.bytes += message.len();
        self.frames.push_back((frame.kind, message));
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.room
    }
}

/// A client and the session that serves it.
struct Client {
    session: Session,
    channel: Channel,
}

impl Client {
    /// A client that was greeted.
    async fn of(host: &Arc<Host>) -> Client {
        let mut client = Client::fresh(host);
        assert_eq!(client.next().await["op"], "hello");
        client
    }

    fn fresh(host: &Arc<Host>) -> Client {
        let channel = Channel { frames: VecDeque::new(), bytes: 0, room: 1 << 20 };
        Client { session: Session::new(host, "test"), channel }
    }

    fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string());
    }

    fn send_text(&mut self, frame: &str) {
        assert!(self.session.takes(), "{frame}");
        self.session.take(Bytes::copy_from_slice(frame.as_bytes()));
    }

    /// Works until the session has nothing more to do or the channel is full;
    /// then the virtual clock goes on to what is due.
    async fn work(&mut self) {
        let Client { session, channel } = self;
        let due = tokio::time::sleep_until(session.due());
        tokio::select! {
            biased;
            () = poll_fn(|cx| session.poll_send(cx, channel)) => {}
            () = due => session.tick(Instant::now()),
        }
    }

    /// Works until nothing is to be done at this moment.
    async fn settle(&mut self) {
        for _ in 0..20 {
            let Client { session, channel } = self;
            poll_fn(|cx| {
                while session.poll_send(cx, channel).is_ready() {}
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
    }

    /// The next message, which frees the channel's room.
    async fn next_message(&mut self) -> (FrameKind, Vec<u8>) {
        let wait = async {
            loop {
                if let Some(message) = self.channel.frames.pop_front() {
                    self.channel.bytes -= message.1.len();
                    return message;
                }
                self.work().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(600), wait).await.expect("a frame comes")
    }

    /// The next frame of text.
    async fn next(&mut self) -> Value {
        let (kind, message) = self.next_message().await;
        assert_eq!(kind, FrameKind::Text);
        serde_json::from_slice(&message)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&message)))
    }

    /// The next frame but heartbeats and positions.
    async fn next_news(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if !matches!(frame["op"].as_str(), Some("heartbeat" | "position")) {
                return frame;
            }
        }
    }

    /// Asks, and answers the answer.
    async fn ask(&mut self, frame: Value) -> Value {
        let id = frame["id"].clone();
        self.send(frame);
        let answer = self.next_news().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Subscribes with number 7; answers the cursor.
    async fn subscribe(&mut self, topic: &str, more: Value) -> Value {
        let mut frame = json!({"op": "subscribe", "id": 70, "sub": 7, "topics": [topic]});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        let ok = self.ask(frame).await;
        assert_eq!(ok["op"], "ok", "{ok}");
        ok
    }

    /// Texts of the records that come, until there are `count`.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = vec![];
        while texts.len() < count {
            let frame = self.next_news().await;
            assert_eq!(frame["op"], "records", "{frame}");
            texts.extend(texts_of(&frame));
        }
        texts
    }

    /// What has come by now, as `op`s.
    async fn ops(&mut self) -> Vec<String> {
        self.settle().await;
        let mut ops = vec![];
        while let Some((_, message)) = self.channel.frames.pop_front() {
            self.channel.bytes -= message.len();
            let frame: Value = serde_json::from_slice(&message).unwrap();
            ops.push(frame["op"].as_str().unwrap().to_owned());
        }
        ops
    }
}

/// The texts of the records in a frame.
fn texts_of(frame: &Value) -> Vec<String> {
    let records = frame["records"].as_array().unwrap().iter();
    records.map(|record| record["text"].as_str().unwrap().to_owned()).collect()
}

/// Publishes texts as one.
async fn publish(host: &Arc<Host>, to: &str, texts: &[String]) {
    let records: Vec<_> = texts.iter().map(|text| json!({"text": text})).collect();
    publish_records(host, to, json!(records)).await;
}

async fn publish_records(host: &Arc<Host>, to: &str, records: Value) {
    let mut publisher = Client::of(host).await;
    let ok = publisher.ask(json!({"op": "publish", "id": 1, "topic": to, "records": records}));
    let ok = ok.await;
    assert_eq!(ok["op"], "ok", "{ok}");
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

async fn trim(host: &Host, topic: &str, before: u64) {
    host.broker.trim(&name(topic), None, TrimTo::Offset(Offset(before))).await.unwrap();
}
