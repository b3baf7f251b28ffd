//! The HTTP request of a delivery: the event in the webhook's form, and headers that say who sends it, which delivery
//! it is and that it is genuine.
//!
//! Body, `webhook-id`, `a2a-event-sequence` and the trace's id are the same on every attempt. The time, the signature
//! over it and the trace's span are each attempt's own.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use sha2::{Digest as _, Sha256};

use super::{Request, schedule::Chance};
use crate::{
    store::{Claim, Content},
    task::{
        Dialect, Secrets,
        signature::{self, sign},
    },
    wire::encode,
};

/// The event's sequence in its task's log: 1, 2, 3, …
const SEQUENCE: HeaderName = HeaderName::from_static("a2a-event-sequence");

/// The token, as the Python and JS SDKs' receivers read it.
const X_TOKEN: HeaderName = HeaderName::from_static("x-a2a-notification-token");

/// The token, as the Go and Rust SDKs' receivers read it.
const TOKEN: HeaderName = HeaderName::from_static("a2a-notification-token");

/// The token, as PraisonAI's receivers read it.
const PRAISON_TOKEN: HeaderName = HeaderName::from_static("x-webhook-token");

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who sends.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("a2a-gateway/", env!("CARGO_PKG_VERSION")));

/// The body of a delivery.
///
/// # Errors
/// Why there is none, for people.
pub fn body(claim: &Claim, content: &Content) -> Result<Bytes, &'static str> {
    encode::payload(claim.webhook.payload, &content.event, content.task.as_ref())
        .ok_or("the task as of the event is no longer in the log")
}

/// The request of one attempt. `now`: milliseconds since 1970 UTC.
///
/// # Errors
/// Why it cannot be written, for people: something stored is not what it was when it was checked.
pub fn request(claim: &Claim, body: Bytes, now: i64, chance: &Chance) -> Result<Request, &'static str> {
    let webhook = &claim.webhook;
    let id = claim.delivery.to_string();
    let seconds = now.div_euclid(1000);
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(webhook.payload)));
    headers.insert(USER_AGENT, AGENT);
    headers.insert(SEQUENCE, claim.delivery.sequence.into());
    headers.insert(HeaderName::from_static(signature::TIMESTAMP), seconds.into());
    headers.insert(TRACEPARENT, open(&traceparent(&id, chance))?);
    headers.insert(HeaderName::from_static(signature::ID), open(&id)?);
    let signatures = sign(valid_secrets(&webhook.secrets, now), &id, seconds, &body)
        .map_err(|_| "the webhook's signing secret is damaged: rotate it")?;
    if !signatures.is_empty() {
        headers.insert(HeaderName::from_static(signature::SIGNATURE), open(&signatures)?);
    }
    authenticate(&mut headers, webhook.payload, &webhook.secrets)?;
    Ok(Request { url: webhook.url.clone(), headers, body })
}

fn content_type(payload: Dialect) -> &'static str {
    match payload {
        Dialect::V1 => "application/a2a+json",
        Dialect::V03 | Dialect::Praison => "application/json",
    }
}

/// The secrets to sign with: the webhook's own, and the one before it while that is valid.
fn valid_secrets(secrets: &Secrets, now: i64) -> impl Iterator<Item = &str> {
    let previous = secrets.previous_signing.as_ref().filter(|(_, until)| *until > now);
    let previous = previous.map(|(secret, _)| secret.as_str());
    [Some(secrets.signing.as_str()), previous].into_iter().flatten().filter(|secret| !secret.is_empty())
}

/// What shows the receiver that it is not a stranger who calls.
fn authenticate(headers: &mut HeaderMap, payload: Dialect, secrets: &Secrets) -> Result<(), &'static str> {
    if !secrets.token.is_empty() {
        let token = secret(&secrets.token).ok_or("the webhook's token is damaged: set it again")?;
        match payload {
            Dialect::V1 | Dialect::V03 => {
                headers.insert(X_TOKEN, token.clone());
                headers.insert(TOKEN, token);
            }
            Dialect::Praison => {
                headers.insert(PRAISON_TOKEN, token);
            }
        }
    }
    if let Some(authentication) = &secrets.authentication {
        let text = match (authentication.scheme.as_str(), authentication.credentials.as_str()) {
            (scheme, "") => scheme.to_owned(),
            (scheme, credentials) => format!("{scheme} {credentials}"),
        };
        let value = secret(&text).ok_or("the webhook's credentials are damaged: set them again")?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(())
}

/// A trace per delivery, a span per attempt.
fn traceparent(id: &str, chance: &Chance) -> String {
    let digest: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    let trace = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    // Zero means none, of both.
    format!("00-{:032x}-{:016x}-01", trace.max(1), chance.number().max(1))
}

fn open(text: &str) -> Result<HeaderValue, &'static str> {
    HeaderValue::from_str(text).map_err(|_| "its headers cannot be written")
}

/// A value that is not logged and not compressed with others.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
