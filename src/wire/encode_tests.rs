//! What readers get: each kind in each form, and values that come back token
//! for token.

use super::*;
use crate::{
    domain::{Header, LostRange, LostReason, PackedRecords, RecordDraft, Timestamp},
    wire::{
        LostNotice, PageWriter, ReadPage, ReadRecord, end_line, error_line, for_each_record,
        lost_line, parse_line,
    },
};
use proptest::prelude::*;

fn batch(lines: &[&str]) -> RecordBatch {
    let mut packed = PackedRecords::default();
    for line in lines {
        parse_line(line.as_bytes(), |draft| Ok(packed.push(&draft, 1 << 20)?)).unwrap();
    }
    of(packed)
}

fn of(packed: PackedRecords) -> RecordBatch {
    RecordBatch {
        base: Offset(5),
        count: packed.count(),
        appended: Timestamp::from_millis(77),
        body: packed.into_body().into(),
    }
}

fn line(as_: As, text: &str) -> String {
    let mut out = vec![];
    let encoder = RecordEncoder::new(as_);
    encoder.lines_into(&mut out, None, PartitionId(2), &batch(&[text])).unwrap();
    let line = String::from_utf8(out).unwrap();
    let head = "{\"partition\":2,\"offset\":5,\"timestamp\":77,\"headers\":[],";
    let rest = line.strip_prefix(head).unwrap_or_else(|| panic!("{line}"));
    rest.strip_suffix("}\n").unwrap().to_owned()
}

#[test]
fn a_record_has_all_its_members() {
    let batch = batch(&[
        r#"{"timestamp":9,"key":"k\"","headers":{"a":"1"},"value":{"x": 1.0}}"#,
        r#"{"key_base64":"/w==","headers":[{"name":"b","value_base64":"/w=="},{"name":"c","value":""}],"text":"é\n"}"#,
    ]);
    let mut out = vec![];
    let topic = TopicName::new("t").unwrap();
    RecordEncoder::default().list_into(&mut out, Some(&topic), PartitionId(0), &batch).unwrap();
    let expected = concat!(
        r#"{"topic":"t","partition":0,"offset":5,"timestamp":9,"key":"k\"","headers":[{"name":"a","value":"1"}],"value":{"x":1.0}},"#,
        r#"{"topic":"t","partition":0,"offset":6,"timestamp":77,"key_base64":"/w==","headers":[{"name":"b","value_base64":"/w=="},{"name":"c","value":""}],"text":"é\n"}"#,
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn each_kind_in_each_form() {
    let (json, text, texted) = (r#"{"value":[1]}"#, r#"{"text":"a"}"#, r#"{"text":"[1, 2]"}"#);
    let (bytes, null) = (r#"{"value_base64":"/w=="}"#, r#"{"value":null}"#);
    for (as_, record, member) in [
        (As::Auto, json, r#""value":[1]"#),
        (As::Json, json, r#""value":[1]"#),
        (As::Text, json, r#""text":"[1]""#),
        (As::Base64, json, r#""value_base64":"WzFd""#),
        (As::Auto, text, r#""text":"a""#),
        (As::Json, text, r#""text":"a""#),
        (As::Text, text, r#""text":"a""#),
        (As::Base64, text, r#""value_base64":"YQ==""#),
        (As::Auto, texted, r#""text":"[1, 2]""#),
        (As::Json, texted, r#""value":[1,2]"#),
        (As::Auto, bytes, r#""value_base64":"/w==""#),
        (As::Json, bytes, r#""value_base64":"/w==""#),
        (As::Text, bytes, r#""value_base64":"/w==""#),
        (As::Text, r#"{"value_base64":"YQ=="}"#, r#""text":"a""#),
        (As::Base64, bytes, r#""value_base64":"/w==""#),
    ] {
        assert_eq!(line(as_, record), member, "{as_:?} {record}");
    }
    for as_ in [As::Auto, As::Json, As::Text, As::Base64] {
        assert_eq!(line(as_, null), r#""value":null"#);
    }
}

#[test]
fn bytes_that_say_they_are_json_are_given_as_such_if_they_are() {
    let encoded = |value: &str| {
        let record = format!(
            r#"{{"value_base64":"{value}","headers":{{"Content-Type":"application/json"}}}}"#
        );
        let mut out = vec![];
        let batch = batch(&[&record]);
        RecordEncoder::default().lines_into(&mut out, None, PartitionId(0), &batch).unwrap();
        String::from_utf8(out).unwrap()
    };
    // "[1, 2]" and "[1".
    assert!(encoded("WzEsIDJd").ends_with("\"value\":[1,2]}\n"));
    assert!(encoded("WzE=").ends_with("\"value_base64\":\"WzE=\"}\n"));
}

#[test]
fn a_damaged_batch_is_an_error_after_what_is_whole() {
    let mut batch = batch(&[r#"{"value":1}"#, r#"{"value":2}"#]);
    batch.body.truncate(batch.body.len() - 1);
    let mut out = vec![];
    let encoder = RecordEncoder::default();
    assert!(encoder.lines_into(&mut out, None, PartitionId(0), &batch).is_err());
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
}

#[test]
fn a_page_and_its_lines_are_what_their_shapes_say() {
    let topic = TopicName::new("t").unwrap();
    let mut page = PageWriter::new(As::Auto, true);
    for partition in 0..2 {
        let batch = batch(&[r#"{"value":null}"#, r#"{"key":"k","text":"x"}"#]);
        page.batch(&topic, PartitionId(partition), &batch).unwrap();
    }
    assert_eq!(page.records(), 4);
    let lost = LostRange { from: Offset(1), to: Offset(4), reason: LostReason::Truncated };
    let lost = LostNotice::new(&topic, PartitionId(1), lost);
    let page: ReadPage =
        serde_json::from_slice(&page.finish("abc", &[lost.clone(), lost.clone()], true)).unwrap();
    assert_eq!((page.cursor.as_str(), page.at_tail, page.lost.len()), ("abc", true, 2));
    assert_eq!(page.lost[0], lost);
    assert_eq!(page.records.len(), 4);
    assert_eq!(page.records[0].value.as_ref().map(|v| v.get()), Some("null"));
    assert_eq!(page.records[3].topic.as_deref(), Some("t"));
    let empty = PageWriter::new(As::Auto, false).finish("", &[], false);
    assert!(serde_json::from_slice::<ReadPage>(&empty).unwrap().records.is_empty());

    let mut lines = vec![];
    crate::wire::cursor_line(&mut lines, "c");
    lost_line(&mut lines, &lost);
    let problem = Problem::new(crate::wire::ErrorCode::StorageFull, "x").with("record", 1);
    error_line(&mut lines, &problem, Some("c"));
    end_line(&mut lines, "c", 7);
    let ops: Vec<crate::wire::ControlLine> = lines
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let again: Vec<u8> = ops
        .iter()
        .flat_map(|op| [serde_json::to_vec(op).unwrap(), b"\n".to_vec()].concat())
        .collect();
    let value = |bytes: &[u8]| -> Vec<serde_json::Value> {
        bytes.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect()
    };
    assert_eq!(value(&again), value(&lines));
    assert_eq!(ops.len(), 4);
}

/// A JSON text with white space strewn between its tokens, and the same
/// without: numbers of any writing, escapes and doubled keys included.
fn json_text() -> impl Strategy<Value = (String, String)> {
    let same = |text: String| (text.clone(), text);
    let leaf = prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?".prop_map(same),
        "\"([ -!#-\\[\\]-~é]|\\\\[nrtbf\"/\\\\]|\\\\u[0-9a-fA-F]{4}){0,12}\"".prop_map(same),
        prop_oneof![Just("true"), Just("false"), Just("null")]
            .prop_map(move |t| same(t.to_owned())),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let space = "[ \t\n\r]{0,3}";
        let items = proptest::collection::vec((space, inner, space), 0..5);
        (items, any::<bool>(), space).prop_map(|(items, object, gap)| {
            let key = |i: usize| if object { format!("\"k{}\"", i % 2) } else { String::new() };
            let colon = if object { ":" } else { "" };
            let spaced: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(i, (a, (text, _), b))| {
                    format!("{a}{}{}{colon}{b}{text}{a}", key(i), if object { b } else { "" })
                })
                .collect();
            let small: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(i, (_, (_, text), _))| format!("{}{colon}{text}", key(i)))
                .collect();
            let (open, close) = if object { ('{', '}') } else { ('[', ']') };
            (
                format!("{open}{gap}{}{gap}{close}", spaced.join(",")),
                format!("{open}{}{close}", small.join(",")),
            )
        })
    })
}

proptest! {
    #[test]
    fn a_json_value_comes_back_token_for_token((spaced, small) in json_text()) {
        let body = format!("{{\"records\":[{{\"value\": {spaced} }}]}}");
        let mut packed = PackedRecords::default();
        for_each_record(body.as_bytes(), |_, draft| Ok(packed.push(&draft, 1 << 20)?)).unwrap();
        let mut out = vec![];
        let batch = of(packed);
        RecordEncoder::default().lines_into(&mut out, None, PartitionId(0), &batch).unwrap();
        let line: ReadRecord = serde_json::from_slice(&out).unwrap();
        let value = line.value.unwrap();
        prop_assert_eq!(value.get(), small);
        prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
    }

    #[test]
    fn text_keys_and_bytes_come_back(
        text in "\\PC*|[\\x00-\\x7f]*", key in any::<Vec<u8>>(), bytes in any::<Vec<u8>>(),
    ) {
        let mut packed = PackedRecords::default();
        let values = [(ValueKind::Text, text.as_bytes()), (ValueKind::Binary, &bytes)];
        for (kind, value) in values {
            let draft = RecordDraft {
                partition: None,
                timestamp: None,
                key: Some(key.as_slice().into()),
                headers: vec![Header { name: "h", value: bytes.as_slice().into() }],
                kind,
                value: value.into(),
            };
            packed.push(&draft, 1 << 20).unwrap();
        }
        let mut out = vec![];
        let encoder = RecordEncoder::default();
        encoder.lines_into(&mut out, None, PartitionId(0), &of(packed)).unwrap();
        let lines: Vec<_> = out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
        prop_assert_eq!(lines.len(), 2);
        for (line, (_, value)) in lines.iter().zip(values) {
            let read: ReadRecord = serde_json::from_slice(line).unwrap();
            prop_assert_eq!(&one_of(read.key, read.key_base64), &key);
            let header = read.headers[0].clone();
            prop_assert_eq!(&one_of(header.value, header.value_base64), &bytes);
            prop_assert_eq!(one_of(read.text, read.value_base64), value);
        }
    }
}

/// The bytes of a member that is text or base64.
fn one_of(text: Option<String>, base64: Option<String>) -> Vec<u8> {
    match (text, base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => STANDARD.decode(text).unwrap(),
        _ => panic!("neither or both"),
    }
}
