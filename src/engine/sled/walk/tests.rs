//! The walk against real databases: closed, killed, altered; sled itself says what an alteration costs.
//!
//! `WALK_ROUNDS` sets how many times a random case is tried.

mod by_hand;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ::sled::{Batch, Config, Db};
use tempfile::TempDir;

use super::{Verdict, Walk, walk};

const SEGMENT: usize = 2 << 20;
const CHILD: &str = "WALK_TEST_CHILD";

#[test]
fn a_closed_database_is_whole_and_ends_where_sled_goes_on() {
    let dir = TempDir::new().unwrap();
    for session in 0..4 {
        churn(&open(dir.path()).unwrap(), &mut Random(100 + session), 6 << 20);
        let found = check(dir.path());
        assert_eq!(found.verdict, Verdict::Whole, "session {session}: {found:?}");
        assert!(found.bytes > 2 << 20, "{found:?}");
        drop(open_quiet(dir.path()).unwrap());
        assert_ends_where_sled_goes_on(dir.path(), &found);
        assert_eq!(check(dir.path()).end_lsn, found.end_lsn);
    }
}

#[test]
fn a_closed_database_is_whole_without_its_snapshot() {
    let dir = TempDir::new().unwrap();
    build(dir.path(), 7);
    for name in names(dir.path(), "snap.") {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(check(dir.path()).verdict, Verdict::Whole);
}

#[test]
fn a_new_database_is_whole() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()).unwrap());
    assert_eq!(check(dir.path()).verdict, Verdict::Whole);
}

#[test]
fn a_killed_database_is_never_damaged() {
    let dir = TempDir::new().unwrap();
    let (mut torn, mut most) = (0, 0);
    let rounds = rounds(20);
    for round in 0..rounds {
        kill_a_writer(dir.path(), round);
        for name in
            names(dir.path(), "snap.").into_iter().filter(|name| name.ends_with(".generating"))
        {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        let copy = copied(dir.path());
        let found = check(copy.path());
        assert!(!matches!(found.verdict, Verdict::Damaged { .. }), "round {round}: {found:?}");
        torn += u32::from(matches!(found.verdict, Verdict::TornTail { .. }));
        most = most.max(if let Verdict::TornTail { dropped, .. } = found.verdict {
            dropped
        } else {
            0
        });
        let db = open_quiet(copy.path()).unwrap();
        let acknowledged = fs::read_to_string(dir.path().join("acknowledged"))
            .ok()
            .and_then(|text| text.parse().ok());
        assert!(counter(&db) >= acknowledged.unwrap_or(0), "round {round}");
        drop(db);
        assert_ends_where_sled_goes_on(copy.path(), &found);
    }
    eprintln!("{rounds} kills, {torn} torn tails, which drop {most} bytes at most");
}

/// Not a test of its own: the process that [`a_killed_database_is_never_damaged`] kills.
#[test]
fn writer_to_be_killed() {
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let (dir, seed) =
        dir.split_once(' ').map(|(seed, dir)| (Path::new(dir), seed.parse().unwrap())).unwrap();
    let db = open(dir).unwrap();
    let mut random = Random(seed);
    // Every third writer is a rough one: several threads and no flush, so that much is being written at once.
    if seed.is_multiple_of(3) {
        for thread in 1..=3 {
            let (db, mut random) = (db.clone(), Random(seed << 8 | thread));
            std::thread::spawn(move || {
                loop {
                    let size = random.below(16 << 10);
                    db.insert(u64::to_be_bytes(random.below(500) as u64), random.bytes(size))
                        .unwrap();
                }
            });
        }
        loop {
            db.apply_batch(changes(&mut random)).unwrap();
        }
    }
    let mut count = counter(&db);
    loop {
        count += 1;
        let mut batch = changes(&mut random);
        batch.insert(b"count", &u64::to_be_bytes(count));
        db.apply_batch(batch).unwrap();
        db.flush().unwrap();
        fs::write(dir.join("acknowledging"), count.to_string()).unwrap();
        fs::rename(dir.join("acknowledging"), dir.join("acknowledged")).unwrap();
    }
}

#[test]
fn a_flipped_byte_that_costs_anything_is_damage() {
    let missed = alter("flips", 60, |log, random| {
        let at = random.below(log.len());
        log[at] ^= 1 << random.below(8);
        at
    });
    // What remains is the last messages of the log, with nothing behind them: how
    // many those are differs from run to run, since sled's threads write them.
    assert!(missed * 15 <= rounds(60), "{missed} missed");
}

#[test]
fn a_flipped_byte_in_the_newest_segment_is_damage_too() {
    let newest = std::cell::Cell::new(0);
    let missed = alter("flips in the newest segment", 40, |log, random| {
        let (start, end) = newest_segment(log);
        newest.set(end);
        let at = start + random.below(end - start);
        log[at] ^= 1 + random.below(255) as u8;
        at
    });
    assert!(missed * 5 <= rounds(40), "{missed} missed");
}

#[test]
fn a_cleared_page_that_costs_anything_is_damage_below_the_tail() {
    let missed = alter("cleared pages", 40, |log, random| {
        let at = random.below(log.len() / 4096) * 4096;
        log[at..at + 4096].fill(0);
        at
    });
    assert!(missed * 4 <= rounds(40), "{missed} missed");
}

#[test]
fn a_cleared_header_is_damage() {
    let missed = alter("cleared first pages", 20, |log, random| {
        let at = random.below(log.len() / SEGMENT) * SEGMENT;
        log[at..at + 4096].fill(0);
        at
    });
    assert!(missed * 4 <= rounds(20), "{missed} missed");
}

#[test]
fn cleared_segments_are_damage_when_more_than_could_have_been_freed() {
    // One alone may have been freed and cleared to be written next: that its
    // content is missed shows in the tails, or to the reader that comes to it.
    let several = super::replay::FREED_AHEAD as usize + 2;
    let missed = alter("cleared segments", 20, |log, _| {
        let end = (log.len() / SEGMENT).min(several) * SEGMENT;
        log[..end].fill(0);
        0
    });
    assert_eq!(missed, 0);
}

#[test]
fn a_shortened_log_is_damage_below_the_tail() {
    let missed = alter("shortened logs", 30, |log, random| {
        let at = random.below(log.len());
        log.truncate(at);
        at
    });
    assert!(missed * 4 <= rounds(30), "{missed} missed");
}

#[test]
fn a_bad_snapshot_is_damage_and_its_removal_costs_nothing() {
    let dir = TempDir::new().unwrap();
    build(dir.path(), 3);
    let before = contents(open_quiet(dir.path()).unwrap());
    let snapshot = dir.path().join(names(dir.path(), "snap.").pop().unwrap());
    let mut bytes = fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    assert!(
        matches!(check(dir.path()).verdict, Verdict::Damaged { what, .. } if what.contains("snap."))
    );
    assert!(open_quiet(dir.path()).is_err());
    fs::remove_file(&snapshot).unwrap();
    assert_eq!(check(dir.path()).verdict, Verdict::Whole);
    assert_eq!(contents(open_quiet(dir.path()).unwrap()), before);
}

#[test]
fn a_missing_log_is_an_error_and_an_empty_one_behind_a_snapshot_damage() {
    let dir = TempDir::new().unwrap();
    assert_eq!(walk(&dir.path().join("db"), SEGMENT).unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(dir.path().join("db"), []).unwrap();
    assert_eq!(check(dir.path()).verdict, Verdict::Whole);
    build(dir.path(), 4);
    fs::write(dir.path().join("db"), []).unwrap();
    assert!(matches!(check(dir.path()).verdict, Verdict::Damaged { .. }));
}

/// Alters copies of a database and compares the walk's verdict with what sled then makes of them. Returns how often
/// something was lost that the walk called a torn tail. That it calls such a log whole is borne only where the whole
/// last place of the file is gone.
fn alter(name: &str, times: u64, change: impl Fn(&mut Vec<u8>, &mut Random) -> usize) -> u64 {
    let dir = TempDir::new().unwrap();
    build(dir.path(), 11);
    let before = contents(open_quiet(copied(dir.path()).path()).unwrap());
    let log = fs::read(dir.path().join("db")).unwrap();
    let mut random = Random(99);
    let (mut harmless, mut refused, mut cautious, mut missed) = (0, 0, 0, 0);
    for round in 0..rounds(times) {
        let copy = copied(dir.path());
        let mut changed = log.clone();
        let at = change(&mut changed, &mut random);
        fs::write(copy.path().join("db"), changed).unwrap();
        let found = check(copy.path());
        let damaged = matches!(found.verdict, Verdict::Damaged { .. });
        let after = catch_unwind(AssertUnwindSafe(|| contents(open_quiet(copy.path()).unwrap())));
        let lost = after.is_err() || after.is_ok_and(|after| after != before);
        match (lost, damaged) {
            (false, false) => harmless += 1,
            (true, true) => refused += 1,
            (false, true) => cautious += 1,
            (true, false) => {
                missed += 1;
                eprintln!(
                    "{name}, round {round}: change at {at} of {} costs data, {found:?}",
                    log.len()
                );
                let last_place = at.is_multiple_of(SEGMENT) && log.len() - at <= SEGMENT;
                assert!(
                    last_place || matches!(found.verdict, Verdict::TornTail { .. }),
                    "at {at}: {found:?}"
                );
            }
        }
    }
    eprintln!(
        "{name}: {refused} refused, {cautious} refused though nothing is lost, {harmless} harmless, {missed} called a torn tail"
    );
    missed
}

/// Spawns a process that writes, and kills it.
fn kill_a_writer(dir: &Path, round: u64) {
    let test = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{test}::writer_to_be_killed"), "--exact"])
        .env(CHILD, format!("{} {}", round + 1, dir.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(
        20 + Random(round + 1).below(if round.is_multiple_of(4) { 1500 } else { 300 }) as u64,
    ));
    assert_eq!(child.try_wait().unwrap(), None, "the writer has ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Three sessions of changes, so that there is log on both sides of the snapshot. Without sled's
/// own flusher: the log is to depend on the seed, not on how fast this machine is.
fn build(dir: &Path, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..3 {
        churn(&open_quiet(dir).unwrap(), &mut random, 8 << 20);
    }
}

/// Changes of `bytes` in all, among keys so few that segments are freed and taken again.
fn churn(db: &Db, random: &mut Random, bytes: usize) {
    for _ in 0..bytes / (100 << 10) {
        db.apply_batch(changes(random)).unwrap();
        db.flush().unwrap();
    }
}

/// A batch of some 100 KiB.
fn changes(random: &mut Random) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..16 {
        let key = u64::to_be_bytes(random.below(500) as u64);
        if random.below(6) == 0 {
            batch.remove(&key);
        } else {
            let size = if random.below(4) == 0 { 200 } else { random.below(16 << 10) };
            batch.insert(&key, random.bytes(size));
        }
    }
    batch
}

fn counter(db: &Db) -> u64 {
    db.get("count").unwrap().map_or(0, |count| u64::from_be_bytes((*count).try_into().unwrap()))
}

fn contents(db: Db) -> BTreeMap<Vec<u8>, Vec<u8>> {
    db.iter()
        .map(|entry| entry.unwrap())
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect()
}

fn open(dir: &Path) -> ::sled::Result<Db> {
    open_with(dir, Some(500))
}

fn open_quiet(dir: &Path) -> ::sled::Result<Db> {
    open_with(dir, None)
}

/// Straight after a drop, sled may still hold its lock on the file.
fn open_with(dir: &Path, flush_every: Option<u64>) -> ::sled::Result<Db> {
    let config = Config::new().path(dir).segment_size(SEGMENT).flush_every_ms(flush_every);
    for _ in 0..500 {
        match config.open() {
            Err(error) if error.to_string().contains("lock") => {
                std::thread::sleep(Duration::from_millis(10))
            }
            other => return other,
        }
    }
    config.open()
}

fn check(dir: &Path) -> Walk {
    walk(&dir.join("db"), SEGMENT).unwrap()
}

/// The snapshot that sled writes on opening is named for the lsn it goes on from, or for the cap before it.
fn assert_ends_where_sled_goes_on(dir: &Path, found: &Walk) {
    let newest =
        names(dir, "snap.").pop().map_or(0, |name| i64::from_str_radix(&name[5..], 16).unwrap());
    let next_segment = (newest as u64).next_multiple_of(SEGMENT as u64) as i64;
    assert!([newest, next_segment].contains(&found.end_lsn), "sled goes on at {newest}: {found:?}");
}

fn names(dir: &Path, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

fn copied(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for name in names(dir, "").into_iter().filter(|name| name != "blobs") {
        fs::copy(dir.join(&name), copy.path().join(&name)).unwrap();
    }
    copy
}

/// Where the log's newest segment begins, and roughly ends.
fn newest_segment(log: &[u8]) -> (usize, usize) {
    let lsn = |place: usize| {
        i64::from_le_bytes(log[place + 4..place + 12].try_into().unwrap()) ^ i64::MAX
    };
    let start = (0..log.len())
        .step_by(SEGMENT)
        .filter(|place| lsn(*place) != i64::MAX)
        .max_by_key(|place| lsn(*place));
    let start = start.unwrap();
    let number = (lsn(start) / SEGMENT as i64) as u64;
    let mut end = start;
    super::segment::forward(
        &log[start..log.len().min(start + SEGMENT)],
        SEGMENT,
        number,
        |at, message| {
            end = start + at + message.size;
        },
    );
    (start, end)
}

fn rounds(usual: u64) -> u64 {
    usual
}

/// The xorshift generator: the same cases every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }
}
