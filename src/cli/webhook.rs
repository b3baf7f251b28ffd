//! `webhook …`: where events are sent, what was sent, and sending it again.

mod deliveries;
mod fields;
mod show;

use clap::{Args, Subcommand};
use tonic::Code;

use super::{
    Exit,
    client::{Failure, Gateway, Target},
    print::{Screen, dim},
    text::now,
};
use crate::proto::gateway::{
    CreateWebhookRequest, DeleteWebhookRequest, GetWebhookRequest, ListWebhooksRequest, NewWebhook,
    UpdateWebhookRequest, Webhook,
};
use deliveries::{DeliveriesArgs, RedeliverArgs};
pub(super) use fields::Inline;
use fields::{Authorization, Event, Payload};

use super::secret::Given;

/// The most webhooks or deliveries that the gateway puts on one page.
const PAGE: usize = 100;

/// Arguments of `webhook`.
#[derive(Clone, Debug, Args)]
pub(super) struct WebhookArgs {
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum WebhookCommand {
    /// Store a webhook, or change the one of the same name
    Create(CreateArgs),
    /// List webhooks, oldest first
    List(ListArgs),
    /// Show a webhook
    Get(GetArgs),
    /// Change, pause or enable a webhook
    Update(UpdateArgs),
    /// Remove a webhook and its deliveries
    Delete(DeleteArgs),
    /// List what was sent and what waits, newest first
    Deliveries(DeliveriesArgs),
    /// Send deliveries again
    Redeliver(RedeliverArgs),
}

/// Arguments of `webhook create`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Secrets may be written as env:NAME or file:PATH.\n\n\
    Examples:\n  a2a-gateway webhook create --url https://example.com/hook\n  \
    a2a-gateway webhook create --url https://example.com/hook --task 01980c0e-… --token env:HOOK_TOKEN\n  \
    a2a-gateway webhook create --url https://example.com/hook --agent writer --auth \"Bearer xyz\" --events status\n\n\
    `a2a-gateway listen` is a receiver to try it with.")]
pub(super) struct CreateArgs {
    /// Where to send: an http or https URL
    #[arg(long, value_name = "URL")]
    url: String,
    /// Hear of this task only
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true, conflicts_with = "agent")]
    task: String,
    /// Hear of all tasks of this agent [default: the gateway's default agent]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    agent: String,
    /// Its name; the webhook of this name is changed if there is one [default: its id]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Sent in the headers X-A2A-Notification-Token and A2A-Notification-Token
    #[arg(long, value_name = "SECRET", value_parser = Given::parse)]
    token: Option<Given>,
    #[command(flatten)]
    authorization: Authorization,
    /// Sign with this secret: whsec_ and base64 [default: one is made]
    #[arg(long, value_name = "SECRET", value_parser = Given::parse)]
    secret: Option<Given>,
    /// What to hear of [default: status,artifact; with another payload than 1.0: status]
    #[arg(long, value_name = "EVENT", value_delimiter = ',')]
    events: Vec<Event>,
    /// The form of what is sent [default: 1.0]
    #[arg(long, value_name = "FORM")]
    payload: Option<Payload>,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `webhook list`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  a2a-gateway webhook list --agent writer")]
pub(super) struct ListArgs {
    /// Only webhooks of this task
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    task: String,
    /// Only webhooks of this agent and its tasks
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    agent: String,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All that match
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `webhook get`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  a2a-gateway webhook get 01980c0e-…")]
pub(super) struct GetArgs {
    /// The webhook's id
    id: String,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `webhook update`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Secrets may be written as env:NAME or file:PATH.\n\n\
    Examples:\n  a2a-gateway webhook update 01980c0e-… --pause\n  \
    a2a-gateway webhook update 01980c0e-… --url https://example.com/new --enable\n  \
    a2a-gateway webhook update 01980c0e-… --rotate-secret")]
pub(super) struct UpdateArgs {
    /// The webhook's id
    id: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    target: Target,
}

/// What to change. At least one of them.
#[derive(Clone, Debug, Args)]
struct Change {
    /// Send there from now on
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The token from now on
    #[arg(long, value_name = "SECRET", value_parser = Given::parse, conflicts_with = "no_token")]
    token: Option<Given>,
    /// Send no token
    #[arg(long)]
    no_token: bool,
    #[command(flatten)]
    authorization: Authorization,
    /// Send no Authorization header
    #[arg(long, conflicts_with_all = ["auth", "auth_scheme"])]
    no_auth: bool,
    /// What to hear of from now on
    #[arg(long, value_name = "EVENT", value_delimiter = ',')]
    events: Vec<Event>,
    /// The form of what is sent from now on
    #[arg(long, value_name = "FORM")]
    payload: Option<Payload>,
    /// Send nothing until it is enabled: deliveries wait
    #[arg(long, conflicts_with = "enable")]
    pause: bool,
    /// Send again, whatever stopped it
    #[arg(long)]
    enable: bool,
    /// Make a new signing secret; for 24 hours deliveries are signed with the one before, too
    #[arg(long)]
    rotate_secret: bool,
}

/// Arguments of `webhook delete`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  a2a-gateway webhook delete 01980c0e-…")]
pub(super) struct DeleteArgs {
    /// The webhook's id
    id: String,
    #[command(flatten)]
    target: Target,
}

impl WebhookArgs {
    /// Whether output is for programs.
    pub(super) fn json(&self) -> bool {
        let target = match &self.command {
            WebhookCommand::Create(args) => &args.target,
            WebhookCommand::List(args) => &args.target,
            WebhookCommand::Get(args) => &args.target,
            WebhookCommand::Update(args) => &args.target,
            WebhookCommand::Delete(args) => &args.target,
            WebhookCommand::Deliveries(args) => &args.target,
            WebhookCommand::Redeliver(args) => &args.target,
        };
        target.json
    }
}

/// Does what a `webhook` command says.
pub(super) async fn webhook(args: WebhookArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    match args.command {
        WebhookCommand::Create(args) => create(args, screen).await,
        WebhookCommand::List(args) => list(args, screen).await,
        WebhookCommand::Get(args) => get(args, screen).await,
        WebhookCommand::Update(args) => update(args, screen).await,
        WebhookCommand::Delete(args) => delete(args, screen).await,
        WebhookCommand::Deliveries(args) => deliveries::deliveries(args, screen).await,
        WebhookCommand::Redeliver(args) => deliveries::redeliver(args, screen).await,
    }
}

async fn create(args: CreateArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let given = args.secret.is_some();
    let secret = |given: Option<Given>| given.map(|given| given.value).unwrap_or_default();
    let new = NewWebhook {
        task_id: args.task,
        agent: args.agent,
        name: args.name,
        url: args.url,
        token: secret(args.token),
        authentication: args.authorization.read()?,
        events: fields::numbers(&args.events),
        payload: args.payload.map(Payload::number).unwrap_or_default(),
        signing_secret: secret(args.secret),
    };
    let mut gateway = Gateway::connect(&args.target).await?;
    let answer = gateway.client.create_webhook(CreateWebhookRequest { webhook: Some(new) }).await;
    let webhook = answer.map_err(|status| gateway.refused("store the webhook", status))?.into_inner();
    show(&webhook, args.target.json, screen)?;
    if !args.target.json && !given && webhook.signing_secret.is_empty() {
        screen.note(&dim("it was there already and keeps its signing secret"))?;
    }
    Ok(Exit::Done)
}

async fn list(args: ListArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let limit = if args.all { usize::MAX } else { args.limit as usize };
    let mut request = ListWebhooksRequest { task_id: args.task, agent: args.agent, ..ListWebhooksRequest::default() };
    let mut webhooks = Vec::new();
    let more = loop {
        request.page_size = PAGE.min(limit - webhooks.len()) as i32;
        let answer = gateway.client.list_webhooks(request.clone()).await;
        let page = answer.map_err(|status| gateway.refused("list the webhooks", status))?.into_inner();
        if args.target.json {
            page.webhooks.iter().try_for_each(|webhook| screen.json(webhook))?;
        }
        webhooks.extend(page.webhooks);
        if webhooks.len() >= limit || page.next_page_token.is_empty() {
            break !page.next_page_token.is_empty();
        }
        request.page_token = page.next_page_token;
    };
    if args.target.json {
        return Ok(Exit::Done);
    }
    if webhooks.is_empty() {
        screen.note(&dim("no webhooks"))?;
    } else {
        screen.block(&show::webhooks(&webhooks, now()))?;
    }
    if more {
        screen.note(&dim("there are more; --all shows all of them"))?;
    }
    Ok(Exit::Done)
}

async fn get(args: GetArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    let answer = gateway.client.get_webhook(GetWebhookRequest { id: args.id }).await;
    let webhook = answer.map_err(|status| gateway.refused("read the webhook", status))?.into_inner();
    show(&webhook, args.target.json, screen)?;
    Ok(Exit::Done)
}

async fn update(args: UpdateArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let UpdateArgs { id, change, target } = args;
    let token = change.token.map(|given| given.value).or_else(|| change.no_token.then(String::new));
    let request = UpdateWebhookRequest {
        id,
        url: change.url,
        token,
        authentication: change.authorization.read()?.or_else(|| change.no_auth.then(Default::default)),
        events: fields::numbers(&change.events),
        payload: change.payload.map(Payload::number).unwrap_or_default(),
        enabled: (change.enable || change.pause).then_some(change.enable),
        rotate_signing_secret: change.rotate_secret,
    };
    if request == (UpdateWebhookRequest { id: request.id.clone(), ..UpdateWebhookRequest::default() }) {
        let problem = "there is nothing to change: `a2a-gateway webhook update --help` tells what can be changed";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let mut gateway = Gateway::connect(&target).await?;
    let answer = gateway.client.update_webhook(request).await;
    let webhook = answer.map_err(|status| gateway.refused("change the webhook", status))?.into_inner();
    show(&webhook, target.json, screen)?;
    Ok(Exit::Done)
}

async fn delete(args: DeleteArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut gateway = Gateway::connect(&args.target).await?;
    // Removing what is not there succeeds, so that it can be repeated; but an id may have been mistyped.
    let known = gateway.client.get_webhook(GetWebhookRequest { id: args.id.clone() }).await;
    let unknown = known.is_err_and(|status| status.code() == Code::NotFound);
    let answer = gateway.client.delete_webhook(DeleteWebhookRequest { id: args.id }).await;
    answer.map_err(|status| gateway.refused("remove the webhook", status))?;
    if !args.target.json {
        let said = if unknown { "there is no such webhook" } else { "removed; nothing is sent any more" };
        screen.note(&dim(said))?;
    }
    Ok(Exit::Done)
}

fn show(webhook: &Webhook, json: bool, screen: &mut Screen) -> Result<(), Failure> {
    if json {
        return Ok(screen.json(webhook)?);
    }
    screen.block(&show::webhook(webhook, now()))?;
    tell_secret(webhook, screen)
}

/// Shows a secret that has just been made, and says that this is the only time.
fn tell_secret(webhook: &Webhook, screen: &mut Screen) -> Result<(), Failure> {
    if !webhook.signing_secret.is_empty() {
        screen.block(&show::secret(webhook))?;
        screen.note(&dim("the signing secret is not shown again: give it to the receiver now"))?;
    }
    Ok(())
}

/// Tells of the webhooks that a submit has stored: on the error output, so that the content stays the task's.
pub(super) fn submitted(webhooks: &[Webhook], screen: &mut Screen) -> Result<(), Failure> {
    for webhook in webhooks {
        screen.note(&show::submitted(webhook))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
