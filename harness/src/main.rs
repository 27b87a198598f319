//! The `callrig` command. Everything it does is in the library; here it is only asked.

use std::process::ExitCode;

fn main() -> ExitCode {
    callrig::command::main().into()
}
