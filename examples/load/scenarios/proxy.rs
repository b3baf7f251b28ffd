//! What the gateway costs in front of an agent: the bare echo, called directly and through the gateway in turns.
//!
//! First as fast as the callers can, which gives the throughput of both. Then at half of the gateway's throughput, for
//! both alike: the difference of the latencies is what the gateway adds.

use std::time::Duration;

use crate::{
    Options, Result,
    callers::{GrpcSend, JsonRpcSend},
    process::{BareEcho, Gateway},
    report::{Row, Target, millis},
    rounds::{Caller, Plan, Side, compare, compare_paced},
};

/// Names of a pair's rows: throughput, and what is added to the median and to the 99th percentile.
type Names = [&'static str; 3];

/// What may be added, in milliseconds, at half load.
const ADDED_P50: f64 = 1.0;
const ADDED_P99: f64 = 5.0;

/// All pairs of the callers' binding and the agent's.
pub async fn proxy(options: &Options) -> Result<Vec<Row>> {
    let agent = BareEcho::start()?;
    let count = options.connections;
    let (json, grpc) = (format!("http://{}", agent.address), format!("grpc://{}", agent.address));

    let gateway = Gateway::in_front_of(&json).await?;
    let through = JsonRpcSend::callers(&gateway.address, count).await?;
    let direct = JsonRpcSend::callers(&agent.address, count).await?;
    let names = ["proxy json→json", "proxy json→json +p50", "proxy json→json +p99"];
    let mut rows = measure(options, names, through, direct).await?;
    drop(gateway);

    let gateway = Gateway::in_front_of(&grpc).await?;
    let through = GrpcSend::callers(&gateway.address, count).await?;
    let direct = GrpcSend::callers(&agent.address, count).await?;
    let names = ["proxy grpc→grpc", "proxy grpc→grpc +p50", "proxy grpc→grpc +p99"];
    rows.extend(measure(options, names, through, direct).await?);
    drop(gateway);

    let gateway = Gateway::in_front_of(&grpc).await?;
    let through = JsonRpcSend::callers(&gateway.address, count).await?;
    let direct = GrpcSend::callers(&agent.address, count).await?;
    let names = ["proxy json→grpc", "proxy json→grpc +p50", "proxy json→grpc +p99"];
    rows.extend(measure(options, names, through, direct).await?);
    Ok(rows)
}

/// Measures both sides, first at full load and then at half of the gateway's.
async fn measure<A: Caller, B: Caller>(
    options: &Options,
    [throughput, median, tail]: Names,
    mut through: Vec<A>,
    mut direct: Vec<B>,
) -> Result<Vec<Row>> {
    let plan = Plan::new(options.seconds);
    let (full, direct_full) = compare(plan, &mut through, &mut direct, async || Ok(())).await?;
    let mut rows = vec![super::rate_row(throughput, &full, &direct_full)];
    let rate = full.rate() / 2.0;
    let (half, direct_half) = compare_paced(plan, rate, &mut through, &mut direct).await?;
    for (name, share, target) in [(median, 0.5, ADDED_P50), (tail, 0.99, ADDED_P99)] {
        let (through, direct) = (quantile(&half, share)?, quantile(&direct_half, share)?);
        let row = Row::new(name, millis(through) - millis(direct), "ms added")
            .beside(millis(direct))
            .latency(half.latency.quantile(0.5), half.latency.quantile(0.99))
            .errors("gateway", half.errors, half.first_error.as_deref())
            .errors("agent", direct_half.errors, direct_half.first_error.as_deref())
            .note(format!("at {rate:.0} calls/s; baseline: the agent called directly"));
        // A difference of two values that are both larger than it says more about the machine than about the gateway.
        rows.push(if millis(direct) > target {
            row.note("not judged: the agent alone took longer than may be added, so the machine was busy")
        } else {
            row.target(Target::AtMost(target))
        });
    }
    Ok(rows)
}

fn quantile(side: &Side, share: f64) -> Result<Duration> {
    side.latency.quantile(share).ok_or_else(|| "no call was answered".into())
}
