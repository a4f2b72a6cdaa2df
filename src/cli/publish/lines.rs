//! Lines as a person has them → lines as the interface takes them, in chunks,
//! in bounded memory.

use super::LineKind;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};
use std::{borrow::Cow, collections::BTreeMap};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// Chunks are handed on when they have grown to this, bytes.
const CHUNK: usize = 64 << 10;
/// Read at once, bytes.
const BUFFER: usize = 256 << 10;
/// The longest line: more than the largest record takes in any form.
const MAX_LINE: u64 = 32 << 20;
/// What `read --format json` writes and a publish does not take.
const OF_READING: [&str; 4] = ["topic", "partition", "offset", "epoch"];

/// What the lines are, and what every record is given.
#[derive(Clone, Debug)]
pub struct LineForm {
    /// What a line is.
    pub kind: LineKind,
    /// The key of every record.
    pub key: Option<String>,
    /// Where in each value the key stands.
    pub key_field: Option<String>,
    /// Where in each value the time stands.
    pub time_field: Option<String>,
    /// The partition of every record.
    pub partition: Option<u32>,
}

impl LineForm {
    /// Says what does not go together.
    pub fn check(&self) -> Result<(), String> {
        let fields = self.key_field.is_some() || self.time_field.is_some();
        match self.kind {
            LineKind::Values => Ok(()),
            LineKind::Text if !fields => Ok(()),
            LineKind::Records if !fields && self.key.is_none() => Ok(()),
            LineKind::Text => {
                Err("text has no fields: --key-field and --time-field need --lines values"
                    .to_owned())
            }
            LineKind::Records => {
                Err("records carry their own keys and times: leave --key and the like out"
                    .to_owned())
            }
        }
    }

    /// Appends the record that `line` stands for, with its line end.
    fn put(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self.kind {
            LineKind::Values => self.put_value(line, out),
            LineKind::Text => {
                let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
                let mut record = self.common();
                record.insert("text".to_owned(), json!(text));
                write(out, &record)
            }
            LineKind::Records => {
                let mut record: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(line)
                    .map_err(|error| format!("not a record: {error}"))?;
                // One that was read is placed anew; one that was written may say where.
                if record.contains_key("offset") {
                    record.retain(|name, _| !OF_READING.contains(&name.as_ref()));
                }
                let partition = self.partition.and_then(|n| to_raw_value(&n).ok());
                if let Some(partition) = &partition {
                    record.insert("partition".into(), partition);
                }
                write(out, &record)
            }
        }
    }

    /// The value goes on as it came, so that its digits stay as they are.
    fn put_value(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let mut record = self.common();
        if self.key_field.is_some() || self.time_field.is_some() {
            let value: Value =
                serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
            if let Some(key) = self.key_field.as_deref().and_then(|path| text_at(&value, path)) {
                record.insert("key".to_owned(), json!(key));
            }
            if let Some(time) = self.time_field.as_deref().and_then(|path| at(&value, path)) {
                record.insert("timestamp".to_owned(), time.clone());
            }
        } else {
            serde_json::from_slice::<&RawValue>(line)
                .map_err(|error| format!("not JSON: {error}"))?;
        }
        write(out, &record)?;
        // Reopened for the value: `{…}\n` → `{…,"value":…}\n`.
        out.truncate(out.len() - 2);
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(b"\"value\":");
        out.extend_from_slice(line);
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn common(&self) -> Map<String, Value> {
        let key = self.key.as_ref().map(|key| ("key".to_owned(), json!(key)));
        let partition = self.partition.map(|number| ("partition".to_owned(), json!(number)));
        key.into_iter().chain(partition).collect()
    }
}

fn write(out: &mut Vec<u8>, record: &impl Serialize) -> Result<(), String> {
    serde_json::to_writer(&mut *out, record).map_err(|error| error.to_string())?;
    out.push(b'\n');
    Ok(())
}

/// What stands at `path` (`a.b.0`); nothing where it leads nowhere.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let found = path.split('.').try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })?;
    (!found.is_null()).then_some(found)
}

fn text_at(value: &Value, path: &str) -> Option<String> {
    Some(match at(value, path)? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// Reads lines and hands on chunks of records.
pub struct LineReader<R> {
    source: BufReader<R>,
    form: LineForm,
    name: String,
    bytes: u64,
    lines: u64,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads `source`, called `name` in messages.
    pub fn new(source: R, form: LineForm, name: String) -> Self {
        let source = BufReader::with_capacity(BUFFER, source);
        LineReader { source, form, name, bytes: 0, lines: 0, line: vec![] }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// Records made so far.
    pub fn lines_read(&self) -> u64 {
        self.lines
    }

    /// The next chunk; `None` at the end. Empty lines are passed over. The
    /// error names the line.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let mut out = vec![];
        while out.len() < CHUNK {
            // What there is goes out before waiting for more: a slow producer's
            // records are not held back.
            if !out.is_empty() && self.source.buffer().is_empty() {
                break;
            }
            self.line.clear();
            let mut bounded = (&mut self.source).take(MAX_LINE);
            let read = bounded.read_until(b'\n', &mut self.line).await;
            let read = read.map_err(|error| self.fault(&error.to_string()))?;
            if read == 0 {
                break;
            }
            self.bytes += read as u64;
            let line = self.line.trim_ascii();
            if line.len() as u64 >= MAX_LINE - 1 {
                return Err(self.fault("the line is longer than any record may be"));
            }
            if line.is_empty() {
                continue;
            }
            if let Err(what) = self.form.put(line, &mut out) {
                return Err(self.fault(&what));
            }
            self.lines += 1;
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    fn fault(&self, what: &str) -> String {
        let (name, line, before) = (&self.name, self.lines + 1, self.lines);
        format!("{name}: record {line}: {what}\n  the {before} before it may have been published")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(kind: LineKind) -> LineForm {
        LineForm { kind, key: None, key_field: None, time_field: None, partition: None }
    }

    async fn all(form: LineForm, text: &str) -> Result<String, String> {
        let mut reader = LineReader::new(text.as_bytes(), form, "t".to_owned());
        let mut out = vec![];
        while let Some(chunk) = reader.next().await? {
            out.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn values_go_on_as_they_came() {
        let told = all(form(LineKind::Values), "{\"a\":1.50}\n\n [1] \r\n\"x\"").await;
        let expected = "{\"value\":{\"a\":1.50}}\n{\"value\":[1]}\n{\"value\":\"x\"}\n";
        assert_eq!(told, Ok(expected.to_owned()));
    }

    #[tokio::test]
    async fn key_and_time_are_found_by_their_paths() {
        let form = LineForm {
            key_field: Some("who.id".to_owned()),
            time_field: Some("at".to_owned()),
            ..form(LineKind::Values)
        };
        let told =
            all(form.clone(), "{\"who\":{\"id\":7},\"at\":12}\n{\"who\":null}\n").await.unwrap();
        let lines: Vec<Value> = told.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["key"], json!("7"));
        assert_eq!(lines[0]["timestamp"], json!(12));
        assert_eq!(lines[1], json!({"value": {"who": null}}));
    }

    #[tokio::test]
    async fn what_was_read_can_be_published_again() {
        let read = "{\"topic\":\"a\",\"partition\":3,\"offset\":9,\"timestamp\":5,\"key\":\"k\",\"headers\":[],\"text\":\"x\"}";
        let told = all(form(LineKind::Records), read).await.unwrap();
        let record: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(record, json!({"timestamp": 5, "key": "k", "headers": [], "text": "x"}));
        let written = "{\"partition\":3,\"value\":1.50}";
        let told = all(form(LineKind::Records), written).await;
        assert_eq!(told, Ok(format!("{written}\n")));
    }

    #[tokio::test]
    async fn a_faulty_line_is_named() {
        let told = all(form(LineKind::Values), "{}\nnot json\n").await.unwrap_err();
        assert!(told.starts_with("t: record 2: not JSON"), "{told}");
    }

    #[tokio::test]
    async fn text_is_any_line() {
        let told = all(form(LineKind::Text), "a \"b\"\n").await;
        assert_eq!(told, Ok("{\"text\":\"a \\\"b\\\"\"}\n".to_owned()));
    }
}
