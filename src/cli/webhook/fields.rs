//! A webhook's fields as people write them.

use clap::{Args, ValueEnum};

use crate::{
    cli::{client::Failure, secret::Given},
    proto::{
        a2a::AuthenticationInfo,
        gateway::{NewWebhook, WebhookEvent, WebhookPayload},
    },
};

/// The `Authorization` header of deliveries.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Authorization {
    /// Sent as the Authorization header: "SCHEME CREDENTIALS", such as "Bearer xyz"
    #[arg(long, value_name = "SECRET", value_parser = Given::parse, conflicts_with = "auth_scheme")]
    pub(super) auth: Option<Given>,
    /// The Authorization header's scheme alone, such as Bearer; goes with --credentials
    #[arg(long, value_name = "SCHEME", requires = "credentials")]
    pub(super) auth_scheme: Option<String>,
    /// The Authorization header's credentials alone; goes with --auth-scheme
    #[arg(long, value_name = "SECRET", value_parser = Given::parse, requires = "auth_scheme")]
    pub(super) credentials: Option<Given>,
}

impl Authorization {
    /// What they say together.
    pub(super) fn read(self) -> Result<Option<AuthenticationInfo>, Failure> {
        let Self { auth, auth_scheme, credentials } = self;
        if let Some(auth) = auth {
            let Some((scheme, credentials)) = auth.value.split_once(' ') else {
                let problem = "--auth must be a scheme and credentials, such as \"Bearer xyz\"";
                return Err(Failure::Usage(problem.to_owned()));
            };
            let (scheme, credentials) = (scheme.to_owned(), credentials.trim_start().to_owned());
            return Ok(Some(AuthenticationInfo { scheme, credentials }));
        }
        let given = auth_scheme.zip(credentials);
        Ok(given.map(|(scheme, credentials)| AuthenticationInfo { scheme, credentials: credentials.value }))
    }
}

/// What a webhook hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Event {
    /// Every status, and the task as it was stored
    Status,
    /// Artifacts and their chunks
    #[value(alias = "artifacts")]
    Artifact,
    /// The caller's further messages
    #[value(alias = "messages")]
    Message,
}

/// The events as the API has them.
pub(super) fn numbers(events: &[Event]) -> Vec<i32> {
    let number = |event: &Event| match event {
        Event::Status => WebhookEvent::Status,
        Event::Artifact => WebhookEvent::Artifact,
        Event::Message => WebhookEvent::Message,
    };
    events.iter().map(|event| number(event).into()).collect()
}

/// The form of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Payload {
    /// A2A 1.0: a StreamResponse
    #[value(name = "1.0")]
    V1,
    /// A2A 0.3: the task
    #[value(name = "0.3")]
    V03,
    /// PraisonAI's: {taskId, status, timestamp}
    Praisonai,
}

impl Payload {
    /// The form as the API has it.
    pub(super) fn number(self) -> i32 {
        let payload = match self {
            Self::V1 => WebhookPayload::A2a10,
            Self::V03 => WebhookPayload::A2a03,
            Self::Praisonai => WebhookPayload::Praisonai,
        };
        payload.into()
    }
}

/// A webhook for the task that a message starts.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Inline {
    /// Send the task's events to this URL, too
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// The webhook's token: plain, env:NAME or file:PATH
    #[arg(long, value_name = "SECRET", value_parser = Given::parse, requires = "webhook")]
    webhook_token: Option<Given>,
    /// Sign with this secret: plain, env:NAME or file:PATH [default: one is made]
    #[arg(long, value_name = "SECRET", value_parser = Given::parse, requires = "webhook")]
    webhook_secret: Option<Given>,
}

impl Inline {
    /// The webhook, if there is to be one.
    pub(in crate::cli) fn new_webhook(&self) -> Option<NewWebhook> {
        let secret = |given: &Option<Given>| given.as_ref().map(|given| given.value.clone()).unwrap_or_default();
        Some(NewWebhook {
            url: self.webhook.clone()?,
            token: secret(&self.webhook_token),
            signing_secret: secret(&self.webhook_secret),
            ..NewWebhook::default()
        })
    }
}
