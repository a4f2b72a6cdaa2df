//! Reading pages: from anywhere, on by cursor, with a long poll.

use crate::util::{Gateway, on_every_engine, values};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_every_engine! {
    each_start_is_where_it_says;
    a_cursor_goes_on_without_gap_or_repeat;
    several_topics_are_read_together_and_named;
    partitions_can_be_chosen;
    a_page_keeps_to_its_bytes;
    values_come_in_the_form_that_is_asked_for;
    a_long_poll_answers_with_the_first_record;
    a_long_poll_ends_empty_when_its_time_is_over;
    a_long_poll_ends_when_its_topic_goes;
    a_reader_is_told_what_was_trimmed;
    a_cursor_of_a_topic_that_is_gone_is_refused;
    head_says_the_same_without_a_body;
}

const RECORDS: &str = "/v1/topics/t/records";

async fn five(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let records: Vec<_> = (1..=5).map(|n| json!({"value": n, "timestamp": n * 1_000})).collect();
    gateway.publish("t", json!(records)).await;
}

async fn each_start_is_where_it_says(gateway: &Gateway) {
    five(gateway).await;
    for (query, wanted) in [
        ("", json!([1, 2, 3, 4, 5])),
        ("?from=earliest", json!([1, 2, 3, 4, 5])),
        ("?from=latest", json!([])),
        ("?from=last:2", json!([4, 5])),
        ("?from=last:99", json!([1, 2, 3, 4, 5])),
        ("?from=offset:3&partition=0", json!([4, 5])),
        ("?from=offset:5&partition=0", json!([])),
        ("?from=time:2000", json!([2, 3, 4, 5])),
        ("?from=time:1970-01-01T00:00:04Z", json!([4, 5])),
        ("?limit=2", json!([1, 2])),
    ] {
        let page = gateway.page(&format!("{RECORDS}{query}")).await;
        assert_eq!(json!(values(&page)), wanted, "{query}");
    }
}

async fn a_cursor_goes_on_without_gap_or_repeat(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let records: Vec<_> = (0..100).map(|n| json!({"key": n.to_string(), "value": n})).collect();
    gateway.publish("t", json!(records)).await;
    let mut seen = vec![];
    let mut query = "?limit=7".to_owned();
    loop {
        let page = gateway.page(&format!("{RECORDS}{query}")).await;
        let here = values(&page);
        assert!(here.len() <= 7);
        seen.extend(here.iter().map(|v| v.as_u64().unwrap()));
        if page["at_tail"] == true && here.is_empty() {
            break;
        }
        query = format!("?limit=7&cursor={}", page["cursor"].as_str().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

async fn several_topics_are_read_together_and_named(gateway: &Gateway) {
    five(gateway).await;
    gateway.topic("u", 2).await;
    gateway.publish("u", json!([{"value": "x"}])).await;
    let page = gateway.page("/v1/records?topic=t&topic=u&from=last:1").await;
    let mut seen: Vec<_> = (page["records"].as_array().unwrap().iter())
        .map(|r| format!("{} {}", r["topic"].as_str().unwrap(), r["value"]))
        .collect();
    seen.sort();
    assert_eq!(seen, ["t 5", "u \"x\""]);
    let cursor = page["cursor"].as_str().unwrap();
    let next = gateway.page(&format!("/v1/records?topic=u&topic=t&cursor={cursor}")).await;
    assert_eq!(next["records"], json!([]));
    let reply = gateway.get(&format!("/v1/records?topic=t&cursor={cursor}")).await;
    assert_eq!(reply.refused(), "400 cursor_foreign");
}

async fn partitions_can_be_chosen(gateway: &Gateway) {
    gateway.topic("t", 4).await;
    let records: Vec<_> = (0..4).map(|p| json!({"partition": p, "value": p})).collect();
    gateway.publish("t", json!(records)).await;
    let page = gateway.page(&format!("{RECORDS}?partition=1&partition=3")).await;
    let mut seen = values(&page);
    seen.sort_by_key(Value::as_u64);
    assert_eq!(seen, [json!(1), json!(3)]);
}

async fn a_page_keeps_to_its_bytes(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let text = "x".repeat(1_000);
    let records: Vec<_> = (0..10).map(|_| json!({"text": text})).collect();
    gateway.publish("t", json!(records)).await;
    let count = async |query: &str| {
        let page = gateway.page(&format!("{RECORDS}?{query}")).await;
        page["records"].as_array().unwrap().len()
    };
    assert_eq!(count("max_bytes=3500").await, 3);
    assert_eq!(count("max_bytes=1").await, 1);
    assert_eq!(count("max_bytes=1000000&limit=4").await, 4);
}

async fn values_come_in_the_form_that_is_asked_for(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"value": {"a": 1}}])).await;
    let first =
        async |as_: &str| gateway.page(&format!("{RECORDS}?as={as_}")).await["records"][0].clone();
    assert_eq!(first("auto").await["value"], json!({"a": 1}));
    assert_eq!(first("text").await["text"], "{\"a\":1}");
    assert_eq!(first("base64").await["value_base64"], "eyJhIjoxfQ==");
}

async fn a_long_poll_answers_with_the_first_record(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let empty = gateway.page(&format!("{RECORDS}?from=latest")).await;
    let path = format!("{RECORDS}?wait_ms=30000&cursor={}", empty["cursor"].as_str().unwrap());
    let begun = Instant::now();
    let publish = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        gateway.publish("t", json!([{"partition": 2, "text": "now"}])).await;
    };
    let (page, ()) = tokio::join!(gateway.page(&path), publish);
    assert_eq!(values(&page), [json!("now")]);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(10), "{took:?}");
}

async fn a_long_poll_ends_empty_when_its_time_is_over(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let begun = Instant::now();
    let page = gateway.page(&format!("{RECORDS}?wait_ms=300")).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((&page["records"], &page["at_tail"]), (&json!([]), &json!(true)));
}

async fn a_long_poll_ends_when_its_topic_goes(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let poll = gateway.get("/v1/topics/t/records?wait_ms=30000");
    let delete = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    };
    let (reply, ()) = tokio::join!(poll, delete);
    assert_eq!(reply.refused(), "404 topic_unknown");
}

async fn a_reader_is_told_what_was_trimmed(gateway: &Gateway) {
    five(gateway).await;
    let first = gateway.page(&format!("{RECORDS}?limit=1")).await;
    let body = json!({"partition": 0, "before": {"offset": 3}});
    gateway.json(Method::POST, "/v1/topics/t/trim", &body).await;
    let path = format!("{RECORDS}?cursor={}", first["cursor"].as_str().unwrap());
    let page = gateway.page(&path).await;
    let lost = json!([{"topic": "t", "partition": 0, "from": 1, "to": 2, "reason": "trimmed"}]);
    assert_eq!(page["lost"], lost);
    assert_eq!(values(&page), [json!(4), json!(5)]);
    let reply = gateway.get(&format!("{RECORDS}?from=offset:2&partition=0")).await;
    assert_eq!(reply.refused(), "416 offset_out_of_range");
}

async fn a_cursor_of_a_topic_that_is_gone_is_refused(gateway: &Gateway) {
    five(gateway).await;
    let cursor = gateway.page(RECORDS).await["cursor"].as_str().unwrap().to_owned();
    gateway.send(gateway.request(Method::DELETE, "/v1/topics/t")).await;
    let path = format!("{RECORDS}?cursor={cursor}");
    assert_eq!(gateway.get(&path).await.refused(), "410 cursor_topic_gone");
    gateway.topic("t", 1).await;
    assert_eq!(gateway.get(&path).await.refused(), "410 cursor_topic_gone");
}

async fn head_says_the_same_without_a_body(gateway: &Gateway) {
    five(gateway).await;
    for path in [RECORDS, "/v1/topics/t", "/v1/topics/unknown", "/"] {
        let get = gateway.get(path).await;
        let head = gateway.send(gateway.request(Method::HEAD, path)).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}
