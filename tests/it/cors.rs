//! Pages of other origins: nobody is let in unless the operator lists it.

use crate::util::{Gateway, Raw, Reply, on_every_engine};
use reqwest::Method;
use serde_json::json;
use tidegate::config::Config;

on_every_engine! {
    a_listed_origin_may_call_and_read with listed;
    a_listed_origin_may_open_a_websocket_and_another_may_not with listed;
    another_origin_may_not with listed;
    nobody_is_listed_by_itself;
}

const APP: &str = "https://app.example";
const RECORDS: &str = "/v1/topics/t/records";

fn listed(config: &mut Config) {
    config.http.cors_origins = vec!["http://localhost:3000".to_owned(), APP.to_owned()];
}

async fn preflight(gateway: &Gateway, origin: &str) -> Reply {
    let request = gateway
        .request(Method::OPTIONS, RECORDS)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,idempotency-key");
    gateway.send(request).await
}

async fn publish(gateway: &Gateway, origin: &str) -> Reply {
    let body = json!({"records": [{"text": "a"}]});
    let request = gateway.request(Method::POST, RECORDS).header("origin", origin).json(&body);
    gateway.send(request).await
}

const ALLOWED: &str = "access-control-allow-origin";

async fn a_listed_origin_may_call_and_read(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let asked = preflight(gateway, APP).await;
    assert_eq!((asked.status, asked.header(ALLOWED)), (204, APP));
    assert!(asked.header("access-control-allow-methods").contains("POST"));
    assert_eq!(asked.header("access-control-allow-headers"), "content-type,idempotency-key");
    let published = publish(gateway, APP).await;
    assert_eq!((published.status, published.header(ALLOWED)), (200, APP));
    assert_eq!(published.header("vary"), "origin");
    assert!(published.header("access-control-expose-headers").contains("x-request-id"));
    // A refusal can be read as well.
    let request = gateway.request(Method::GET, "/v1/topics/none/records").header("origin", APP);
    let refused = gateway.send(request).await;
    assert_eq!((refused.refused().as_str(), refused.header(ALLOWED)), ("404 topic_unknown", APP));
}

async fn a_listed_origin_may_open_a_websocket_and_another_may_not(gateway: &Gateway) {
    for (origin, told) in [(APP, "\"op\":\"hello\""), ("https://evil.example", "origin_refused")] {
        let mut socket = Raw::connect(gateway).await;
        let head = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: tidegate.v1\r\n\r\n",
            gateway.address()
        );
        socket.send(head).await;
        let answer = socket.until(told).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }
}

async fn another_origin_may_not(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    for origin in ["https://evil.example", "http://app.example", "https://app.example.evil", "null"]
    {
        let asked = preflight(gateway, origin).await;
        assert_eq!((asked.status, asked.header(ALLOWED)), (405, ""), "{origin}");
        let refused = publish(gateway, origin).await;
        assert_eq!(
            (refused.refused().as_str(), refused.header(ALLOWED)),
            ("403 origin_refused", "")
        );
        assert_eq!(refused.header("vary"), "origin");
    }
    // Who is no browser says no origin.
    assert_eq!(gateway.page(RECORDS).await["records"], json!([]));
}

async fn nobody_is_listed_by_itself(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    assert_eq!(preflight(gateway, APP).await.status, 405);
    assert_eq!(publish(gateway, APP).await.refused(), "403 origin_refused");
    let own = format!("http://{}", gateway.address());
    let published = publish(gateway, &own).await;
    assert_eq!((published.status, published.header("vary")), (200, ""));
}
