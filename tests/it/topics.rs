//! Topics: made, ensured, listed, described, changed, trimmed, deleted.

use crate::util::{Gateway, on_every_engine};
use reqwest::Method;
use serde_json::json;

on_every_engine! {
    a_topic_is_made_once_and_then_compared;
    a_topic_without_a_body_has_the_defaults;
    topics_are_listed_by_name_a_page_at_a_time;
    a_topic_shows_its_partitions;
    limits_can_be_changed_and_taken_away;
    a_trim_moves_the_start;
    a_deleted_topic_is_unknown_at_once;
    the_offset_of_a_time_is_found;
}

async fn a_topic_is_made_once_and_then_compared(gateway: &Gateway) {
    let body = json!({"partitions": 3, "retention_ms": 60_000});
    let made = gateway.json(Method::PUT, "/v1/topics/orders", &body).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("location"), "/v1/topics/orders");
    assert_eq!(made.value()["partitions"], 3);
    let same = gateway.json(Method::PUT, "/v1/topics/orders", &body).await;
    assert_eq!(same.status, 200);
    assert_eq!(same.value(), made.value());
    let other = gateway.json(Method::PUT, "/v1/topics/orders", &json!({"partitions": 4})).await;
    assert_eq!(other.refused(), "409 topic_differs");
    let differences = other.value()["differences"].clone();
    assert_eq!(differences[0], json!({"setting": "partitions", "is": 3, "asked": 4}));
    assert_eq!(differences[1]["setting"], "retention_ms");
}

async fn a_topic_without_a_body_has_the_defaults(gateway: &Gateway) {
    let made = gateway.send(gateway.request(Method::PUT, "/v1/topics/plain")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let topic = made.value();
    assert_eq!((&topic["partitions"], &topic["durability"]), (&json!(1), &json!("synced")));
    assert_eq!((&topic["retention_ms"], &topic["keyed"]), (&json!(null), &json!(false)));
}

async fn topics_are_listed_by_name_a_page_at_a_time(gateway: &Gateway) {
    for name in ["b.2", "a", "b.1", "b.3"] {
        gateway.topic(name, 1).await;
    }
    let names = async |query: &str| {
        let page = gateway.page(&format!("/v1/topics{query}")).await;
        let topics = page["topics"].as_array().unwrap().iter();
        let names: Vec<_> = topics.map(|t| t["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), page["next"].clone())
    };
    assert_eq!(names("").await, ("a b.1 b.2 b.3".to_owned(), json!(null)));
    assert_eq!(names("?prefix=b.&limit=2").await, ("b.1 b.2".to_owned(), json!("b.2")));
    assert_eq!(names("?prefix=b.&limit=2&after=b.2").await, ("b.3".to_owned(), json!(null)));
}

async fn a_topic_shows_its_partitions(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gateway
        .publish("t", json!([{"partition": 1, "text": "x"}, {"partition": 1, "text": "y"}]))
        .await;
    let topic = gateway.page("/v1/topics/t").await;
    let partitions = topic["partition_list"].as_array().unwrap();
    assert_eq!(partitions.len(), 2);
    assert_eq!((&partitions[0]["tail"], &partitions[0]["bytes"]), (&json!(0), &json!(0)));
    assert_eq!((&partitions[1]["start"], &partitions[1]["tail"]), (&json!(0), &json!(2)));
    assert_eq!(partitions[1]["records"], 2);
    assert!(partitions[1]["bytes"].as_u64().unwrap() > 0);
}

async fn limits_can_be_changed_and_taken_away(gateway: &Gateway) {
    let body = json!({"partitions": 2, "retention_ms": 60_000});
    gateway.json(Method::PUT, "/v1/topics/t", &body).await;
    let patch = json!({"retention_bytes": 1_000_000, "durability": "buffered"});
    let changed = gateway.json(Method::PATCH, "/v1/topics/t", &patch).await.value();
    assert_eq!(changed["retention_ms"], 60_000);
    assert_eq!(changed["retention_bytes"], 1_000_000);
    assert_eq!(changed["durability"], "buffered");
    let patch = json!({"retention_ms": null});
    let changed = gateway.json(Method::PATCH, "/v1/topics/t", &patch).await.value();
    assert_eq!((&changed["retention_ms"], &changed["partitions"]), (&json!(null), &json!(2)));
    assert_eq!(gateway.page("/v1/topics/t").await["durability"], "buffered");
}

async fn a_trim_moves_the_start(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gateway
        .publish("t", json!([{"partition": 0, "text": "a"}, {"partition": 0, "text": "b"}]))
        .await;
    gateway.publish("t", json!([{"partition": 1, "text": "c"}])).await;
    let trim = async |body| gateway.json(Method::POST, "/v1/topics/t/trim", &body).await;
    let one = trim(json!({"partition": 0, "before": {"offset": 1}})).await;
    assert_eq!(one.value(), json!({"partitions": [{"partition": 0, "start": 1}]}));
    let all = trim(json!({"before": {"time": "2999-01-01T00:00:00Z"}})).await;
    let starts = json!({"partitions": [
        {"partition": 0, "start": 2}, {"partition": 1, "start": 1}
    ]});
    assert_eq!(all.value(), starts);
    let beyond = trim(json!({"partition": 0, "before": {"offset": 3}})).await;
    assert_eq!(beyond.refused(), "416 offset_out_of_range");
}

async fn a_deleted_topic_is_unknown_at_once(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"text": "x"}])).await;
    let deleted = gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(gateway.get("/v1/topics/t").await.refused(), "404 topic_unknown");
    let again = gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    assert_eq!(again.refused(), "404 topic_unknown");
    // One of its name is another topic, without its records.
    gateway.topic("t", 1).await;
    assert_eq!(gateway.page("/v1/topics/t/records").await["records"], json!([]));
}

async fn the_offset_of_a_time_is_found(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let records = [1_000, 2_000, 3_000].map(|ms| json!({"timestamp": ms, "text": "x"}));
    gateway.publish("t", json!(records)).await;
    let offset = async |time: &str| {
        let path = format!("/v1/topics/t/partitions/0/offsets?time={time}");
        let answer = gateway.page(&path).await;
        (answer["offset"].as_u64().unwrap(), answer["tail"].as_u64().unwrap())
    };
    assert_eq!(offset("0").await, (0, 3));
    assert_eq!(offset("1500").await, (1, 3));
    assert_eq!(offset("1970-01-01T00:00:03Z").await, (2, 3));
    assert_eq!(offset("3001").await, (3, 3));
}
