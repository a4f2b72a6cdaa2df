//! Groups: the work of a topic is shared, handed over, and gone on with where
//! it was committed.

use crate::{
    group_util::{LONG, Member, committed, fill, held, join, offsets, revoking},
    util::{Gateway, on_every_engine},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tidegate::config::EngineKind;

on_every_engine! {
    the_members_of_a_group_share_its_topic;
    a_hand_over_goes_on_from_what_was_committed;
    what_is_revoked_may_be_committed_until_it_is_released;
    a_member_that_leaves_hands_over_at_once;
    a_silent_member_is_replaced_and_hears_that_it_expired;
    a_poll_that_waits_keeps_its_member_alive;
    a_member_comes_back_as_itself;
    a_lost_answer_loses_nothing;
    a_long_poll_is_woken_by_a_record;
    a_long_poll_is_woken_by_a_rebalance;
    more_members_than_partitions_wait_for_their_turn;
    a_member_reads_several_topics_and_survives_the_end_of_one;
    a_page_keeps_its_bounds;
}

async fn the_members_of_a_group_share_its_topic(gateway: &Gateway) {
    gateway.topic("t", 4).await;
    for partition in 0..4 {
        fill(gateway, partition, 5).await;
    }
    let mut one = Member::of_t(gateway, "one").await;
    let page = one.poll(gateway, 0).await;
    assert_eq!(page["assignment"], json!({"t": [0, 1, 2, 3]}));
    assert_eq!(offsets(&page).values().map(Vec::len).sum::<usize>(), 20);
    assert_eq!((&page["at_tail"], &page["lost"]), (&json!(true), &json!([])));

    let mut two = Member::of_t(gateway, "two").await;
    // Told at once, though there is nothing to read.
    let page = one.poll(gateway, LONG).await;
    assert_eq!((held(&page), revoking(&page)), (2, 2), "{page}");
    assert!(page["grace_ms"].as_u64().unwrap() > 0);
    let released = one.release(gateway).await;
    assert_eq!((held(&released), revoking(&released)), (2, 0));
    let got = two.settle(gateway, 2).await;
    let (kept, got) = (&released["assignment"]["t"], &got["assignment"]["t"]);
    let mut all: Vec<u64> = [kept, got]
        .iter()
        .flat_map(|of| of.as_array().unwrap())
        .filter_map(Value::as_u64)
        .collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);

    for partition in 0..4 {
        fill(gateway, partition, 1).await;
    }
    let of_one = offsets(&one.poll(gateway, LONG).await);
    assert!(of_one.keys().all(|p| kept.as_array().unwrap().contains(&json!(p))), "{of_one:?}");
}

async fn a_hand_over_goes_on_from_what_was_committed(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 10).await;
    fill(gateway, 1, 10).await;
    let mut one = Member::of_t(gateway, "one").await;
    assert_eq!(offsets(&one.poll(gateway, 0).await)[&0].len(), 10);
    let stands = one.commit(gateway, &[(0, 4), (1, 4)]).await;
    assert_eq!(stands.status, 200, "{}", stands.text());
    let mut two = Member::of_t(gateway, "two").await;
    one.settle(gateway, 1).await;
    let mut got = BTreeMap::new();
    two.poll_until(gateway, |page| {
        got.append(&mut offsets(page));
        !got.is_empty()
    })
    .await;
    assert_eq!(got.into_values().collect::<Vec<_>>(), [(4..10).collect::<Vec<_>>()]);
}

async fn what_is_revoked_may_be_committed_until_it_is_released(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 10).await;
    fill(gateway, 1, 10).await;
    let mut one = Member::of_t(gateway, "one").await;
    let old = one.generation;
    one.poll(gateway, 0).await;
    let mut two = Member::of_t(gateway, "two").await;
    let page = one.poll(gateway, LONG).await;
    let moved = page["revoking"]["t"][0].as_u64().unwrap();
    // Under the generation in which it got it, though the group is further.
    assert!(one.generation > old);
    one.generation = old;
    assert_eq!(one.commit(gateway, &[(moved, 7)]).await.status, 200);
    // What it keeps, a join does not fence.
    assert_eq!(one.commit(gateway, &[(1 - moved, 3)]).await.status, 200);
    one.release(gateway).await;
    assert_eq!(one.commit(gateway, &[(moved, 9)]).await.refused(), "409 fenced");
    // All of a call, or nothing.
    let both = one.commit(gateway, &[(1 - moved, 9), (moved, 9)]).await;
    assert_eq!(both.refused(), "409 fenced");
    let page = two.settle(gateway, 1).await;
    assert_eq!(page["assignment"]["t"], json!([moved]));
    assert_eq!(committed(gateway, "g").await, [(moved, 7), (1 - moved, 3)].into());
    // One that was not told yet that it holds it does not commit by guessing.
    let guess = two.commit(gateway, &[(1 - moved, 5)]).await;
    assert_eq!(guess.refused(), "409 fenced");
}

async fn a_member_that_leaves_hands_over_at_once(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 3).await;
    let mut one = Member::of_t(gateway, "one").await;
    one.poll(gateway, 0).await;
    one.commit(gateway, &[(0, 2)]).await;
    let mut two = Member::of_t(gateway, "two").await;
    assert_eq!(one.leave(gateway).await.status, 204);
    let page = two.poll_until(gateway, |page| held(page) == 2).await;
    assert_eq!(offsets(&page), [(0, vec![2])].into(), "{page}");
    assert_eq!(one.leave(gateway).await.refused(), "404 member_unknown");
    assert_eq!(one.poll_raw(gateway, 0).await.refused(), "404 member_unknown");
}

async fn a_silent_member_is_replaced_and_hears_that_it_expired(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let body = json!({"topics": ["t"], "member_id": "one", "session_timeout_ms": 1000});
    let one = Member::join(gateway, "g", body).await;
    let mut two = Member::of_t(gateway, "two").await;
    two.poll_until(gateway, |page| held(page) == 2).await;
    assert_eq!(one.poll_raw(gateway, 0).await.refused(), "410 member_expired");
    assert_eq!(one.commit(gateway, &[(0, 0)]).await.refused(), "410 member_expired");
    for call in ["/heartbeat", "/release"] {
        let reply = gateway.send(gateway.request(Method::POST, &one.path(call))).await;
        assert_eq!(reply.refused(), "410 member_expired", "{call}");
    }
    // It may join again, as a member like any other.
    let again = Member::of_t(gateway, "one").await;
    assert!(again.generation > one.generation);
}

async fn a_poll_that_waits_keeps_its_member_alive(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let body = json!({"topics": ["t"], "session_timeout_ms": 1000});
    let mut one = Member::join(gateway, "g", body).await;
    one.poll(gateway, 0).await;
    let page = one.poll(gateway, 2500).await;
    assert_eq!((held(&page), &page["records"]), (1, &json!([])));
    assert_eq!(one.commit(gateway, &[(0, 0)]).await.status, 200);
}

async fn a_member_comes_back_as_itself(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let one = Member::of_t(gateway, "one").await;
    let reply = join(gateway, "g", &json!({"topics": ["t"], "member_id": "one"})).await;
    assert_eq!(reply.value()["assignment"], json!({"t": [0, 1]}));
    // What it got before, it may commit as before.
    assert_eq!(one.commit(gateway, &[(0, 0)]).await.status, 200);
    let group = gateway.page("/v1/groups/g").await;
    assert_eq!(group["members"].as_array().unwrap().len(), 1);
    // Without an id of its own everyone is somebody else.
    let other = Member::join(gateway, "g", json!({"topics": ["t"]})).await;
    assert_ne!(other.id, "one");
}

async fn a_lost_answer_loses_nothing(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 6).await;
    let mut one = Member::of_t(gateway, "one").await;
    let first = one.poll_raw(gateway, 0).await.value();
    let again = one.poll(gateway, 0).await;
    assert_eq!(
        (offsets(&first), offsets(&again)),
        (offsets(&again), [(0, (0..6).collect())].into())
    );
    fill(gateway, 0, 2).await;
    let lost = one.poll_raw(gateway, 0).await.value();
    assert_eq!(offsets(&lost), [(0, vec![6, 7])].into());
    assert_eq!(offsets(&one.poll(gateway, 0).await), offsets(&lost));
    // Beyond its cursor was committed: that is not read again.
    one.cursor = Some(first["cursor"].as_str().unwrap().to_owned());
    one.commit(gateway, &[(0, 7)]).await;
    assert_eq!(offsets(&one.poll(gateway, 0).await), [(0, vec![7])].into());
}

async fn a_long_poll_is_woken_by_a_record(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let mut one = Member::of_t(gateway, "one").await;
    one.poll(gateway, 0).await;
    let begun = Instant::now();
    let (page, ()) = tokio::join!(one.poll(gateway, LONG), fill(gateway, 2, 1));
    assert_eq!(offsets(&page), [(2, vec![0])].into());
    assert!(begun.elapsed() < Duration::from_millis(LONG / 2));
}

async fn a_long_poll_is_woken_by_a_rebalance(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let mut one = Member::of_t(gateway, "one").await;
    one.poll(gateway, 0).await;
    let begun = Instant::now();
    let (page, _two) = tokio::join!(one.poll(gateway, LONG), Member::of_t(gateway, "two"));
    assert_eq!((held(&page), revoking(&page)), (1, 1), "{page}");
    assert!(begun.elapsed() < Duration::from_millis(LONG / 2));
}

async fn more_members_than_partitions_wait_for_their_turn(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 2).await;
    let one = Member::of_t(gateway, "one").await;
    let mut two = Member::of_t(gateway, "two").await;
    let page = two.poll(gateway, 50).await;
    assert_eq!((held(&page), &page["records"]), (0, &json!([])));
    let (page, left) = tokio::join!(two.poll(gateway, LONG), one.leave(gateway));
    assert_eq!(left.status, 204);
    assert_eq!(offsets(&page), [(0, vec![0, 1])].into());
}

async fn a_member_reads_several_topics_and_survives_the_end_of_one(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.topic("u", 1).await;
    gateway.publish("u", json!([{"value": 1}])).await;
    let mut one = Member::join(gateway, "g", json!({"topics": ["t", "u"]})).await;
    let page = one.poll(gateway, LONG).await;
    assert_eq!(page["records"][0]["topic"], "u");
    assert_eq!(held(&page), 2);
    let delete = gateway.request(Method::DELETE, "/v1/topics/u");
    let (page, deleted) = tokio::join!(one.poll(gateway, LONG), gateway.send(delete));
    assert_eq!((deleted.status, &page["records"]), (204, &json!([])));
    fill(gateway, 0, 1).await;
    let page = one.poll_until(gateway, |page| !offsets(page).is_empty()).await;
    assert_eq!(offsets(&page), [(0, vec![0])].into());
}

async fn a_page_keeps_its_bounds(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 10).await;
    fill(gateway, 1, 10).await;
    let one = Member::of_t(gateway, "one").await;
    let poll = async |body| gateway.json(Method::POST, &one.path("/poll"), &body).await.value();
    let page = poll(json!({"limit": 7})).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 7);
    assert_eq!(page["at_tail"], false);
    let page = poll(json!({"limit": 20, "cursor": page["cursor"], "as": "text"})).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 13);
    assert!(page["records"][0]["text"].is_string(), "{page}");
    // One record comes in any case.
    let page = poll(json!({"max_bytes": 1})).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_polls_that_wait() {
    let gateway = Gateway::start(EngineKind::Memory, |_| {}).await;
    gateway.topic("t", 1).await;
    let one = Member::of_t(&gateway, "one").await;
    let request = gateway.request(Method::POST, &one.path("/poll")).json(&json!({"wait_ms": LONG}));
    let poll = tokio::spawn(request.send());
    // The poll is under way once the gateway has counted it.
    while !gateway.get("/metrics").await.text().contains("tidegate_polls_total 1") {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    gateway.stop().await;
    assert_eq!(poll.await.unwrap().unwrap().status(), 200);
    assert!(begun.elapsed() < Duration::from_millis(LONG / 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_is_no_rebalance() {
    let gateway = Gateway::start(EngineKind::Sled, |_| {}).await;
    gateway.topic("t", 2).await;
    fill(&gateway, 0, 4).await;
    fill(&gateway, 1, 4).await;
    let mut one = Member::of_t(&gateway, "one").await;
    let mut two = Member::of_t(&gateway, "two").await;
    one.settle(&gateway, 1).await;
    two.settle(&gateway, 1).await;
    let mine = two.poll(&gateway, 0).await["assignment"]["t"][0].as_u64().unwrap();
    assert_eq!(two.commit(&gateway, &[(mine, 3)]).await.status, 200);
    let before = gateway.page("/v1/groups/g").await;

    let gateway = gateway.restart().await;
    let after = gateway.page("/v1/groups/g").await;
    for member in ["generation", "state", "members", "partitions"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    // Under the generation of before, and on from its cursor.
    fill(&gateway, mine, 1).await;
    let generation = two.generation;
    assert_eq!(offsets(&two.poll(&gateway, LONG).await), [(mine, vec![4])].into());
    assert_eq!(two.generation, generation);
    assert_eq!(two.commit(&gateway, &[(mine, 5)]).await.status, 200);
    let one = one.poll_raw(&gateway, 0).await;
    assert_eq!(held(&one.value()), 1);
    gateway.stop().await;
}
