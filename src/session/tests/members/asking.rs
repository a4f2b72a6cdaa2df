//! What a member may ask for, and what it is answered.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_commit_tells_where_the_group_stands_and_never_goes_back() {
    let host = groups(2).await;
    put(&host, &[(0, "a"), (0, "b"), (1, "a")]).await;
    let (mut client, came) = member(&host, "one").await;
    let now = generation(&came);
    let stands = |offsets: [u64; 2]| {
        let entry = |(partition, offset): (usize, &u64)| json!({"topic": "t", "partition": partition, "offset": offset, "epoch": 0});
        let commits: Vec<_> = offsets.iter().enumerate().map(entry).collect();
        json!({"op": "ok", "id": 81, "sub": 8, "commits": commits})
    };
    assert_eq!(client.commit(now, &[(0, 2), (1, 1)]).await, stands([2, 1]));
    assert_eq!(client.commit(now, &[(0, 1), (1, 1)]).await, stands([2, 1]));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_commit_comes_once_there_is_one() {
    let host = groups(2).await;
    put(&host, &[(0, "a"), (0, "b"), (1, "a")]).await;
    let mut client = Client::of(&host).await;
    let came = client.join("one", json!({"from": "none"})).await;
    assert_eq!(told(&came), ["ok", "assigned [0,1]"]);
    assert_eq!((&came[1]["waiting"], &came[1]["positions"]), (&json!({"t": [0, 1]}), &json!({})));
    client.send(json!({"op": "commit", "id": 1, "sub": 8, "generation": generation(&came),
        "commits": [{"topic": "t", "partition": 0, "offset": 1}]}));
    settle(&mut [&mut client]).await;
    let came = client.came();
    assert_eq!(told(&came), ["ok", "assigned [0,1]", "records 0 b"]);
    assert_eq!(came[1]["waiting"], json!({"t": [1]}));
    assert_eq!(came[1]["positions"]["t"]["partitions"], json!({"0": [0, 1]}));
}

#[tokio::test(start_paused = true)]
async fn what_a_group_will_never_see_is_told_with_its_assignment() {
    for (from, next) in [("earliest", "records 0 d"), ("latest", "")] {
        let host = groups(1).await;
        put(&host, &[(0, "a"), (0, "b"), (0, "c"), (0, "d")]).await;
        let (mut client, came) = member(&host, "one").await;
        client.commit(generation(&came), &[(0, 1)]).await;
        client.say(json!({"op": "unsubscribe", "id": 5, "sub": 8})).await;
        trim(&host, "t", 3).await;
        let came = client.join("two", json!({"from": from})).await;
        let mut expected = vec!["ok", "assigned [0]", "lost"];
        expected.extend((!next.is_empty()).then_some(next));
        assert_eq!(told(&came), expected);
        assert_eq!((&came[2]["from"], &came[2]["reason"]), (&json!(1), &json!("trimmed")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_member_may_not_ask_is_refused_and_changes_nothing() {
    let host = groups(1).await;
    put(&host, &[(0, "a")]).await;
    let mut client = Client::of(&host).await;
    let join = |more: Value| {
        let mut frame = json!({"op": "join", "id": 1, "sub": 5, "group": "g", "topics": ["t"]});
        for (name, value) in more.as_object().unwrap() {
            frame[name] = value.clone();
        }
        frame
    };
    for (frame, code) in [
        (join(json!({"topics": ["none"]})), "topic_unknown"),
        (join(json!({"topics": ["t", "none"]})), "topic_unknown"),
        (join(json!({"session_timeout_ms": 999})), "session_timeout_invalid"),
        (join(json!({"session_timeout_ms": 1_800_001})), "session_timeout_invalid"),
        (join(json!({"group": "g/"})), "group_name_invalid"),
        (join(json!({"member_id": "."})), "member_id_invalid"),
    ] {
        let came = client.say(frame.clone()).await;
        assert_eq!(told(&came), [format!("error {code}")], "{frame}");
    }
    let came = client.join("one", json!({})).await;
    let now = generation(&came);
    client.subscribe("t", json!({})).await;
    let commit = |sub: u64, generation: u64, more: Value| {
        let mut entry = json!({"topic": "t", "partition": 0, "offset": 1});
        for (name, value) in more.as_object().unwrap() {
            entry[name] = value.clone();
        }
        json!({"op": "commit", "id": 1, "sub": sub, "generation": generation, "commits": [entry]})
    };
    let long = "x".repeat(4097);
    for (frame, code) in [
        (join(json!({"sub": 8})), "subscription_exists"),
        (commit(5, now, json!({})), "subscription_unknown"),
        (commit(7, now, json!({})), "frame_invalid"),
        (commit(8, now, json!({"topic": "none"})), "topic_unknown"),
        (commit(8, now, json!({"partition": 1})), "partition_unknown"),
        (commit(8, now, json!({"offset": 2})), "commit_out_of_range"),
        (commit(8, now, json!({"offset": -1})), "commit_invalid"),
        (commit(8, now, json!({"epoch": 1})), "commit_out_of_range"),
        (commit(8, now, json!({"metadata": long})), "commit_invalid"),
        (commit(8, now + 9, json!({})), "fenced"),
        (
            json!({"op": "release", "id": 1, "sub": 5, "partitions": {"t": [0]}}),
            "subscription_unknown",
        ),
        (json!({"op": "release", "id": 1, "sub": 7, "partitions": {"t": [0]}}), "frame_invalid"),
    ] {
        let came = client.say(frame.clone()).await;
        assert_eq!(told(&came), [format!("error {code}")], "{frame}");
    }
    let entry = json!({"topic": "t", "partition": 0, "offset": 1});
    for commits in [vec![], vec![entry; 2]] {
        let frame = json!({
            "op": "commit", "id": 1, "sub": 8, "generation": now, "commits": commits});
        assert_eq!(told(&client.say(frame).await), ["error commit_invalid"]);
    }
    // What is not being revoked stays.
    let came = client.say(json!({"op": "release", "id": 1, "sub": 8, "partitions": {"t": [0]}}));
    assert_eq!(told(&came.await), ["ok"]);
    assert_eq!(client.commit(now, &[(0, 1)]).await["op"], "ok");
}

#[tokio::test(start_paused = true)]
async fn a_member_without_an_id_is_given_one() {
    let host = groups(1).await;
    let mut client = Client::of(&host).await;
    let join = json!({"op": "join", "id": 1, "sub": 8, "group": "g", "topics": ["t"]});
    let came = client.say(join).await;
    let id = came[0]["member_id"].as_str().unwrap().to_owned();
    assert!(!id.is_empty());
    drop(client);
    let (_client, came) = member(&host, &id).await;
    assert_eq!(told(&came), ["ok", "assigned [0]"]);
}
