//! The load driver: measures the gateway side by side with a bare axum/tonic echo, in one run on one machine.
//!
//! Rates depend on the machine and on what else runs there; ratios of one run depend on neither much. It starts what
//! it measures as child processes with data of their own, talks to loopback only, and fails on any wrong answer.
//!
//! ```text
//! cargo build --release && cargo run --release --example load -- jsonrpc-send watch --seconds 10
//! ```

#![allow(clippy::print_stdout, reason = "the report is what this program is for")]

mod bare;
mod callers;
mod client_grpc;
mod client_http;
#[path = "../../tests/database/mod.rs"]
mod database;
mod process;
mod receiver;
mod report;
mod rounds;
mod scenarios;
mod stats;

use std::process::ExitCode;

use clap::{Parser, value_parser};
use serde::Serialize;

use report::Row;
use scenarios::Scenario;

/// What can go wrong here is told to whoever runs the driver, and ends it.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

/// As many as the gateway has in these measurements: two cores serve both it and its load.
const WORKER_THREADS: usize = 2;

/// Measures a2a-gateway side by side with a bare axum/tonic echo.
#[derive(Parser)]
#[command(name = "load")]
struct Options {
    /// What to measure; all but `proxy`, `scale`, `replicas` and those of webhooks when none is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Seconds for which each side of a comparison is measured, in rounds of about one second.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Calls at a time, and HTTP/1.1 connections; gRPC calls share up to eight HTTP/2 connections.
    #[arg(long, default_value_t = 64, value_parser = count(1_000))]
    connections: usize,
    /// Measure the gateway at this http:// URL instead of starting one (not for proxy, idle, start, scale and webhooks).
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Stored tasks from which `get` reads, and whose deliveries are the backlog of `webhook-rate`.
    #[arg(long, default_value_t = 10_000, value_parser = count(1_000_000))]
    tasks: usize,
    /// Watchers in `watch`.
    #[arg(long, default_value_t = 1_000, value_parser = count(10_000))]
    watchers: usize,
    /// Events in `watch`.
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Watchers in `idle`.
    #[arg(long, default_value_t = 10_000, value_parser = count(50_000))]
    idle_watchers: usize,
    /// Stored tasks in the large store of `scale`.
    #[arg(long, default_value_t = 100_000, value_parser = count(1_000_000))]
    scale_tasks: usize,
    /// Tasks per second in `webhook-latency` and `webhook-dead`.
    #[arg(long, default_value_t = 200, value_parser = count(100_000))]
    rate: usize,
    /// Webhooks with a silent receiver in `webhook-dead`.
    #[arg(long, default_value_t = 5_000, value_parser = count(15_000))]
    dead: usize,
    /// Start gateways on a PostgreSQL server of our own instead of SQLite; it must be installed.
    #[arg(long)]
    postgres: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Be the bare echo, for the driver that started this process.
    #[arg(long, hide = true)]
    bare_echo: bool,
}

/// Reads a count from 1 to a bound.
fn count(most: u64) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<u64>() {
        Ok(count) if (1..=most).contains(&count) => usize::try_from(count).map_err(|error| error.to_string()),
        _ => Err(format!("must be a whole number from 1 to {most}")),
    }
}

/// Reads a time to measure.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number from 0.1 to 600".to_owned()),
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(async {
        if options.bare_echo {
            return bare::serve().await.map(|()| true);
        }
        // Interrupted by hand, the children must end and their data be removed: their owners are dropped here.
        tokio::select! {
            outcome = measure(&options) => outcome,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    eprintln!("load: {error}");
    ExitCode::FAILURE
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    cores: usize,
    connections: usize,
    seconds: f64,
    fsync_ms: f64,
    optimized: bool,
    failed: &'a [String],
    rows: &'a [Row],
}

/// Runs the scenarios and prints what came of them. False when a scenario failed or any call did.
async fn measure(options: &Options) -> Result<bool> {
    let mut scenarios = options.scenarios.clone();
    if scenarios.is_empty() {
        scenarios = Scenario::DEFAULT.to_vec();
        scenarios.retain(|scenario| options.gateway.is_none() || !scenario.needs_own_gateway());
    } else if options.gateway.is_some() && scenarios.iter().any(|scenario| scenario.needs_own_gateway()) {
        return Err("proxy, idle, start, scale and webhooks need a gateway of their own: leave --gateway out".into());
    }
    if options.postgres {
        process::use_postgres()?;
    }
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        eprintln!("load: {scenario:?} …");
        match scenario.run(options).await {
            Ok(more) => rows.extend(more),
            Err(error) => failed.push(format!("{scenario:?}: {error}")),
        }
    }
    print(options, &rows, &failed)?;
    let errors: u64 = rows.iter().map(|row| row.errors).sum();
    Ok(failed.is_empty() && errors == 0)
}

fn print(options: &Options, rows: &[Row], failed: &[String]) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let fsync_ms = report::millis(process::fsync_time()?);
    let (connections, seconds, optimized) = (options.connections, options.seconds, !cfg!(debug_assertions));
    if options.json {
        let report = Report { cores, connections, seconds, fsync_ms, optimized, failed, rows };
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("{cores} cores, {connections} calls at a time, {seconds} s a side; fsync of 4 KiB: {fsync_ms:.3} ms");
    if !optimized {
        println!("This is a debug build: the numbers say nothing. Use cargo run --release.");
    }
    println!("\n{}", report::table(rows));
    for failure in failed {
        println!("FAILED {failure}");
    }
    Ok(())
}
