//! HTTP to an agent: one client with the agent's headers, trust and limits.
//!
//! Every call ends by itself: its parts have deadlines and its body a size limit. Redirects are followed within the
//! same origin only, so the agent's headers, which may be credentials, go nowhere else. What an error says about
//! whether the agent has seen the request is decided in `fault`.

mod body;
mod events;
mod fault;
mod json;
mod tls;

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT},
};
use reqwest::Url;
use tokio::time::{Instant, timeout};

pub(super) use body::Reply;
pub(super) use events::{Step, events};
pub(super) use fault::{excerpt, refused};
pub(super) use json::{Envelope, Whole, fault_of, headers_for, is_stream, only, read_events};

use super::{
    link::CallError,
    settings::{Settings, Tls},
};

const REDIRECTS: usize = 5;
/// Shorter than the 5 s for which common servers keep an idle connection: a request that meets the server's close halfway
/// may or may not have been read.
const POOL_IDLE: Duration = Duration::from_secs(4);
const AGENT: &str = concat!("a2a-gateway/", env!("CARGO_PKG_VERSION"));
/// Headers that belong to the connection or the body.
const OWN_HEADERS: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE];

/// A client for one agent.
#[derive(Debug)]
pub struct Client {
    headers: HeaderMap,
    limits: Limits,
    tls: Tls,
    plain: reqwest::Client,
    /// Made with the first `https` URL: reading the system's certificates takes time and memory.
    secure: OnceLock<Result<reqwest::Client, String>>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    connect: Duration,
    answer: Duration,
    silence: Duration,
    size: usize,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: &'a Url,
    /// Beside those of the settings, which win.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Option<Bytes>,
    pub patience: Patience,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// All of it comes within the request timeout.
    Answer,
    /// It may be silent for as long as the idle timeout, before it begins and within.
    Work,
    /// It begins within the request timeout, and may be silent for as long as the idle timeout from then on.
    Stream,
}

impl Client {
    /// A client with the settings' headers, TLS and limits.
    ///
    /// # Errors
    /// A text that names the header or the TLS option that cannot be used, without its value.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let limits = Limits {
            connect: settings.connect_timeout.min(settings.request_timeout),
            answer: settings.request_timeout,
            silence: settings.idle_timeout,
            size: settings.max_message,
        };
        let tls = settings.tls.clone();
        let plain = build(limits, crate::tls::unused()?)?;
        let client = Self { headers: headers(settings)?, limits, tls, plain, secure: OnceLock::new() };
        if settings.url.starts_with("https:") || client.tls != Tls::default() {
            client.secure()?;
        }
        Ok(client)
    }

    fn secure(&self) -> Result<&reqwest::Client, String> {
        let made = self.secure.get_or_init(|| build(self.limits, tls::config(&self.tls)?));
        made.as_ref().map_err(Clone::clone)
    }

    fn client(&self, url: &Url) -> Result<&reqwest::Client, CallError> {
        match url.scheme() {
            "http" => Ok(&self.plain),
            "https" => self.secure().map_err(CallError::Unreached),
            other => Err(CallError::Unreached(format!("{} is no HTTP URL: it begins with {other}:", place(url)))),
        }
    }

    /// Sends a request; gives the answer, whatever its status, when it has begun. Redirects have been followed.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Reply, CallError> {
        let start = match call.patience {
            Patience::Answer | Patience::Stream => self.limits.answer,
            Patience::Work => self.limits.silence,
        };
        // Connecting has its own limit, so that this one always means: the agent was there, and did not answer.
        let limit = self.limits.connect.saturating_add(start);
        let end = if call.patience == Patience::Answer { Instant::now().checked_add(limit) } else { None };
        let answer = timeout(limit, self.follow(&call)).await;
        let late = |_| CallError::Lost(format!("no answer from {} within {}", place(call.url), spoken(start)));
        let response = answer.map_err(late)??;
        Ok(Reply::new(response, end, self.limits))
    }

    async fn follow(&self, call: &Call<'_>) -> Result<reqwest::Response, CallError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let request = self.client(&url)?.request(call.method.clone(), url.clone()).headers(self.headers_of(call));
            let request = match &call.body {
                Some(body) => request.body(body.clone()),
                None => request,
            };
            let answer = request.send().await;
            let answer = answer.map_err(|error| fault::unanswered(&error, &place(&url)))?;
            match redirect(call, &url, answer.status(), answer.headers())? {
                None => return Ok(answer),
                Some(next) => url = next,
            }
        }
        Err(CallError::Refused { kind: None, text: format!("{} redirects too often", place(call.url)) })
    }
    fn headers_of(&self, call: &Call<'_>) -> HeaderMap {
        let mut headers = call.headers.clone();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for name in self.headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.headers.clone());
        headers
    }
}

/// Where a redirect leads; none: the answer is not one.
///
/// # Errors
/// When it is one that must not or cannot be followed.
fn redirect(call: &Call<'_>, from: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>, CallError> {
    let keeps_body = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let moved = matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER);
    let Some(location) = headers.get(LOCATION).filter(|_| keeps_body || moved) else { return Ok(None) };
    let refuse = |why: String| CallError::Refused {
        kind: None,
        text: format!("{} answers with a redirect (HTTP {}) {why}", place(from), status.as_u16()),
    };
    let next = location.to_str().ok().and_then(|location| from.join(location).ok());
    let next = next.ok_or_else(|| refuse("to what is no URL".to_owned()))?;
    if next.origin() != from.origin() {
        Err(refuse(format!("to another origin, {}", next.origin().ascii_serialization())))
    } else if moved && call.method != Method::GET {
        Err(refuse(format!("to {} that loses the request's body", place(&next))))
    } else {
        Ok(Some(next))
    }
}

/// The settings' headers.
fn headers(settings: &Settings) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let bad = |what: &str| format!("the header {name:?} of agent {} {what}", settings.name);
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("has a name that HTTP does not allow"))?;
        if OWN_HEADERS.contains(&parsed) {
            return Err(bad("cannot be set"));
        }
        let mut value =
            HeaderValue::from_str(&value.0).map_err(|_| bad("has a value with characters that HTTP does not allow"))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}

fn build(limits: Limits, tls: rustls::ClientConfig) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(limits.connect)
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .build()
        .map_err(|error| format!("the HTTP client cannot be made: {}", fault::cause(&error)))
}

/// A URL as texts name it: its origin and path, without credentials and query.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// A duration as texts name it.
fn spoken(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
