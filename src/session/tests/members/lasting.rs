//! How long a member is one: through connections, silence and full outboxes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reconnect_keeps_the_partitions_and_goes_on_from_the_commits() {
    let host = groups(1).await;
    put(&host, &[(0, "a"), (0, "b"), (0, "c")]).await;
    let (mut one, came) = member(&host, "one").await;
    let before = generation(&came);
    assert_eq!(one.commit(before, &[(0, 1)]).await["op"], "ok");
    let (mut two, _) = member(&host, "two").await;
    drop(one);
    pass(&mut [&mut two], SECOND * 40).await;
    let (mut one, came) = member(&host, "one").await;
    assert_eq!(told(&came), ["ok", "assigned [0]", "records 0 b,c"]);
    // It is as if it had never been away: its session runs anew.
    pass(&mut [&mut one, &mut two], SECOND * 40).await;
    assert_eq!(told(&one.came()), [""; 0]);
    assert_eq!(told(&two.came()), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_older_connection_of_a_member_is_closed() {
    let host = groups(1).await;
    let (mut old, _) = member(&host, "one").await;
    let (mut new, came) = member(&host, "one").await;
    assert_eq!(told(&came), ["ok", "assigned [0]"]);
    settle(&mut [&mut old, &mut new]).await;
    let came = old.came();
    let closing = came.last().unwrap();
    assert_eq!((&closing["op"], &closing["reason"]), (&json!("closing"), &json!("replaced")));
    assert_eq!(
        (&closing["reconnect"], &closing["problem"]["code"]),
        (&json!(false), &json!("member_replaced"))
    );
    assert_eq!(old.session.closed().map(CloseCode::number), Some(4504));
    // Its end is not the member's.
    drop(old);
    pass(&mut [&mut new], SECOND * 60).await;
    put(&host, &[(0, "a")]).await;
    settle(&mut [&mut new]).await;
    assert_eq!(told(&new.came()), ["records 0 a"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_joins_twice_on_one_connection_ends_the_older_subscription_alone() {
    let host = groups(1).await;
    let (mut client, _) = member(&host, "one").await;
    let came = client.join("one", json!({"sub": 9})).await;
    let mut came = told(&came);
    came.sort();
    assert_eq!(came, ["assigned [0]", "ok", "unsubscribed member_replaced"]);
    assert_eq!(client.session.closed(), None);
    put(&host, &[(0, "a")]).await;
    settle(&mut [&mut client]).await;
    let came = client.came();
    assert_eq!((told(&came), &came[0]["sub"]), (vec!["records 0 a".to_owned()], &json!(9)));
}

#[tokio::test(start_paused = true)]
async fn a_member_lives_as_long_as_its_connection_and_its_session_after_that() {
    let host = groups(1).await;
    let mut one = Client::of(&host).await;
    one.join("one", json!({"session_timeout_ms": 10_000})).await;
    let (mut two, _) = member(&host, "two").await;
    // It neither asks for anything nor takes anything.
    one.channel.room = 0;
    pass(&mut [&mut one, &mut two], SECOND * 120).await;
    assert_eq!(told(&two.came()), [""; 0]);
    drop(one);
    // It was renewed a third of its session ago at most.
    pass(&mut [&mut two], SECOND * 6).await;
    assert_eq!(told(&two.came()), [""; 0]);
    pass(&mut [&mut two], SECOND * 5).await;
    assert_eq!(told(&two.came()), ["assigned [0]"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_told_later_what_has_become_of_it() {
    let host = groups(2).await;
    let (mut one, _) = member(&host, "one").await;
    one.channel.room = 0;
    let (mut two, _) = member(&host, "two").await;
    // As in the socket's task, which looks after requests while nothing can be written.
    for _ in 0..100 {
        tokio::time::advance(SECOND).await;
        poll_fn(|cx| {
            one.session.poll_requests(cx);
            Poll::Ready(())
        })
        .await;
        settle(&mut [&mut two]).await;
    }
    assert_eq!(told(&one.came()), [""; 0]);
    one.channel.room = 1 << 20;
    settle(&mut [&mut one, &mut two]).await;
    let came = told(&one.came());
    // The grace is over by now; it never hears of what came between.
    assert_eq!(came.len(), 2, "{came:?}");
    assert!(came[0].starts_with("revoked ["), "{came:?}");
    assert!(came[1].starts_with("assigned ["), "{came:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_cut_off_for_too_long_is_told_that_it_is_none_any_more() {
    let host = groups(1).await;
    let mut one = Client::of(&host).await;
    one.join("one", json!({"session_timeout_ms": 1_000})).await;
    let (mut two, _) = member(&host, "two").await;
    // The whole process stood still, as a machine that sleeps.
    pass(&mut [&mut two], SECOND * 3).await;
    settle(&mut [&mut one]).await;
    assert_eq!(told(&one.came()), ["unsubscribed member_expired"]);
    assert_eq!(told(&two.came()), ["assigned [0]"]);
    let refused = one.commit(1, &[(0, 0)]).await;
    assert_eq!(refused["problem"]["code"], "subscription_unknown");
    let came = one.join("one", json!({})).await;
    assert_eq!(told(&came), ["ok", "assigned -"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_unsubscribed_before_it_has_joined_leaves() {
    let host = groups(1).await;
    let mut client = Client::of(&host).await;
    client.send(json!({"op": "join", "id": 1, "sub": 8, "group": "g", "topics": ["t"]}));
    let came = client.say(json!({"op": "unsubscribe", "id": 2, "sub": 8})).await;
    assert!(told(&came).iter().all(|op| op == "ok"), "{came:?}");
    let (_two, came) = member(&host, "two").await;
    assert_eq!(told(&came), ["ok", "assigned [0]"]);
}
