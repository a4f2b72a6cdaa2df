//! CloudEvents 1.0 as records, after the Kafka binding: attributes become the
//! headers `ce_id`, `ce_source` and so on, `datacontenttype` becomes
//! `content-type`, the data is the value, `partitionkey` the key and `time`
//! the timestamp. An event without data, or with null, is a tombstone.

use super::{
    ErrorCode, Problem,
    fields::{self, Fields, Place, Shape, Text},
    json::sniff,
    media::MediaType,
    publish::{CONTENT_TYPE, typed_value},
    record_json::{bytes, from_base64, json_value},
};
use crate::domain::{RecordDraft, Timestamp, ValueKind, limits};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Parses `application/cloudevents+json`, one event, and hands it on.
pub fn event<R>(
    body: &[u8],
    take: impl FnOnce(RecordDraft<'_>) -> Result<R, Problem>,
) -> Result<R, Problem> {
    fields::one::<StructuredEvent>(body)?.hand_to(take)
}

/// Parses `application/cloudevents-batch+json` and hands each event on, as
/// [`super::for_each_record`] does records.
pub fn events(
    body: &[u8],
    take: impl FnMut(usize, RecordDraft<'_>) -> Result<(), Problem>,
) -> Result<usize, Problem> {
    fields::list::<StructuredEvent>(body, take)
}

/// Reads an event in binary mode and hands it on: `headers` are the request's,
/// of which those that begin with `ce-` are taken; the body is the data.
pub fn binary_event<'h, R>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    content_type: Option<&str>,
    body: &[u8],
    take: impl FnOnce(RecordDraft<'_>) -> Result<R, Problem>,
) -> Result<R, Problem> {
    let mut event = Event::default();
    for (header, value) in headers {
        let Some(name) = strip_ce(header) else { continue };
        if name.eq_ignore_ascii_case("datacontenttype") {
            return Err(invalid("datacontenttype is the Content-Type header in this mode"));
        }
        let value =
            header_text(value).ok_or_else(|| invalid(format!("header '{header}' is not UTF-8")))?;
        event.attribute(Cow::Owned(name.to_ascii_lowercase()), Cow::Owned(value))?;
    }
    if let Some(content_type) = content_type {
        event.attribute(Cow::Borrowed("datacontenttype"), Cow::Borrowed(content_type))?;
    }
    let value = if body.is_empty() {
        (ValueKind::Tombstone, Cow::Borrowed(body))
    } else {
        typed_value(body, content_type)?
    };
    event.record(value)?.hand_to(take)
}

fn strip_ce(header: &str) -> Option<&str> {
    let (prefix, name) = header.split_at_checked(3)?;
    prefix.eq_ignore_ascii_case("ce-").then_some(name)
}

/// An attribute out of a header's value: a quoted string is taken out of its
/// quotes, then percent-encoding is undone once. `None` if it is not UTF-8.
fn header_text(value: &[u8]) -> Option<String> {
    let inside = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\""));
    let mut plain = Vec::with_capacity(value.len());
    match inside {
        None => plain.extend_from_slice(value),
        Some(quoted) => {
            let mut rest = quoted.iter();
            while let Some(&byte) = rest.next() {
                plain.push(if byte == b'\\' { *rest.next().unwrap_or(&byte) } else { byte });
            }
        }
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode(&plain).collect();
    String::from_utf8(decoded).ok()
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::CloudeventInvalid, detail)
}

/// The attributes of an event as far as they have come.
#[derive(Default)]
struct Event<'a> {
    /// Name and value, in the order they came.
    attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];
/// Optional attributes of the specification; none may be empty.
const OPTIONAL: [&str; 4] = ["datacontenttype", "dataschema", "subject", "time"];

impl<'a> Event<'a> {
    fn attribute(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), Problem> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if name.is_empty() || !name.bytes().all(allowed) {
            let detail =
                format!("'{name}' is no attribute: lower-case letters and digits name one");
            return Err(invalid(detail));
        }
        if self.get(&name).is_some() {
            return Err(invalid(format!("attribute '{name}' is given twice")));
        }
        let core = REQUIRED.iter().chain(&OPTIONAL).any(|known| *known == name);
        if core && value.is_empty() {
            return Err(invalid(format!("attribute '{name}' is empty")));
        }
        if self.attributes.len() == limits::MAX_HEADERS {
            let max = limits::MAX_HEADERS;
            return Err(invalid(format!("more than {max} attributes")));
        }
        self.attributes.push((name, value));
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// The event with its data, checked, as a record.
    fn record(self, value: (ValueKind, Cow<'a, [u8]>)) -> Result<Fields<'a>, Problem> {
        for name in REQUIRED {
            if self.get(name).is_none() {
                return Err(invalid(format!("attribute '{name}' is missing")));
            }
        }
        if let Some(version) = self.get("specversion").filter(|v| *v != "1.0") {
            return Err(invalid(format!("specversion is '{version}', not '1.0'")));
        }
        let timestamp = self.get("time").map(event_time).transpose()?.flatten();
        let key = self.attributes.iter().find(|(name, _)| name == "partitionkey");
        let key = key.map(|(_, key)| bytes(key.clone()));
        let headers = self.attributes.into_iter().map(|(n, v)| (header_name(n), bytes(v)));
        let (kind, value) = value;
        Ok(Fields { partition: None, timestamp, key, headers: headers.collect(), kind, value })
    }
}

/// An event's time must be RFC 3339; one that a record cannot have (before
/// 1970) stays an attribute alone.
fn event_time(text: &str) -> Result<Option<Timestamp>, Problem> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| invalid(format!("time '{text}' is not RFC 3339")))?;
    Ok(Timestamp::from_client(time.as_millisecond()))
}

/// The record header of an attribute.
fn header_name(attribute: Cow<'_, str>) -> Cow<'_, str> {
    Cow::Borrowed(match &*attribute {
        "datacontenttype" => CONTENT_TYPE,
        "id" => "ce_id",
        "source" => "ce_source",
        "specversion" => "ce_specversion",
        "type" => "ce_type",
        "time" => "ce_time",
        "subject" => "ce_subject",
        "partitionkey" => "ce_partitionkey",
        other => return Cow::Owned(format!("ce_{other}")),
    })
}

/// An event whose attributes are members of a JSON object.
struct StructuredEvent;

impl Shape for StructuredEvent {
    const NAME: &'static str = "a CloudEvent: an object";
    const CODE: ErrorCode = ErrorCode::CloudeventInvalid;

    fn gather<'de, A: MapAccess<'de>>(
        mut map: A,
        place: &mut Place,
    ) -> Result<Fields<'de>, A::Error> {
        let mut event = Event::default();
        let mut data: Option<&'de RawValue> = None;
        let mut data_base64: Option<Text<'de>> = None;
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let twice = match &*name {
                "data" => data.replace(map.next_value()?).is_some(),
                "data_base64" => data_base64.replace(map.next_value()?).is_some(),
                _ => {
                    if let Attribute(Some(value)) = map.next_value::<Attribute<'de>>()? {
                        let taken = event.attribute(name, value);
                        taken.map_err(|problem| place.fail::<A::Error>(problem))?;
                    }
                    continue;
                }
            };
            if twice {
                return Err(place.misshapen(format!("'{name}' is given twice")));
            }
        }
        let value = match (data, data_base64) {
            (Some(_), Some(_)) => Err(invalid("both 'data' and 'data_base64' are given")),
            (Some(raw), None) => json_data(raw, event.get("datacontenttype")),
            (None, Some(text)) => bytes_data(&text.0, event.get("datacontenttype")),
            (None, None) => Ok((ValueKind::Tombstone, Cow::Borrowed(&[][..]))),
        };
        let record = value.and_then(|value| event.record(value));
        record.map_err(|problem| place.fail(problem))
    }
}

fn says_json(content_type: &str) -> bool {
    MediaType::parse(content_type).is_some_and(|media| media.is_json())
}

/// `data`: JSON, unless it is a string and the content type says otherwise.
fn json_data<'a>(
    raw: &'a RawValue,
    content_type: Option<&str>,
) -> Result<(ValueKind, Cow<'a, [u8]>), Problem> {
    let text = raw.get().starts_with('"') && content_type.is_some_and(|t| !says_json(t));
    if !text {
        return json_value(raw);
    }
    let Text(text) = serde_json::from_str(raw.get())
        .map_err(|e| Problem::new(ErrorCode::JsonInvalid, format!("data: {e}")))?;
    Ok((ValueKind::Text, bytes(text)))
}

/// `data_base64`: bytes, or JSON if they say so and are.
fn bytes_data<'a>(
    text: &str,
    content_type: Option<&str>,
) -> Result<(ValueKind, Cow<'a, [u8]>), Problem> {
    let bytes = from_base64(text).map_err(|e| invalid(format!("data_base64 is {e}")))?;
    if content_type.is_some_and(says_json)
        && let Some(json) = sniff(&bytes)
    {
        return Ok((ValueKind::Json, Cow::Owned(json.into_owned())));
    }
    Ok((ValueKind::Binary, Cow::Owned(bytes)))
}

/// An attribute's value as text: strings, whole numbers and booleans may come;
/// null is as if it were not there.
struct Attribute<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Attribute<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(AttributeVisitor)
    }
}

struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Attribute<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute: a string, a whole number or a boolean")
    }
    fn visit_unit<E: Error>(self) -> Result<Attribute<'de>, E> {
        Ok(Attribute(None))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Attribute<'de>, E> {
        Ok(Attribute(Some(Cow::Borrowed(if value { "true" } else { "false" }))))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Attribute<'de>, E> {
        Ok(Attribute(Some(Cow::Owned(value.to_string()))))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Attribute<'de>, E> {
        Ok(Attribute(Some(Cow::Owned(value.to_string()))))
    }
    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Attribute<'de>, E> {
        Ok(Attribute(Some(Cow::Borrowed(value))))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Attribute<'de>, E> {
        Ok(Attribute(Some(Cow::Owned(value.to_owned()))))
    }
}

#[cfg(test)]
#[path = "cloudevents_tests.rs"]
mod tests;
