//! The task domain, pure: ids, states and their moves, events, the one fold, validation.
//!
//! Nothing here does I/O or knows a transport, a store or an agent.

mod apply;
mod event;
pub mod extensions;
mod id;
pub mod signature;
pub mod state;
mod upstream;
pub mod validate;
pub mod webhook;

pub use apply::{apply, completed_with, cut_history};
pub use event::{Event, Form};
pub use id::{MAX_ID, TaskId, id_problem, mint};
pub use upstream::Upstream;
pub use webhook::{DeliveryId, Events, Health, Secrets, Webhook, WebhookId, WebhookState};

use std::sync::Arc;

use crate::proto::a2a::Task;

/// The wire dialects. A task remembers the one that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// A2A 1.0; also what the gateway's own API counts as.
    V1,
    /// A2A 0.3.
    V03,
    /// PraisonAI's.
    Praison,
}

/// A task and what the gateway knows about it, as of one point of its log.
#[derive(Clone, Debug)]
pub struct Record {
    /// The task's id.
    pub id: TaskId,
    /// The task, cut to the history length that was asked for.
    pub task: Task,
    /// The newest event that `task` holds.
    pub sequence: u64,
    /// The agent's name.
    pub agent: Arc<str>,
    /// The dialect that created it.
    pub dialect: Dialect,
    /// Milliseconds since 1970 UTC.
    pub created: i64,
    /// When its status last changed: milliseconds since 1970 UTC.
    pub updated: i64,
    /// When it will be failed unless settled: milliseconds since 1970 UTC.
    pub deadline: Option<i64>,
    /// Extensions that are active for its turn: their URIs.
    pub extensions: Vec<String>,
}
