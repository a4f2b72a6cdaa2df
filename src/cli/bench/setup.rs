//! Where and with what a benchmark runs: the work directory, the placement of processes, the servers.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::api;
use super::error::BenchError;
use super::process::{Launch, Server};
use super::{FloorKind, Options};

/// What all benchmarks of a run share.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    work: WorkDir,
    pinning: Pinning,
    serve_args: Vec<String>,
    /// Rounds per row, at least one.
    pub rounds: usize,
    /// Length of the measured part of a stretch.
    pub stretch: Duration,
    /// Load before it.
    pub warm_up: Duration,
}

impl Setup {
    /// Makes the work directory and finds out how processes can be placed.
    ///
    /// # Errors
    /// When the directory cannot be made or the binary is not known.
    pub fn new(options: &Options) -> Result<Self, BenchError> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => std::env::current_exe().map_err(BenchError::io("finding this program"))?,
        };
        Ok(Self {
            binary,
            work: WorkDir::new(options.dir.clone().unwrap_or_else(std::env::temp_dir))?,
            pinning: Pinning::find(options.no_pin),
            serve_args: options.serve_arg.clone(),
            rounds: options.rounds.max(1),
            stretch: Duration::from_secs_f64(options.seconds),
            warm_up: Duration::from_secs_f64(options.warm_up),
        })
    }

    /// A path in the work directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.0.join(name)
    }

    /// Places the generator for a comparison with a floor, and says so in words.
    #[must_use]
    pub fn place_apart(&self) -> String {
        self.pinning.pin_generator(true);
        self.pinning.text()
    }

    /// Lets the generator, and so the servers that it starts unpinned, run anywhere, and says so in words.
    #[must_use]
    pub fn place_freely(&self) -> String {
        self.pinning.pin_generator(false);
        Pinning::Free("no floor to compare with").text()
    }

    /// Starts a gateway on the data directory `data` (a name in the work directory), pinned if it is to be compared
    /// with a floor, and waits until it is ready. Returns how long that took.
    ///
    /// # Errors
    /// When it does not start or does not become ready.
    pub async fn gateway(
        &self,
        data: &str,
        extra: &[&str],
        pinned: bool,
    ) -> Result<(Server, Duration), BenchError> {
        let directory = self.path(data).display().to_string();
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &directory];
        let args = fixed
            .iter()
            .chain(extra)
            .map(|&arg| arg.to_owned())
            .chain(self.serve_args.iter().cloned());
        let server = Server::start(Launch {
            name: "the gateway",
            binary: &self.binary,
            args: args.collect(),
            cpus: self.pinning.server_cpus().filter(|_| pinned),
            log: self.path(&format!("{data}.log")),
        })
        .await?;
        let took = api::ready(&server, "the gateway").await?;
        Ok((server, took))
    }

    /// Starts a floor server over `file` (a name in the work directory), placed as the gateway is.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn floor(&self, kind: FloorKind, file: &str) -> Result<Server, BenchError> {
        let path = self.path(file).display().to_string();
        let args =
            ["bench", "floor", "--mode", kind.name(), "--path", &path, "--listen", "127.0.0.1:0"];
        Server::start(Launch {
            name: "the floor server",
            binary: &std::env::current_exe().map_err(BenchError::io("finding this program"))?,
            args: args.map(str::to_owned).into(),
            cpus: self.pinning.server_cpus(),
            log: self.path(&format!("{file}.log")),
        })
        .await
    }

    /// Removes something from the work directory before the end of the run, to give its space to what follows.
    pub fn discard(&self, name: &str) {
        let path = self.path(name);
        // What is left behind goes with the work directory.
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }

    /// Writes out what earlier stretches left in the page cache, so that later ones do not pay for it.
    pub fn settle(&self) {
        let _ = Command::new("sync").arg("-f").arg(&self.work.0).stderr(Stdio::null()).status();
    }

    /// Drops the file caches of the whole machine; false where that is not allowed.
    #[must_use]
    pub fn drop_file_caches(&self) -> bool {
        self.settle();
        fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
    }
}

/// A directory of this run's own, removed with all in it when dropped.
#[derive(Debug)]
struct WorkDir(PathBuf);

impl WorkDir {
    fn new(parent: PathBuf) -> Result<Self, BenchError> {
        let path = parent.join(format!("tidegate-bench-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(BenchError::io(format!("creating {}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}

/// Which processors servers and generator run on.
#[derive(Debug)]
enum Pinning {
    /// One for the server under measurement, whichever it is, and one for the generator.
    Apart {
        /// The server's.
        server: String,
        /// The generator's.
        generator: String,
        /// All that this process was given.
        all: String,
    },
    /// Wherever the system puts them, for this reason.
    Free(&'static str),
}

impl Pinning {
    fn find(unwanted: bool) -> Self {
        if unwanted {
            return Self::Free("--no-pin");
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let all = allowed.unwrap_or_default().trim();
        let mut cpus = cpus_in(all).into_iter();
        let (Some(server), Some(generator)) = (cpus.next(), cpus.next()) else {
            return Self::Free("fewer than two processors");
        };
        let probe = Command::new("taskset")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            return Self::Free("no `taskset`");
        }
        Self::Apart {
            server: server.to_string(),
            generator: generator.to_string(),
            all: all.to_owned(),
        }
    }

    fn server_cpus(&self) -> Option<&str> {
        match self {
            Self::Apart { server, .. } => Some(server),
            Self::Free(_) => None,
        }
    }

    /// Pins the calling thread, the generator's, and whatever it starts without a placement of its own; or frees it.
    fn pin_generator(&self, pin: bool) {
        let Self::Apart { generator, all, .. } = self else {
            return;
        };
        let cpus = if pin { generator } else { all };
        let Ok(thread) = fs::read_link("/proc/thread-self") else {
            return;
        };
        let Some(id) = thread.file_name() else { return };
        // Unpinned, the figures are only noisier.
        let _ = Command::new("taskset")
            .args(["-p", "-c", cpus])
            .arg(id)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }

    fn text(&self) -> String {
        match self {
            Self::Apart { server, generator, .. } => {
                format!(
                    "pinned: gateway and floor each alone on cpu {server}, generator on cpu {generator}"
                )
            }
            Self::Free(why) => {
                format!("not pinned ({why}): generator and server share the processors")
            }
        }
    }
}

/// The processors of a list such as `0-2,5`.
fn cpus_in(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

/// The disk space that a directory takes, in bytes. What vanishes meanwhile counts as gone.
///
/// # Errors
/// When a directory cannot be read.
pub fn disk_usage(path: &Path) -> Result<u64, BenchError> {
    usage(path).map_err(BenchError::io(format!("measuring {}", path.display())))
}

fn usage(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return Ok(own);
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    entries.flatten().try_fold(own, |sum, entry| Ok(sum + usage(&entry.path())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_lists_are_understood() {
        assert_eq!(cpus_in(" 0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(cpus_in("7"), [7]);
        assert!(cpus_in("").is_empty());
    }
}
