//! Sends one request to a receiver and reports what came of it.
//!
//! Promises:
//! - **It ends.** The whole attempt, the answer's body included, takes `timeout` at most, or the request's limit; of the body no more than
//!   `read_body` bytes are read, and then the connection is given up.
//! - **The status line decides.** A receiver that has answered has taken the request or refused it. What becomes of the
//!   answer's body after that (it stalls, breaks off, never ends) changes nothing: the report has the status, no
//!   failure, and what was read. A report has either a status or a failure.
//! - **One request, to where the guard allows.** Redirects are not followed, proxies of the environment are not used,
//!   cookies are not kept.
//! - Reports hold nothing secret: no header, and of the URL nothing but its host.

mod answer;
mod clients;
mod fault;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use http::StatusCode;
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{Failure, Report, Request, guard::Guard};
use answer::{Excerpt, retry_after};
use clients::Clients;

/// How requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendSettings {
    /// For a whole attempt.
    pub timeout: Duration,
    /// For a connection, the name's lookup and TLS included.
    pub connect_timeout: Duration,
    /// The most that is read of an answer's body, in bytes.
    pub read_body: usize,
    /// The most that is kept of it, in bytes.
    pub excerpt: usize,
    /// How long a connection that nobody uses is kept.
    pub pool_idle: Duration,
    /// How long a client, and with it its connections, gets new requests: then names are resolved anew, also of
    /// receivers that are always busy.
    pub client_age: Duration,
}

impl Default for SendSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            read_body: 16 << 10,
            excerpt: 1 << 10,
            // Common servers close idle connections after five seconds.
            pool_idle: Duration::from_secs(4),
            client_age: Duration::from_secs(300),
        }
    }
}

/// Sends requests.
pub struct Sender {
    guard: Arc<Guard>,
    settings: SendSettings,
    clients: Clients,
}

impl Sender {
    /// A sender that calls what a guard allows.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(guard: Arc<Guard>, settings: SendSettings) -> Result<Self, String> {
        Self::trusting(guard, settings, None)
    }

    /// As [`Sender::new`], trusting other certificates than the system's where there are some.
    fn trusting(guard: Arc<Guard>, settings: SendSettings, roots: Option<Arc<RootCertStore>>) -> Result<Self, String> {
        let clients = Clients::new(guard.clone(), &settings, roots)?;
        Ok(Self { guard, settings, clients })
    }

    /// Makes one attempt.
    pub async fn send(&self, request: &Request) -> Report {
        let begun = Instant::now();
        let limit = request.limit.unwrap_or(Duration::MAX).min(self.settings.timeout);
        let mut report = match Url::parse(&request.url) {
            Ok(url) => self.attempt(request, url, begun, limit).await,
            Err(problem) => failed(Failure::Refused(format!("the URL cannot be read: {problem}"))),
        };
        report.latency = begun.elapsed();
        report
    }

    async fn attempt(&self, request: &Request, url: Url, begun: Instant, limit: Duration) -> Report {
        let end = begun + limit;
        if let Err(why) = self.guard.admit(&url) {
            return failed(Failure::Refused(why));
        }
        // Held until the answer has been read: a client that is replaced meanwhile lives on in here.
        let client = match self.clients.get(&url) {
            Ok(client) => client,
            Err(why) => return failed(Failure::Tls(why)),
        };
        let call = client.post(url.clone()).headers(request.headers.clone()).body(request.body.clone()).send();
        match timeout_at(end, call).await {
            Ok(Ok(response)) => self.answered(response, &url, end).await,
            Ok(Err(error)) => self.unanswered(fault::failure(&error, &url, &self.settings), &url),
            Err(_) => {
                let why = format!("no answer within {}", humantime::format_duration(limit));
                self.unanswered(Failure::Timeout(why), &url)
            }
        }
    }

    /// An answer, whatever its status.
    async fn answered(&self, mut response: reqwest::Response, url: &Url, end: Instant) -> Report {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let why = "the receiver switched to another protocol, which nobody asked for";
            return self.unanswered(Failure::Broken(why.to_owned()), url);
        }
        let mut report = Report {
            status: response.status().as_u16(),
            address: response.remote_addr().map(|address| address.to_string()).unwrap_or_default(),
            retry_after: retry_after(response.headers()),
            ..Report::default()
        };
        let mut excerpt = Excerpt::new(self.settings.excerpt);
        let mut read = 0;
        // Reading to the end makes the connection free for the next request.
        while read < self.settings.read_body
            && let Ok(Ok(Some(chunk))) = timeout_at(end, response.chunk()).await
        {
            excerpt.push(&chunk[..chunk.len().min(self.settings.read_body - read)]);
            read = read.saturating_add(chunk.len());
        }
        report.excerpt = excerpt.text();
        report
    }

    fn unanswered(&self, failure: Failure, url: &Url) -> Report {
        // A connection was tried where the name had an address.
        let tried = !matches!(failure, Failure::Refused(_) | Failure::Resolve(_));
        let address = self.guard.called(url).filter(|_| tried).zip(url.port_or_known_default()).map(SocketAddr::from);
        match (failure, address) {
            // The time for a connection was spent on the lookup.
            (Failure::Connect(_), None) => {
                let host = url.host_str().unwrap_or_default();
                failed(Failure::Resolve(format!("{host} cannot be resolved: no answer in time")))
            }
            (failure, address) => {
                Report { address: address.map(|a| a.to_string()).unwrap_or_default(), ..failed(failure) }
            }
        }
    }
}

fn failed(failure: Failure) -> Report {
    Report { failure: Some(failure), ..Report::default() }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
