//! The volumes that are there: which takes writes, which may be read, and a
//! bounded number of sealed ones held open.

use super::{
    config::SledConfig,
    disk,
    meta::{VolumeRow, VolumeState},
    volume::{Volume, VolumeId},
};
use crate::{engine::EngineError, runtime::metrics::Counter};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// How often one who waits looks again by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A sealed volume through which so much was read is closed and opened anew,
/// which takes milliseconds. sled's cache lets each of its 256 parts hold what
/// 64 accesses brought in before it looks at its size: hundreds of megabytes
/// with nodes of a quarter of one.
const STUFFED_BYTES: u64 = 32 << 20;
/// The same of all that are open together.
const ALL_STUFFED_BYTES: u64 = 128 << 20;

/// The set of volumes.
pub(super) struct Volumes {
    config: SledConfig,
    inner: Mutex<Inner>,
    changed: Condvar,
    opened: Counter,
}

struct Inner {
    rows: BTreeMap<VolumeId, VolumeRow>,
    /// `None` while it is being opened anew.
    active: Option<Arc<Volume>>,
    /// No longer written, not sealed yet, still open from when it was active.
    sealing: HashMap<VolumeId, Arc<Volume>>,
    open: HashMap<VolumeId, OpenSealed>,
    /// Being opened by somebody.
    opening: HashSet<VolumeId>,
    /// Not to be opened now, by how many: being sealed, removed or mended.
    busy: HashMap<VolumeId, usize>,
    clock: u64,
    /// Volumes that are gone.
    forgotten: u64,
    /// The last try to open the active volume anew failed; why.
    broken: Option<EngineError>,
    /// Nothing is opened any more.
    closed: bool,
}

struct OpenSealed {
    volume: Arc<Volume>,
    used: u64,
    /// Not used since the last look for idle ones.
    idle: bool,
}

/// A volume in use. Those who wait for a place hear when it is given back.
pub(super) struct Lease<'a> {
    volume: Option<Arc<Volume>>,
    set: &'a Volumes,
}

impl std::ops::Deref for Lease<'_> {
    type Target = Volume;
    fn deref(&self) -> &Volume {
        match &self.volume {
            Some(volume) => volume,
            // Taken in `drop` alone.
            None => unreachable!("a lease holds its volume until it is dropped"),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let _gone_before_others_look = self.volume.take();
        self.set.changed.notify_all();
    }
}

impl Volumes {
    pub(super) fn new(
        config: SledConfig,
        rows: BTreeMap<VolumeId, VolumeRow>,
        active: Volume,
        sealing: HashMap<VolumeId, Arc<Volume>>,
        opened: Counter,
    ) -> Volumes {
        let inner = Inner {
            rows,
            active: Some(Arc::new(active)),
            sealing,
            open: HashMap::new(),
            opening: HashSet::new(),
            busy: HashMap::new(),
            clock: 0,
            forgotten: 0,
            broken: None,
            closed: false,
        };
        Volumes { config, inner: Mutex::new(inner), changed: Condvar::new(), opened }
    }

    pub(super) fn dir(&self, id: VolumeId) -> PathBuf {
        id.dir(&self.config.data_dir)
    }

    /// The volume that takes writes; `None` while it is being opened anew.
    pub(super) fn active(&self) -> Option<Arc<Volume>> {
        self.inner.lock().active.clone()
    }

    pub(super) fn row(&self, id: VolumeId) -> Option<VolumeRow> {
        self.inner.lock().rows.get(&id).copied()
    }

    pub(super) fn set_row(&self, id: VolumeId, row: VolumeRow) {
        self.inner.lock().rows.insert(id, row);
    }

    pub(super) fn forget_row(&self, id: VolumeId) {
        let mut inner = self.inner.lock();
        inner.rows.remove(&id);
        inner.forgotten += 1;
    }

    /// Moves on whenever a volume is gone.
    pub(super) fn changes(&self) -> u64 {
        self.inner.lock().forgotten
    }

    pub(super) fn rows(&self) -> Vec<(VolumeId, VolumeRow)> {
        self.inner.lock().rows.iter().map(|(id, row)| (*id, *row)).collect()
    }

    /// Sealed volumes that are open now.
    pub(super) fn open_count(&self) -> usize {
        self.inner.lock().open.len()
    }

    /// Volumes in a state, in order.
    pub(super) fn in_state(&self, state: VolumeState) -> Vec<VolumeId> {
        let is = |(id, row): (VolumeId, VolumeRow)| (row.state == state).then_some(id);
        self.rows().into_iter().filter_map(is).collect()
    }

    /// The number of the volume that takes writes, open or not.
    pub(super) fn active_id(&self) -> Option<VolumeId> {
        self.inner.lock().in_state(VolumeState::Active)
    }

    /// Takes a number that no volume has, for one in this state.
    pub(super) fn reserve_id(&self, row: VolumeRow) -> VolumeId {
        let mut inner = self.inner.lock();
        let id = inner.rows.keys().next_back().copied().unwrap_or_default().next();
        inner.rows.insert(id, row);
        id
    }

    /// The writer goes on in `next`; the old one waits to be sealed.
    pub(super) fn roll(&self, next: Volume, rows: [(VolumeId, VolumeRow); 2]) {
        let mut inner = self.inner.lock();
        inner.rows.extend(rows);
        if let Some(old) = inner.active.replace(Arc::new(next)) {
            inner.sealing.insert(old.id, old);
        }
    }

    /// Closes the active volume, once its last reader is done, and lets
    /// `reopen` give it back; those who want to read it wait meanwhile.
    pub(super) fn replace_active(
        &self,
        reopen: impl FnOnce(VolumeId) -> Result<Volume, EngineError>,
    ) -> Result<(), EngineError> {
        let mut inner = self.inner.lock();
        let Some(id) = inner.in_state(VolumeState::Active) else { return Ok(()) };
        let active = inner.active.take();
        if active.is_some() {
            inner.keep_out(id);
        }
        while active.as_ref().is_some_and(|v| Arc::strong_count(v) > 1) {
            self.changed.wait_for(&mut inner, LOOK_AGAIN);
        }
        drop(inner);
        drop(active);
        // On a failure it stays closed to readers until the next try.
        let opened = reopen(id);
        let mut inner = self.inner.lock();
        inner.broken = opened.as_ref().err().cloned();
        self.changed.notify_all();
        let volume = opened?;
        inner.let_in(id);
        inner.active = Some(Arc::new(volume));
        self.changed.notify_all();
        Ok(())
    }

    /// A volume for reading. Waits while it is being sealed and while all
    /// places are taken. Blocks: not for async tasks.
    pub(super) fn get(&self, id: VolumeId) -> Result<Lease<'_>, EngineError> {
        let mut inner = self.inner.lock();
        loop {
            if inner.closed {
                return Err(EngineError::Closed);
            }
            if let Some(error) = inner.broken.clone().filter(|_| inner.is_active(id)) {
                return Err(error);
            }
            if let Some(stuffed) = inner.take_stuffed(id) {
                drop(inner);
                drop(stuffed);
                self.changed.notify_all();
                inner = self.inner.lock();
                continue;
            }
            if let Some(volume) = inner.ready(id) {
                return Ok(Lease { volume: Some(volume), set: self });
            }
            let evicted = match inner.place_for(id, self.config.open_sealed) {
                Room::Wait => {
                    self.changed.wait_for(&mut inner, LOOK_AGAIN);
                    continue;
                }
                Room::Free(evicted) => evicted,
            };
            inner.opening.insert(id);
            let row = inner.rows.get(&id).copied();
            drop(inner);
            drop(evicted);
            let opened = self.open_sealed(id, row);
            inner = self.inner.lock();
            inner.opening.remove(&id);
            self.changed.notify_all();
            let volume = Arc::new(opened?);
            inner.clock += 1;
            let used = inner.clock;
            inner.open.insert(id, OpenSealed { volume: volume.clone(), used, idle: false });
            return Ok(Lease { volume: Some(volume), set: self });
        }
    }

    fn open_sealed(&self, id: VolumeId, row: Option<VolumeRow>) -> Result<Volume, EngineError> {
        let row = row.ok_or_else(|| EngineError::Damaged(format!("volume {id} is not listed")))?;
        let dir = self.dir(id);
        let len = disk::len(&dir.join("db"));
        if row.state == VolumeState::Sealed && len < row.len {
            return Err(EngineError::Damaged(format!(
                "volume {id} has {len} bytes, {} were sealed",
                row.len
            )));
        }
        self.opened.inc();
        Volume::open(id, &dir, Volume::sealed(&self.config))
    }

    /// Closes the sealed volumes that nobody used since the last call: whoever
    /// reads from one end to the other comes back to none, and what sled keeps
    /// of each is tens of megabytes.
    pub(super) fn close_idle(&self) {
        let closed: Vec<_> = {
            let mut inner = self.inner.lock();
            let idle = |_: &VolumeId, open: &mut OpenSealed| {
                let unused = Arc::strong_count(&open.volume) == 1;
                unused && std::mem::replace(&mut open.idle, true)
            };
            inner.open.extract_if(idle).collect()
        };
        if !closed.is_empty() {
            drop(closed);
            self.changed.notify_all();
        }
    }

    /// Keeps everybody out of a volume and closes it. Blocks until the last
    /// reader is done with it.
    pub(super) fn close(&self, id: VolumeId) {
        let mut inner = self.inner.lock();
        inner.keep_out(id);
        let volume = loop {
            let idle = !inner.opening.contains(&id) && inner.users(id) == 0;
            if idle {
                let open = inner.open.remove(&id).map(|o| o.volume);
                break open.or_else(|| inner.sealing.remove(&id));
            }
            self.changed.wait_for(&mut inner, LOOK_AGAIN);
        };
        drop(inner);
        drop(volume);
    }

    /// Lets readers in again, unless another keeps them out.
    pub(super) fn reopen(&self, id: VolumeId) {
        self.inner.lock().let_in(id);
        self.changed.notify_all();
    }

    /// The handle of a volume that is to be sealed.
    pub(super) fn sealing(&self, id: VolumeId) -> Option<Arc<Volume>> {
        self.inner.lock().sealing.get(&id).cloned()
    }

    /// Closes everything, once the last reader is done with it.
    pub(super) fn close_all(&self) {
        let open: Vec<Arc<Volume>> = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            inner.rows.keys().for_each(|id| *inner.busy.entry(*id).or_default() += 1);
            inner.closed = true;
            self.changed.notify_all();
            let sealed = inner.open.drain().map(|(_, o)| o.volume);
            sealed.chain(inner.sealing.drain().map(|(_, v)| v)).chain(inner.active.take()).collect()
        };
        for volume in open {
            while Arc::strong_count(&volume) > 1 {
                self.changed.wait_for(&mut self.inner.lock(), LOOK_AGAIN);
            }
        }
    }
}

enum Room {
    /// There is room, once this one is closed.
    Free(Option<Arc<Volume>>),
    Wait,
}

impl Inner {
    fn keep_out(&mut self, id: VolumeId) {
        *self.busy.entry(id).or_default() += 1;
    }

    fn let_in(&mut self, id: VolumeId) {
        let left = self.busy.remove(&id).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            self.busy.insert(id, left);
        }
    }

    fn is_active(&self, id: VolumeId) -> bool {
        self.rows.get(&id).is_some_and(|row| row.state == VolumeState::Active)
    }

    fn in_state(&self, state: VolumeState) -> Option<VolumeId> {
        self.rows.iter().find(|(_, row)| row.state == state).map(|(id, _)| *id)
    }

    fn ready(&mut self, id: VolumeId) -> Option<Arc<Volume>> {
        if self.busy.contains_key(&id) {
            return None;
        }
        if let Some(active) = self.active.as_ref().filter(|v| v.id == id) {
            return Some(active.clone());
        }
        if let Some(volume) = self.sealing.get(&id) {
            return Some(volume.clone());
        }
        self.clock += 1;
        if self.is_stuffed(id) {
            // Not given out any more: opened anew once the last is done.
            return None;
        }
        let open = self.open.get_mut(&id)?;
        open.used = self.clock;
        open.idle = false;
        Some(open.volume.clone())
    }

    /// Whether sled's cache holds more of this volume than it should, or it met
    /// a full disk, of which sled keeps an error for ever.
    fn is_stuffed(&self, id: VolumeId) -> bool {
        let spent = |volume: &Volume| volume.bytes_read() > STUFFED_BYTES || volume.well().is_err();
        self.open.get(&id).is_some_and(|open| spent(&open.volume))
    }

    /// Where sled's caches together hold more than they should, and `wanted` is
    /// about to be read: of those that nobody uses, the one that holds most.
    fn take_stuffed(&mut self, wanted: VolumeId) -> Option<Arc<Volume>> {
        let read = |open: &OpenSealed| open.volume.bytes_read();
        let all: u64 = self.open.values().map(read).sum();
        if all <= ALL_STUFFED_BYTES {
            return None;
        }
        let unused = self.open.iter().filter(|(_, open)| Arc::strong_count(&open.volume) == 1);
        let most = unused.max_by_key(|(id, open)| (read(open), **id == wanted));
        let id = *most.filter(|(_, open)| read(open) > 0)?.0;
        self.open.remove(&id).map(|open| open.volume)
    }

    fn users(&self, id: VolumeId) -> usize {
        let open = self.open.get(&id).map(|o| &o.volume).or_else(|| self.sealing.get(&id));
        open.map_or(0, |v| Arc::strong_count(v) - 1)
    }

    fn place_for(&mut self, id: VolumeId, most: usize) -> Room {
        if self.busy.contains_key(&id) || self.opening.contains(&id) {
            return Room::Wait;
        }
        if self.open.contains_key(&id) {
            let idle = self.users(id) == 0;
            return if idle {
                Room::Free(self.open.remove(&id).map(|o| o.volume))
            } else {
                Room::Wait
            };
        }
        if self.open.len() + self.opening.len() < most.max(1) {
            return Room::Free(None);
        }
        let idle = self.open.iter().filter(|(_, o)| Arc::strong_count(&o.volume) == 1);
        let Some(oldest) = idle.min_by_key(|(_, o)| o.used).map(|(id, _)| *id) else {
            return Room::Wait;
        };
        Room::Free(self.open.remove(&oldest).map(|o| o.volume))
    }
}
