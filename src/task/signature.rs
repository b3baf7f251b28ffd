//! Signatures of deliveries, by the Standard Webhooks scheme: made by the dispatcher, checked by receivers.
//!
//! A signature is `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, keyed with the bytes of a `whsec_`
//! secret. While a replaced secret is still valid there are two, divided by a space. It lies in the domain because both
//! the dispatcher and the command line's receiver use it, and neither may depend on the other.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

use super::webhook::signing_key;

/// The header with the delivery's id.
pub const ID: &str = "webhook-id";

/// The header with the time of the attempt: seconds since 1970 UTC.
pub const TIMESTAMP: &str = "webhook-timestamp";

/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a delivery's time may be from now (Standard Webhooks).
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Why a delivery is not taken for genuine. Displays as words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The receiver's own secret is not one.
    Secret(String),
    /// A header is not there.
    Missing(&'static str),
    /// `webhook-timestamp` is not a number of seconds.
    Timestamp,
    /// It was sent too long ago.
    TooOld,
    /// It claims to come from the future.
    TooNew,
    /// No signature is that of the secret.
    Mismatch,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(problem) => write!(f, "the secret {problem}"),
            Self::Missing(header) => write!(f, "there is no {header} header"),
            Self::Timestamp => write!(f, "{TIMESTAMP} is not a number of seconds"),
            Self::TooOld => write!(f, "{TIMESTAMP} is too long ago"),
            Self::TooNew => write!(f, "{TIMESTAMP} is in the future"),
            Self::Mismatch => f.write_str("no signature is that of the secret"),
        }
    }
}

impl std::error::Error for Why {}

/// The value of `webhook-signature`: one signature per secret. `timestamp`: seconds since 1970 UTC.
///
/// # Errors
/// What is wrong with a secret, without its name: `must …`.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a str>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, String> {
    let mut signatures = Vec::with_capacity(2);
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &signing_key(secret)?);
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(context.sign())));
    }
    Ok(signatures.join(" "))
}

/// Checks that a delivery was signed with the secret, and lately. `header`: reads a header by its lower-case name.
/// `now`: seconds since 1970 UTC. Comparison takes the same time for every wrong signature.
///
/// # Errors
/// Why it is not to be trusted.
pub fn verify<'h>(
    secret: &str,
    header: impl Fn(&'static str) -> Option<&'h str>,
    body: &[u8],
    now: i64,
    tolerance: Duration,
) -> Result<(), Why> {
    let key = signing_key(secret).map_err(Why::Secret)?;
    let read = |name| header(name).filter(|value| !value.is_empty()).ok_or(Why::Missing(name));
    let (id, timestamp, signatures) = (read(ID)?, read(TIMESTAMP)?, read(SIGNATURE)?);
    let sent: i64 = timestamp.parse().map_err(|_| Why::Timestamp)?;
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    if now.saturating_sub(sent) > tolerance {
        return Err(Why::TooOld);
    }
    if sent.saturating_sub(now) > tolerance {
        return Err(Why::TooNew);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    // The header's own text is signed, not the number that was read from it.
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let genuine = |signature: &str| {
        let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &content, &tag).is_ok())
    };
    if signatures.split(' ').any(genuine) { Ok(()) } else { Err(Why::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python: `base64(hmac.new(key, content, sha256))`, with the keys `bytes(range(32))`, and
    /// `b64decode(OLD)`.
    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const HEADERS: (&str, i64) = ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", 1_674_087_231);
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,cAp9TQtaE2ZR9not+U8dvvN3yUkNsSp3s7Jkeij79bQ=";
    const SIGNED_OLD: &str = "v1,SJVF30Kpi2mR/9mMIvIkhtG4Iz8hWa0S4q2Yt1caIO0=";

    fn check(secret: &str, headers: [&str; 3], body: &[u8], now: i64) -> Result<(), Why> {
        let header = |name| [ID, TIMESTAMP, SIGNATURE].iter().position(|each| *each == name).map(|at| headers[at]);
        verify(secret, header, body, now, TOLERANCE)
    }

    #[test]
    fn signatures_are_those_of_an_independent_implementation() {
        let (id, time) = HEADERS;
        assert_eq!(sign([SECRET], id, time, BODY).unwrap(), SIGNED);
        assert_eq!(sign([SECRET, OLD], id, time, BODY).unwrap(), format!("{SIGNED} {SIGNED_OLD}"));
        assert_eq!(sign([], id, time, BODY).unwrap(), "");
        assert!(sign(["whsec_short"], id, time, BODY).unwrap_err().starts_with("must be whsec_"));
    }

    #[test]
    fn either_secret_verifies_and_nothing_else() {
        let (id, now) = HEADERS;
        let time = now.to_string();
        let both = format!("{SIGNED} {SIGNED_OLD}");
        for secret in [SECRET, OLD] {
            assert_eq!(check(secret, [id, &time, &both], BODY, now), Ok(()));
            assert_eq!(check(secret, [id, &time, &format!("v1a,xyz {both}")], BODY, now), Ok(()));
        }
        let later = (now + 1).to_string();
        let wrong = [
            (SECRET, [id, &time, SIGNED_OLD], BODY),
            (SECRET, [id, &time, "v1,"], BODY),
            (SECRET, [id, &time, "v1,!"], BODY),
            (SECRET, [id, &time, SIGNED.trim_start_matches("v1,")], BODY),
            (SECRET, [id, &time, &SIGNED.replace("v1,", "v2,")], BODY),
            (SECRET, ["msg_other", &time, SIGNED], BODY),
            (SECRET, [id, &later, SIGNED], BODY),
            (SECRET, [id, &time, SIGNED], b"{}"),
        ];
        for (secret, headers, body) in wrong {
            assert_eq!(check(secret, headers, body, now), Err(Why::Mismatch), "{headers:?}");
        }
    }

    #[test]
    fn old_and_future_deliveries_are_refused() {
        let (id, sent) = HEADERS;
        let time = sent.to_string();
        let at = |now| check(SECRET, [id, &time, SIGNED], BODY, now);
        assert_eq!([at(sent - 300), at(sent + 300)], [Ok(()), Ok(())]);
        assert_eq!([at(sent - 301), at(sent + 301)], [Err(Why::TooNew), Err(Why::TooOld)]);
        assert_eq!(check(SECRET, [id, "9".repeat(40).as_str(), SIGNED], BODY, sent), Err(Why::Timestamp));
        assert_eq!(check(SECRET, [id, &time, ""], BODY, sent), Err(Why::Missing(SIGNATURE)));
        assert!(matches!(check("secret", [id, &time, SIGNED], BODY, sent), Err(Why::Secret(_))));
    }
}
