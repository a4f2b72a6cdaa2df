//! Bad input, each with the code that it is refused with, and at once.

use crate::util::{Gateway, on_every_engine};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tidegate::config::Config;

on_every_engine! {
    names_that_are_none;
    what_is_not_there;
    settings_out_of_bounds;
    bodies_that_are_no_publish;
    records_that_are_none;
    bodies_that_are_too_large with small_bodies;
    content_types;
    publish_parameters;
    read_parameters;
    cursors;
    topic_parameters;
    idempotency_keys;
}

const RECORDS: &str = "/v1/topics/t/records";

async fn check(
    gateway: &Gateway,
    method: Method,
    path: &str,
    body: Option<(&str, &str)>,
    wanted: &str,
) {
    let begun = Instant::now();
    let mut request = gateway.request(method.clone(), path);
    if let Some((kind, body)) = body {
        request = request.header("content-type", kind).body(body.to_owned());
    }
    let reply = gateway.send(request).await;
    assert!(reply.status >= 400, "{method} {path} {body:?}: {} {}", reply.status, reply.text());
    assert_eq!(reply.refused(), wanted, "{method} {path} {body:?}: {}", reply.text());
    assert!(begun.elapsed() < Duration::from_secs(5), "{method} {path} took its time");
}

async fn gets(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (path, wanted) in cases {
        check(gateway, Method::GET, path, None, wanted).await;
    }
}

async fn publishes(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (body, wanted) in cases {
        check(gateway, Method::POST, RECORDS, Some(("application/json", body)), wanted).await;
    }
}

async fn names_that_are_none(gateway: &Gateway) {
    let long = "x".repeat(250);
    for name in ["a%20b", "%C3%A4", "a%2Fb", "%00", "%FF", &long] {
        for (method, path) in [
            (Method::GET, format!("/v1/topics/{name}")),
            (Method::PUT, format!("/v1/topics/{name}")),
            (Method::GET, format!("/v1/topics/{name}/records")),
        ] {
            let reply = gateway.send(gateway.request(method, &path)).await;
            let refused = reply.refused();
            assert!(
                ["400 topic_name_invalid", "400 parameter_invalid"].contains(&refused.as_str()),
                "{path}: {refused}"
            );
        }
    }
}

async fn what_is_not_there(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gets(
        gateway,
        &[
            ("/v1/topics/unknown", "404 topic_unknown"),
            ("/v1/topics/unknown/records", "404 topic_unknown"),
            ("/v1/topics/unknown/records?wait_ms=30000", "404 topic_unknown"),
            ("/v1/records?topic=t&topic=unknown", "404 topic_unknown"),
            ("/v1/topics/t/records?partition=2", "404 partition_unknown"),
            ("/v1/topics/t/partitions/2/offsets?time=0", "404 partition_unknown"),
            ("/v1/topics/unknown/partitions/0/offsets?time=0", "404 topic_unknown"),
            ("/nothing", "404 route_unknown"),
            ("/v1", "404 route_unknown"),
            ("/v1/topics/t/", "404 route_unknown"),
            ("/docs/errors/unknown", "404 route_unknown"),
            ("/docs/api/unknown.js", "404 route_unknown"),
        ],
    )
    .await;
    let body = Some(("application/json", r#"{"records":[{"text":"x"}]}"#));
    check(gateway, Method::POST, "/v1/topics/unknown/records", body, "404 topic_unknown").await;
    let body = Some(("application/json", r#"{"partition":2,"before":{"offset":0}}"#));
    check(gateway, Method::POST, "/v1/topics/t/trim", body, "404 partition_unknown").await;
    let body = Some(("application/json", "{}"));
    check(gateway, Method::PATCH, "/v1/topics/unknown", body, "404 topic_unknown").await;
    check(gateway, Method::DELETE, "/v1/topics/unknown", None, "404 topic_unknown").await;
    check(gateway, Method::POST, "/v1/topics", None, "405 method_not_allowed").await;
    check(gateway, Method::DELETE, RECORDS, None, "405 method_not_allowed").await;
    let reply = gateway.send(gateway.request(Method::DELETE, RECORDS)).await;
    let mut allowed: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

async fn settings_out_of_bounds(gateway: &Gateway) {
    for (body, wanted) in [
        (r#"{"partitions":0}"#, "400 topic_config_invalid"),
        (r#"{"partitions":1025}"#, "400 topic_config_invalid"),
        (r#"{"retention_ms":999}"#, "400 topic_config_invalid"),
        (r#"{"retention_bytes":1}"#, "400 topic_config_invalid"),
        (r#"{"max_record_bytes":16777217}"#, "400 topic_config_invalid"),
        (r#"{"partitions":-1}"#, "400 body_invalid"),
        (r#"{"partitions":"4"}"#, "400 body_invalid"),
        (r#"{"durability":"maybe"}"#, "400 body_invalid"),
        (r#"{"partition":4}"#, "400 body_invalid"),
        ("[]", "400 body_invalid"),
        ("{", "400 json_invalid"),
    ] {
        check(gateway, Method::PUT, "/v1/topics/t", Some(("application/json", body)), wanted).await;
    }
    let body = json!({"partitions": 0, "retention_ms": 1, "max_record_bytes": 1});
    let reply = gateway.json(Method::PUT, "/v1/topics/t", &body).await;
    assert_eq!(reply.value()["faults"].as_array().unwrap().len(), 3);
    gateway.topic("t", 1).await;
    let body = Some(("application/json", r#"{"partitions":2}"#));
    check(gateway, Method::PATCH, "/v1/topics/t", body, "400 body_invalid").await;
    let body = Some(("application/json", r#"{"before":{"offset":0}}"#));
    check(gateway, Method::POST, "/v1/topics/t/trim", body, "400 body_invalid").await;
    let body = Some(("application/json", r#"{"before":{"time":"soon"}}"#));
    check(gateway, Method::POST, "/v1/topics/t/trim", body, "400 timestamp_invalid").await;
}

async fn bodies_that_are_no_publish(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let deep = format!(r#"{{"records":[{{"value":{}1{}}}]}}"#, "[".repeat(65), "]".repeat(65));
    let abyss = format!(r#"{{"records":[{{"value":{}"#, "[".repeat(100_000));
    let many = format!(r#"{{"records":[{}{{"text":""}}]}}"#, r#"{"text":""},"#.repeat(10_000));
    publishes(
        gateway,
        &[
            ("", "400 json_invalid"),
            ("{", "400 json_invalid"),
            ("\u{feff}{}", "400 json_invalid"),
            ("[]", "400 body_invalid"),
            ("{}", "400 body_invalid"),
            (r#"{"records":{}}"#, "400 body_invalid"),
            (r#"{"record":[{"text":"x"}]}"#, "400 body_invalid"),
            (r#"{"records":[]}"#, "400 batch_empty"),
            (r#"{"records":[{"text":"x"}]} x"#, "400 json_invalid"),
            (&deep, "400 json_too_deep"),
            (&abyss, "400 json_too_deep"),
            (&many, "413 batch_too_large"),
        ],
    )
    .await;
    let reply = gateway
        .body(
            Method::POST,
            RECORDS,
            "application/json",
            b"{\"records\":[{\"text\":\"\xff\"}]}".to_vec(),
        )
        .await;
    assert_eq!(reply.refused(), "400 json_invalid");
    assert_eq!(gateway.page(RECORDS).await["records"], json!([]));
}

async fn records_that_are_none(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let long_key = format!(r#"{{"records":[{{"key":"{}","text":"x"}}]}}"#, "k".repeat(16_385));
    let long_text = format!(r#"{{"records":[{{"text":"{}"}}]}}"#, "x".repeat(1_048_577));
    let headers: Vec<_> = (0..65).map(|n| json!({"name": n.to_string(), "value": ""})).collect();
    let headers = json!({"records": [{"text": "x", "headers": headers}]}).to_string();
    publishes(
        gateway,
        &[
            (r#"{"records":[7]}"#, "400 record_invalid"),
            (r#"{"records":[{}]}"#, "400 record_invalid"),
            (r#"{"records":[{"text":"x","value":1}]}"#, "400 record_invalid"),
            (r#"{"records":[{"text":"x","colour":"red"}]}"#, "400 record_invalid"),
            (r#"{"records":[{"text":7}]}"#, "400 record_invalid"),
            (r#"{"records":[{"value_base64":"!"}]}"#, "400 record_invalid"),
            (r#"{"records":[{"key":"a","key_base64":"","text":"x"}]}"#, "400 record_invalid"),
            (r#"{"records":[{"text":"x","partition":2}]}"#, "404 partition_unknown"),
            (r#"{"records":[{"text":"x","partition":-1}]}"#, "400 record_invalid"),
            (r#"{"records":[{"text":"x","timestamp":-1}]}"#, "400 timestamp_invalid"),
            (r#"{"records":[{"text":"x","timestamp":253402300800000}]}"#, "400 timestamp_invalid"),
            (r#"{"records":[{"text":"x","headers":{"":"x"}}]}"#, "400 header_invalid"),
            (&headers, "400 header_invalid"),
            (&long_key, "413 record_too_large"),
            (&long_text, "413 record_too_large"),
        ],
    )
    .await;
    let body = r#"{"records":[{"text":"x"},{"text":"y"},{"colour":"red"}]}"#;
    let reply = gateway.body(Method::POST, RECORDS, "application/json", body).await;
    assert_eq!(reply.problem()["record"], 2);
    let keyed = json!({"partitions": 2, "keyed": true});
    gateway.json(Method::PUT, "/v1/topics/keyed", &keyed).await;
    let body = Some(("application/json", r#"{"records":[{"text":"x","partition":0}]}"#));
    let wanted = "400 keyed_topic_partition";
    check(gateway, Method::POST, "/v1/topics/keyed/records", body, wanted).await;
}

fn small_bodies(config: &mut Config) {
    config.limits.body_bytes = 100_000;
}

async fn bodies_that_are_too_large(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let large = "x".repeat(100_001);
    check(gateway, Method::POST, RECORDS, Some(("text/plain", &large)), "413 body_too_large").await;
    // Without a length it is noticed on the way.
    let pieces = futures_util::stream::iter([large.clone(), large.clone()]);
    let body = reqwest::Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>));
    let reply = gateway.body(Method::POST, RECORDS, "text/plain", body).await;
    assert_eq!(reply.refused(), "413 body_too_large");
    let line = format!("{{\"text\":\"{large}\"}}\n");
    let kind = "application/x-ndjson";
    check(gateway, Method::POST, RECORDS, Some((kind, &line)), "413 record_too_large").await;
    let kind = "application/json";
    check(gateway, Method::PUT, "/v1/topics/u", Some((kind, &large)), "413 body_too_large").await;
}

async fn content_types(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let body = r#"{"records":[{"text":"x"}]}"#;
    let reply = gateway.send(gateway.request(Method::POST, RECORDS).body(body)).await;
    assert_eq!(reply.refused(), "415 content_type_missing");
    for kind in ["json", "application/json; charset=latin1", "multipart/form-data; boundary=x"] {
        let wanted = "415 content_type_unsupported";
        check(gateway, Method::POST, RECORDS, Some((kind, body)), wanted).await;
    }
    let unsupported = Some(("text/plain", "{}"));
    let wanted = "415 content_type_unsupported";
    check(gateway, Method::PUT, "/v1/topics/u", unsupported, wanted).await;
    let broken = Some(("application/vnd.x+json", "{"));
    check(gateway, Method::POST, RECORDS, broken, "400 json_invalid").await;
    let request = gateway.request(Method::GET, RECORDS).header("accept", "text/html");
    assert_eq!(gateway.send(request).await.refused(), "406 not_acceptable");
}

async fn publish_parameters(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    for (query, kind, wanted) in [
        ("?durability=later", "text/plain", "400 parameter_invalid"),
        ("?durability=synced&durability=buffered", "text/plain", "400 parameter_invalid"),
        ("?partition=x", "text/plain", "400 parameter_invalid"),
        ("?partition=1", "text/plain", "404 partition_unknown"),
        ("?timestamp=soon", "text/plain", "400 timestamp_invalid"),
        ("?colour=red", "text/plain", "400 parameter_unknown"),
        ("?key=a", "application/json", "400 parameters_conflict"),
        ("?partition=0", "application/x-ndjson", "400 parameters_conflict"),
    ] {
        let path = format!("{RECORDS}{query}");
        check(gateway, Method::POST, &path, Some((kind, "{}")), wanted).await;
    }
}

async fn read_parameters(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    let cases = [
        ("?limit=0", "400 parameter_invalid"),
        ("?limit=10001", "400 parameter_invalid"),
        ("?limit=-1", "400 parameter_invalid"),
        ("?limit=x", "400 parameter_invalid"),
        ("?limit=1&limit=2", "400 parameter_invalid"),
        ("?max_bytes=0", "400 parameter_invalid"),
        ("?max_bytes=16777217", "400 parameter_invalid"),
        ("?wait_ms=55001", "400 parameter_invalid"),
        ("?from=middle", "400 parameter_invalid"),
        ("?from=last:0", "400 parameter_invalid"),
        ("?from=time:yesterday", "400 timestamp_invalid"),
        ("?from=time:-1", "400 timestamp_invalid"),
        ("?from=time:253402300800000", "400 timestamp_invalid"),
        ("?from=offset:0", "400 parameters_conflict"),
        ("?from=offset:0&partition=0&partition=1", "400 parameters_conflict"),
        ("?from=offset:1&partition=0", "416 offset_out_of_range"),
        ("?from=offset:18446744073709551616&partition=0", "400 parameter_invalid"),
        ("?partition=0&partition=0", "400 parameter_invalid"),
        ("?follow=true", "400 parameters_conflict"),
        ("?follow=yes", "400 parameter_invalid"),
        ("?as=xml", "400 parameter_invalid"),
        ("?colour=red", "400 parameter_unknown"),
        ("?topic=t", "400 parameter_unknown"),
    ];
    for (query, wanted) in cases {
        check(gateway, Method::GET, &format!("{RECORDS}{query}"), None, wanted).await;
    }
    gets(
        gateway,
        &[
            ("/v1/records", "400 parameter_invalid"),
            ("/v1/records?topic=t&topic=t", "400 parameter_invalid"),
            ("/v1/records?topic=a%20b", "400 topic_name_invalid"),
        ],
    )
    .await;
    for query in ["?wait_ms=1", "?max_bytes=1"] {
        let request = gateway.request(Method::GET, &format!("{RECORDS}{query}"));
        let reply = gateway.send(request.header("accept", "application/x-ndjson")).await;
        assert_eq!(reply.refused(), "400 parameters_conflict");
    }
}

async fn cursors(gateway: &Gateway) {
    gateway.topic("t", 2).await;
    gateway.topic("u", 2).await;
    let cursor = async |path: &str| {
        let page: Value = gateway.page(path).await;
        page["cursor"].as_str().unwrap().to_owned()
    };
    let whole = cursor(RECORDS).await;
    let (cut, long) = (&whole[..whole.len() - 1], "A".repeat(60_000));
    let other = cursor("/v1/topics/u/records").await;
    let one = cursor("/v1/topics/t/records?partition=0").await;
    for (query, wanted) in [
        ("cursor=".to_owned(), "400 cursor_damaged"),
        ("cursor=nonsense".to_owned(), "400 cursor_damaged"),
        (format!("cursor={cut}"), "400 cursor_damaged"),
        (format!("cursor={long}"), "400 cursor_damaged"),
        (format!("cursor={whole}&from=earliest"), "400 parameters_conflict"),
        (format!("cursor={other}"), "400 cursor_foreign"),
        (format!("cursor={one}&partition=1"), "400 cursor_foreign"),
    ] {
        check(gateway, Method::GET, &format!("{RECORDS}?{query}"), None, wanted).await;
    }
}

async fn topic_parameters(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gets(
        gateway,
        &[
            ("/v1/topics?limit=0", "400 parameter_invalid"),
            ("/v1/topics?limit=1001", "400 parameter_invalid"),
            ("/v1/topics?after=a%20b", "400 topic_name_invalid"),
            ("/v1/topics?colour=red", "400 parameter_unknown"),
            ("/v1/topics/t?colour=red", "400 parameter_unknown"),
            ("/v1/topics/t/partitions/0/offsets", "400 parameter_invalid"),
            ("/v1/topics/t/partitions/0/offsets?time=soon", "400 timestamp_invalid"),
            ("/v1/topics/t/partitions/x/offsets?time=0", "400 parameter_invalid"),
        ],
    )
    .await;
    check(gateway, Method::DELETE, "/v1/topics/t?force=1", None, "400 parameter_unknown").await;
}

async fn idempotency_keys(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let long = "k".repeat(256);
    for key in ["", &long] {
        let request = gateway.request(Method::POST, RECORDS).header("idempotency-key", key);
        let reply = gateway.send(request.json(&json!({"records": [{"text": "x"}]}))).await;
        assert_eq!(reply.refused(), "400 idempotency_key_invalid");
    }
    let request = gateway.request(Method::POST, RECORDS).header("idempotency-key", "a");
    let request = request.header("idempotency-key", "b");
    let reply = gateway.send(request.json(&json!({"records": [{"text": "x"}]}))).await;
    assert_eq!(reply.refused(), "400 idempotency_key_invalid");
}
