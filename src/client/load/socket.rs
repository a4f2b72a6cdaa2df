//! One WebSocket of the generator, and many of them at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::frames::{Frame, FrameReader, Opcode, client_frame};
use super::response::Head;
use super::{LoadError, request};

/// The longest payload of a ping, which its answer repeats.
const MOST_CONTROL: usize = 125;
/// Bytes of the one read buffer that all sockets of a fleet share.
const BUFFER: usize = 256 << 10;
/// The longest answer to an upgrade.
const MOST_HEAD: usize = 16 << 10;
/// Sockets that are opened at once.
const OPENING: usize = 64;
/// Sockets from one loopback address: each has about 28,000 ports to give.
const PER_ADDRESS: usize = 2_000;

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    reader: FrameReader,
    /// What came behind the answer to the upgrade and was not looked at yet.
    early: Vec<u8>,
    /// Answers to pings that did not fit the system's buffer.
    unsent: Vec<u8>,
}

impl Socket {
    /// Opens a WebSocket at `path` with `protocol`, from the loopback address `from`; keeps `keep` bytes of each frame.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(
        address: SocketAddr,
        from: Ipv4Addr,
        path: &str,
        protocol: &str,
        keep: usize,
    ) -> Result<Self, LoadError> {
        let refused = |source| LoadError::Connect { address, source };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(refused)?;
        if address.ip().is_loopback() && address.is_ipv4() {
            socket.bind((from, 0).into()).map_err(refused)?;
        }
        let mut stream = socket.connect(address).await.map_err(refused)?;
        stream.set_nodelay(true)?;
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            // Any 16 bytes in base64 will do: nothing caches what this generator asks for.
            ("sec-websocket-key", "dGlkZWdhdGUgYmVuY2ghIQ=="),
            ("sec-websocket-protocol", protocol),
        ];
        stream.write_all(&request(address, "GET", path, &headers, b"")).await?;
        let early = upgraded(&mut stream).await?;
        let reader = FrameReader::new(keep.max(MOST_CONTROL));
        Ok(Self { stream, reader, early, unsent: Vec::new() })
    }

    /// Keeps `keep` bytes of each frame from the next one on.
    pub fn keep(&mut self, keep: usize) {
        self.reader.keep(keep.max(MOST_CONTROL));
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn send(&mut self, text: &str) -> Result<(), LoadError> {
        Ok(self.stream.write_all(&client_frame(Opcode::Text, text.as_bytes())).await?)
    }

    /// Hands over frames as they come, and answers pings. Ends only in failure.
    fn poll_frames(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        sink: &mut impl FnMut(Frame<'_>) -> Result<(), LoadError>,
    ) -> Poll<LoadError> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            if let Err(error) = self.take(&early, sink) {
                return Poll::Ready(error);
            }
        }
        loop {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut read)) {
                Err(error) => return Poll::Ready(error.into()),
                Ok(()) if read.filled().is_empty() => return Poll::Ready(LoadError::Closed),
                Ok(()) => {}
            }
            if let Err(error) = self.take(read.filled(), sink) {
                return Poll::Ready(error);
            }
        }
    }

    fn take(
        &mut self,
        piece: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let unsent = &mut self.unsent;
        self.reader.feed(piece, &mut |frame| match frame.opcode {
            Opcode::Text | Opcode::Binary => sink(frame),
            Opcode::Close => Err(LoadError::Ended(reason(frame.head))),
            Opcode::Ping => {
                unsent.extend(client_frame(Opcode::Pong, frame.head));
                Ok(())
            }
            Opcode::Pong => Ok(()),
        })?;
        if !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                // It goes out with a later one: a client that answers late is still there.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Reads the answer to an upgrade, and returns what came behind it.
async fn upgraded(stream: &mut TcpStream) -> Result<Vec<u8>, LoadError> {
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(LoadError::Closed);
        }
        match Head::parse(&answer)? {
            Some(head) if head.status == 101 => return Ok(answer.split_off(head.length)),
            Some(head) => {
                let body = String::from_utf8_lossy(&answer[head.length..]).into_owned();
                return Err(LoadError::Status { status: head.status, body });
            }
            None if answer.len() > MOST_HEAD => {
                return Err(LoadError::Malformed("head too large"));
            }
            None => {}
        }
    }
}

/// The code and the words of a close frame.
fn reason(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, words)) => {
            format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(words))
        }
        None => "no code".to_owned(),
    }
}

/// Many WebSockets that one future reads, with one buffer.
#[derive(Debug)]
pub struct Fleet {
    /// The sockets; a frame is handed over with its socket's place here.
    pub sockets: Vec<Socket>,
}

impl Fleet {
    /// Opens `count` WebSockets as [`Socket::open`] does, from as many loopback addresses as they need ports of.
    ///
    /// # Errors
    /// At the first that the server refuses.
    pub async fn open(
        address: SocketAddr,
        path: &str,
        protocol: &str,
        keep: usize,
        count: usize,
    ) -> Result<Self, LoadError> {
        let mut sockets = Vec::with_capacity(count);
        while sockets.len() < count {
            let begin = sockets.len();
            let next = (begin..count.min(begin + OPENING)).map(|index| {
                // 127.0.0.0/8 is all this machine's own.
                let from = Ipv4Addr::new(127, 0, 0, (1 + index / PER_ADDRESS).min(250) as u8);
                Socket::open(address, from, path, protocol, keep)
            });
            sockets.extend(try_join_all(next).await?);
        }
        Ok(Self { sockets })
    }

    /// Sends each socket the text frame that `text` makes for its place.
    ///
    /// # Errors
    /// When a connection fails.
    pub async fn send(&mut self, text: impl Fn(usize) -> String) -> Result<(), LoadError> {
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            socket.send(&text(index)).await?;
        }
        Ok(())
    }

    /// Reads all sockets while `work` goes on, and hands every frame of text or bytes to `sink` with its socket's place.
    ///
    /// # Errors
    /// The first failure of a socket, each of which is to stay open, or of `sink`.
    pub async fn attend<T>(
        &mut self,
        sink: impl FnMut(usize, Frame<'_>) -> Result<(), LoadError>,
        work: impl Future<Output = T>,
    ) -> Result<T, LoadError> {
        let shared = RefCell::new((vec![0; BUFFER], sink));
        // The first to end is the one that failed, wherever it stands.
        let mut reading: FuturesUnordered<_> = self
            .sockets
            .iter_mut()
            .enumerate()
            .map(|(index, socket)| {
                let shared = &shared;
                poll_fn(move |context| {
                    let (buffer, sink) = &mut *shared.borrow_mut();
                    socket.poll_frames(context, buffer, &mut |frame| sink(index, frame))
                })
            })
            .collect();
        tokio::select! {
            done = work => Ok(done),
            // Where there is no socket at all, there is only the work.
            Some(error) = reading.next() => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::SinkExt;
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    use tokio_tungstenite::{WebSocketStream, accept_async};

    /// Two sockets, and their other ends.
    async fn pair() -> (Fleet, Vec<WebSocketStream<TcpStream>>) {
        several(2).await
    }

    async fn several(count: usize) -> (Fleet, Vec<WebSocketStream<TcpStream>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepting = async {
            let mut ends = Vec::new();
            for _ in 0..count {
                let (stream, _) = listener.accept().await.expect("a connection");
                ends.push(accept_async(stream).await.expect("an upgrade"));
            }
            ends
        };
        let (fleet, ends) = tokio::join!(Fleet::open(address, "/", "test", 4, count), accepting);
        (fleet.expect("open sockets"), ends)
    }

    #[tokio::test]
    async fn pings_are_answered_and_frames_come_with_the_place_of_their_socket() {
        let (mut fleet, mut ends) = pair().await;
        fleet.send(|index| format!("hello {index}")).await.expect("a message");
        let mut heard = Vec::new();
        let sink = |index: usize, frame: Frame<'_>| {
            heard.push((index, frame.head.to_vec(), frame.length));
            Ok(())
        };
        let said = async {
            let mut said = Vec::new();
            for end in &mut ends {
                said.push(end.next().await.expect("a message").expect("no error"));
                end.send(Message::Ping(vec![7; 125].into())).await.expect("a ping");
                end.send(Message::text("x".repeat(100_000))).await.expect("a message");
                said.push(end.next().await.expect("an answer").expect("no error"));
            }
            said
        };
        let said = fleet.attend(sink, said).await.expect("no failed socket");
        let pong = Message::Pong(vec![7; 125].into());
        assert_eq!(said, [Message::text("hello 0"), pong.clone(), Message::text("hello 1"), pong]);
        assert!(heard.iter().all(|(_, head, length)| head.len() == 125 && *length == 100_000));
        assert!(heard.iter().any(|(index, ..)| *index == 0));
    }

    #[tokio::test]
    async fn a_socket_that_ends_is_an_error_that_says_why() {
        let (mut fleet, mut ends) = several(64).await;
        let end = CloseFrame { code: 4002.into(), reason: "no pong".into() };
        ends[50].close(Some(end)).await.expect("a close");
        let work = std::future::pending::<()>();
        let error = fleet.attend(|_, _| Ok(()), work).await.expect_err("an end");
        assert!(matches!(&error, LoadError::Ended(why) if why == "4002 no pong"), "{error}");
        drop(ends);
        let work = std::future::pending::<()>();
        assert!(fleet.attend(|_, _| Ok(()), work).await.is_err());
    }

    #[tokio::test]
    async fn who_listens_to_nobody_only_works() {
        let mut nobody = Fleet { sockets: Vec::new() };
        let work = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(nobody.attend(|_, _| Ok(()), work).await.expect("the work"), 7);
    }
}
