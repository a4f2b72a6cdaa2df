//! What is asked for and answered: publishing, subscribing, the bounds, the
//! end.

use super::*;

fn code(frame: &Value) -> &str {
    assert_eq!(frame["op"], "error", "{frame}");
    frame["problem"]["code"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn hello_comes_first_and_says_what_may_be_done() {
    let host = host();
    let mut client = Client::fresh(&host);
    let hello = client.next().await;
    assert_eq!(hello["version"], "tidegate.v1");
    assert_eq!((&hello["connection"], &hello["heartbeat_ms"]), (&json!("test"), &json!(25_000)));
    assert_eq!(hello["limits"]["subscriptions"], 256);
    assert_eq!(host.metrics.open.get(), 1);
    drop(client);
    assert_eq!(host.metrics.open.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_answered_in_order_and_a_repeat_is_known() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    let publish = json!({"op": "publish", "id": 4, "topic": "t", "idempotency_key": "k",
        "records": [{"text": "a"}, {"value": null, "key": "x"}]});
    let ok = client.ask(publish.clone()).await;
    let places = json!([
        {"partition": 0, "offset": 0, "epoch": 0}, {"partition": 0, "offset": 1, "epoch": 0}]);
    assert_eq!(ok, json!({"op": "ok", "id": 4, "records": places}));
    let again = client.ask(publish).await;
    assert_eq!(again, json!({"op": "ok", "id": 4, "records": places, "repeated": true}));
    let other = json!({"op": "publish", "id": 5, "topic": "t", "idempotency_key": "k",
        "records": [{"text": "b"}]});
    assert_eq!(code(&client.ask(other).await), "idempotency_conflict");
}

#[tokio::test(start_paused = true)]
async fn publishes_of_one_connection_are_stored_in_order_whatever_their_size() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    let large = "x".repeat(400 << 10);
    for (id, text) in [(1, "a"), (2, large.as_str()), (3, "b"), (4, large.as_str()), (5, "c")] {
        while !client.session.takes() {
            client.work().await;
        }
        client.send(json!({"op": "publish", "id": id, "topic": "t", "records": [{"text": text}]}));
    }
    for id in 1..=5 {
        let ok = client.next().await;
        assert_eq!((&ok["op"], &ok["id"]), (&json!("ok"), &json!(id)));
        assert_eq!(ok["records"][0]["offset"], id - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_publish_is_told_and_nothing_is_stored() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    let large = "x".repeat(2 << 20);
    for (topic, records, wrong) in [
        ("none", json!([{"text": "a"}]), "topic_unknown"),
        ("t", json!([]), "batch_empty"),
        ("t", json!([{"text": "a"}, {"txt": "b"}]), "record_invalid"),
        ("t", json!([{"text": "a"}, {"text": "b", "partition": 1}]), "partition_unknown"),
        ("t", json!([{"text": "a"}, {"text": large}]), "record_too_large"),
        ("t", json!({"text": "a"}), "body_invalid"),
    ] {
        let publish = json!({"op": "publish", "id": 8, "topic": topic, "records": records});
        let error = client.ask(publish).await;
        assert_eq!(code(&error), wrong);
    }
    let error = client.ask(json!({"op": "publish", "id": 8, "topic": "t",
        "records": [{"text": "a"}, {"text": "b", "partition": 1}]}));
    assert_eq!(error.await["problem"]["record"], 1);
    let ok =
        client.ask(json!({"op": "publish", "id": 9, "topic": "t", "records": [{"text": "a"}]}));
    assert_eq!(ok.await["records"][0]["offset"], 0);
}

#[tokio::test(start_paused = true)]
async fn as_many_requests_as_there_may_be_hold_the_next_frame_back() {
    let host = host_with(|config| config.pending_requests = 2);
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    for id in 0..2 {
        client.send(json!({"op": "publish", "id": id, "topic": "t", "records": [{"text": "a"}]}));
    }
    assert!(!client.session.takes());
    assert_eq!(client.next().await["id"], 0);
    assert_eq!(client.next().await["id"], 1);
    assert!(client.session.takes());
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_taken_hold_the_next_frame_back() {
    let host = host();
    let mut client = Client::of(&host).await;
    let mut sent = 0;
    while client.session.takes() {
        client.send(json!({"op": "ping", "id": sent}));
        sent += 1;
    }
    assert_eq!(sent, WAITING_ANSWERS);
    for id in 0..sent {
        assert_eq!(client.next().await, json!({"op": "pong", "id": id}));
    }
}

#[tokio::test(start_paused = true)]
async fn small_requests_are_answered() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    let pong = client.ask(json!({"op": "ping", "id": 5})).await;
    assert_eq!(pong, json!({"op": "pong", "id": 5}));
    let ok = client.ask(json!({"op": "auth", "id": 6, "token": "any"})).await;
    assert_eq!(ok, json!({"op": "ok", "id": 6}));
    client.send(json!({"op": "auth", "token": "any"}));
    client.subscribe("t", json!({})).await;
    let again = client.ask(json!({"op": "subscribe", "id": 2, "sub": 7, "topics": ["t"]})).await;
    assert_eq!((code(&again), &again["sub"]), ("subscription_exists", &json!(7)));
    let ok = client.ask(json!({"op": "unsubscribe", "id": 3, "sub": 7})).await;
    assert_eq!(ok, json!({"op": "ok", "id": 3}));
    let gone = client.ask(json!({"op": "unsubscribe", "id": 3, "sub": 7})).await;
    assert_eq!(code(&gone), "subscription_unknown");
    client.send(json!({"op": "credit", "sub": 7, "records": 1}));
    assert_eq!(code(&client.next().await), "subscription_unknown");
    client.subscribe("t", json!({})).await;
    client.send(json!({"op": "credit", "sub": 7, "records": 1}));
    assert_eq!(code(&client.next().await), "frame_invalid");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_cannot_be_is_refused_and_its_number_is_free() {
    let host = host_with(|config| config.subscriptions = 2);
    topic(&host, "t", 2).await;
    let mut client = Client::of(&host).await;
    for (more, wrong) in [
        (json!({"topics": ["none"]}), "topic_unknown"),
        (json!({"partitions": [2]}), "partition_unknown"),
        (json!({"from": {"offset": 0}}), "parameters_conflict"),
        (json!({"from": {"offset": 5}, "partitions": [0]}), "offset_out_of_range"),
        (
            json!({"from": {"positions": {"t": {"incarnation": "1", "partitions": {"0": [0, 0]}}}}}),
            "cursor_topic_gone",
        ),
        (
            json!({"from": {"positions": {"u": {"incarnation": "1", "partitions": {"0": [0, 0]}}}}}),
            "cursor_foreign",
        ),
    ] {
        let mut frame = json!({"op": "subscribe", "id": 1, "sub": 1, "topics": ["t"]});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        let error = client.ask(frame).await;
        assert_eq!((code(&error), &error["sub"]), (wrong, &json!(1)), "{error}");
    }
    for sub in [1, 2] {
        let ok = client.ask(json!({"op": "subscribe", "id": 1, "sub": sub, "topics": ["t"]})).await;
        assert_eq!(ok["op"], "ok");
    }
    assert_eq!(host.metrics.subscriptions.get(), 2);
    let third = client.ask(json!({"op": "subscribe", "id": 1, "sub": 3, "topics": ["t"]})).await;
    assert_eq!((code(&third), &third["problem"]["max"]), ("subscriptions_full", &json!(2)));
    drop(client);
    assert_eq!(host.metrics.subscriptions.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_ends_the_session_after_what_was_asked_before() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    client.send(json!({"op": "publish", "id": 1, "topic": "t", "records": [{"text": "a"}]}));
    client.send(json!({"op": "ping", "id": 2}));
    client.send_text("{");
    assert!(!client.session.takes());
    assert_eq!(client.next().await["op"], "pong");
    assert_eq!(client.next().await["op"], "ok");
    let closing = client.next().await;
    assert_eq!((&closing["op"], &closing["reason"]), (&json!("closing"), &json!("bad_frame")));
    assert_eq!(closing["reconnect"], false);
    assert_eq!(closing["problem"]["code"], "json_invalid");
    assert_eq!(client.session.closed(), Some(CloseCode::BadFrame));
    client.settle().await;
    assert!(client.channel.frames.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_tells_clients_to_come_back_and_not_all_at_once() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut client = Client::of(&host).await;
        client.subscribe("t", json!({})).await;
        client.session.stop();
        let closing = client.next().await;
        assert_eq!(
            (&closing["reason"], &closing["reconnect"]),
            (&json!("shutting_down"), &json!(true))
        );
        waits.insert(closing["after_ms"].as_u64().unwrap());
        assert_eq!(client.session.closed(), Some(CloseCode::ShuttingDown));
    }
    assert!(waits.len() > 5 && waits.iter().all(|wait| *wait <= LEAST_SPREAD_MS), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_refused_says_why_and_nothing_else() {
    let problem = Problem::new(ErrorCode::OriginRefused, "no");
    let session = Session::refused(&host(), CloseCode::NotAuthorised, problem);
    let channel = Channel { frames: VecDeque::new(), bytes: 0, room: 1 };
    let mut client = Client { session, channel };
    let closing = client.next().await;
    assert_eq!((&closing["op"], &closing["reason"]), (&json!("closing"), &json!("not_authorised")));
    assert_eq!(closing["problem"]["code"], "origin_refused");
}
