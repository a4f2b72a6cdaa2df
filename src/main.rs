//! The program: an allocator, and the command line.

use std::process::ExitCode;

// Many small buffers come and go on all threads; the system's allocator keeps
// more memory and takes longer over that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
