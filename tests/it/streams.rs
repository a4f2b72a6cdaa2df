//! NDJSON both ways: uploads of any length, downloads to the tail and beyond.

use crate::util::{Gateway, on_every_engine};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

on_every_engine! {
    an_upload_is_stored_in_order_and_answered_at_its_end;
    an_upload_in_small_pieces_is_the_same;
    an_upload_that_breaks_off_says_how_much_is_stored;
    an_upload_without_records_or_with_a_key_is_refused;
    a_download_ends_at_the_tail_with_its_cursor;
    a_download_of_much_is_complete;
    a_download_follows_the_tail;
    a_follower_is_told_of_losses_and_of_the_end;
    a_follower_that_leaves_is_forgotten;
}

const RECORDS: &str = "/v1/topics/t/records";
const NDJSON: &str = "application/x-ndjson";

fn lines(n: usize) -> String {
    (0..n).map(|i| format!("{{\"key\":\"k{}\",\"value\":{{\"n\":{i}}}}}\n", i % 50)).collect()
}

/// The lines of an answer, and whether each is a record or a control line.
fn parsed(text: &str) -> (Vec<Value>, Vec<Value>) {
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.partition(|line| line.get("op").is_none())
}

async fn download(gateway: &Gateway, query: &str) -> (Vec<Value>, Vec<Value>) {
    let request = gateway.request(Method::GET, &format!("{RECORDS}{query}"));
    let reply = gateway.send(request.header("accept", NDJSON)).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, NDJSON), "{}", reply.text());
    parsed(&reply.text())
}

async fn an_upload_is_stored_in_order_and_answered_at_its_end(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let body = format!("{}\n\n  \n{{\"text\":\"last, without an end\"}}", lines(40_000));
    let reply = gateway.body(Method::POST, RECORDS, NDJSON, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.value();
    assert_eq!(answer["published"], 40_001);
    let ranges = answer["ranges"].as_array().unwrap();
    assert_eq!(ranges.iter().map(|r| r["count"].as_u64().unwrap()).sum::<u64>(), 40_001);
    assert_eq!(ranges.len(), 3);
    let (records, _) = download(gateway, "").await;
    assert_eq!(records.len(), 40_001);
    // In each partition in the order of the lines.
    let mut last = [-1i64; 3];
    for record in &records {
        let partition = record["partition"].as_u64().unwrap() as usize;
        let n = record["value"]["n"].as_i64().unwrap_or(i64::MAX);
        assert!(n > last[partition], "{record}");
        last[partition] = n;
    }
}

async fn an_upload_in_small_pieces_is_the_same(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let text = lines(200);
    let pieces: Vec<_> = text.as_bytes().chunks(37).map(Bytes::copy_from_slice).collect();
    let pieces = stream::iter(pieces).map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap_stream(pieces);
    let reply = gateway.body(Method::POST, RECORDS, NDJSON, body).await;
    assert_eq!(reply.value()["published"], 200, "{}", reply.text());
    let (records, _) = download(gateway, "").await;
    let numbers: Vec<_> = records.iter().map(|r| r["value"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

async fn an_upload_that_breaks_off_says_how_much_is_stored(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    // More than one chunk, then a line that is no record.
    let good = 60_000;
    let body = format!("{}{{\"key\":1}}\n{}", lines(good), lines(5));
    let reply = gateway.body(Method::POST, RECORDS, NDJSON, body).await;
    assert_eq!(reply.refused(), "400 record_invalid");
    let problem = reply.value();
    assert_eq!(problem["line"], good + 1);
    assert_eq!(problem["may_have_happened"], true);
    let durable = problem["durable_lines"].as_u64().unwrap();
    assert!(durable > 0 && durable <= good as u64, "{problem}");
    let (records, _) = download(gateway, "").await;
    assert_eq!(records.len() as u64, durable);

    let reply = gateway.body(Method::POST, RECORDS, NDJSON, "{\"text\":\"a\"}\n{\"text\":").await;
    assert_eq!(reply.refused(), "400 json_invalid");
    let problem = reply.value();
    assert_eq!((&problem["line"], &problem["durable_lines"]), (&json!(2), &json!(0)));
    assert_eq!(problem["may_have_happened"], false);
}

async fn an_upload_without_records_or_with_a_key_is_refused(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    for body in ["", "\n \n"] {
        let reply = gateway.body(Method::POST, RECORDS, NDJSON, body).await;
        assert_eq!(reply.refused(), "400 batch_empty");
    }
    let request = gateway.request(Method::POST, RECORDS).header("idempotency-key", "k");
    let reply = gateway.send(request.header("content-type", NDJSON).body(lines(1))).await;
    assert_eq!(reply.refused(), "400 idempotency_not_for_stream");
}

async fn a_download_ends_at_the_tail_with_its_cursor(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let (records, control) = download(gateway, "").await;
    assert_eq!(records, [json!(null); 0]);
    let ops: Vec<_> = control.iter().map(|c| c["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["cursor", "end"]);
    gateway.publish("t", json!([{"value": 1}, {"value": 2}, {"value": 3}])).await;
    let cursor = control[1]["cursor"].as_str().unwrap();
    let (records, control) = download(gateway, &format!("?cursor={cursor}")).await;
    assert_eq!(records.len(), 3);
    let end = control.last().unwrap();
    assert_eq!((&end["op"], &end["records"]), (&json!("end"), &json!(3)));
    let (records, _) = download(gateway, "?limit=2").await;
    assert_eq!(records.len(), 2);
    // The cursor of a stream goes on as a page.
    let path = format!("{RECORDS}?cursor={}", end["cursor"].as_str().unwrap());
    assert_eq!(gateway.page(&path).await["records"], json!([]));
}

async fn a_download_of_much_is_complete(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let text = "x".repeat(2_000);
    for batch in 0..10 {
        let records: Vec<_> = (0..500)
            .map(|i| json!({"value": batch * 500 + i, "headers": {"fill": text}}))
            .collect();
        gateway.publish("t", json!(records)).await;
    }
    let (records, control) = download(gateway, "").await;
    let mut numbers: Vec<_> = records.iter().map(|r| r["value"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5_000).collect::<Vec<_>>());
    // Told on the way, and each one is good to go on from.
    let cursors = control.iter().filter(|c| c["op"] == "cursor");
    assert!(cursors.count() >= 3);
    let middle = control[control.len() / 2]["cursor"].as_str().unwrap().to_owned();
    let (rest, _) = download(gateway, &format!("?cursor={middle}")).await;
    assert!(!rest.is_empty() && rest.len() < 5_000);
}

/// A follower's lines as they come.
struct Follower {
    response: reqwest::Response,
    text: String,
}

impl Follower {
    async fn open(gateway: &Gateway, query: &str) -> Follower {
        let request = gateway.request(Method::GET, &format!("{RECORDS}?follow=true{query}"));
        let response = request.header("accept", NDJSON).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Follower { response, text: String::new() }
    }

    /// The next line; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let line = serde_json::from_str(line).unwrap();
                self.text = rest.to_owned();
                return Some(line);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk());
            let chunk = chunk.await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next line that is no cursor.
    async fn news(&mut self) -> Option<Value> {
        loop {
            let line = self.next().await?;
            if line["op"] != "cursor" {
                return Some(line);
            }
        }
    }
}

async fn a_download_follows_the_tail(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gateway.publish("t", json!([{"value": "old"}])).await;
    let mut follower = Follower::open(gateway, "&from=earliest").await;
    assert_eq!(follower.next().await.unwrap()["op"], "cursor");
    assert_eq!(follower.news().await.unwrap()["value"], "old");
    for n in 0..20 {
        gateway.publish("t", json!([{ "value": n }])).await;
        assert_eq!(follower.news().await.unwrap()["value"], n);
    }
    // A little later it is told where it stands.
    let line = follower.next().await.unwrap();
    assert_eq!(line["op"], "cursor");
    let path = format!("{RECORDS}?cursor={}", line["cursor"].as_str().unwrap());
    assert_eq!(gateway.page(&path).await["records"], json!([]));
}

async fn a_follower_is_told_of_losses_and_of_the_end(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"value": 0}, {"value": 1}, {"value": 2}])).await;
    let first = gateway.page(&format!("{RECORDS}?limit=1")).await;
    let body = json!({"partition": 0, "before": {"offset": 2}});
    gateway.json(Method::POST, "/v1/topics/t/trim", &body).await;
    let query = format!("&cursor={}", first["cursor"].as_str().unwrap());
    let mut follower = Follower::open(gateway, &query).await;
    let lost = follower.news().await.unwrap();
    assert_eq!((&lost["op"], &lost["from"], &lost["to"]), (&json!("lost"), &json!(1), &json!(1)));
    assert_eq!(follower.news().await.unwrap()["value"], 2);
    gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    let last = follower.news().await.unwrap();
    assert_eq!((&last["op"], &last["problem"]["code"]), (&json!("error"), &json!("topic_unknown")));
    assert_eq!(follower.next().await, None);
}

async fn a_follower_that_leaves_is_forgotten(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let readers = async || {
        let metrics = gateway.get("/metrics").await.text();
        let line = metrics.lines().find(|l| l.starts_with("tidegate_readers ")).unwrap().to_owned();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    let mut follower = Follower::open(gateway, "").await;
    follower.next().await.unwrap();
    assert_eq!(readers().await, 1);
    drop(follower);
    for _ in 0..100 {
        if readers().await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the reader of a client that left is still there");
}
