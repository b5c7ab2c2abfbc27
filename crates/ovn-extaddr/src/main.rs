//! The program, which parses the command line and turns the outcome into an exit status.

use std::process::ExitCode;

use clap::Parser;
use ovn_extaddr::command::Cli;

/// The allocator: musl's own takes more CPU, and others more memory (docs/performance.md).
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    Cli::complete();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ovn-extaddr: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(cli.run());
    // A look-up of a host name cannot be cancelled, and is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status,
        Err(error) => {
            eprintln!("ovn-extaddr: {error:#}");
            ExitCode::FAILURE
        }
    }
}
