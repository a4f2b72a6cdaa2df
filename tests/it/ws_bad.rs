//! WebSocket clients that are wrong, rude or gone: each bad frame has its
//! answer, and nothing is left behind of anybody.

use crate::{
    util::{Gateway, Raw, on_every_engine},
    ws_util::Socket,
};
use futures_util::SinkExt;
use serde_json::json;
use std::time::Duration;
use tidegate::config::Config;
use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

on_every_engine! {
    every_bad_frame_has_its_close_code with small;
    every_wrong_frame_has_its_error;
    too_many_subscriptions_are_refused;
    a_frame_that_never_ends_is_not_waited_for with small;
    a_stalled_socket_costs_little_and_gets_all;
    nothing_is_left_of_clients_that_vanish with small;
}

fn small(config: &mut Config) {
    config.session.frame_bytes = 64 << 10;
    config.session.heartbeat = Duration::from_millis(300);
    config.session.ping_timeout = Duration::from_millis(500);
}

fn data(kind: Data, bytes: &'static [u8], last: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(kind), last))
}

async fn every_bad_frame_has_its_close_code(gateway: &Gateway) {
    let large = "x".repeat(65 << 10);
    let frames: Vec<(Message, &str)> = vec![
        ("".into(), "json_invalid"),
        ("{".into(), "json_invalid"),
        ("{\"op\":\"ping\",\"id\":1}x".into(), "json_invalid"),
        ("[]".into(), "frame_invalid"),
        ("null".into(), "frame_invalid"),
        ("{\"id\":1}".into(), "frame_invalid"),
        ("{\"op\":7}".into(), "frame_invalid"),
        ("{\"op\":\"ping\",\"id\":1,\"id\":1}".into(), "frame_invalid"),
        (large.into(), "frame_too_large"),
        (Message::Binary(Bytes::from_static(b"{\"op\":\"ping\",\"id\":1}")), "frame_invalid"),
        (data(Data::Text, b"\xff\xfe", true), "frame_invalid"),
        (data(Data::Continue, b"{}", true), "frame_invalid"),
    ];
    for (frame, code) in frames {
        let told = format!("{frame:?}");
        let mut socket = Socket::open(gateway).await;
        socket.0.send(frame).await.unwrap();
        let (closing, closed) = socket.closed().await;
        let got = (closed, closing["problem"]["code"].as_str());
        assert_eq!(got, (4500, Some(code)), "{}: {closing}", &told[..told.len().min(100)]);
        assert_eq!(closing["reconnect"], false);
    }
    // A second message before the first is whole.
    let mut socket = Socket::open(gateway).await;
    socket.0.send(data(Data::Text, b"{", false)).await.unwrap();
    socket.0.send(data(Data::Text, b"{", true)).await.unwrap();
    assert_eq!(socket.closed().await.1, 4500);
    // What no library would send: an unmasked frame, operations that are
    // reserved, a bit that no extension gave a meaning, pings too long or cut.
    let long_ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], [0; 126].as_slice()].concat();
    for frame in [
        &[0x81, 0x02, b'{', b'}'][..],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x8b, 0x80, 0, 0, 0, 0],
        &[0xc1, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &long_ping,
        &[0x88, 0x81, 0, 0, 0, 0, 3],
    ] {
        let mut raw = upgraded(gateway).await;
        raw.send(frame).await;
        assert!(raw.until_closed().await.contains("bad_frame"), "{frame:x?}");
    }
}

/// A client that speaks by hand once the connection is upgraded.
async fn upgraded(gateway: &Gateway) -> Raw {
    let mut raw = Raw::connect(gateway).await;
    raw.send(HANDSHAKE).await;
    raw.until("\"op\":\"hello\"").await;
    raw
}

const HANDSHAKE: &str = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidegate.v1\r\n\r\n";

async fn every_wrong_frame_has_its_error(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut socket = Socket::open(gateway).await;
    let subscribe = |more: serde_json::Value| {
        let mut frame = json!({"op": "subscribe", "id": 1, "sub": 5, "topics": ["t"]});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        frame
    };
    for (frame, code) in [
        (json!({"op": "dance", "id": 1}), "op_unknown"),
        (json!({"op": "ping", "id": 1, "extra": true}), "frame_invalid"),
        (json!({"op": "join", "id": 1, "sub": 8, "group": "g"}), "frame_invalid"),
        (json!({"op": "unsubscribe", "id": 1, "sub": 5}), "subscription_unknown"),
        (subscribe(json!({"topics": ["none"]})), "topic_unknown"),
        (subscribe(json!({"topics": []})), "frame_invalid"),
        (subscribe(json!({"partitions": [9]})), "partition_unknown"),
        (subscribe(json!({"from": {"cursor": "AQ"}})), "cursor_damaged"),
        (subscribe(json!({"from": {"offset": 7}})), "offset_out_of_range"),
        (subscribe(json!({"from": {"time": "noon"}})), "timestamp_invalid"),
        (subscribe(json!({"encoding": "br"})), "frame_invalid"),
        (json!({"op": "publish", "id": 1, "topic": "t", "records": []}), "batch_empty"),
        (json!({"op": "publish", "id": 1, "topic": "t", "records": [7]}), "record_invalid"),
        (
            json!({"op": "publish", "id": 1, "topic": "none", "records": [{"text": ""}]}),
            "topic_unknown",
        ),
    ] {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(answer["problem"]["code"], code, "{frame}: {answer}");
    }
    assert_eq!(socket.ask(json!({"op": "ping", "id": 2})).await["op"], "pong");
}

async fn too_many_subscriptions_are_refused(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut socket = Socket::open(gateway).await;
    let subscribe = |n: u64| json!({"op": "subscribe", "id": n, "sub": n, "topics": ["t"]});
    let (mut taken, mut refused) = (0, 0);
    for n in 0..10_000 {
        let answer = socket.ask(subscribe(n)).await;
        match answer["problem"]["code"].as_str() {
            None => taken += 1,
            Some("subscriptions_full") => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, refused), (256, 10_000 - 256));
    gateway.publish("t", json!([{"value": 1}])).await;
    assert_eq!(socket.values(256).await.len(), 256);
}

async fn a_frame_that_never_ends_is_not_waited_for(gateway: &Gateway) {
    let mut raw = upgraded(gateway).await;
    // A masked frame of 60,000 bytes of which three come.
    raw.send([0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0, b'{', b'"', b'o']).await;
    assert!(raw.until_closed().await.contains("ping_timeout"));
}

async fn a_stalled_socket_costs_little_and_gets_all(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut stalled = Socket::open(gateway).await;
    stalled.subscribe("t", json!("latest")).await;
    let text = "x".repeat(10_000);
    let batch: Vec<_> = (0..100).map(|_| json!({ "text": text })).collect();
    for _ in 0..40 {
        gateway.publish("t", json!(batch)).await;
    }
    // 40 MB are more than the sockets hold. All of it comes, in order.
    let mut next = 0;
    while next < 4_000 {
        let frame = stalled.news().await;
        if frame["op"] == "records" {
            for record in frame["records"].as_array().unwrap() {
                assert_eq!(record["offset"], next);
                next += 1;
            }
        }
    }
}

async fn nothing_is_left_of_clients_that_vanish(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    // One before, so that what is made once is there.
    Socket::open(gateway).await.close().await;
    let before = gateway.tasks();
    let mut rng = fastrand::Rng::with_seed(7);
    let subscribe = json!({"op": "subscribe", "id": 1, "sub": 1, "topics": ["t"]}).to_string();
    let masked = |text: &str| {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        frame
    };
    let script =
        [HANDSHAKE.as_bytes(), &masked(&subscribe), &masked("{\"op\":\"ping\",\"id\":2}")].concat();
    for _ in 0..150 {
        // Cut at any byte of what a client says, sometimes followed by garbage.
        let mut raw = Raw::connect(gateway).await;
        raw.send(&script[..rng.usize(..=script.len())]).await;
        if rng.bool() {
            let garbage: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
            raw.send(garbage).await;
        }
        if rng.bool() {
            tokio::time::sleep(Duration::from_millis(rng.u64(..5))).await;
        }
    }
    // One that floods pings and reads nothing.
    let mut flood = upgraded(gateway).await;
    let pings: Vec<u8> = [0x89, 0x80, 0, 0, 0, 0].repeat(20_000);
    flood.send(pings).await;
    drop(flood);
    for _ in 0..200 {
        let metrics = gateway.get("/metrics").await.text();
        let gone = ["tidegate_sessions 0", "tidegate_subscriptions 0", "tidegate_readers 0"];
        // The caller of this test keeps a connection of its own; each one that
        // is counted is a descriptor.
        let open = ["tidegate_connections 1", "tidegate_connections 0"];
        let closed = open.iter().any(|line| metrics.contains(&format!("{line}\n")));
        if closed && gone.iter().all(|line| metrics.contains(line)) && gateway.tasks() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} tasks were {before}\n{}", gateway.tasks(), gateway.get("/metrics").await.text());
}
