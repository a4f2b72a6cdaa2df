//! A WebSocket on an upgraded stream. tungstenite reads: it unmasks, puts
//! fragments together and holds the protocol's rules. What it writes (answers
//! to pings and closes) goes into the same queue as our frames, which are
//! written from there without passing through its buffers.

use super::outbox::Queue;
use crate::{
    broker::{Broker, Permit},
    http::connection::WatchedStream,
    wire::{CloseCode, ErrorCode, Problem},
};
use bytes::Bytes;
use std::{
    io::{self, Read, Write},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding},
};

/// What tungstenite is handed at once, and keeps for each socket.
const READ_BYTES: usize = 1 << 10;
/// What is read of a stream at once. What tungstenite has not asked for yet is
/// kept, which is nothing for a client that sends small frames.
const AHEAD_BYTES: usize = 8 << 10;
/// Bounds what tungstenite would keep of its own frames, of which there is one
/// at a time: the queue always takes them.
const OWN_WRITE_BYTES: usize = 8 << 10;
/// A frame that is still coming is counted as memory for bodies beyond this.
const UNCOUNTED_BYTES: usize = 64 << 10;

/// What came from a client.
pub(super) enum Incoming {
    /// A whole frame of text.
    Frame(Bytes),
    /// A sign of life.
    Heard,
    /// What may not come; the connection has to end.
    Bad(Problem),
    /// Frames that are still coming take more memory than there is.
    Overloaded,
    /// The end.
    Closed,
}

/// One client's socket.
pub(super) struct Socket {
    stream: WatchedStream,
    context: WebSocketContext,
    /// Read and not handed to `context` yet.
    ahead: Bytes,
    pub queue: Queue,
    /// Bytes of the message that is still coming.
    partial: usize,
    permit: Option<Permit>,
    /// What comes cannot be understood any more.
    deaf: bool,
}

impl Socket {
    /// A socket on `stream`, of which `first` was read already.
    pub fn new(stream: WatchedStream, first: &[u8], frame_bytes: usize) -> Socket {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(OWN_WRITE_BYTES)
            .max_message_size(Some(frame_bytes))
            .max_frame_size(Some(frame_bytes));
        let context = WebSocketContext::new(Role::Server, Some(config));
        let queue = Queue::default();
        // Even an empty one may hold on to the buffer that it was cut from.
        let ahead = Bytes::copy_from_slice(first);
        Socket { stream, context, ahead, queue, partial: 0, permit: None, deaf: false }
    }

    /// The next thing that comes.
    pub fn poll_next(&mut self, broker: &Arc<Broker>, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.deaf {
            return self.poll_discard(cx);
        }
        let (ahead, queue) = (&mut self.ahead, &mut self.queue);
        let mut io = Io { stream: &mut self.stream, ahead, queue, read: 0, cx };
        let read = self.context.read(&mut io);
        self.partial += io.read;
        let incoming = match read {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return self.count_partial(broker);
            }
            Ok(Message::Text(text)) => Incoming::Frame(text.into()),
            Ok(Message::Binary(_)) => bad("a binary frame: clients send text alone"),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Heard,
            // The answer is in the queue; the next read tells of the end.
            Ok(Message::Close(_)) => Incoming::Heard,
            Err(Error::Capacity(error)) => {
                Incoming::Bad(Problem::new(ErrorCode::FrameTooLarge, error.to_string()))
            }
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Incoming::Closed,
            Err(Error::Protocol(error)) => bad(error),
            Err(Error::Utf8(error)) => bad(error),
            Err(_) => Incoming::Closed,
        };
        self.deaf = matches!(incoming, Incoming::Bad(_));
        (self.partial, self.permit) = (0, None);
        Poll::Ready(incoming)
    }

    /// Takes memory for a frame that is still coming, if it is large.
    fn count_partial(&mut self, broker: &Arc<Broker>) -> Poll<Incoming> {
        if self.partial <= UNCOUNTED_BYTES {
            return Poll::Pending;
        }
        let counted = match &mut self.permit {
            Some(permit) => permit.resize(self.partial).is_ok(),
            None => {
                self.permit = broker.admit(self.partial).ok();
                self.permit.is_some()
            }
        };
        if counted { Poll::Pending } else { Poll::Ready(Incoming::Overloaded) }
    }

    /// Takes what comes off, so that closing does not reset the connection
    /// before the client has read why.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut rest = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut rest);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Incoming::Closed);
            }
        }
    }

    /// Writes all that waits.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.poll_write(&mut self.stream, cx)
    }

    /// Puts the protocol's own last frame out.
    pub fn close(&mut self, code: CloseCode, cx: &mut Context<'_>) {
        let frame = CloseFrame {
            code: coding::CloseCode::from(code.number()),
            reason: code.reason().into(),
        };
        let (ahead, queue) = (&mut self.ahead, &mut self.queue);
        let mut io = Io { stream: &mut self.stream, ahead, queue, read: 0, cx };
        // Writing goes to the queue, which takes all; a client that closed
        // already needs no code.
        let _closed = self.context.close(&mut io, Some(frame));
    }

    /// Tells a client that is not understood any more that nothing follows.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.deaf {
            return Poll::Ready(());
        }
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_done| ())
    }
}

fn bad(detail: impl ToString) -> Incoming {
    Incoming::Bad(Problem::new(ErrorCode::FrameInvalid, detail.to_string()))
}

/// The stream as tungstenite sees it: reading may block, writing never does.
struct Io<'a, 'b> {
    stream: &'a mut WatchedStream,
    ahead: &'a mut Bytes,
    queue: &'a mut Queue,
    read: usize,
    cx: &'a mut Context<'b>,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut space = [const { MaybeUninit::uninit() }; AHEAD_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        if self.ahead.is_empty() {
            match Pin::new(&mut *self.stream).poll_read(self.cx, &mut read) {
                Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
                Poll::Ready(result) => result?,
            }
            let now = read.filled().len().min(buf.len());
            let (now, later) = read.filled().split_at(now);
            buf[..now.len()].copy_from_slice(now);
            if !later.is_empty() {
                *self.ahead = Bytes::copy_from_slice(later);
            }
            self.read += now.len();
            return Ok(now.len());
        }
        let now = self.ahead.split_to(self.ahead.len().min(buf.len()));
        buf[..now.len()].copy_from_slice(&now);
        if self.ahead.is_empty() {
            // An idle socket is to hold nothing.
            *self.ahead = Bytes::new();
        }
        self.read += now.len();
        Ok(now.len())
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.queue.control(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
