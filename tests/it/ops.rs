//! Health, metrics, pages, request ids, and the ordered stop.

use crate::util::{Gateway, on_every_engine};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tidegate::config::EngineKind;

on_every_engine! {
    health_and_readiness_are_told;
    what_happened_is_counted;
    requests_have_ids;
    pages_load_nothing_from_elsewhere;
    every_error_has_its_page;
}

async fn health_and_readiness_are_told(gateway: &Gateway) {
    assert_eq!(gateway.page("/healthz").await, json!({"status": "ok"}));
    gateway.topic("t", 1).await;
    let ready = gateway.page("/readyz").await;
    assert_eq!((&ready["ready"], &ready["state"]), (&json!(true), &json!("ready")));
    assert_eq!(ready["topics"], 1);
    assert_eq!(ready["promises"]["durable"], ready["engine"] == "sled");
}

async fn what_happened_is_counted(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    gateway.publish("t", json!([{"text": "x"}, {"text": "y"}])).await;
    gateway.page("/v1/topics/t/records").await;
    gateway.get("/v1/topics/unknown").await;
    let reply = gateway.get("/metrics").await;
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));
    let metrics = reply.text();
    for line in [
        "tidegate_published_records_total{durability=\"synced\"} 2",
        "tidegate_read_records_total 2",
        "tidegate_http_requests_total{kind=\"publish\",status=\"2xx\"} 1",
        "tidegate_http_requests_total{kind=\"manage\",status=\"4xx\"} 1",
        "tidegate_inflight_publishes 0",
        "tidegate_inflight_bytes 0",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line} in {metrics}");
    }
}

async fn requests_have_ids(gateway: &Gateway) {
    let (first, second) = (gateway.get("/healthz").await, gateway.get("/nothing").await);
    let ids = (first.header("x-request-id"), second.header("x-request-id"));
    assert!(!ids.0.is_empty() && !ids.1.is_empty() && ids.0 != ids.1, "{ids:?}");
    let send = async |id: &str| {
        let request = gateway.request(Method::GET, "/healthz").header("x-request-id", id);
        gateway.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(send("mine-1").await, "mine-1");
    assert_ne!(send("with space").await, "with space");
    let long = "x".repeat(200);
    assert_ne!(send(&long).await, long);
}

async fn pages_load_nothing_from_elsewhere(gateway: &Gateway) {
    for path in [
        "/",
        "/live/live.js",
        "/docs",
        "/docs/errors",
        "/docs/api/",
        "/docs/errors/topic_unknown",
        "/docs/style.css",
    ] {
        let page = gateway.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
        for elsewhere in ["src=\"http", "src=\"//", "href=\"http", "url(http", "@import"] {
            assert!(!page.text().contains(elsewhere), "{path} has {elsewhere}");
        }
    }
    for file in ["tidegate.js", "fallback.js", "outbox.js"] {
        let script = gateway.get(&format!("/sdk/{file}")).await;
        assert_eq!(script.status, 200, "{file}");
        assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
    }
    assert_eq!(gateway.get("/sdk/tidegate.min.js").await.status, 404);
    assert_eq!(gateway.get("/docs/api").await.status, 200, "redirects to the page");
    let script = gateway.get("/docs/api/swagger-initializer.js").await;
    assert!(script.text().contains("/openapi.json"));
    assert!(script.header("content-type").contains("javascript"));
    for asset in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        assert_eq!(gateway.get(&format!("/docs/api/{asset}")).await.status, 200, "{asset}");
    }
}

async fn every_error_has_its_page(gateway: &Gateway) {
    let index = gateway.get("/docs/errors").await.text();
    let codes = index.split("href=\"/docs/errors/").skip(1);
    let codes: Vec<_> = codes.filter_map(|rest| rest.split_once('"')).map(|(c, _)| c).collect();
    assert!(codes.len() > 30);
    for code in codes {
        let page = gateway.get(&format!("/docs/errors/{code}")).await;
        assert_eq!(page.status, 200, "{code}");
        assert!(page.text().contains("What to do"), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_waits_and_lets_the_rest_finish() {
    let gateway = Gateway::start(EngineKind::Memory, |_| {}).await;
    gateway.topic("t", 1).await;
    let poll = gateway.request(Method::GET, "/v1/topics/t/records?wait_ms=50000");
    let follow = gateway.request(Method::GET, "/v1/topics/t/records?follow=true");
    let follow = follow.header("accept", "application/x-ndjson");
    let polling = tokio::spawn(async move { poll.send().await.unwrap().text().await.unwrap() });
    let following = tokio::spawn(async move { follow.send().await.unwrap().text().await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (begun, address) = (Instant::now(), gateway.address());
    gateway.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let page: serde_json::Value = serde_json::from_str(&polling.await.unwrap()).unwrap();
    assert_eq!((&page["records"], page["cursor"].is_string()), (&json!([]), true));
    let stream = following.await.unwrap();
    let last: serde_json::Value = serde_json::from_str(stream.lines().last().unwrap()).unwrap();
    assert_eq!((&last["op"], &last["problem"]["code"]), (&json!("error"), &json!("closing")));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
