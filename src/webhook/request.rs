//! The HTTP request of a delivery: the event in the webhook's form, and headers that say who sends it, which delivery
//! it is and that it is genuine.
//!
//! Body, `webhook-id`, `a2a-event-sequence` and the trace's id are the same on every attempt. The time, the signature
//! over it and the trace's span are each attempt's own.

use std::{iter, time::Duration};

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

/// How long the first attempts may take at an origin that was not reached of late: thousands of dead receivers must not
/// hold their places for as long as a slow one that lives may.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// Attempts of a delivery that are first ones. Those after them have all the time: a receiver may always be slow.
const FIRST_TRIES: u32 = 3;

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
    let first = !claim.proven && claim.tries < FIRST_TRIES;
    Ok(Request { url: webhook.url.clone(), headers, body, limit: first.then_some(FIRST_CONTACT) })
}

fn content_type(payload: Dialect) -> &'static str {
    match payload {
        Dialect::V1 => "application/a2a+json",
        Dialect::V03 | Dialect::Praison => "application/json",
    }
}

/// The secrets to sign with: the webhook's own, and those before it while they are valid, the newest first.
fn valid_secrets(secrets: &Secrets, now: i64) -> impl Iterator<Item = &str> {
    let previous = secrets.previous_signing.iter().rev().filter(move |(_, until)| *until > now);
    let previous = previous.map(|(secret, _)| secret.as_str());
    iter::once(secrets.signing.as_str()).chain(previous).filter(|secret| !secret.is_empty())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        proto::a2a::AuthenticationInfo,
        store::Ticket,
        task::{DeliveryId, Events, Health, TaskId, Webhook, WebhookId, WebhookState},
    };

    const NOW: i64 = 1_767_323_045_678;
    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn claim(payload: Dialect, secrets: Secrets) -> Claim {
        let webhook = Webhook {
            id: WebhookId::mint(),
            owner: "".into(),
            agent: "echo".into(),
            task: String::new(),
            name: "w".into(),
            url: "https://h.test/in?x=1".into(),
            origin: "https://h.test:443".into(),
            payload,
            events: Events::of(payload),
            secrets,
            state: WebhookState::Enabled,
            created: NOW,
            updated: NOW,
            health: Health::default(),
        };
        Claim {
            proven: true,
            hot: false,
            ticket: Ticket { lane: 1, token: 1 },
            delivery: DeliveryId { webhook: webhook.id, task: TaskId::mint(), sequence: 17 },
            webhook: Arc::new(webhook),
            number: 1,
            tries: 0,
            created: NOW,
        }
    }

    fn write(claim: &Claim, now: i64) -> Request {
        request(claim, Bytes::from_static(b"{}"), now, &Chance::seeded(1)).unwrap()
    }

    fn full() -> Secrets {
        let authentication = Some(AuthenticationInfo { scheme: "bEarer".into(), credentials: "a b=".into() });
        Secrets { token: "tk".into(), authentication, signing: SECRET.into(), previous_signing: Vec::new() }
    }

    #[test]
    fn a_request_has_the_headers_of_its_form_and_no_others() {
        let common = ["a2a-event-sequence", "authorization", "content-type", "traceparent", "user-agent", "webhook-id"];
        let signed = ["webhook-signature", "webhook-timestamp"];
        for (payload, content_type, tokens) in [
            (Dialect::V1, "application/a2a+json", vec!["a2a-notification-token", "x-a2a-notification-token"]),
            (Dialect::V03, "application/json", vec!["a2a-notification-token", "x-a2a-notification-token"]),
            (Dialect::Praison, "application/json", vec!["x-webhook-token"]),
        ] {
            let claim = claim(payload, full());
            let request = write(&claim, NOW);
            let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            let mut expected = [&common[..], &signed, &tokens].concat();
            expected.sort_unstable();
            assert_eq!(names, expected);
            let header = |name: &str| request.headers[name].to_str().unwrap();
            assert_eq!(header("content-type"), content_type);
            assert_eq!(header("authorization"), "bEarer a b=");
            assert_eq!(header("a2a-event-sequence"), "17");
            assert_eq!(header("webhook-id"), claim.delivery.to_string());
            assert_eq!(header("webhook-timestamp"), "1767323045");
            assert_eq!(header("user-agent"), concat!("a2a-gateway/", env!("CARGO_PKG_VERSION")));
            assert_eq!(request.url, "https://h.test/in?x=1");
            for secret in tokens.into_iter().chain(["authorization"]) {
                assert!(request.headers[secret].is_sensitive(), "{secret}");
            }
            assert!(!format!("{request:?}").contains("a b="), "secrets are not logged");
        }
    }

    #[test]
    fn a_webhook_without_secrets_shows_none() {
        let request = write(&claim(Dialect::V1, Secrets::default()), NOW);
        for name in ["authorization", "webhook-signature", "a2a-notification-token", "x-a2a-notification-token"] {
            assert!(!request.headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn signatures_verify_with_each_secret_while_it_is_valid() {
        let previous_signing = vec![(OLD.to_owned(), NOW + 1000)];
        let claim = claim(Dialect::V1, Secrets { previous_signing, ..full() });
        let verifies = |secret: &str, now: i64| {
            let request = write(&claim, now);
            let header = |name| request.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            signature::verify(secret, header, &request.body, now / 1000, Duration::ZERO).is_ok()
        };
        assert_eq!([verifies(SECRET, NOW), verifies(OLD, NOW)], [true, true]);
        assert_eq!([verifies(SECRET, NOW + 1000), verifies(OLD, NOW + 1000)], [true, false]);
    }

    #[test]
    fn a_delivery_is_one_trace_and_each_attempt_a_span() {
        let (claim, chance) = (claim(Dialect::V1, Secrets::default()), Chance::seeded(9));
        let trace = || {
            let request = request(&claim, Bytes::new(), NOW, &chance).unwrap();
            let parts: Vec<_> = request.headers[TRACEPARENT].to_str().unwrap().split('-').map(str::to_owned).collect();
            assert_eq!(parts.iter().map(String::len).collect::<Vec<_>>(), [2, 32, 16, 2]);
            assert_eq!((parts[0].as_str(), parts[3].as_str()), ("00", "01"));
            (parts[1].clone(), parts[2].clone())
        };
        let (first, second) = (trace(), trace());
        assert_eq!(first.0, second.0);
        assert_ne!(first.1, second.1);
    }

    #[test]
    fn first_attempts_at_an_unproven_origin_have_less_time() {
        let limit = |proven, tries| write(&Claim { proven, tries, ..claim(Dialect::V1, full()) }, NOW).limit;
        assert_eq!([limit(false, 0), limit(false, 2)], [Some(FIRST_CONTACT); 2]);
        assert_eq!([limit(false, 3), limit(true, 0), limit(true, 9)], [None; 3]);
    }

    #[test]
    fn damaged_secrets_are_errors_that_do_not_show_them() {
        let authentication = Some(AuthenticationInfo { scheme: "B".into(), credentials: "c\r\nX: y".into() });
        for secrets in [
            Secrets { token: "a\0b".into(), ..full() },
            Secrets { authentication, ..full() },
            Secrets { signing: "whsec_c2hvcnQ=".into(), ..full() },
            Secrets { previous_signing: vec![("old".into(), i64::MAX)], ..full() },
        ] {
            let claim = claim(Dialect::V1, secrets);
            let why = request(&claim, Bytes::new(), NOW, &Chance::seeded(1)).unwrap_err();
            assert!(why.contains("damaged"), "{why}");
        }
    }
}
