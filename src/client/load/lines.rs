//! Counts the records of an NDJSON stream without parsing them.

/// What every control line begins with.
const CONTROL: &[u8] = br#"{"op":"#;
/// What the last control line of a whole stream begins with.
const END: &[u8] = br#"{"op":"end""#;

/// Counts the lines of a stream that comes in pieces, and tells records from control lines by how they begin.
#[derive(Debug, Default)]
pub struct LineCounter {
    records: u64,
    controls: u64,
    /// The first bytes of the line at hand.
    prefix: [u8; END.len()],
    held: usize,
    ended: bool,
}

impl LineCounter {
    /// A counter at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let line_end = memchr::memchr(b'\n', piece);
            let line = &piece[..line_end.unwrap_or(piece.len())];
            let taken = line.len().min(self.prefix.len() - self.held);
            self.prefix[self.held..self.held + taken].copy_from_slice(&line[..taken]);
            self.held += taken;
            let Some(line_end) = line_end else { return };
            self.close_line();
            piece = &piece[line_end + 1..];
        }
    }

    fn close_line(&mut self) {
        let begins = &self.prefix[..self.held];
        self.ended = begins == END;
        if begins.starts_with(CONTROL) {
            self.controls += 1;
        } else {
            self.records += 1;
        }
        self.held = 0;
    }

    /// Lines that are records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Lines that are control lines.
    #[must_use]
    pub fn controls(&self) -> u64 {
        self.controls
    }

    /// Whether the last line so far is the one that ends a whole stream.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_control_lines_are_told_apart_however_they_are_cut() {
        let stream = b"{\"partition\":0}\n{\"op\":\"cursor\"}\n{\"partition\":1}\n\n{\"op\":\"end\",\"x\":1}\n";
        for step in 1..stream.len() {
            let mut counter = LineCounter::new();
            for piece in stream.chunks(step) {
                counter.feed(piece);
            }
            assert_eq!((counter.records(), counter.controls(), counter.ended()), (3, 2, true));
        }
    }

    #[test]
    fn a_stream_that_was_cut_has_not_ended() {
        let mut counter = LineCounter::new();
        counter.feed(b"{\"partition\":0}\n{\"op\":\"end\"");
        assert!(!counter.ended());
    }
}
