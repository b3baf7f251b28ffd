//! One way to call an agent: a binding in a version, behind one interface.
//!
//! A link translates and carries; it holds no task and decides nothing. Requests and answers are A2A 1.0 whatever the
//! agent speaks, ids are the agent's. Every call ends: in an answer, in a typed error, or when it is dropped. What an
//! error says about whether the agent has seen the request is exact, since the turn decides by it what may be repeated.

use std::{pin::Pin, time::Duration};

use futures::{Stream, future::BoxFuture};

use crate::{
    error::ErrorKind,
    proto::{
        a2a::{SendMessageRequest, Task},
        well_known::Struct,
    },
};

pub use crate::proto::a2a::{send_message_response::Payload as Answer, stream_response::Payload as Event};

/// The events of a stream, in the order in which the agent sent them. An error is the last item. Events of PraisonAI's
/// streams and of others that have no ids leave them empty.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, CallError>> + Send>>;

/// One way to call an agent. Each call asks for `extensions`, in the header or metadata that the agent's version has for
/// them; PraisonAI's dialect has none.
pub trait Link: Send + Sync + 'static {
    /// `SendMessage`. With `return_immediately` the answer comes within the request timeout; without, the agent may stay
    /// silent for as long as the idle timeout says.
    fn send<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Answer, CallError>>;

    /// `SendStreamingMessage`. Resolves when the agent has accepted or refused the request. An agent that answers with
    /// one message or task instead of a stream gives a stream of that.
    fn stream<'a>(
        &'a self,
        request: SendMessageRequest,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Events, CallError>>;

    /// `GetTask`. `history`: whether the answer should have the task's history.
    fn get<'a>(
        &'a self,
        id: &'a str,
        history: bool,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>>;

    /// `SubscribeToTask`.
    fn subscribe<'a>(&'a self, id: &'a str, extensions: &'a [String]) -> BoxFuture<'a, Result<Events, CallError>>;

    /// `CancelTask`.
    fn cancel<'a>(
        &'a self,
        id: &'a str,
        metadata: Option<Struct>,
        extensions: &'a [String],
    ) -> BoxFuture<'a, Result<Task, CallError>>;
}

/// Why a call failed. Texts are for callers and operators: they say what happened, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There was no connection, or it broke before any of the request was written: the agent has not seen it.
    #[error("{0}")]
    Unreached(String),
    /// The agent, or what stands before it, asks to try later (429, 503, UNAVAILABLE): it has not done anything.
    #[error("{text}")]
    Busy {
        /// What it said.
        text: String,
        /// When to try again, where it said so.
        after: Option<Duration>,
    },
    /// The connection was lost, or silent for too long, after the request: the agent may or may not have seen it.
    #[error("{0}")]
    Lost(String),
    /// The agent answered with an error.
    #[error("{text}")]
    Refused {
        /// What it means in A2A; none: an internal error of the agent, refused credentials, or one that A2A has no name
        /// for.
        kind: Option<ErrorKind>,
        /// What it said.
        text: String,
    },
    /// The answer is not A2A, or larger than allowed.
    #[error("{0}")]
    Malformed(String),
}

/// What proxies put into a 503 or UNAVAILABLE when they lost the agent after it had got the request.
const TOO_LATE: [&str; 4] = ["connection termination", "remote reset", "local reset", "protocol error"];

impl CallError {
    /// The agent, or what stands before it, asks to try later; unless a proxy says so of an agent that has gone away in the
    /// midst of the call.
    pub fn busy(text: String, after: Option<Duration>) -> Self {
        if after.is_none() && TOO_LATE.iter().any(|mark| text.contains(mark)) {
            return Self::Lost(text);
        }
        Self::Busy { text, after }
    }
}
