//! Time from start to ready, and the memory that a gateway takes when nothing has happened yet.

use crate::{
    Options, Result,
    process::Gateway,
    report::{Row, Target, millis},
    stats::median,
};

/// Starts: an odd number, so that the median is one of them.
const STARTS: usize = 5;

/// Starts the gateway several times on an empty data directory.
pub async fn start(_: &Options) -> Result<Vec<Row>> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let gateway = Gateway::start().await?;
        times.extend(gateway.ready_after.map(millis));
        memory.push(gateway.resident_kib()? as f64 / 1024.0);
    }
    let time = median(&times).ok_or("no start was timed")?;
    let memory = median(&memory).ok_or("no start was measured")?;
    Ok(vec![
        Row::new("start", time, "ms")
            .target(Target::AtMost(200.0))
            .note(format!("spawn to the first /readyz with 200, median of {STARTS}, empty data directory")),
        Row::new("start-memory", memory, "MiB").target(Target::AtMost(30.0)).note("resident, when ready"),
    ])
}
