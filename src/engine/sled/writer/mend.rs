//! When a write failed: everybody is told, what is there is opened anew so that
//! it can be read on, and after a full disk it goes on once there is space.

use super::{
    super::{
        ballast::{self, BALLAST_BYTES},
        disk,
        jobs::Job,
        meta::VolumeState,
    },
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
        let unknown = EngineError::OutcomeUnknown(error.to_string());
        let lost = std::mem::take(&mut self.unsynced);
        self.answer(lost.replies, Some(&unknown));
        self.pending.clear();
        self.merges.clear();
        self.store.set_health(Health::ReadOnly(error.to_string()));
        self.volume = None;
        if full && !self.stopping {
            self.recover(&error);
        }
    }

    /// Opens the volume anew, which sled's memory of its first full disk asks
    /// for, so that it can be read; refuses what comes until there is space.
    fn recover(&mut self, why: &EngineError) {
        self.give_up_ballast();
        let mut open = self.reopen(BALLAST_BYTES / 2);
        self.probes.clear();
        let mut next = Instant::now() + RECOVERY_PAUSE;
        loop {
            match self.jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
                Ok(job) => job.refuse(why),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // However many ask meanwhile.
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + RECOVERY_PAUSE;
            let config = &self.store.config;
            if !matches!(ballast::take(&config.data_dir, config.reserve_bytes), Ok(true)) {
                continue;
            }
            // sled tidies up by itself, and may have met a full disk once more.
            open &= self.store.volumes.active().is_some_and(|volume| volume.probe().is_ok());
            if !open {
                open = self.reopen(config.reserve_bytes);
            }
            if open {
                break;
            }
        }
        self.volume = self.store.volumes.active();
        self.store.set_health(Health::Ready);
        tracing::info!("there is space again; publishing goes on");
    }

    /// Opens the active volume anew if so much of the disk is free: closed and
    /// not open it could not be read at all.
    fn reopen(&self, free: u64) -> bool {
        let opened = disk::need_free(&self.store.config.data_dir, free)
            .and_then(|()| self.store.reopen_active());
        if let Err(error) = &opened {
            tracing::error!(%error, "the active volume cannot be opened again");
        }
        opened.is_ok()
    }

    /// Keeps those who wait to hear, and sees what they want to know: a reader
    /// may meet sled's first error before the writer does.
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
        // Even a volume that is only read may need some space to be opened.
        let config = &self.store.config;
        if disk::free_bytes(&config.data_dir).is_ok_and(|free| free < BALLAST_BYTES / 2) {
            self.give_up_ballast();
        }
        self.mend_sealing();
        let probed = self.volume.as_ref().map_or(Ok(()), |volume| volume.probe());
        if let Err(error) = probed {
            others.into_iter().for_each(|job| job.refuse(&error));
            return Err(error);
        }
        Ok(others)
    }

    /// Closes those volumes that took writes before, are not sealed yet, and
    /// take none any more: to be read they are opened as sealed ones are.
    fn mend_sealing(&self) {
        for id in self.store.volumes.in_state(VolumeState::Sealing) {
            let well = self.store.volumes.sealing(id).is_none_or(|volume| volume.probe().is_ok());
            if well {
                continue;
            }
            self.store.volumes.close(id);
            self.store.volumes.reopen(id);
        }
    }

    fn give_up_ballast(&self) {
        if let Err(error) = ballast::give_up(&self.store.config.data_dir) {
            tracing::error!(%error, "the space that is kept for reading on cannot be given up");
        }
    }

    /// Opens the catalogue anew after a change of it failed; tried again with
    /// the next job where it cannot be.
    pub(super) fn mend_meta(&self) {
        let mended = disk::need_free(&self.store.config.data_dir, BALLAST_BYTES)
            .and_then(|()| self.store.reopen_meta());
        if let Err(error) = mended {
            tracing::error!(%error, "the catalogue cannot be opened again");
        }
    }
}
