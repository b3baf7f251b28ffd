//! What the JSON doors read of an HTTP request besides its content: type, size, and two headers.

use std::{fmt, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{Settings, status};
use crate::{
    error::{Error, ErrorKind, Result},
    task::id_problem,
};

/// Makes a send idempotent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Where a stream is to resume.
const LAST_EVENT_ID: &str = "last-event-id";
/// Where a browser says what a request has to do with the page that makes it.
const FETCH_SITE: &str = "sec-fetch-site";

/// Why a body is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is not said to be JSON.
    Type,
    /// It is said to be compressed.
    Encoding,
}

impl Unfit {
    /// As an error. Its status is 415, on every JSON door.
    pub fn error(self) -> Error {
        let message = match self {
            Self::Type => "the Content-Type must be application/json",
            Self::Encoding => "the body must not be compressed: Content-Encoding must be absent or identity",
        };
        Error::new(ErrorKind::ContentTypeNotSupported, message)
    }

    /// What the answer says of encodings that are taken (RFC 9110, section 15.5.16); none: nothing.
    pub fn accept_encoding(self) -> Option<HeaderValue> {
        (self == Self::Encoding).then(|| HeaderValue::from_static("identity"))
    }
}

/// Whether the body is one that the JSON doors read: by its type and encoding.
///
/// # Errors
/// What is in the way.
pub fn fit(headers: &HeaderMap) -> Result<(), Unfit> {
    let plain = |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !is_json(headers) {
        Err(Unfit::Type)
    } else if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        Err(Unfit::Encoding)
    } else {
        Ok(())
    }
}

/// Whether the body claims to be JSON: `application/json`, another type that ends in `+json`, or no type at all.
///
/// A browser must say the type: without one it sends the body for a page of any origin, and does not ask first whether
/// that origin is let in. Browsers tell of themselves by `Origin`, which they send with every POST to another origin.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).filter(|value| !value.is_empty()) else {
        return !headers.contains_key(header::ORIGIN) && !headers.contains_key(FETCH_SITE);
    };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("application", "json")) => true,
        Some((kind, subtype)) => !kind.is_empty() && subtype.len() > "+json".len() && subtype.ends_with("+json"),
        None => essence.is_empty(),
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It has more than so many bytes.
    TooLarge(usize),
    /// It took longer than that.
    TooSlow(Duration),
    /// It broke off.
    Broken,
}

impl Unread {
    /// The HTTP status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    /// How the request ended, in metrics.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::TooLarge(_) => status::row(ErrorKind::RequestTooLarge).outcome,
            Self::TooSlow(_) | Self::Broken => "body_refused",
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "the body is larger than {limit} bytes"),
            Self::TooSlow(time) => write!(f, "the body took longer than {time:?}"),
            Self::Broken => f.write_str("the body broke off"),
        }
    }
}

/// Reads a body, within the limits of size and time.
pub async fn body(settings: &Settings, body: Body) -> Result<Bytes, Unread> {
    let (limit, time) = (settings.max_body, settings.body_read_timeout);
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(Unread::TooLarge(limit)),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::TooSlow(time)),
    }
}

/// What makes a send idempotent; empty: nothing does.
///
/// # Errors
/// `InvalidArgument` naming the header.
pub fn request_id(headers: &HeaderMap) -> Result<String> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(String::new()) };
    let text = value.to_str().map_err(|_| Error::invalid("Idempotency-Key", "must be ASCII text"))?;
    match id_problem(text) {
        Some(problem) => Err(Error::invalid("Idempotency-Key", problem)),
        None => Ok(text.to_owned()),
    }
}

/// Where a stream is to resume: after the event of this sequence; none: it does not.
///
/// # Errors
/// `InvalidArgument` naming the header.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    // A client that has seen no event yet may send the header without a value.
    if text.is_empty() && value.is_empty() {
        return Ok(None);
    }
    let sequence = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    sequence.map(Some).ok_or_else(|| Error::invalid("Last-Event-ID", "must be the id of an event: a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_taken_under_its_many_names() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(is_json(&HeaderMap::new()));
        for value in ["application/json", "Application/JSON; charset=utf-8", "application/a2a+json", "a/b+json;x=y", ""]
        {
            assert!(with(value), "{value}");
        }
        for value in ["text/plain", "application/x-www-form-urlencoded", "text/json2", "application/+json", "json"] {
            assert!(!with(value), "{value}");
        }
    }

    #[test]
    fn a_browser_has_to_say_the_type() {
        for name in ["origin", "sec-fetch-site"] {
            let mut page = headers(name, b"null");
            assert_eq!(fit(&page), Err(Unfit::Type), "{name}");
            page.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            assert_eq!(fit(&page), Ok(()), "{name}");
        }
    }

    #[test]
    fn compressed_bodies_are_refused_as_such() {
        for (value, expected) in [
            (&b""[..], Ok(())),
            (b"Identity", Ok(())),
            (b"gzip", Err(Unfit::Encoding)),
            (b"\xff", Err(Unfit::Encoding)),
        ] {
            assert_eq!(fit(&headers("content-encoding", value)), expected);
        }
        assert_eq!(Unfit::Encoding.accept_encoding().unwrap(), "identity");
        assert_eq!(Unfit::Type.accept_encoding(), None);
    }

    fn headers(name: &'static str, value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, http::HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn the_position_to_resume_from_is_a_number() {
        assert_eq!(last_event_id(&HeaderMap::new()), Ok(None));
        assert_eq!(last_event_id(&headers(LAST_EVENT_ID, b"")), Ok(None));
        assert_eq!(last_event_id(&headers(LAST_EVENT_ID, b"0")), Ok(Some(0)));
        assert_eq!(last_event_id(&headers(LAST_EVENT_ID, b"17")), Ok(Some(17)));
        for value in [&b"-1"[..], b"+1", b"x", b"1.0", b"99999999999999999999", b"\xff"] {
            let error = last_event_id(&headers(LAST_EVENT_ID, value)).unwrap_err();
            assert_eq!(error.field_violations()[0].field, "Last-Event-ID");
        }
    }

    #[test]
    fn the_idempotency_key_is_bounded_text() {
        assert_eq!(request_id(&HeaderMap::new()), Ok(String::new()));
        assert_eq!(request_id(&headers(IDEMPOTENCY_KEY, b"k-1")), Ok("k-1".to_owned()));
        for value in [&[b'x'; 257][..], b"\xff", b"a\tb"] {
            let error = request_id(&headers(IDEMPOTENCY_KEY, value)).unwrap_err();
            assert_eq!(error.field_violations()[0].field, "Idempotency-Key");
        }
    }
}
