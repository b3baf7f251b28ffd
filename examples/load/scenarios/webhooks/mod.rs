//! Webhooks: how soon deliveries come, how many of them, and what dead receivers do to the live ones and to tasks.

mod dead;
mod latency;
mod rate;

use std::time::Duration;

use a2a_gateway::proto::{
    a2a::TaskState,
    gateway::{CreateWebhookRequest, ListTasksRequest, NewWebhook, SubmitTaskRequest, UpdateWebhookRequest},
    well_known::Duration as ProtoDuration,
};

pub use self::{dead::dead, latency::latency, rate::rate};
use crate::{
    Options, Result,
    callers::message,
    client_grpc::Connection,
    receiver::{Received, Receiver},
    report::{Row, Target, millis},
    rounds::Side,
};

/// How long deliveries may take that are waited for.
const LIMIT: Duration = Duration::from_secs(300);

/// All of them.
pub async fn all(options: &Options) -> Result<Vec<Row>> {
    let mut rows = latency(options).await?;
    rows.extend(rate(options).await?);
    rows.extend(dead(options).await?);
    Ok(rows)
}

/// Stores a signed webhook of the default agent as a whole and returns its id.
async fn subscribe(control: &Connection, url: &str) -> Result<String> {
    let webhook = Some(NewWebhook { url: url.to_owned(), ..NewWebhook::default() });
    Ok(control.gateway().create_webhook(CreateWebhookRequest { webhook }).await?.into_inner().id)
}

/// Pauses a webhook, or lets it go on.
async fn enable(control: &Connection, id: &str, enabled: bool) -> Result<()> {
    let request = UpdateWebhookRequest { id: id.to_owned(), enabled: Some(enabled), ..UpdateWebhookRequest::default() };
    control.gateway().update_webhook(request).await?;
    Ok(())
}

/// How many events a task of the load has when it has settled; submits one to see.
async fn events_of_a_task(control: &Connection) -> Result<u64> {
    let wait = Some(ProtoDuration { seconds: 10, nanos: 0 });
    let request = SubmitTaskRequest { message: Some(message("hello")), wait, ..SubmitTaskRequest::default() };
    let record = control.gateway().submit_task(request).await?.into_inner();
    match record.task.and_then(|task| task.status).map(|status| status.state()) {
        Some(TaskState::Completed) => Ok(u64::try_from(record.sequence)?),
        other => Err(format!("the task is not completed but {other:?}").into()),
    }
}

/// How many tasks there are.
async fn tasks(control: &Connection) -> Result<u64> {
    let request = ListTasksRequest { page_size: 1, ..ListTasksRequest::default() };
    Ok(u64::try_from(control.gateway().list_tasks(request).await?.into_inner().total_size)?)
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

/// Adds what a receiver found wrong.
fn checked(row: Row, received: &Received) -> Row {
    let row = row.errors("receiver", received.errors, received.first_error.as_deref());
    if received.repeated == 0 { row } else { row.note(format!("{} deliveries came again", received.repeated)) }
}

/// The deliveries that a receiver gets, once they are all there.
async fn all_received(receiver: &Receiver, count: u64) -> Result<Received> {
    receiver.await_deliveries(count, LIMIT).await?;
    let received = receiver.take();
    if received.deliveries != count {
        return Err(format!("{} deliveries came instead of {count}", received.deliveries).into());
    }
    Ok(received)
}
