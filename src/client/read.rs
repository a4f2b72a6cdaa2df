//! Reading: the request, and the stream of records and control lines that
//! answers it.

use super::{Client, ClientError, Lines, NDJSON, Refusal};
use crate::domain::TopicName;
use bytes::Bytes;
use futures_util::TryStreamExt;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

/// How every control line begins; records never do.
const CONTROL: &[u8] = b"{\"op\":";

/// What is to be read, in the words of the interface.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    /// The topics; one at least.
    pub topics: Vec<TopicName>,
    /// Where to start: `earliest`, `latest`, `last:N`, `offset:N`, `time:…`.
    pub from: Option<String>,
    /// Or: where an earlier read ended.
    pub cursor: Option<String>,
    /// Only these partitions.
    pub partitions: Vec<u32>,
    /// Only records with one of these keys.
    pub keys: Vec<String>,
    /// At most so many records.
    pub limit: Option<u64>,
    /// Whether to go on at the tail.
    pub follow: bool,
    /// How values are to come: `json`, `text` or `base64`.
    pub form: Option<String>,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamItem {
    /// A record, as JSON.
    Record(Bytes),
    /// Where the reader stands now.
    Cursor(String),
    /// Records that it will not see, as JSON.
    Lost(Value),
    /// Nothing more comes, with the last cursor if it was told.
    End(Option<String>),
}

/// The records of a read, as they come.
pub struct RecordStream {
    server: String,
    lines: Lines,
    ended: bool,
    /// What the gateway said went wrong, told after where it went wrong.
    failed: Option<ClientError>,
}

#[derive(Deserialize)]
struct Control {
    op: String,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    problem: Option<Value>,
}

impl Client {
    /// Starts a read. Records come by [`RecordStream::next`].
    pub async fn read(&self, read: &ReadRequest) -> Result<RecordStream, ClientError> {
        let partitions: Vec<_> = read.partitions.iter().map(u32::to_string).collect();
        let limit = read.limit.map(|limit| limit.to_string());
        let mut query: Vec<(&str, &str)> = vec![];
        let path = match read.topics.as_slice() {
            [topic] => format!("/v1/topics/{topic}/records"),
            topics => {
                query.extend(topics.iter().map(|topic| ("topic", topic.as_str())));
                "/v1/records".to_owned()
            }
        };
        let optional =
            [("from", &read.from), ("cursor", &read.cursor), ("limit", &limit), ("as", &read.form)];
        query.extend(optional.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))));
        query.extend(partitions.iter().map(|partition| ("partition", partition.as_str())));
        query.extend(read.keys.iter().map(|key| ("key", key.as_str())));
        if read.follow {
            query.push(("follow", "true"));
        }
        let request = self.request(Method::GET, &path, &query).header("accept", NDJSON);
        let response = self.send(request).await?;
        let client = self.clone();
        let body = response.bytes_stream().map_err(move |error| client.network(&error));
        Ok(RecordStream {
            server: self.server.clone(),
            lines: Lines::new(body),
            ended: false,
            failed: None,
        })
    }
}

impl RecordStream {
    /// The next line; `None` after the end. A stream that ends without saying
    /// so is [`ClientError::Cut`].
    pub async fn next(&mut self) -> Result<Option<StreamItem>, ClientError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        match self.lines.next().await? {
            Some(line) => self.item(line).map(Some),
            None if self.ended => Ok(None),
            None => Err(ClientError::Cut),
        }
    }

    /// A line that needs no waiting for.
    pub fn next_ready(&mut self) -> Option<Result<StreamItem, ClientError>> {
        match self.failed.take() {
            Some(failed) => Some(Err(failed)),
            None => self.lines.whole().map(|line| self.item(line)),
        }
    }

    fn item(&mut self, line: Bytes) -> Result<StreamItem, ClientError> {
        if !line.starts_with(CONTROL) {
            return Ok(StreamItem::Record(line));
        }
        let foreign = || {
            let shown = String::from_utf8_lossy(&line).into_owned();
            ClientError::Foreign { server: self.server.clone(), status: 200, shown }
        };
        let said: Control = serde_json::from_slice(&line).map_err(|_| foreign())?;
        match said.op.as_str() {
            "cursor" => Ok(StreamItem::Cursor(said.cursor.ok_or_else(foreign)?)),
            "lost" => Ok(StreamItem::Lost(serde_json::from_slice(&line).map_err(|_| foreign())?)),
            "end" => {
                self.ended = true;
                Ok(StreamItem::End(said.cursor))
            }
            "error" => {
                self.ended = true;
                let refusal = said.problem.and_then(|p| Refusal::read(&self.server, &p));
                let failed = refusal.map_or_else(foreign, |r| ClientError::Refused(Box::new(r)));
                match said.cursor {
                    Some(cursor) => {
                        self.failed = Some(failed);
                        Ok(StreamItem::Cursor(cursor))
                    }
                    None => Err(failed),
                }
            }
            _ => Err(foreign()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &'static str) -> RecordStream {
        let body = futures_util::stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
        RecordStream {
            server: "http://h".to_owned(),
            lines: Lines::new(body),
            ended: false,
            failed: None,
        }
    }

    #[tokio::test]
    async fn records_and_control_lines_are_told_apart() {
        let mut lines = stream(concat!(
            "{\"partition\":0,\"offset\":1,\"value\":{\"op\":\"end\"}}\n",
            "{\"op\":\"cursor\",\"cursor\":\"abc\"}\n",
            "{\"op\":\"end\",\"cursor\":\"abd\"}\n",
        ));
        assert!(matches!(lines.next().await, Ok(Some(StreamItem::Record(_)))));
        assert!(matches!(lines.next().await, Ok(Some(StreamItem::Cursor(c))) if c == "abc"));
        assert!(matches!(lines.next().await, Ok(Some(StreamItem::End(Some(c)))) if c == "abd"));
        assert!(matches!(lines.next().await, Ok(None)));
    }

    #[tokio::test]
    async fn a_stream_that_does_not_say_its_end_was_cut() {
        let mut lines = stream("{\"partition\":0}\n");
        assert!(lines.next().await.is_ok());
        assert!(matches!(lines.next().await, Err(ClientError::Cut)));
    }

    #[tokio::test]
    async fn an_error_line_is_a_refusal_after_its_cursor() {
        let mut lines = stream(concat!(
            "{\"op\":\"error\",\"problem\":{\"code\":\"closing\",\"detail\":\"d\",\"status\":503},",
            "\"cursor\":\"c\"}\n",
        ));
        assert!(matches!(lines.next().await, Ok(Some(StreamItem::Cursor(c))) if c == "c"));
        assert!(matches!(lines.next().await, Err(ClientError::Refused(r)) if r.code == "closing"));
    }
}
