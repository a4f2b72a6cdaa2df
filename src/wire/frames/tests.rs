//! Frames as tables: what is understood, what is refused and how, and what the
//! gateway writes.

use super::*;
use crate::{
    domain::{
        CommitDraft, Cursor, Epoch, Incarnation, LostRange, LostReason, Offset, PackedRecords,
        PartitionId, Position, RecordBatch, RecordDraft, StartAt, StartPolicy, Timestamp,
        TopicName, TopicPositions, ValueKind,
    },
    wire::{As, ErrorCode as C, LostNotice, Problem, PublishedRecord, ReadStart},
};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

pub(super) fn cursor() -> Cursor {
    let position = Position { epoch: Epoch(2), next: Offset(42) };
    let partitions = [(PartitionId(0), position)].into();
    let positions = TopicPositions { incarnation: Incarnation(0xa1), partitions };
    Cursor { topics: [(name("orders"), positions)].into() }
}

/// Partitions of topic `orders`.
pub(super) fn parts(partitions: &[u32]) -> Parts {
    [(name("orders"), partitions.iter().map(|id| PartitionId(*id)).collect())].into()
}

/// Records that were lost to retention.
pub(super) fn lost() -> LostNotice {
    let range = LostRange { from: Offset(10), to: Offset(99), reason: LostReason::Retention };
    LostNotice::new(&name("orders"), PartitionId(0), range)
}

/// Where a record was stored.
pub(super) fn stored(offset: u64) -> PublishedRecord {
    PublishedRecord { partition: PartitionId(0), offset: Offset(offset), epoch: Epoch(0) }
}

/// A batch of one record, and where it is from.
pub(super) fn batch() -> (TopicName, PartitionId, Epoch, RecordBatch) {
    let mut packed = PackedRecords::default();
    let draft = RecordDraft {
        partition: None,
        timestamp: None,
        key: Some(b"user-42".as_slice().into()),
        headers: vec![],
        kind: ValueKind::Json,
        value: br#"{"action":"login"}"#.as_slice().into(),
    };
    packed.push(&draft, 1_000).unwrap();
    let appended = Timestamp::from_millis(1_700_000_000_000);
    let body = packed.into_body().into();
    let batch = RecordBatch { base: Offset(41), count: 1, appended, body };
    (name("orders"), PartitionId(0), Epoch(2), batch)
}

fn subscribed(members: &str) -> Subscribe {
    let frame = format!(r#"{{"op":"subscribe","id":1,"sub":7,"topics":["orders"]{members}}}"#);
    match parse_frame(frame.as_bytes()) {
        Ok(ClientFrame::Subscribe(subscribe)) => *subscribe,
        other => panic!("{frame}: {other:?}"),
    }
}

#[test]
fn every_frame_of_a_client_is_understood() {
    let (id, sub) = (RequestId(4), SubId(7));
    let frames = [
        (r#"{"op":"ping","id":4}"#, ClientFrame::Ping { id }),
        (r#" { "id" : 4 , "op" : "ping" } "#, ClientFrame::Ping { id }),
        (r#"{"op":"auth","token":"x"}"#, ClientFrame::Auth { id: None }),
        (r#"{"op":"auth","id":4,"token":"x"}"#, ClientFrame::Auth { id: Some(id) }),
        (r#"{"op":"credit","sub":7,"records":500}"#, ClientFrame::Credit { sub, records: 500 }),
        (r#"{"op":"unsubscribe","sub":7}"#, ClientFrame::Unsubscribe { id: None, sub }),
        (
            r#"{"op":"release","sub":7,"partitions":{"orders":[1,0]}}"#,
            ClientFrame::Release(ReleaseFrame { id: None, sub, partitions: parts(&[0, 1]) }),
        ),
    ];
    for (text, frame) in frames {
        assert_eq!(parse_frame(text.as_bytes()), Ok(frame), "{text}");
    }
    let text =
        r#"{"op":"publish","id":4,"topic":"orders","records":[{"value":1}],"idempotency_key":"k"}"#;
    let Ok(ClientFrame::Publish(publish)) = parse_frame(text.as_bytes()) else { panic!("{text}") };
    assert_eq!((publish.id, publish.topic.as_str()), (id, "orders"));
    assert_eq!((publish.records, publish.key.is_some()), (r#"[{"value":1}]"#, true));
}

#[test]
fn a_subscription_is_as_asked_for() {
    let plain = subscribed("");
    assert_eq!((plain.id, plain.sub), (RequestId(1), SubId(7)));
    assert_eq!(plain.start, ReadStart::At(StartAt::Latest));
    assert_eq!((plain.credit, plain.encoding, plain.as_), (None, Encoding::Json, As::Auto));
    assert!(plain.partitions.is_none() && plain.keys.is_empty());
    let full = subscribed(
        r#","from":"earliest","partitions":[3,1],"keys":["a","\u0062"],"credit":0,"encoding":"deflate","as":"text""#,
    );
    assert_eq!(full.partitions, Some(vec![PartitionId(3), PartitionId(1)]));
    assert_eq!(full.keys, ["a", "b"]);
    assert_eq!((full.credit, full.encoding, full.as_), (Some(0), Encoding::Deflate, As::Text));
}

#[test]
fn a_member_joins_as_it_asks_to() {
    let joined = |members: &str| {
        let frame =
            format!(r#"{{"op":"join","id":1,"sub":7,"group":"g","topics":["a","b"]{members}}}"#);
        match parse_frame(frame.as_bytes()) {
            Ok(ClientFrame::Join(join)) => *join,
            other => panic!("{frame}: {other:?}"),
        }
    };
    let plain = joined("");
    assert_eq!((plain.id, plain.sub, plain.group.as_str()), (RequestId(1), SubId(7), "g"));
    assert_eq!(plain.topics, [name("a"), name("b")]);
    assert_eq!((plain.member, plain.from), (None, StartPolicy::Earliest));
    assert_eq!(plain.session_timeout, Duration::from_secs(45));
    assert_eq!((plain.credit, plain.encoding, plain.as_), (None, Encoding::Json, As::Auto));
    let full = joined(
        r#","member_id":"m","session_timeout_ms":10000,"from":"none","credit":0,"encoding":"deflate","as":"text""#,
    );
    assert_eq!((full.member.unwrap().as_str(), full.from), ("m", StartPolicy::None));
    assert_eq!(full.session_timeout, Duration::from_secs(10));
    assert_eq!((full.credit, full.encoding, full.as_), (Some(0), Encoding::Deflate, As::Text));
    assert_eq!(joined(r#","from":"latest""#).from, StartPolicy::Latest);
}

#[test]
fn a_commit_says_how_far_each_partition_is() {
    let text = r#"{"op":"commit","id":1,"sub":7,"generation":3,"commits":[
        {"topic":"orders","partition":0,"offset":42},
        {"topic":"ord\u0065rs","partition":1,"offset":7,"epoch":2,"metadata":"ü"}]}"#;
    let Ok(ClientFrame::Commit(commit)) = parse_frame(text.as_bytes()) else { panic!("{text}") };
    assert_eq!((commit.id, commit.sub, commit.generation.0), (RequestId(1), SubId(7), 3));
    let entry = |partition, offset, epoch, metadata: Option<&str>| CommitDraft {
        topic: name("orders"),
        partition: PartitionId(partition),
        offset: Offset(offset),
        epoch,
        metadata: metadata.map(Into::into),
    };
    let expected = [entry(0, 42, None, None), entry(1, 7, Some(Epoch(2)), Some("ü"))];
    assert_eq!(commit.commits, expected);
}

#[test]
fn what_a_member_cannot_ask_for_is_told() {
    let join = |members: &str| format!(r#"{{"op":"join","id":9,"sub":7,{members}}}"#);
    let full = |members: &str| join(&format!(r#""group":"g","topics":["t"],{members}"#));
    let commit = |commits: &str| {
        format!(r#"{{"op":"commit","id":9,"sub":7,"generation":1,"commits":{commits}}}"#)
    };
    let release =
        |parts: &str| format!(r#"{{"op":"release","id":9,"sub":7,"partitions":{parts}}}"#);
    let many_topics = (0..101).map(|n| format!("\"t{n}\"")).collect::<Vec<_>>().join(",");
    let long = "m".repeat(250);
    for (frame, code) in [
        (join(r#""topics":["t"]"#), C::FrameInvalid),
        (join(r#""group":"g""#), C::FrameInvalid),
        (join(r#""group":"g","topics":[]"#), C::FrameInvalid),
        (join(r#""group":"g","topics":["t","t"]"#), C::FrameInvalid),
        (join(&format!(r#""group":"g","topics":[{many_topics}]"#)), C::FrameInvalid),
        (join(r#""group":"g","topics":["a/b"]"#), C::TopicNameInvalid),
        (join(r#""group":"a b","topics":["t"]"#), C::GroupNameInvalid),
        (join(r#""group":"","topics":["t"]"#), C::GroupNameInvalid),
        (join(r#""group":7,"topics":["t"]"#), C::FrameInvalid),
        (full(r#""member_id":"""#), C::MemberIdInvalid),
        (full(&format!(r#""member_id":"{long}""#)), C::MemberIdInvalid),
        (full(r#""member_id":null"#), C::FrameInvalid),
        (full(r#""from":"middle""#), C::FrameInvalid),
        (full(r#""from":{"last":1}"#), C::FrameInvalid),
        (full(r#""session_timeout_ms":-1"#), C::FrameInvalid),
        (full(r#""session_timeout_ms":"1000""#), C::FrameInvalid),
        (full(r#""partitions":[0]"#), C::FrameInvalid),
        (full(r#""keys":["a"]"#), C::FrameInvalid),
        (full(r#""credit":-1"#), C::FrameInvalid),
        (full(r#""encoding":"gzip""#), C::FrameInvalid),
        (r#"{"op":"commit","id":9,"sub":7,"commits":[]}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"commit","id":9,"sub":7,"generation":1}"#.to_owned(), C::FrameInvalid),
        (commit("{}"), C::FrameInvalid),
        (commit(r#"[{"topic":"t","partition":0}]"#), C::FrameInvalid),
        (commit(r#"[{"topic":"t","partition":0,"offset":-1}]"#), C::CommitInvalid),
        (commit(r#"[{"topic":"t","partition":0,"offset":1.5}]"#), C::FrameInvalid),
        (commit(r#"[{"topic":"t","partition":-1,"offset":1}]"#), C::FrameInvalid),
        (commit(r#"[{"topic":"t/","partition":0,"offset":1}]"#), C::TopicNameInvalid),
        (commit(r#"[{"topic":"t","partition":0,"offset":1,"next":1}]"#), C::FrameInvalid),
        (release("[]"), C::FrameInvalid),
        (release("{}"), C::FrameInvalid),
        (release(r#"{"t":[]}"#), C::FrameInvalid),
        (release(r#"{"t":["0"]}"#), C::FrameInvalid),
        (release(r#"{"t/":[0]}"#), C::TopicNameInvalid),
    ] {
        refused_with_id(&frame, code);
    }
}

#[test]
fn every_start_is_understood() {
    let at = |start| ReadStart::At(start);
    let time = Timestamp::from_millis(1_700_000_000_000);
    for (from, start) in [
        (json!("earliest"), at(StartAt::Earliest)),
        (json!("latest"), at(StartAt::Latest)),
        (json!({"last": 10}), at(StartAt::Last(10))),
        (json!({"offset": 3}), at(StartAt::Offset(Offset(3)))),
        (json!({"time": 1_700_000_000_000_u64}), at(StartAt::Time(time))),
        (json!({"time": "1700000000000"}), at(StartAt::Time(time))),
        (json!({"time": "2023-11-14T22:13:20Z"}), at(StartAt::Time(time))),
        (json!({"cursor": cursor().encode()}), ReadStart::Cursor(cursor())),
        (
            json!({"positions": {"orders": {
                "incarnation": "00000000000000a1", "partitions": {"0": [2, 42]}}}}),
            ReadStart::Cursor(cursor()),
        ),
    ] {
        assert_eq!(subscribed(&format!(",\"from\":{from}")).start, start, "{from}");
    }
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let many =
        format!("{{{}}}", (0..40).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(","));
    let deep = format!("{{\"op\":\"ping\",\"id\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let frames: &[(&[u8], C)] = &[
        (b"", C::JsonInvalid),
        (b"{", C::JsonInvalid),
        (b"{\"op\":\"ping\",\"id\":1", C::JsonInvalid),
        (b"{\"op\":\"ping\",\"id\":1}}", C::JsonInvalid),
        (b"{\"op\":\"ping\",\"id\":1}{\"op\":\"ping\",\"id\":1}", C::JsonInvalid),
        (b"{\"op\":\"ping\",\"id\":01}", C::JsonInvalid),
        (b"{op:\"ping\"}", C::JsonInvalid),
        (b"{\"op\":\"\xff\"}", C::JsonInvalid),
        (b"[]", C::FrameInvalid),
        (b"[\"ping\",1]", C::FrameInvalid),
        (b"\"ping\"", C::FrameInvalid),
        (b"1", C::FrameInvalid),
        (b"null", C::FrameInvalid),
        (b"{}", C::FrameInvalid),
        (b"{\"id\":1}", C::FrameInvalid),
        (b"{\"op\":1}", C::FrameInvalid),
        (b"{\"op\":null}", C::FrameInvalid),
        (b"{\"op\":\"ping\",\"id\":1,\"id\":2}", C::FrameInvalid),
        (b"{\"op\":\"ping\",\"op\":\"ping\",\"id\":1}", C::FrameInvalid),
        (b"{\"op\":\"ping\",\"\\u0069d\":1,\"id\":1}", C::FrameInvalid),
        (many.as_bytes(), C::FrameInvalid),
    ];
    for (frame, code) in frames {
        let fault = parse_frame(frame).unwrap_err();
        let told = String::from_utf8_lossy(frame);
        assert_eq!((fault.problem.code, fault.fatal, fault.id), (*code, true, None), "{told}");
    }
    // Depth alone is no harm: the member is of the wrong type, and that is all.
    let fault = parse_frame(deep.as_bytes()).unwrap_err();
    assert_eq!((fault.problem.code, fault.fatal), (C::FrameInvalid, false));
}

/// What is answered, with the id, by this code.
fn refused_with_id(frame: &str, code: C) {
    let fault = parse_frame(frame.as_bytes()).unwrap_err();
    let got = (fault.problem.code, fault.fatal, fault.id);
    assert_eq!(got, (code, false, Some(RequestId(9))), "{frame}: {}", fault.problem);
}

#[test]
fn a_wrong_member_is_told_with_the_id_and_the_connection_goes_on() {
    for (frame, code) in [
        (r#"{"op":"","id":9}"#, C::OpUnknown),
        (r#"{"op":"Ping","id":9}"#, C::OpUnknown),
        (r#"{"op":"records","id":9,"sub":1}"#, C::OpUnknown),
        (r#"{"op":"ping","id":9,"x":1}"#, C::FrameInvalid),
        (r#"{"op":"auth","id":9}"#, C::FrameInvalid),
        (r#"{"op":"auth","id":9,"token":1}"#, C::FrameInvalid),
        (r#"{"op":"credit","id":9,"sub":7,"records":1}"#, C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9}"#, C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":-1}"#, C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":1.0}"#, C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":"1"}"#, C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":9007199254740992}"#, C::FrameInvalid),
        (r#"{"op":"publish","id":9,"topic":"t"}"#, C::FrameInvalid),
        (r#"{"op":"publish","id":9,"records":[]}"#, C::FrameInvalid),
        (r#"{"op":"publish","id":9,"topic":7,"records":[]}"#, C::FrameInvalid),
        (r#"{"op":"publish","id":9,"topic":"a/b","records":[]}"#, C::TopicNameInvalid),
        (
            r#"{"op":"publish","id":9,"topic":"t","records":[],"idempotency_key":""}"#,
            C::IdempotencyKeyInvalid,
        ),
        (r#"{"op":"publish","id":9,"topic":"t","records":[],"durability":1}"#, C::FrameInvalid),
        (r#"{"op":"subscribe","id":9,"topics":["t"]}"#, C::FrameInvalid),
    ] {
        refused_with_id(frame, code);
    }
    for frame in [
        r#"{"op":"ping"}"#,
        r#"{"op":"ping","id":"1"}"#,
        r#"{"op":"ping","id":-1}"#,
        r#"{"op":"credit","sub":7,"records":0}"#,
        r#"{"op":"credit","sub":7}"#,
    ] {
        let fault = parse_frame(frame.as_bytes()).unwrap_err();
        let got = (fault.problem.code, fault.fatal, fault.id);
        assert_eq!(got, (C::FrameInvalid, false, None), "{frame}");
    }
}

#[test]
fn what_cannot_be_subscribed_to_is_told() {
    let subscribe = |members: &str| format!(r#"{{"op":"subscribe","id":9,"sub":7,{members}}}"#);
    let topics = |members: &str| subscribe(&format!(r#""topics":["t"],{members}"#));
    let many = |name: &str| {
        let all: Vec<_> = (0..101).map(|n| format!("\"{name}{n}\"")).collect();
        all.join(",")
    };
    let (many_topics, many_keys) = (many("t"), many("k"));
    let many_ids = (0..101).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let long_key = "k".repeat(16 * 1024 + 1);
    for (frame, code) in [
        (subscribe(r#""from":"latest""#), C::FrameInvalid),
        (subscribe(r#""topics":"t""#), C::FrameInvalid),
        (subscribe(r#""topics":[]"#), C::FrameInvalid),
        (subscribe(r#""topics":["t","t"]"#), C::FrameInvalid),
        (subscribe(r#""topics":["t",1]"#), C::FrameInvalid),
        (subscribe(r#""topics":["a b"]"#), C::TopicNameInvalid),
        (subscribe(&format!(r#""topics":[{}]"#, many_topics)), C::FrameInvalid),
        (topics(r#""topic":"t""#), C::FrameInvalid),
        (topics(r#""partitions":[]"#), C::FrameInvalid),
        (topics(r#""partitions":[0,0]"#), C::FrameInvalid),
        (topics(r#""partitions":[-1]"#), C::FrameInvalid),
        (topics(&format!(r#""partitions":[{}]"#, many_ids)), C::FrameInvalid),
        (topics(r#""keys":[]"#), C::FrameInvalid),
        (topics(r#""keys":["a","a"]"#), C::FrameInvalid),
        (topics(r#""keys":[1]"#), C::FrameInvalid),
        (topics(&format!(r#""keys":[{}]"#, many_keys)), C::FrameInvalid),
        (topics(&format!(r#""keys":["{long_key}"]"#)), C::FrameInvalid),
        (topics(r#""credit":-1"#), C::FrameInvalid),
        (topics(r#""credit":null"#), C::FrameInvalid),
        (topics(r#""encoding":"gzip""#), C::FrameInvalid),
        (topics(r#""as":"xml""#), C::FrameInvalid),
    ] {
        refused_with_id(&frame, code);
    }
}

#[test]
fn what_is_no_start_is_told() {
    for (from, code) in [
        (r#"null"#, C::FrameInvalid),
        (r#""newest""#, C::FrameInvalid),
        (r#"5"#, C::FrameInvalid),
        (r#"{}"#, C::FrameInvalid),
        (r#"{"last":0}"#, C::FrameInvalid),
        (r#"{"last":"1"}"#, C::FrameInvalid),
        (r#"{"last":1,"offset":1}"#, C::FrameInvalid),
        (r#"{"last":1,"last":1}"#, C::FrameInvalid),
        (r#"{"time":"soon"}"#, C::TimestampInvalid),
        (r#"{"time":-1}"#, C::TimestampInvalid),
        (r#"{"cursor":"x"}"#, C::CursorDamaged),
        (r#"{"cursor":1}"#, C::FrameInvalid),
        (r#"{"positions":{"t":{"partitions":{}}}}"#, C::FrameInvalid),
        (r#"{"positions":{"t":{"incarnation":"xyz","partitions":{}}}}"#, C::CursorDamaged),
        (r#"{"positions":{"t":{"incarnation":"a","partitions":{"0":[1]}}}}"#, C::FrameInvalid),
        (r#"{"positions":{"t/":{"incarnation":"a","partitions":{}}}}"#, C::TopicNameInvalid),
    ] {
        let frame = format!(r#"{{"op":"subscribe","id":9,"sub":7,"topics":["t"],"from":{from}}}"#);
        refused_with_id(&frame, code);
    }
}

fn written(frame: Vec<u8>) -> Value {
    let text = String::from_utf8(frame).unwrap();
    // So that a reader can tell frames apart by their beginning.
    assert!(text.starts_with("{\"op\":\""), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn every_frame_of_the_gateway_is_json() {
    let (id, sub) = (RequestId(MAX_FRAME_NUMBER), SubId(7));
    let problem = Problem::new(C::TopicUnknown, "no \"orders\"");
    let told: Value = serde_json::from_slice(&problem.to_json()).unwrap();
    let max = MAX_FRAME_NUMBER;
    let place =
        json!({"orders": {"incarnation": "00000000000000a1", "partitions": {"0": [2, 42]}}});
    let text = cursor().encode();
    let limits = FrameLimits { frame_bytes: 1, subscriptions: 2, keys: 3, pending_requests: 4 };
    let hello = Hello { server: "s", connection: "c", heartbeat_ms: 25_000, limits };
    let closing = |problem| ClosingNotice { code: CloseCode::ShuttingDown, after_ms: 9, problem };
    let frames = [
        (
            hello_frame(&hello),
            json!({"op": "hello", "version": "tidegate.v1", "server": "s", "connection": "c",
                "heartbeat_ms": 25_000, "limits": {
                    "frame_bytes": 1, "subscriptions": 2, "keys": 3, "pending_requests": 4}}),
        ),
        (ok_frame(id), json!({"op": "ok", "id": max})),
        (pong_frame(id), json!({"op": "pong", "id": max})),
        (
            subscribed_frame(id, sub, &cursor()),
            json!({"op": "ok", "id": max, "sub": 7, "cursor": text, "positions": place}),
        ),
        (
            published_frame(id, [stored(5)], true),
            json!({"op": "ok", "id": max, "repeated": true,
                "records": [{"partition": 0, "offset": 5, "epoch": 0}]}),
        ),
        (error_frame(None, None, &problem), json!({"op": "error", "problem": told})),
        (
            error_frame(Some(id), Some(sub), &problem),
            json!({"op": "error", "id": max, "sub": 7, "problem": told}),
        ),
        (
            position_frame(sub, &cursor()),
            json!({"op": "position", "sub": 7, "cursor": text, "positions": place}),
        ),
        (HEARTBEAT_FRAME.to_vec(), json!({"op": "heartbeat"})),
        (lagging_frame(sub, 12_000), json!({"op": "lagging", "sub": 7, "behind": 12_000})),
        (caught_up_frame(sub), json!({"op": "caught_up", "sub": 7})),
        (
            lost_frame(sub, &lost()),
            json!({"op": "lost", "sub": 7, "topic": "orders", "partition": 0, "from": 10, "to": 99,
                "reason": "retention"}),
        ),
        (
            unsubscribed_frame(sub, &problem),
            json!({"op": "unsubscribed", "sub": 7, "problem": told}),
        ),
        (
            closing_frame(&closing(None)),
            json!({"op": "closing", "reason": "shutting_down", "reconnect": true, "after_ms": 9}),
        ),
        (
            closing_frame(&closing(Some(&problem))),
            json!({"op": "closing", "reason": "shutting_down", "reconnect": true, "after_ms": 9,
                "problem": told}),
        ),
    ];
    for (frame, expected) in frames {
        assert_eq!(written(frame), expected);
    }
    let mut records = records_head(sub);
    records.extend_from_slice(br#""topic":"orders"}"#);
    assert_eq!(written(records), json!({"op": "records", "sub": 7, "topic": "orders"}));
}

#[test]
fn close_codes_say_by_their_number_whether_to_come_back() {
    let mut last = 3999;
    for code in CloseCode::ALL {
        assert!(code.number() > last, "{code}");
        last = code.number();
        assert_eq!(code.reconnect(), (4000..4500).contains(&code.number()), "{code}");
    }
}
