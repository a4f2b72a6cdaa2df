//! When a write failed: everybody is told, what is there is opened anew so that
//! it can be read on, and after a full disk it goes on once there is space.

use super::{
    super::{ballast, disk, jobs::Job, meta::VolumeState, seal},
    Writer,
};
use crate::engine::{EngineError, Health};
use std::{
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

/// How often the writer tries to get going again after a full disk.
const RECOVERY_PAUSE: Duration = Duration::from_millis(250);
impl Writer {
    /// A write failed: what the disk holds is not known. Everybody is told,
    /// nothing more is written, and after a full disk it tries to go on.
    pub(super) fn fail(&mut self, error: EngineError) {
        let full = matches!(error, EngineError::OutOfSpace(_));
        tracing::error!(%error, "a write failed; publishing stops");
        // Its volume is about to be closed; that it failed as well is no news.
        let _ = self.behind.end();
        let unknown = EngineError::OutcomeUnknown(error.to_string());
        let lost = std::mem::take(&mut self.unsynced);
        self.answer(lost.replies, Some(&unknown));
        self.pending.clear();
        self.forget_merges();
        self.store.set_health(Health::ReadOnly(error.to_string()));
        self.volume = None;
        if full && !self.stopping {
            self.recover(&error);
        }
    }

    /// Opens the volume anew, which sled's memory of its first full disk asks
    /// for, so that it can be read; refuses what comes until there is space.
    fn recover(&mut self, why: &EngineError) {
        let mut open = self.reopen();
        if !open {
            tracing::warn!("there is no space to open the active volume anew: reads may fail");
        }
        self.probes.clear();
        let mut next = Instant::now() + RECOVERY_PAUSE;
        loop {
            let job = match self.first.take() {
                Some(job) => Ok(job),
                None => self.jobs.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match job {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
                Ok(Job::Probe(heard)) => self.probes.push(heard),
                Ok(job) => job.refuse(why),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // However many ask meanwhile.
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + RECOVERY_PAUSE;
            self.mend_others();
            self.make_room();
            // It may have met a full disk once more.
            open &= self.store.volumes.active().is_some_and(|volume| volume.well().is_ok());
            open = open || self.reopen();
            self.probes.clear();
            let config = &self.store.config;
            if open && matches!(ballast::take(&config.data_dir, config.reserve_bytes), Ok(true)) {
                break;
            }
        }
        self.volume = self.store.volumes.active();
        self.store.set_health(Health::Ready);
        tracing::info!("there is space again; publishing goes on");
    }

    /// Opens the active volume anew, if there is space for it: closed and not
    /// open it could not be read at all.
    fn reopen(&self) -> bool {
        self.mend("the active volume", || self.store.reopen_active())
    }

    /// Keeps those who wait to hear, and sees to what they met: it may be a
    /// reader, or one who changes the catalogue, who meets a full disk first.
    pub(super) fn take_probes(&mut self, jobs: Vec<Job>) -> Result<Vec<Job>, EngineError> {
        let mut others = vec![];
        for job in jobs {
            match job {
                Job::Probe(heard) => self.probes.push(heard),
                job => others.push(job),
            }
        }
        if self.probes.is_empty() {
            return Ok(others);
        }
        self.mend_others();
        self.make_room();
        let well = self.volume.as_ref().map_or(Ok(()), |volume| volume.well());
        if let Err(error) = well {
            others.into_iter().for_each(|job| job.refuse(&error));
            return Err(error);
        }
        Ok(others)
    }

    /// Opens anew what met a full disk, but for the active volume: the
    /// catalogue, and volumes that took writes and are not sealed yet. To be
    /// read those are opened as sealed ones are, for the first time here, which
    /// takes space as later times do not.
    fn mend_others(&self) {
        if self.store.meta.failed() {
            self.mend("the catalogue", || self.store.reopen_meta());
        }
        for id in self.store.volumes.in_state(VolumeState::Sealing) {
            let well = self.store.volumes.sealing(id).is_none_or(|volume| volume.well().is_ok());
            if well {
                continue;
            }
            self.mend("a volume to be sealed", || {
                self.store.volumes.close(id);
                let opened = seal::snapshot(&self.store, id, &self.store.volumes.dir(id));
                self.store.volumes.reopen(id);
                opened
            });
        }
    }

    /// A volume that is opened to be read may write a little at its first times.
    /// Where somebody waits for one, the space is for that, until the keeper
    /// takes it again.
    fn make_room(&self) {
        let data = &self.store.config.data_dir;
        if self.probes.is_empty() || disk::need_free(data, ballast::OPEN_BYTES).is_ok() {
            return;
        }
        if let Err(error) = ballast::give_up(data) {
            tracing::error!(%error, "the space that is kept for reading on cannot be given up");
        }
    }

    /// Whether it was done. Quiet where there is no space: it is tried again.
    fn mend(&self, what: &str, work: impl FnOnce() -> Result<(), EngineError>) -> bool {
        match ballast::without(&self.store.config.data_dir, work) {
            Err(EngineError::OutOfSpace(_)) => false,
            Err(error) => {
                tracing::error!(%error, "{what} cannot be opened again");
                false
            }
            Ok(()) => true,
        }
    }
}
