//! Reading: from any offset, within a budget, to the tail and no further.

use super::{
    Harness, Log,
    fixture::{ALL, P0, soon},
    records::{Plain, Seen, values},
};
use crate::domain::Offset;
use crate::engine::{Engine, EngineError, ReadBudget, Topic};
use std::sync::Arc;

/// A topic with records of many sizes, in appends of many lengths.
async fn filled<H: Harness>(log: &Log<H>) -> (Arc<Topic>, Vec<Seen>) {
    let topic = log.new_topic("filled").await;
    let mut sent = vec![];
    for (i, n) in [1usize, 30, 2, 500, 1, 1, 80].into_iter().enumerate() {
        let size = if i == 2 { 40_000 } else { 90 * i };
        let records: Vec<_> = (0..n).map(|j| Plain::noise(size, (i * 1_000 + j) as u64)).collect();
        let done = log.send(&topic, &[(P0, records.clone())], None).await.unwrap();
        sent.extend(records.into_iter().enumerate().map(|(j, record)| Seen {
            offset: done.parts[0].base.plus(j as u64),
            record: record.appended(done.appended),
        }));
    }
    (topic, sent)
}

pub async fn a_read_at_the_tail_is_empty<H: Harness>(log: &mut Log<H>) {
    let (topic, _) = filled(log).await;
    let tail = log.view(&topic, P0).tail;
    assert_eq!(log.read_once(&topic, P0, tail, ALL).await, (vec![], tail));
    let none = ReadBudget { records: 0, bytes: 0 };
    assert_eq!(log.read_once(&topic, P0, tail, none).await, (vec![], tail));
}

pub async fn a_read_beyond_the_tail_is_out_of_range<H: Harness>(log: &mut Log<H>) {
    let (topic, _) = filled(log).await;
    let view = log.view(&topic, P0);
    for asked in [view.tail.plus(1), Offset(u64::MAX)] {
        let refused = log.read(&topic, P0, asked, ALL).await;
        let (start, tail) = (view.start, view.tail);
        assert_eq!(refused, Err(EngineError::OffsetOutOfRange { asked, start, tail }));
    }
}

pub async fn a_read_before_the_start_is_out_of_range<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    let start = log.trim(&topic, P0, sent[40].offset).await.unwrap();
    let tail = log.view(&topic, P0).tail;
    for asked in [Offset::ZERO, sent[39].offset] {
        let refused = log.read(&topic, P0, asked, ALL).await;
        assert_eq!(refused, Err(EngineError::OffsetOutOfRange { asked, start, tail }));
    }
    assert_eq!(log.read_from(&topic, P0, start, ALL).await, sent[40..]);
}

pub async fn a_read_begins_at_any_record_of_a_batch<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    for (i, first) in sent.iter().enumerate() {
        let budget = ReadBudget { records: 5, bytes: 1 };
        let (seen, next) = log.read_once(&topic, P0, first.offset, budget).await;
        assert_eq!(seen, sent[i..i + seen.len()]);
        assert!(!seen.is_empty() && next > first.offset);
    }
}

pub async fn the_smallest_budget_still_gets_through_the_log<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    for budget in [ReadBudget { records: 0, bytes: 0 }, ReadBudget { records: 1, bytes: 1 }] {
        assert_eq!(log.read_from(&topic, P0, Offset::ZERO, budget).await, sent);
    }
}

pub async fn beyond_the_first_batch_the_budget_is_kept<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    for bytes in [100, 1_000, 20_000, 60_000, usize::MAX] {
        for records in [1, 2, 10, 35, 100, u32::MAX] {
            let mut from = Offset::ZERO;
            while from < log.view(&topic, P0).tail {
                let budget = ReadBudget { records, bytes };
                let chunk = log.read(&topic, P0, from, budget).await.unwrap();
                let got: u64 = chunk.batches.iter().map(|b| u64::from(b.count)).sum();
                let size: usize = chunk.batches.iter().map(|b| b.body.len()).sum();
                if chunk.batches.len() > 1 {
                    assert!(got <= records.into(), "{got} records of {records}");
                    assert!(size <= bytes, "{size} bytes of {bytes}");
                }
                assert!(chunk.next > from);
                from = chunk.next;
            }
        }
    }
    assert_eq!(log.read_all(&topic, P0).await, sent);
}

pub async fn a_generous_budget_is_used<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    for i in 0..100 {
        log.say(&topic, &[&i.to_string()]).await;
    }
    let mut reads = 0;
    let mut from = log.view(&topic, P0).start;
    while from < log.view(&topic, P0).tail {
        from = log.read_once(&topic, P0, from, ALL).await.1;
        reads += 1;
    }
    assert!(reads <= 10, "{reads} reads for 100 small appends");
}

pub async fn paging_neither_repeats_nor_skips<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    for records in [1, 3, 7, 64, 1_000] {
        for bytes in [500, 16 << 10, 1 << 20] {
            let budget = ReadBudget { records, bytes };
            assert_eq!(log.read_from(&topic, P0, Offset::ZERO, budget).await, sent);
        }
    }
}

pub async fn readers_at_once_see_the_same_records<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    let budget = ReadBudget { records: 50, bytes: 8 << 10 };
    let readers = (0..8).map(|_| log.read_from(&topic, P0, Offset::ZERO, budget));
    for seen in soon("readers", futures_util::future::join_all(readers)).await {
        assert_eq!(seen, sent);
    }
}

pub async fn reading_goes_on_the_same_after_a_restart<H: Harness>(log: &mut Log<H>) {
    let (topic, sent) = filled(log).await;
    if log.restart().await {
        for i in (0..sent.len()).step_by(17) {
            let (seen, _) = log.read_once(&topic, P0, sent[i].offset, ALL).await;
            assert_eq!(seen, sent[i..i + seen.len()]);
        }
        assert_eq!(log.read_all(&topic, P0).await, sent);
    }
}

pub async fn bytes_kept_grow_and_shrink_with_the_records<H: Harness>(log: &mut Log<H>) {
    if !log.promises().counts_bytes {
        return;
    }
    let topic = log.new_topic("a").await;
    log.publish(&topic, P0, vec![Plain::noise(50_000, 1); 4]).await;
    let half = log.view(&topic, P0).bytes;
    let part = log.publish(&topic, P0, vec![Plain::noise(50_000, 2); 4]).await;
    let full = log.view(&topic, P0).bytes;
    assert!((200_000..210_000).contains(&half), "{half} bytes for 200,000");
    assert!((400_000..420_000).contains(&full), "{full} bytes for 400,000");
    log.trim(&topic, P0, part.base).await.unwrap();
    assert!(log.view(&topic, P0).bytes < full);
    assert_eq!(values(&log.read_all(&topic, P0).await).len(), 4);
}

pub async fn what_is_recent_is_what_a_read_answers<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("followed").await;
    let _follower = log.watch_tail(&topic, P0).unwrap();
    let flat = |chunk: &crate::engine::ReadChunk| {
        let records = chunk.batches.iter().flat_map(|b| b.iter());
        records.map(|r| r.map(|(at, r)| (at, r.value.to_vec())).unwrap()).collect::<Vec<_>>()
    };
    for i in 0..40u64 {
        let records: Vec<_> = (0..=i % 3).map(|j| Plain::noise(300, i * 10 + j)).collect();
        let done = log.send(&topic, &[(P0, records)], None).await.unwrap();
        let view = log.view(&topic, P0);
        for from in [done.parts[0].base, view.tail.minus(1), view.start] {
            if let Some(recent) = log.read_recent(&topic, P0, from, ALL) {
                let mut read = log.read(&topic, P0, from, ALL).await.unwrap();
                read.batches.retain(|b| b.base < recent.next);
                assert_eq!(flat(&recent), flat(&read), "from {from}");
            }
        }
        assert_eq!(log.read_recent(&topic, P0, view.tail.plus(1), ALL), None);
    }
}
