//! Webhooks: sends the deliveries that the store holds, each until its receiver has taken it or it is given up.
//!
//! Data goes one way: [`Dispatcher`] claims what is due, has its request written and signed (`request`), sends it
//! (`send`, through the `guard`), reads from the answer what is to become of it (`verdict`, `schedule`), and tells the
//! store. Nothing is kept in memory that the store does not know: a process that dies takes no delivery with it
//! (promise P5).
//!
//! Promises:
//! - At least once, in order per webhook and task, the same bytes and the same `webhook-id` on every attempt.
//! - No receiver delays a task or another receiver (promise P4).
//! - A request goes to no address that the operator has not allowed, whatever a name resolves to (`guard`).

mod dispatcher;
mod guard;
mod request;
mod schedule;
mod send;
mod verdict;

pub use dispatcher::{Bell, Clock, Dispatcher, Exchange, Parts, Settings};
pub use guard::{Guard, Lookup, Policy, System};
pub use schedule::Schedule;
pub use send::{SendSettings, Sender};

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

/// One HTTP POST to a receiver.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to, as its owner wrote it; checked when it was stored.
    pub url: String,
    /// All headers of ours. Those with secrets are marked sensitive.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long it may take at most, if that is less than any request may.
    pub limit: Option<Duration>,
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How long it took, the body of the answer included.
    pub latency: Duration,
    /// The HTTP status; 0: no answer came.
    pub status: u16,
    /// The address that was called; empty: none was.
    pub address: String,
    /// Why no answer came. None when there is a status: an answer counts by its status, whatever becomes of its body.
    pub failure: Option<Failure>,
    /// The answer's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The beginning of the answer's body, as text without control characters.
    pub excerpt: String,
}

/// Why no answer came. Each holds words for people, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The address may not be sent to; no connection was made.
    Refused(String),
    /// The host's name has no address.
    Resolve(String),
    /// No connection.
    Connect(String),
    /// No TLS connection.
    Tls(String),
    /// The time was up.
    Timeout(String),
    /// The connection broke, or what came was not HTTP.
    Broken(String),
}
