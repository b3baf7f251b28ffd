//! Live webhooks beside dead ones, and tasks beside both.
//!
//! A task goes to each of the live receivers. Then come thousands of tasks, each with a webhook whose receiver takes
//! requests and stays silent, until the gateway has as many attempts under way to them as it makes. Then tasks come at
//! a moderate rate, in turns: to a gateway without webhooks; to this one, without webhooks of their own; and to this one
//! with a dead webhook each, which is as many as a message of A2A brings, with a live one and a dead one, or with two
//! live ones. At last come live receivers that the gateway has never sent to.
//!
//! The dead receivers share a few origins; or have one each; or have one each and have answered until just before.

use std::{sync::Arc, time::Duration};

use super::{LIMIT, all_received, checked, events_of_a_task, submits};
use crate::{
    Options, Result,
    callers::{Hooks, Submit},
    client_grpc::Connection,
    process::Gateway,
    receiver::Receiver,
    report::{Row, Target, millis},
    rounds::{Plan, take_turns},
    scenarios::fill::{settled, submit_all},
};

/// Live receivers, each at an origin of its own.
const LIVE: usize = 100;

/// Origins that dead receivers share.
const SHARED: usize = 50;

/// How long live deliveries are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names of a variant's rows: live deliveries, submits with a dead webhook, with a live and a dead one, with two live
/// ones, submits beside them, and deliveries to new receivers.
type Names = [&'static str; 6];

/// All variants.
pub async fn dead(options: &Options) -> Result<Vec<Row>> {
    let names = [
        "dead shared: live",
        "dead shared: submit 1",
        "dead shared: submit 2",
        "dead shared: submit live",
        "dead shared: others",
        "dead shared: new",
    ];
    let mut rows = variant(options, SHARED.min(options.dead), false, names).await?;
    let names = [
        "dead apart: live",
        "dead apart: submit 1",
        "dead apart: submit 2",
        "dead apart: submit live",
        "dead apart: others",
        "dead apart: new",
    ];
    rows.extend(variant(options, options.dead, false, names).await?);
    let names = ["died: live", "died: submit 1", "died: submit 2", "died: submit live", "died: others", "died: new"];
    rows.extend(variant(options, options.dead, true, names).await?);
    Ok(rows)
}

/// `died`: the dead receivers have answered before.
async fn variant(options: &Options, origins: usize, died: bool, names: Names) -> Result<Vec<Row>> {
    let (silent, live) = (Receiver::start(origins).await?, Receiver::start(LIVE).await?);
    let second = Receiver::start(LIVE).await?;
    let (plain, gateway) = (Gateway::start().await?, Gateway::with_webhooks().await?);
    let control = Connection::open(&gateway.address).await?;
    let events = events_of_a_task(&control).await?;
    // Webhooks that differ, also where they share an origin.
    let dead: Arc<[String]> =
        (0..options.dead).map(|number| format!("{}{number}", silent.urls[number % origins])).collect();

    let submitters =
        async |address: &str, hooks: &Hooks| Submit::callers_with(address, options.connections, hooks).await;
    let submit = async |urls: &Arc<[String]>| {
        let hooks = Hooks::new(vec![urls.clone()]);
        submit_all(submitters(&gateway.address, &hooks).await?, urls.len()).await
    };
    submit(&live.urls).await?;
    all_received(&live, LIVE as u64 * events).await?;
    if died {
        submit(&dead).await?;
        all_received(&silent, options.dead as u64 * events).await?;
    }
    silent.fall_silent();
    submit(&dead).await?;
    settled(&control).await?;
    let under_way = silent.unanswered(LIMIT).await?;

    let (none, one) = (Hooks::default(), Hooks::new(vec![dead.clone()]));
    let both = Hooks::new(vec![live.urls.clone(), dead]);
    let alive = Hooks::new(vec![live.urls.clone(), second.urls.clone()]);
    let mut sides = [
        submitters(&plain.address, &none).await?,
        submitters(&gateway.address, &none).await?,
        submitters(&gateway.address, &one).await?,
        submitters(&gateway.address, &both).await?,
        submitters(&gateway.address, &alive).await?,
    ];
    let measured = take_turns(Plan::new(options.seconds), options.rate as f64, &mut sides).await?;
    let [without, others, single, with, live_only] = measured.as_slice() else {
        return Err("there are five sides".into());
    };
    let beside = format!(
        "{} tasks/s beside {} dead webhooks at {origins} origins, {under_way} attempts to them under way at first",
        options.rate, options.dead
    );
    let expected = (both.taken() + alive.taken()) as u64 * events;
    let mut rows = vec![delay(names[0], &live, expected, &beside).await];
    rows.push(submits(names[1], single, without, "each task with a dead webhook")?);
    rows.push(submits(names[2], with, without, "each task with a live and a dead webhook")?);
    rows.push(submits(names[3], live_only, without, "each task with two live webhooks")?);
    rows.push(submits(names[4], others, without, "tasks without webhooks of their own beside those")?);

    let new = Receiver::start(LIVE).await?;
    submit(&new.urls).await?;
    let beside = format!("at {LIVE} origins never sent to before");
    rows.push(delay(names[5], &new, LIVE as u64 * events, &beside).await);
    Ok(rows)
}

/// The latency of deliveries of which so many are to come. Those that do not are errors.
async fn delay(name: &'static str, receiver: &Receiver, expected: u64, note: &str) -> Row {
    // Whether they come is the result.
    let _ = receiver.await_deliveries(expected, PATIENCE).await;
    let received = receiver.take();
    let quantile = |share| received.latency.quantile(share);
    let of = |share| quantile(share).map_or(f64::INFINITY, millis);
    let row = Row::new(name, of(0.99), "ms").latency(quantile(0.5), quantile(0.99)).note(format!(
        "{note}; {} live deliveries, slowest {:.1} ms",
        received.deliveries,
        of(1.0)
    ));
    let missing = expected.saturating_sub(received.deliveries);
    let missed = format!("{missing} deliveries did not come within {PATIENCE:?}");
    checked(row.errors("gateway", missing, (missing > 0).then_some(&*missed)), &received)
        .target(Target::AtMost(1_000.0))
}
