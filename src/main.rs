//! The `a2a-gateway` program: the arguments, and the exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    a2a_gateway::cli::run(a2a_gateway::cli::Cli::parse())
}
