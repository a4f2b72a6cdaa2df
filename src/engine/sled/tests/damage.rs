//! Damage: whatever is done to the files, it is refused or reported, nothing
//! panics, and nothing is passed over.

use super::*;
use crate::engine::sled::check;
use std::{fs, path::PathBuf};

/// A store with sealed volumes, closed cleanly, and what is in it.
async fn filled() -> (Home, Vec<Vec<u8>>) {
    filled_with(Home::new(), 2).await
}

async fn filled_with(home: Home, sealed: usize) -> (Home, Vec<Vec<u8>>) {
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let mut values = vec![];
    for i in 0..60u64 {
        let some: Vec<_> = (0..256).map(|j| noise(i * 256 + j, 1_000)).collect();
        append(&engine, &topic, 0, &some).await.unwrap();
        values.extend(some);
    }
    until("volumes were sealed", || home.volumes().len() > sealed).await;
    engine.close().await;
    (home, values)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().is_some_and(|n| n != "lock" && n != "conf") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    super::super::disk::copy_dir(from, to).unwrap();
}

/// What opening and reading everything comes to: the values, or an error.
async fn look(home: &Home) -> Result<Vec<Vec<u8>>, String> {
    let engine = home.try_open().await.map_err(|e| e.to_string())?;
    let result = read_everything(&engine).await;
    engine.close().await;
    result
}

async fn read_everything(engine: &SledEngine) -> Result<Vec<Vec<u8>>, String> {
    let topic = engine.topic(&name("t")).map_err(|e| e.to_string())?;
    let tail = engine.partition(&topic, PartitionId(0)).map_err(|e| e.to_string())?.tail;
    let budget = ReadBudget { records: 10_000, bytes: 1 << 20 };
    let (mut next, mut values) = (Offset(0), vec![]);
    while next < tail {
        let chunk = engine.read(&topic, PartitionId(0), next, budget).await;
        let chunk = chunk.map_err(|e| e.to_string())?;
        for batch in &chunk.batches {
            for record in batch.iter() {
                values.push(record.map_err(|e| e.to_string())?.1.value.to_vec());
            }
        }
        next = chunk.next;
    }
    Ok(values)
}

/// Does something to a copy of the store, and sees that either all is still
/// there, or the damage is named by whoever meets it.
async fn survives(home: &Home, values: &[Vec<u8>], what: &str, hurt: impl FnOnce(&Path)) -> bool {
    let hurt_home = Home { config: home.config.clone(), ..Home::new() };
    let data = hurt_home.dir.path().join("data");
    copy(home.data(), &data);
    let hurt_home =
        Home { config: SledConfig { data_dir: data.clone(), ..home.config.clone() }, ..hurt_home };
    hurt(&data);
    match look(&hurt_home).await {
        Ok(read) => {
            assert!(read == values, "{what}: passed over in silence");
            false
        }
        Err(message) => {
            assert!(!message.is_empty(), "{what}");
            true
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_shortened_file_is_never_passed_over() {
    let (home, values) = filled().await;
    for file in files(home.data()) {
        let inside = file.strip_prefix(home.data()).unwrap().to_owned();
        let shown = inside.display().to_string();
        survives(&home, &values, &format!("{shown} missing"), |data| {
            fs::remove_file(data.join(&inside)).unwrap();
        })
        .await;
        survives(&home, &values, &format!("{shown} halved"), |data| {
            let path = data.join(&inside);
            let len = fs::metadata(&path).unwrap().len();
            fs::File::options().write(true).open(&path).unwrap().set_len(len / 2).unwrap();
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_passed_over() {
    let (home, values) = filled().await;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut noticed = 0;
    let all = files(home.data());
    for round in 0..40 {
        let file = &all[round % all.len()];
        let inside = file.strip_prefix(home.data()).unwrap().to_owned();
        let len = fs::metadata(file).unwrap().len();
        if len == 0 {
            continue;
        }
        let at = rng.u64(..len);
        let what = format!("{} flipped at {at}", inside.display());
        let hit = survives(&home, &values, &what, |data| {
            let path = data.join(&inside);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at as usize] ^= 0x40;
            fs::write(&path, bytes).unwrap();
        })
        .await;
        noticed += u32::from(hit);
    }
    assert!(noticed > 0, "some flips hit what counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tail_is_refused_until_it_is_accepted() {
    // All in one volume, so that half of its log is missed.
    let mut home = Home::new();
    home.config.roll_bytes = 512 << 20;
    let (home, values) = filled_with(home, 0).await;
    let marks = super::super::marks::Marks::load(&home.data().join("marks")).unwrap().unwrap();
    let db = marks.clean.unwrap().active.dir(home.data()).join("db");
    let before = fs::metadata(&db).unwrap().len();
    fs::File::options().write(true).open(&db).unwrap().set_len(before / 2).unwrap();
    let refused = home.try_open().await.map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("--accept-loss"), "{refused}");
    assert_eq!(fs::metadata(&db).unwrap().len(), before / 2, "nothing was changed");
    assert!(!check(home.data(), |_, _| {}).unwrap().findings.is_empty());
    let home = Home { config: SledConfig { accept_loss: true, ..home.config.clone() }, ..home };
    let engine = home.open().await;
    let topic = engine.topic(&name("t")).unwrap();
    let view = engine.partition(&topic, PartitionId(0)).unwrap();
    assert!(view.tail.0 < values.len() as u64);
    assert_eq!(view.epochs.last().unwrap().first, view.tail);
    let left = read_all(&engine, &topic, 0, 0).await;
    assert_eq!(left, values[..left.len()]);
    engine.close().await;
    let kept = fs::read_dir(home.data())
        .unwrap()
        .any(|e| e.unwrap().file_name().to_string_lossy().starts_with("lost-"));
    assert!(kept, "the damaged volume was copied first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sealed_volume_is_a_gap_that_readers_are_told_of() {
    let (home, values) = filled().await;
    let first = home.volumes().remove(0);
    fs::remove_dir_all(&first).unwrap();
    assert!(matches!(home.try_open().await.map(drop), Err(OpenError::Damaged { .. })));
    let home = Home { config: SledConfig { accept_loss: true, ..home.config.clone() }, ..home };
    let engine = home.open().await;
    let topic = engine.topic(&name("t")).unwrap();
    let budget = ReadBudget { records: 10, bytes: 1 << 20 };
    let lost = engine.read(&topic, PartitionId(0), Offset(0), budget).await.unwrap_err();
    let EngineError::Lost { to } = lost else { panic!("{lost}") };
    let rest = read_all(&engine, &topic, 0, to.0).await;
    assert_eq!(rest, values[to.0 as usize..]);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_a_crash_cut_short_is_no_damage() {
    use crate::engine::sled::{
        guard,
        keys::{self, Place},
        value::{Encoder, Packing},
    };
    for before in [0, 3] {
        let home = Home::new();
        let engine = home.open().await;
        let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
        let values: Vec<_> = (0..before).map(|i| noise(i, 1_000)).collect();
        if before > 0 {
            append(&engine, &topic, 0, &values).await.unwrap();
        }
        engine.close().await;
        // Its note, and the first of the steps: a record of which half is there.
        let body = records(&[noise(9, 60_000)]).into_body().into();
        let time = Timestamp::EPOCH;
        let batch = RecordBatch { base: Offset(before), count: 1, appended: time, body };
        let chunks = Encoder::default().encode(&batch, (time, time), &mut Packing::default());
        let place = Place { topic: topic.id, partition: PartitionId(0) };
        let volume = home.volumes().pop().unwrap();
        let db = guard::open(&volume, guard::Opening { cache: 1 << 20, writable: true }).unwrap();
        db.insert(keys::UNDER_WAY, &keys::index(place, Offset(before))).unwrap();
        for (i, chunk) in chunks.into_iter().take(2).enumerate() {
            db.insert(keys::record(place, Offset(before), i as u16), chunk).unwrap();
        }
        drop(db);
        // As a crash leaves it: without the mark of a clean stop.
        let path = home.data().join("marks");
        let mut marks = crate::engine::sled::marks::Marks::load(&path).unwrap().unwrap();
        marks.clean = None;
        marks.store(&path).unwrap();
        let report = check(home.data(), |_, _| {}).unwrap();
        assert_eq!((report.findings, report.records), (vec![], before));
        let engine = home.open().await;
        let topic = engine.topic(&name("t")).unwrap();
        assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
        append(&engine, &topic, 0, &[b"more".to_vec()]).await.unwrap();
        assert_eq!(read_all(&engine, &topic, 0, before).await, [b"more".to_vec()]);
        engine.close().await;
        assert_eq!(check(home.data(), |_, _| {}).unwrap().records, before + 1);
    }
}
