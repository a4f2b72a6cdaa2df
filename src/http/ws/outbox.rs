//! What waits to be written to one WebSocket: frames in the protocol's form,
//! small ones together, large ones as they are shared, all in one write.

use crate::{
    http::connection::WatchedStream,
    session::{Frame, FrameKind, Outbox},
};
use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// No more is read for a client while so much waits for it. With the last read
/// on top this is what a client that does not read costs.
const FULL_BYTES: usize = 64 << 10;
/// A frame up to this is copied next to others: cheaper than to keep count of
/// it. Larger ones stay where they are.
const COPY_BYTES: usize = 2 << 10;
/// Pieces that one write hands over.
const SLICES: usize = 32;
/// Answers to pings that may wait; beyond that no frame is read.
const CONTROL_BYTES: usize = 16 << 10;
/// What is kept of the memory for pieces once all is written.
const KEPT_PIECES: usize = 8;

/// The end of every unmasked, whole frame's first byte.
const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const PING: [u8; 2] = [FIN | 0x9, 0];

/// The queue of one socket.
#[derive(Default)]
pub(super) struct Queue {
    /// Sealed: written before `tail`.
    pieces: VecDeque<Bytes>,
    /// Still growing.
    tail: Vec<u8>,
    bytes: usize,
    /// Of what waits: answers of the protocol itself.
    control: usize,
    /// Bytes that were written so far.
    written: u64,
}

impl Queue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether answers to what is read would still have room.
    pub fn takes_control(&self) -> bool {
        self.control < CONTROL_BYTES
    }

    /// Adds bytes of the protocol itself.
    pub fn control(&mut self, bytes: &[u8]) {
        self.control += bytes.len();
        self.append(bytes);
    }

    /// Adds a ping.
    pub fn ping(&mut self) {
        self.append(&PING);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    /// Adds a frame's first bytes (RFC 6455, 5.2).
    fn header(&mut self, kind: FrameKind, length: usize) {
        let first = match kind {
            FrameKind::Text => FIN | TEXT,
            FrameKind::Binary => FIN | BINARY,
        };
        match length {
            0..126 => self.append(&[first, length as u8]),
            126..=0xffff => {
                let [a, b] = (length as u16).to_be_bytes();
                self.append(&[first, 126, a, b]);
            }
            _ => {
                self.append(&[first, 127]);
                self.append(&(length as u64).to_be_bytes());
            }
        }
    }

    /// Writes all that waits. An error is the end of the connection.
    pub fn poll_write(
        &mut self,
        stream: &mut WatchedStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let tail = (!self.tail.is_empty()).then_some(self.tail.as_slice());
            let all = self.pieces.iter().map(|piece| &**piece).chain(tail);
            let mut count = 0;
            for (slot, bytes) in slices.iter_mut().zip(all) {
                *slot = IoSlice::new(bytes);
                count += 1;
            }
            let stream = Pin::new(&mut *stream);
            let written = ready!(stream.poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(written);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, mut written: usize) {
        self.written += written as u64;
        self.bytes -= written;
        if self.bytes == 0 {
            // An idle socket is to hold nothing.
            self.pieces.clear();
            self.pieces.shrink_to(KEPT_PIECES);
            self.tail = Vec::new();
            self.control = 0;
            return;
        }
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        let mut rest = Bytes::from(std::mem::take(&mut self.tail));
        rest.advance(written);
        self.pieces.push_back(rest);
    }
}

impl Outbox for Queue {
    fn push(&mut self, frame: Frame<'_>) {
        let length = frame.head.len() + frame.body.len();
        self.header(frame.kind, length);
        self.append(frame.head);
        if length <= COPY_BYTES {
            self.append(&frame.body);
            return;
        }
        self.pieces.push_back(Bytes::from(std::mem::take(&mut self.tail)));
        self.bytes += frame.body.len();
        self.pieces.push_back(frame.body);
    }

    fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
    }
}
