//! WebSocket as a client of good will sees it.

use crate::{
    util::{Gateway, Raw, on_every_engine},
    ws_util::{Socket, handshake},
};
use flate2::read::ZlibDecoder;
use futures_util::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::{io::Read, time::Duration};
use tidegate::config::Config;
use tokio_tungstenite::tungstenite::{Error, Message};

on_every_engine! {
    a_subscription_reads_what_is_there_and_what_comes;
    a_publish_is_stored_as_over_http;
    a_cursor_goes_from_one_transport_to_the_other;
    packed_records_open_to_the_same;
    a_topic_deleted_and_made_again_under_a_reader;
    a_hundred_clients_receive_the_same_in_order;
    silence_is_broken_by_heartbeats_and_pings with lively;
    the_handshake_says_what_is_wrong;
    browsers_are_told_on_the_socket with with_an_origin;
    one_socket_too_many_is_told with one_socket;
    a_fragmented_frame_is_one;
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(|n| json!(n)).collect()
}

fn records(range: std::ops::Range<u64>) -> Value {
    range.map(|n| json!({"value": n})).collect()
}

async fn a_subscription_reads_what_is_there_and_what_comes(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", records(0..3)).await;
    let mut socket = Socket::open(gateway).await;
    let ok = socket.subscribe("t", json!("earliest")).await;
    assert_eq!(ok["positions"]["t"]["partitions"], json!({"0": [0, 0]}));
    assert_eq!(socket.values(3).await, numbers(0..3));
    for n in 3..10 {
        gateway.publish("t", records(n..n + 1)).await;
        assert_eq!(socket.values(1).await, numbers(n..n + 1));
    }
    let pong = socket.ask(json!({"op": "ping", "id": 8})).await;
    assert_eq!(pong, json!({"op": "pong", "id": 8}));
    let ok = socket.ask(json!({"op": "unsubscribe", "id": 9, "sub": 1})).await;
    assert_eq!(ok["op"], "ok");
    socket.close().await;
}

async fn a_publish_is_stored_as_over_http(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let mut socket = Socket::open(gateway).await;
    let records = json!([{"key": "k", "value": {"n": 1.50}}, {"text": "x", "partition": 1}]);
    let publish = json!({"op": "publish", "id": 3, "topic": "t", "records": records,
        "idempotency_key": "once"});
    let ok = socket.ask(publish.clone()).await;
    assert_eq!((&ok["op"], &ok["records"][1]["partition"]), (&json!("ok"), &json!(1)));
    // A repeat is one, here and over HTTP.
    assert_eq!(socket.ask(publish).await["repeated"], true);
    let again = gateway
        .request(Method::POST, "/v1/topics/t/records")
        .header("idempotency-key", "once")
        .json(&json!({ "records": records }));
    let reply = gateway.send(again).await;
    assert_eq!(reply.value()["repeated"], true, "{}", reply.text());
    let page = gateway.page("/v1/topics/t/records").await;
    assert_eq!(page["records"].as_array().unwrap().len(), 2);
    let large = json!([{"text": "x".repeat(900_000)}]);
    let ok = socket.ask(json!({"op": "publish", "id": 4, "topic": "t", "records": large})).await;
    assert_eq!(ok["op"], "ok", "{ok}");
}

async fn a_cursor_goes_from_one_transport_to_the_other(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", records(0..4)).await;
    let page = gateway.page("/v1/topics/t/records?limit=1").await;
    let mut socket = Socket::open(gateway).await;
    let ok = socket.subscribe("t", json!({"cursor": page["cursor"]})).await;
    assert_eq!(ok["cursor"], page["cursor"]);
    assert_eq!(socket.values(3).await, numbers(1..4));
    let cursor = ok["cursor"].as_str().unwrap();
    let page = gateway.page(&format!("/v1/topics/t/records?cursor={cursor}")).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 3);
}

async fn packed_records_open_to_the_same(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut socket = Socket::open(gateway).await;
    for sub in [1, 2] {
        socket
            .ask(json!({"op": "subscribe", "id": 1, "sub": sub, "topics": ["t"],
                "encoding": "deflate"}))
            .await;
    }
    gateway.publish("t", records(0..100)).await;
    let mut subs = vec![];
    for _ in 0..2 {
        let Message::Binary(message) = socket.message().await else { panic!("no binary frame") };
        let length = usize::from(u16::from_be_bytes([message[0], message[1]]));
        let head: Value = serde_json::from_slice(&message[2..2 + length]).unwrap();
        let mut text = String::from("{");
        ZlibDecoder::new(&message[2 + length..]).read_to_string(&mut text).unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&head["op"], &body["next"]), (&json!("records"), &json!(100)));
        subs.push(head["sub"].as_u64().unwrap());
    }
    subs.sort_unstable();
    assert_eq!(subs, [1, 2]);
}

async fn a_topic_deleted_and_made_again_under_a_reader(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut socket = Socket::open(gateway).await;
    let ok = socket.subscribe("t", json!("latest")).await;
    assert_eq!(gateway.json(Method::DELETE, "/v1/topics/t", &json!({})).await.status, 204);
    let ended = socket.news().await;
    assert_eq!((&ended["op"], &ended["sub"]), (&json!("unsubscribed"), &json!(1)));
    gateway.topic("t", 1).await;
    gateway.publish("t", records(0..1)).await;
    let again = json!({"op": "subscribe", "id": 2, "sub": 1, "topics": ["t"],
        "from": {"cursor": ok["cursor"]}});
    assert_eq!(socket.ask(again).await["problem"]["code"], "cursor_topic_gone");
    socket.subscribe("t", json!("earliest")).await;
    assert_eq!(socket.values(1).await, numbers(0..1));
}

async fn a_hundred_clients_receive_the_same_in_order(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut sockets = vec![];
    for _ in 0..100 {
        let mut socket = Socket::open(gateway).await;
        socket.subscribe("t", json!("latest")).await;
        sockets.push(socket);
    }
    for n in 0..20 {
        gateway.publish("t", records(n * 10..n * 10 + 10)).await;
    }
    for socket in &mut sockets {
        assert_eq!(socket.values(200).await, numbers(0..200));
    }
    let metrics = gateway.get("/metrics").await.text();
    for line in [
        "tidegate_sessions 100",
        "tidegate_subscriptions 100",
        "tidegate_session_records_total 20000",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

fn lively(config: &mut Config) {
    config.session.heartbeat = Duration::from_millis(200);
    config.session.ping_timeout = Duration::from_millis(400);
    config.http.keep_alive_timeout = Duration::from_millis(300);
    config.http.header_timeout = Duration::from_millis(300);
}

async fn silence_is_broken_by_heartbeats_and_pings(gateway: &Gateway) {
    let mut socket = Socket::open(gateway).await;
    // Nobody but the socket itself answers the pings meanwhile.
    for _ in 0..8 {
        assert_eq!(socket.next().await, json!({"op": "heartbeat"}));
    }
    // One that is not read answers none.
    let mut silent = Socket::open(gateway).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    loop {
        let frame = silent.next().await;
        if frame["op"] == "closing" {
            assert_eq!(frame["reason"], "ping_timeout");
            assert_eq!(frame["reconnect"], true);
            break;
        }
    }
    let Message::Close(Some(frame)) = silent.message().await else { panic!("no close") };
    assert_eq!(u16::from(frame.code), 4002);
}

async fn the_handshake_says_what_is_wrong(gateway: &Gateway) {
    for protocol in [None, Some("mqtt")] {
        match handshake(gateway, protocol, &[]).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), 400);
                let problem: Value =
                    serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
                assert_eq!(problem["code"], "subprotocol_unsupported");
            }
            other => panic!("{:?}", other.err()),
        }
    }
    assert_eq!(gateway.get("/v1/ws").await.refused(), "426 upgrade_required");
    let mut foreign = Raw::connect(gateway).await;
    foreign.send("GET /v1/ws HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert!(foreign.until_closed().await.starts_with("HTTP/1.1 403 "));
    let bearer = handshake(gateway, Some("tidegate.v1, bearer.abc"), &[]).await;
    let (_, response) = bearer.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "tidegate.v1");
}

fn with_an_origin(config: &mut Config) {
    config.http.cors_origins = vec!["https://app.example".to_owned()];
}

async fn browsers_are_told_on_the_socket(gateway: &Gateway) {
    let own = format!("http://{}", gateway.address());
    let (mut ours, _) = handshake(gateway, Some("tidegate.v1"), &[("origin", &own)]).await.unwrap();
    assert_eq!(ours.next().await["op"], "hello");
    let named = [("origin", "https://app.example")];
    let (mut named, _) = handshake(gateway, Some("tidegate.v1"), &named).await.unwrap();
    assert_eq!(named.next().await["op"], "hello");
    let foreign = [("origin", "http://evil.example")];
    let (mut socket, _) = handshake(gateway, Some("tidegate.v1"), &foreign).await.unwrap();
    let (closing, code) = socket.closed().await;
    assert_eq!((code, &closing["problem"]["code"]), (4501, &json!("origin_refused")));
    let (mut socket, _) = handshake(gateway, Some("mqtt"), &[("origin", &own)]).await.unwrap();
    let (closing, code) = socket.closed().await;
    assert_eq!((code, &closing["reconnect"]), (4503, &json!(false)));
    assert_eq!(closing["problem"]["code"], "subprotocol_unsupported");
}

fn one_socket(config: &mut Config) {
    config.session.max_connections = 1;
}

async fn one_socket_too_many_is_told(gateway: &Gateway) {
    let first = Socket::open(gateway).await;
    let refused = handshake(gateway, Some("tidegate.v1"), &[]).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 503));
    let own = format!("http://{}", gateway.address());
    let (mut browser, _) =
        handshake(gateway, Some("tidegate.v1"), &[("origin", &own)]).await.unwrap();
    let (closing, code) = browser.closed().await;
    assert_eq!((code, &closing["reconnect"]), (4003, &json!(true)));
    first.close().await;
    for _ in 0..200 {
        if handshake(gateway, Some("tidegate.v1"), &[]).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a closed socket is not given back");
}

async fn a_fragmented_frame_is_one(gateway: &Gateway) {
    use tokio_tungstenite::tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };
    let mut socket = Socket::open(gateway).await;
    let text = json!({"op": "ping", "id": 5}).to_string();
    for (n, piece) in text.as_bytes().chunks(4).enumerate() {
        let kind = if n == 0 { Data::Text } else { Data::Continue };
        let last = (n + 1) * 4 >= text.len();
        let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), last);
        socket.0.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(socket.next().await, json!({"op": "pong", "id": 5}));
}

/// A stop is told to all, who are asked to come back, and ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_closes_every_socket_in_order() {
    let gateway = Gateway::start(tidegate::config::EngineKind::Memory, |_| {}).await;
    gateway.topic("t", 1).await;
    let mut sockets = vec![];
    for _ in 0..20 {
        let mut socket = Socket::open(&gateway).await;
        socket.subscribe("t", json!("latest")).await;
        sockets.push(socket);
    }
    let begun = std::time::Instant::now();
    let told = async {
        for socket in &mut sockets {
            let (closing, code) = socket.closed().await;
            assert_eq!((code, &closing["reconnect"]), (4000, &json!(true)));
            assert!(closing["after_ms"].as_u64().is_some());
        }
    };
    tokio::join!(gateway.stop(), told);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
