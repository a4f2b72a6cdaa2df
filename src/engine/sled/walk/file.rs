//! The log's file: a row of places, read one at a time into one buffer, and a survey of what their headers say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::format::{RED_ZONE, SEGMENT_HEADER, SegmentHeader};
use super::{Fault, Stop};

/// The open file.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    /// Bytes of the whole file.
    pub(super) length: u64,
    /// Bytes of a segment.
    pub(super) size: usize,
    /// The place last loaded.
    pub(super) segment: Vec<u8>,
}

impl LogFile {
    /// Opens the file for reading.
    pub(super) fn open(path: &Path, size: usize) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, size, segment: Vec::with_capacity(size) })
    }

    /// Reads the place at `at`, up to the file's end, into `segment`.
    pub(super) fn load(&mut self, at: u64) -> io::Result<()> {
        self.segment.clear();
        self.file.seek(SeekFrom::Start(at))?;
        (&mut self.file).take(self.size as u64).read_to_end(&mut self.segment)?;
        Ok(())
    }

    fn header(&mut self, at: u64) -> io::Result<SegmentHeader> {
        let mut bytes = [0; SEGMENT_HEADER];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(SegmentHeader::read(&bytes))
    }

    /// Reads the headers of all places.
    ///
    /// # Errors
    /// When one is bad, or carries what sled never writes.
    pub(super) fn survey(&mut self, replay_from: i64) -> Result<Survey, Stop> {
        let mut survey = Survey::default();
        let mut at = 0;
        while at + SEGMENT_HEADER as u64 <= self.length {
            match self.header(at)? {
                SegmentHeader::Blank => survey.blank.push(at),
                SegmentHeader::Bad => {
                    return Err(self.fault(at, -1, "the header of a segment is bad")?);
                }
                SegmentHeader::Good { lsn, stable } => {
                    // Places are taken in order, so a segment's lsn is never below its offset.
                    if lsn % self.size as i64 != 0
                        || u64::try_from(lsn).is_ok_and(|lsn| lsn < at)
                        || lsn < 0
                    {
                        return Err(self.fault(
                            at,
                            lsn,
                            "a segment lies where it cannot have been written",
                        )?);
                    }
                    if lsn < replay_from {
                        // Nothing of it is still being written, so the file cannot end within it.
                        if self.length < at + (self.size - RED_ZONE) as u64 {
                            return Err(self.fault(
                                at,
                                lsn,
                                "the file ends within an old segment",
                            )?);
                        }
                    } else if survey.segments.insert(lsn, Place { at, stable }).is_some() {
                        return Err(self.fault(
                            at,
                            lsn,
                            "two segments have the same sequence number",
                        )?);
                    }
                }
            }
            at += self.size as u64;
        }
        Ok(survey)
    }

    /// A fault at the start of the place at `at`; what is intact in that place alone would be lost.
    fn fault(&mut self, at: u64, lsn: i64, what: &str) -> io::Result<Stop> {
        self.load(at)?;
        let mut bytes_behind = 0;
        super::segment::hunt(&self.segment, SEGMENT_HEADER, |_, message| {
            bytes_behind += message.size as u64
        });
        Ok(Stop::Fault(Fault { at, lsn, what: what.to_owned(), bytes_behind }))
    }
}

/// What the headers say.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The segments that replay reads, by lsn.
    pub(super) segments: BTreeMap<i64, Place>,
    /// Offsets of the places without a header.
    pub(super) blank: Vec<u64>,
}

/// Where a segment lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its offset in the file.
    pub(super) at: u64,
    /// The highest lsn known to be written when it was begun.
    pub(super) stable: i64,
}
