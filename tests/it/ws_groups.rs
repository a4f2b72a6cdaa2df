//! Members of groups over real sockets, alone and among members by REST.

use crate::util::{Gateway, on_every_engine};
use crate::ws_util::Socket;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tidegate::config::EngineKind;

on_every_engine! {
    a_member_that_is_cut_off_comes_back_to_what_it_held;
    the_older_connection_of_a_member_is_closed_with_4504;
    members_by_rest_and_by_websocket_share_a_group;
    every_wrong_frame_of_a_member_has_its_error;
    a_member_that_closes_its_connection_keeps_its_place_for_a_while;
}

impl Socket {
    /// Joins group `g` of topic `t` as subscription 1; answers the `ok`.
    async fn join(&mut self, member: &str, more: Value) -> Value {
        let mut frame = json!({
            "op": "join", "id": 1, "sub": 1, "group": "g", "topics": ["t"], "member_id": member});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        let ok = self.ask(frame).await;
        assert_eq!(ok["op"], "ok", "{ok}");
        ok
    }

    /// The next frame of this kind; those before it are passed over.
    async fn until(&mut self, op: &str) -> Value {
        loop {
            let frame = self.news().await;
            if frame["op"] == op {
                return frame;
            }
        }
    }

    /// Waits until it holds these partitions of `t`; answers the frame.
    async fn holds(&mut self, partitions: Value) -> Value {
        loop {
            let frame = self.until("assigned").await;
            let held = frame["partitions"].get("t").cloned().unwrap_or_else(|| json!([]));
            if held == partitions {
                return frame;
            }
        }
    }

    async fn commit(&mut self, generation: &Value, partition: u64, offset: u64) -> Value {
        let commits = json!([{"topic": "t", "partition": partition, "offset": offset}]);
        let frame = json!({
            "op": "commit", "id": 3, "sub": 1, "generation": generation, "commits": commits});
        self.send(frame).await;
        loop {
            let frame = self.news().await;
            if frame["id"] == 3 {
                return frame;
            }
        }
    }
}

async fn put(gateway: &Gateway, partition: u64, values: std::ops::Range<u64>) {
    let records: Vec<_> =
        values.map(|value| json!({"partition": partition, "value": value})).collect();
    gateway.publish("t", json!(records)).await;
}

async fn a_member_that_is_cut_off_comes_back_to_what_it_held(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    put(gateway, 0, 0..5).await;
    let mut one = Socket::open(gateway).await;
    let joined = one.join("one", json!({})).await;
    assert_eq!(joined["member_id"], "one");
    let assigned = one.holds(json!([0, 1])).await;
    assert_eq!(one.values(5).await, [0, 1, 2, 3, 4].map(|n| json!(n)));
    let ok = one.commit(&assigned["generation"], 0, 3).await;
    assert_eq!(ok["commits"][0]["offset"], 3);
    // Without a word, as a network does it.
    drop(one);
    let mut one = Socket::open(gateway).await;
    one.join("one", json!({})).await;
    let assigned = one.holds(json!([0, 1])).await;
    assert_eq!(assigned["positions"]["t"]["partitions"], json!({"0": [0, 3], "1": [0, 0]}));
    assert_eq!(one.values(2).await, [json!(3), json!(4)]);
}

async fn the_older_connection_of_a_member_is_closed_with_4504(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut old = Socket::open(gateway).await;
    old.join("one", json!({})).await;
    old.holds(json!([0])).await;
    let mut new = Socket::open(gateway).await;
    new.join("one", json!({})).await;
    new.holds(json!([0])).await;
    let (closing, code) = old.closed().await;
    assert_eq!((code, &closing["reconnect"]), (4504, &json!(false)));
    assert_eq!(closing["problem"]["code"], "member_replaced");
    put(gateway, 0, 0..1).await;
    assert_eq!(new.values(1).await, [json!(0)]);
}

async fn a_member_that_closes_its_connection_keeps_its_place_for_a_while(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut one = Socket::open(gateway).await;
    one.join("one", json!({"session_timeout_ms": 1_500})).await;
    one.holds(json!([0])).await;
    let mut two = Socket::open(gateway).await;
    two.join("two", json!({})).await;
    let begun = Instant::now();
    one.close().await;
    two.holds(json!([0])).await;
    // Less what may have passed since it was renewed: a third of its session.
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

async fn members_by_rest_and_by_websocket_share_a_group(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    put(gateway, 0, 0..10).await;
    put(gateway, 1, 100..110).await;
    let mut socket = Socket::open(gateway).await;
    socket.join("socket", json!({})).await;
    socket.holds(json!([0, 1])).await;
    socket.values(20).await;
    let body = json!({"topics": ["t"], "member_id": "rest"});
    let joined = gateway.json(Method::POST, "/v1/groups/g/members", &body).await;
    assert!([200, 201].contains(&joined.status), "{}", joined.text());
    // One goes over, from where the other has committed.
    let revoking = socket.until("revoking").await;
    let goes = revoking["partitions"]["t"][0].as_u64().unwrap();
    let ok = socket.commit(&revoking["generation"], goes, 7).await;
    assert_eq!(ok["op"], "ok", "{ok}");
    let poll = async |wait: u64| {
        let body = json!({"wait_ms": wait});
        let reply = gateway.json(Method::POST, "/v1/groups/g/members/rest/poll", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.value()
    };
    assert_eq!(poll(0).await["records"], json!([]));
    let release = json!({"op": "release", "id": 9, "sub": 1, "partitions": {"t": [goes]}});
    socket.send(release).await;
    socket.until("revoked").await;
    let mut got = vec![];
    while got.is_empty() {
        let page = poll(5_000).await;
        got = page["records"].as_array().unwrap().iter().map(|r| r["value"].clone()).collect();
    }
    let first = goes * 100;
    assert_eq!(got, [first + 7, first + 8, first + 9].map(|n| json!(n)));
    // And back, when the member by REST leaves.
    let path = "/v1/groups/g/members/rest";
    let left = gateway.json(Method::DELETE, path, &json!({})).await;
    assert!(left.status < 300, "{}", left.text());
    let assigned = socket.holds(json!([0, 1])).await;
    let places = &assigned["positions"]["t"]["partitions"];
    assert_eq!(places[goes.to_string()], json!([0, 7]), "{assigned}");
    assert_eq!(socket.values(3).await, [first + 7, first + 8, first + 9].map(|n| json!(n)));
}

async fn every_wrong_frame_of_a_member_has_its_error(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut socket = Socket::open(gateway).await;
    socket.join("one", json!({})).await;
    let generation = socket.holds(json!([0])).await["generation"].as_u64().unwrap();
    let join = |more: Value| {
        let mut frame = json!({"op": "join", "id": 2, "sub": 2, "group": "g", "topics": ["t"]});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        frame
    };
    let many: Vec<_> = (0..101).map(|n| format!("t{n}")).collect();
    let commit = |more: Value| {
        let mut entry = json!({"topic": "t", "partition": 0, "offset": 0});
        for (name, value) in more.as_object().unwrap() {
            entry[name] = value.clone();
        }
        json!({"op": "commit", "id": 2, "sub": 1, "generation": generation, "commits": [entry]})
    };
    for (frame, code) in [
        (json!({"op": "join", "id": 2, "sub": 2}), "frame_invalid"),
        (join(json!({"group": "a/b"})), "group_name_invalid"),
        (join(json!({"member_id": ""})), "member_id_invalid"),
        (join(json!({"topics": ["none"]})), "topic_unknown"),
        (join(json!({"topics": many})), "frame_invalid"),
        (join(json!({"topics": []})), "frame_invalid"),
        (join(json!({"session_timeout_ms": 10})), "session_timeout_invalid"),
        (join(json!({"from": "last"})), "frame_invalid"),
        (join(json!({"sub": 1})), "subscription_exists"),
        (commit(json!({"offset": -1})), "commit_invalid"),
        (commit(json!({"offset": 1})), "commit_out_of_range"),
        (commit(json!({"partition": 1})), "partition_unknown"),
        (commit(json!({"topic": "none"})), "topic_unknown"),
        (commit(json!({"metadata": "x".repeat(5_000)})), "commit_invalid"),
        (
            json!({"op": "commit", "id": 2, "sub": 1, "generation": generation + 5,
                "commits": [{"topic": "t", "partition": 0, "offset": 0}]}),
            "fenced",
        ),
        (json!({"op": "release", "id": 2, "sub": 1, "partitions": {}}), "frame_invalid"),
        (
            json!({"op": "release", "id": 2, "sub": 3, "partitions": {"t": [0]}}),
            "subscription_unknown",
        ),
    ] {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(answer["problem"]["code"], code, "{frame}: {answer}");
    }
    assert_eq!(socket.ask(json!({"op": "ping", "id": 2})).await["op"], "pong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_go_on_when_their_gateway_was_started_anew() {
    let gateway = Gateway::start(EngineKind::Sled, |_| {}).await;
    gateway.topic("t", 2).await;
    put(&gateway, 0, 0..4).await;
    let mut one = Socket::open(&gateway).await;
    one.join("one", json!({})).await;
    let assigned = one.holds(json!([0, 1])).await;
    one.values(4).await;
    assert_eq!(one.commit(&assigned["generation"], 0, 2).await["op"], "ok");
    let ((_, code), gateway) = tokio::join!(one.closed(), gateway.restart());
    assert_eq!(code, 4000);
    let mut two = Socket::open(&gateway).await;
    two.join("two", json!({})).await;
    // What the first holds is still its own: it is to let go of one of them.
    assert_eq!(two.until("assigned").await["partitions"], json!({}));
    let mut one = Socket::open(&gateway).await;
    one.join("one", json!({})).await;
    let held = one.until("assigned").await;
    assert_eq!(held["partitions"]["t"].as_array().unwrap().len(), 1, "{held}");
    gateway.stop().await;
}
