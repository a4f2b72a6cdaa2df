//! One long chunked upload over a connection.

use std::cell::Cell;
use std::ops::ControlFlow;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;

use super::{Connection, LoadError};

impl Connection {
    /// Sends `head`, then the chunks of `blocks` over and over until `total` wire bytes are exceeded, then the end of
    /// the body, and returns the answer's body. `sent` counts the bytes so far for who watches. Works for any length:
    /// nothing but the blocks is held.
    ///
    /// # Errors
    /// When the connection fails, or the server answers before the end or with anything but a success.
    pub async fn upload(
        &mut self,
        head: &[u8],
        blocks: &[Bytes],
        total: u64,
        sent: &Cell<u64>,
    ) -> Result<Vec<u8>, LoadError> {
        let (mut incoming, mut outgoing) = self.stream.split();
        let mut first = [0];
        let finished = tokio::select! {
            written = send(&mut outgoing, head, blocks, total, sent) => written.map(|()| true),
            // Whatever comes before the end of the upload, an answer or the end of the connection, is a refusal.
            _ = incoming.peek(&mut first) => Ok(false),
        };
        let mut body = Vec::new();
        let answer = self
            .receive(|bytes| {
                body.extend_from_slice(bytes);
                ControlFlow::Continue(())
            })
            .await;
        match (finished, answer) {
            (Ok(true), Ok(_)) => Ok(body),
            (Ok(false), Ok(_)) => {
                Err(LoadError::Malformed("an answer before the end of the upload"))
            }
            (Err(error), Ok(_)) => Err(error),
            (_, Err(error)) => Err(error),
        }
    }
}

async fn send(
    outgoing: &mut WriteHalf<'_>,
    head: &[u8],
    blocks: &[Bytes],
    total: u64,
    sent: &Cell<u64>,
) -> Result<(), LoadError> {
    outgoing.write_all(head).await?;
    for block in blocks.iter().cycle() {
        if sent.get() >= total {
            break;
        }
        outgoing.write_all(block).await?;
        sent.set(sent.get() + block.len() as u64);
    }
    outgoing.write_all(b"0\r\n\r\n").await?;
    Ok(())
}
