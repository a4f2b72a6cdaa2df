//! Publishing: the forms of a body, where records go, and repeats.

use crate::util::{Gateway, on_every_engine, places, values};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate::config::Config;

on_every_engine! {
    records_come_back_as_they_went_in;
    json_is_kept_token_for_token;
    a_raw_body_is_one_value;
    keys_decide_and_keyless_records_take_turns;
    a_batch_is_stored_as_a_whole_or_not_at_all;
    a_large_batch_is_parsed_aside_and_stored;
    a_record_of_the_largest_size_is_stored;
    a_repeat_of_an_idempotency_key_stores_nothing;
    repeats_at_once_store_one;
    a_publish_may_be_answered_early;
    a_publish_over_the_memory_for_bodies_is_told_to_come_back with little_memory;
}

const RECORDS: &str = "/v1/topics/t/records";

async fn records_come_back_as_they_went_in(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let published = json!([
        {"key": "k", "value": {"a": [1, 2.50, null]}, "headers": {"trace": "4b"}, "timestamp": 1234},
        {"key_base64": "/w==", "text": "zwei\n"},
        {"value_base64": "AP8=", "headers": [{"name": "h", "value": "1"}, {"name": "h", "value_base64": "/w=="}]},
        {"key": "k", "value": null},
    ]);
    gateway.publish("t", published).await;
    let page = gateway.page(&format!("{RECORDS}?from=earliest")).await;
    let records = page["records"].as_array().unwrap();
    assert_eq!(
        records[0],
        json!({
            "partition": 0, "offset": 0, "timestamp": 1234, "key": "k",
            "headers": [{"name": "trace", "value": "4b"}], "value": {"a": [1, 2.50, null]}
        })
    );
    assert_eq!(
        (&records[1]["key_base64"], &records[1]["text"]),
        (&json!("/w=="), &json!("zwei\n"))
    );
    assert_eq!(records[2]["value_base64"], "AP8=");
    assert_eq!(records[2]["headers"][1], json!({"name": "h", "value_base64": "/w=="}));
    assert_eq!(records[2].get("key"), None);
    assert_eq!(records[3].get("value"), Some(&Value::Null));
    // The time of storing where the publisher gave none.
    assert!(records[1]["timestamp"].as_u64().unwrap() > 1_700_000_000_000);
}

async fn json_is_kept_token_for_token(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let value = r#"{"b":1.500,"a":10000000000000000000000,"a":"\u00e4","e":1E5}"#;
    let body = format!(r#"{{"records": [{{"value": {value}}}]}}"#);
    gateway.body(Method::POST, RECORDS, "application/json", body).await;
    let page = gateway.get(RECORDS).await.text();
    assert!(page.contains(&format!("\"value\":{value}")), "{page}");
}

async fn a_raw_body_is_one_value(gateway: &Gateway) {
    gateway.topic("t", 4).await;
    let path = format!("{RECORDS}?partition=2&key=sensor&timestamp=1970-01-01T00:00:01Z");
    for (kind, body) in [
        ("text/plain; charset=utf-8", "warm"),
        ("application/vnd.api+json", "{\"n\": 1}"),
        ("image/png", "\u{1}"),
    ] {
        let reply = gateway.body(Method::POST, &path, kind, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let page = gateway.page(&format!("{RECORDS}?partition=2")).await;
    let records = page["records"].as_array().unwrap();
    assert_eq!((&records[0]["key"], &records[0]["timestamp"]), (&json!("sensor"), &json!(1000)));
    assert_eq!(
        records[0]["headers"][0],
        json!({"name": "content-type", "value": "text/plain; charset=utf-8"})
    );
    assert_eq!(records[0]["text"], "warm");
    assert_eq!(records[1]["value"], json!({"n": 1}));
    assert_eq!(records[2]["value_base64"], "AQ==");
}

async fn keys_decide_and_keyless_records_take_turns(gateway: &Gateway) {
    gateway.topic("t", 4).await;
    // Kafka's own choice: murmur2("foobar") = -790332482.
    let wanted = u64::from((-790_332_482_i32 & 0x7fff_ffff) as u32 % 4);
    let placed = gateway.publish("t", json!([{"key": "foobar", "text": "x"}])).await;
    assert_eq!(placed[0].0, wanted);
    let keyless = json!([{"text": "1"}, {"text": "2"}, {"text": "3"}, {"text": "4"}]);
    let mut turns: Vec<_> = gateway.publish("t", keyless).await.iter().map(|p| p.0).collect();
    turns.sort_unstable();
    assert_eq!(turns, [0, 1, 2, 3]);
}

async fn a_batch_is_stored_as_a_whole_or_not_at_all(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let records = json!([{"partition": 0, "text": "x"}, {"partition": 1, "text": "y"}, {"partition": 2, "text": "z"}]);
    let reply = gateway.json(Method::POST, RECORDS, &json!({ "records": records })).await;
    assert_eq!(reply.refused(), "404 partition_unknown");
    assert_eq!(reply.value()["record"], 2);
    assert_eq!(gateway.page(RECORDS).await["records"], json!([]));
}

async fn a_large_batch_is_parsed_aside_and_stored(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let text = "x".repeat(200);
    let records: Vec<_> = (0..9_000).map(|n| json!({"key": n.to_string(), "text": text})).collect();
    let placed = gateway.publish("t", json!(records)).await;
    assert_eq!(placed.len(), 9_000);
    let topic = gateway.page("/v1/topics/t").await;
    let stored = topic["partition_list"].as_array().unwrap().iter();
    assert_eq!(stored.map(|p| p["records"].as_u64().unwrap()).sum::<u64>(), 9_000);
}

async fn a_record_of_the_largest_size_is_stored(gateway: &Gateway) {
    let body = json!({"max_record_bytes": 16 << 20});
    gateway.json(Method::PUT, "/v1/topics/t", &body).await;
    let value = vec![b'x'; 16 << 20];
    let reply = gateway.body(Method::POST, RECORDS, "text/plain", "small").await;
    assert_eq!(reply.status, 200);
    let reply =
        gateway.body(Method::POST, RECORDS, "application/octet-stream", value.clone()).await;
    // The header of the content type counts as well.
    assert_eq!(reply.refused(), "413 record_too_large");
    let value = value[..value.len() - 100].to_vec();
    let reply =
        gateway.body(Method::POST, RECORDS, "application/octet-stream", value.clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // One record comes even if it alone is more than was asked for.
    let page =
        gateway.page(&format!("{RECORDS}?from=offset:1&partition=0&max_bytes=1&as=text")).await;
    assert_eq!(page["records"][0]["text"].as_str().unwrap().len(), value.len());
}

async fn a_repeat_of_an_idempotency_key_stores_nothing(gateway: &Gateway) {
    gateway.topic("t", 5).await;
    let publish = async |key: &str, text: &str| {
        let records = json!({"records": [{"text": text}, {"text": "second"}]});
        let request = gateway.request(Method::POST, RECORDS).header("idempotency-key", key);
        gateway.send(request.json(&records)).await
    };
    let first = publish("order 17", "first").await.value();
    gateway.publish("t", json!([{"text": "between"}])).await;
    let again = publish("order 17", "first").await.value();
    assert_eq!((&first["repeated"], &again["repeated"]), (&Value::Null, &json!(true)));
    assert_eq!(places(&first), places(&again));
    assert_eq!(publish("order 17", "other").await.refused(), "422 idempotency_conflict");
    assert_eq!(publish("order 18", "first").await.status, 200);
    let page = gateway.page(RECORDS).await;
    assert_eq!(page["records"].as_array().unwrap().len(), 5);
    // The query is a part of a raw request.
    let raw = async |key: &str| {
        let path = format!("{RECORDS}?key={key}");
        let request = gateway.request(Method::POST, &path).header("idempotency-key", "raw");
        gateway.send(request.header("content-type", "text/plain").body("x")).await
    };
    assert_eq!(raw("a").await.status, 200);
    assert_eq!(raw("b").await.refused(), "422 idempotency_conflict");
}

async fn repeats_at_once_store_one(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let publish = || async {
        let request = gateway.request(Method::POST, RECORDS).header("idempotency-key", "k");
        gateway.send(request.json(&json!({"records": [{"text": "once"}]}))).await
    };
    let replies = futures_util::future::join_all((0..20).map(|_| publish())).await;
    let mut done: Vec<_> = vec![];
    for reply in replies {
        match reply.status {
            200 => done.push(places(&reply.value())),
            _ => assert_eq!(reply.refused(), "409 idempotency_in_progress"),
        }
    }
    done.dedup();
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(values(&gateway.page(RECORDS).await), [json!("once")]);
}

async fn a_publish_may_be_answered_early(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let path = format!("{RECORDS}?durability=buffered");
    let reply = gateway.json(Method::POST, &path, &json!({"records": [{"text": "x"}]})).await;
    assert_eq!(reply.status, 200);
    // Readers of a `synced` topic see it when it is synced, and not before.
    let page = gateway.page(&format!("{RECORDS}?wait_ms=5000")).await;
    assert_eq!(values(&page), [json!("x")]);
}

fn little_memory(config: &mut Config) {
    config.limits.inflight_bytes = 10_000;
}

async fn a_publish_over_the_memory_for_bodies_is_told_to_come_back(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let reply = gateway.body(Method::POST, RECORDS, "text/plain", vec![b'x'; 10_001]).await;
    assert_eq!(reply.refused(), "503 too_busy");
    assert_eq!(reply.value()["retryable"], true);
    let reply = gateway.body(Method::POST, RECORDS, "text/plain", vec![b'x'; 9_000]).await;
    assert_eq!(reply.status, 200);
}
