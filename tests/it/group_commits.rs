//! Commits of groups: what stands, where a group without one begins, and how
//! it is moved.

use crate::{
    group_util::{Member, commit, committed, entries, fill, held, offsets, reset},
    util::{Gateway, on_every_engine},
};
use reqwest::Method;
use serde_json::{Value, json};

on_every_engine! {
    a_commit_never_goes_back_and_the_answer_says_where_the_group_stands;
    a_commit_carries_a_note_and_an_epoch;
    nobody_commits_for_a_group_but_while_it_is_empty;
    the_policy_says_where_a_group_without_commits_begins;
    a_place_of_the_policy_stays_where_it_was;
    a_commit_before_the_start_goes_on_by_the_policy_and_is_told;
    without_a_policy_a_partition_waits_for_a_commit;
    a_group_is_reset_only_while_it_is_empty;
    a_group_is_reset_to_the_ends_a_time_or_offsets;
    a_deleted_group_leaves_no_commits_behind;
    a_topic_made_again_begins_anew;
    a_group_shows_its_members_and_its_lag;
    groups_are_listed_by_name_a_page_at_a_time;
}

async fn a_commit_never_goes_back_and_the_answer_says_where_the_group_stands(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 10).await;
    let one = Member::of_t(gateway, "one").await;
    let first = one.commit(gateway, &[(0, 7), (1, 0)]).await.value();
    let offset = |list: &Value, at: usize| list["commits"][at]["offset"].as_u64();
    assert_eq!((offset(&first, 0), offset(&first, 1)), (Some(7), Some(0)));
    let back = one.commit(gateway, &[(0, 3)]).await;
    assert_eq!((back.status, offset(&back.value(), 0)), (200, Some(7)));
    assert_eq!(committed(gateway, "g").await, [(0, 7), (1, 0)].into());
}

async fn a_commit_carries_a_note_and_an_epoch(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 3).await;
    let body = json!({"commits": [
        {"topic": "t", "partition": 0, "offset": 2, "epoch": 0, "metadata": "run 17 é"}
    ]});
    let answer = commit(gateway, "g", &body).await.value();
    let stands = json!({"commits": [
        {"topic": "t", "partition": 0, "offset": 2, "epoch": 0, "metadata": "run 17 é"}
    ]});
    assert_eq!(answer, stands);
    assert_eq!(gateway.page("/v1/groups/g/commits").await, stands);
}

async fn nobody_commits_for_a_group_but_while_it_is_empty(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 5).await;
    let body = json!({"commits": entries(&[(0, 2)])});
    assert_eq!(commit(gateway, "g", &body).await.status, 200);
    let mut one = Member::of_t(gateway, "one").await;
    assert_eq!(commit(gateway, "g", &body).await.refused(), "409 group_not_empty");
    assert_eq!(offsets(&one.poll(gateway, 0).await), [(0, vec![2, 3, 4])].into());
}

async fn joined(gateway: &Gateway, group: &str, from: &str) -> Member {
    Member::join(gateway, group, json!({"topics": ["t"], "from": from})).await
}

async fn the_policy_says_where_a_group_without_commits_begins(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 3).await;
    let mut early = joined(gateway, "early", "earliest").await;
    let mut late = joined(gateway, "late", "latest").await;
    assert_eq!(offsets(&early.poll(gateway, 0).await), [(0, vec![0, 1, 2])].into());
    assert_eq!(offsets(&late.poll(gateway, 0).await), [].into());
    fill(gateway, 0, 1).await;
    assert_eq!(offsets(&late.poll(gateway, 0).await), [(0, vec![3])].into());
}

async fn a_place_of_the_policy_stays_where_it_was(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 3).await;
    let mut one = joined(gateway, "g", "latest").await;
    one.poll(gateway, 0).await;
    fill(gateway, 0, 2).await;
    // The answer got lost, or another member goes on: nothing is passed over.
    one.cursor = None;
    assert_eq!(offsets(&one.poll(gateway, 0).await), [(0, vec![3, 4])].into());
    assert_eq!(committed(gateway, "g").await, [(0, 3)].into());
}

async fn trim(gateway: &Gateway, before: u64) {
    let body = json!({"partition": 0, "before": {"offset": before}});
    assert_eq!(gateway.json(Method::POST, "/v1/topics/t/trim", &body).await.status, 200);
}

async fn a_commit_before_the_start_goes_on_by_the_policy_and_is_told(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 10).await;
    for group in ["earliest", "latest", "none"] {
        commit(gateway, group, &json!({"commits": entries(&[(0, 2)])})).await;
    }
    trim(gateway, 6).await;
    let told = |next: Value| json!([{"topic": "t", "partition": 0, "from": 2, "to": 5, "reason": "trimmed", "next": next}]);
    let mut early = joined(gateway, "earliest", "earliest").await;
    let page = early.poll(gateway, 20_000).await;
    assert_eq!((offsets(&page), &page["lost"]), ([(0, (6..10).collect())].into(), &told(json!(6))));
    // Told once: it goes on from there.
    early.cursor = None;
    assert_eq!(early.poll(gateway, 0).await["lost"], json!([]));
    let page = joined(gateway, "latest", "latest").await.poll(gateway, 20_000).await;
    assert_eq!((offsets(&page), &page["lost"]), ([].into(), &told(json!(10))));
    assert_eq!(committed(gateway, "latest").await, [(0, 10)].into());
    let page = joined(gateway, "none", "none").await.poll(gateway, 20_000).await;
    assert_eq!((offsets(&page), &page["lost"]), ([].into(), &told(json!(null))));
    assert_eq!(page["waiting"], json!({"t": [0]}));
}

async fn without_a_policy_a_partition_waits_for_a_commit(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 3).await;
    fill(gateway, 1, 3).await;
    let mut one = joined(gateway, "g", "none").await;
    let page = one.poll(gateway, 0).await;
    assert_eq!((held(&page), offsets(&page)), (2, [].into()));
    assert_eq!(page["waiting"], json!({"t": [0, 1]}));
    one.commit(gateway, &[(1, 1)]).await;
    let page = one.poll(gateway, 0).await;
    assert_eq!((offsets(&page), &page["waiting"]), ([(1, vec![1, 2])].into(), &json!({"t": [0]})));
}

async fn a_group_is_reset_only_while_it_is_empty(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let one = Member::of_t(gateway, "one").await;
    for dry_run in [true, false] {
        let body = json!({"to": "latest", "topics": ["t"], "dry_run": dry_run});
        assert_eq!(reset(gateway, "g", &body).await.refused(), "409 group_not_empty");
    }
    one.leave(gateway).await;
    assert_eq!(reset(gateway, "g", &json!({"to": "latest", "topics": ["t"]})).await.status, 200);
}

async fn a_group_is_reset_to_the_ends_a_time_or_offsets(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let records =
        [1_000, 2_000, 3_000].map(|ms| json!({"partition": 0, "timestamp": ms, "text": "x"}));
    gateway.publish("t", json!(records)).await;
    let commits = json!({"commits": entries(&[(0, 2)])});
    commit(gateway, "g", &commits).await;
    let dry = json!({"to": "earliest", "dry_run": true});
    let answer = reset(gateway, "g", &dry).await.value();
    assert_eq!(
        answer,
        json!({"dry_run": true, "partitions": [
            {"topic": "t", "partition": 0, "from": 2, "to": 0, "epoch": 0},
            {"topic": "t", "partition": 1, "from": null, "to": 0, "epoch": 0},
        ]})
    );
    assert_eq!(committed(gateway, "g").await, [(0, 2)].into());

    let cases = [
        (json!({"to": "earliest"}), [(0, 0), (1, 0)]),
        (json!({"to": "latest"}), [(0, 3), (1, 0)]),
        (json!({"to": "time", "time": 1_500}), [(0, 1), (1, 0)]),
        (json!({"to": "time", "time": "1970-01-01T00:00:03Z", "topics": ["t"]}), [(0, 2), (1, 0)]),
        (json!({"to": "offsets", "offsets": entries(&[(0, 1)])}), [(0, 1), (1, 0)]),
    ];
    for (body, wanted) in cases {
        let reply = reset(gateway, "g", &body).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        assert_eq!(committed(gateway, "g").await, wanted.into(), "{body}");
    }
    // A reset makes a group that is not there, if it says where.
    assert_eq!(
        reset(gateway, "new", &json!({"to": "latest"})).await.refused(),
        "404 group_unknown"
    );
    let body = json!({"to": "latest", "topics": ["t"]});
    assert_eq!(reset(gateway, "new", &body).await.status, 200);
    assert_eq!(committed(gateway, "new").await, [(0, 3), (1, 0)].into());
}

async fn a_deleted_group_leaves_no_commits_behind(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 3).await;
    let mut one = Member::of_t(gateway, "one").await;
    one.commit(gateway, &[(0, 3)]).await;
    let delete = || gateway.send(gateway.request(Method::DELETE, "/v1/groups/g"));
    assert_eq!(delete().await.refused(), "409 group_not_empty");
    one.leave(gateway).await;
    assert_eq!(delete().await.status, 204);
    assert_eq!(delete().await.refused(), "404 group_unknown");
    assert_eq!(gateway.get("/v1/groups/g/commits").await.refused(), "404 group_unknown");
    let generation = one.generation;
    one = Member::of_t(gateway, "one").await;
    assert!(one.generation > generation);
    assert_eq!(offsets(&one.poll(gateway, 0).await), [(0, vec![0, 1, 2])].into());
}

async fn a_topic_made_again_begins_anew(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 3).await;
    let mut one = Member::of_t(gateway, "one").await;
    one.poll(gateway, 0).await;
    one.commit(gateway, &[(0, 3)]).await;
    gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    gateway.topic("t", 1).await;
    fill(gateway, 0, 2).await;
    // Neither its cursor nor its commit is of this topic.
    let page = one.poll_until(gateway, |page| !offsets(page).is_empty()).await;
    assert_eq!(offsets(&page), [(0, vec![0, 1])].into());
}

async fn a_group_shows_its_members_and_its_lag(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    fill(gateway, 0, 5).await;
    fill(gateway, 1, 2).await;
    let one = Member::of_t(gateway, "one").await;
    one.commit(gateway, &[(0, 1)]).await;
    let group = gateway.page("/v1/groups/g").await;
    assert_eq!(
        (&group["group"], &group["state"], &group["lag"]),
        (&json!("g"), &json!("stable"), &json!(4))
    );
    assert_eq!(group["expires"], json!(null));
    let member = &group["members"][0];
    assert_eq!((&member["member_id"], &member["topics"]), (&json!("one"), &json!(["t"])));
    assert_eq!(
        (&member["assignment"], &member["from"]),
        (&json!({"t": [0, 1]}), &json!("earliest"))
    );
    assert_eq!(
        group["partitions"][0],
        json!({
            "topic": "t", "partition": 0, "start": 0, "tail": 5, "commit": 1, "epoch": 0,
            "metadata": null, "lag": 4, "member_id": "one"
        })
    );
    assert_eq!(group["partitions"][1]["commit"], json!(null));
    assert_eq!(group["partitions"][1]["lag"], json!(null));
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("tidegate_group_lag_records{group=\"g\",topic=\"t\"} 4"), "{metrics}");
    // What is gone is not to be processed any more.
    trim(gateway, 3).await;
    assert_eq!(gateway.page("/v1/groups/g").await["lag"], 2);
    one.leave(gateway).await;
    let group = gateway.page("/v1/groups/g").await;
    assert_eq!((&group["state"], &group["members"]), (&json!("empty"), &json!([])));
    assert!(group["expires"].is_i64(), "{group}");
}

async fn groups_are_listed_by_name_a_page_at_a_time(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    for group in ["b.2", "a", "b.1"] {
        commit(gateway, group, &json!({"commits": entries(&[(0, 0)])})).await;
    }
    Member::join(gateway, "a", json!({"topics": ["t"]})).await;
    let names = async |query: &str| {
        let page = gateway.page(&format!("/v1/groups{query}")).await;
        let groups = page["groups"].as_array().unwrap().iter();
        let names: Vec<_> = groups.map(|g| g["group"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), page["next"].clone())
    };
    assert_eq!(names("").await, ("a b.1 b.2".to_owned(), json!(null)));
    assert_eq!(names("?prefix=b.&limit=1").await, ("b.1".to_owned(), json!("b.1")));
    assert_eq!(names("?prefix=b.&limit=1&after=b.1").await, ("b.2".to_owned(), json!(null)));
    let groups = gateway.page("/v1/groups").await["groups"].clone();
    assert_eq!((&groups[0]["state"], &groups[0]["members"]), (&json!("stable"), &json!(1)));
    assert_eq!((&groups[1]["state"], &groups[1]["members"]), (&json!("empty"), &json!(0)));
}
