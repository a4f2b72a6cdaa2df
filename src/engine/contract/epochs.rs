//! Epochs: a partition always has one, appends say theirs, and a clean stop
//! costs no reader its place.

use super::{
    Harness, Log,
    fixture::{P0, P1},
    records::texts,
};
use crate::domain::Offset;

pub async fn every_partition_has_epochs_from_its_first_offset<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    log.say(&topic, &["x"]).await;
    for partition in [P0, P1] {
        let epochs = log.view(&topic, partition).epochs;
        assert_eq!(epochs.first().map(|e| e.first), Some(Offset::ZERO));
        assert!(epochs.is_sorted_by(|a, b| a.epoch < b.epoch && a.first <= b.first));
    }
}

pub async fn an_append_says_the_epoch_it_was_written_in<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    for restarted in [false, true] {
        if restarted && !log.restart().await {
            return;
        }
        let parts = [P1, P0].map(|p| (p, texts(&["x"])));
        for part in log.send(&topic, &parts, None).await.unwrap().parts {
            let view = log.view(&topic, part.partition);
            assert_eq!(view.epoch(), part.epoch);
            assert_eq!(view.epoch_of(part.base), part.epoch);
        }
    }
}

pub async fn a_position_goes_on_without_loss_after_a_clean_restart<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let first = log.say(&topic, &["1", "2", "3"]).await;
    let view = log.view(&topic, P0);
    let positions = [0, 1, 3].map(|i| view.position(first.base.plus(i)));
    for _ in 0..3 {
        if !log.restart().await {
            return;
        }
        log.say(&topic, &["more"]).await;
        let view = log.view(&topic, P0);
        for position in positions {
            let resume = view.resume(position).unwrap();
            assert_eq!((resume.at.next, resume.lost), (position.next, None));
        }
    }
}

pub async fn a_position_that_never_was_is_of_no_use<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    log.say(&topic, &["1"]).await;
    let view = log.view(&topic, P0);
    assert_eq!(view.resume(view.position(view.tail.plus(1))), None);
}
