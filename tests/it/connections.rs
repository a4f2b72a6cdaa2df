//! Clients that are slow, too many, foreign, or speak HTTP/2.

use crate::util::{Gateway, Raw, on_every_engine};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tidegate::config::Config;

on_every_engine! {
    slow_headers_are_given_up with impatient;
    slow_bodies_are_given_up with impatient;
    idle_connections_are_closed with impatient;
    a_body_that_breaks_off_stores_nothing;
    headers_that_are_too_large;
    one_connection_too_many_is_told with two_connections;
    foreign_hosts_are_refused with with_a_name;
    foreign_pages_are_refused;
    what_is_no_http_is_refused;
    http_2_is_spoken_with_prior_knowledge;
    requests_in_a_row_are_answered_in_order;
    a_refusal_reaches_a_client_that_is_still_sending;
    a_client_that_asks_first_is_refused_without_its_body;
}

fn impatient(config: &mut Config) {
    config.http.header_timeout = Duration::from_millis(400);
    config.http.body_idle_timeout = Duration::from_millis(400);
    config.http.keep_alive_timeout = Duration::from_millis(900);
}

async fn slow_headers_are_given_up(gateway: &Gateway) {
    for begin in ["", "GET / HTTP/1.1\r\nHost: local"] {
        let mut slow = Raw::connect(gateway).await;
        let begun = Instant::now();
        slow.send(begin).await;
        let told = slow.until_closed().await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{begin}");
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
        assert!(told.contains("application/problem+json"), "{told}");
    }
    // A trickle is no progress either.
    let mut slow = Raw::connect(gateway).await;
    let begun = Instant::now();
    slow.send("GET / HTTP/1.1\r\n").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        slow.send("x-a: b\r\n").await;
    }
    slow.until_closed().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
}

async fn slow_bodies_are_given_up(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    for kind in ["text/plain", "application/x-ndjson"] {
        let mut slow = Raw::connect(gateway).await;
        slow.send(format!(
            "POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\ncontent-type: {kind}\r\n\
             content-length: 100\r\n\r\n{{"
        ))
        .await;
        let told = slow.until_closed().await;
        assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
        assert!(told.contains("\"code\":\"body_timeout\""), "{told}");
    }
    assert_eq!(gateway.page("/v1/topics/t/records").await["records"], json!([]));
}

async fn idle_connections_are_closed(gateway: &Gateway) {
    let mut idle = Raw::connect(gateway).await;
    idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    idle.until("{\"status\":\"ok\"}").await;
    let begun = Instant::now();
    assert_eq!(idle.until_closed().await, "");
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(600) && took < Duration::from_secs(5), "{took:?}");
}

async fn a_body_that_breaks_off_stores_nothing(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let mut client = Raw::connect(gateway).await;
    client
        .send(
            "POST /v1/topics/t/records HTTP/1.1\r\nHost: localhost\r\ncontent-type: text/plain\r\n\
             content-length: 100\r\n\r\nhalf",
        )
        .await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(gateway.page("/v1/topics/t/records").await["records"], json!([]));
}

async fn headers_that_are_too_large(gateway: &Gateway) {
    let mut client = Raw::connect(gateway).await;
    let large = "x".repeat(200 << 10);
    client.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nx-large: {large}\r\n\r\n")).await;
    let told = client.until_closed().await;
    assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
}

fn two_connections(config: &mut Config) {
    config.http.max_connections = 2;
}

async fn one_connection_too_many_is_told(gateway: &Gateway) {
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut kept = vec![];
    for _ in 0..2 {
        let mut client = Raw::connect(gateway).await;
        client.send(request).await;
        client.until("{\"status\":\"ok\"}").await;
        kept.push(client);
    }
    let mut third = Raw::connect(gateway).await;
    third.send(request).await;
    let told = third.until_closed().await;
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    assert!(told.contains("\"code\":\"too_busy\"") && told.contains("retry-after: "), "{told}");
    // The others are served on, and a place that is given up is taken again.
    kept[0].send(request).await;
    kept[0].until("{\"status\":\"ok\"}").await;
    drop(kept);
    for _ in 0..100 {
        let mut next = Raw::connect(gateway).await;
        next.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nconnection: close\r\n\r\n").await;
        if next.until_closed().await.starts_with("HTTP/1.1 200 ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the places of closed connections are not given back");
}

fn with_a_name(config: &mut Config) {
    config.http.allowed_hosts = vec!["gate.example".to_owned()];
}

async fn foreign_hosts_are_refused(gateway: &Gateway) {
    let get = async |host: &str| {
        gateway.send(gateway.request(Method::GET, "/v1/topics").header("host", host)).await
    };
    for host in ["localhost", "127.0.0.1:1", "[::1]:8080", "gate.example", "Gate.Example:80"] {
        assert_eq!(get(host).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1"] {
        assert_eq!(get(host).await.refused(), "403 host_refused", "{host}");
    }
    let mut without = Raw::connect(gateway).await;
    without.send("GET /v1/topics HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    let told = without.until_closed().await;
    assert!(told.starts_with("HTTP/1.1 403 ") && told.contains("host_refused"), "{told}");
}

async fn foreign_pages_are_refused(gateway: &Gateway) {
    let put = async |origin: &str| {
        let request = gateway.request(Method::PUT, "/v1/topics/t").header("origin", origin);
        gateway.send(request).await
    };
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"] {
        assert_eq!(put(origin).await.refused(), "403 origin_refused", "{origin}");
    }
    let own = format!("http://{}", gateway.address());
    assert_eq!(put(&own).await.status, 201);
    let get = gateway.request(Method::GET, "/v1/topics").header("origin", "http://evil.example");
    let reply = gateway.send(get).await;
    // It may be sent, but without CORS headers no page can read it.
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
}

async fn what_is_no_http_is_refused(gateway: &Gateway) {
    for bytes in ["\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = Raw::connect(gateway).await;
        client.send(bytes).await;
        let told = client.until_closed().await;
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 400 "), "{told}");
    }
    assert_eq!(gateway.get("/healthz").await.status, 200);
}

async fn http_2_is_spoken_with_prior_knowledge(gateway: &Gateway) {
    let mut client = Raw::connect(gateway).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    // Empty settings.
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    // The acknowledgement of settings: type 4, flag 1.
    client.until("\0\0\0\u{4}\u{1}\0\0\0\0").await;
}

async fn requests_in_a_row_are_answered_in_order(gateway: &Gateway) {
    let mut client = Raw::connect(gateway).await;
    client
        .send(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /v1/topics HTTP/1.1\r\nHost: localhost\r\nconnection: close\r\n\r\n",
        )
        .await;
    let told = client.until_closed().await;
    let (first, second) = (told.find("\"status\":\"ok\""), told.find("{\"topics\":"));
    assert!(first.is_some() && first < second, "{told}");
}

async fn a_refusal_reaches_a_client_that_is_still_sending(gateway: &Gateway) {
    for _ in 0..5 {
        let pieces = (0..200).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 100_000]));
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
        let path = "/v1/topics/unknown/records";
        let reply = gateway.body(Method::POST, path, "text/plain", body).await;
        assert_eq!(reply.refused(), "404 topic_unknown");
    }
}

async fn a_client_that_asks_first_is_refused_without_its_body(gateway: &Gateway) {
    let mut client = Raw::connect(gateway).await;
    client
        .send(
            "POST /v1/topics/unknown/records HTTP/1.1\r\nHost: localhost\r\n\
             content-type: text/plain\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n",
        )
        .await;
    let told = client.until("topic_unknown").await;
    assert!(told.starts_with("HTTP/1.1 404 "), "{told}");
}
