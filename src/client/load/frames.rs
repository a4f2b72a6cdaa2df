//! As much of WebSocket as a load generator needs: where frames begin and end, how their payload begins, and what a
//! client sends. A payload is looked at no further than its reader wants to.

use super::LoadError;

/// The longest header of a frame without a mask.
const MOST_HEADER: usize = 10;
/// The longest payload that is believed; more is a generator that lost its place.
const MOST_PAYLOAD: u64 = 1 << 30;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The end of the connection.
    Close,
    /// A question whether somebody is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    fn code(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn of(code: u8) -> Option<Self> {
        let all = [Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong];
        all.into_iter().find(|opcode| opcode.code() == code)
    }
}

/// A frame that has come in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub opcode: Opcode,
    /// The beginning of its payload, as much as the reader keeps.
    pub head: &'a [u8],
    /// Bytes of its payload.
    pub length: u64,
}

/// Finds the frames in what a server sends, however it is cut.
#[derive(Debug)]
pub struct FrameReader {
    keep: usize,
    header: [u8; MOST_HEADER],
    held: usize,
    /// The frame whose payload is coming, and how much of it is still to come.
    open: Option<(Opcode, u64, u64)>,
    /// The beginning of a payload that came in pieces.
    head: Vec<u8>,
}

impl FrameReader {
    /// A reader that keeps `keep` bytes of each payload.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self { keep, header: [0; MOST_HEADER], held: 0, open: None, head: Vec::new() }
    }

    /// Keeps `keep` bytes of each payload from the next frame on.
    pub fn keep(&mut self, keep: usize) {
        self.keep = keep;
    }

    /// Takes the next piece and hands over every frame that it completes.
    ///
    /// # Errors
    /// When the server sends what it may not (masked, compressed) or never does (fragments), or what `sink` returns.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        loop {
            let Some((opcode, length, left)) = self.open else {
                if !self.take_header(&mut piece)? {
                    return Ok(());
                }
                continue;
            };
            let available = piece.len() as u64;
            if left > available {
                self.hold(piece);
                self.open = Some((opcode, length, left - available));
                return Ok(());
            }
            let (rest, next) = piece.split_at(left as usize);
            if left == length {
                sink(Frame { opcode, head: &rest[..rest.len().min(self.keep)], length })?;
            } else {
                self.hold(rest);
                sink(Frame { opcode, head: &self.head, length })?;
                self.head.clear();
            }
            self.open = None;
            piece = next;
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        let wanted = self.keep.saturating_sub(self.head.len());
        self.head.extend_from_slice(&piece[..piece.len().min(wanted)]);
    }

    /// Takes what `piece` has of a header; true once it is whole.
    fn take_header(&mut self, piece: &mut &[u8]) -> Result<bool, LoadError> {
        loop {
            let needed = header_length(&self.header[..self.held])?;
            let taken = needed.saturating_sub(self.held).min(piece.len());
            let (bytes, rest) = piece.split_at(taken);
            self.header[self.held..self.held + taken].copy_from_slice(bytes);
            self.held += taken;
            *piece = rest;
            if self.held < needed {
                return Ok(false);
            }
            if taken == 0 {
                break;
            }
        }
        let (opcode, length) = parse_header(&self.header[..self.held])?;
        self.held = 0;
        self.open = Some((opcode, length, length));
        Ok(true)
    }
}

/// How long a header is that begins like this.
fn header_length(begun: &[u8]) -> Result<usize, LoadError> {
    match begun.get(1) {
        None => Ok(2),
        Some(masked) if masked & 0x80 != 0 => Err(LoadError::Malformed("a masked frame")),
        Some(126) => Ok(4),
        Some(127) => Ok(10),
        Some(_) => Ok(2),
    }
}

fn parse_header(header: &[u8]) -> Result<(Opcode, u64), LoadError> {
    if header[0] & 0xf0 != 0x80 {
        return Err(LoadError::Malformed("a fragment or a compressed frame"));
    }
    let opcode = Opcode::of(header[0] & 0x0f).ok_or(LoadError::Malformed("an unknown frame"))?;
    let length = match header.len() {
        2 => u64::from(header[1]),
        _ => header[2..].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
    };
    if length > MOST_PAYLOAD {
        return Err(LoadError::Malformed("a frame of more than a GiB"));
    }
    Ok((opcode, length))
}

/// A frame as a client sends it. The mask is zero, which is as valid as any other: there is nothing between generator
/// and server that it could protect.
#[must_use]
pub fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode.code()];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = client_frame(opcode, payload);
        let mask = frame.len() - payload.len() - 4;
        frame.drain(mask..mask + 4);
        frame[1] &= 0x7f;
        frame
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let payloads =
            [vec![b'a'; 5], vec![], vec![b'b'; 126], vec![b'c'; 300], vec![b'd'; 70_000]];
        let wire: Vec<u8> =
            payloads.iter().flat_map(|payload| server_frame(Opcode::Text, payload)).collect();
        for step in (1..200).chain([1_000, 65_536, wire.len()]) {
            for keep in [0, 4, 200, usize::MAX] {
                let mut reader = FrameReader::new(keep);
                let mut found = Vec::new();
                for piece in wire.chunks(step) {
                    let mut sink = |frame: Frame<'_>| {
                        found.push((frame.head.to_vec(), frame.length));
                        Ok(())
                    };
                    reader.feed(piece, &mut sink).expect("well-formed");
                }
                let expected: Vec<_> = payloads
                    .iter()
                    .map(|all| (all[..all.len().min(keep)].to_vec(), all.len() as u64))
                    .collect();
                assert!(found == expected, "pieces of {step}, {keep} kept");
            }
        }
    }

    #[test]
    fn what_a_server_never_sends_is_an_error() {
        for wrong in [&[0x01, 0x00][..], &[0xc1, 0x00], &[0x81, 0x80], &[0x83, 0x00]] {
            assert!(FrameReader::new(0).feed(wrong, &mut |_| Ok(())).is_err(), "{wrong:?}");
        }
        let endless = [0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0];
        assert!(FrameReader::new(0).feed(&endless, &mut |_| Ok(())).is_err());
    }
}
