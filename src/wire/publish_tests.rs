//! What publishers send: every way to write a record, and every way to be
//! refused, with the record's index.

use super::*;
use crate::domain::{PartitionId, Timestamp, limits};
use proptest::prelude::*;

/// A draft that owns what it says.
#[derive(Debug, PartialEq)]
struct Seen {
    partition: Option<PartitionId>,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    kind: ValueKind,
    value: Vec<u8>,
}

fn seen(draft: RecordDraft<'_>) -> Seen {
    let headers = draft.headers.iter();
    Seen {
        partition: draft.partition,
        timestamp: draft.timestamp.map(Timestamp::millis),
        key: draft.key.map(Cow::into_owned),
        headers: headers.map(|h| (h.name.to_owned(), h.value.to_vec())).collect(),
        kind: draft.kind,
        value: draft.value.into_owned(),
    }
}

fn value(kind: ValueKind, value: &[u8]) -> Seen {
    Seen {
        partition: None,
        timestamp: None,
        key: None,
        headers: vec![],
        kind,
        value: value.to_vec(),
    }
}

fn line(text: &str) -> Result<Seen, Problem> {
    parse_line(text.as_bytes(), |draft| Ok(seen(draft)))
}

fn all(body: &[u8]) -> Result<Vec<Seen>, Problem> {
    let mut records = vec![];
    let count = for_each_record(body, |index, draft| {
        assert_eq!(index, records.len());
        records.push(seen(draft));
        Ok(())
    })?;
    assert_eq!(count, records.len());
    Ok(records)
}

#[test]
fn the_three_kinds_of_value_and_the_tombstone() {
    assert_eq!(
        line(r#"{"value":{"b": 1.50, "a":"\u0041"}}"#),
        Ok(value(ValueKind::Json, br#"{"b":1.50,"a":"\u0041"}"#))
    );
    assert_eq!(line(r#"{"value": "x"}"#), Ok(value(ValueKind::Json, b"\"x\"")));
    assert_eq!(line(r#"{"value": null}"#), Ok(value(ValueKind::Tombstone, b"")));
    assert_eq!(line(r#"{"text":"a\nb"}"#), Ok(value(ValueKind::Text, b"a\nb")));
    assert_eq!(line(r#"{"value_base64":"AP8="}"#), Ok(value(ValueKind::Binary, &[0, 255])));
    assert_eq!(line(r#"{"value_base64":"AP8"}"#), Ok(value(ValueKind::Binary, &[0, 255])));
}

#[test]
fn every_field_is_taken_over() {
    let text = r#" {"partition":3,"timestamp":1700000000000,"key":"k\u00fc",
        "headers":{"a":"1","b\n":"2"},"text":""} "#;
    let record = line(text).unwrap();
    assert_eq!(
        (record.partition, record.timestamp),
        (Some(PartitionId(3)), Some(1_700_000_000_000))
    );
    assert_eq!(record.key.as_deref(), Some("kü".as_bytes()));
    assert_eq!(
        record.headers,
        [("a".to_owned(), b"1".to_vec()), ("b\n".to_owned(), b"2".to_vec())]
    );

    let text = r#"{"key_base64":"/w==","headers":[{"name":"a","value":"1"},
        {"value_base64":"/w==","name":"a"}],"text":""}"#;
    let record = line(text).unwrap();
    assert_eq!(record.key, Some(vec![255]));
    assert_eq!(record.headers, [("a".to_owned(), b"1".to_vec()), ("a".to_owned(), vec![255])]);
}

#[test]
fn null_is_absent_but_for_values() {
    let text = r#"{"partition":null,"timestamp":null,"key":null,"key_base64":"YQ==","headers":null,"text":"x"}"#;
    let record = line(text).unwrap();
    assert_eq!(record, Seen { key: Some(b"a".to_vec()), ..value(ValueKind::Text, b"x") });
    for text in [r#"{"text":null}"#, r#"{"value_base64":null}"#, r#"{"value":null,"text":"x"}"#] {
        assert_eq!(line(text).unwrap_err().code, ErrorCode::RecordInvalid, "{text}");
    }
}

#[test]
fn a_record_of_another_shape_is_refused() {
    use ErrorCode as C;
    for (text, code) in [
        ("{}", C::RecordInvalid),
        (r#"{"key":"a"}"#, C::RecordInvalid),
        (r#"{"value":1,"text":"a"}"#, C::RecordInvalid),
        (r#"{"value":1,"value":1}"#, C::RecordInvalid),
        (r#"{"value":1,"vlaue":1}"#, C::RecordInvalid),
        (r#"{"text":5}"#, C::RecordInvalid),
        (r#"{"text":"a","key":5}"#, C::RecordInvalid),
        (r#"{"text":"a","key":"a","key_base64":"YQ=="}"#, C::RecordInvalid),
        (r#"{"value_base64":"%"}"#, C::RecordInvalid),
        (r#"{"text":"a","partition":-1}"#, C::RecordInvalid),
        (r#"{"text":"a","partition":0.5}"#, C::RecordInvalid),
        (r#"{"text":"a","timestamp":-1}"#, C::TimestampInvalid),
        (r#"{"text":"a","timestamp":253402300800000}"#, C::TimestampInvalid),
        (r#"{"text":"a","timestamp":"now"}"#, C::TimestampInvalid),
        (r#"{"text":"a","timestamp":1.5}"#, C::TimestampInvalid),
        (r#"{"text":"a","headers":5}"#, C::HeaderInvalid),
        (r#"{"text":"a","headers":{"a":5}}"#, C::HeaderInvalid),
        (r#"{"text":"a","headers":{"a":"1","a":"2"}}"#, C::HeaderInvalid),
        (r#"{"text":"a","headers":["a"]}"#, C::HeaderInvalid),
        (r#"{"text":"a","headers":[["a","b"]]}"#, C::HeaderInvalid),
        (r#"{"text":"a","headers":[{"name":"a"}]}"#, C::HeaderInvalid),
        (
            r#"{"text":"a","headers":[{"name":"a","value":"1","value_base64":""}]}"#,
            C::HeaderInvalid,
        ),
        (r#"{"text":"a","headers":[{"name":"a","value_base64":"%"}]}"#, C::HeaderInvalid),
        (r#"{"text":"a","headers":[{"name":"a","value":"1","x":"2"}]}"#, C::HeaderInvalid),
        ("[]", C::RecordInvalid),
        ("5", C::RecordInvalid),
        ("", C::JsonInvalid),
        ("{\"value\":01}", C::JsonInvalid),
        ("{\"text\":\"\\ud800\"}", C::RecordInvalid),
        (r#"{"text":"a","timestamp":1e999}"#, C::TimestampInvalid),
        ("{\"value\":1} x", C::JsonInvalid),
        ("{\"value\":1", C::JsonInvalid),
    ] {
        assert_eq!(line(text).unwrap_err().code, code, "{text}");
    }
    assert_eq!(parse_line(b"\xff", |_| Ok(())).unwrap_err().code, C::JsonInvalid);
    let many = vec![r#"{"name":"a","value":"b"}"#; limits::MAX_HEADERS + 1].join(",");
    let problem = line(&format!(r#"{{"text":"a","headers":[{many}]}}"#)).unwrap_err();
    assert_eq!(problem.code, C::HeaderInvalid);
}

#[test]
fn a_list_names_the_record_that_is_wrong() {
    let problem = all(br#"{"records":[{"text":"a"},{"text":"b","timestamp":"x"}]}"#).unwrap_err();
    assert_eq!(problem.code, ErrorCode::TimestampInvalid);
    assert_eq!(problem.extras["record"], 1);
    assert!(problem.detail.starts_with("record 1: field 'timestamp': "), "{}", problem.detail);

    let problem = all(br#"{"records":[{"value":1},5]}"#).unwrap_err();
    assert_eq!((problem.code, &problem.extras["record"]), (ErrorCode::RecordInvalid, &1.into()));

    let refused = for_each_record(br#"{"records":[{"value":1},{"value":2}]}"#, |index, _| {
        if index == 0 { Ok(()) } else { Err(Problem::new(ErrorCode::PartitionUnknown, "none")) }
    });
    let problem = refused.unwrap_err();
    assert_eq!((problem.code, &problem.extras["record"]), (ErrorCode::PartitionUnknown, &1.into()));
}

#[test]
fn the_body_around_the_list_is_checked() {
    use ErrorCode as C;
    for (body, code) in [
        ("{\"records\":[]}", C::BatchEmpty),
        ("{}", C::BodyInvalid),
        ("[]", C::BodyInvalid),
        ("{\"records\":{}}", C::BodyInvalid),
        ("{\"records\":[{\"value\":1}],\"x\":1}", C::BodyInvalid),
        ("{\"records\":[{\"value\":1}],\"records\":[{\"value\":1}]}", C::BodyInvalid),
        ("{\"records\":[{\"value\":1}]", C::JsonInvalid),
        ("{\"records\":[{\"value\":1}]}}", C::JsonInvalid),
        ("{\"records\":[{\"value\":1},]}", C::JsonInvalid),
        ("not json", C::JsonInvalid),
        ("", C::JsonInvalid),
    ] {
        assert_eq!(all(body.as_bytes()).unwrap_err().code, code, "{body}");
    }
    assert_eq!(all(br#" {"records" : [ {"value":1} ] } "#).unwrap().len(), 1);
}

#[test]
fn a_list_is_bounded() {
    let body = |n| format!("{{\"records\":[{}]}}", vec!["{\"value\":1}"; n].join(","));
    assert!(all(body(limits::MAX_BATCH_RECORDS).as_bytes()).is_ok());
    let problem = all(body(limits::MAX_BATCH_RECORDS + 1).as_bytes()).unwrap_err();
    assert_eq!(problem.code, ErrorCode::BatchTooLarge);
}

#[test]
fn deep_json_is_refused_wherever_it_is() {
    let brackets = "[".repeat(1 << 20);
    let braces = "{\"a\":".repeat(1 << 18);
    let closed = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    for deep in [&brackets, &braces, &closed] {
        for body in [
            deep.clone(),
            format!("{{\"records\":{deep}"),
            format!("{{\"records\":[{deep}"),
            format!("{{\"records\":[{{\"value\":{deep}}}]}}"),
        ] {
            // What is of another shape from its first byte is refused for that.
            let code = all(body.as_bytes()).unwrap_err().code;
            let shape = matches!(code, ErrorCode::BodyInvalid | ErrorCode::RecordInvalid);
            assert!(shape || code == ErrorCode::JsonTooDeep, "{code}");
        }
        let value = format!("{{\"records\":[{{\"value\":{deep}}}]}}");
        assert_eq!(all(value.as_bytes()).unwrap_err().code, ErrorCode::JsonTooDeep);
        let line = parse_line(format!("{{\"value\":{deep}").as_bytes(), |_| Ok(()));
        assert_eq!(line.unwrap_err().code, ErrorCode::JsonTooDeep);
    }
    let deepest = limits::MAX_JSON_DEPTH;
    let fits = format!("{{\"value\":{}{}}}", "[".repeat(deepest), "]".repeat(deepest));
    assert!(line(&fits).is_ok());
}

#[test]
fn a_raw_body_is_what_its_content_type_says() {
    let query = PublishQuery { key: Some("k".into()), ..PublishQuery::default() };
    let raw = |body: &[u8], content_type: &str| raw_record(body, content_type, &query).map(seen);
    for (body, content_type, kind, kept) in [
        (&b"{\"a\": 1}"[..], "application/vnd.x+json", ValueKind::Json, &b"{\"a\":1}"[..]),
        (b" null ", "application/vnd.x+json", ValueKind::Tombstone, b""),
        (b"hi", "text/plain", ValueKind::Text, b"hi"),
        (b"\xff", "text/plain", ValueKind::Binary, b"\xff"),
        (b"hi", "text/plain; charset=latin1", ValueKind::Binary, b"hi"),
        (b"hi", "image/png", ValueKind::Binary, b"hi"),
        (b"", "text/plain", ValueKind::Text, b""),
    ] {
        let record = raw(body, content_type).unwrap();
        assert_eq!((record.kind, &record.value[..]), (kind, kept), "{content_type}");
        assert_eq!(record.headers, [("content-type".to_owned(), content_type.as_bytes().to_vec())]);
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
    }
    assert_eq!(raw(b"{", "a/b+json").unwrap_err().code, ErrorCode::JsonInvalid);
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(bytes in any::<Vec<u8>>()) {
        let _ = for_each_record(&bytes, |_, _| Ok(()));
        let _ = parse_line(&bytes, |_| Ok(()));
        let _ = typed_value(&bytes, Some("application/json"));
    }

    #[test]
    fn cut_and_altered_bodies_are_refused_without_panic(
        cut in 0usize..200, at in 0usize..200, to in any::<u8>(),
    ) {
        let mut body = br#"{"records":[{"partition":1,"timestamp":5,"key":"a\n","headers":[{"name":"x","value":"y"}],"value":{"a":[1,2,"\u00e4"]}},{"value_base64":"AP8=","headers":{"a":"b"}}]}"#.to_vec();
        body.truncate(cut.min(body.len()));
        if let Some(byte) = body.get_mut(at) {
            *byte = to;
        }
        let _ = for_each_record(&body, |_, _| Ok(()));
    }
}

#[test]
fn the_examples_of_the_document_are_taken() {
    use crate::wire::{NewRecord, PublishBody};
    use utoipa::PartialSchema;
    let example = |schema| {
        serde_json::to_value::<utoipa::openapi::RefOr<_>>(schema).unwrap()["example"].clone()
    };
    let body: utoipa::openapi::RefOr<utoipa::openapi::Schema> = PublishBody::schema();
    assert_eq!(all(example(body).to_string().as_bytes()).unwrap().len(), 2);
    assert!(line(&example(NewRecord::schema()).to_string()).is_ok());
}

#[test]
fn what_a_client_writes_by_the_shapes_is_taken() {
    use crate::wire::{NewHeader, NewHeaders, NewRecord, PublishBody};
    let header = NewHeader { name: "a".into(), value: Some("b".into()), value_base64: None };
    let record = NewRecord {
        partition: Some(1),
        key: Some("k".into()),
        headers: Some(NewHeaders::Array(vec![header])),
        value: Some(serde_json::value::RawValue::from_string("1.0".into()).unwrap()),
        ..NewRecord::default()
    };
    let body = serde_json::to_vec(&PublishBody { records: vec![record] }).unwrap();
    let records = all(&body).unwrap();
    assert_eq!((records[0].kind, &records[0].value[..]), (ValueKind::Json, &b"1.0"[..]));
    assert_eq!(records[0].headers, [("a".to_owned(), b"b".to_vec())]);
}
