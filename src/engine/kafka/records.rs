//! Records as Kafka carries them: what is handed to a producer, and what a
//! consumer's messages become. Keys and values are raw bytes both ways.

use super::{
    client::Producer,
    kind::{self, KIND},
    ticket::Ticket,
};
use crate::{
    domain::{
        CorruptRecord, Header as DomainHeader, Offset, PackedRecords, PartitionId, RecordBatch,
        RecordDraft, RecordView, Timestamp, ValueKind,
    },
    engine::EngineError,
};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::BaseRecord,
};
use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// The header of a record whose time is 1970-01-01T00:00:00.000Z, which the
/// library takes for "none": Kafka has it a millisecond later. Not shown.
const AT_EPOCH: &str = "tidegate-at-epoch";

/// Hands records of one partition to a producer, next to each other: the caller
/// sees to it that nobody else does meanwhile. What cannot be handed over is
/// told to the ticket. Errors if the records are damaged, with none sent.
pub(super) fn send(
    producer: &Producer,
    topic: &str,
    partition: PartitionId,
    records: &PackedRecords,
    appended: Timestamp,
    ticket: &Arc<Ticket>,
) -> Result<(), EngineError> {
    let views: Result<Vec<_>, CorruptRecord> = records.iter(appended).collect();
    let views = views.map_err(|corrupt| EngineError::Damaged(corrupt.to_string()))?;
    for (sent, view) in views.iter().enumerate() {
        let record = record(topic, partition, view, Arc::clone(ticket));
        if let Err((error, _)) = producer.send(record) {
            let left = views.len() - sent;
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            ticket.never_sent(left, super::errors::code_of(&error));
            break;
        }
    }
    Ok(())
}

fn record<'a>(
    topic: &'a str,
    partition: PartitionId,
    view: &RecordView<'a>,
    ticket: Arc<Ticket>,
) -> BaseRecord<'a, [u8], [u8], Arc<Ticket>> {
    let millis = view.timestamp.millis();
    let mut record = BaseRecord::with_opaque_to(topic, ticket)
        .partition(i32::try_from(partition.0).unwrap_or(i32::MAX))
        .timestamp(millis.max(1));
    if let Some(key) = view.key {
        record = record.key(key);
    }
    if view.kind != ValueKind::Tombstone {
        record = record.payload(view.value);
    }
    let type_ = kind::content_type(view.headers.iter());
    let named = kind::to_be_named(view.kind, type_, view.value);
    if !view.headers.is_empty() || named.is_some() || millis < 1 {
        record = record.headers(headers(view, named, millis));
    }
    record
}

fn headers(view: &RecordView<'_>, named: Option<&str>, millis: i64) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(view.headers.len() + 2);
    for (key, value) in view.headers.iter() {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    if let Some(value) = named {
        headers = headers.insert(Header { key: KIND, value: Some(value.as_bytes()) });
    }
    if millis < 1 {
        headers = headers.insert(Header { key: AT_EPOCH, value: Some(&b"1"[..]) });
    }
    headers
}

/// A record as tests and readers see it, out of a message's parts. Pure.
pub(super) fn draft<'a>(
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    time: Option<i64>,
    all: Vec<(&'a str, Option<&'a [u8]>)>,
) -> RecordDraft<'a> {
    let (mut claimed, mut at_epoch) = (None, false);
    let mut headers = Vec::with_capacity(all.len());
    for (name, value) in all {
        // A header without a value is an empty one here.
        let value = value.unwrap_or_default();
        match name {
            KIND => claimed = Some(value),
            AT_EPOCH => at_epoch = true,
            name => headers.push(DomainHeader { name, value: Cow::Borrowed(value) }),
        }
    }
    let type_ = kind::content_type(headers.iter().map(|h| (h.name, &*h.value)));
    let kind = match (value, claimed) {
        (None, _) => ValueKind::Tombstone,
        (Some(value), Some(claimed)) => kind::claimed(claimed, type_, value),
        (Some(value), None) => kind::inferred(type_, value),
    };
    let value = value.unwrap_or_default();
    let value = if kind == ValueKind::Json { kind::on_one_line(value) } else { value.into() };
    let time = if at_epoch { 0 } else { time.unwrap_or(0) };
    RecordDraft {
        partition: None,
        timestamp: Some(Timestamp::from_millis(time)),
        key: key.map(Cow::Borrowed),
        headers,
        kind,
        value,
    }
}

/// Messages of one partition, gathered into batches: one ends at a gap.
#[derive(Default)]
pub(super) struct Gathered {
    batches: Vec<RecordBatch>,
    run: PackedRecords,
    base: Offset,
    records: u64,
    bytes: usize,
}

impl Gathered {
    /// Adds a message. Answers the offset after it.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) -> Offset {
        let at = Offset(u64::try_from(message.offset()).unwrap_or(0));
        if self.base.plus(self.run.count().into()) != at {
            self.end_run();
            self.base = at;
        }
        let (key, value) = (message.key(), message.payload());
        let headers = message.headers().map(named).unwrap_or_default();
        let before = self.run.body().len();
        self.run.push_stored(&draft(key, value, message.timestamp().to_millis(), headers));
        self.bytes += self.run.body().len() - before;
        self.records += 1;
        at.plus(1)
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.is_empty() {
            return;
        }
        let (base, count) = (self.base, run.count());
        // Every record has its own time.
        let appended = Timestamp::EPOCH;
        self.batches.push(RecordBatch { base, count, appended, body: run.into_body().into() });
    }

    /// Packed bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The batches, in order.
    pub(super) fn into_batches(mut self) -> Vec<RecordBatch> {
        self.end_run();
        self.batches
    }
}

/// Names and values. The crate panics over a name that is not UTF-8, which the
/// protocol does not allow and a program in C may write all the same: such a
/// header is left out.
fn named<H: Headers>(headers: &H) -> Vec<(&str, Option<&[u8]>)> {
    let one = |n| {
        let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(n))).ok().flatten()?;
        Some((header.key, header.value))
    };
    (0..headers.count()).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_event_in_kafkas_binding_is_a_record_with_its_headers() {
        let headers = vec![
            ("ce_id", Some(&b"1"[..])),
            ("content-type", Some(&b"application/json"[..])),
            ("empty", None),
        ];
        let draft = draft(Some(b"k"), Some(b"{\n}"), Some(7), headers);
        assert_eq!((draft.kind, &*draft.value), (ValueKind::Json, &b"{ }"[..]));
        let named: Vec<_> = draft.headers.iter().map(|h| (h.name, h.value.len())).collect();
        assert_eq!(named, [("ce_id", 1), ("content-type", 16), ("empty", 0)]);
        assert_eq!(draft.timestamp, Some(Timestamp::from_millis(7)));
    }

    #[test]
    fn our_own_headers_are_taken_for_what_they_say_and_not_shown() {
        let headers = vec![(KIND, Some(&b"text"[..])), (AT_EPOCH, Some(&b"1"[..]))];
        let draft = draft(None, Some(b"123"), Some(1), headers);
        assert_eq!((draft.kind, draft.headers.len()), (ValueKind::Text, 0));
        assert_eq!(draft.timestamp, Some(Timestamp::EPOCH));
    }

    #[test]
    fn no_value_is_a_tombstone_and_an_empty_one_is_not() {
        assert_eq!(draft(None, None, None, vec![]).kind, ValueKind::Tombstone);
        assert_eq!(draft(None, Some(b""), None, vec![]).kind, ValueKind::Text);
    }
}
