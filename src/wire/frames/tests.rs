//! Frames as tables: what is understood, what is refused and how, and what the
//! gateway writes.

use super::*;
use crate::{
    domain::{
        Cursor, Epoch, Incarnation, LostRange, LostReason, Offset, PartitionId, Position, StartAt,
        Timestamp, TopicName, TopicPositions,
    },
    wire::{As, ErrorCode as C, LostNotice, Problem, PublishedRecord, ReadStart},
};
use serde_json::{Value, json};

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn cursor() -> Cursor {
    let position = Position { epoch: Epoch(2), next: Offset(42) };
    let partitions = [(PartitionId(0), position)].into();
    let positions = TopicPositions { incarnation: Incarnation(0xa1), partitions };
    Cursor { topics: [(name("orders"), positions)].into() }
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
            r#"{"op":"join","id":4,"sub":8,"group":"g","topics":["t"]}"#,
            ClientFrame::Group { id: Some(id), op: GroupOp::Join },
        ),
        (
            r#"{"op":"commit","id":4,"sub":8,"generation":3,"commits":[]}"#,
            ClientFrame::Group { id: Some(id), op: GroupOp::Commit },
        ),
        (
            r#"{"op":"release","sub":8,"partitions":{}}"#,
            ClientFrame::Group { id: None, op: GroupOp::Release },
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

#[test]
fn a_wrong_member_is_told_with_the_id_and_the_connection_goes_on() {
    let long_key = "k".repeat(16 * 1024 + 1);
    let subscribe = |members: &str| format!(r#"{{"op":"subscribe","id":9,"sub":7,{members}}}"#);
    let topics = |members: &str| subscribe(&format!(r#""topics":["t"],{members}"#));
    let many_topics: Vec<_> = (0..101).map(|n| format!("\"t{n}\"")).collect();
    let many_keys: Vec<_> = (0..101).map(|n| format!("\"k{n}\"")).collect();
    let many_ids: Vec<_> = (0..101).map(|n| n.to_string()).collect();
    let frames = [
        (r#"{"op":"","id":9}"#.to_owned(), C::OpUnknown),
        (r#"{"op":"Ping","id":9}"#.to_owned(), C::OpUnknown),
        (r#"{"op":"records","id":9,"sub":1}"#.to_owned(), C::OpUnknown),
        (r#"{"op":"ping","id":9,"x":1}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"auth","id":9}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"auth","id":9,"token":1}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"credit","id":9,"sub":7,"records":1}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":-1}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":1.0}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":"1"}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"unsubscribe","id":9,"sub":9007199254740992}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"publish","id":9,"topic":"t"}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"publish","id":9,"records":[]}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"publish","id":9,"topic":7,"records":[]}"#.to_owned(), C::FrameInvalid),
        (r#"{"op":"publish","id":9,"topic":"a/b","records":[]}"#.to_owned(), C::TopicNameInvalid),
        (
            r#"{"op":"publish","id":9,"topic":"t","records":[],"idempotency_key":""}"#.to_owned(),
            C::IdempotencyKeyInvalid,
        ),
        (
            r#"{"op":"publish","id":9,"topic":"t","records":[],"durability":1}"#.to_owned(),
            C::FrameInvalid,
        ),
        (r#"{"op":"subscribe","id":9,"topics":["t"]}"#.to_owned(), C::FrameInvalid),
        (subscribe(r#""from":"latest""#), C::FrameInvalid),
        (subscribe(r#""topics":"t""#), C::FrameInvalid),
        (subscribe(r#""topics":[]"#), C::FrameInvalid),
        (subscribe(r#""topics":["t","t"]"#), C::FrameInvalid),
        (subscribe(r#""topics":["t",1]"#), C::FrameInvalid),
        (subscribe(r#""topics":["a b"]"#), C::TopicNameInvalid),
        (subscribe(&format!(r#""topics":[{}]"#, many_topics.join(","))), C::FrameInvalid),
        (topics(r#""topic":"t""#), C::FrameInvalid),
        (topics(r#""from":null"#), C::FrameInvalid),
        (topics(r#""from":"newest""#), C::FrameInvalid),
        (topics(r#""from":5"#), C::FrameInvalid),
        (topics(r#""from":{}"#), C::FrameInvalid),
        (topics(r#""from":{"last":0}"#), C::FrameInvalid),
        (topics(r#""from":{"last":"1"}"#), C::FrameInvalid),
        (topics(r#""from":{"last":1,"offset":1}"#), C::FrameInvalid),
        (topics(r#""from":{"last":1,"last":1}"#), C::FrameInvalid),
        (topics(r#""from":{"time":"soon"}"#), C::TimestampInvalid),
        (topics(r#""from":{"time":-1}"#), C::TimestampInvalid),
        (topics(r#""from":{"cursor":"x"}"#), C::CursorDamaged),
        (topics(r#""from":{"cursor":1}"#), C::FrameInvalid),
        (topics(r#""from":{"positions":{"t":{"partitions":{}}}}"#), C::FrameInvalid),
        (
            topics(r#""from":{"positions":{"t":{"incarnation":"xyz","partitions":{}}}}"#),
            C::CursorDamaged,
        ),
        (
            topics(r#""from":{"positions":{"t":{"incarnation":"a","partitions":{"0":[1]}}}}"#),
            C::FrameInvalid,
        ),
        (
            topics(r#""from":{"positions":{"t/":{"incarnation":"a","partitions":{}}}}"#),
            C::TopicNameInvalid,
        ),
        (topics(r#""partitions":[]"#), C::FrameInvalid),
        (topics(r#""partitions":[0,0]"#), C::FrameInvalid),
        (topics(r#""partitions":[-1]"#), C::FrameInvalid),
        (topics(&format!(r#""partitions":[{}]"#, many_ids.join(","))), C::FrameInvalid),
        (topics(r#""keys":[]"#), C::FrameInvalid),
        (topics(r#""keys":["a","a"]"#), C::FrameInvalid),
        (topics(r#""keys":[1]"#), C::FrameInvalid),
        (topics(&format!(r#""keys":[{}]"#, many_keys.join(","))), C::FrameInvalid),
        (topics(&format!(r#""keys":["{long_key}"]"#)), C::FrameInvalid),
        (topics(r#""credit":-1"#), C::FrameInvalid),
        (topics(r#""credit":null"#), C::FrameInvalid),
        (topics(r#""encoding":"gzip""#), C::FrameInvalid),
        (topics(r#""as":"xml""#), C::FrameInvalid),
    ];
    for (frame, code) in frames {
        let fault = parse_frame(frame.as_bytes()).unwrap_err();
        let got = (fault.problem.code, fault.fatal, fault.id);
        assert_eq!(got, (code, false, Some(RequestId(9))), "{frame}: {}", fault.problem);
    }
    for (frame, code) in [
        (r#"{"op":"ping"}"#, C::FrameInvalid),
        (r#"{"op":"ping","id":"1"}"#, C::FrameInvalid),
        (r#"{"op":"ping","id":-1}"#, C::FrameInvalid),
        (r#"{"op":"credit","sub":7,"records":0}"#, C::FrameInvalid),
        (r#"{"op":"credit","sub":7}"#, C::FrameInvalid),
    ] {
        let fault = parse_frame(frame.as_bytes()).unwrap_err();
        assert_eq!((fault.problem.code, fault.fatal, fault.id), (code, false, None), "{frame}");
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
    let range = LostRange { from: Offset(10), to: Offset(99), reason: LostReason::Retention };
    let lost = LostNotice::new(&name("orders"), PartitionId(0), range);
    let place_of =
        PublishedRecord { partition: PartitionId(0), offset: Offset(5), epoch: Epoch(1) };
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
            published_frame(id, [place_of], true),
            json!({"op": "ok", "id": max, "repeated": true,
                "records": [{"partition": 0, "offset": 5, "epoch": 1}]}),
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
            lost_frame(sub, &lost),
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
