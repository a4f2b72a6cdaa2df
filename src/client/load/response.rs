//! As much of HTTP/1.1 answers as a load generator needs: the status, and where the body ends.

use std::ops::ControlFlow;

use super::LoadError;

/// No line of a chunked body's frame is longer than this.
const MAX_FRAME_LINE: usize = 1_024;

/// How a body's end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub status: u16,
    pub framing: Framing,
    /// Bytes that the head took.
    pub length: usize,
}

impl Head {
    /// The head at the beginning of `input`, or none while it is not complete.
    pub fn parse(input: &[u8]) -> Result<Option<Self>, LoadError> {
        let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
            return Ok(None);
        };
        let mut lines = input[..end].split(|&byte| byte == b'\n');
        let status = lines.next().and_then(status_of).ok_or(LoadError::Malformed("status line"))?;
        let mut framing = Framing::Length(0);
        for line in lines {
            if let Some(value) = value_of(line, b"content-length:") {
                let length = value.trim().parse();
                framing =
                    Framing::Length(length.map_err(|_| LoadError::Malformed("content-length"))?);
            } else if let Some(value) = value_of(line, b"transfer-encoding:") {
                if !value.trim().eq_ignore_ascii_case("chunked") {
                    return Err(LoadError::Malformed("transfer-encoding"));
                }
                framing = Framing::Chunked;
            }
        }
        Ok(Some(Self { status, framing, length: end + 4 }))
    }
}

fn status_of(line: &[u8]) -> Option<u16> {
    let digits = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let start = line.get(..name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(&line[name.len()..]).ok()
}

/// Where in a body the decoder stands.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A body of known length, of which so many bytes are to come.
    Plain(u64),
    /// At a chunk's size line.
    Size,
    /// In a chunk of which so many bytes are to come.
    Data(u64),
    /// At the line end behind a chunk.
    DataEnd,
    /// At a line behind the last chunk.
    Trailer,
    Done,
}

/// Takes a body out of its framing, piece by piece.
#[derive(Debug)]
pub(super) struct Body(State);

impl Body {
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Plain(length),
            Framing::Chunked => State::Size,
        })
    }

    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Decodes `input` as far as it goes, hands body bytes to `sink`, and says how many bytes were used up; the rest
    /// must be given again with more behind it. Breaks off early when `sink` does.
    pub fn feed(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(usize, ControlFlow<()>), LoadError> {
        let mut used = 0;
        while used < input.len() && !self.is_done() {
            let rest = &input[used..];
            let (taken, flow) = match self.0 {
                State::Plain(left) => self.pass(rest, left, State::Plain, State::Done, &mut sink),
                State::Data(left) => self.pass(rest, left, State::Data, State::DataEnd, &mut sink),
                State::Size | State::DataEnd | State::Trailer => {
                    let Some(line) = frame_line(rest)? else { break };
                    self.0 = self.after_line(line)?;
                    (line.len(), ControlFlow::Continue(()))
                }
                State::Done => break,
            };
            used += taken;
            if flow.is_break() {
                return Ok((used, flow));
            }
        }
        Ok((used, ControlFlow::Continue(())))
    }

    fn pass(
        &mut self,
        input: &[u8],
        left: u64,
        more: fn(u64) -> State,
        end: State,
        sink: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> (usize, ControlFlow<()>) {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - taken as u64;
        self.0 = if left == 0 { end } else { more(left) };
        (taken, sink(&input[..taken]))
    }

    fn after_line(&self, line: &[u8]) -> Result<State, LoadError> {
        let text = line.trim_ascii_end();
        match self.0 {
            State::Size => match chunk_size(text).ok_or(LoadError::Malformed("chunk size"))? {
                0 => Ok(State::Trailer),
                size => Ok(State::Data(size)),
            },
            State::DataEnd if text.is_empty() => Ok(State::Size),
            State::DataEnd => Err(LoadError::Malformed("chunk end")),
            State::Trailer if text.is_empty() => Ok(State::Done),
            state => Ok(state),
        }
    }
}

/// The line at the beginning of `input` with its line end, or none while it is not complete.
fn frame_line(input: &[u8]) -> Result<Option<&[u8]>, LoadError> {
    match memchr::memchr(b'\n', input) {
        Some(end) => Ok(Some(&input[..=end])),
        None if input.len() > MAX_FRAME_LINE => Err(LoadError::Malformed("chunk frame")),
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(framing: Framing, wire: &[u8], step: usize) -> Vec<u8> {
        let mut body = Body::new(framing);
        let mut out = Vec::new();
        let mut pending = Vec::new();
        for piece in wire.chunks(step) {
            pending.extend_from_slice(piece);
            let (used, _) = body
                .feed(&pending, |bytes| {
                    out.extend_from_slice(bytes);
                    ControlFlow::Continue(())
                })
                .expect("well-formed");
            pending.drain(..used);
        }
        assert!(body.is_done());
        assert!(pending.is_empty());
        out
    }

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let wire = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 12\r\n\r\nbody";
        assert_eq!(Head::parse(&wire[..20]).expect("no error"), None);
        let head = Head::parse(wire).expect("no error").expect("complete");
        assert_eq!(
            head,
            Head { status: 200, framing: Framing::Length(12), length: wire.len() - 4 }
        );
        let chunked = Head::parse(b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunked = chunked.expect("no error").expect("complete");
        assert_eq!((chunked.status, chunked.framing), (503, Framing::Chunked));
    }

    #[test]
    fn a_head_without_a_length_has_no_body() {
        let head =
            Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").expect("no error").expect("complete");
        assert!(Body::new(head.framing).is_done());
    }

    #[test]
    fn bodies_come_out_of_their_framing_however_they_are_cut() {
        let wire = b"5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nt: 1\r\n\r\n";
        for step in 1..wire.len() {
            assert_eq!(decode(Framing::Chunked, wire, step), b"helloabcdefghijklmnopqrstuvwxyz");
            assert_eq!(decode(Framing::Length(wire.len() as u64), wire, step), wire);
        }
    }

    #[test]
    fn a_broken_frame_is_an_error() {
        let mut body = Body::new(Framing::Chunked);
        assert!(body.feed(b"zz\r\n", |_| ControlFlow::Continue(())).is_err());
        let mut body = Body::new(Framing::Chunked);
        assert!(body.feed(b"1\r\nab\r\n", |_| ControlFlow::Continue(())).is_err());
    }
}
