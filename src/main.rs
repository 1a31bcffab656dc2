//! The controller's process.

use std::process::ExitCode;

use scaleouttask_controller::{cli::Cli, program};

/// The static program's own allocator asks the kernel for memory at nearly every poll.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    match program::run(Cli::from_command_line().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
