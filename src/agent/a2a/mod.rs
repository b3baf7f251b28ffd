//! Agents that speak A2A: any of its bindings and versions, and PraisonAI's dialect.
//!
//! `discover` finds the card, `connection` keeps it and the way to call the agent, the links (`jsonrpc`, `rest`, `grpc`)
//! carry calls, `turn` runs a turn over any of them, and `mirror` keeps what the engine has been told, so that nothing
//! is told twice. What an agent lacks (streams, non-blocking sends, resumption) is made up for here.

mod cancel;
mod connection;
mod discover;
mod grpc;
mod http;
mod jsonrpc;
mod link;
mod mirror;
mod rest;
mod settings;
mod sse;
#[cfg(test)]
mod tests;
mod turn;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::Instant;

use self::connection::{Connection, Route};
use super::{Agent, AgentError, Cancel, Recovery, Turn, Update, UpdateStream, generate};
use crate::{metrics::Metrics, proto::a2a::AgentCard};

pub use discover::{Fetched, choose, discover, link};
pub use grpc::GrpcLink;
pub use http::Client;
pub use link::{Answer, CallError, Event, Events, Link};
pub use settings::{Binding, Interface, Mode, OnLost, Preference, Secret, Settings, Tls};

/// An agent that speaks A2A.
pub struct A2aAgent {
    inner: Arc<Inner>,
}

/// What turns share.
struct Inner {
    connection: Connection,
    metrics: Arc<Metrics>,
}

impl A2aAgent {
    /// An agent that is looked for from now on, in the background: it need not be there yet. Within a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the settings, in words for an operator.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, String> {
        Ok(Self { inner: Arc::new(Inner { connection: Connection::open(settings)?, metrics }) })
    }

    /// Takes other settings. Calls under way go on with the old ones; turns that wait for the agent look with the new.
    ///
    /// # Errors
    /// What is wrong with them; the old ones stay.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), String> {
        self.inner.connection.reconfigure(settings)
    }
}

impl Agent for A2aAgent {
    fn card(&self) -> Arc<AgentCard> {
        self.inner.connection.card()
    }

    fn has_shown_card(&self) -> bool {
        self.inner.connection.has_shown_card()
    }

    fn problem(&self) -> Option<String> {
        self.inner.connection.problem()
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.inner.connection.settings().max_concurrency
    }

    fn recovery(&self) -> Recovery {
        match self.inner.connection.settings().on_lost {
            OnLost::Fail => Recovery::Fail,
            OnLost::Resend => Recovery::Resend,
        }
    }

    fn run(&self, turn: Turn) -> UpdateStream {
        let inner = self.inner.clone();
        generate(move |emitter| turn::run(inner, turn, emitter))
    }

    fn cancel(&self, cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>> {
        Box::pin(cancel::cancel(self.inner.clone(), cancel))
    }
}

impl Inner {
    /// Makes a call, and counts it.
    async fn call<T>(
        &self,
        route: &Route,
        operation: &'static str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let begun = Instant::now();
        let result = call.await;
        self.connection.met(&result);
        let outcome = match &result {
            Ok(_) => "ok",
            Err(CallError::Unreached(_)) => "unreached",
            Err(CallError::Busy { .. }) => "busy",
            Err(CallError::Lost(_)) => "lost",
            Err(CallError::Refused { .. }) => "refused",
            Err(CallError::Malformed(_)) => "malformed",
        };
        self.metrics.agent_request(&route.settings.name, operation, outcome, begun.elapsed());
        result
    }
}

/// Growing pauses between tries.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Pauses {
    fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first.min(longest), first, longest }
    }

    /// Waits for the next pause.
    async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 3 / 2).min(self.longest);
    }

    /// Waits as long as the agent asks, within bounds, or else for the next pause; never longer than `left`.
    async fn pause_as_asked(&mut self, after: Option<Duration>, left: Duration) {
        match after {
            Some(after) => tokio::time::sleep(after.max(self.first).min(left)).await,
            None => tokio::time::timeout(left, self.pause()).await.unwrap_or_default(),
        }
    }

    fn reset(&mut self) {
        self.next = self.first.min(self.longest);
    }
}
