//! What went wrong with a call, and whether the agent has seen it.

use std::{
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

use crate::{agent::a2a::link::CallError, error::ErrorKind, wire::fault::one_line};

/// Bytes to look at: more than a line of text has.
const EXCERPT: usize = 2000;
const LONGEST_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A request that got no answer.
pub(super) fn unanswered(error: &reqwest::Error, place: &str) -> CallError {
    if error.is_builder() {
        CallError::Unreached(format!("the request to {place} cannot be made: {}", cause(error)))
    } else if error.is_connect() {
        CallError::Unreached(format!("cannot connect to {place}: {}", cause(error)))
    } else if is(error, hyper::Error::is_parse) {
        CallError::Malformed(format!("{place} does not answer in HTTP: {}", cause(error)))
    } else if is(error, hyper::Error::is_canceled) {
        // It was closed while the request waited for it: hyper hands such a request back.
        CallError::Unreached(format!("the connection to {place} was closed before the request: {}", cause(error)))
    } else {
        lost(error, place)
    }
}

/// An answer that broke off.
pub(super) fn lost(error: &reqwest::Error, place: &str) -> CallError {
    CallError::Lost(format!("the connection to {place} was lost: {}", cause(error)))
}

fn is(error: &reqwest::Error, what: impl Fn(&hyper::Error) -> bool) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(&what))
}

/// The innermost cause, which says most; those around it name URLs.
pub(super) fn cause(error: &reqwest::Error) -> String {
    excerpt(causes(error).last().map(ToString::to_string).unwrap_or_default().as_bytes())
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source())
}

/// An answer that is an error by its status. `said`: the error in its body, where it has one.
pub(in crate::agent::a2a) fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    said: Option<(Option<ErrorKind>, String)>,
    place: &str,
) -> CallError {
    let code = status.as_u16();
    let text = |said: Option<(_, String)>| match said.map_or_else(|| excerpt(body), |(_, text)| text) {
        empty if empty.is_empty() => format!("{place} answers with HTTP {code}"),
        said => format!("{place} answers with HTTP {code}: {said}"),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            CallError::busy(text(said), retry_after(headers))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CallError::Refused {
            kind: None,
            text: format!("the agent refused the gateway's credentials (HTTP {code})"),
        },
        // An error without a meaning in A2A is a proxy's.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
            if said.as_ref().is_none_or(|(kind, _)| kind.is_none()) =>
        {
            CallError::Lost(text(said))
        }
        _ => match said {
            Some((kind, text)) => CallError::Refused { kind, text },
            None if status.is_client_error() || status.is_server_error() => {
                CallError::Refused { kind: None, text: text(None) }
            }
            None => CallError::Malformed(text(None)),
        },
    }
}

/// When to come again: seconds or a date (RFC 9110, section 10.2.3), a day at most. A date that has passed means now.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_AFTER));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST_AFTER))
}

/// The beginning of what others wrote, on one line and without control characters.
pub(in crate::agent::a2a) fn excerpt(bytes: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(after: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, after.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let after = retry_after(&headers(&later)).unwrap();
        assert!(after > Duration::from_secs(90) && after <= Duration::from_secs(100), "{after:?}");
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT")), Some(Duration::ZERO));
        for long in ["18446744073709551615", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(retry_after(&headers(long)), Some(Duration::from_secs(86_400)), "{long}");
        }
        for bad in ["soon", "-1", ""] {
            assert_eq!(retry_after(&headers(bad)), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_status_says_what_to_do() {
        let of = |code: u16, said| {
            refused(StatusCode::from_u16(code).unwrap(), &headers("3"), b"<h1>no\n\x1b[1mway", said, "http://h/p")
        };
        let said = || Some((Some(ErrorKind::TaskNotFound), "gone".to_owned()));
        let text = |code| format!("http://h/p answers with HTTP {code}: <h1>no [1mway");
        let after = Some(Duration::from_secs(3));
        assert_eq!(of(429, None), CallError::Busy { text: text(429), after });
        assert_eq!(of(503, said()), CallError::Busy { text: "http://h/p answers with HTTP 503: gone".into(), after });
        for code in [401, 403] {
            let text = format!("the agent refused the gateway's credentials (HTTP {code})");
            assert_eq!(of(code, said()), CallError::Refused { kind: None, text });
        }
        assert_eq!(of(502, None), CallError::Lost(text(502)));
        assert_eq!(of(504, None), CallError::Lost(text(504)));
        assert_eq!(of(404, None), CallError::Refused { kind: None, text: text(404) });
        assert_eq!(of(500, None), CallError::Refused { kind: None, text: text(500) });
        assert_eq!(of(302, None), CallError::Malformed(text(302)));
        let kind = Some(ErrorKind::TaskNotFound);
        assert_eq!(of(502, said()), CallError::Refused { kind, text: "gone".into() });
        let vague = of(502, Some((None, "bad gateway".into())));
        assert_eq!(vague, CallError::Lost("http://h/p answers with HTTP 502: bad gateway".into()));
    }
}
