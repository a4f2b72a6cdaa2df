//! Binary frames of records: the length of a small head (u16, big-endian), the
//! head as JSON, then what all readers share, compressed in the zlib format
//! (RFC 1950), which is what a browser's `DecompressionStream("deflate")`
//! opens. The text in it begins at `"topic"`, as in a frame of text.

use super::{SubId, server::records_head};
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;

/// The longest head, its length included, bytes.
pub const MAX_HEAD_BYTES: usize = 64;

/// Once for all readers, but on the way of a record to them: the first levels
/// pack JSON nearly as well and several times faster.
const LEVEL: u32 = 3;

/// `{"op":"records","sub":7}` behind its length.
#[must_use]
pub fn packed_head(sub: SubId) -> Vec<u8> {
    let mut json = records_head(sub);
    // What a frame of text goes on with after the comma is packed here.
    json.pop();
    json.push(b'}');
    let mut head = Vec::with_capacity(2 + json.len());
    head.extend_from_slice(&(json.len() as u16).to_be_bytes());
    head.extend_from_slice(&json);
    head
}

/// The shared part, compressed, behind `head`.
#[must_use]
pub fn pack(head: &[u8], shared: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len() + shared.len() / 3 + 64);
    out.extend_from_slice(head);
    let mut encoder = ZlibEncoder::new(out, Compression::new(LEVEL));
    // Into memory: writing cannot fail.
    let _written = encoder.write_all(shared);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read;

    #[test]
    fn a_packed_frame_opens_to_what_a_frame_of_text_says() {
        let shared = b"\"topic\":\"orders\",\"records\":[]}".repeat(50);
        let frame = pack(&packed_head(SubId(7)), &shared);
        let length = usize::from(u16::from_be_bytes([frame[0], frame[1]]));
        assert_eq!(&frame[2..2 + length], b"{\"op\":\"records\",\"sub\":7}");
        let packed = &frame[2 + length..];
        // The first byte of zlib: deflate, with a window of 32 KiB.
        assert_eq!(packed[0], 0x78);
        let mut opened = vec![];
        ZlibDecoder::new(packed).read_to_end(&mut opened).unwrap();
        assert_eq!(opened, shared);
        assert!(packed.len() < shared.len() / 4);
    }

    #[test]
    fn no_head_is_longer_than_its_bound() {
        assert!(packed_head(SubId(super::super::MAX_FRAME_NUMBER)).len() <= MAX_HEAD_BYTES);
    }
}
