//! What a value is, where Kafka knows only bytes. Pure.
//!
//! A record that any Kafka program could have written says by itself what its
//! value is: no value is a tombstone; else the `content-type` header and the
//! bytes tell. Only where that would say something else than the publisher did,
//! a header of our own goes with the record:
//!
//! | `content-type` | value | is taken for |
//! | --- | --- | --- |
//! | none, or JSON | well-formed JSON | JSON |
//! | none, or JSON, or `text/…` | other UTF-8 | text |
//! | anything else, or no UTF-8 | | bytes |

use crate::domain::ValueKind;
use serde::de::IgnoredAny;

/// The header that names the kind. Not shown to readers.
pub(super) const KIND: &str = "tidegate-kind";
/// What CloudEvents and others call the type of the data.
const CONTENT_TYPE: &str = "content-type";

/// What a content type says of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Json,
    Text,
    Other,
}

fn said(content_type: Option<&[u8]>) -> Said {
    let Some(text) = content_type.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        return Said::Nothing;
    };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" => Said::Nothing,
        "application/json" | "text/json" => Said::Json,
        other if other.ends_with("+json") => Said::Json,
        other if other.starts_with("text/") => Said::Text,
        _ => Said::Other,
    }
}

/// The content type among headers.
pub(super) fn content_type<'a>(
    mut headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<&'a [u8]> {
    headers.find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE)).map(|(_, value)| value)
}

/// What a value without our header is.
pub(super) fn inferred(content_type: Option<&[u8]>, value: &[u8]) -> ValueKind {
    let text = || std::str::from_utf8(value).is_ok();
    match said(content_type) {
        Said::Other => ValueKind::Binary,
        Said::Text if text() => ValueKind::Text,
        Said::Text => ValueKind::Binary,
        Said::Nothing | Said::Json if is_json(value) => ValueKind::Json,
        Said::Nothing | Said::Json if text() => ValueKind::Text,
        Said::Nothing | Said::Json => ValueKind::Binary,
    }
}

/// What a value is that our header says is of `kind`; another program may have
/// written that header too.
pub(super) fn claimed(kind: &[u8], content_type: Option<&[u8]>, value: &[u8]) -> ValueKind {
    match kind {
        b"binary" => ValueKind::Binary,
        b"text" if std::str::from_utf8(value).is_ok() => ValueKind::Text,
        b"json" if is_json(value) => ValueKind::Json,
        _ => inferred(content_type, value),
    }
}

/// What our header has to say, if anything. Looks at no more of the value than
/// it must: a header too many does no harm.
pub(super) fn to_be_named(
    kind: ValueKind,
    content_type: Option<&[u8]>,
    value: &[u8],
) -> Option<&'static str> {
    let said = said(content_type);
    match kind {
        ValueKind::Tombstone => None,
        // It was checked when it came.
        ValueKind::Json => matches!(said, Said::Text | Said::Other).then_some("json"),
        ValueKind::Text => match said {
            Said::Text => None,
            Said::Other => Some("text"),
            Said::Nothing | Said::Json => may_be_json(value).then_some("text"),
        },
        ValueKind::Binary => match said {
            Said::Other => None,
            Said::Nothing | Said::Json | Said::Text => {
                std::str::from_utf8(value).is_ok().then_some("binary")
            }
        },
    }
}

/// Whether the first byte may begin JSON.
fn may_be_json(value: &[u8]) -> bool {
    let first = value.trim_ascii_start().first();
    first.is_some_and(|b| matches!(b, b'{' | b'[' | b'"' | b'-' | b't' | b'f' | b'n' | b'0'..=b'9'))
}

fn is_json(value: &[u8]) -> bool {
    may_be_json(value) && serde_json::from_slice::<IgnoredAny>(value).is_ok()
}

/// JSON without raw line breaks, which can stand only between tokens: a record
/// is a line in some forms.
pub(super) fn on_one_line(value: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        return value.into();
    }
    let space = |b: &u8| if matches!(b, b'\n' | b'\r') { b' ' } else { *b };
    value.iter().map(space).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [Option<&[u8]>; 6] = [
        None,
        Some(b"application/json; charset=utf-8"),
        Some(b"application/cloudevents+json"),
        Some(b"text/plain"),
        Some(b"image/png"),
        Some(b"\xff"),
    ];

    #[test]
    fn whatever_was_said_is_read_back() {
        let values: [(ValueKind, &[u8]); 9] = [
            (ValueKind::Json, b"{\"a\":1}"),
            (ValueKind::Json, b"null"),
            (ValueKind::Text, b"plain"),
            (ValueKind::Text, b"123"),
            (ValueKind::Text, b""),
            (ValueKind::Text, b"tree"),
            (ValueKind::Binary, b""),
            (ValueKind::Binary, b"{\"a\":1}"),
            (ValueKind::Binary, b"\xff\x00"),
        ];
        for (kind, value) in values {
            for content_type in TYPES {
                let read = match to_be_named(kind, content_type, value) {
                    Some(named) => claimed(named.as_bytes(), content_type, value),
                    None => inferred(content_type, value),
                };
                assert_eq!(read, kind, "{value:?} {content_type:?}");
            }
        }
    }

    #[test]
    fn common_records_need_no_header_of_ours() {
        assert_eq!(to_be_named(ValueKind::Json, None, b"{}"), None);
        assert_eq!(to_be_named(ValueKind::Text, None, b"hello"), None);
        assert_eq!(to_be_named(ValueKind::Binary, None, b"\xfe"), None);
    }

    #[test]
    fn a_header_that_lies_is_not_believed() {
        assert_eq!(claimed(b"json", None, b"not {"), ValueKind::Text);
        assert_eq!(claimed(b"text", None, b"\xff"), ValueKind::Binary);
        assert_eq!(claimed(b"else", None, b"1"), ValueKind::Json);
    }

    #[test]
    fn json_over_several_lines_becomes_one() {
        assert_eq!(&*on_one_line(b"{\r\n \"a\": 1\n}"), b"{   \"a\": 1 }");
        assert_eq!(&*on_one_line(b"{\"a\":\"\\n\"}"), b"{\"a\":\"\\n\"}");
    }
}
