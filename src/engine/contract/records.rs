//! Records as tests write and compare them: owned, plain, equal when all of
//! what a publisher said is equal.

use crate::domain::{
    Header, Offset, PackedRecords, RecordDraft, RecordView, Timestamp, ValueKind, limits,
};
use std::borrow::Cow;

/// A record to be published, or one that was read (then with its time).
#[derive(Clone, PartialEq, Eq)]
pub struct Plain {
    /// The publisher's time; always there once it was read.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What the value is.
    pub kind: ValueKind,
    /// The value.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Plain {
    /// Long values are shown by their length and beginning.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = String::from_utf8_lossy(&self.value[..self.value.len().min(16)]);
        write!(f, "{:?} {}B {shown:?}", self.kind, self.value.len())?;
        write!(f, " at {:?} key {:?} headers {:?}", self.timestamp, self.key, self.headers)
    }
}

/// A record that was read, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its offset.
    pub offset: Offset,
    /// What it says.
    pub record: Plain,
}

impl Plain {
    /// A text without key, headers or time.
    #[must_use]
    pub fn text(value: &str) -> Plain {
        Plain::new(ValueKind::Text, value.as_bytes().to_vec())
    }

    /// A value without key, headers or time.
    #[must_use]
    pub fn new(kind: ValueKind, value: Vec<u8>) -> Plain {
        Plain { timestamp: None, key: None, headers: vec![], kind, value }
    }

    /// Bytes that do not compress, the same ones for the same `seed`.
    #[must_use]
    pub fn noise(len: usize, seed: u64) -> Plain {
        let mut value = vec![0; len];
        fastrand::Rng::with_seed(seed).fill(&mut value);
        Plain::new(ValueKind::Binary, value)
    }

    /// This record with a time of its own, ms since 1970.
    #[must_use]
    pub fn at(self, millis: i64) -> Plain {
        Plain { timestamp: Some(Timestamp::from_millis(millis)), ..self }
    }

    /// This record with a key.
    #[must_use]
    pub fn keyed(self, key: &[u8]) -> Plain {
        Plain { key: Some(key.to_vec()), ..self }
    }

    /// This record with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &[u8]) -> Plain {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// The record as it is read when it was appended at `appended`.
    #[must_use]
    pub fn appended(self, appended: Timestamp) -> Plain {
        Plain { timestamp: Some(self.timestamp.unwrap_or(appended)), ..self }
    }

    /// An owned copy of what was read.
    #[must_use]
    pub fn of(view: &RecordView<'_>) -> Plain {
        Plain {
            timestamp: Some(view.timestamp),
            key: view.key.map(<[u8]>::to_vec),
            headers: view.headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect(),
            kind: view.kind,
            value: view.value.to_vec(),
        }
    }

    fn draft(&self) -> RecordDraft<'_> {
        RecordDraft {
            partition: None,
            timestamp: self.timestamp,
            key: self.key.as_deref().map(Cow::Borrowed),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| Header { name, value: Cow::Borrowed(value) })
                .collect(),
            kind: self.kind,
            value: Cow::Borrowed(&self.value),
        }
    }
}

/// The records packed, ready to be appended.
#[must_use]
pub fn pack(records: &[Plain]) -> PackedRecords {
    let mut packed = PackedRecords::default();
    for record in records {
        packed.push(&record.draft(), limits::MAX_RECORD_BYTES as usize).unwrap();
    }
    packed
}

/// The texts as records.
#[must_use]
pub fn texts(values: &[&str]) -> Vec<Plain> {
    values.iter().map(|value| Plain::text(value)).collect()
}

/// The values of what was read, as texts.
#[must_use]
pub fn values(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|s| String::from_utf8_lossy(&s.record.value).into_owned()).collect()
}
