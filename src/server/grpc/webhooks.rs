//! The webhooks of the gateway's own API. The contract's comments say what each method does.
//!
//! What a caller gave as a secret is never said back: of a token that there is one, of an authorization its scheme, and
//! of a signing secret only one that the gateway has just made.

use crate::{
    engine::{
        Caller, DeliveryFilter, Engine, NewWebhook, Resend, Scope, Signing, StoredWebhook, WebhookFilter, WebhookUpdate,
    },
    error::{Error, ErrorKind, Result},
    proto::{
        a2a::AuthenticationInfo,
        gateway::{
            self as api, CreateWebhookRequest, DeleteWebhookRequest, DeliveryAttempt, GetWebhookRequest,
            ListDeliveriesRequest, ListDeliveriesResponse, ListWebhooksRequest, ListWebhooksResponse, RedeliverRequest,
            RedeliverResponse, UpdateWebhookRequest, WebhookEvent, WebhookPayload, redeliver_request::What,
        },
        well_known::{Duration, Timestamp},
    },
    server::a2a::timestamp,
    store::{Attempt, Delivery, DeliveryState, Standing, Which},
    task::{DeliveryId, Dialect, Events, TaskId, Webhook, WebhookId, WebhookState, validate::Violations},
};

/// Stores a webhook, or changes the one of its name.
pub async fn create(engine: &Engine, caller: &Caller, request: CreateWebhookRequest) -> Result<api::Webhook> {
    engine.check_webhooks()?;
    let new = request.webhook.ok_or_else(|| Error::invalid("webhook", "is required"))?;
    let scope = scope(engine, caller, &new).await?;
    let mut violations = Violations::default();
    let new = new_webhook("webhook.", new, scope, &mut violations);
    violations.check()?;
    engine.create_webhook(caller, new).await.map(|made| stored(&made))
}

/// Reads a webhook.
pub async fn get(engine: &Engine, caller: &Caller, request: GetWebhookRequest) -> Result<api::Webhook> {
    engine.check_webhooks()?;
    let id = webhook_id("id", &request.id)?;
    let found = engine.webhook(caller, Which::Id(id)).await?;
    let Standing { pending, failed } = engine.standing(&found).await?;
    Ok(api::Webhook {
        pending_deliveries: Some(number(pending)),
        failed_deliveries: Some(number(failed)),
        ..webhook(&found)
    })
}

/// Lists webhooks.
pub async fn list(engine: &Engine, caller: &Caller, request: ListWebhooksRequest) -> Result<ListWebhooksResponse> {
    let filter = WebhookFilter {
        agent: request.agent,
        task: request.task_id,
        payload: None,
        page_size: Some(request.page_size).filter(|size| *size != 0),
        page_token: request.page_token,
    };
    let (webhooks, next_page_token) = engine.webhooks(caller, filter).await?;
    Ok(ListWebhooksResponse { webhooks: webhooks.iter().map(webhook).collect(), next_page_token })
}

/// Changes a webhook.
pub async fn update(engine: &Engine, caller: &Caller, request: UpdateWebhookRequest) -> Result<api::Webhook> {
    engine.check_webhooks()?;
    let id = webhook_id("id", &request.id)?;
    let mut violations = Violations::default();
    let update = WebhookUpdate {
        url: request.url,
        token: request.token,
        authentication: request
            .authentication
            .map(|authentication| Some(authentication).filter(|given| !is_empty(given))),
        events: events("events", &request.events, &mut violations),
        payload: payload("payload", request.payload, &mut violations),
        enabled: request.enabled,
        rotate: request.rotate_signing_secret,
    };
    violations.check()?;
    engine.update_webhook(caller, id, update).await.map(|changed| stored(&changed))
}

/// Removes a webhook.
pub async fn delete(engine: &Engine, caller: &Caller, request: DeleteWebhookRequest) -> Result<()> {
    engine.check_webhooks()?;
    if request.id.is_empty() {
        return Err(id_required("id"));
    }
    // What cannot be an id names nothing that could be left behind.
    match WebhookId::known(&request.id) {
        Some(id) => engine.delete_webhook(caller, id).await.map(drop),
        None => Ok(()),
    }
}

/// Lists deliveries.
pub async fn deliveries(
    engine: &Engine,
    caller: &Caller,
    request: ListDeliveriesRequest,
) -> Result<ListDeliveriesResponse> {
    engine.check_webhooks()?;
    let of_webhook = match request.webhook_id.as_str() {
        "" => None,
        // An id that was mistyped is told apart from a webhook that has sent nothing yet.
        id => Some(engine.webhook(caller, Which::Id(webhook_id("webhook_id", id)?)).await?.id),
    };
    let of_task = match request.task_id.as_str() {
        "" => None,
        id => Some(TaskId::parse("task_id", id)?),
    };
    let mut violations = Violations::default();
    let state = delivery_state(request.state, &mut violations);
    let (from, to) = range(request.from, request.to, &mut violations);
    violations.check()?;
    let filter = DeliveryFilter {
        webhook: of_webhook,
        task: of_task,
        state,
        from,
        to,
        page_size: Some(request.page_size).filter(|size| *size != 0),
        page_token: request.page_token,
    };
    let (deliveries, next_page_token) = engine.deliveries(caller, filter).await?;
    Ok(ListDeliveriesResponse { deliveries: deliveries.into_iter().map(delivery).collect(), next_page_token })
}

/// Sends deliveries again.
pub async fn redeliver(engine: &Engine, caller: &Caller, request: RedeliverRequest) -> Result<RedeliverResponse> {
    engine.check_webhooks()?;
    let mut violations = Violations::default();
    let given = [("from", request.from.is_some()), ("to", request.to.is_some())];
    let (from, to) = range(request.from, request.to, &mut violations);
    let many = |webhook, failed_only| Resend::Many { webhook, from, to, failed_only };
    let what = match request.what {
        None => return Err(Error::invalid("delivery_id", "is required, or failed_of or all_of")),
        Some(What::DeliveryId(id)) => {
            for (field, _) in given.iter().filter(|(_, given)| *given) {
                violations.add(*field, "must be unset with delivery_id");
            }
            violations.check()?;
            Resend::One(delivery_id(&id)?)
        }
        Some(What::FailedOf(id)) => {
            violations.check()?;
            many(webhook_id("failed_of", &id)?, true)
        }
        Some(What::AllOf(id)) => {
            if from.is_none() {
                violations.add("from", "is required with all_of");
            }
            violations.check()?;
            many(webhook_id("all_of", &id)?, false)
        }
    };
    Ok(RedeliverResponse { count: number(engine.redeliver(caller, what).await?) })
}

/// The webhooks that a submit brings.
///
/// # Errors
/// `InvalidArgument` naming the fields.
pub fn submitted(webhooks: Vec<api::NewWebhook>) -> Result<Vec<NewWebhook>> {
    let mut violations = Violations::default();
    let mut all = Vec::with_capacity(webhooks.len());
    for (i, new) in webhooks.into_iter().enumerate() {
        let field = format!("webhooks[{i}].");
        for (name, value) in [("task_id", &new.task_id), ("agent", &new.agent)] {
            if !value.is_empty() {
                violations.add(format!("{field}{name}"), "must be empty: the webhook hears of the task of this submit");
            }
        }
        all.push(new_webhook(&field, new, Scope::Submitted, &mut violations));
    }
    violations.check()?;
    Ok(all)
}

/// A webhook as the answer to the request that stored it shows it.
pub fn stored(stored: &StoredWebhook) -> api::Webhook {
    let signing = stored.minted.then(|| stored.webhook.secrets.signing.clone());
    api::Webhook { signing_secret: signing.unwrap_or_default(), ..webhook(&stored.webhook) }
}

async fn scope(engine: &Engine, caller: &Caller, new: &api::NewWebhook) -> Result<Scope> {
    let mut violations = Violations::default();
    violations.id("webhook.agent", &new.agent);
    violations.check()?;
    if new.task_id.is_empty() {
        return Ok(Scope::Agent(new.agent.clone()));
    }
    let id = TaskId::parse("webhook.task_id", &new.task_id)?;
    if !new.agent.is_empty() {
        let agent = engine.get(caller, id, Some(0)).await?.agent;
        if *new.agent != *agent {
            return Err(Error::invalid("webhook.agent", format!("must be the task's ({agent}) or empty")));
        }
    }
    Ok(Scope::Task(id))
}

fn new_webhook(field: &str, new: api::NewWebhook, scope: Scope, violations: &mut Violations) -> NewWebhook {
    NewWebhook {
        field: field.to_owned(),
        scope,
        name: new.name,
        url: new.url,
        token: new.token,
        authentication: new.authentication.filter(|given| !is_empty(given)),
        events: events(&format!("{field}events"), &new.events, violations),
        payload: payload(&format!("{field}payload"), new.payload, violations).unwrap_or(Dialect::V1),
        signing: match new.signing_secret {
            secret if secret.is_empty() => Signing::Minted,
            secret => Signing::With(secret),
        },
    }
}

fn is_empty(authentication: &AuthenticationInfo) -> bool {
    authentication.scheme.is_empty() && authentication.credentials.is_empty()
}

fn webhook(webhook: &Webhook) -> api::Webhook {
    let Webhook { secrets, health, .. } = webhook;
    let scheme = |given: &AuthenticationInfo| AuthenticationInfo { scheme: given.scheme.clone(), ..Default::default() };
    let time = |time: Option<i64>| time.map(Timestamp::from_millis);
    api::Webhook {
        id: webhook.id.to_string(),
        task_id: webhook.task.clone(),
        agent: webhook.agent.to_string(),
        name: webhook.name.clone(),
        url: webhook.url.clone(),
        has_token: !secrets.token.is_empty(),
        authentication: secrets.authentication.as_ref().map(scheme),
        events: names(webhook.events),
        payload: match webhook.payload {
            Dialect::V1 => WebhookPayload::A2a10,
            Dialect::V03 => WebhookPayload::A2a03,
            Dialect::Praison => WebhookPayload::Praisonai,
        }
        .into(),
        is_signed: !secrets.signing.is_empty(),
        signing_secret: String::new(),
        state: match webhook.state {
            WebhookState::Enabled => api::WebhookState::Enabled,
            WebhookState::Paused => api::WebhookState::Paused,
            WebhookState::Gone => api::WebhookState::Gone,
            WebhookState::Failing => api::WebhookState::Failing,
        }
        .into(),
        create_time: time(Some(webhook.created)),
        update_time: time(Some(webhook.updated)),
        failing_since: time(health.failing_since),
        last_success_time: time(health.last_success),
        last_failure_time: time(health.last_failure),
        last_error: health.last_error.clone(),
        pending_deliveries: None,
        failed_deliveries: None,
        previous_secret_expire_time: time(secrets.previous_signing.iter().map(|(_, until)| *until).max()),
    }
}

fn names(events: Events) -> Vec<i32> {
    let Events { status, artifacts, messages } = events;
    let all = [(status, WebhookEvent::Status), (artifacts, WebhookEvent::Artifact), (messages, WebhookEvent::Message)];
    all.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name.into()).collect()
}

/// None: none are named.
fn events(field: &str, named: &[i32], violations: &mut Violations) -> Option<Events> {
    let mut events = Events { status: false, artifacts: false, messages: false };
    for (i, value) in named.iter().enumerate() {
        match WebhookEvent::try_from(*value) {
            Ok(WebhookEvent::Status) => events.status = true,
            Ok(WebhookEvent::Artifact) => events.artifacts = true,
            Ok(WebhookEvent::Message) => events.messages = true,
            Ok(WebhookEvent::Unspecified) => violations.add(format!("{field}[{i}]"), "must not be unspecified"),
            Err(_) => violations.add(format!("{field}[{i}]"), format!("has the unknown value {value}")),
        }
    }
    (!named.is_empty()).then_some(events)
}

/// None: it is unspecified.
fn payload(field: &str, value: i32, violations: &mut Violations) -> Option<Dialect> {
    match WebhookPayload::try_from(value) {
        Ok(WebhookPayload::Unspecified) => None,
        Ok(WebhookPayload::A2a10) => Some(Dialect::V1),
        Ok(WebhookPayload::A2a03) => Some(Dialect::V03),
        Ok(WebhookPayload::Praisonai) => Some(Dialect::Praison),
        Err(_) => {
            violations.add(field, format!("has the unknown value {value}"));
            None
        }
    }
}

/// None: any.
fn delivery_state(value: i32, violations: &mut Violations) -> Option<DeliveryState> {
    match api::DeliveryState::try_from(value) {
        Ok(api::DeliveryState::Unspecified) => None,
        Ok(api::DeliveryState::Pending) => Some(DeliveryState::Pending),
        Ok(api::DeliveryState::Delivered) => Some(DeliveryState::Delivered),
        Ok(api::DeliveryState::Failed) => Some(DeliveryState::Failed),
        Err(_) => {
            violations.add("state", format!("has the unknown value {value}"));
            None
        }
    }
}

/// The bounds of a range of times, in milliseconds since 1970 UTC: rounded up, since events have whole ones.
fn range(from: Option<Timestamp>, to: Option<Timestamp>, violations: &mut Violations) -> (Option<i64>, Option<i64>) {
    let mut read = |field: &str, time: Option<Timestamp>| match timestamp(field, time?) {
        Ok(time) => Some(time.millis() + i64::from(time.nanos % 1_000_000 != 0)),
        Err(error) => {
            for wrong in error.field_violations() {
                violations.add(wrong.field.clone(), wrong.description.clone());
            }
            None
        }
    };
    let (from, to) = (read("from", from), read("to", to));
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        violations.add("to", "must be later than from");
    }
    (from, to)
}

fn webhook_id(field: &str, text: &str) -> Result<WebhookId> {
    if text.is_empty() {
        return Err(id_required(field));
    }
    WebhookId::known(text).ok_or_else(|| Error::new(ErrorKind::WebhookNotFound, "there is no such webhook"))
}

fn id_required(field: &str) -> Error {
    Error::invalid(field, "is required: the id of a webhook")
}

fn delivery_id(text: &str) -> Result<DeliveryId> {
    if text.is_empty() {
        return Err(Error::invalid("delivery_id", "is required: the id of a delivery, which is its webhook-id"));
    }
    DeliveryId::parse(text).ok_or_else(|| Error::new(ErrorKind::DeliveryNotFound, "there is no such delivery"))
}

fn delivery(delivery: Delivery) -> api::Delivery {
    let Delivery { id, state, created, due, attempts, attempt_count } = delivery;
    api::Delivery {
        id: id.to_string(),
        webhook_id: id.webhook.to_string(),
        task_id: id.task.to_string(),
        sequence: number(id.sequence),
        state: match state {
            DeliveryState::Pending => api::DeliveryState::Pending,
            DeliveryState::Delivered => api::DeliveryState::Delivered,
            DeliveryState::Failed => api::DeliveryState::Failed,
        }
        .into(),
        event_time: Some(Timestamp::from_millis(created)),
        next_attempt_time: due.map(Timestamp::from_millis),
        attempts: attempts.into_iter().map(attempt).collect(),
        attempt_count: count(attempt_count),
    }
}

fn attempt(attempt: Attempt) -> DeliveryAttempt {
    let Attempt { number, time, latency, status, address, error, excerpt } = attempt;
    DeliveryAttempt {
        number: count(number),
        time: Some(Timestamp::from_millis(time)),
        latency: Some(Duration::from(std::time::Duration::from_millis(latency.into()))),
        status: status.into(),
        address,
        error,
        response_excerpt: excerpt,
    }
}

/// Sequences and counts never come near the bounds.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
