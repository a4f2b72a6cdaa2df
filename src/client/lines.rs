//! NDJSON as it comes: lines out of a response, in bounded memory.

use super::ClientError;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::pin::Pin;

/// The longest line taken: a record of the largest size, in base64 and with
/// every byte of its text escaped, is shorter.
const MAX_LINE: usize = 128 << 20;

/// The lines of a response's body.
pub struct Lines {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>,
    buffer: BytesMut,
    searched: usize,
}

impl Lines {
    /// Reads `body` by lines.
    pub(super) fn new(
        body: impl Stream<Item = Result<Bytes, ClientError>> + Send + 'static,
    ) -> Self {
        Lines { body: Box::pin(body), buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end; `None` after the last. What follows the
    /// last line's end is no line: [`ClientError::Cut`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(line) = self.whole() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ClientError::Input("a line of the answer is too long".to_owned()));
            }
            match self.body.next().await {
                Some(chunk) => self.buffer.extend_from_slice(&chunk?),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(ClientError::Cut),
            }
        }
    }

    /// A line that needs no waiting for.
    pub fn whole(&mut self) -> Option<Bytes> {
        let found = memchr::memchr(b'\n', &self.buffer[self.searched..]);
        let Some(at) = found else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at + 1);
        self.searched = 0;
        line.truncate(line.len() - 1);
        Some(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(chunks: &[&'static str]) -> Vec<Result<String, String>> {
        let chunks: Vec<_> = chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))).collect();
        let mut lines = Lines::new(futures_util::stream::iter(chunks));
        let mut out = vec![];
        loop {
            match lines.next().await {
                Ok(Some(line)) => out.push(Ok(String::from_utf8(line.to_vec()).unwrap())),
                Ok(None) => return out,
                Err(error) => {
                    out.push(Err(error.to_string()));
                    return out;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_come_whole_wherever_the_chunks_end() {
        let expected: Vec<Result<String, String>> =
            ["a", "", "bcd"].iter().map(|s| Ok((*s).to_owned())).collect();
        assert_eq!(lines(&["a\n\nbcd\n"]).await, expected);
        assert_eq!(lines(&["a", "\n", "\nb", "c", "d\n"]).await, expected);
        assert_eq!(lines(&[]).await, []);
    }

    #[tokio::test]
    async fn a_line_without_its_end_was_cut() {
        let found = lines(&["a\nb"]).await;
        assert_eq!(found.len(), 2);
        assert!(found[1].is_err());
    }
}
