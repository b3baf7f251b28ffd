//! `webhook deliveries` and `webhook redeliver`.

use clap::Args;

use super::{PAGE, show};
use crate::{
    cli::{
        Exit,
        client::{Failure, Gateway, Target},
        print::{Screen, dim},
        text::{now, parse_when},
    },
    proto::{
        gateway::{DeliveryState, ListDeliveriesRequest, RedeliverRequest, redeliver_request::What},
        well_known::Timestamp,
    },
};

/// Arguments of `webhook deliveries`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  a2a-gateway webhook deliveries --webhook 01980c0e-… --failed\n  \
    a2a-gateway webhook deliveries --task 01980c0e-… --json\n  a2a-gateway webhook deliveries --from 2h --to 1h --all")]
pub(super) struct DeliveriesArgs {
    /// Only of this webhook
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    webhook: String,
    /// Only of this task
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    task: String,
    /// Only those that were given up
    #[arg(long, conflicts_with = "pending")]
    failed: bool,
    /// Only those that wait or are under way
    #[arg(long)]
    pending: bool,
    /// Only of events since: a duration (2h, 3d) or a time (2026-01-02T03:04:05Z)
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    from: Option<Timestamp>,
    /// Only of events before: a duration or a time
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    to: Option<Timestamp>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All that match
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

/// Arguments of `webhook redeliver`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Deliveries are sent again under the same ids, in the order of their events.\n\n\
    Examples:\n  a2a-gateway webhook redeliver 01980c0e…_01980c0f…_3\n  \
    a2a-gateway webhook redeliver --failed 01980c0e-…\n  \
    a2a-gateway webhook redeliver --all 01980c0e-… --since 2h")]
pub(super) struct RedeliverArgs {
    #[command(flatten)]
    which: Which,
    /// Only of events since: a duration (2h, 3d) or a time (2026-01-02T03:04:05Z)
    #[arg(long, value_name = "WHEN", value_parser = parse_when, conflicts_with = "id")]
    since: Option<Timestamp>,
    /// Only of events before: a duration or a time [default: now]
    #[arg(long, value_name = "WHEN", value_parser = parse_when, conflicts_with = "id")]
    until: Option<Timestamp>,
    #[command(flatten)]
    pub(super) target: Target,
}

/// What to send again: one of them.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Send this delivery again, whatever became of it
    #[arg(value_name = "DELIVERY")]
    id: Option<String>,
    /// Send those of this webhook again that were given up
    #[arg(long, value_name = "WEBHOOK")]
    failed: Option<String>,
    /// Send all of this webhook again, delivered ones too; needs --since
    #[arg(long, value_name = "WEBHOOK", requires = "since")]
    all: Option<String>,
}

/// Lists deliveries.
pub(super) async fn deliveries(args: DeliveriesArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let limit = if args.all { usize::MAX } else { args.limit as usize };
    let state = match (args.failed, args.pending) {
        (true, _) => DeliveryState::Failed,
        (_, true) => DeliveryState::Pending,
        _ => DeliveryState::Unspecified,
    };
    let mut request = ListDeliveriesRequest {
        webhook_id: args.webhook,
        task_id: args.task,
        state: state.into(),
        from: args.from,
        to: args.to,
        ..ListDeliveriesRequest::default()
    };
    let mut count = 0;
    let more = loop {
        request.page_size = PAGE.min(limit - count) as i32;
        let answer = gateway.client.list_deliveries(request.clone()).await;
        let page = answer.map_err(|status| gateway.refused("list the deliveries", status))?.into_inner();
        count += page.deliveries.len();
        for delivery in &page.deliveries {
            if args.target.json {
                screen.json(delivery)?;
            } else {
                screen.block(&show::delivery(delivery, now()))?;
            }
        }
        if count >= limit || page.next_page_token.is_empty() {
            break !page.next_page_token.is_empty();
        }
        request.page_token = page.next_page_token;
    };
    if !args.target.json && count == 0 {
        screen.note(&dim("no deliveries"))?;
    } else if !args.target.json && more {
        screen.note(&dim("there are more; --all shows all of them"))?;
    }
    Ok(Exit::Done)
}

/// Sends deliveries again.
pub(super) async fn redeliver(args: RedeliverArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let Which { id, failed, all } = args.which;
    let what = failed.map(What::FailedOf).or(all.map(What::AllOf)).or(id.map(What::DeliveryId));
    let request = RedeliverRequest { what, from: args.since, to: args.until };
    let answer = gateway.client.redeliver(request).await;
    let answer = answer.map_err(|status| gateway.refused("send it again", status))?.into_inner();
    if args.target.json {
        screen.json(&answer)?;
        return Ok(Exit::Done);
    }
    screen.note(&match answer.count {
        0 => "nothing to send again".to_owned(),
        1 => "1 delivery is sent again".to_owned(),
        count => format!("{count} deliveries are sent again"),
    })?;
    Ok(Exit::Done)
}
