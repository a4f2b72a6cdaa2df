//! Bodies of a publish: a list of records in JSON, a line of NDJSON, or one
//! raw value.

use super::{
    ErrorCode, Problem, PublishQuery,
    fields::{self, ListSeed, Place, Take, Text},
    json::{refused, utf8},
    media::MediaType,
    record_json::{RecordJson, json_value},
};
use crate::domain::{Header, RecordDraft, ValueKind};
use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The name of the record header that says what a value is.
pub(super) const CONTENT_TYPE: &str = "content-type";

/// Parses `{"records": [...]}` and hands each record on, with its index, as
/// soon as it is read. Answers how many there were.
///
/// The body may be refused after some records were handed on: what was done
/// with them must be undone then. Errors of the body, of a record (with its
/// index) and of `take` (which are given the index).
pub fn for_each_record(
    body: &[u8],
    take: impl FnMut(usize, RecordDraft<'_>) -> Result<(), Problem>,
) -> Result<usize, Problem> {
    let count = fields::walk(body, |place, json| json.deserialize_map(Body { place, take }))?;
    fields::not_empty(count)
}

/// As [`for_each_record`], of the list alone: `[...]`.
pub fn for_each_of(
    list: &[u8],
    take: impl FnMut(usize, RecordDraft<'_>) -> Result<(), Problem>,
) -> Result<usize, Problem> {
    fields::list::<RecordJson>(list, take)
}

/// Parses one line of NDJSON, a record, and hands it on. The caller leaves out
/// blank lines and says which line was refused.
pub fn parse_line<R>(
    line: &[u8],
    take: impl FnOnce(RecordDraft<'_>) -> Result<R, Problem>,
) -> Result<R, Problem> {
    fields::one::<RecordJson>(line)?.hand_to(take)
}

/// A body that is one value, with its content type as a header. JSON (`+json`)
/// is kept as JSON (and `null` is a tombstone), text in UTF-8 as text, all
/// else as bytes. `json_invalid` for what only says that it is JSON.
pub fn raw_record<'a>(
    body: &'a [u8],
    content_type: &'a str,
    query: &'a PublishQuery,
) -> Result<RecordDraft<'a>, Problem> {
    let (kind, value) = typed_value(body, Some(content_type))?;
    let value_of = Cow::Borrowed(content_type.as_bytes());
    Ok(RecordDraft {
        partition: query.partition,
        timestamp: query.timestamp,
        key: query.key.as_ref().map(|key| Cow::Borrowed(key.as_bytes())),
        headers: vec![Header { name: CONTENT_TYPE, value: value_of }],
        kind,
        value,
    })
}

/// What bytes of this content type are as a value.
pub(super) fn typed_value<'a>(
    body: &'a [u8],
    content_type: Option<&str>,
) -> Result<(ValueKind, Cow<'a, [u8]>), Problem> {
    let media = content_type.and_then(MediaType::parse);
    if media.is_some_and(|m| m.is_json()) {
        let raw: &RawValue = serde_json::from_str(utf8(body)?)
            .map_err(|e| refused(&e, body, ErrorCode::JsonInvalid))?;
        return json_value(raw);
    }
    let text = media.is_some_and(|m| m.is_text() && m.is_utf8());
    let kind =
        if text && std::str::from_utf8(body).is_ok() { ValueKind::Text } else { ValueKind::Binary };
    Ok((kind, Cow::Borrowed(body)))
}

/// The object around the list.
struct Body<'p, F> {
    place: &'p mut Place,
    take: F,
}

impl<'de, F: Take> Visitor<'de> for Body<'_, F> {
    type Value = usize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: {\"records\": [...]}")
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<usize, A::Error> {
        let mut count = None;
        while let Some(Text(name)) = map.next_key()? {
            if name != "records" {
                let detail = format!("unknown field '{name}'; known is records");
                return Err(self.place.misshapen(detail));
            }
            if count.is_some() {
                return Err(self.place.misshapen("field 'records' is given twice"));
            }
            let list = ListSeed::<RecordJson, _>::new(self.place, &mut self.take);
            count = Some(map.next_value_seed(list)?);
        }
        count.ok_or_else(|| self.place.misshapen("field 'records' is missing"))
    }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
