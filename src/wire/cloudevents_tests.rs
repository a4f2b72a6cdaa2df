//! Events in the three forms become records with the same headers.

use super::*;
use proptest::prelude::*;

/// Headers, key, timestamp, kind and value of a draft.
type Seen = (Vec<(String, String)>, Option<String>, Option<i64>, ValueKind, Vec<u8>);

fn seen(draft: RecordDraft<'_>) -> Result<Seen, Problem> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = draft.headers.iter().map(|h| (h.name.to_owned(), text(&h.value)));
    Ok((
        headers.collect(),
        draft.key.as_deref().map(text),
        draft.timestamp.map(Timestamp::millis),
        draft.kind,
        draft.value.to_vec(),
    ))
}

fn one(text: &str) -> Result<Seen, Problem> {
    event(text.as_bytes(), seen)
}

fn with(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#)
}

#[test]
fn attributes_become_headers() {
    let text = with(
        r#","time":"2023-11-14T22:13:20Z","datacontenttype":"application/json","subject":"é",
        "partitionkey":"k","retries":3,"flag":true,"gone":null,"data":{"a": 1.0}"#,
    );
    let (headers, key, time, kind, value) = one(&text).unwrap();
    let names: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        names,
        [
            ("ce_specversion", "1.0"),
            ("ce_id", "1"),
            ("ce_source", "/s"),
            ("ce_type", "t"),
            ("ce_time", "2023-11-14T22:13:20Z"),
            ("content-type", "application/json"),
            ("ce_subject", "é"),
            ("ce_partitionkey", "k"),
            ("ce_retries", "3"),
            ("ce_flag", "true"),
        ]
    );
    assert_eq!((key.as_deref(), time), (Some("k"), Some(1_700_000_000_000)));
    assert_eq!((kind, value), (ValueKind::Json, br#"{"a":1.0}"#.to_vec()));
}

#[test]
fn data_is_what_its_content_type_says() {
    for (members, kind, value) in [
        ("", ValueKind::Tombstone, &b""[..]),
        (r#","data":null"#, ValueKind::Tombstone, b""),
        (r#","data":"x""#, ValueKind::Json, b"\"x\""),
        (r#","datacontenttype":"text/xml","data":"<a\u002f>""#, ValueKind::Text, b"<a/>"),
        (r#","datacontenttype":"text/xml","data":5"#, ValueKind::Json, b"5"),
        (r#","data_base64":"/w==""#, ValueKind::Binary, b"\xff"),
        (r#","data_base64":"WzEsIDJd","datacontenttype":"a/b+json""#, ValueKind::Json, b"[1,2]"),
    ] {
        let (_, _, _, got, data) = one(&with(members)).unwrap();
        assert_eq!((got, &data[..]), (kind, value), "{members}");
    }
}

#[test]
fn a_time_before_1970_stays_an_attribute_alone() {
    let (headers, _, time, ..) = one(&with(r#","time":"1969-01-01T00:00:00Z""#)).unwrap();
    assert_eq!((headers.last().unwrap().0.as_str(), time), ("ce_time", None));
}

#[test]
fn what_is_no_event_is_refused() {
    for text in [
        "{}".to_owned(),
        "[]".to_owned(),
        with(r#","id":"2""#),
        with(r#","Subject":"x""#),
        with(r#","a_b":"x""#),
        with(r#","subject":"""#),
        with(r#","time":"yesterday""#),
        with(r#","x":1.5"#),
        with(r#","x":[1]"#),
        with(r#","data":1,"data":2"#),
        with(r#","data":1,"data_base64":"""#),
        with(r#","data_base64":"%""#),
        with("").replace("1.0", "0.3"),
        with("").replace("\"type\":\"t\"", "\"x\":\"t\""),
    ] {
        assert_eq!(one(&text).unwrap_err().code, ErrorCode::CloudeventInvalid, "{text}");
    }
    assert_eq!(one("{").unwrap_err().code, ErrorCode::JsonInvalid);
    let deep = with(&format!(r#","data":{}"#, "[".repeat(1 << 20)));
    assert_eq!(one(&deep).unwrap_err().code, ErrorCode::JsonTooDeep);
}

#[test]
fn a_batch_names_the_event_that_is_wrong() {
    let mut ids = vec![];
    let body = format!("[{},{}]", with(""), with(r#","data":5"#));
    let count = events(body.as_bytes(), |index, draft| {
        ids.push((index, draft.kind));
        Ok(())
    });
    assert_eq!(count, Ok(2));
    assert_eq!(ids, [(0, ValueKind::Tombstone), (1, ValueKind::Json)]);
    let problem = events(format!("[{},{{}}]", with("")).as_bytes(), |_, _| Ok(())).unwrap_err();
    assert_eq!(
        (problem.code, &problem.extras["record"]),
        (ErrorCode::CloudeventInvalid, &1.into())
    );
    assert_eq!(events(b"[]", |_, _| Ok(())).unwrap_err().code, ErrorCode::BatchEmpty);
    assert_eq!(events(b"{}", |_, _| Ok(())).unwrap_err().code, ErrorCode::BodyInvalid);
}

#[test]
fn binary_mode_takes_the_attributes_from_headers() {
    let headers: [(&str, &[u8]); 7] = [
        ("ce-specversion", b"1.0"),
        ("ce-id", b"1"),
        ("CE-Source", b"/s"),
        ("ce-type", b"\"t \\\"x\\\"\""),
        ("ce-subject", b"Euro%20%E2%82%AC%25"),
        ("ce-time", b"2023-11-14T23:13:20+01:00"),
        ("accept", b"*/*"),
    ];
    let (seen_headers, key, time, kind, value) =
        binary_event(headers, Some("text/plain"), b"hi", seen).unwrap();
    let get = |name: &str| seen_headers.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!((get("ce_source"), get("ce_type")), ("/s".into(), "t \"x\"".into()));
    assert_eq!((get("ce_subject"), get("content-type")), ("Euro €%".into(), "text/plain".into()));
    assert_eq!((key, time, kind), (None, Some(1_700_000_000_000), ValueKind::Text));
    assert_eq!((value, seen_headers.len()), (b"hi".to_vec(), 7));

    let code = |name: &'static str, value: &'static [u8]| {
        let all = headers.iter().copied().take(4).chain([(name, value)]);
        binary_event(all, None, b"", seen).unwrap_err().code
    };
    assert_eq!(code("ce-x", b"%ff"), ErrorCode::CloudeventInvalid);
    assert_eq!(code("ce-id", b"2"), ErrorCode::CloudeventInvalid);
    assert_eq!(code("ce-", b"2"), ErrorCode::CloudeventInvalid);
    assert_eq!(code("ce-datacontenttype", b"a/b"), ErrorCode::CloudeventInvalid);
    let broken = binary_event(headers, Some("application/json"), b"{", seen);
    assert_eq!(broken.unwrap_err().code, ErrorCode::JsonInvalid);
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(
        bytes in any::<Vec<u8>>(), name in "\\PC{0,8}", value in any::<Vec<u8>>(),
    ) {
        let _ = event(&bytes, |_| Ok(()));
        let _ = events(&bytes, |_, _| Ok(()));
        let header = format!("ce-{name}");
        let headers = [(header.as_str(), value.as_slice())];
        let _ = binary_event(headers, Some(name.as_str()), &bytes, |_| Ok(()));
    }
}
