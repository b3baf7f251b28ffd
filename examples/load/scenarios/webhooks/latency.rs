//! From a commit to the receiver of a webhook, while tasks come at a moderate rate.

use super::{all_received, checked, events_of_a_task, subscribe, tasks};
use crate::{
    Options, Result,
    callers::Submit,
    client_grpc::Connection,
    process::Gateway,
    receiver::Receiver,
    report::{Row, Target, millis},
    rounds::{Plan, take_turns},
};

/// One webhook of the agent as a whole: each event of each task goes to it.
pub async fn latency(options: &Options) -> Result<Vec<Row>> {
    let (gateway, receiver) = (Gateway::with_webhooks().await?, Receiver::start(1).await?);
    let control = Connection::open(&gateway.address).await?;
    subscribe(&control, &receiver.urls[0]).await?;
    let events = events_of_a_task(&control).await?;
    let mut sides = [Submit::callers(&gateway.address, options.connections).await?];
    let [submits] = take_turns(Plan::new(options.seconds), options.rate as f64, &mut sides)
        .await?
        .try_into()
        .map_err(|_| "there is one side")?;
    let received = all_received(&receiver, tasks(&control).await? * events).await?;

    let quantile = |share| received.latency.quantile(share);
    let p99 = quantile(0.99).ok_or("no delivery had a time")?;
    let slowest = quantile(1.0).map(millis).unwrap_or_default();
    let submit = |share| submits.latency.quantile(share).map(millis).unwrap_or_default();
    let row = Row::new("webhook-latency", millis(p99), "ms")
        .latency(quantile(0.5), quantile(0.99))
        .note(format!(
            "p99 from a status being made to its arrival, its commit included, rounded up by up to 1 ms; slowest \
             {slowest:.1} ms; {} deliveries of {} tasks/s; submits meanwhile: p50 {:.2} ms, p99 {:.2} ms",
            received.deliveries,
            options.rate,
            submit(0.5),
            submit(0.99),
        ))
        .errors("submit", submits.errors, submits.first_error.as_deref());
    Ok(vec![checked(row, &received).target(Target::AtMost(100.0))])
}
