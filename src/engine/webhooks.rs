//! Webhooks as callers manage them: made, read, changed and removed; their deliveries listed and sent again.
//!
//! What is sent, and when, is the dispatcher's business. Two things are asked of it here ([`Courier`]): whether an
//! address may be sent to, so that a caller hears of a bad one at once; and to let go of a webhook that was removed, so
//! that no attempt is under way once the caller is told.

mod new;

pub use new::{NewWebhook, Scope, Signing, StoredWebhook};
use new::{authentication_problem, token_problem};
pub(super) use new::{check, make, prepare};

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Caller, Inner, now, page::Token};
use crate::{
    error::{Error, ErrorKind, Result},
    proto::a2a::AuthenticationInfo,
    store::{
        Delivery, DeliveryQuery, DeliveryState, Identity, Key, Redelivery, Standing, WebhookChange, WebhookQuery, Which,
    },
    task::{DeliveryId, Dialect, Events, TaskId, Webhook, WebhookId, WebhookState, validate::Violations, webhook},
};

/// How long deliveries are signed with a replaced secret, too: 24 hours, in milliseconds.
const ROTATION: i64 = 24 * 3600 * 1000;

/// What the engine needs of the dispatcher.
pub trait Courier: Send + Sync + 'static {
    /// Whether deliveries may go to a URL, as far as can be told now.
    ///
    /// # Errors
    /// Why they may not, without the field's name: `must …`.
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Ends what is under way to a webhook. Resolves when nothing is.
    fn stop(&self, webhook: WebhookId) -> BoxFuture<'_, ()>;
}

/// What to change of a webhook. None: stays as it is.
#[derive(Clone, Default)]
pub struct WebhookUpdate {
    /// Where it is sent.
    pub url: Option<String>,
    /// Empty: none from now on.
    pub token: Option<String>,
    /// `Some(None)`: none from now on.
    pub authentication: Option<Option<AuthenticationInfo>>,
    /// What it hears of.
    pub events: Option<Events>,
    /// The form of what is sent.
    pub payload: Option<Dialect>,
    /// Whether it is sent to.
    pub enabled: Option<bool>,
    /// Whether to make a new signing secret.
    pub rotate: bool,
}

/// Which webhooks to list. Unset filters match all.
#[derive(Clone, Debug, Default)]
pub struct WebhookFilter {
    /// Of this agent and its tasks.
    pub agent: String,
    /// Of this task.
    pub task: String,
    /// With this payload.
    pub payload: Option<Dialect>,
    /// 1 to 100; none: 50.
    pub page_size: Option<i32>,
    /// From the page before; empty: the first page.
    pub page_token: String,
}

/// Which deliveries to list. Unset filters match all. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Of this webhook.
    pub webhook: Option<WebhookId>,
    /// Of this task.
    pub task: Option<TaskId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Of events at this time or later.
    pub from: Option<i64>,
    /// Of events before this time.
    pub to: Option<i64>,
    /// 1 to 100; none: 50.
    pub page_size: Option<i32>,
    /// From the page before; empty: the first page.
    pub page_token: String,
}

/// What to send again.
#[derive(Clone, Debug)]
pub enum Resend {
    /// One delivery.
    One(DeliveryId),
    /// Those of a webhook. Times are milliseconds since 1970 UTC.
    Many {
        /// The webhook.
        webhook: WebhookId,
        /// Of events at this time or later; none: from the oldest.
        from: Option<i64>,
        /// Of events before this time; none: before now.
        to: Option<i64>,
        /// Only those that were given up.
        failed_only: bool,
    },
}

impl super::Engine {
    /// Whether webhooks are offered.
    pub fn offers_webhooks(&self) -> bool {
        self.inner.courier.is_some()
    }

    /// Says so where webhooks are turned off.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`.
    pub fn check_webhooks(&self) -> Result<()> {
        self.inner.courier().map(drop)
    }

    /// Stores a webhook, or changes the one of the same scope and name to what this one says.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `InvalidArgument` naming the field, `TaskNotFound`, `AgentNotFound`,
    /// `WebhookLimit`, `StoreFull`, `Unavailable`.
    pub async fn create_webhook(&self, caller: &Caller, new: NewWebhook) -> Result<StoredWebhook> {
        let inner = &self.inner;
        check(inner, std::slice::from_ref(&new)).await?;
        let place = inner.place(caller, &new.scope).await?;
        let StoredWebhook { webhook, minted } = prepare(inner, caller, new, &place).await?;
        let webhook = inner.store.put_webhook(webhook).await?;
        Ok(StoredWebhook { webhook, minted })
    }

    /// Reads a webhook.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `WebhookNotFound`, `Unavailable`.
    pub async fn webhook(&self, caller: &Caller, which: Which) -> Result<Webhook> {
        self.inner.courier()?;
        self.inner.store.webhook(caller.owner.clone(), which).await?.ok_or_else(not_found)
    }

    /// What waits of a webhook, and what was given up.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn standing(&self, webhook: &Webhook) -> Result<Standing> {
        self.inner.store.standing(webhook.id).await
    }

    /// Lists webhooks, oldest first, and the token of the next page; empty: there is none.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `InvalidArgument` naming the field, `Unavailable`.
    pub async fn webhooks(&self, caller: &Caller, filter: WebhookFilter) -> Result<(Vec<Webhook>, String)> {
        self.inner.courier()?;
        let mut violations = Violations::default();
        violations.id("agent", &filter.agent);
        violations.id("task_id", &filter.task);
        let limit = violations.page_size("page_size", filter.page_size);
        let token = Token::new(&("webhooks", &caller.owner, &filter.agent, &filter.task, filter.payload));
        let after = place_of(&token, &filter.page_token, &mut violations);
        violations.check()?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let query = WebhookQuery {
            owner: caller.owner.clone(),
            agent: some(filter.agent),
            task: some(filter.task),
            payload: filter.payload,
            after: after.unwrap_or(0),
            limit: usize::try_from(limit).unwrap_or(1),
        };
        let page = self.inner.store.webhooks(query).await?;
        Ok((page.webhooks, token_of(&token, page.next)))
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `InvalidArgument` naming the field, `WebhookNotFound`, `StoreFull`,
    /// `Unavailable`.
    pub async fn update_webhook(&self, caller: &Caller, id: WebhookId, update: WebhookUpdate) -> Result<StoredWebhook> {
        let courier = self.inner.courier()?;
        let mut violations = Violations::default();
        if let Some(token) = &update.token {
            token_problem(&mut violations, "token", token);
        }
        if let Some(Some(authentication)) = &update.authentication {
            authentication_problem(&mut violations, "authentication", authentication);
        }
        let mut target = None;
        if let Some(url) = &update.url {
            match webhook::parse_url(url) {
                Ok(parsed) => target = Some((url.clone(), webhook::origin(&parsed))),
                Err(problem) => violations.add("url", problem),
            }
        }
        violations.check()?;
        if let Some((url, _)) = &target {
            courier.check(url).await.map_err(|problem| Error::invalid("url", problem))?;
        }
        let owner = caller.owner.clone();
        let now = now();
        let signing = match update.rotate {
            true => Some((webhook::mint_signing()?, now.saturating_add(ROTATION))),
            false => None,
        };
        let state = |enabled| if enabled { WebhookState::Enabled } else { WebhookState::Paused };
        let change = WebhookChange {
            id,
            now,
            target,
            events: update.events,
            payload: update.payload,
            state: update.enabled.map(state),
            token: update.token,
            authentication: update.authentication,
            signing,
        };
        let (inner, courier) = (self.inner.clone(), courier.clone());
        // A task of its own: a caller that goes away must not leave attempts of a paused webhook under way.
        let changing = self.inner.tasks.spawn(async move {
            let webhook = inner.store.update_webhook(owner, change).await?.ok_or_else(not_found)?;
            if webhook.state == WebhookState::Paused {
                courier.stop(id).await;
            }
            Ok(StoredWebhook { webhook, minted: update.rotate })
        });
        changing.await.unwrap_or_else(|cause| Err(Error::internal("changing a webhook", cause)))
    }

    /// Removes a webhook: no attempt of it is under way once this returns. One that is not there is no error.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `StoreFull`, `Unavailable`.
    pub async fn delete_webhook(&self, caller: &Caller, id: WebhookId) -> Result<bool> {
        let courier = self.inner.courier()?.clone();
        let (inner, owner) = (self.inner.clone(), caller.owner.clone());
        // A task of its own: a caller that goes away must not leave attempts of a removed webhook under way.
        let removing = self.inner.tasks.spawn(async move {
            let removed = inner.store.delete_webhook(owner, id).await?;
            if removed {
                courier.stop(id).await;
            }
            Ok(removed)
        });
        removing.await.unwrap_or_else(|cause| Err(Error::internal("removing a webhook", cause)))
    }

    /// Lists deliveries, newest first, and the token of the next page; empty: there is none.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `InvalidArgument` naming the field, `Unavailable`.
    pub async fn deliveries(&self, caller: &Caller, filter: DeliveryFilter) -> Result<(Vec<Delivery>, String)> {
        self.inner.courier()?;
        let mut violations = Violations::default();
        let limit = violations.page_size("page_size", filter.page_size);
        let DeliveryFilter { webhook, task, state, from, to, page_token, .. } = filter;
        let token = Token::new(&("deliveries", &caller.owner, webhook, task, state, from, to));
        let before = place_of(&token, &page_token, &mut violations);
        violations.check()?;
        let owner = caller.owner.clone();
        let limit = usize::try_from(limit).unwrap_or(1);
        let query = DeliveryQuery { owner, webhook, task, state, from, to, before, limit };
        let page = self.inner.store.deliveries(query).await?;
        Ok((page.deliveries, token_of(&token, page.next)))
    }

    /// Makes deliveries due again. Returns how many.
    ///
    /// # Errors
    /// `PushNotificationNotSupported`, `WebhookNotFound`, `DeliveryNotFound`, `StoreFull`, `Unavailable`.
    pub async fn redeliver(&self, caller: &Caller, what: Resend) -> Result<u64> {
        self.inner.courier()?;
        let store = &self.inner.store;
        let owner = &caller.owner;
        let (webhook, from, to, failed_only) = match what {
            Resend::One(id) => {
                let requeued = store.redeliver(owner.clone(), Redelivery::One(id)).await?;
                let missing = || {
                    let message = "there is no such delivery, or it is no longer kept";
                    Error::new(ErrorKind::DeliveryNotFound, message).with("deliveryId", id)
                };
                return if requeued.count == 0 { Err(missing()) } else { Ok(requeued.count) };
            }
            Resend::Many { webhook, from, to, failed_only } => (webhook, from, to, failed_only),
        };
        store.webhook(owner.clone(), Which::Id(webhook)).await?.ok_or_else(not_found)?;
        let (from, to) = (from.unwrap_or(0), to.unwrap_or_else(now));
        let (mut count, mut after) = (0, 0);
        loop {
            let wanted = Redelivery::Many { webhook, from, to, failed_only, after };
            let requeued = store.redeliver(owner.clone(), wanted).await?;
            count += requeued.count;
            match requeued.next {
                Some(next) => after = next,
                None => return Ok(count),
            }
        }
    }
}

/// Where a webhook belongs.
pub(super) struct Place {
    pub agent: Arc<str>,
    /// Empty: to the agent as a whole.
    pub task: String,
}

impl Place {
    /// A task's.
    pub fn of(task: &Identity) -> Self {
        Self { agent: task.agent.clone(), task: task.id.to_string() }
    }

    fn which(&self, name: &str) -> Which {
        let name = name.to_owned();
        if self.task.is_empty() {
            Which::Agent { agent: self.agent.to_string(), name }
        } else {
            Which::Task { task: self.task.clone(), name }
        }
    }
}

impl Inner {
    fn courier(&self) -> Result<&Arc<dyn Courier>> {
        let message = "webhooks are turned off here (webhooks.enabled)";
        self.courier.as_ref().ok_or_else(|| Error::new(ErrorKind::PushNotificationNotSupported, message))
    }

    async fn place(&self, caller: &Caller, scope: &Scope) -> Result<Place> {
        let of_task = async |id: TaskId| {
            let record = self.record(caller, id).await?;
            Ok(Place { agent: record.agent, task: id.to_string() })
        };
        match scope {
            Scope::Submitted | Scope::Inline => Err(Error::internal("storing a webhook", "it has no task")),
            Scope::Task(id) => of_task(*id).await,
            Scope::Named(text) => {
                let known = match TaskId::known(text) {
                    Some(id) => of_task(id).await,
                    None => Err(Error::task_not_found(text)),
                };
                match known {
                    Err(error) if error.kind() == ErrorKind::TaskNotFound => {
                        Ok(Place { agent: "".into(), task: text.clone() })
                    }
                    other => other,
                }
            }
            Scope::Agent(name) => Ok(Place { agent: self.roster.find(name)?.name.clone(), task: String::new() }),
        }
    }
}

fn place_of(token: &Token, text: &str, violations: &mut Violations) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let place = token.read(text).map(|key| key.row);
    if place.is_none() {
        violations.add("page_token", "must be the next_page_token of a list with the same filters");
    }
    place
}

fn token_of(token: &Token, next: Option<i64>) -> String {
    next.map(|row| token.write(Key { updated: 0, row })).unwrap_or_default()
}

fn not_found() -> Error {
    Error::new(ErrorKind::WebhookNotFound, "there is no such webhook")
}
