//! The `callrig` command. Everything it does is in the library; here it is only asked.

use std::process::ExitCode;

/// What one thread takes another gives back all the time here, and a recording's memory is
/// wanted again by the next: the system's allocator does both the slow way.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callrig::command::main().into()
}
