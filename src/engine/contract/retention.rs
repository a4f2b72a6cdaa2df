//! What is kept: trimming moves the start exactly; retention moves it as far as
//! the engine's slack asks for, and never takes what is to be kept.

use super::{
    Harness, Log,
    fixture::{ALL, P0, P1},
    records::{Plain, values},
};
use crate::domain::{LostReason, Offset, Position, TopicConfig};
use crate::engine::{Engine, EngineError, Topic};
use std::{sync::Arc, time::Duration};

const RECORD: usize = 8 << 10;
/// Bytes: a size that a topic keeps in these tests.
const KEPT: u64 = 128 << 10;
/// How long a topic keeps records in these tests.
const AGE: Duration = Duration::from_secs(3_600);

async fn numbered<H: Harness>(log: &Log<H>, topic: &Arc<Topic>, n: usize) -> Vec<Offset> {
    let mut offsets = vec![];
    for i in 0..n {
        let part = log.say(topic, &[&format!("{i}a"), &format!("{i}b"), &format!("{i}c")]).await;
        offsets.extend((0..3).map(|j| part.base.plus(j)));
    }
    offsets
}

/// Appends as many bytes of incompressible records as retention needs to see
/// a difference, and some more.
async fn fill<H: Harness>(log: &Log<H>, topic: &Arc<Topic>, bytes: u64) {
    for i in 0..bytes.div_ceil(4 * RECORD as u64) {
        log.publish(topic, P0, (0..4).map(|j| Plain::noise(RECORD, i * 4 + j)).collect()).await;
    }
}

pub async fn trimming_moves_the_start_into_a_batch<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let offsets = numbered(log, &topic, 4).await;
    assert_eq!(log.trim(&topic, P0, offsets[4]).await, Ok(offsets[4]));
    let view = log.view(&topic, P0);
    assert_eq!((view.start, view.trimmed_to), (offsets[4], offsets[4]));
    assert_eq!(log.said(&topic).await[..2], ["1b", "1c"]);
    assert_eq!(log.said(&topic).await.len(), 8);
}

pub async fn trimming_to_the_tail_empties_and_offsets_go_on<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    numbered(log, &topic, 4).await;
    let tail = log.view(&topic, P0).tail;
    assert_eq!(log.trim(&topic, P0, tail).await, Ok(tail));
    assert_eq!(log.read_once(&topic, P0, tail, ALL).await, (vec![], tail));
    assert_eq!(log.said(&topic).await, [""; 0]);
    let part = log.say(&topic, &["on"]).await;
    assert!(part.base >= tail);
    assert_eq!(log.said(&topic).await, ["on"]);
}

pub async fn trimming_back_or_again_changes_nothing<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let offsets = numbered(log, &topic, 4).await;
    log.trim(&topic, P0, offsets[7]).await.unwrap();
    let view = log.view(&topic, P0);
    for before in [offsets[7], offsets[2], Offset::ZERO] {
        assert_eq!(log.trim(&topic, P0, before).await, Ok(offsets[7]));
    }
    assert_eq!(log.view(&topic, P0), view);
    assert_eq!(log.trim(&topic, P0, offsets[8]).await, Ok(offsets[8]));
}

pub async fn trimming_beyond_the_tail_is_refused<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    numbered(log, &topic, 2).await;
    let view = log.view(&topic, P0);
    let (asked, start, tail) = (view.tail.plus(1), view.start, view.tail);
    let refused = log.trim(&topic, P0, asked).await;
    assert_eq!(refused, Err(EngineError::OffsetOutOfRange { asked, start, tail }));
    assert_eq!(log.view(&topic, P0), view);
}

pub async fn trimming_concerns_one_partition_of_one_topic<H: Harness>(log: &mut Log<H>) {
    let (a, b) = (log.wide_topic("a", 2).await, log.new_topic("b").await);
    log.publish(&a, P1, vec![Plain::text("p1")]).await;
    numbered(log, &b, 1).await;
    numbered(log, &a, 3).await;
    log.trim(&a, P0, log.view(&a, P0).tail).await.unwrap();
    assert_eq!(values(&log.read_all(&a, P1).await), ["p1"]);
    assert_eq!(log.said(&b).await, ["0a", "0b", "0c"]);
}

pub async fn a_trim_survives_a_restart<H: Harness>(log: &mut Log<H>) {
    let (topic, empty) = (log.new_topic("a").await, log.new_topic("empty").await);
    let offsets = numbered(log, &topic, 5).await;
    numbered(log, &empty, 5).await;
    log.trim(&topic, P0, offsets[4]).await.unwrap();
    log.trim(&empty, P0, log.view(&empty, P0).tail).await.unwrap();
    let before = [log.view(&topic, P0), log.view(&empty, P0)];
    if log.restart().await {
        for (topic, before) in [&topic, &empty].into_iter().zip(before) {
            let view = log.view(topic, P0);
            assert_eq!(
                (view.start, view.tail, view.trimmed_to),
                (before.start, before.tail, before.trimmed_to)
            );
        }
        assert_eq!(log.said(&topic).await[0], "1b");
        assert!(log.say(&empty, &["on"]).await.base >= log.view(&empty, P0).start);
        assert_eq!(log.said(&empty).await, ["on"]);
    }
}

pub async fn a_reader_that_was_overtaken_is_told_by_what<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let offsets = numbered(log, &topic, 3).await;
    let before = log.view(&topic, P0).position(offsets[1]);
    log.trim(&topic, P0, offsets[5]).await.unwrap();
    let resume = log.view(&topic, P0).resume(before).unwrap();
    let lost = resume.lost.unwrap();
    assert_eq!((lost.from, lost.reason), (offsets[1], LostReason::Trimmed));
    assert_eq!((lost.to, resume.at.next), (offsets[5].minus(1), offsets[5]));
}

pub async fn records_that_are_too_old_go_and_young_ones_stay<H: Harness>(log: &mut Log<H>) {
    let Some(time) = log.harness().time().cloned() else { return };
    let topic =
        log.new_topic_with("a", |config| config.retention_ms = Some(AGE.as_millis() as u64)).await;
    let slack = log.harness().retention_slack();
    fill(log, &topic, KEPT + 2 * slack).await;
    let first = log.view(&topic, P0);
    log.settle_retention().await;
    assert_eq!(log.view(&topic, P0).start, first.start, "nothing is old yet");
    time.advance(AGE * 3 / 4);
    let young = log.say(&topic, &["young"]).await.base;
    time.advance(AGE / 2);
    log.settle_retention().await;
    let view = log.view(&topic, P0);
    assert!(view.start > first.start, "nothing was dropped");
    assert!(view.start <= young, "what is young was dropped");
    assert!(view.bytes <= slack + KEPT / 4, "{} bytes of old records are left", view.bytes);
    assert_eq!(log.said(&topic).await.last().unwrap(), "young");
    expect_lost_to_retention(log, &topic);
}

fn expect_lost_to_retention<H: Harness>(log: &Log<H>, topic: &Topic) {
    let view = log.view(topic, P0);
    assert_eq!(view.trimmed_to, Offset::ZERO);
    let old = Position { epoch: view.epoch_of(Offset::ZERO), next: Offset::ZERO };
    let lost = view.resume(old).unwrap().lost.unwrap();
    assert_eq!((lost.from, lost.reason), (Offset::ZERO, LostReason::Retention));
}

pub async fn each_partition_keeps_its_bytes_and_little_more<H: Harness>(log: &mut Log<H>) {
    if !log.harness().retention_settles() {
        return;
    }
    let topic = log.new_topic_with("a", |config| config.retention_bytes = Some(KEPT)).await;
    let slack = log.harness().retention_slack();
    fill(log, &topic, KEPT * 3 / 4).await;
    let first = log.view(&topic, P0);
    log.settle_retention().await;
    assert_eq!(log.view(&topic, P0).start, first.start, "it is not too much yet");
    fill(log, &topic, 3 * KEPT + 2 * slack).await;
    log.settle_retention().await;
    let view = log.view(&topic, P0);
    assert!(view.start > first.start, "nothing was dropped");
    let most = KEPT + slack + 2 * RECORD as u64;
    assert!((KEPT..=most).contains(&view.bytes), "{} bytes are kept", view.bytes);
    log.read_all(&topic, P0).await;
    expect_lost_to_retention(log, &topic);
}

pub async fn without_bounds_everything_is_kept<H: Harness>(log: &mut Log<H>) {
    if !log.harness().retention_settles() {
        return;
    }
    let topic = log.new_topic("a").await;
    let busy = log.new_topic_with("b", |config| config.retention_bytes = Some(KEPT)).await;
    numbered(log, &topic, 3).await;
    fill(log, &busy, 3 * KEPT + 2 * log.harness().retention_slack()).await;
    if let Some(time) = log.harness().time() {
        time.advance(AGE * 100_000);
    }
    log.settle_retention().await;
    assert_eq!(log.said(&topic).await.len(), 9);
}

pub async fn a_bound_that_is_set_later_counts_for_what_is_there<H: Harness>(log: &mut Log<H>) {
    if !log.harness().retention_settles() {
        return;
    }
    let topic = log.new_topic("a").await;
    fill(log, &topic, 3 * KEPT + 2 * log.harness().retention_slack()).await;
    let full = log.view(&topic, P0);
    log.settle_retention().await;
    assert_eq!(log.view(&topic, P0), full);
    let config = TopicConfig { retention_bytes: Some(KEPT), ..topic.config.clone() };
    let topic = log.alter_topic(&topic, &config).await.unwrap();
    log.settle_retention().await;
    let view = log.view(&topic, P0);
    assert!(view.start > full.start && view.tail == full.tail);
}

pub async fn what_retention_dropped_stays_dropped_after_a_restart<H: Harness>(log: &mut Log<H>) {
    if !log.harness().retention_settles() {
        return;
    }
    let topic = log.new_topic_with("a", |config| config.retention_bytes = Some(KEPT)).await;
    fill(log, &topic, 3 * KEPT + 2 * log.harness().retention_slack()).await;
    log.settle_retention().await;
    let before = log.view(&topic, P0);
    if log.restart().await {
        let view = log.view(&topic, P0);
        assert!(view.start >= before.start, "records came back");
        assert_eq!(view.tail, before.tail);
        log.read_all(&topic, P0).await;
    }
}
