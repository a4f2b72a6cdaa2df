//! Server-sent events: a stream that a browser follows, and comes back to.

use crate::{
    util::{Gateway, on_every_engine, values},
    ws_util::Socket,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::{collections::VecDeque, time::Duration};
use tidegate::domain::{Cursor, Epoch, Offset, PartitionId, Position};

on_every_engine! {
    a_stream_begins_with_hello_and_its_position;
    records_come_by_batch_each_with_its_cursor;
    a_browser_goes_on_by_its_last_event;
    one_cursor_serves_every_transport;
    several_topics_come_as_one_stream;
    keys_are_followed_live_and_from_history;
    losses_and_the_end_of_the_topic_are_told;
    a_topic_made_again_is_another;
    what_cannot_begin_is_a_problem;
    an_idle_or_stalled_client_that_leaves_is_forgotten;
    a_client_that_falls_behind_misses_nothing;
}

const RECORDS: &str = "/v1/topics/t/records";

/// A client that takes events as they come.
struct Client {
    response: reqwest::Response,
    text: String,
    told: VecDeque<Event>,
}

#[derive(Debug)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

impl Client {
    async fn send(request: RequestBuilder) -> Client {
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-cache, no-transform");
        assert_eq!(header("x-accel-buffering"), "no");
        Client { response, text: String::new(), told: VecDeque::new() }
    }

    async fn open(gateway: &Gateway, path: &str) -> Client {
        Client::send(gateway.request(Method::GET, path)).await
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk());
            let chunk = chunk.await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                self.told.push_back(Event::parse(&block));
            }
        }
    }

    /// The next event of this name.
    async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect(name);
            if event.name == name {
                return event;
            }
        }
    }

    /// The values of the next `n` records, and the last event's id.
    async fn values(&mut self, n: usize) -> (Vec<Value>, String) {
        let (mut all, mut id) = (vec![], String::new());
        while all.len() < n {
            let event = self.until("records").await;
            all.extend(values(&event.data));
            id = event.id.unwrap();
        }
        (all, id)
    }
}

impl Event {
    fn parse(block: &str) -> Event {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Event {
            name: field("event: ").unwrap().to_owned(),
            id: field("id: ").map(str::to_owned),
            data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
        }
    }
}

/// Waits until this many partitions are followed.
async fn followed(gateway: &Gateway, n: usize) {
    let line = format!("tidegate_followed_partitions {n}\n");
    while !gateway.get("/metrics").await.text().contains(&line) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_stream_begins_with_hello_and_its_position(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let mut client = Client::open(gateway, RECORDS).await;
    let hello = client.next().await.unwrap();
    assert_eq!((hello.name.as_str(), hello.id), ("hello", None));
    assert_eq!(hello.data["version"], "tidegate.v1");
    assert_eq!(hello.data["heartbeat_ms"], 25_000);
    let position = client.next().await.unwrap();
    assert_eq!(position.name, "position");
    assert_eq!(position.data["cursor"], *position.id.unwrap());
    let head = gateway.request(Method::HEAD, RECORDS).header("accept", "text/event-stream");
    let head = gateway.send(head).await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
}

async fn records_come_by_batch_each_with_its_cursor(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut client = Client::open(gateway, &format!("{RECORDS}?from=latest&as=text")).await;
    client.until("position").await;
    gateway.publish("t", json!([{"value": 1}, {"key": "k", "text": "two\nlines"}])).await;
    let event = client.until("records").await;
    let data = &event.data;
    assert_eq!((&data["topic"], &data["partition"]), (&json!("t"), &json!(0)));
    assert_eq!((&data["epoch"], &data["next"]), (&json!(0), &json!(2)));
    assert_eq!(values(data), ["1", "two\nlines"]);
    assert_eq!(data["records"][1]["key"], "k");
    for n in 0..10 {
        gateway.publish("t", json!([{"value": n}])).await;
    }
    // Whichever of them a client was cut off after, it goes on after that.
    let mut seen = 0;
    while seen < 10 {
        let event = client.until("records").await;
        seen += event.data["records"].as_array().unwrap().len();
        let rest = format!("{RECORDS}?cursor={}", event.id.unwrap());
        assert_eq!(gateway.page(&rest).await["records"].as_array().unwrap().len(), 10 - seen);
    }
}

async fn a_browser_goes_on_by_its_last_event(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"value": 0}, {"value": 1}])).await;
    let old = gateway.page(&format!("{RECORDS}?limit=1")).await["cursor"].clone();
    let mut client = Client::open(gateway, RECORDS).await;
    let (_, id) = client.values(2).await;
    drop(client);
    gateway.publish("t", json!([{"value": 2}])).await;
    // A browser asks for the address it has, whatever that says of the start.
    for query in ["from=latest".to_owned(), format!("cursor={}", old.as_str().unwrap())] {
        let request = gateway.request(Method::GET, &format!("{RECORDS}?{query}"));
        let mut again = Client::send(request.header("last-event-id", &id)).await;
        assert_eq!(again.values(1).await.0, [2], "{query}");
    }
    let mut by_cursor = Client::open(gateway, &format!("{RECORDS}?from=latest&cursor={id}")).await;
    assert_eq!(by_cursor.values(1).await.0, [2]);
    let request = gateway.request(Method::GET, RECORDS).header("accept", "text/event-stream");
    let refused = gateway.send(request.header("last-event-id", "nonsense")).await;
    assert_eq!(refused.refused(), "400 cursor_damaged");
}

/// Reads over a WebSocket until `seen` has more, and answers where that ends.
async fn over_a_socket(gateway: &Gateway, cursor: &str, seen: &mut Vec<u64>) -> String {
    let mut socket = Socket::open(gateway).await;
    let subscribe = json!({"op": "subscribe", "id": 1, "sub": 1, "topics": ["t"], "credit": 7,
        "from": {"cursor": cursor}});
    let ok = socket.ask(subscribe).await;
    assert_eq!(ok["cursor"], cursor, "{ok}");
    let mut cursor = Cursor::decode(cursor).unwrap();
    let positions = &mut cursor.topics.values_mut().next().unwrap().partitions;
    let mut credit = 7;
    while credit > 0 {
        let frame = socket.news().await;
        let records = frame["records"].as_array().unwrap();
        seen.extend(records.iter().map(|record| record["value"].as_u64().unwrap()));
        credit -= records.len();
        let number = |name: &str| frame[name].as_u64().unwrap();
        let (epoch, next) = (Epoch(number("epoch") as u32), Offset(number("next")));
        positions.insert(PartitionId(number("partition") as u32), Position { epoch, next });
    }
    socket.close().await;
    cursor.encode()
}

async fn one_cursor_serves_every_transport(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let numbers: Vec<_> = (0..30).map(|n| json!({"key": n.to_string(), "value": n})).collect();
    gateway.publish("t", json!(numbers)).await;
    let lines = gateway.request(Method::GET, &format!("{RECORDS}?limit=9"));
    let lines = gateway.send(lines.header("accept", "application/x-ndjson")).await.text();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut seen: Vec<_> =
        lines.iter().filter_map(|line| line.get("value")).map(|v| v.as_u64().unwrap()).collect();
    assert_eq!(seen.len(), 9);
    let cursor = lines.last().unwrap()["cursor"].as_str().unwrap();
    let cursor = over_a_socket(gateway, cursor, &mut seen).await;
    assert_eq!(seen.len(), 16);
    let page = gateway.page(&format!("{RECORDS}?limit=1&cursor={cursor}")).await;
    seen.extend(values(&page).iter().map(|v| v.as_u64().unwrap()));
    let cursor = page["cursor"].as_str().unwrap();
    let mut client = Client::open(gateway, &format!("{RECORDS}?cursor={cursor}")).await;
    let (values_of_events, id) = client.values(1).await;
    seen.extend(values_of_events.iter().map(|v| v.as_u64().unwrap()));
    let page = gateway.page(&format!("{RECORDS}?cursor={id}")).await;
    seen.extend(values(&page).iter().map(|v| v.as_u64().unwrap()));
    // And to where it follows: what comes from now on.
    let mut socket = Socket::open(gateway).await;
    socket.subscribe("t", json!({"cursor": page["cursor"]})).await;
    gateway.publish("t", json!([{"value": 30}])).await;
    assert_eq!(socket.values(1).await, [json!(30)]);
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
}

async fn several_topics_come_as_one_stream(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gateway.topic("u", 1).await;
    let mut events = Client::open(gateway, "/v1/records?topic=t&topic=u&from=latest").await;
    events.until("position").await;
    let request =
        gateway.request(Method::GET, "/v1/records?topic=t&topic=u&from=latest&follow=true");
    let lines = request.header("accept", "application/x-ndjson").send().await.unwrap();
    gateway.publish("u", json!([{"value": "of u"}])).await;
    let of_u = events.until("records").await;
    assert_eq!((&of_u.data["topic"], values(&of_u.data)), (&json!("u"), vec![json!("of u")]));
    gateway.publish("t", json!([{"value": "of t"}])).await;
    let of_t = events.until("records").await;
    assert_eq!((&of_t.data["topic"], values(&of_t.data)), (&json!("t"), vec![json!("of t")]));
    // The same as lines, and the cursor of the events for both.
    let (mut lines, mut text) = (lines, String::new());
    while !(text.contains("\"of t\"") && text.contains("\"of u\"")) {
        let chunk = tokio::time::timeout(Duration::from_secs(20), lines.chunk()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    assert!(text.contains("\"topic\":\"u\""), "{text}");
    let rest = format!("/v1/records?topic=t&topic=u&cursor={}", of_t.id.unwrap());
    assert_eq!(gateway.page(&rest).await["records"], json!([]));
}

async fn keys_are_followed_live_and_from_history(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let both = json!([{"key": "a", "value": 1}, {"key": "b", "value": 2}]);
    gateway.publish("t", both.clone()).await;
    let mut client = Client::open(gateway, &format!("{RECORDS}?key=a")).await;
    assert_eq!(client.values(1).await.0, [1]);
    followed(gateway, 2).await;
    for n in 0..20 {
        gateway.publish("t", json!([{"key": "b", "value": n}, {"key": "a", "value": n}])).await;
        let (values, id) = client.values(1).await;
        assert_eq!(values, [n]);
        let rest = gateway.page(&format!("{RECORDS}?key=a&cursor={id}")).await;
        assert_eq!(rest["records"], json!([]));
    }
    drop(client);
    followed(gateway, 0).await;
}

async fn losses_and_the_end_of_the_topic_are_told(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"value": 0}, {"value": 1}, {"value": 2}])).await;
    let first = gateway.page(&format!("{RECORDS}?limit=1")).await;
    let body = json!({"partition": 0, "before": {"offset": 2}});
    gateway.json(Method::POST, "/v1/topics/t/trim", &body).await;
    let path = format!("{RECORDS}?cursor={}", first["cursor"].as_str().unwrap());
    let mut client = Client::open(gateway, &path).await;
    client.until("position").await;
    let lost = client.next().await.unwrap();
    assert_eq!(lost.name, "lost");
    let notice = json!({"topic": "t", "partition": 0, "from": 1, "to": 1, "reason": "trimmed"});
    assert_eq!(lost.data, notice);
    assert_eq!(client.values(1).await.0, [2]);
    gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    let closing = client.next().await.unwrap();
    assert_eq!((closing.name.as_str(), &closing.data["reconnect"]), ("closing", &json!(false)));
    assert_eq!(closing.data["problem"]["code"], "topic_unknown");
    assert!(client.next().await.is_none());
}

async fn a_topic_made_again_is_another(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"value": "old"}])).await;
    let mut events = Client::open(gateway, RECORDS).await;
    let mut of_key = Client::open(gateway, &format!("{RECORDS}?key=a&from=latest")).await;
    let (_, id) = events.values(1).await;
    of_key.until("position").await;
    gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"key": "a", "value": "new"}])).await;
    for client in [&mut events, &mut of_key] {
        let closing = client.next().await.unwrap();
        assert_eq!(
            (closing.name.as_str(), closing.data["reason"].clone()),
            ("closing", json!("failed"))
        );
        assert!(client.next().await.is_none());
    }
    let request = gateway.request(Method::GET, RECORDS).header("accept", "text/event-stream");
    let again = gateway.send(request.header("last-event-id", id)).await;
    assert_eq!(again.refused(), "410 cursor_topic_gone");
    assert_eq!(values(&gateway.page(RECORDS).await), ["new"]);
}

async fn what_cannot_begin_is_a_problem(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    for (path, refusal) in [
        ("/v1/topics/none/records".to_owned(), "404 topic_unknown"),
        (format!("{RECORDS}?limit=5"), "400 parameters_conflict"),
        (format!("{RECORDS}?wait_ms=5"), "400 parameters_conflict"),
        (format!("{RECORDS}?partition=7"), "404 partition_unknown"),
        (format!("{RECORDS}?cursor=x"), "400 cursor_damaged"),
    ] {
        let request = gateway.request(Method::GET, &path).header("accept", "text/event-stream");
        assert_eq!(gateway.send(request).await.refused(), refusal, "{path}");
    }
}

async fn an_idle_or_stalled_client_that_leaves_is_forgotten(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let mut clients = vec![];
    for query in ["", "?key=a", "?key=b&from=latest"] {
        let mut client = Client::open(gateway, &format!("{RECORDS}{query}")).await;
        client.until("position").await;
        clients.push(client);
    }
    let text = "x".repeat(10_000);
    for n in 0..50 {
        gateway.publish("t", json!([{"key": "a", "value": n, "headers": {"x": text}}])).await;
    }
    drop(clients);
    followed(gateway, 0).await;
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("tidegate_readers 0\n"), "{metrics}");
    assert!(metrics.contains("tidegate_follow_bytes 0\n"), "{metrics}");
}

async fn a_client_that_falls_behind_misses_nothing(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut slow = Client::open(gateway, &format!("{RECORDS}?from=latest")).await;
    let mut quick = Client::open(gateway, &format!("{RECORDS}?from=latest")).await;
    slow.until("position").await;
    quick.until("position").await;
    let text = "x".repeat(20_000);
    let batch = |n: usize| {
        let record = |i| json!({"value": 20 * n + i, "headers": {"x": text}});
        json!((0..20).map(record).collect::<Vec<_>>())
    };
    for n in 0..60 {
        gateway.publish("t", batch(n)).await;
        quick.values(20).await;
    }
    let (values, _) = slow.values(1_200).await;
    assert_eq!(values, (0..1_200).map(Value::from).collect::<Vec<_>>());
    gateway.publish("t", json!([{"value": "live"}])).await;
    assert_eq!(slow.values(1).await.0, ["live"]);
}
