//! The `a2a-gateway` program: the arguments, and the exit code.

use std::process::ExitCode;

use clap::Parser as _;

/// Events are made on one thread and dropped on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    a2a_gateway::cli::run(a2a_gateway::cli::Cli::parse())
}
