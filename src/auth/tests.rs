//! The rights as a table, and that less of a token never allows more.

use super::{authorize::*, rights::Rights};
use crate::domain::{GroupName, TopicName};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn keys(all: &[&'static str]) -> Verdict {
    Verdict::Allowed(Reach::Keys(all.iter().map(|key| Bytes::from(*key)).collect()))
}

const WHOLE: Verdict = Verdict::Allowed(Reach::Whole);
const NO: Verdict = Verdict::Refused;

/// Everything that can be asked about these names, in one order.
fn asks<'a>(topic: &'a TopicName, group: &'a GroupName) -> [Ask<'a>; 7] {
    [
        Ask::Publish(topic),
        Ask::Read(topic),
        Ask::Describe(topic),
        Ask::Manage(topic),
        Ask::Work(group),
        Ask::ManageGroup(group),
        Ask::Operate,
    ]
}

#[test]
fn each_grant_allows_what_it_says_and_nothing_else() {
    let scopes: [(&str, [Verdict; 7]); 10] = [
        // publish, read, describe, manage; work, manage the group; operate
        ("", [NO, NO, NO, NO, NO, NO, NO]),
        ("publish:orders.*", [WHOLE, NO, WHOLE, NO, NO, NO, NO]),
        ("read:orders.*", [NO, WHOLE, WHOLE, NO, NO, NO, NO]),
        ("group:billing-*", [NO, NO, NO, NO, WHOLE, NO, NO]),
        ("admin", [NO, NO, WHOLE, WHOLE, NO, WHOLE, WHOLE]),
        ("admin:orders.*", [NO, NO, WHOLE, WHOLE, NO, NO, NO]),
        ("admin:billing-*", [NO, NO, NO, NO, NO, WHOLE, NO]),
        ("read:*", [NO, NO, NO, NO, NO, NO, NO]),
        ("read:** publish:payments", [NO, WHOLE, WHOLE, NO, NO, NO, NO]),
        ("publish read group", [NO, NO, NO, NO, NO, NO, NO]),
    ];
    let (orders, billing) = (topic("orders.eu"), group("billing-1"));
    for (scope, wanted) in scopes {
        let rights = Rights::of(Some(scope), None).unwrap();
        let got = asks(&orders, &billing).map(|ask| rights.authorize(ask));
        assert_eq!(got, wanted, "{scope}");
    }
}

#[test]
fn keys_confine_and_a_grant_without_them_does_not() {
    let read = |keys: Value| json!({"type": "tidegate", "actions": ["read"], "topics": ["feed"], "keys": keys});
    let table = [
        (json!([read(json!(["b", "a"]))]), keys(&["a", "b"])),
        (json!([read(json!(["a"])), read(json!(["c", "a"]))]), keys(&["a", "c"])),
        (json!([read(json!([]))]), keys(&[])),
        (
            json!([read(json!(["a"])), {"type": "tidegate", "actions": ["read"], "topics": ["*"]}]),
            WHOLE,
        ),
    ];
    let feed = topic("feed");
    for (details, wanted) in table {
        let rights = Rights::of(None, Some(&details)).unwrap();
        assert_eq!(rights.authorize(Ask::Read(&feed)), wanted, "{details}");
        assert_eq!(rights.authorize(Ask::Describe(&feed)), WHOLE, "{details}");
        assert_eq!(rights.authorize(Ask::Publish(&feed)), NO, "{details}");
    }
}

#[test]
fn why_names_each_grant_and_what_is_none() {
    let rights = Rights::of(Some("read:orders read:pay publish:orders read:a***"), None).unwrap();
    let why = rights.explain(Ask::Read(&topic("orders")));
    let told: Vec<_> = why.iter().map(|w| (&*w.origin, &*w.outcome, w.allows)).collect();
    assert_eq!(told[0], ("read:orders", "allows it", true));
    assert_eq!(told[1], ("read:pay", "is for other names", false));
    assert_eq!(told[2], ("publish:orders", "is for publish, not for read", false));
    assert!(told[3].1.contains("grants nothing"), "{told:?}");
}

/// Whether whatever `less` reaches, `more` reaches too.
fn is_within(less: &Verdict, more: &Verdict) -> bool {
    match (less, more) {
        (Verdict::Refused, _) | (_, Verdict::Allowed(Reach::Whole)) => true,
        (Verdict::Allowed(Reach::Keys(some)), Verdict::Allowed(Reach::Keys(all))) => {
            some.iter().all(|key| all.contains(key))
        }
        _ => false,
    }
}

/// A grant, and one that is narrower in one way or another.
fn pair() -> impl Strategy<Value = (Value, Option<Value>)> {
    let actions = proptest::sample::subsequence(vec!["publish", "read"], 1..=2);
    let names = proptest::collection::vec("[ab]{1,2}(\\.[ab*]{1,2}|\\.\\*\\*)?", 1..3);
    let held = proptest::option::of(proptest::sample::subsequence(vec!["x", "y", "z"], 0..=3));
    (actions, names, held, 0..5u8).prop_map(|(actions, topics, held, how)| {
        let entry = |actions: &[&str], topics: &[String], held: &Option<Vec<&str>>| {
            let mut entry = json!({"type": "tidegate", "actions": actions, "topics": topics});
            if let Some(held) = held {
                entry["keys"] = json!(held);
            }
            entry
        };
        let narrow: Vec<String> = topics.iter().map(|t| t.replace("**", "*")).collect();
        let fewer = held.as_ref().map_or(vec!["x"], |held| held[held.len() / 2..].to_vec());
        let narrower = match how {
            0 => None,
            1 => Some(entry(&actions[..1], &topics, &held)),
            2 => Some(entry(&actions, &topics[..1], &held)),
            3 => Some(entry(&actions, &narrow, &held)),
            _ => Some(entry(&actions, &topics, &Some(fewer))),
        };
        (entry(&actions, &topics, &held), narrower)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn a_narrower_token_never_sees_more(
        pairs in proptest::collection::vec(pair(), 0..4),
        name in "[ab]{1,2}(\\.[ab]{1,2}){0,2}",
    ) {
        let (more, less): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let less: Vec<_> = less.into_iter().flatten().collect();
        let rights = |claim: Vec<Value>| Rights::of(None, Some(&Value::Array(claim))).unwrap();
        let (more, less) = (rights(more), rights(less));
        let (topic, group) = (topic(&name), group(&name));
        for ask in asks(&topic, &group) {
            let (less, more) = (less.authorize(ask), more.authorize(ask));
            prop_assert!(is_within(&less, &more), "{ask:?}: {less:?} is not within {more:?}");
        }
    }
}
