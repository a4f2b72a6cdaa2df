//! `tidegate check`: a data directory, offline, batch by batch. Nothing is
//! repaired; what sled would harm by opening it is not opened.

use super::{
    config::{SledConfig, check_format},
    disk, guard, keyed,
    keys::Place,
    marks::Marks,
    meta::{Meta, VolumeRow, VolumeState},
    open::{OpenError, not_shorter, take_lock},
    recover,
    state::Table,
    volume::{Extent, Volume, VolumeId},
};
use crate::{
    domain::{Offset, Timestamp},
    engine::{EngineError, Topic},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a file, a volume, a partition.
    pub place: String,
    /// What.
    pub what: String,
}

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Volumes that were read.
    pub volumes: u64,
    /// Topics in the catalogue.
    pub topics: u64,
    /// Their partitions.
    pub partitions: u64,
    /// Batches whose checksum was compared.
    pub batches: u64,
    /// Records that were unpacked.
    pub records: u64,
    /// Their packed bytes.
    pub bytes: u64,
    /// Entries of time indexes that were compared.
    pub index_entries: u64,
    /// What is wrong; empty = the store is sound.
    pub findings: Vec<Finding>,
}

impl Report {
    fn found(&mut self, place: impl ToString, what: impl ToString) {
        self.findings.push(Finding { place: place.to_string(), what: what.to_string() });
    }
}

/// Checks the store in `dir`; `progress` hears of each volume before it is
/// read: its number and how many there are. Blocks for as long as reading
/// everything takes.
///
/// `Locked` while a gateway has it open, `Io` if there is no store.
pub fn check(dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Report, OpenError> {
    if !dir.join("meta").is_dir() && !dir.join("vol").is_dir() {
        let what = "there is no store (no meta, no vol)".to_owned();
        return Err(OpenError::Io { dir: dir.display().to_string(), what });
    }
    let _lock = take_lock(dir)?;
    let mut report = Report::default();
    if let Err(error) = examine(dir, &mut report, &mut progress) {
        report.found("store", error);
    }
    Ok(report)
}

/// The whole check; an error ends it early and is a finding itself.
fn examine(
    dir: &Path,
    report: &mut Report,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), EngineError> {
    let config = SledConfig { data_dir: dir.to_owned(), ..SledConfig::default() };
    let marks = Marks::load(&dir.join("marks"))?;
    match &marks {
        Some(marks) => check_format(marks.format)?,
        None => report.found("marks", "the file is missing"),
    }
    if let Some(clean) = marks.as_ref().and_then(|m| m.clean) {
        not_shorter(&dir.join("meta"), clean.meta_len)?;
    }
    guard::prepare(&dir.join("meta"))?;
    guard::inspect(&dir.join("meta"))?;
    let meta = Meta::open(&dir.join("meta"), config.cache_meta)?;
    let topics = meta.topics()?;
    let rows: BTreeMap<VolumeId, VolumeRow> = meta.volumes()?.into_iter().collect();
    let mut extents: HashMap<Place, Vec<Extent>> = HashMap::new();
    for (place, extent) in meta.extents()? {
        extents.entry(place).or_default().push(extent);
    }
    let starts: HashMap<Place, (Offset, Offset)> = meta.starts()?.into_iter().collect();
    let state = Table::load(&dir.join("state"))?;
    if state.is_none() && rows.values().any(|r| r.state == VolumeState::Sealed) {
        report.found("state", "the file is missing");
    }
    report.topics = topics.len() as u64;
    report.partitions = topics.iter().map(|t| u64::from(t.config.partitions.0)).sum();
    let mut tails: BTreeMap<Place, Offset> = BTreeMap::new();
    // By number, so that a partition's parts come in order; copies hold older
    // parts, which their extents say.
    for (done, (id, row)) in rows.iter().enumerate() {
        progress(done as u64, rows.len() as u64);
        if matches!(row.state, VolumeState::Prepared | VolumeState::Deleting) {
            continue;
        }
        if row.state == VolumeState::Lost {
            report.found(format!("volume {id}"), "lost, with a loss that was accepted");
            continue;
        }
        // Opening would lengthen a log that lost its end, and hide that.
        let clean = marks.as_ref().and_then(|m| m.clean).filter(|c| c.active == *id);
        let whole = clean.map_or(Ok(()), |c| not_shorter(&id.dir(dir), c.active_len));
        let seen = whole.and_then(|()| volume(&config, *id, *row, &topics, &extents, report));
        if let Err(error) = seen.map(|ends| merge_tails(&mut tails, ends)) {
            report.found(format!("volume {id}"), error);
        }
    }
    compare_tails(&topics, &tails, &starts, marks.as_ref(), report);
    Ok(())
}

fn merge_tails(tails: &mut BTreeMap<Place, Offset>, ends: BTreeMap<Place, Offset>) {
    for (place, end) in ends {
        let tail = tails.entry(place).or_default();
        *tail = (*tail).max(end);
    }
}

fn compare_tails(
    topics: &[Topic],
    tails: &BTreeMap<Place, Offset>,
    starts: &HashMap<Place, (Offset, Offset)>,
    marks: Option<&Marks>,
    report: &mut Report,
) {
    for topic in topics {
        for partition in topic.config.partitions.ids() {
            let place = Place { topic: topic.id, partition };
            let start = starts.get(&place).map(|s| s.0).unwrap_or_default();
            let tail = tails.get(&place).copied().unwrap_or_default().max(start);
            let mark = marks.and_then(|m| m.tails.get(&place)).copied().unwrap_or_default();
            if tail < mark {
                let what = format!("records {tail} to {} were synced and are gone", mark.minus(1));
                report.found(format!("topic '{}', partition {partition}", topic.name), what);
            }
        }
    }
}

/// Reads one volume. Returns where each partition ends in it.
fn volume(
    config: &SledConfig,
    id: VolumeId,
    row: VolumeRow,
    topics: &[Topic],
    extents: &HashMap<Place, Vec<Extent>>,
    report: &mut Report,
) -> Result<BTreeMap<Place, Offset>, EngineError> {
    let dir = id.dir(&config.data_dir);
    let len = disk::len(&dir.join("db"));
    if row.state == VolumeState::Sealed && len < row.len {
        let what = format!("{len} bytes, {} were sealed", row.len);
        return Err(EngineError::Damaged(what));
    }
    guard::prepare(&dir)?;
    guard::inspect(&dir)?;
    let volume = Volume::open(id, &dir, Volume::sealed(config))?;
    report.volumes += 1;
    // Undone when the store is opened next.
    let under_way: HashMap<_, _> = volume.under_way()?.into_iter().collect();
    let mut ends = BTreeMap::new();
    for topic in topics {
        for partition in topic.config.partitions.ids() {
            let place = Place { topic: topic.id, partition };
            let name = format!("volume {id}, topic '{}', partition {partition}", topic.name);
            let of = |e: &&Extent| e.volume == id;
            let listed = extents.get(&place).into_iter().flatten().filter(of).collect::<Vec<_>>();
            // A sealed volume is read by what is listed, any other as it lies.
            let ranges = if row.state == VolumeState::Sealed {
                listed.iter().map(|e| (e.first, Some(e.end))).collect()
            } else {
                vec![(Offset::ZERO, None)]
            };
            for (first, end) in ranges {
                let stop = under_way.get(&place).copied();
                match part(&volume, place, first, end, stop, report) {
                    Err(error) => report.found(&name, error),
                    Ok(None) => {}
                    Ok(Some(end)) => {
                        ends.insert(place, end);
                        if topic.config.keyed {
                            match keyed::check(&volume, place, first, end) {
                                Ok(postings) => report.index_entries += postings,
                                Err(error) => report.found(&name, error),
                            }
                        }
                    }
                }
            }
        }
    }
    recover::replay_state(&volume, &mut Table::default())?;
    Ok(ends)
}

/// Reads a partition's part in a volume from `from` to `to`, every record of
/// it, and compares the time index; in one that is not sealed all that lies
/// there, but nothing from `stop` on. Returns where it ends, if there is any.
fn part(
    volume: &Volume,
    place: Place,
    from: Offset,
    to: Option<Offset>,
    stop: Option<Offset>,
    report: &mut Report,
) -> Result<Option<Offset>, EngineError> {
    let end = to.or(stop).unwrap_or(Offset(u64::MAX));
    let damaged = |what: String| EngineError::Damaged(what);
    let missing =
        |a: Offset, b: Offset| damaged(format!("offsets {a} to {} are missing", b.minus(1)));
    let Some((_, first)) = volume.batch_before(place, from, end)? else {
        return to.map_or(Ok(None), |to| Err(missing(from, to)));
    };
    let mut index = volume.index(place)?;
    index.retain(|e| (first.base..end).contains(&e.offset));
    let mut index = index.into_iter().peekable();
    let (mut next, mut newest) = (if to.is_some() { from } else { first.base }, Timestamp::MIN);
    while next < end {
        let Some((head, batch)) = volume.batch_before(place, next, end)? else { break };
        if batch.base != next {
            return Err(missing(next, batch.base));
        }
        for item in batch.iter() {
            let (offset, record) = item.map_err(|e| damaged(format!("near offset {next}: {e}")))?;
            while let Some(entry) = index.next_if(|e| e.offset <= offset) {
                report.index_entries += 1;
                if entry.offset != offset || entry.newest_before < newest {
                    return Err(damaged(format!("the time index is wrong at {}", entry.offset)));
                }
            }
            newest = newest.max(record.timestamp);
        }
        if batch.time_span().ok() != Some((head.oldest, head.newest)) {
            return Err(damaged(format!("the times of the batch at {next} are wrong")));
        }
        report.bytes += batch.body.len() as u64;
        report.batches += 1;
        report.records += u64::from(batch.count);
        next = batch.end();
    }
    if let Some(to) = to.filter(|to| next < *to) {
        return Err(missing(next, to));
    }
    if let Some(entry) = index.next() {
        return Err(damaged(format!("the time index goes on to {}", entry.offset)));
    }
    Ok(Some(next))
}
