//! Cutting a stream of bytes into lines, in memory that one line bounds.

use super::{ErrorCode, Problem};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// Takes a body chunk by chunk and gives its lines. A line that lies within
/// one chunk shares its memory; only one that lies across chunks is copied.
///
/// Push a chunk, take lines until there is none, and push the next.
#[derive(Debug)]
pub struct NdjsonSplitter {
    /// The chunk that is being cut.
    chunk: Bytes,
    /// The beginning of a line whose end is in a later chunk.
    partial: BytesMut,
    max_line: usize,
    lines: u64,
}

impl NdjsonSplitter {
    /// For lines of at most `max_line` bytes, without their line feed.
    #[must_use]
    pub fn new(max_line: usize) -> NdjsonSplitter {
        NdjsonSplitter { chunk: Bytes::new(), partial: BytesMut::new(), max_line, lines: 0 }
    }

    /// How many lines were given, blank ones too: the number of the last,
    /// counted from 1.
    #[must_use]
    pub fn line_number(&self) -> u64 {
        self.lines
    }

    /// Adds the next bytes of the body.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            // Lines are left of the chunk before: keep the order all the same.
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next whole line, without its line feed; `None` when more bytes are
    /// needed. `record_too_large` for a line beyond the bound, as soon as that
    /// is certain.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(end) = memchr(b'\n', &self.chunk) else {
            self.fits(self.partial.len() + self.chunk.len())?;
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return Ok(None);
        };
        self.fits(self.partial.len() + end)?;
        let mut line = self.chunk.split_to(end);
        self.chunk.advance(1);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = self.partial.split().freeze();
        }
        self.lines += 1;
        Ok(Some(line))
    }

    /// The last line, if the body ended without a line feed.
    pub fn finish(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some(line) = self.next_line()? {
            return Ok(Some(line));
        }
        if self.partial.is_empty() {
            return Ok(None);
        }
        self.lines += 1;
        Ok(Some(self.partial.split().freeze()))
    }

    fn fits(&self, len: usize) -> Result<(), Problem> {
        if len <= self.max_line {
            return Ok(());
        }
        let (line, max) = (self.lines + 1, self.max_line);
        let detail = format!("line {line} is longer than {max} bytes");
        Err(Problem::new(ErrorCode::RecordTooLarge, detail).with("line", line))
    }
}

/// Whether a line says nothing and is to be passed over.
#[must_use]
pub fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]], max: usize) -> Result<Vec<Bytes>, Problem> {
        let mut splitter = NdjsonSplitter::new(max);
        let mut lines = vec![];
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(line) = splitter.next_line()? {
                lines.push(line);
            }
        }
        while let Some(line) = splitter.finish()? {
            lines.push(line);
        }
        assert_eq!(splitter.line_number(), lines.len() as u64);
        Ok(lines)
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_before_its_end() {
        assert_eq!(lines(&[b"1234\n", b"12", b"34"], 4).unwrap(), ["1234", "1234"]);
        for chunks in [&[&b"12345\n"[..]][..], &[b"123", b"45"], &[b"a\n12345"]] {
            let problem = lines(chunks, 4).unwrap_err();
            assert_eq!(problem.code, ErrorCode::RecordTooLarge);
        }
    }

    #[test]
    fn blank_lines_are_seen_as_such() {
        assert!(is_blank(b"") && is_blank(b" \r") && !is_blank(b"{}"));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_come(
            text in "[ab\n]{0,40}",
            cuts in proptest::collection::vec(0usize..40, 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> =
                cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            let mut whole: Vec<&str> = text.split('\n').collect();
            if whole.last() == Some(&"") {
                whole.pop();
            }
            prop_assert_eq!(lines(&chunks, 100).unwrap(), whole);
        }
    }
}
