//! Members of groups: what they hold, are sent, commit and let go of. Time
//! passes for all clients alike, and but for moments only where a test says so.

mod asking;
mod lasting;
mod sharing;

use super::*;
use crate::group::{GroupConfig, Groups};

/// A gateway's sessions, with groups, and topic `t`.
async fn groups(partitions: u32) -> Arc<Host> {
    let clock: Clock = Arc::new(|| Timestamp::from_millis(1_000_000));
    let metrics = Metrics::default();
    let engine = Arc::new(MemoryEngine::new(Arc::clone(&clock)));
    let (log, table) = (Arc::clone(&engine) as _, Arc::clone(&engine) as _);
    let groups = Groups::open(log, table, clock, GroupConfig::default(), &metrics).await.unwrap();
    let broker = Broker::new(engine, groups, Limits::default(), &metrics);
    let host = Host::new(broker, SessionConfig::default(), &metrics);
    topic(&host, "t", partitions).await;
    host
}

/// Longer than a group's pace, shorter than all else.
const MOMENT: Duration = Duration::from_millis(15);

/// Everyone works for some moments: a group has its own pace.
async fn settle(clients: &mut [&mut Client]) {
    for _ in 0..4 {
        for client in &mut *clients {
            client.settle().await;
        }
        tokio::time::advance(MOMENT).await;
    }
}

/// Time passes, in steps that nobody's timer is longer than.
async fn pass(clients: &mut [&mut Client], time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let step = Duration::from_millis(500).min(end - Instant::now());
        tokio::time::advance(step).await;
        for client in &mut *clients {
            if Instant::now() >= client.session.due() {
                client.session.tick(Instant::now());
            }
        }
        settle(clients).await;
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl Client {
    /// What has come, but heartbeats and positions.
    fn came(&mut self) -> Vec<Value> {
        let frames = std::mem::take(&mut self.channel.frames);
        self.channel.bytes = 0;
        let parsed = frames.iter().map(|(_, frame)| serde_json::from_slice(frame).unwrap());
        let quiet = |frame: &Value| matches!(frame["op"].as_str(), Some("heartbeat" | "position"));
        parsed.filter(|frame| !quiet(frame)).collect()
    }

    /// Sends, and answers what comes of it here.
    async fn say(&mut self, frame: Value) -> Vec<Value> {
        self.send(frame);
        settle(&mut [self]).await;
        self.came()
    }

    /// Joins group `g` as subscription 8, and answers what came.
    async fn join(&mut self, member: &str, more: Value) -> Vec<Value> {
        let mut frame = json!({
            "op": "join", "id": 80, "sub": 8, "group": "g", "topics": ["t"], "member_id": member});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        self.say(frame).await
    }

    /// Commits `[partition, offset]` of topic `t`; answers the one answer.
    async fn commit(&mut self, generation: u64, places: &[(u32, u64)]) -> Value {
        let commits: Vec<_> = places
            .iter()
            .map(|(partition, offset)| {
                json!({"topic": "t", "partition": partition, "offset": offset})
            })
            .collect();
        let frame = json!({
            "op": "commit", "id": 81, "sub": 8, "generation": generation, "commits": commits});
        let mut came = self.say(frame).await;
        let at = came.iter().position(|frame| frame["id"] == 81).expect("an answer");
        came.swap_remove(at)
    }
}

/// A member of its own connection, and what it was sent at first.
async fn member(host: &Arc<Host>, called: &str) -> (Client, Vec<Value>) {
    let mut client = Client::of(host).await;
    let came = client.join(called, json!({})).await;
    (client, came)
}

/// The `op`s of frames, with the partitions of `t` that each is about.
fn told(frames: &[Value]) -> Vec<String> {
    let told = |frame: &Value| match frame["op"].as_str().unwrap() {
        "records" => {
            let partition = &frame["partition"];
            format!("records {partition} {}", texts_of(frame).join(","))
        }
        op @ ("assigned" | "revoking" | "revoked") => {
            let partitions = &frame["partitions"]["t"];
            format!(
                "{op} {}",
                if partitions.is_null() { "-".into() } else { partitions.to_string() }
            )
        }
        "error" | "unsubscribed" => {
            format!(
                "{} {}",
                frame["op"].as_str().unwrap(),
                frame["problem"]["code"].as_str().unwrap()
            )
        }
        op => op.to_owned(),
    };
    frames.iter().map(told).collect()
}

/// Publishes one text to each of these partitions of `t`.
async fn put(host: &Arc<Host>, records: &[(u32, &str)]) {
    let records: Vec<_> = records
        .iter()
        .map(|(partition, text)| json!({"partition": partition, "text": text}))
        .collect();
    publish_records(host, "t", json!(records)).await;
}

/// The generation that was told last.
fn generation(frames: &[Value]) -> u64 {
    frames.iter().rev().find_map(|frame| frame["generation"].as_u64()).expect("a generation")
}
