//! Records on their way: order, turns, credit, losses, forms.

use super::*;
use flate2::read::ZlibDecoder;
use std::io::Read;

#[tokio::test(start_paused = true)]
async fn a_subscription_reads_what_is_there_and_then_what_comes() {
    let host = host();
    topic(&host, "t", 1).await;
    publish(&host, "t", &numbered(0..3)).await;
    let mut client = Client::of(&host).await;
    let ok = client.subscribe("t", json!({"from": "earliest"})).await;
    assert!(ok["cursor"].is_string());
    let positions = &ok["positions"]["t"];
    assert_eq!(positions["partitions"], json!({"0": [0, 0]}));
    let frame = client.next().await;
    assert_eq!((&frame["sub"], &frame["next"]), (&json!(7), &json!(3)));
    assert_eq!(texts_of(&frame), numbered(0..3));
    assert_eq!(client.ops().await, [""; 0]);
    for n in 3..6 {
        publish(&host, "t", &numbered(n..n + 1)).await;
        assert_eq!(client.texts(1).await, numbered(n..n + 1));
    }
    // The place that the frames tell is one to go on from.
    let from = json!({"positions": {"t": {
        "incarnation": positions["incarnation"], "partitions": {"0": [0, 4]}}}});
    let mut next = Client::of(&host).await;
    next.subscribe("t", json!({"from": from})).await;
    assert_eq!(next.texts(2).await, numbered(4..6));
}

#[tokio::test(start_paused = true)]
async fn whatever_its_number_a_subscription_gets_the_same() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut clients = vec![];
    for sub in [0, 1, 1, 2, 9_007_199_254_740_991_u64] {
        for encoding in ["json", "deflate"] {
            let mut client = Client::of(&host).await;
            client.subscribe("t", json!({"sub": sub, "encoding": encoding})).await;
            client.settle().await;
            clients.push((sub, encoding, client));
        }
    }
    for n in 0..3 {
        publish(&host, "t", &numbered(n..n + 2)).await;
        for (sub, encoding, client) in &mut clients {
            let (kind, message) = client.next_message().await;
            let frame = match *encoding {
                "json" => message,
                _ => opened(&message, *sub),
            };
            assert_eq!(kind == FrameKind::Binary, *encoding == "deflate");
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            assert_eq!((&frame["op"], &frame["sub"]), (&json!("records"), &json!(*sub)));
            assert_eq!(texts_of(&frame), numbered(n..n + 2));
        }
    }
}

/// A packed frame as the frame of text that it stands for.
fn opened(message: &[u8], sub: u64) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([message[0], message[1]]));
    let (head, packed) = message[2..].split_at(length);
    assert_eq!(head, format!("{{\"op\":\"records\",\"sub\":{sub}}}").as_bytes());
    let mut text = head[..head.len() - 1].to_vec();
    text.push(b',');
    ZlibDecoder::new(packed).read_to_end(&mut text).unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn credit_is_kept_to_the_record() {
    let host = host();
    topic(&host, "t", 1).await;
    publish(&host, "t", &numbered(0..10)).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({"from": "earliest", "credit": 3})).await;
    assert_eq!(client.texts(3).await, numbered(0..3));
    assert_eq!(client.ops().await, [""; 0]);
    for (records, then) in [(2, 3..5), (1, 5..6), (100, 6..10)] {
        client.send(json!({"op": "credit", "sub": 7, "records": records}));
        assert_eq!(client.texts(then.len()).await, numbered(then));
        assert_eq!(client.ops().await, [""; 0]);
    }
    publish(&host, "t", &numbered(10..200)).await;
    // 96 are left of the hundred.
    assert_eq!(client.texts(96).await, numbered(10..106));
    assert_eq!(client.ops().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn no_credit_is_no_records_until_there_is_some() {
    let host = host();
    topic(&host, "t", 1).await;
    publish(&host, "t", &numbered(0..2)).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({"from": "earliest", "credit": 0})).await;
    assert_eq!(client.ops().await, [""; 0]);
    client.send(json!({"op": "credit", "sub": 7, "records": 1}));
    assert_eq!(client.texts(1).await, numbered(0..1));
}

#[tokio::test(start_paused = true)]
async fn subscriptions_of_one_connection_take_turns() {
    let host = host();
    topic(&host, "much", 1).await;
    topic(&host, "little", 1).await;
    let long = "x".repeat(1_000);
    for _ in 0..20 {
        publish(&host, "much", &vec![long.clone(); 200]).await;
    }
    let mut client = Client::of(&host).await;
    client.channel.room = 64 << 10;
    client.subscribe("little", json!({"sub": 2})).await;
    client.subscribe("much", json!({"sub": 1, "from": "earliest"})).await;
    publish(&host, "little", &numbered(0..1)).await;
    // The little one does not wait for 4 MB of the other.
    let mut seen = 0;
    loop {
        let frame = client.next_news().await;
        if frame["sub"] == 2 {
            break;
        }
        seen += frame["records"].as_array().unwrap().len();
    }
    assert!(seen <= 1_000, "{seen}");
    while seen < 4_000 {
        seen += client.next_news().await["records"].as_array().map_or(0, Vec::len);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_what_is_in_its_channel() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    client.channel.room = 64 << 10;
    client.subscribe("t", json!({})).await;
    let long = "x".repeat(1_000);
    let mut quick = Client::of(&host).await;
    quick.subscribe("t", json!({})).await;
    for _ in 0..30 {
        publish(&host, "t", &vec![long.clone(); 200]).await;
        client.settle().await;
        // The other one is not held up.
        assert_eq!(quick.texts(200).await.len(), 200);
    }
    assert!(client.channel.bytes < 600 << 10, "{}", client.channel.bytes);
    // It is still heard, and gets all of it in order when it reads.
    client.send(json!({"op": "ping", "id": 1}));
    let mut next = 0;
    while next < 6_000 {
        let frame = client.next_news().await;
        if frame["op"] == "records" {
            assert_eq!(frame["records"][0]["offset"], next);
            next = frame["next"].as_u64().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_said_before_the_next_record() {
    let host = host();
    topic(&host, "t", 1).await;
    publish(&host, "t", &numbered(0..10)).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({"from": "earliest", "credit": 2})).await;
    assert_eq!(client.texts(2).await, numbered(0..2));
    trim(&host, "t", 7).await;
    client.send(json!({"op": "credit", "sub": 7, "records": 10}));
    let lost = client.next().await;
    let expected = json!({"op": "lost", "sub": 7, "topic": "t", "partition": 0, "from": 2, "to": 6,
        "reason": "trimmed"});
    assert_eq!(lost, expected);
    assert_eq!(client.texts(3).await, numbered(7..10));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_ends_its_subscription_and_no_other() {
    let host = host();
    topic(&host, "t", 1).await;
    topic(&host, "other", 1).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({})).await;
    client.subscribe("other", json!({"sub": 8})).await;
    client.settle().await;
    host.broker.delete_topic(&name("t")).await.unwrap();
    let ended = client.next().await;
    assert_eq!((&ended["op"], &ended["sub"]), (&json!("unsubscribed"), &json!(7)));
    assert_eq!(ended["problem"]["code"], "topic_unknown");
    // Made again, it is another topic; the number is free.
    topic(&host, "t", 1).await;
    publish(&host, "t", &numbered(0..1)).await;
    client.subscribe("t", json!({"from": "earliest"})).await;
    assert_eq!(client.texts(1).await, numbered(0..1));
    publish(&host, "other", &numbered(5..6)).await;
    let frame = client.next().await;
    assert_eq!((&frame["sub"], texts_of(&frame)), (&json!(8), numbered(5..6)));
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_after_an_unsubscribe_even_under_the_same_number() {
    let host = host();
    topic(&host, "t", 1).await;
    topic(&host, "u", 1).await;
    let mut client = Client::of(&host).await;
    // Before it is open, while it waits, and while there is something to read.
    client.send(json!({"op": "subscribe", "id": 1, "sub": 7, "topics": ["t"]}));
    client.send(json!({"op": "unsubscribe", "id": 2, "sub": 7}));
    client.send(json!({"op": "subscribe", "id": 3, "sub": 7, "topics": ["u"]}));
    let mut ids = vec![];
    for _ in 0..3 {
        ids.push(client.next().await["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    client.settle().await;
    publish(&host, "t", &numbered(0..1)).await;
    publish(&host, "u", &numbered(1..2)).await;
    assert_eq!(client.texts(1).await, numbered(1..2));
    client.settle().await;
    publish(&host, "u", &numbered(2..3)).await;
    client.ask(json!({"op": "unsubscribe", "id": 4, "sub": 7})).await;
    client.subscribe("t", json!({"from": "earliest"})).await;
    assert_eq!(client.texts(1).await, numbered(0..1));
    assert_eq!(client.ops().await, [""; 0]);
    assert_eq!(host.metrics.subscriptions.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn several_topics_and_partitions_come_by_one_subscription() {
    let host = host();
    topic(&host, "a", 3).await;
    topic(&host, "b", 1).await;
    let mut client = Client::of(&host).await;
    client.subscribe("a", json!({"topics": ["a", "b"]})).await;
    client.settle().await;
    let records: Vec<_> = (0..3).map(|p| json!({"text": p.to_string(), "partition": p})).collect();
    publish_records(&host, "a", json!(records)).await;
    publish(&host, "b", &numbered(3..4)).await;
    let mut texts = client.texts(4).await;
    texts.sort();
    assert_eq!(texts, numbered(0..4));
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_keys_gets_those_alone_and_is_told_where_it_stands() {
    let host = host();
    topic(&host, "t", 1).await;
    let records = |range: std::ops::Range<usize>| {
        let key = |n: usize| if n.is_multiple_of(10) { "mine" } else { "other" };
        let all = range.map(|n| json!({"text": n.to_string(), "key": key(n)}));
        json!(all.collect::<Vec<_>>())
    };
    publish_records(&host, "t", records(0..100)).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({"from": "earliest", "keys": ["mine"]})).await;
    let tens =
        |range: std::ops::Range<usize>| range.map(|n| (n * 10).to_string()).collect::<Vec<_>>();
    assert_eq!(client.texts(10).await, tens(0..10));
    client.settle().await;
    publish_records(&host, "t", records(101..110)).await;
    publish_records(&host, "t", records(110..111)).await;
    assert_eq!(client.texts(1).await, ["110"]);
    publish_records(&host, "t", records(111..120)).await;
    // Nothing comes for it, and its place moves on all the same.
    loop {
        let frame = client.next().await;
        if frame["positions"]["t"]["partitions"] == json!({"0": [0, 119]}) {
            assert_eq!((&frame["op"], &frame["sub"]), (&json!("position"), &json!(7)));
            break;
        }
        assert!(["position", "heartbeat"].contains(&frame["op"].as_str().unwrap()), "{frame}");
    }
}
