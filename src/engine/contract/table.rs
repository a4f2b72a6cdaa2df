//! The state table: small, keyed, atomic, durable.

use super::{Harness, Log, fixture::soon};
use crate::domain::Timestamp;
use crate::engine::{EngineError, StateEntry, StateKey, StateTable};
use bytes::Bytes;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn key(space: &'static str, key: impl Into<Vec<u8>>) -> StateKey {
    StateKey { space, key: Bytes::from(key.into()) }
}

fn lasting(value: impl Into<Vec<u8>>) -> StateEntry {
    StateEntry { value: Bytes::from(value.into()), expires: None }
}

async fn set<H: Harness>(log: &Log<H>, key: &StateKey, entry: Option<StateEntry>) {
    soon("a put", log.put(vec![(key.clone(), entry)])).await.unwrap();
}

fn listed<H: Harness>(log: &Log<H>, space: &'static str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entries = log.list(space, NOW).into_iter();
    entries.map(|(key, entry)| (key.to_vec(), entry.value.to_vec())).collect()
}

pub async fn an_entry_is_seen_when_the_put_answers<H: Harness>(log: &mut Log<H>) {
    let a = key("test", "a");
    assert_eq!(log.get(&a, NOW), None);
    for value in ["1", "", "three"] {
        set(log, &a, Some(lasting(value))).await;
        assert_eq!(log.get(&a, NOW), Some(lasting(value)));
    }
    set(log, &a, None).await;
    assert_eq!(log.get(&a, NOW), None);
    set(log, &a, None).await;
}

pub async fn a_namespace_is_listed_in_the_order_of_its_keys<H: Harness>(log: &mut Log<H>) {
    let keys: [&[u8]; 6] = [b"b", b"", b"a\0", b"\xff\xff", b"a", b"ab"];
    for k in keys {
        set(log, &key("test", k), Some(lasting(k))).await;
    }
    set(log, &key("tes", "tb"), Some(lasting("other"))).await;
    set(log, &key("test2", "a"), Some(lasting("other"))).await;
    let sorted: [&[u8]; 6] = [b"", b"a", b"a\0", b"ab", b"b", b"\xff\xff"];
    assert_eq!(listed(log, "test"), sorted.map(|k| (k.to_vec(), k.to_vec())));
    assert_eq!(listed(log, "tes"), [(b"tb".to_vec(), b"other".to_vec())]);
    assert_eq!(listed(log, "te"), []);
}

pub async fn an_entry_that_expired_is_not_seen<H: Harness>(log: &mut Log<H>) {
    let entry = StateEntry {
        value: Bytes::from_static(b"v"),
        expires: Some(Timestamp::from_millis(NOW.millis() + 60_000)),
    };
    set(log, &key("test", "a"), Some(entry.clone())).await;
    set(log, &key("test", "b"), Some(lasting("stays"))).await;
    let (before, after) = (NOW.millis() + 59_999, NOW.millis() + 60_001);
    let (before, after) = (Timestamp::from_millis(before), Timestamp::from_millis(after));
    assert_eq!(log.get(&key("test", "a"), before), Some(entry));
    assert_eq!(log.get(&key("test", "a"), after), None);
    assert_eq!(log.list("test", before).len(), 2);
    let left = log.list("test", after);
    assert_eq!(left, [(Bytes::from_static(b"b"), lasting("stays"))]);
}

pub async fn changes_are_made_together_in_their_order<H: Harness>(log: &mut Log<H>) {
    set(log, &key("test", "old"), Some(lasting("x"))).await;
    let changes = vec![
        (key("test", "old"), None),
        (key("test", "new"), Some(lasting("1"))),
        (key("test", "new"), Some(lasting("2"))),
        (key("other", "new"), Some(lasting("3"))),
        (key("test", "brief"), Some(lasting("4"))),
        (key("test", "brief"), None),
    ];
    soon("a put", log.put(changes)).await.unwrap();
    assert_eq!(listed(log, "test"), [(b"new".to_vec(), b"2".to_vec())]);
    assert_eq!(listed(log, "other"), [(b"new".to_vec(), b"3".to_vec())]);
}

pub async fn the_largest_keys_and_values_fit<H: Harness>(log: &mut Log<H>) {
    for i in 0..20u8 {
        let large = key("test", [vec![i], vec![0xee; 1_023]].concat());
        set(log, &large, Some(lasting(vec![i; 8 << 10]))).await;
        assert_eq!(log.get(&large, NOW), Some(lasting(vec![i; 8 << 10])));
    }
    assert_eq!(log.list("test", NOW).len(), 20);
}

pub async fn concurrent_changes_are_all_made<H: Harness>(log: &mut Log<H>) {
    let puts = (0..50).map(|i| {
        log.put(vec![
            (key("test", format!("{i:02}")), Some(lasting("x"))),
            (key("last", "one"), Some(lasting(format!("{i}")))),
        ])
    });
    for put in soon("puts", futures_util::future::join_all(puts)).await {
        put.unwrap();
    }
    assert_eq!(listed(log, "test").len(), 50);
    assert_eq!(listed(log, "last").len(), 1);
}

pub async fn the_table_survives_a_restart<H: Harness>(log: &mut Log<H>) {
    let expiring =
        StateEntry { value: Bytes::from_static(b"v"), expires: Some(NOW.plus(TEN_YEARS)) };
    let changes = vec![
        (key("test", "a"), Some(lasting("1"))),
        (key("test", "b"), Some(expiring.clone())),
        (key("test", "gone"), Some(lasting("x"))),
        (key("other", ""), Some(lasting(vec![0xff; 8 << 10]))),
    ];
    log.put(changes).await.unwrap();
    set(log, &key("test", "a"), Some(lasting("2"))).await;
    set(log, &key("test", "gone"), None).await;
    for _ in 0..2 {
        if !log.restart().await {
            return;
        }
        assert_eq!(listed(log, "test"), [b"a2", b"bv"].map(|x| (x[..1].to_vec(), x[1..].to_vec())));
        assert_eq!(log.get(&key("test", "b"), NOW), Some(expiring.clone()));
        assert_eq!(log.get(&key("other", ""), NOW), Some(lasting(vec![0xff; 8 << 10])));
    }
}

const TEN_YEARS: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 86_400);

pub async fn a_put_that_does_not_fit_changes_nothing<H: Harness>(log: &mut Log<H>) {
    let Some(max) = log.harness().table_max() else { return };
    let fill = (0..max).map(|i| (key("test", format!("{i}")), Some(lasting("x"))));
    log.put(fill.collect()).await.unwrap();
    let before = listed(log, "test");
    let changes = vec![
        (key("test", "0"), Some(lasting("changed"))),
        (key("test", "more"), Some(lasting("x"))),
    ];
    assert_eq!(log.put(changes).await, Err(EngineError::TableFull(max)));
    assert_eq!(listed(log, "test"), before);
    let changes = vec![(key("test", "0"), None), (key("test", "more"), Some(lasting("x")))];
    log.put(changes).await.unwrap();
    assert_eq!(listed(log, "test").len(), max);
}
