//! One record: what a publisher hands in ([`RecordDraft`]) and what a reader
//! gets back ([`RecordView`]). Both borrow; the bytes live in a packed batch.

use super::{PartitionId, Timestamp, pack};

/// How a value was given, kept so that it is given back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// No value: the key is to be forgotten (`"value": null`).
    Tombstone,
    /// JSON text, as it came token for token.
    Json,
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// A header of a record that is being published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name: 1 to 255 bytes of UTF-8.
    pub name: &'a str,
    /// The value: any bytes.
    pub value: std::borrow::Cow<'a, [u8]>,
}

/// A record as a publisher hands it in, borrowed from the request.
#[derive(Clone, Debug)]
pub struct RecordDraft<'a> {
    /// The partition the publisher insists on, if any.
    pub partition: Option<PartitionId>,
    /// The publisher's time; the time of appending where it is absent.
    pub timestamp: Option<Timestamp>,
    /// The key, any bytes; absent = no key (not the same as an empty one).
    pub key: Option<std::borrow::Cow<'a, [u8]>>,
    /// Headers in order; names may repeat.
    pub headers: Vec<Header<'a>>,
    /// What the value is.
    pub kind: ValueKind,
    /// The value's bytes; empty for a tombstone.
    pub value: std::borrow::Cow<'a, [u8]>,
}

/// A record as it stands in a packed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The publisher's time, or the time of appending.
    pub timestamp: Timestamp,
    /// The key, any bytes.
    pub key: Option<&'a [u8]>,
    /// Headers in the order of publication.
    pub headers: HeaderList<'a>,
    /// What the value is.
    pub kind: ValueKind,
    /// The value's bytes; empty for a tombstone.
    pub value: &'a [u8],
}

/// The packed headers of a record; iterate to see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HeaderList<'a> {
    pub(super) packed: &'a [u8],
    pub(super) count: u32,
}

impl<'a> HeaderList<'a> {
    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Name and value of each header, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        pack::headers(self.packed)
    }

    /// The value of the first header of this name, compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}
