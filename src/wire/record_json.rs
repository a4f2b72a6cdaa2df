//! A record as a publisher writes it in JSON:
//! `{partition?, timestamp?, key? | key_base64?, headers?, value | text | value_base64}`.

use super::{
    ErrorCode, Problem,
    fields::{Fields, Place, Shape, Text},
    json::minified,
};
use crate::domain::{PartitionId, Timestamp, ValueKind, limits};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Standard base64; clients disagree on padding, so either will do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes out of base64.
pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text).map_err(|e| format!("not base64: {e}"))
}

/// The fields a record may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Partition,
    Timestamp,
    Key,
    KeyBase64,
    Headers,
    Value,
    Text,
    ValueBase64,
}

const FIELDS: &str = "partition, timestamp, key, key_base64, headers, value, text, value_base64";

impl Field {
    fn of(name: &str) -> Option<Field> {
        Some(match name {
            "partition" => Field::Partition,
            "timestamp" => Field::Timestamp,
            "key" => Field::Key,
            "key_base64" => Field::KeyBase64,
            "headers" => Field::Headers,
            "value" => Field::Value,
            "text" => Field::Text,
            "value_base64" => Field::ValueBase64,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Field::Partition => "partition",
            Field::Timestamp => "timestamp",
            Field::Key => "key",
            Field::KeyBase64 => "key_base64",
            Field::Headers => "headers",
            Field::Value => "value",
            Field::Text => "text",
            Field::ValueBase64 => "value_base64",
        }
    }
}

/// The name of a field, known or not; only unknown ones are copied.
struct Name(Result<Field, String>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(Field::of(name).ok_or_else(|| name.to_owned())))
            }
        }
        d.deserialize_identifier(V)
    }
}

/// The shape of such a record.
pub(super) struct RecordJson;

impl Shape for RecordJson {
    const NAME: &'static str = "a record: an object";
    const CODE: ErrorCode = ErrorCode::RecordInvalid;

    fn gather<'de, A: MapAccess<'de>>(
        mut map: A,
        place: &mut Place,
    ) -> Result<Fields<'de>, A::Error> {
        let mut record = Gathered::default();
        let mut seen = 0u16;
        while let Some(Name(name)) = map.next_key()? {
            place.field = None;
            let field = name.map_err(|name| {
                place.misshapen::<A::Error>(format!("unknown field '{name}'; known are {FIELDS}"))
            })?;
            let bit = 1 << field as u16;
            if seen & bit != 0 {
                return Err(place.misshapen(format!("field '{}' is given twice", field.name())));
            }
            seen |= bit;
            place.field = Some(field.name());
            record.take(field, &mut map, place)?;
        }
        place.field = None;
        record.finish(place)
    }
}

/// The fields of a record as far as they have come.
#[derive(Default)]
struct Gathered<'a> {
    partition: Option<u32>,
    timestamp: Option<Timestamp>,
    key: Option<Cow<'a, [u8]>>,
    headers: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    value: Option<(ValueKind, Cow<'a, [u8]>)>,
}

impl<'de> Gathered<'de> {
    /// Takes the value of `field`. `null` counts as absent, but for values.
    fn take<A: MapAccess<'de>>(
        &mut self,
        field: Field,
        map: &mut A,
        place: &mut Place,
    ) -> Result<(), A::Error> {
        match field {
            Field::Partition => self.partition = map.next_value()?,
            Field::Timestamp => {
                if let Some(millis) = map.next_value::<Option<i64>>()? {
                    let time = Timestamp::from_client(millis);
                    self.timestamp = Some(time.ok_or_else(|| out_of_time(millis, place))?);
                }
            }
            Field::Key => {
                let text = map.next_value::<Option<Text<'de>>>()?;
                self.key(text.map(|t| bytes(t.0)), place)?;
            }
            Field::KeyBase64 => {
                let text = map.next_value::<Option<Text<'de>>>()?;
                let key = text.map(|t| decoded(&t, place)).transpose()?;
                self.key(key, place)?;
            }
            Field::Headers => map.next_value_seed(HeadersSeed(&mut self.headers, place))?,
            Field::Value => {
                let raw = map.next_value::<&'de RawValue>()?;
                let value = json_value(raw).map_err(|problem| place.fail::<A::Error>(problem))?;
                self.value(value, place)?;
            }
            Field::Text => {
                let text = map.next_value::<Text<'de>>()?;
                self.value((ValueKind::Text, bytes(text.0)), place)?;
            }
            Field::ValueBase64 => {
                let text = map.next_value::<Text<'de>>()?;
                let value = decoded(&text, place)?;
                self.value((ValueKind::Binary, value), place)?;
            }
        }
        Ok(())
    }

    fn key<E: Error>(&mut self, key: Option<Cow<'de, [u8]>>, place: &mut Place) -> Result<(), E> {
        if self.key.is_some() && key.is_some() {
            return Err(place.misshapen("both 'key' and 'key_base64' are given"));
        }
        self.key = key.or(self.key.take());
        Ok(())
    }

    fn value<E: Error>(
        &mut self,
        value: (ValueKind, Cow<'de, [u8]>),
        place: &mut Place,
    ) -> Result<(), E> {
        if self.value.replace(value).is_some() {
            let detail = "more than one of 'value', 'text' and 'value_base64' is given";
            return Err(place.misshapen(detail));
        }
        Ok(())
    }

    fn finish<E: Error>(self, place: &mut Place) -> Result<Fields<'de>, E> {
        let Some((kind, value)) = self.value else {
            let detail = "one of 'value', 'text' and 'value_base64' must be given";
            return Err(place.misshapen(detail));
        };
        Ok(Fields {
            partition: self.partition.map(PartitionId),
            timestamp: self.timestamp,
            key: self.key,
            headers: self.headers,
            kind,
            value,
        })
    }
}

/// A JSON text as a value: `null` is a tombstone, all else stays as it is but
/// for white space between tokens.
pub(super) fn json_value(raw: &RawValue) -> Result<(ValueKind, Cow<'_, [u8]>), Problem> {
    match raw.get() {
        "null" => Ok((ValueKind::Tombstone, Cow::Borrowed(&[]))),
        json => Ok((ValueKind::Json, minified(json)?)),
    }
}

/// The bytes of a text, borrowed or not as it was.
pub(super) fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn decoded<'a, E: Error>(text: &Text<'_>, place: &mut Place) -> Result<Cow<'a, [u8]>, E> {
    let field = place.field.unwrap_or_default();
    let bytes = from_base64(&text.0);
    bytes.map(Cow::Owned).map_err(|e| place.misshapen(format!("field '{field}' is {e}")))
}

fn out_of_time<E: Error>(millis: i64, place: &mut Place) -> E {
    let detail = format!("timestamp {millis} is not in milliseconds from 1970 to the end of 9999");
    place.fail(Problem::new(ErrorCode::TimestampInvalid, detail))
}

/// Headers: an object of strings, or an array of objects.
struct HeadersSeed<'p, 'a>(&'p mut Vec<(Cow<'a, str>, Cow<'a, [u8]>)>, &'p mut Place);

impl<'a> HeadersSeed<'_, 'a> {
    /// Adds one; the bound on their number holds while they are read.
    fn add<E: Error>(&mut self, name: Cow<'a, str>, value: Cow<'a, [u8]>) -> Result<(), E> {
        if self.0.len() == limits::MAX_HEADERS {
            let max = limits::MAX_HEADERS;
            return Err(self.1.misshapen(format!("more than {max} headers")));
        }
        self.0.push((name, value));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for HeadersSeed<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for HeadersSeed<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings or an array of {name, value | value_base64}")
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if self.0.iter().any(|(n, _)| *n == name.0) {
                let detail = format!("header '{}' is given twice; use an array for that", name.0);
                return Err(self.1.misshapen(detail));
            }
            let value = map.next_value::<Text<'de>>()?;
            self.add(name.0, bytes(value.0))?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some((name, value)) = seq.next_element_seed(HeaderSeed(self.1))? {
            self.add(name, value)?;
        }
        Ok(())
    }
}

/// One header of an array: `{name, value | value_base64}`.
struct HeaderSeed<'p>(&'p mut Place);

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = (Cow<'de, str>, Cow<'de, [u8]>);
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = (Cow<'de, str>, Cow<'de, [u8]>);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {name, value | value_base64}")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut name, mut value) = (None, None);
        while let Some(Text(field)) = map.next_key()? {
            let Text(text) = map.next_value()?;
            let before = match &*field {
                "name" => name.replace(text).is_some(),
                "value" => value.replace(bytes(text)).is_some(),
                "value_base64" => {
                    let decoded = from_base64(&text);
                    let decoded = decoded.map_err(|e| self.0.misshapen::<A::Error>(e))?;
                    value.replace(Cow::Owned(decoded)).is_some()
                }
                other => {
                    let detail = format!(
                        "unknown field '{other}' of a header; known are name, value, value_base64"
                    );
                    return Err(self.0.misshapen(detail));
                }
            };
            if before {
                return Err(self.0.misshapen("a header has one name and one value"));
            }
        }
        name.zip(value).ok_or_else(|| {
            self.0.misshapen("a header has a 'name', and a 'value' or 'value_base64'")
        })
    }
}
