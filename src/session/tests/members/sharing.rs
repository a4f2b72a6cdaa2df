//! Who holds what, and how it goes from one to the other.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_member_alone_holds_everything_and_is_told_before_the_first_record() {
    let host = groups(2).await;
    put(&host, &[(0, "a"), (1, "b"), (0, "c")]).await;
    let (mut client, came) = member(&host, "one").await;
    assert_eq!(told(&came[..2]), ["ok", "assigned [0,1]"]);
    let ok = &came[0];
    assert_eq!((&ok["id"], &ok["sub"], &ok["member_id"]), (&json!(80), &json!(8), &json!("one")));
    assert_eq!(ok["session_timeout_ms"], 45_000);
    let begins = &came[1]["positions"]["t"];
    assert_eq!(begins["partitions"], json!({"0": [0, 0], "1": [0, 0]}));
    assert!(came[1].get("waiting").is_none());
    let mut records = told(&came[2..]);
    records.sort();
    assert_eq!(records, ["records 0 a,c", "records 1 b"]);
    put(&host, &[(1, "d")]).await;
    settle(&mut [&mut client]).await;
    assert_eq!(told(&client.came()), ["records 1 d"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_partition_comes_after_it_is_being_revoked_and_the_next_goes_on_from_its_commit()
 {
    let host = groups(2).await;
    put(&host, &[(0, "a"), (1, "a"), (0, "b"), (1, "b")]).await;
    let (mut one, _) = member(&host, "one").await;
    let (mut two, came) = member(&host, "two").await;
    assert_eq!(told(&came), ["ok", "assigned -"]);
    settle(&mut [&mut one, &mut two]).await;
    let came = one.came();
    let revoking = came.iter().find(|frame| frame["op"] == "revoking").expect("a hand-over");
    assert!((29_000..=30_000).contains(&revoking["grace_ms"].as_u64().unwrap()), "{revoking}");
    let goes = revoking["partitions"]["t"][0].as_u64().unwrap() as u32;
    let stays = 1 - goes;
    assert_eq!(told(&came), [format!("revoking [{goes}]"), format!("assigned [{stays}]")]);
    // What stays has no new beginning.
    assert_eq!(came[1]["positions"], json!({}));
    put(&host, &[(goes, "c"), (stays, "c")]).await;
    settle(&mut [&mut one, &mut two]).await;
    assert_eq!(told(&one.came()), [format!("records {stays} c")]);
    assert_eq!(two.came(), [] as [Value; 0]);
    // What it has in hand it may commit still.
    let now = generation(&came);
    assert_eq!(one.commit(now, &[(goes, 1)]).await["op"], "ok");
    let mut partitions = json!({});
    partitions["t"] = json!([goes]);
    let came = one.say(json!({"op": "release", "id": 9, "sub": 8, "partitions": partitions})).await;
    assert_eq!(
        told(&came),
        ["ok".to_owned(), format!("revoked [{goes}]"), format!("assigned [{stays}]")]
    );
    settle(&mut [&mut one, &mut two]).await;
    assert_eq!(told(&two.came()), [format!("assigned [{goes}]"), format!("records {goes} b,c")]);
    let refused = one.commit(generation(&came), &[(goes, 2)]).await;
    assert_eq!(refused["problem"]["code"], "fenced");
    // What it kept it may commit under the generation in which it got it.
    assert_eq!(one.commit(now, &[(stays, 3)]).await["op"], "ok");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_let_go_of_is_taken_when_its_grace_is_over() {
    let host = groups(2).await;
    let (mut one, _) = member(&host, "one").await;
    let (mut two, _) = member(&host, "two").await;
    settle(&mut [&mut one, &mut two]).await;
    let goes = one.came()[0]["partitions"]["t"].clone();
    pass(&mut [&mut one, &mut two], SECOND * 29).await;
    assert_eq!(told(&one.came()), [""; 0]);
    pass(&mut [&mut one, &mut two], SECOND * 2).await;
    assert_eq!(told(&one.came())[0], format!("revoked {goes}"));
    assert_eq!(told(&two.came()), [format!("assigned {goes}")]);
}

#[tokio::test(start_paused = true)]
async fn a_read_under_way_brings_nothing_of_what_was_taken_meanwhile() {
    let host = groups(2).await;
    for n in 0..200 {
        put(&host, &[(0, &format!("{n}")), (1, &format!("{n}"))]).await;
    }
    let mut one = Client::of(&host).await;
    // So little room that it is always in the middle of a read.
    one.channel.room = 1;
    one.join("one", json!({"credit": 5})).await;
    let mut two = Client::of(&host).await;
    two.join("two", json!({"credit": 0})).await;
    let (mut goes, mut frames) = (None, vec![]);
    for _ in 0..100 {
        one.send(json!({"op": "credit", "sub": 8, "records": 5}));
        settle(&mut [&mut one, &mut two]).await;
        frames.extend(one.came());
        for frame in frames.drain(..) {
            match frame["op"].as_str().unwrap() {
                "revoking" => goes = frame["partitions"]["t"][0].as_u64(),
                "records" => assert_ne!(frame["partition"].as_u64(), goes, "{frame}"),
                _ => {}
            }
        }
    }
    assert!(goes.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_hands_over_at_once() {
    let host = groups(2).await;
    let (mut one, _) = member(&host, "one").await;
    let (mut two, came) = member(&host, "two").await;
    assert_eq!(told(&came), ["ok", "assigned -"]);
    let left = one.say(json!({"op": "unsubscribe", "id": 5, "sub": 8})).await;
    assert_eq!(left.last().unwrap(), &json!({"op": "ok", "id": 5}));
    settle(&mut [&mut one, &mut two]).await;
    assert_eq!(told(&two.came()).last().unwrap(), "assigned [0,1]");
    // The number is free, and the group takes it back.
    let came = one.join("one", json!({})).await;
    assert_eq!(told(&came)[0], "ok");
}

#[tokio::test(start_paused = true)]
async fn more_members_than_partitions_wait_and_are_promoted() {
    let host = groups(1).await;
    let (one, _) = member(&host, "one").await;
    let (mut two, came) = member(&host, "two").await;
    assert_eq!(told(&came), ["ok", "assigned -"]);
    put(&host, &[(0, "a")]).await;
    settle(&mut [&mut two]).await;
    assert_eq!(told(&two.came()), [""; 0]);
    drop(one);
    pass(&mut [&mut two], SECOND * 46).await;
    assert_eq!(told(&two.came()), ["assigned [0]", "records 0 a"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_no_credit_is_told_what_it_holds_all_the_same() {
    let host = groups(1).await;
    put(&host, &[(0, "a"), (0, "b")]).await;
    let mut client = Client::of(&host).await;
    let came = client.join("one", json!({"credit": 0})).await;
    assert_eq!(told(&came), ["ok", "assigned [0]"]);
    let came = client.say(json!({"op": "credit", "sub": 8, "records": 1})).await;
    assert_eq!(told(&came), ["records 0 a"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_goes_is_taken_away_and_the_others_go_on() {
    let host = groups(1).await;
    topic(&host, "u", 1).await;
    let mut client = Client::of(&host).await;
    let came = client.join("one", json!({"topics": ["t", "u"]})).await;
    assert_eq!(came[1]["partitions"], json!({"t": [0], "u": [0]}));
    host.broker.delete_topic(&name("u")).await.unwrap();
    pass(&mut [&mut client], SECOND * 20).await;
    put(&host, &[(0, "a")]).await;
    settle(&mut [&mut client]).await;
    let came = client.came();
    assert!(
        came.iter()
            .any(|frame| frame["op"] == "revoked" && frame["partitions"] == json!({"u": [0]})),
        "{came:?}"
    );
    assert_eq!(told(&came).last().unwrap(), "records 0 a");
    topic(&host, "u", 1).await;
    publish_records(&host, "u", json!([{"text": "new"}])).await;
    pass(&mut [&mut client], SECOND * 20).await;
    let came = client.came();
    let again = came.iter().find(|frame| frame["op"] == "assigned").expect("it is given back");
    assert_eq!(again["partitions"], json!({"t": [0], "u": [0]}));
    assert_eq!(told(&came).last().unwrap(), "records 0 new");
}
