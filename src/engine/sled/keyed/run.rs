//! Runs: sorted postings in a volume, in chunks, with a directory of them.
//!
//! | key | value |
//! | --- | --- |
//! | `K`, place, end of the run, 0 | the directory: base u64, then the first hash u32 of each chunk |
//! | `K`, place, end of the run, i | chunk i: hash u32 and offset behind the base u32, sorted |
//!
//! Each value begins with its CRC-32, and all is little-endian. A run without
//! its directory was cut short by a crash, and does not count.

use super::{Posting, Postings};
use crate::{
    domain::Offset,
    engine::{
        EngineError,
        sled::{
            catalog::ActivePart,
            config::UNSYNCED_BYTES,
            keys::{self, Place},
            volume::Volume,
        },
    },
};

/// Postings of one chunk: 2 KB. Who looks for one key reads sled's leaf of 16
/// chunks in each run, so large ones cost more than the records that are found.
const CHUNK_POSTINGS: usize = 256;
const CRC: usize = 4;

/// A run that was found, by its directory.
pub(super) struct Run {
    pub(super) base: Offset,
    pub(super) end: Offset,
    /// The first hash of each chunk.
    firsts: Vec<u32>,
}

fn checked(body: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut value = vec![0; CRC];
    value.extend(body);
    let crc = crc32fast::hash(&value[CRC..]);
    value[..CRC].copy_from_slice(&crc.to_le_bytes());
    value
}

fn verified(value: &[u8]) -> Option<&[u8]> {
    let (crc, body) = value.split_first_chunk::<CRC>()?;
    (u32::from_le_bytes(*crc) == crc32fast::hash(body)).then_some(body)
}

fn words(body: &[u8]) -> impl Iterator<Item = u32> {
    body.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word))
}

/// Writes postings as a run, durably.
pub(in crate::engine::sled) fn write(
    volume: &Volume,
    place: Place,
    postings: &Postings,
) -> Result<(), EngineError> {
    let sorted = postings.sorted();
    let (mut batch, mut held) = (::sled::Batch::default(), 0);
    for (i, chunk) in sorted.chunks(CHUNK_POSTINGS).enumerate() {
        let bytes = chunk.iter().flat_map(|(hash, at)| [*hash, *at]).flat_map(u32::to_le_bytes);
        let value = checked(bytes);
        held += value.len();
        batch.insert(&keys::run(place, postings.end, i as u16 + 1), value);
        if held > UNSYNCED_BYTES - CHUNK_POSTINGS * 16 {
            volume.apply(std::mem::take(&mut batch))?;
            volume.sync()?;
            held = 0;
        }
    }
    let firsts = sorted.chunks(CHUNK_POSTINGS).filter_map(|chunk| chunk.first());
    let firsts = firsts.flat_map(|(hash, _)| hash.to_le_bytes());
    let directory = checked(postings.base.0.to_le_bytes().into_iter().chain(firsts));
    batch.insert(&keys::run(place, postings.end, 0), directory);
    volume.apply(batch)?;
    volume.sync()
}

impl Run {
    /// The first run of `place` that ends behind `at`.
    pub(super) fn behind(
        volume: &Volume,
        place: Place,
        at: Offset,
    ) -> Result<Option<Run>, EngineError> {
        let last = keys::run(place, Offset(u64::MAX), u16::MAX);
        let mut from = keys::run(place, at.plus(1), 0).to_vec();
        while let Some((key, value)) = volume.first_in(&from, &last)? {
            let (end, chunk) = keys::parse_run(&key).ok_or_else(|| damaged(volume, place, at))?;
            if chunk == 0 {
                let run = Run::decode(end, &value).ok_or_else(|| damaged(volume, place, end))?;
                return Ok(Some(run));
            }
            from = keys::run(place, end.plus(1), 0).to_vec();
        }
        Ok(None)
    }

    fn decode(end: Offset, value: &[u8]) -> Option<Run> {
        let (base, firsts) = verified(value)?.split_first_chunk::<8>()?;
        let base = Offset(u64::from_le_bytes(*base));
        Some(Run { base, end, firsts: words(firsts).collect() })
    }

    /// The offsets of `hashes`, which are sorted; in order.
    pub(super) fn offsets(
        &self,
        volume: &Volume,
        place: Place,
        hashes: &[u32],
    ) -> Result<Vec<Offset>, EngineError> {
        let mut found = vec![];
        for chunk in self.chunks_with(hashes) {
            let postings = self.chunk(volume, place, chunk)?;
            for hash in hashes {
                let begin = postings.partition_point(|posting| posting.0 < *hash);
                let same = postings[begin..].iter().take_while(|posting| posting.0 == *hash);
                found.extend(same.map(|(_, at)| self.base.plus((*at).into())));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Chunks that may hold one of `hashes`, each once.
    fn chunks_with(&self, hashes: &[u32]) -> Vec<usize> {
        let mut chunks = vec![];
        for hash in hashes {
            // One hash may go on from the end of a chunk into the next.
            let begin = self.firsts.partition_point(|first| first < hash).saturating_sub(1);
            let end = self.firsts.partition_point(|first| first <= hash);
            chunks.extend(begin..end);
        }
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }

    fn chunk(
        &self,
        volume: &Volume,
        place: Place,
        chunk: usize,
    ) -> Result<Vec<Posting>, EngineError> {
        let key = keys::run(place, self.end, chunk as u16 + 1);
        let value = volume.first_in(&key, &key)?;
        let body = value.as_ref().and_then(|(_, value)| verified(value));
        let body = body.ok_or_else(|| damaged(volume, place, self.end))?;
        let mut words = words(body);
        let mut postings = Vec::with_capacity(body.len() / 8);
        while let (Some(hash), Some(at)) = (words.next(), words.next()) {
            postings.push((hash, at));
        }
        Ok(postings)
    }
}

fn damaged(volume: &Volume, place: Place, end: Offset) -> EngineError {
    EngineError::Damaged(format!(
        "volume {}, topic #{}, partition {}: the index of keys up to offset {end}",
        volume.id, place.topic, place.partition
    ))
}

/// The postings that no run of a volume that takes writes holds: those of the
/// records since the last one.
///
/// Where the runs cannot be read, they are noted anew: the records are whole.
pub(in crate::engine::sled) fn recover(
    volume: &Volume,
    place: Place,
    part: &ActivePart,
) -> Result<Postings, EngineError> {
    let since_runs = behind_runs(volume, place, part);
    let Err(EngineError::Damaged(what)) = since_runs else { return since_runs };
    tracing::warn!(what, "the index of keys is made anew");
    volume.remove_all(&keys::run(place, Offset::ZERO, 0), &keys::runs_end(place))?;
    noted(volume, place, part.extent.first, part.extent.end)
}

fn behind_runs(volume: &Volume, place: Place, part: &ActivePart) -> Result<Postings, EngineError> {
    let (first, end) = (part.extent.first, part.extent.end);
    let mut base = first;
    while let Some(run) = Run::behind(volume, place, base)? {
        if run.end > end {
            // Of records that did not survive, though it did: never believed.
            volume.remove_all(&keys::run(place, end.plus(1), 0), &keys::runs_end(place))?;
            break;
        }
        base = run.end;
    }
    noted(volume, place, base, end)
}

/// The postings of the records that a volume holds from `base` to `end`.
fn noted(
    volume: &Volume,
    place: Place,
    base: Offset,
    end: Offset,
) -> Result<Postings, EngineError> {
    let mut postings = Postings::from(base);
    while postings.end < end {
        let at = postings.end;
        let corrupt = |_| damaged(volume, place, at);
        let Some((_, batch)) = volume.batch_at(place, at)? else { break };
        let Some(batch) = batch.from_offset(at).map_err(corrupt)? else { break };
        let left = end.since(batch.base).min(u64::from(batch.count));
        postings.add(&batch.truncated(left as u32).map_err(corrupt)?).map_err(corrupt)?;
    }
    Ok(postings)
}

/// Compares every run of records from `first` to `end` with the records.
/// Answers how many postings there are.
pub(in crate::engine::sled) fn check(
    volume: &Volume,
    place: Place,
    first: Offset,
    end: Offset,
) -> Result<u64, EngineError> {
    let (mut at, mut count) = (first, 0);
    while let Some(run) = Run::behind(volume, place, at)?.filter(|run| run.base < end) {
        let mut held = vec![];
        for chunk in 0..run.firsts.len() {
            held.extend(run.chunk(volume, place, chunk)?);
        }
        // The beginning of a run may have been trimmed since.
        let records = noted(volume, place, run.base.max(first), run.end.min(end))?;
        let shift = records.base.since(run.base) as u32;
        let within = |at: u32| (records.base..records.end).contains(&run.base.plus(at.into()));
        held.retain(|(_, at)| within(*at));
        let expected = records.sorted().into_iter().map(|(hash, at)| (hash, at + shift));
        if !held.iter().copied().eq(expected) {
            return Err(damaged(volume, place, run.end));
        }
        count += held.len() as u64;
        at = run.end;
    }
    Ok(count)
}
