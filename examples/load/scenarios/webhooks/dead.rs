//! Live webhooks beside dead ones, and tasks beside both.
//!
//! First come thousands of tasks, each with a webhook whose receiver takes connections and stays silent, until the
//! gateway has as many attempts under way to them as it makes. Then tasks come at a moderate rate, in turns: to
//! a gateway without webhooks; to this one, without webhooks of their own; and to this one with two webhooks each, a live
//! one and a dead one, so that every event goes to both.

use std::sync::Arc;

use super::{LIMIT, all_received, checked, events_of_a_task};
use crate::{
    Options, Result,
    callers::{Hooks, Submit},
    client_grpc::Connection,
    process::Gateway,
    receiver::{BlackHole, Received, Receiver},
    report::{Row, Target, millis},
    rounds::{Plan, Side, take_turns},
    scenarios::fill::{settled, submit_all},
};

/// Live receivers, each at an origin of its own.
const LIVE: usize = 100;

/// Origins that dead receivers share.
const SHARED: usize = 50;

/// Names of a variant's rows: first deliveries, later ones, submits with webhooks, and submits beside them.
type Names = [&'static str; 4];

/// Dead receivers that share a few origins, and dead receivers at origins of their own.
pub async fn dead(options: &Options) -> Result<Vec<Row>> {
    let names = ["dead shared: first", "dead shared: live", "dead shared: submit", "dead shared: others"];
    let mut rows = variant(options, SHARED.min(options.dead), names).await?;
    let names = ["dead apart: first", "dead apart: live", "dead apart: submit", "dead apart: others"];
    rows.extend(variant(options, options.dead, names).await?);
    Ok(rows)
}

async fn variant(options: &Options, origins: usize, names: Names) -> Result<Vec<Row>> {
    let (hole, live) = (BlackHole::start(origins).await?, Receiver::start(LIVE).await?);
    let (plain, gateway) = (Gateway::start().await?, Gateway::with_webhooks().await?);
    let control = Connection::open(&gateway.address).await?;
    let events = events_of_a_task(&control).await?;
    // Webhooks that differ, also where they share an origin.
    let dead: Arc<[String]> =
        (0..options.dead).map(|number| format!("{}{number}", hole.urls[number % origins])).collect();

    let submitters =
        async |address: &str, hooks: &Hooks| Submit::callers_with(address, options.connections, hooks).await;
    let only_dead = Hooks::new(vec![dead.clone()]);
    submit_all(submitters(&gateway.address, &only_dead).await?, options.dead).await?;
    settled(&control).await?;
    let under_way = hole.full(LIMIT).await?;

    let only_live = Hooks::new(vec![live.urls.clone()]);
    submit_all(submitters(&gateway.address, &only_live).await?, LIVE).await?;
    let first = all_received(&live, LIVE as u64 * events).await?;
    let beside = format!(
        "{} dead webhooks at {origins} origins, {under_way} attempts to them under way; {LIVE} live origins",
        options.dead
    );
    let mut rows = vec![checked(delay(names[0], &first, &beside)?, &first)];

    let (none, both) = (Hooks::default(), Hooks::new(vec![live.urls.clone(), dead]));
    let mut sides = [
        submitters(&plain.address, &none).await?,
        submitters(&gateway.address, &none).await?,
        submitters(&gateway.address, &both).await?,
    ];
    let measured = take_turns(Plan::new(options.seconds), options.rate as f64, &mut sides).await?;
    let [without, others, with] = measured.as_slice() else { return Err("there are three sides".into()) };
    let received = all_received(&live, both.taken() as u64 * events).await?;
    let at = format!("{} tasks/s", options.rate);
    rows.push(checked(delay(names[1], &received, &at)?, &received).target(Target::AtMost(1_000.0)));
    rows.push(submits(names[2], with, without, "each task with a live and a dead webhook")?);
    rows.push(submits(names[3], others, without, "tasks without webhooks of their own beside those")?);
    Ok(rows)
}

/// The latency of deliveries.
fn delay(name: &'static str, received: &Received, note: &str) -> Result<Row> {
    let quantile = |share| received.latency.quantile(share);
    let p99 = quantile(0.99).ok_or("no delivery had a time")?;
    let slowest = quantile(1.0).map(millis).unwrap_or_default();
    let note = format!("{note}; {} live deliveries, slowest {slowest:.1} ms", received.deliveries);
    Ok(Row::new(name, millis(p99), "ms").latency(quantile(0.5), quantile(0.99)).note(note))
}

/// The latency of submits against those of the gateway without webhooks.
fn submits(name: &'static str, side: &Side, without: &Side, note: &str) -> Result<Row> {
    let of = |side: &Side, share| side.latency.quantile(share).map(millis).ok_or("no submit was answered");
    let tails = (of(side, 0.99)?, of(without, 0.99)?);
    Ok(Row::new(name, of(side, 0.5)?, "ms")
        .against(of(without, 0.5)?)
        .latency(side.latency.quantile(0.5), side.latency.quantile(0.99))
        .note(format!(
            "{note}; p50 of submit to answer, baseline: a gateway without webhooks; p99 {:.2} ms against {:.2} ms ({:.2}×)",
            tails.0,
            tails.1,
            tails.0 / tails.1,
        ))
        .errors("gateway", side.errors, side.first_error.as_deref())
        .errors("gateway without webhooks", without.errors, without.first_error.as_deref())
        .target(Target::RatioAtMost(1.1)))
}
