//! Where the demonstration keeps its records: where it was told to, else in a
//! directory that goes away with it.

use super::CliError;
use crate::config::{EngineKind, Resolved};
use std::{fmt, fs, path::PathBuf, process};

/// The store's place.
pub enum Store {
    /// Nowhere but in memory.
    Memory,
    /// Where the settings say; kept.
    Kept(PathBuf),
    /// Of this run alone.
    Passing(PathBuf),
}

impl Store {
    /// Chooses a place, and writes it into the settings.
    pub fn prepare(resolved: &mut Resolved) -> Result<Store, CliError> {
        if resolved.config.engine == EngineKind::Memory {
            return Ok(Store::Memory);
        }
        if resolved.is_set("data-dir") {
            return Ok(Store::Kept(resolved.config.data_dir.clone()));
        }
        // Two runs may share the temporary directory, but no process number.
        let path = std::env::temp_dir().join(format!("tidegate-demo-{}", process::id()));
        let failed = || CliError::io(format!("making {}", path.display()));
        if path.exists() {
            // Left by a run that was killed and had the same number.
            fs::remove_dir_all(&path).map_err(failed())?;
        }
        fs::create_dir_all(&path).map_err(failed())?;
        resolved.config.move_store(&path);
        Ok(Store::Passing(path))
    }

    /// Removes what was only for this run.
    pub fn close(&self) -> Result<(), CliError> {
        let Store::Passing(path) = self else {
            return Ok(());
        };
        fs::remove_dir_all(path).map_err(CliError::io(format!("removing {}", path.display())))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // After `close` there is nothing left; after an error nobody looks.
        let _ = self.close();
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Memory => f.write_str("its records in memory"),
            Store::Kept(path) => write!(f, "its records kept in {}", path.display()),
            Store::Passing(path) => {
                write!(f, "its records in {} until it stops", path.display())
            }
        }
    }
}
