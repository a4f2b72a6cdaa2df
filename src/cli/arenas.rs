//! How many heaps the system's allocator keeps. By default it is eight for each
//! processor, and what sled frees in one of them no other can use: a long
//! download held half as much memory again. The allocator reads its settings
//! only when a process begins, so the gateway begins once more.

use std::{env, os::unix::process::CommandExt, process::Command};

/// glibc's name for the setting. Whoever sets it is heard.
const SETTING: &str = "MALLOC_ARENA_MAX";
const ARENAS: &str = "2";

/// Begins this process anew with few heaps, unless their number is set. Comes
/// back where that is so, or where it cannot be done: then all is as before.
pub(super) fn few() {
    if !cfg!(target_env = "gnu") || env::var_os(SETTING).is_some() {
        return;
    }
    let mut arguments = env::args_os();
    // By its own name: it is what lists of processes show.
    let Ok(program) = env::current_exe() else { return };
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Only an error comes back, and it costs nothing but memory.
    let _left_as_it_is = again.args(arguments).env(SETTING, ARENAS).exec();
}
