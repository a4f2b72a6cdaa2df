//! What a reader that cannot get a record is told: which, and why, before the
//! next one.

use crate::util::{Gateway, on_every_engine};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tidegate::config::{Config, EngineKind};

on_every_engine! {
    a_follower_that_retention_overtakes_is_told with small_volumes;
}

const RECORDS: &str = "/v1/topics/t/records";

fn small_volumes(config: &mut Config) {
    config.sled.roll_bytes = 4 << 20;
}

/// The start of partition 0 of `t`.
async fn start(gateway: &Gateway) -> u64 {
    gateway.page("/v1/topics/t").await["partition_list"][0]["start"].as_u64().unwrap()
}

async fn a_follower_that_retention_overtakes_is_told(gateway: &Gateway) {
    let body = json!({"partitions": 1, "retention_bytes": 65_536, "durability": "buffered"});
    assert_eq!(gateway.json(Method::PUT, "/v1/topics/t", &body).await.status, 201);
    let request = gateway.request(Method::GET, &format!("{RECORDS}?follow=true"));
    let mut follower = request.header("accept", "application/x-ndjson").send().await.unwrap();
    // Far more than lies on the way to a client that does not read.
    let text = "x".repeat(90_000);
    for n in 0..300 {
        let record = |i| json!({"value": 4 * n + i, "headers": {"a": &text[..30_000]}, "key": "k"});
        let records: Vec<_> = (0..4).map(record).collect();
        gateway.publish("t", json!(records)).await;
    }
    while start(gateway).await < 1_000 {
        gateway.publish("t", json!([{"text": text}])).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.publish("t", json!([{"value": "last"}])).await;
    let (mut text, mut next, mut lost) = (String::new(), 0, 0);
    'read: loop {
        let chunk = tokio::time::timeout(Duration::from_secs(20), follower.chunk()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        while let Some(end) = text.find('\n') {
            let line: Value =
                serde_json::from_str(&text.drain(..=end).collect::<String>()).unwrap();
            if line["op"] == "lost" {
                assert_eq!((&line["from"], &line["reason"]), (&json!(next), &json!("retention")));
                next = line["to"].as_u64().unwrap() + 1;
                lost += 1;
            } else if let Some(offset) = line.get("offset") {
                assert_eq!(*offset, next);
                next += 1;
            }
            if line["value"] == "last" {
                break 'read;
            }
        }
    }
    assert!(lost > 0);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What the disk held at one moment becomes the store after a power cut: what
/// came later, though it was read, is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_a_tail_that_a_crash_took_is_told_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    let at = |config: &mut Config, path: &Path| {
        config.data_dir = path.to_owned();
        config.sled.data_dir = path.to_owned();
    };
    let gateway = Gateway::start(EngineKind::Sled, |config| at(config, &before)).await;
    let body = json!({"partitions": 1, "durability": "buffered"});
    assert_eq!(gateway.json(Method::PUT, "/v1/topics/t", &body).await.status, 201);
    gateway.publish("t", json!([{"value": 0}, {"value": 1}])).await;
    // Buffered records are synced every 100 ms; the copy is one of a quiet disk.
    tokio::time::sleep(Duration::from_millis(500)).await;
    copy(&before, &after);
    gateway.publish("t", json!([{"value": "gone"}, {"value": "gone too"}])).await;
    let cursor = gateway.page(RECORDS).await["cursor"].as_str().unwrap().to_owned();
    gateway.stop().await;

    let gateway = Gateway::start(EngineKind::Sled, |config| at(config, &after)).await;
    gateway.publish("t", json!([{"value": "new"}])).await;
    let request = gateway.request(Method::GET, RECORDS).header("last-event-id", &cursor);
    let mut events = request.header("accept", "text/event-stream").send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\"new\"") {
        let chunk = tokio::time::timeout(Duration::from_secs(20), events.chunk()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    let lost = "\"partition\":0,\"from\":2,\"to\":3,\"reason\":\"truncated\"}";
    assert!(text.contains(lost), "{text}");
    assert!(text.find(lost) < text.find("\"new\""));
    assert!(text.contains("\"epoch\":1,\"next\":3"), "{text}");
    drop(events);
    let page = gateway.page(&format!("{RECORDS}?cursor={cursor}")).await;
    assert_eq!(
        (&page["lost"][0]["reason"], page["records"].as_array().unwrap().len()),
        (&json!("truncated"), 1)
    );
    gateway.stop().await;
}
