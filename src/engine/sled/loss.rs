//! Going on with less: only when the operator said so, and only after what is
//! damaged was copied aside.

use super::{
    config::SledConfig,
    disk,
    meta::{Change, VolumeRow, VolumeState},
    volume::VolumeId,
};
use crate::{domain::Timestamp, engine::EngineError};
use std::{cell::Cell, collections::BTreeMap, fs, path::Path, path::PathBuf};

/// The losses of one opening.
pub(super) struct Losses<'a> {
    config: &'a SledConfig,
    aside: PathBuf,
    any: Cell<bool>,
}

impl<'a> Losses<'a> {
    pub(super) fn new(config: &'a SledConfig, now: Timestamp) -> Losses<'a> {
        let aside = config.data_dir.join(format!("lost-{now}"));
        Losses { config, aside, any: Cell::new(false) }
    }

    /// Whether one was accepted.
    pub(super) fn any(&self) -> bool {
        self.any.get()
    }

    /// Accepts a loss, or refuses with what is wrong.
    pub(super) fn accept(&self, what: String, volume: Option<VolumeId>) -> Result<(), EngineError> {
        if !self.config.accept_loss {
            return Err(EngineError::Damaged(what));
        }
        tracing::warn!(what, ?volume, "a loss was accepted");
        self.any.set(true);
        Ok(())
    }

    /// Moves a directory aside, whole.
    pub(super) fn put_aside(&self, path: &Path) -> Result<(), EngineError> {
        let to = self.aside.join(path.file_name().unwrap_or_default());
        fs::create_dir_all(&self.aside).map_err(|e| disk::at(&self.aside, &e))?;
        tracing::warn!(from = %path.display(), to = %to.display(), "put aside");
        fs::rename(path, &to).map_err(|e| disk::at(path, &e))
    }

    /// Copies a damaged file or directory aside before it is touched.
    pub(super) fn keep(&self, path: &Path) -> Result<(), EngineError> {
        let Ok(inside) = path.strip_prefix(&self.config.data_dir) else { return Ok(()) };
        let to = self.aside.join(inside);
        if path.is_dir() {
            return disk::copy_dir(path, &to);
        }
        if path.is_file() {
            let parent = to.parent().unwrap_or(&self.aside);
            fs::create_dir_all(parent).map_err(|e| disk::at(parent, &e))?;
            fs::copy(path, &to).map_err(|e| disk::at(path, &e))?;
        }
        Ok(())
    }
}

/// A sealed volume cannot be read as it was sealed: it is copied aside and
/// listed as lost, so that readers are told which offsets are gone.
pub(super) fn lose_sealed(
    losses: &Losses<'_>,
    id: VolumeId,
    row: VolumeRow,
    rows: &mut BTreeMap<VolumeId, VolumeRow>,
    change: &mut Change,
) -> Result<(), EngineError> {
    let dir = id.dir(&losses.config.data_dir);
    losses.keep(&dir)?;
    let row = VolumeRow { state: VolumeState::Lost, ..row };
    change.volume(id, &row);
    rows.insert(id, row);
    Ok(())
}
