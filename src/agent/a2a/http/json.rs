//! What both JSON bindings share: the headers of a request, and reading answers and events.

use bytes::Bytes;
use futures::stream;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, HeaderName},
};
use serde_json::Value;

use super::{Patience, Reply, Step, events, excerpt, refused};
use crate::{
    agent::a2a::{
        link::{CallError, Event, Events},
        sse,
    },
    error::{Error, ErrorKind},
    proto::a2a::SendMessageRequest,
    task::{Dialect, extensions::is_uri},
    wire,
};

const VERSION: HeaderName = HeaderName::from_static("a2a-version");
const EVENT_STREAM: &str = "text/event-stream";

/// How a dialect's JSON of one binding reads an event; `name` is what the SSE event is called.
pub(in crate::agent::a2a) type ReadEvent = fn(Value, Option<&str>, Dialect) -> Result<Option<Event>, Error>;

/// The headers of a request that asks for these extensions.
pub(in crate::agent::a2a) fn headers_for(dialect: Dialect, extensions: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let name = match dialect {
        Dialect::V1 => {
            headers.insert(VERSION, HeaderValue::from_static("1.0"));
            "a2a-extensions"
        }
        Dialect::V03 => "x-a2a-extensions",
        Dialect::Praison => return headers,
    };
    let uris: Vec<_> = extensions.iter().map(String::as_str).filter(|uri| is_uri(uri)).collect();
    if let Ok(value) = HeaderValue::from_str(&uris.join(", "))
        && !uris.is_empty()
    {
        headers.insert(name, value);
    }
    headers
}

impl Patience {
    /// For the answer to a message: the request says whether it is to come at once.
    pub(in crate::agent::a2a) fn of(request: &SendMessageRequest) -> Self {
        match &request.configuration {
            Some(configuration) if configuration.return_immediately => Self::Answer,
            _ => Self::Work,
        }
    }
}

/// The agent's error.
pub(in crate::agent::a2a) fn fault_of(error: &Value, dialect: Dialect) -> CallError {
    let (kind, text) = wire::fault::read(error, dialect);
    CallError::Refused { kind, text }
}

/// What a JSON-RPC answer, or an event that may be wrapped like one, holds.
#[derive(Debug, PartialEq)]
pub(in crate::agent::a2a) enum Envelope {
    Result(Value),
    Error(Value),
    /// It is no envelope.
    Bare(Value),
}

impl Envelope {
    pub(in crate::agent::a2a) fn open(mut value: Value) -> Self {
        let mut take = |name| value.as_object_mut().and_then(|object| object.remove(name));
        match (take("error").filter(|error| !error.is_null()), take("result")) {
            (Some(error), _) => Self::Error(error),
            (None, Some(result)) => Self::Result(result),
            (None, None) => Self::Bare(value),
        }
    }
}

/// An answer that is read to its end: its status, and its body as JSON where it is that.
pub(in crate::agent::a2a) struct Whole {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub place: String,
}

impl Whole {
    /// Reads an answer to its end. Of one that is an error by its status, the status counts more than a broken body.
    pub(in crate::agent::a2a) async fn read(mut reply: Reply) -> Result<Self, CallError> {
        let (status, headers, place) = (reply.status(), reply.headers().clone(), reply.place());
        let body = match reply.read(reply.limit()).await {
            Ok(body) => body,
            Err(_) if status.is_client_error() || status.is_server_error() => Bytes::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { status, headers, body, place })
    }

    /// The error that its status says. `said`: the error in its body, where it has one.
    pub(in crate::agent::a2a) fn refused(&self, said: Option<(Option<ErrorKind>, String)>) -> CallError {
        refused(self.status, &self.headers, &self.body, said, &self.place)
    }

    /// Whether its status says what to do whatever the body says: credentials, or to come again later.
    pub(in crate::agent::a2a) fn is_from_before_the_agent(&self) -> bool {
        use StatusCode as S;
        matches!(self.status, S::UNAUTHORIZED | S::FORBIDDEN | S::TOO_MANY_REQUESTS | S::SERVICE_UNAVAILABLE)
    }

    pub(in crate::agent::a2a) fn malformed(&self, what: &str) -> CallError {
        let Self { place, body, .. } = self;
        CallError::Malformed(format!("the answer of {place} {what}: {}", excerpt(body)))
    }

    /// An answer whose members are not as A2A has them.
    pub(in crate::agent::a2a) fn not_a2a(&self, error: &Error) -> CallError {
        not_a2a("answer", &self.place, error)
    }
}

fn not_a2a(what: &str, place: &str, error: &Error) -> CallError {
    CallError::Malformed(format!("the {what} of {place} is not A2A: {}", excerpt(error.message().as_bytes())))
}

/// Whether an answer is a stream of events.
pub(in crate::agent::a2a) fn is_stream(reply: &Reply) -> bool {
    reply.status().is_success() && reply.is(EVENT_STREAM)
}

/// The events of an answer that is a stream.
pub(in crate::agent::a2a) fn read_events(reply: Reply, dialect: Dialect, read: ReadEvent) -> Events {
    let place = reply.place();
    events(reply, move |event| one(&event, dialect, &place, read))
}

fn one(event: &sse::Event, dialect: Dialect, place: &str, read: ReadEvent) -> Result<Step, CallError> {
    if dialect == Dialect::Praison && event.name == wire::praisonai::DONE {
        return Ok(Step::Break(()));
    }
    // Some keep connections alive with events that hold nothing.
    if event.data.trim().is_empty() {
        return Ok(Step::Continue(None));
    }
    let value = serde_json::from_str(&event.data).map_err(|_| {
        CallError::Malformed(format!("an event of {place} is not JSON: {}", excerpt(event.data.as_bytes())))
    })?;
    let value = match Envelope::open(value) {
        Envelope::Error(error) => return Err(fault_of(&error, dialect)),
        Envelope::Bare(error) if event.name == "error" => return Err(fault_of(&error, dialect)),
        Envelope::Result(value) | Envelope::Bare(value) => value,
    };
    read(value, Some(&event.name), dialect).map(Step::Continue).map_err(|error| not_a2a("event", place, &error))
}

/// The stream of an agent that answers with one task or message, which was read from `whole`.
pub(in crate::agent::a2a) fn only(read: Result<Option<Event>, Error>, whole: &Whole) -> Result<Events, CallError> {
    let empty = || Error::new(ErrorKind::InvalidAgentResponse, "it holds neither a task nor a message");
    let event = read.and_then(|event| event.ok_or_else(empty)).map_err(|error| whole.not_a2a(&error))?;
    Ok(Box::pin(stream::iter([Ok(event)])))
}
