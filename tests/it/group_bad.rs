//! Bad input about groups, each with the code that it is refused with.

use crate::{
    group_util::{Member, commit, committed, entries, fill, join, reset},
    util::{Gateway, on_every_engine},
};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate::config::Config;

on_every_engine! {
    names_that_are_none;
    who_is_not_there;
    joins_that_cannot_be;
    commits_that_cannot_be;
    polls_that_cannot_be;
    resets_that_cannot_be;
    bodies_that_are_none;
    more_members_or_groups_than_there_may_be with few_groups;
}

async fn names_that_are_none(gateway: &Gateway) {
    let long = "x".repeat(250);
    for name in ["a%20b", "%C3%A4", "a%2Fb", "%00", &long] {
        for (method, path) in [
            (Method::GET, format!("/v1/groups/{name}")),
            (Method::DELETE, format!("/v1/groups/{name}")),
            (Method::GET, format!("/v1/groups/{name}/commits")),
            (Method::POST, format!("/v1/groups/{name}/members/m/poll")),
        ] {
            let reply = gateway.send(gateway.request(method, &path)).await;
            assert_eq!(reply.refused(), "400 group_name_invalid", "{path}");
        }
        let path = format!("/v1/groups/g/members/{name}/poll");
        let reply = gateway.send(gateway.request(Method::POST, &path)).await;
        assert_eq!(reply.refused(), "400 member_id_invalid", "{path}");
    }
    for (query, wanted) in [
        ("prefix=a%20b", "400 parameter_invalid"),
        ("after=a%20b", "400 group_name_invalid"),
        ("limit=0", "400 parameter_invalid"),
        ("limit=1001", "400 parameter_invalid"),
        ("state=empty", "400 parameter_unknown"),
    ] {
        assert_eq!(gateway.get(&format!("/v1/groups?{query}")).await.refused(), wanted, "{query}");
    }
}

async fn who_is_not_there(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let calls = |group: &str| {
        let member = format!("/v1/groups/{group}/members/nobody");
        [
            (Method::POST, format!("{member}/poll")),
            (Method::POST, format!("{member}/heartbeat")),
            (Method::POST, format!("{member}/release")),
            (Method::DELETE, member),
        ]
    };
    for (method, path) in calls("nothing") {
        let reply = gateway.send(gateway.request(method, &path)).await;
        assert_eq!(reply.refused(), "404 group_unknown", "{path}");
    }
    Member::of_t(gateway, "one").await;
    for (method, path) in calls("g") {
        let reply = gateway.send(gateway.request(method, &path)).await;
        assert_eq!(reply.refused(), "404 member_unknown", "{path}");
    }
    for path in ["/v1/groups/nothing", "/v1/groups/nothing/commits"] {
        assert_eq!(gateway.get(path).await.refused(), "404 group_unknown");
    }
    let body = json!({"member_id": "nobody", "generation": 1, "commits": entries(&[(0, 0)])});
    assert_eq!(commit(gateway, "g", &body).await.refused(), "404 member_unknown");
    assert_eq!(commit(gateway, "nothing", &body).await.refused(), "404 group_unknown");
    assert_eq!(gateway.get("/v1/groups/nothing").await.refused(), "404 group_unknown");
}

async fn joins_that_cannot_be(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let hundreds: Vec<_> = (0..300).map(|n| format!("t{n}")).collect();
    for (body, wanted) in [
        (json!({"topics": ["nothing"]}), "404 topic_unknown"),
        (json!({"topics": ["t", "nothing"]}), "404 topic_unknown"),
        (json!({"topics": ["a b"]}), "400 topic_name_invalid"),
        (json!({"topics": []}), "400 body_invalid"),
        (json!({"topics": hundreds}), "400 body_invalid"),
        (json!({}), "400 body_invalid"),
        (json!({"topics": "t"}), "400 body_invalid"),
        (json!({"topics": ["t"], "session_timeout_ms": 999}), "400 session_timeout_invalid"),
        (json!({"topics": ["t"], "session_timeout_ms": 1_800_001}), "400 session_timeout_invalid"),
        (json!({"topics": ["t"], "session_timeout_ms": -1}), "400 session_timeout_invalid"),
        (json!({"topics": ["t"], "session_timeout_ms": "1s"}), "400 body_invalid"),
        (json!({"topics": ["t"], "from": "middle"}), "400 body_invalid"),
        (json!({"topics": ["t"], "member_id": "a b"}), "400 member_id_invalid"),
        (json!({"topics": ["t"], "member_id": ""}), "400 member_id_invalid"),
        (json!({"topics": ["t"], "member": "one"}), "400 body_invalid"),
    ] {
        assert_eq!(join(gateway, "g", &body).await.refused(), wanted, "{body}");
    }
    // Nobody joined, so there is no group.
    assert_eq!(gateway.get("/v1/groups/g").await.refused(), "404 group_unknown");
}

async fn commits_that_cannot_be(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gateway.topic("u", 1).await;
    fill(gateway, 0, 5).await;
    let one = Member::of_t(gateway, "one").await;
    let entry = |topic: &str, partition: i64, offset: i64| json!({"topic": topic, "partition": partition, "offset": offset});
    let long = json!({"topic": "t", "partition": 0, "offset": 1, "metadata": "x".repeat(4097)});
    let future = json!({"topic": "t", "partition": 0, "offset": 1, "epoch": 9});
    let many: Vec<_> = (0..1025).map(|n| entry("t", n, 0)).collect();
    for (commits, wanted) in [
        (json!([entry("t", 0, 6)]), "422 commit_out_of_range"),
        (json!([entry("t", 0, i64::MAX)]), "422 commit_out_of_range"),
        (json!([future]), "422 commit_out_of_range"),
        (json!([entry("t", 0, -1)]), "400 commit_invalid"),
        (json!([long]), "400 commit_invalid"),
        (json!([entry("t", 0, 1), entry("t", 0, 2)]), "400 commit_invalid"),
        (json!([]), "400 commit_invalid"),
        (json!(many), "400 commit_invalid"),
        (json!([entry("nothing", 0, 0)]), "404 topic_unknown"),
        (json!([entry("a b", 0, 0)]), "400 topic_name_invalid"),
        (json!([entry("t", 2, 0)]), "404 partition_unknown"),
        (json!([entry("t", -1, 0)]), "400 body_invalid"),
        // Of a topic that it did not join for.
        (json!([entry("u", 0, 0)]), "409 fenced"),
        (json!([entry("t", 0, 5), entry("u", 0, 0)]), "409 fenced"),
    ] {
        let body = json!({"member_id": "one", "generation": one.generation, "commits": commits});
        let reply = commit(gateway, "g", &body).await;
        assert_eq!(reply.refused(), wanted, "{commits}");
        if wanted.ends_with("commit_out_of_range") {
            assert_eq!(reply.value()["tail"], 5);
        }
    }
    let by = |generation: Value, member: Value| json!({"member_id": member, "generation": generation, "commits": entries(&[(0, 1)])});
    let early = commit(gateway, "g", &by(json!(0), json!("one"))).await;
    assert_eq!(early.refused(), "409 fenced");
    let ahead = commit(gateway, "g", &by(json!(one.generation + 100), json!("one"))).await;
    assert_eq!(ahead.refused(), "409 fenced");
    for body in [by(json!(null), json!("one")), by(json!(1), json!(null))] {
        assert_eq!(commit(gateway, "g", &body).await.refused(), "400 body_invalid");
    }
    assert_eq!(committed(gateway, "g").await, [].into());
}

async fn polls_that_cannot_be(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let one = Member::of_t(gateway, "one").await;
    let far = json!({"topics": {"t": 1}});
    for (body, wanted) in [
        (json!({"limit": 0}), "400 body_invalid"),
        (json!({"limit": 10_001}), "400 body_invalid"),
        (json!({"max_bytes": 0}), "400 body_invalid"),
        (json!({"wait_ms": 55_001}), "400 body_invalid"),
        (json!({"wait_ms": -1}), "400 body_invalid"),
        (json!({"as": "xml"}), "400 body_invalid"),
        (json!({"cursor": "nonsense"}), "400 cursor_damaged"),
        (far, "400 body_invalid"),
    ] {
        let reply = gateway.json(Method::POST, &one.path("/poll"), &body).await;
        assert_eq!(reply.refused(), wanted, "{body}");
    }
    let reply = gateway.send(gateway.request(Method::POST, &one.path("/poll?limit=5"))).await;
    assert_eq!(reply.refused(), "400 parameter_unknown");
    let body = json!({"partitions": {"a b": [0]}});
    let reply = gateway.json(Method::POST, &one.path("/release"), &body).await;
    assert_eq!(reply.refused(), "400 topic_name_invalid");
    // What is not being revoked is not let go of.
    for body in [json!({"partitions": {"t": [0, 99]}}), json!({"partitions": {"nothing": [0]}})] {
        let reply = gateway.json(Method::POST, &one.path("/release"), &body).await;
        assert_eq!(reply.value()["assignment"], json!({"t": [0]}), "{body}");
    }
}

async fn resets_that_cannot_be(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    fill(gateway, 0, 5).await;
    let body = json!({"partition": 0, "before": {"offset": 2}});
    gateway.json(Method::POST, "/v1/topics/t/trim", &body).await;
    commit(gateway, "g", &json!({"commits": entries(&[(0, 3)])})).await;
    let hundreds: Vec<_> = (0..300).map(|n| format!("t{n}")).collect();
    for (body, wanted) in [
        (json!({"to": "middle"}), "400 body_invalid"),
        (json!({}), "400 body_invalid"),
        (json!({"to": "time"}), "400 body_invalid"),
        (json!({"to": "earliest", "time": 5}), "400 body_invalid"),
        (json!({"to": "time", "time": "yesterday"}), "400 timestamp_invalid"),
        (json!({"to": "offsets"}), "400 body_invalid"),
        (json!({"to": "offsets", "offsets": []}), "400 commit_invalid"),
        (json!({"to": "offsets", "offsets": entries(&[(0, 6)])}), "422 commit_out_of_range"),
        (json!({"to": "offsets", "offsets": entries(&[(0, 1)])}), "422 commit_out_of_range"),
        (json!({"to": "offsets", "offsets": entries(&[(7, 0)])}), "404 partition_unknown"),
        (json!({"to": "latest", "topics": ["nothing"]}), "404 topic_unknown"),
        (json!({"to": "latest", "topics": []}), "400 body_invalid"),
        (json!({"to": "latest", "topics": hundreds}), "400 body_invalid"),
    ] {
        assert_eq!(reset(gateway, "g", &body).await.refused(), wanted, "{body}");
    }
    assert_eq!(committed(gateway, "g").await, [(0, 3)].into());
}

async fn bodies_that_are_none(gateway: &Gateway) {
    for path in ["/v1/groups/g/members", "/v1/groups/g/commits", "/v1/groups/g/commits/reset"] {
        for (kind, body, wanted) in [
            ("application/json", "{", "400 json_invalid"),
            ("application/json", "[]", "400 body_invalid"),
            ("application/json", "{\"topics\":[\"t\"],\"topics\":[\"t\"]}", "400 body_invalid"),
            ("text/plain", "{}", "415 content_type_unsupported"),
        ] {
            let reply = gateway.body(Method::POST, path, kind, body).await;
            assert_eq!(reply.refused(), wanted, "{path} {body}");
        }
    }
    let large = vec![b' '; 30 << 20];
    let reply = gateway.body(Method::POST, "/v1/groups/g/commits", "application/json", large).await;
    assert_eq!(reply.refused(), "413 body_too_large");
}

fn few_groups(config: &mut Config) {
    config.group.max_groups = 2;
    config.group.max_members = 2;
}

async fn more_members_or_groups_than_there_may_be(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let of_t = json!({"topics": ["t"]});
    for group in ["a", "a", "b"] {
        assert_eq!(join(gateway, group, &of_t).await.status, 200);
    }
    assert_eq!(join(gateway, "a", &of_t).await.refused(), "503 members_full");
    assert_eq!(join(gateway, "c", &of_t).await.refused(), "503 groups_full");
    let body = json!({"commits": entries(&[(0, 0)])});
    assert_eq!(commit(gateway, "c", &body).await.refused(), "503 groups_full");
    let body = json!({"to": "latest", "topics": ["t"]});
    assert_eq!(reset(gateway, "c", &body).await.refused(), "503 groups_full");
    // The others are served on.
    assert_eq!(gateway.page("/v1/groups/a").await["members"].as_array().unwrap().len(), 2);
}
