//! CloudEvents 1.0: structured, in batches, and binary.

use crate::util::{Gateway, on_every_engine};
use reqwest::Method;
use serde_json::{Value, json};

on_every_engine! {
    an_event_is_stored_in_each_mode;
    what_is_no_event_is_refused;
}

const RECORDS: &str = "/v1/topics/t/records";

fn event() -> Value {
    json!({
        "specversion": "1.0", "id": "17", "source": "/shop", "type": "order.placed",
        "partitionkey": "user-42", "data": {"total": 12}
    })
}

async fn an_event_is_stored_in_each_mode(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let post = async |kind: &str, body: Value| {
        let reply = gateway.body(Method::POST, RECORDS, kind, body.to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    post("application/cloudevents+json", event()).await;
    post("application/cloudevents-batch+json", json!([event(), event()])).await;
    let binary = gateway
        .request(Method::POST, RECORDS)
        .header("ce-specversion", "1.0")
        .header("ce-id", "17")
        .header("ce-source", "/shop")
        .header("ce-type", "order.placed")
        .header("ce-partitionkey", "user-42")
        .header("content-type", "application/json")
        .body("{\"total\":12}");
    assert_eq!(gateway.send(binary).await.status, 200);
    let page = gateway.page(RECORDS).await;
    let records = page["records"].as_array().unwrap();
    assert_eq!(records.len(), 4);
    for record in records {
        assert_eq!(record["value"], json!({"total": 12}), "{record}");
        assert_eq!(record["key"], "user-42", "{record}");
        let headers = record["headers"].as_array().unwrap();
        assert!(headers.iter().any(|h| h["value"] == "order.placed"), "{record}");
    }
}

async fn what_is_no_event_is_refused(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut without_id = event();
    without_id.as_object_mut().unwrap().remove("id");
    let kind = "application/cloudevents+json";
    let reply = gateway.body(Method::POST, RECORDS, kind, without_id.to_string()).await;
    assert_eq!(reply.refused(), "400 cloudevent_invalid");
    let binary = gateway.request(Method::POST, RECORDS).header("ce-specversion", "0.1").body("x");
    assert_eq!(gateway.send(binary).await.refused(), "400 cloudevent_invalid");
}
