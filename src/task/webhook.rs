//! Webhooks: where the events of one task, or of every task of an agent, are sent (A2A 1.0, section 3.1.7: push
//! notification configs).

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};
use url::{ParseError, Url};
use uuid::Uuid;

use super::{Dialect, TaskId};
use crate::{
    error::{Error, Result},
    proto::a2a::{AuthenticationInfo, Role, stream_response::Payload},
};

/// The longest URL of a webhook, in bytes.
pub const MAX_URL: usize = 2048;

/// The longest token of a webhook, in bytes.
pub const MAX_TOKEN: usize = 1024;

/// The longest credentials of a webhook, in bytes.
pub const MAX_CREDENTIALS: usize = 8 << 10;

/// A webhook's id: a UUIDv7, minted by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookId(Uuid);

impl WebhookId {
    /// A new id.
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id in its usual form (36 characters), or nothing.
    pub fn known(text: &str) -> Option<Self> {
        if text.len() != 36 { None } else { Uuid::try_parse(text).ok().map(Self) }
    }

    /// Its 16 bytes, for the store.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// From its 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event for one webhook. Displays as the `webhook-id` that receivers see: the same for every attempt, also when it
/// is sent again on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId {
    /// The webhook.
    pub webhook: WebhookId,
    /// The task.
    pub task: TaskId,
    /// The event's sequence.
    pub sequence: u64,
}

impl DeliveryId {
    /// Reads the form that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (webhook, task, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || webhook.len() != 32 || task.len() != 32 {
            return None;
        }
        // No signs, no leading zeros: each id has one spelling.
        let sequence: u64 = sequence.parse().ok().filter(|n: &u64| n.to_string() == sequence)?;
        let task = TaskId::from_bytes(Uuid::try_parse(task).ok()?.into_bytes());
        Some(Self { webhook: WebhookId(Uuid::try_parse(webhook).ok()?), task, sequence })
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = Uuid::from_bytes(self.task.to_bytes());
        write!(f, "{}_{}_{}", self.webhook.0.simple(), task.simple(), self.sequence)
    }
}

/// What a webhook wants to hear of. At least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// The task as it was stored, and every status after it; an agent's direct reply, which settles its task, too.
    pub status: bool,
    /// Artifacts and their chunks.
    pub artifacts: bool,
    /// The caller's further messages.
    pub messages: bool,
}

impl Events {
    /// What a webhook of a dialect hears of unless it says otherwise: 1.0's take what A2A streams carry; the others are
    /// told of the task's state.
    pub fn of(dialect: Dialect) -> Self {
        Self { status: true, artifacts: dialect == Dialect::V1, messages: false }
    }

    /// Whether an event is among them.
    pub fn include(self, payload: &Payload) -> bool {
        match payload {
            Payload::Task(_) | Payload::StatusUpdate(_) => self.status,
            Payload::ArtifactUpdate(_) => self.artifacts,
            Payload::Message(message) if message.role() == Role::Agent => self.status,
            Payload::Message(_) => self.messages,
        }
    }
}

/// Whether a webhook is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    /// Deliveries are sent.
    Enabled,
    /// Its owner stopped it: deliveries are kept and wait.
    Paused,
    /// The receiver answered 410: deliveries wait, and no new ones are kept.
    Gone,
    /// Every attempt failed for days: deliveries wait, and no new ones are kept.
    Failing,
}

/// What only the receiver may know. Its `Debug` says nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Sent in the token headers; empty: none.
    pub token: String,
    /// Sent as `Authorization: {scheme} {credentials}`.
    pub authentication: Option<AuthenticationInfo>,
    /// Deliveries are signed with it: `whsec_` and base64. Empty: they are not signed.
    pub signing: String,
    /// Signing secrets before, oldest first, each still signed with until a time in milliseconds since 1970 UTC.
    pub previous_signing: Vec<(String, i64)>,
}

/// The most secrets that were replaced and are still signed with.
const MAX_PREVIOUS: usize = 3;

impl Secrets {
    /// Signs with another secret from now on, and with the one before until a time. Times are milliseconds since 1970 UTC.
    pub fn rotate(&mut self, signing: String, now: i64, until: i64) {
        let before = std::mem::replace(&mut self.signing, signing);
        self.previous_signing.retain(|(_, until)| *until > now);
        if !before.is_empty() {
            self.previous_signing.push((before, until));
        }
        let excess = self.previous_signing.len().saturating_sub(MAX_PREVIOUS);
        self.previous_signing.drain(..excess);
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// How deliveries to a webhook have gone. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when every attempt has failed; none: the last one succeeded, or there was none.
    pub failing_since: Option<i64>,
    /// The last success. Written every few seconds at most.
    pub last_success: Option<i64>,
    /// The last failure.
    pub last_failure: Option<i64>,
    /// What went wrong then; empty: nothing yet.
    pub last_error: String,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The caller it belongs to. It hears of that caller's tasks only.
    pub owner: Arc<str>,
    /// The agent whose tasks it hears of; of a webhook for one task: the task's, and empty where that does not exist.
    pub agent: Arc<str>,
    /// The task that it hears of; empty: every task of the agent.
    pub task: String,
    /// What its owner calls it: unique among the webhooks of the task, or of the agent. A2A's config id.
    pub name: String,
    /// Where it is sent, as its owner wrote it.
    pub url: String,
    /// Scheme, host and port of the URL.
    pub origin: String,
    /// The form of what is sent.
    pub payload: Dialect,
    /// What it hears of.
    pub events: Events,
    /// What only the receiver may know.
    pub secrets: Secrets,
    /// Whether it is sent to.
    pub state: WebhookState,
    /// Milliseconds since 1970 UTC.
    pub created: i64,
    /// When its owner last changed it: milliseconds since 1970 UTC.
    pub updated: i64,
    /// How deliveries have gone.
    pub health: Health,
}

/// Reads the URL of a webhook.
///
/// # Errors
/// What is wrong with it, without the field's name: `must …`.
pub fn parse_url(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("is required: the http or https URL to send to".to_owned());
    }
    if text.len() > MAX_URL {
        return Err(format!("must be at most {MAX_URL} bytes long, not {}", text.len()));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII characters only: escape others as %XX".to_owned());
    }
    let url = Url::parse(text).map_err(|problem| match problem {
        ParseError::RelativeUrlWithoutBase => "must be an http or https URL: http:// or https:// is missing".to_owned(),
        problem => format!("must be an http or https URL: {problem}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("must be an http or https URL, not {}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password: use authentication".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must name a host".to_owned());
    }
    if url.port() == Some(0) {
        return Err("must not name port 0".to_owned());
    }
    Ok(url)
}

/// The prefix of signing secrets (Standard Webhooks).
const SIGNING_PREFIX: &str = "whsec_";

/// A new signing secret: `whsec_` and the base64 of 32 random bytes.
///
/// # Errors
/// When the system has no randomness to give.
pub fn mint_signing() -> Result<String> {
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).map_err(|cause| Error::internal("making a signing secret", cause))?;
    Ok(format!("{SIGNING_PREFIX}{}", STANDARD.encode(key)))
}

/// The key of a signing secret.
///
/// # Errors
/// What is wrong with it, without the field's name: `must …`.
pub fn signing_key(secret: &str) -> Result<Vec<u8>, String> {
    let key = secret.strip_prefix(SIGNING_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    key.filter(|key| (24..=64).contains(&key.len()))
        .ok_or_else(|| "must be whsec_ and the base64 of 24 to 64 bytes; leave it empty to have one made".to_owned())
}

/// Scheme, host and port of a webhook's URL: what limits and circuits are kept by.
pub fn origin(url: &Url) -> String {
    // A host may be spelled with a dot at its end; it is the same host.
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    format!("{}://{host}:{}", url.scheme(), url.port_or_known_default().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_ids_have_one_spelling() {
        let id = DeliveryId { webhook: WebhookId::mint(), task: TaskId::mint(), sequence: 17 };
        let text = id.to_string();
        assert_eq!(DeliveryId::parse(&text), Some(id));
        assert!(!text.contains('.'), "the signed content is divided by dots");
        let zeros = text.replace("_17", "_017");
        let signed = text.replace("_17", "_+17");
        for wrong in ["", "a_b_1", &text[1..], &format!("{text}_1"), &zeros, &signed] {
            assert_eq!(DeliveryId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn urls_are_http_without_a_user_and_visible() {
        for right in ["http://h", "https://h.test:8443/in?x=%20", "http://[::1]/", "HTTP://127.0.0.1:1/"] {
            assert!(parse_url(right).is_ok(), "{right}");
        }
        let long = format!("http://h/{}", "a".repeat(MAX_URL));
        let wrong = [
            ("", "is required"),
            ("h.test/in", "must be an http or https URL: http:// or https:// is missing"),
            ("ftp://h/", "must be an http or https URL, not ftp"),
            ("file:///etc/passwd", "must be an http or https URL, not file"),
            ("http://u:p@h/", "must not hold a user"),
            ("http://u@h/", "must not hold a user"),
            ("http://h/\r\nX: y", "must be visible ASCII"),
            ("http://h/\0", "must be visible ASCII"),
            ("http://h/ä", "must be visible ASCII"),
            ("http://", "must be an http or https URL"),
            ("http://h:0/", "must not name port 0"),
            ("http://h:99999/", "must be an http or https URL"),
            (long.as_str(), "must be at most 2048"),
        ];
        for (text, expected) in wrong {
            let problem = parse_url(text).unwrap_err();
            assert!(problem.starts_with(expected), "{text:.40}: {problem}");
        }
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        for (url, expected) in [
            ("https://H.test/a", "https://h.test:443"),
            ("http://h.test.:80/b", "http://h.test:80"),
            ("http://2130706433/", "http://127.0.0.1:80"),
            ("http://[::1]:9/", "http://[::1]:9"),
        ] {
            assert_eq!(origin(&parse_url(url).unwrap()), expected);
        }
    }

    #[test]
    fn replaced_secrets_are_kept_for_their_time_and_no_more_than_a_few() {
        let mut secrets = Secrets::default();
        secrets.rotate("a".into(), 1, 10);
        assert_eq!(secrets.previous_signing, [], "there was none before");
        secrets.rotate("b".into(), 2, 12);
        secrets.rotate("c".into(), 3, 13);
        assert_eq!(secrets.previous_signing, [("a".into(), 12), ("b".into(), 13)]);
        secrets.rotate("d".into(), 12, 22);
        assert_eq!(secrets.previous_signing, [("b".into(), 13), ("c".into(), 22)], "one had ended");
        for (signing, now) in [("e", 12), ("f", 12)] {
            secrets.rotate(signing.into(), now, 23);
        }
        assert_eq!(secrets.previous_signing, [("c".into(), 22), ("d".into(), 23), ("e".into(), 23)]);
        assert_eq!(secrets.signing, "f");
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = Secrets { token: "hidden".into(), signing: "whsec_hidden".into(), ..Secrets::default() };
        assert!(!format!("{secrets:?}").contains("hidden"));
    }
}
