//! White space goes, everything else stays; strings are escaped as others do.

use super::*;
use proptest::prelude::*;

#[test]
fn white_space_between_tokens_goes_and_nothing_else() {
    for (json, small) in [
        ("{}", "{}"),
        ("[ ]", "[]"),
        (" 1.50 ", "1.50"),
        ("{ \"a\" : 1 , \"a\" : 2 }", "{\"a\":1,\"a\":2}"),
        ("{\"z\":1,\n\t\"a\":[ 1e400,-0.0 ,\r\n0.10 ]}", "{\"z\":1,\"a\":[1e400,-0.0,0.10]}"),
        (
            r#"{"a b" : "x \" y \\" , "\u0061": "\ud800 " }"#,
            r#"{"a b":"x \" y \\","\u0061":"\ud800 "}"#,
        ),
        (r#"[ "\\\\" , "\"" ]"#, r#"["\\\\","\""]"#),
        ("\"  \"", "\"  \""),
        ("[123456789012345678901234567890 ]", "[123456789012345678901234567890]"),
    ] {
        assert_eq!(minified(json).unwrap(), small.as_bytes(), "{json}");
        assert_eq!(sniff(json.as_bytes()).unwrap(), small.as_bytes(), "{json}");
    }
}

#[test]
fn nothing_is_copied_where_nothing_goes() {
    assert!(matches!(minified(r#"{"a":[1,"x y"]}"#), Ok(Cow::Borrowed(_))));
}

#[test]
fn nesting_is_bounded_by_the_limit() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(minified(&nested(limits::MAX_JSON_DEPTH)).is_ok());
    let problem = minified(&nested(limits::MAX_JSON_DEPTH + 1)).unwrap_err();
    assert_eq!(problem.code, ErrorCode::JsonTooDeep);
    // Brackets in strings are no nesting.
    assert!(minified(&format!("[\"{}\"]", "[".repeat(500))).is_ok());
    assert_eq!(sniff(&[b'['; 1 << 20]), None);
}

proptest! {
    #[test]
    fn strings_are_escaped_as_serde_json_does(text in "\\PC*|[\\x00-\\x7f]*") {
        let mut out = vec![];
        string_into(&mut out, &text);
        prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn any_bytes_are_scanned_without_panic(bytes in any::<Vec<u8>>()) {
        let _ = scan(&bytes, 3);
        let _ = without_space(&bytes);
        let _ = sniff(&bytes);
    }

    #[test]
    fn a_minified_text_means_the_same(value in value()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let small = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(minified(&pretty).unwrap().into_owned(), small);
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(".*", inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

#[test]
fn what_lies_between_strings_is_passed_over_in_words_and_nothing_is_missed() {
    for byte in 0..=u8::MAX {
        let of_interest = byte <= b'"' || b"{}[]".contains(&byte);
        for at in 0..8 {
            let mut word = *b"12345678";
            word[at] = byte;
            let dull = if of_interest { at } else { 8 };
            assert_eq!(dull_words(&word), dull, "{byte:#x} at {at}");
        }
    }
}
