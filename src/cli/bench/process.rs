//! A server under measurement: a child process, reached by its address alone, and killed when it is dropped.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::BenchError;

/// What a server prints before its address.
const LISTENING: &str = "listening on http://";
/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How often it is looked for.
const START_POLL: Duration = Duration::from_millis(2);
/// Bytes of a failed server's log that are shown.
const TAIL_BYTES: usize = 2_000;

/// How to start a server.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What to call it in messages.
    pub name: &'a str,
    /// The program.
    pub binary: &'a Path,
    /// Its arguments.
    pub args: Vec<String>,
    /// The processors that it is pinned to, as `taskset -c` takes them.
    pub cpus: Option<&'a str>,
    /// Where its standard error goes; its standard output goes beside it.
    pub log: PathBuf,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    spawned: Instant,
}

impl Server {
    /// Starts a server and waits until it says where it listens.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent before it listens.
    pub async fn start(launch: Launch<'_>) -> Result<Self, BenchError> {
        let failed = |what: &str| BenchError::io(format!("{what} {}", launch.name));
        // Files, not pipes: nobody has to empty them.
        let said = launch.log.with_extension("out");
        let stdout = File::create(&said).map_err(failed("creating the output of"))?;
        let stderr = File::create(&launch.log).map_err(failed("creating the log of"))?;
        let mut command = match launch.cpus {
            Some(cpus) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", cpus]).arg(launch.binary);
                taskset
            }
            None => Command::new(launch.binary),
        };
        command.args(&launch.args).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let spawned = Instant::now();
        let child = command.spawn().map_err(failed("starting\n"))?;
        // Guarded from here on: a failure below kills the child.
        let mut server = Self { child, address: ([0, 0, 0, 0], 0).into(), spawned };
        match server.find_address(&said).await {
            Some(address) => server.address = address,
            None => {
                return Err(BenchError::NotStarted {
                    name: launch.name.to_owned(),
                    tail: tail_of(&launch.log),
                });
            }
        }
        Ok(server)
    }

    /// Waits until the address stands in the file `said`; none when the process ends or time runs out first.
    async fn find_address(&mut self, said: &Path) -> Option<SocketAddr> {
        while self.spawned.elapsed() < START_LIMIT {
            // Looked at before the file is read: what it said last is read all the same.
            let ended = !matches!(self.child.try_wait(), Ok(None));
            let text = std::fs::read_to_string(said).unwrap_or_default();
            if let Some(address) = text.split_inclusive('\n').find_map(address_in) {
                return Some(address);
            }
            if ended {
                return None;
            }
            tokio::time::sleep(START_POLL).await;
        }
        None
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When its process was started.
    #[must_use]
    pub fn spawned(&self) -> Instant {
        self.spawned
    }

    /// Stops it where it stands (SIGSTOP), so that what it does in the background costs the other one nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill` is there wherever a shell is; if it is not, the stretches are only less well separated.
        let script = format!("kill -{name} {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    }

    /// The resident memory now, in bytes; none once the process is gone.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    }

    /// The processor time that all its threads have used so far, also those that have ended.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        cpu_time_in(&stat)
    }

    /// Kills it (SIGKILL) and waits for its end. Does nothing the second time.
    pub fn kill(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processor time of one thread, given its directory under `/proc`.
pub(super) fn cpu_time_of(task: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// User's and system's time, the 14th and 15th field, in ticks. The second is a name in brackets, which may hold anything.
fn cpu_time_in(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second()))
}

/// The address in a whole line: of one that is still being written, the port may be cut short.
fn address_in(line: &str) -> Option<SocketAddr> {
    let line = line.strip_suffix('\n')?;
    let (_, rest) = line.split_once(LISTENING)?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

fn tail_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(TAIL_BYTES);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) (b 1) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 9 0 1 2 3";
        let hundredths = 200 * 100 / rustix::param::clock_ticks_per_second();
        assert_eq!(cpu_time_in(stat), Some(Duration::from_millis(hundredths * 10)));
        assert_eq!(cpu_time_in("7 (a"), None);
    }

    #[test]
    fn the_address_is_found_within_a_line() {
        let expected = Some(SocketAddr::from(([127, 0, 0, 1], 4711)));
        assert_eq!(address_in("tidegate listening on http://127.0.0.1:4711\n"), expected);
        assert_eq!(address_in("INFO listening on http://127.0.0.1:4711/ (ready)\n"), expected);
        assert_eq!(address_in("listening on http://nowhere\n"), None);
        assert_eq!(address_in("listening on http://127.0.0.1:47"), None);
        assert_eq!(address_in("starting\n"), None);
    }
}
