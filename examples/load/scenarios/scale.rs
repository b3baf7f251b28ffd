//! Whether reads stay as fast when the store grows: two gateways in one run, one with few tasks, one with many.

use std::sync::Arc;

use super::fill::fill;
use crate::{
    Options, Result,
    callers::{Get, List},
    process::Gateway,
    report::{Row, Target, millis},
    rounds::{Caller, Plan, Side, compare},
};

/// Tasks in the small store.
const FEW: usize = 1_000;

/// Callers at a time: few, so that latencies are those of the calls and not of a queue.
const CALLERS: usize = 4;

/// `GetTask` and `ListTasks` against both stores in turns.
pub async fn scale(options: &Options) -> Result<Vec<Row>> {
    let (small, large) = (Gateway::start().await?, Gateway::start().await?);
    let few: Arc<[String]> = fill(&small.address, FEW, options.connections).await?.into();
    let many: Arc<[String]> = fill(&large.address, options.scale_tasks, options.connections).await?.into();
    let plan = Plan::new(options.seconds);
    let note = format!("p99 with {} stored tasks; baseline: p99 with {FEW}", options.scale_tasks);
    let get = slowdown(
        "scale-get",
        plan,
        Get::callers(&large.address, CALLERS, &many).await?,
        Get::callers(&small.address, CALLERS, &few).await?,
        &note,
    );
    let get = get.await?;
    let list = slowdown(
        "scale-list",
        plan,
        List::callers(&large.address, CALLERS, options.scale_tasks).await?,
        List::callers(&small.address, CALLERS, FEW).await?,
        &note,
    );
    Ok(vec![get, list.await?])
}

/// Compares the 99th percentiles of the two stores.
async fn slowdown<C: Caller>(
    scenario: &'static str,
    plan: Plan,
    mut large: Vec<C>,
    mut small: Vec<C>,
    note: &str,
) -> Result<Row> {
    let (large, small) = compare(plan, &mut large, &mut small, async || Ok(())).await?;
    let p99 = |side: &Side| side.latency.quantile(0.99).map(millis).ok_or("no call was answered");
    Ok(Row::new(scenario, p99(&large)?, "ms")
        .against(p99(&small)?)
        .latency(large.latency.quantile(0.5), large.latency.quantile(0.99))
        .note(note)
        .errors("large store", large.errors, large.first_error.as_deref())
        .errors("small store", small.errors, small.first_error.as_deref())
        .target(Target::RatioAtMost(2.0)))
}
