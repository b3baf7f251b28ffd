//! Deliveries per second to one receiver: a backlog alone, and new ones beside tasks that come as fast as they are
//! taken.

use std::time::{Duration, Instant};

use super::{LIMIT, all_received, checked, enable, events_of_a_task, subscribe, tasks};
use crate::{
    Options, Result,
    callers::Submit,
    client_grpc::Connection,
    process::Gateway,
    receiver::{Deliver, Receiver},
    report::{Row, Target},
    rounds::full_speed,
    scenarios::fill::{settled, submit_all},
};

/// What must come each second.
const TARGET: Target = Target::AtLeast(3_000.0);

/// Calls of this long come before those that count.
const WARM_UP: Duration = Duration::from_millis(300);

/// Both, after the receiver's own ceiling.
pub async fn rate(options: &Options) -> Result<Vec<Row>> {
    let ceiling = ceiling(options).await?;
    let (gateway, receiver) = (Gateway::with_webhooks().await?, Receiver::start(1).await?);
    let control = Connection::open(&gateway.address).await?;
    let time = Duration::from_secs_f64(options.seconds);
    let mut callers = Submit::callers(&gateway.address, options.connections).await?;
    full_speed(&mut callers, WARM_UP).await?;
    let without = full_speed(&mut callers, time).await?;
    settled(&control).await?;

    let before = tasks(&control).await?;
    let webhook = subscribe(&control, &receiver.urls[0]).await?;
    let events = events_of_a_task(&control).await?;
    let drain = drain(options, &gateway, &receiver, &webhook, (before, events), callers).await?;

    let before = tasks(&control).await?;
    let mut callers = Submit::callers(&gateway.address, options.connections).await?;
    let start = Instant::now();
    let with = full_speed(&mut callers, time).await?;
    let rate = receiver.deliveries() as f64 / start.elapsed().as_secs_f64();
    let expected = (tasks(&control).await? - before) * events;
    let left = expected - receiver.deliveries();
    let start = Instant::now();
    let received = all_received(&receiver, expected).await?;
    let beside = Row::new("webhook-rate", rate, "deliveries/s")
        .against(ceiling)
        .note(format!(
            "while {:.0} tasks/s were submitted (without a webhook: {:.0}), {events} deliveries each; then {left} \
             deliveries waited and took {:.2} s; baseline: the receiver alone",
            with.rate(),
            without.rate(),
            start.elapsed().as_secs_f64(),
        ))
        .errors("submit", without.errors + with.errors, with.first_error.as_deref());
    Ok(vec![drain.against(ceiling).target(TARGET), checked(beside, &received).target(TARGET)])
}

/// What the receiver takes when this same process delivers.
async fn ceiling(options: &Options) -> Result<f64> {
    let receiver = Receiver::start(1).await?;
    let mut callers = Deliver::callers(&receiver, options.connections).await?;
    full_speed(&mut callers, WARM_UP).await?;
    let side = full_speed(&mut callers, Duration::from_secs_f64(options.seconds.min(3.0))).await?;
    match side.first_error {
        Some(error) => Err(format!("delivering to the receiver alone: {error}").into()),
        None => Ok(side.rate()),
    }
}

/// Deliveries that waited for a paused webhook, from the moment it goes on until the last has come.
async fn drain(
    options: &Options,
    gateway: &Gateway,
    receiver: &Receiver,
    webhook: &str,
    (before, events): (u64, u64),
    callers: Vec<Submit>,
) -> Result<Row> {
    let control = Connection::open(&gateway.address).await?;
    receiver.await_deliveries(events, LIMIT).await?;
    enable(&control, webhook, false).await?;
    submit_all(callers, options.tasks).await?;
    settled(&control).await?;
    let early = receiver.take();
    let waiting = (tasks(&control).await? - before) * events - early.deliveries;
    let (start, busy) = (Instant::now(), gateway.processor_time()?);
    enable(&control, webhook, true).await?;
    let end = receiver.await_deliveries(waiting, LIMIT).await?;
    let (took, busy) = ((end - start).as_secs_f64(), gateway.processor_time()? - busy);
    let received = all_received(receiver, waiting).await?;
    let row = Row::new("webhook-drain", waiting as f64 / took, "deliveries/s").note(format!(
        "{waiting} deliveries that had waited, in {took:.2} s; the gateway took {:.0} µs of processor time for each",
        busy.as_secs_f64() * 1e6 / waiting as f64
    ));
    Ok(checked(row, &received))
}
