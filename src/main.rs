//! The program: the command line, and nothing else. The system's allocator
//! serves it: mimalloc held two to three times the memory while old volumes
//! were read, and was no faster at publishing (see also `cli/arenas.rs`).

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::main()
}
