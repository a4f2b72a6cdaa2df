//! Reading by key: a page, a long poll and a stream see the records of their
//! keys and no others.

use crate::util::{Gateway, on_every_engine, values};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

on_every_engine! {
    a_page_has_the_records_of_its_keys;
    a_keyed_topic_keeps_a_key_in_one_partition;
    a_long_poll_waits_for_its_key;
    what_is_wrong_with_keys_is_said;
    what_one_reads_by_key_is_not_all_that_others_get;
}

const RECORDS: &str = "/v1/topics/t/records";

async fn a_page_has_the_records_of_its_keys(gateway: &Gateway) {
    gateway.topic("t", 3).await;
    let records: Vec<_> =
        (0..90).map(|n| json!({"key": format!("k{}", n % 9), "value": n})).collect();
    gateway.publish("t", json!(records)).await;
    let mut seen = vec![];
    let mut path = format!("{RECORDS}?key=k1&key=k%34&limit=7");
    loop {
        let page = gateway.page(&path).await;
        seen.extend(values(&page).into_iter().map(|value| value.as_u64().unwrap()));
        if page["at_tail"] == true && page["records"] == json!([]) {
            break;
        }
        let cursor = page["cursor"].as_str().unwrap();
        path = format!("{RECORDS}?key=k1&key=k4&limit=7&cursor={cursor}");
    }
    seen.sort_unstable();
    let wanted: Vec<_> = (0..90).filter(|n| [1, 4].contains(&(n % 9))).collect();
    assert_eq!(seen, wanted);
    let none = gateway.page(&format!("{RECORDS}?key=k")).await;
    assert_eq!((&none["records"], &none["at_tail"]), (&json!([]), &json!(true)));
}

async fn a_keyed_topic_keeps_a_key_in_one_partition(gateway: &Gateway) {
    let body = json!({"partitions": 16, "keyed": true});
    assert_eq!(gateway.json(Method::PUT, "/v1/topics/t", &body).await.status, 201);
    let with_partition = json!({"records": [{"key": "a", "partition": 0, "value": 0}]});
    let refused = gateway.json(Method::POST, RECORDS, &with_partition).await;
    assert_eq!(refused.refused(), "400 keyed_topic_partition");
    let places = gateway.publish("t", json!([{"key": "a", "value": 1}])).await;
    gateway.publish("t", json!([{"key": "b", "value": 2}, {"key": "a", "value": 3}])).await;
    let page = gateway.page(&format!("{RECORDS}?key=a")).await;
    assert_eq!(values(&page), [1, 3]);
    assert_eq!(page["records"][1]["partition"], places[0].0);
    // Its cursor is of that partition, and not for a key of another.
    let cursor = page["cursor"].as_str().unwrap();
    let other = gateway.get(&format!("{RECORDS}?key=b&cursor={cursor}")).await;
    assert_eq!(other.refused(), "400 cursor_foreign");
}

async fn a_long_poll_waits_for_its_key(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let waiting = async {
        let path = format!("{RECORDS}?from=latest&key=mine&wait_ms=20000");
        gateway.page(&path).await
    };
    let publishing = async {
        // Until it follows, what is published is before its start.
        while !gateway.get("/metrics").await.text().contains("tidegate_followed_partitions 1") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for n in 0..20 {
            gateway.publish("t", json!([{"key": "other", "value": n}])).await;
        }
        gateway.publish("t", json!([{"key": "mine", "value": "now"}])).await;
    };
    let (page, ()) = tokio::join!(waiting, publishing);
    assert_eq!(values(&page), ["now"]);
    let rest = format!("{RECORDS}?key=mine&cursor={}", page["cursor"].as_str().unwrap());
    assert_eq!(gateway.page(&rest).await["records"], json!([] as [Value; 0]));
}

async fn what_is_wrong_with_keys_is_said(gateway: &Gateway) {
    gateway.topic("t", 1).await;
    let many: String = (0..101).map(|n| format!("&key={n}")).collect();
    for query in ["key=a&key=a", &many[1..]] {
        let reply = gateway.get(&format!("{RECORDS}?{query}")).await;
        assert_eq!(reply.refused(), "400 parameter_invalid");
        assert_eq!(reply.value()["parameter"], "key");
    }
}

/// Follows a topic and collects offsets until the one with `last`.
async fn offsets_until(gateway: &Gateway, query: &str, last: u64) -> Vec<u64> {
    let path = format!("{RECORDS}?from=earliest&follow=true{query}");
    let request = gateway.request(Method::GET, &path).header("accept", "application/x-ndjson");
    let mut follower = request.send().await.unwrap();
    let (mut text, mut offsets) = (String::new(), vec![]);
    while offsets.last() != Some(&last) {
        let chunk = tokio::time::timeout(Duration::from_secs(30), follower.chunk()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            let line: Value = serde_json::from_str(&line).unwrap();
            assert!(!["lost", "error"].iter().any(|op| line["op"] == *op), "{line}");
            offsets.extend(line["offset"].as_u64());
        }
    }
    offsets
}

async fn what_one_reads_by_key_is_not_all_that_others_get(gateway: &Gateway) {
    let body = json!({"partitions": 1, "keyed": true, "durability": "buffered"});
    assert_eq!(gateway.json(Method::PUT, "/v1/topics/t", &body).await.status, 201);
    // So much at once that it is not held in memory, and is read by whoever
    // comes first: at times one who wants but a tenth of it.
    const ROUNDS: u64 = 40;
    let (each, last) = (300, ROUNDS * 300);
    let publishing = async {
        for _ in 0..ROUNDS {
            let pad = "x".repeat(1_200);
            let record = |i: u64| json!({"key": format!("k{}", i % 10), "value": i, "headers": {"pad": pad}});
            let records: Vec<_> = (0..each).map(record).collect();
            gateway.publish("t", json!(records)).await;
            tokio::task::yield_now().await;
        }
        gateway.publish("t", json!([{"key": "k3", "value": "last"}])).await;
    };
    let plain = offsets_until(gateway, "", last);
    let keyed = offsets_until(gateway, "&key=k3", last);
    let ((), plain, keyed) = tokio::join!(publishing, plain, keyed);
    assert_eq!(plain, (0..=last).collect::<Vec<_>>());
    assert_eq!(keyed, (0..=last).filter(|n| n % 10 == 3 || *n == last).collect::<Vec<_>>());
}
