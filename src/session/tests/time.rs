//! What is said because time has passed.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_when_nothing_else_has_for_a_while() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({})).await;
    client.settle().await;
    let begun = Instant::now();
    for beat in 1..=3 {
        assert_eq!(client.next().await, json!({"op": "heartbeat"}));
        assert_eq!(begun.elapsed().as_secs(), beat * 25);
    }
    // Every other frame puts it off.
    tokio::time::advance(Duration::from_secs(20)).await;
    client.ask(json!({"op": "ping", "id": 1})).await;
    let begun = Instant::now();
    assert_eq!(client.next().await["op"], "heartbeat");
    assert_eq!(begun.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn the_place_is_told_while_records_flow_and_not_when_it_stands() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    client.subscribe("t", json!({})).await;
    let (mut last, mut count) = (0, 0);
    for n in 0..100 {
        publish(&host, "t", &numbered(n..n + 1)).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        client.session.tick(Instant::now());
        client.settle().await;
        while let Some((_, message)) = client.channel.frames.pop_front() {
            let frame: Value = serde_json::from_slice(&message).unwrap();
            match frame["op"].as_str().unwrap() {
                "records" => last = frame["next"].as_u64().unwrap(),
                "position" => {
                    count += 1;
                    assert_eq!(frame["positions"]["t"]["partitions"], json!({"0": [0, last]}));
                }
                other => panic!("{other}"),
            }
        }
    }
    assert!((3..=4).contains(&count), "{count}");
    // Told once more, then there are only heartbeats.
    let mut ops = vec![];
    for _ in 0..4 {
        ops.push(client.next().await["op"].clone());
    }
    assert_eq!(ops.iter().filter(|op| *op == "position").count(), 1, "{ops:?}");
    assert_eq!(ops[3], "heartbeat");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_behind_is_told_so_and_when_it_is_back() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    client.channel.room = 16 << 10;
    client.subscribe("t", json!({})).await;
    client.settle().await;
    for n in 0..20 {
        publish(&host, "t", &numbered(n * 500..(n + 1) * 500)).await;
    }
    let (mut next, mut ops) = (0, vec![]);
    while next < 10_000 || ops.last().is_none_or(|op| op != "caught_up") {
        // A frame every now and then.
        tokio::time::advance(Duration::from_secs(1)).await;
        let frame = client.next_news().await;
        match frame["op"].as_str().unwrap() {
            "records" => next = frame["next"].as_u64().unwrap(),
            "lagging" => {
                assert!(frame["behind"].as_u64().unwrap() >= 1_000, "{frame}");
                ops.push("lagging".to_owned());
            }
            other => ops.push(other.to_owned()),
        }
    }
    assert_eq!(ops.iter().filter(|op| *op == "caught_up").count(), 1, "{ops:?}");
    assert!(ops.len() >= 2 && ops[0] == "lagging", "{ops:?}");
    assert_eq!(host.metrics.lagging.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever() {
    let host = host();
    topic(&host, "t", 1).await;
    let mut client = Client::of(&host).await;
    client.session.requests.push(Box::pin(std::future::pending()));
    client.session.stop();
    let begun = Instant::now();
    assert_eq!(client.next().await["op"], "closing");
    assert_eq!(begun.elapsed(), LAST_ANSWERS);
    assert!(client.session.is_late(Instant::now()));
}
