//! One keep-alive connection: a prebuilt request out, an answer in.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::LoadError;
use super::response::{Body, Head};

/// Bytes kept of the body of an answer that is not a success.
const EXCERPT_BYTES: usize = 1_024;

/// A successful answer, its body already handed over.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// Body bytes, without their framing.
    pub bytes: u64,
    /// When the first byte of the body was there.
    pub first_byte: Option<Instant>,
    /// Whether the body was read to its end; if not, the connection is of no further use.
    pub complete: bool,
}

/// A connection and its read buffer.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: TcpStream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Read buffer for small answers, in bytes.
    pub const SMALL: usize = 16 << 10;
    /// Read buffer for streams, in bytes.
    pub const LARGE: usize = 256 << 10;

    /// Connects to `address`, with a read buffer of `buffer` bytes.
    ///
    /// # Errors
    /// When the connection is refused.
    pub async fn open(address: SocketAddr, buffer: usize) -> Result<Self, LoadError> {
        let refused = |source| LoadError::Connect { address, source };
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        stream.set_nodelay(true)?;
        let buffer = vec![0; buffer].into_boxed_slice();
        Ok(Self { stream, buffer, start: 0, end: 0 })
    }

    /// Sends `request` and drops the body of the answer.
    ///
    /// # Errors
    /// When the connection fails or the answer is not a success.
    pub async fn hit(&mut self, request: &[u8]) -> Result<Answer, LoadError> {
        self.exchange(request, |_| ControlFlow::Continue(())).await
    }

    /// Sends `request` and returns the body of the answer.
    ///
    /// # Errors
    /// As [`Connection::hit`].
    pub async fn call(&mut self, request: &[u8]) -> Result<Vec<u8>, LoadError> {
        let mut body = Vec::new();
        self.exchange(request, |bytes| {
            body.extend_from_slice(bytes);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(body)
    }

    /// Sends `request` and hands the body of the answer to `sink` as it comes, until its end or until `sink` breaks.
    ///
    /// # Errors
    /// As [`Connection::hit`].
    pub async fn exchange(
        &mut self,
        request: &[u8],
        sink: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Answer, LoadError> {
        self.stream.write_all(request).await?;
        self.receive(sink).await
    }

    /// Reads one answer.
    pub(super) async fn receive(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Answer, LoadError> {
        let head = loop {
            self.fill().await?;
            if let Some(head) = Head::parse(&self.buffer[self.start..self.end])? {
                break head;
            }
        };
        self.start += head.length;
        let mut body = Body::new(head.framing);
        if !(200..300).contains(&head.status) {
            return Err(self.refusal(head.status, body).await);
        }
        let mut answer = Answer { status: head.status, bytes: 0, first_byte: None, complete: true };
        loop {
            let (used, flow) = body.feed(&self.buffer[self.start..self.end], |bytes| {
                answer.first_byte.get_or_insert_with(Instant::now);
                answer.bytes += bytes.len() as u64;
                sink(bytes)
            })?;
            self.start += used;
            if flow.is_break() {
                answer.complete = false;
                return Ok(answer);
            }
            if body.is_done() {
                return Ok(answer);
            }
            self.fill().await?;
        }
    }

    /// The error that an answer which is no success amounts to.
    async fn refusal(&mut self, status: u16, mut body: Body) -> LoadError {
        let mut excerpt = Vec::new();
        loop {
            let fed = body.feed(&self.buffer[self.start..self.end], |bytes| {
                excerpt.extend_from_slice(bytes);
                if excerpt.len() > EXCERPT_BYTES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let Ok((used, ControlFlow::Continue(()))) = fed else {
                break;
            };
            self.start += used;
            // What is lost here is only the rest of a message.
            if body.is_done() || self.fill().await.is_err() {
                break;
            }
        }
        LoadError::Status { status, body: String::from_utf8_lossy(&excerpt).into_owned() }
    }

    /// Reads what is there behind what the buffer holds, and waits for the first byte.
    async fn fill(&mut self) -> Result<(), LoadError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(LoadError::Malformed("head too large"));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.stream.read(&mut self.buffer[self.end..]).await? {
            0 => Err(LoadError::Closed),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }
}
