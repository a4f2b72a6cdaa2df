//! The AsyncAPI document against the code: every example of a client's frame
//! is understood, every example of the gateway's is what it writes.

use super::{tests::*, *};
use crate::{
    domain::{Cursor, Epoch, Generation, GroupName, MemberId, Offset, PartitionId, Position},
    engine::GroupError,
    wire::{BatchEncoder, ErrorCode, Problem},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, time::Duration};

const DOCUMENT: &str = include_str!("../../../openapi/tidegate.v1.asyncapi.yaml");

fn document() -> Value {
    serde_yaml_ng::from_str(DOCUMENT).unwrap()
}

/// The examples of a message.
fn examples(message: &Value) -> impl Iterator<Item = &Value> {
    message["examples"].as_array().unwrap().iter().map(|example| &example["payload"])
}

/// The messages of an operation, by name.
fn messages(document: &Value, operation: &str) -> Map<String, Value> {
    let of = document["operations"][operation]["messages"].as_array().unwrap().iter();
    let name =
        |message: &Value| message["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let all = &document["components"]["messages"];
    of.map(|message| (name(message), all[&name(message)].clone())).collect()
}

#[test]
fn every_frame_of_a_client_in_the_document_is_understood() {
    let document = document();
    let messages = messages(&document, "fromClient");
    assert_eq!(messages.len(), 9);
    for (op, message) in &messages {
        for example in examples(message) {
            assert_eq!(example["op"], **op);
            let frame = example.to_string();
            let parsed = parse_frame(frame.as_bytes());
            assert!(parsed.is_ok(), "{frame}: {parsed:?}");
        }
        // The document refuses what the parser refuses: a member too many.
        let strict = message["payload"]["additionalProperties"] == false;
        let mut strange = examples(message).next().unwrap().clone();
        strange["strange"] = json!(1);
        let parsed = parse_frame(strange.to_string().as_bytes()).is_err();
        assert_eq!(parsed, strict, "{op}");
    }
}

/// What the gateway writes where the document has an example.
fn written() -> Vec<Vec<u8>> {
    let (id, sub) = (RequestId, SubId(7));
    let unknown = Problem::new(ErrorCode::TopicUnknown, "topic 'orders' does not exist");
    let unknown = unknown.with("topic", "orders");
    let mut bad = parse_frame(b"{{").unwrap_err().problem;
    bad.detail = BAD.to_owned();
    let limits =
        FrameLimits { frame_bytes: 2 << 20, subscriptions: 256, keys: 100, pending_requests: 256 };
    let hello =
        Hello { server: "tidegate/0.1.0", connection: "97924bf8-1", heartbeat_ms: 25_000, limits };
    let stopping = ClosingNotice { code: CloseCode::ShuttingDown, after_ms: 1_234, problem: None };
    let closing = ClosingNotice { code: CloseCode::BadFrame, after_ms: 0, problem: Some(&bad) };
    let mut records = records_head(sub);
    records.extend_from_slice(&shared());
    let mut frames = vec![
        hello_frame(&hello),
        subscribed_frame(id(1), sub, &cursor()),
        published_frame(id(4), [stored(12)], false),
        published_frame(id(4), [stored(12)], true),
        ok_frame(id(9)),
        pong_frame(id(5)),
        error_frame(Some(id(1)), Some(sub), &unknown),
        records,
        position_frame(sub, &cursor()),
        HEARTBEAT_FRAME.to_vec(),
        lagging_frame(sub, 12_000),
        caught_up_frame(sub),
        lost_frame(sub, &lost()),
        unsubscribed_frame(sub, &unknown),
        closing_frame(&stopping),
        closing_frame(&closing),
    ];
    frames.extend(written_to_members());
    frames
}

/// The same of a member of a group.
fn written_to_members() -> Vec<Vec<u8>> {
    let (sub, member) = (SubId(8), MemberId::new("billing-7").unwrap());
    let group = GroupName::new("billing").unwrap();
    let at = |generation, partitions| LeaseNotice {
        sub,
        generation: Generation(generation),
        partitions,
    };
    let (none, first, both) = (Parts::new(), parts(&[1]), parts(&[0, 1]));
    let timeout = Duration::from_secs(45);
    let expired = GroupError::MemberExpired { group, member: member.clone() };
    let orders = name("orders");
    let stands = Position { epoch: Epoch(2), next: Offset(42) };
    vec![
        joined_frame(RequestId(2), sub, &member, Generation(3), timeout),
        committed_frame(RequestId(3), sub, [(&orders, PartitionId(0), stands)]),
        assigned_frame(at(3, &both), &cursor(), &none),
        assigned_frame(at(3, &first), &Cursor::default(), &first),
        assigned_frame(at(3, &none), &Cursor::default(), &none),
        revoking_frame(at(4, &first), Duration::from_secs(30)),
        revoked_frame(at(5, &first)),
        unsubscribed_frame(sub, &Problem::from(expired)),
    ]
}

const BAD: &str = "the frame: expected value at line 1 column 1";

/// The shared part of the example's records.
fn shared() -> bytes::Bytes {
    let (topic, partition, epoch, batch) = batch();
    BatchEncoder::default().encode(&topic, partition, epoch, &batch).unwrap()
}

#[test]
fn every_frame_of_the_gateway_in_the_document_is_what_it_writes() {
    let document = document();
    let messages = messages(&document, "toClient");
    let written: Vec<Value> =
        written().iter().map(|frame| serde_json::from_slice(frame).unwrap()).collect();
    let shown: Vec<&Value> = messages
        .iter()
        .filter(|(name, _)| *name != "packedRecords")
        .flat_map(|(_, message)| examples(message))
        .collect();
    for frame in &written {
        assert!(shown.contains(&frame), "the document does not show {frame}");
    }
    for example in &shown {
        assert!(written.contains(example), "nobody writes {example}");
    }
    let ops: BTreeSet<_> = written.iter().map(|frame| frame["op"].as_str().unwrap()).collect();
    // And one that is packed, of which the document shows the head.
    assert_eq!(ops.len(), messages.len() - 1);
}

#[test]
fn the_packed_frame_in_the_document_begins_as_it_is_written() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let document = document();
    let message = &document["components"]["messages"]["packedRecords"];
    let shown = STANDARD.decode(examples(message).next().unwrap().as_str().unwrap()).unwrap();
    assert_eq!(shown, packed_head(SubId(7)));
    assert!(pack(&shown, &shared()).starts_with(&shown));
}

#[test]
fn every_close_code_is_explained_in_the_document() {
    for code in CloseCode::ALL {
        let row = format!("| {} | {} |", code.number(), code.reason());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
