//! Webhooks that a request brings: checked, and made into what is stored.

use std::{collections::HashSet, fmt};

use futures::future::join_all;

use super::{Courier, Place};
use crate::{
    engine::{Caller, Inner, now},
    error::{Error, Result},
    proto::a2a::AuthenticationInfo,
    task::{
        Dialect, Events, Health, Secrets, TaskId, Webhook, WebhookId, WebhookState,
        validate::Violations,
        webhook::{self, MAX_CREDENTIALS, MAX_TOKEN},
    },
};

/// The most webhooks that one submit may bring.
const MAX_SUBMITTED: usize = 32;

/// A webhook to store. Its `Debug` holds no secrets.
#[derive(Clone)]
pub struct NewWebhook {
    /// What its fields are called in errors: empty, or a path that ends with a dot.
    pub field: String,
    /// What it hears of.
    pub scope: Scope,
    /// Its name; empty: its id, or with the scope `Inline` its task's.
    pub name: String,
    /// Where it is sent.
    pub url: String,
    /// Empty: none.
    pub token: String,
    /// None: no Authorization header.
    pub authentication: Option<AuthenticationInfo>,
    /// None: what is usual for the payload.
    pub events: Option<Events>,
    /// The form of what is sent.
    pub payload: Dialect,
    /// Whether it is signed.
    pub signing: Signing,
}

/// Which tasks a webhook hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one that it is submitted with.
    Submitted,
    /// The same; but one without a name is named as the task, so that the next turn's takes its place.
    Inline,
    /// This one, which must exist.
    Task(TaskId),
    /// This one, or none if there is no such task (PraisonAI's clients set webhooks without looking).
    Named(String),
    /// Every task of the agent; empty: the default one.
    Agent(String),
}

/// Whether deliveries are signed.
#[derive(Clone, PartialEq, Eq)]
pub enum Signing {
    /// They are not; or with its own secret, if the webhook is there and has one.
    Unsigned,
    /// With a new secret; or with its own, if the webhook is there and has one.
    Minted,
    /// With this secret.
    With(String),
}

/// A webhook that was stored.
#[derive(Clone, Debug)]
pub struct StoredWebhook {
    /// As it is now.
    pub webhook: Webhook,
    /// Whether its signing secret was made for this request: it is to be told, once.
    pub minted: bool,
}

impl NewWebhook {
    /// What it says, for the digest of a request: each field apart.
    pub(in crate::engine) fn content(&self) -> Vec<String> {
        let Self { field: _, scope, name, url, token, authentication, events, payload, signing } = self;
        let authentication = authentication.clone().unwrap_or_default();
        let (kind, secret) = match signing {
            Signing::Unsigned => ("unsigned", ""),
            Signing::Minted => ("minted", ""),
            Signing::With(secret) => ("with", secret.as_str()),
        };
        let texts = [name, url, token, &authentication.scheme, &authentication.credentials, kind, secret];
        let mut content: Vec<_> = texts.into_iter().map(str::to_owned).collect();
        content.push(format!("{scope:?} {events:?} {payload:?}"));
        content
    }
}

impl fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWebhook").field("scope", &self.scope).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks webhooks that a request brings, all at once.
pub(in crate::engine) async fn check(inner: &Inner, all: &[NewWebhook]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let courier = inner.courier()?;
    let mut violations = Violations::default();
    if all.len() > MAX_SUBMITTED {
        violations.add("webhooks", format!("must have at most {MAX_SUBMITTED} entries, not {}", all.len()));
        return violations.check();
    }
    let mut names = HashSet::new();
    for new in all {
        fields(&mut violations, new);
        if !new.name.is_empty() && !names.insert(&new.name) {
            violations.add(format!("{}name", new.field), "must not be that of another webhook of the same request");
        }
    }
    // Names are resolved for it, which takes its time.
    let allowed = join_all(all.iter().map(|new| url_problem(courier.as_ref(), &new.url))).await;
    for (new, problem) in all.iter().zip(allowed) {
        if let Some(problem) = problem {
            violations.add(format!("{}url", new.field), problem);
        }
    }
    violations.check()
}

async fn url_problem(courier: &dyn Courier, url: &str) -> Option<String> {
    match webhook::parse_url(url) {
        Ok(_) => courier.check(url).await.err(),
        Err(problem) => Some(problem),
    }
}

fn fields(violations: &mut Violations, new: &NewWebhook) {
    let field = |name: &str| format!("{}{name}", new.field);
    violations.id(field("name"), &new.name);
    if let Scope::Named(task) = &new.scope {
        violations.id(field("task_id"), task);
        if task.is_empty() {
            violations.add(field("task_id"), "is required: the id of a task");
        }
    }
    token_problem(violations, &field("token"), &new.token);
    if let Some(authentication) = &new.authentication {
        authentication_problem(violations, &field("authentication"), authentication);
    }
    if let Signing::With(secret) = &new.signing
        && let Err(problem) = webhook::signing_key(secret)
    {
        violations.add(field("signing_secret"), problem);
    }
}

/// A checked webhook as it is to be stored at a place that may have one of its name already.
pub(in crate::engine) async fn prepare(
    inner: &Inner,
    caller: &Caller,
    new: NewWebhook,
    place: &Place,
) -> Result<StoredWebhook> {
    let mut made = make(caller, new, place)?;
    let webhook = &mut made.webhook;
    let existing = inner.store.webhook(caller.owner.clone(), place.which(&webhook.name)).await?;
    if let Some(existing) = existing {
        (webhook.id, webhook.created) = (existing.id, existing.created);
        let keeps = made.minted || webhook.secrets.signing.is_empty();
        if keeps && !existing.secrets.signing.is_empty() {
            let secrets = &mut webhook.secrets;
            (secrets.signing, secrets.previous_signing) = (existing.secrets.signing, existing.secrets.previous_signing);
            made.minted = false;
        }
    }
    Ok(made)
}

/// A checked webhook as it is to be stored at a place that has none of its name.
pub(in crate::engine) fn make(caller: &Caller, new: NewWebhook, place: &Place) -> Result<StoredWebhook> {
    let id = WebhookId::mint();
    let minted = new.signing == Signing::Minted;
    let signing = match new.signing {
        Signing::Unsigned => String::new(),
        Signing::Minted => webhook::mint_signing()?,
        Signing::With(secret) => secret,
    };
    let name = match (new.name.is_empty(), new.scope) {
        (false, _) => new.name,
        (true, Scope::Inline) => place.task.clone(),
        (true, _) => id.to_string(),
    };
    let url = webhook::parse_url(&new.url).map_err(|problem| Error::invalid(format!("{}url", new.field), problem))?;
    let now = now();
    let webhook = Webhook {
        id,
        owner: caller.owner.clone(),
        agent: place.agent.clone(),
        task: place.task.clone(),
        name,
        origin: webhook::origin(&url),
        url: new.url,
        payload: new.payload,
        events: new.events.unwrap_or(Events::of(new.payload)),
        secrets: Secrets {
            token: new.token,
            authentication: new.authentication,
            signing,
            previous_signing: Vec::new(),
        },
        state: WebhookState::Enabled,
        created: now,
        updated: now,
        health: Health::default(),
    };
    Ok(StoredWebhook { webhook, minted })
}

pub(super) fn token_problem(violations: &mut Violations, field: &str, token: &str) {
    if token.len() > MAX_TOKEN {
        violations.add(field, format!("must be at most {MAX_TOKEN} bytes long, not {}", token.len()));
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        violations.add(field, "must be visible ASCII characters only: it is sent as a header");
    }
}

pub(super) fn authentication_problem(violations: &mut Violations, field: &str, authentication: &AuthenticationInfo) {
    let AuthenticationInfo { scheme, credentials } = authentication;
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if scheme.is_empty() {
        violations.add(format!("{field}.scheme"), "is required: Bearer, Basic or another HTTP scheme");
    } else if scheme.len() > 64 || !scheme.bytes().all(tchar) {
        violations.add(format!("{field}.scheme"), "must be the name of an HTTP scheme, such as Bearer");
    }
    let field = format!("{field}.credentials");
    let blank = |text: &str| text.starts_with(' ') || text.ends_with(' ');
    if credentials.len() > MAX_CREDENTIALS {
        violations.add(field, format!("must be at most {MAX_CREDENTIALS} bytes long, not {}", credentials.len()));
    } else if !credentials.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) || blank(credentials) {
        violations.add(field, "must be visible ASCII characters only: they are sent as a header");
    }
}
