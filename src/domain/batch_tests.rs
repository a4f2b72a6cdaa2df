//! Round trips of the packed form, and that no bytes make it panic.

use super::*;
use crate::domain::{Header, ValueKind, limits};
use proptest::prelude::*;
use std::borrow::Cow;

const MAX: usize = 1 << 20;

fn draft<'a>(key: Option<&'a [u8]>, kind: ValueKind, value: &'a [u8]) -> RecordDraft<'a> {
    RecordDraft {
        partition: None,
        timestamp: None,
        key: key.map(Cow::Borrowed),
        headers: vec![],
        kind,
        value: Cow::Borrowed(value),
    }
}

fn batch(packed: PackedRecords) -> RecordBatch {
    RecordBatch {
        base: Offset(10),
        count: packed.count(),
        appended: Timestamp::from_millis(1_000),
        body: packed.into_body().into(),
    }
}

fn kind() -> impl Strategy<Value = ValueKind> {
    prop_oneof![
        Just(ValueKind::Tombstone),
        Just(ValueKind::Json),
        Just(ValueKind::Text),
        Just(ValueKind::Binary)
    ]
}

type Row = (Option<Vec<u8>>, Option<i64>, Vec<(String, Vec<u8>)>, ValueKind, Vec<u8>);

fn row() -> impl Strategy<Value = Row> {
    (
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        proptest::option::of(0i64..1 << 45),
        proptest::collection::vec(
            ("[a-z]{1,200}", proptest::collection::vec(any::<u8>(), 0..9)),
            0..5,
        ),
        kind(),
        proptest::collection::vec(any::<u8>(), 0..500),
    )
}

proptest! {
    #[test]
    fn every_record_comes_back_as_it_went_in(rows in proptest::collection::vec(row(), 0..20)) {
        let mut packed = PackedRecords::default();
        for (key, time, headers, kind, value) in &rows {
            packed.push(&RecordDraft {
                partition: None,
                timestamp: time.map(Timestamp::from_millis),
                key: key.as_deref().map(Cow::Borrowed),
                headers: headers.iter().map(|(n, v)| Header { name: n, value: Cow::Borrowed(v) }).collect(),
                kind: *kind,
                value: Cow::Borrowed(value),
            }, MAX).unwrap();
        }
        let batch = batch(packed);
        let read: Vec<_> = batch.iter().map(|r| r.unwrap()).collect();
        prop_assert_eq!(read.len(), rows.len());
        for (i, ((offset, view), (key, time, headers, kind, value))) in read.iter().zip(&rows).enumerate() {
            prop_assert_eq!(*offset, Offset(10 + i as u64));
            prop_assert_eq!(view.key, key.as_deref());
            prop_assert_eq!(view.timestamp.millis(), time.unwrap_or(1_000));
            prop_assert_eq!(view.kind, *kind);
            prop_assert_eq!(view.value, &value[..]);
            let got: Vec<_> = view.headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
            prop_assert_eq!(&got, headers);
        }
        let pieces = batch.split(300).unwrap();
        let again: Vec<_> = pieces.iter().flat_map(|b| b.iter()).map(|r| r.unwrap()).collect();
        prop_assert_eq!(&again, &read);
        prop_assert!(pieces.iter().all(|p| p.count == 1 || p.body.len() <= 300));
        for from in 0..rows.len() as u64 + 2 {
            let rest = batch.from_offset(Offset(10 + from)).unwrap();
            prop_assert_eq!(rest.map_or(0, |b| b.iter().count()), rows.len().saturating_sub(from as usize));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200), count in 0u32..50) {
        let batch = RecordBatch { base: Offset(0), count, appended: Timestamp::EPOCH, body: body.into() };
        for record in batch.iter().flatten() {
            let _ = record.1.headers.iter().count();
        }
        let _ = batch.time_span();
        let _ = batch.truncated(3);
    }
}

#[test]
fn merging_keeps_the_time_each_record_had() {
    let mut first = PackedRecords::default();
    first.push(&draft(None, ValueKind::Text, b"a"), MAX).unwrap();
    let first = batch(first);
    let mut merged = PackedRecords::default();
    for item in first.raw() {
        merged.push_raw(item.unwrap().1, first.appended);
    }
    let mut later = batch(merged);
    later.appended = Timestamp::from_millis(9_999);
    assert_eq!(later.iter().next().unwrap().unwrap().1.timestamp.millis(), 1_000);
}

#[test]
fn what_is_too_large_is_refused_and_leaves_nothing_behind() {
    let mut packed = PackedRecords::default();
    let big = vec![0; limits::MAX_KEY_BYTES + 1];
    assert!(matches!(
        packed.push(&draft(Some(&big), ValueKind::Text, b""), MAX),
        Err(PackError::KeyTooLarge { .. })
    ));
    assert_eq!(
        packed.push(&draft(Some(b"k"), ValueKind::Text, b"12345"), 5),
        Err(PackError::RecordTooLarge { got: 6, max: 5 })
    );
    assert!(packed.is_empty() && packed.body().is_empty());
}
