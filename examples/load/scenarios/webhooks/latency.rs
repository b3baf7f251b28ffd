//! From a commit to the receiver of a webhook, while tasks come at a moderate rate; and what the webhook costs those who
//! submit them, against a gateway without one, in turns.

use super::{all_received, checked, events_of_a_task, submits, subscribe, tasks};
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
    let plain = Gateway::start().await?;
    let control = Connection::open(&gateway.address).await?;
    subscribe(&control, &receiver.urls[0]).await?;
    let events = events_of_a_task(&control).await?;
    let mut sides = [
        Submit::callers(&plain.address, options.connections).await?,
        Submit::callers(&gateway.address, options.connections).await?,
    ];
    let measured = take_turns(Plan::new(options.seconds), options.rate as f64, &mut sides).await?;
    let [without, with] = measured.as_slice() else { return Err("there are two sides".into()) };
    let received = all_received(&receiver, tasks(&control).await? * events).await?;

    let quantile = |share| received.latency.quantile(share);
    let p99 = quantile(0.99).ok_or("no delivery had a time")?;
    let slowest = quantile(1.0).map(millis).unwrap_or_default();
    let row = Row::new("webhook-latency", millis(p99), "ms").latency(quantile(0.5), quantile(0.99)).note(format!(
        "p99 from a status being made to its arrival, its commit included, rounded up by up to 1 ms; slowest \
             {slowest:.1} ms; {} deliveries of {} tasks/s",
        received.deliveries, options.rate,
    ));
    let submit = submits("webhook-submit", with, without, "tasks of an agent with a webhook")?;
    Ok(vec![checked(row, &received).target(Target::AtMost(100.0)), submit])
}
