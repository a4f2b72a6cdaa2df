//! How a record is shown.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, io};

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: time, partition/offset, key and value.
    Text,
    /// As the interface writes them, one a line.
    Json,
    /// The value alone, one a line.
    Value,
    /// Key and value with a tab between, one a line.
    KeyValue,
}

/// A record as the interface writes it, borrowed from its line.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    partition: u32,
    offset: u64,
    timestamp: i64,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value_base64: Option<Cow<'a, str>>,
}

impl Record<'_> {
    /// Text and bytes as they are; JSON as JSON; no value as `null`.
    fn value(&self) -> io::Result<Cow<'_, [u8]>> {
        match (self.value, &self.text, &self.value_base64) {
            (Some(json), ..) => Ok(json.get().as_bytes().into()),
            (None, Some(text), _) => Ok(text.as_bytes().into()),
            (None, None, Some(coded)) => decoded(coded),
            (None, None, None) => Ok(b"null".into()),
        }
    }

    fn key(&self) -> io::Result<Option<Cow<'_, [u8]>>> {
        match (&self.key, &self.key_base64) {
            (Some(text), _) => Ok(Some(text.as_bytes().into())),
            (None, Some(coded)) => decoded(coded).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn decoded(coded: &str) -> io::Result<Cow<'static, [u8]>> {
    STANDARD.decode(coded).map(Cow::Owned).map_err(io::Error::other)
}

impl Format {
    /// Writes the record of `line`. `topics` says that the topic is to be
    /// shown too. An `InvalidData` error means that it is no record.
    pub fn write(self, line: &[u8], topics: bool, out: &mut impl io::Write) -> io::Result<()> {
        if self == Format::Json {
            out.write_all(line)?;
            return out.write_all(b"\n");
        }
        let record: Record<'_> = serde_json::from_slice(line)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let key = record.key()?;
        match self {
            Format::Text => {
                write!(out, "{}  ", time(record.timestamp))?;
                if let (true, Some(topic)) = (topics, &record.topic) {
                    write!(out, "{topic}/")?;
                }
                write!(out, "{}/{}  ", record.partition, record.offset)?;
                let key = key.as_deref().map_or("-".into(), String::from_utf8_lossy);
                write!(out, "{key}  ")?;
                out.write_all(String::from_utf8_lossy(&record.value()?).as_bytes())?;
            }
            Format::KeyValue => {
                out.write_all(key.as_deref().unwrap_or_default())?;
                out.write_all(b"\t")?;
                out.write_all(&record.value()?)?;
            }
            Format::Value | Format::Json => out.write_all(&record.value()?)?,
        }
        out.write_all(b"\n")
    }
}

fn time(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => millis.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"topic":"a","partition":1,"offset":7,"timestamp":1517363399650,"key":"uw","headers":[],"value":{"mag":0.310}}"#;
    const BYTES: &str = r#"{"partition":0,"offset":8,"timestamp":0,"key_base64":"AP8=","headers":[],"value_base64":"AQI="}"#;

    fn shown(format: Format, line: &str, topics: bool) -> Vec<u8> {
        let mut out = vec![];
        format.write(line.as_bytes(), topics, &mut out).unwrap();
        out
    }

    #[test]
    fn each_format_shows_its_part() {
        assert_eq!(shown(Format::Value, JSON, false), b"{\"mag\":0.310}\n");
        assert_eq!(shown(Format::KeyValue, JSON, false), b"uw\t{\"mag\":0.310}\n");
        assert_eq!(shown(Format::Json, JSON, false), format!("{JSON}\n").into_bytes());
        let text = "2018-01-31T01:49:59.650Z  a/1/7  uw  {\"mag\":0.310}\n";
        assert_eq!(shown(Format::Text, JSON, true), text.as_bytes());
    }

    #[test]
    fn bytes_come_out_as_bytes() {
        assert_eq!(shown(Format::Value, BYTES, false), [1, 2, b'\n']);
        assert_eq!(shown(Format::KeyValue, BYTES, false), [0, 255, b'\t', 1, 2, b'\n']);
    }

    #[test]
    fn a_tombstone_is_null_and_text_is_itself() {
        let line = r#"{"partition":0,"offset":8,"timestamp":0,"headers":[],"value":null}"#;
        assert_eq!(shown(Format::Value, line, false), b"null\n");
        let line = r#"{"partition":0,"offset":8,"timestamp":0,"headers":[],"text":"a\"b"}"#;
        assert_eq!(shown(Format::Value, line, false), b"a\"b\n");
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        let error = Format::Value.write(b"{}", false, &mut vec![]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
