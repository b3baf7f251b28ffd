//! The engine: submit, query, cancel, watch, run, recover.
//!
//! Blocking, non-blocking, streaming and watching callers are all watchers of one task's log.

use std::{sync::Arc, time::Duration};

use crate::{
    error::Result,
    proto::{
        a2a::{AgentCard, Message, TaskState},
        well_known::{Struct, Timestamp},
    },
    task::{Dialect, Event, Record, TaskId},
};

/// Who asks. Tasks of one caller are invisible to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Empty: the anonymous caller, the only one until identities are configured.
    pub owner: Arc<str>,
}

/// A message to act on.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The agent's name; empty: the default agent, or the continued task's.
    pub agent: String,
    /// The message. With a task id it continues that task.
    pub message: Message,
    /// Stored as the task's metadata.
    pub metadata: Option<Struct>,
    /// Media types the caller can take; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// How long the task may take; none: the setting.
    pub timeout: Option<Duration>,
    /// Makes the submit idempotent; empty: not.
    pub request_id: String,
    /// The dialect it came in.
    pub dialect: Dialect,
    /// Whether the caller can take the agent's direct reply instead of a task.
    pub reply: Reply,
}

/// Whether a caller can take the agent's direct reply instead of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is told of the task at once, and sees a direct reply as the completed task's status message.
    Task,
    /// It waits for the outcome and takes a bare message: no task stays behind.
    Message,
}

/// What became of a submit that was waited for.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The task, settled, interrupted, or as it stood when the wait was over.
    Task(Box<Record>),
    /// The agent's direct reply, its context id filled in.
    Message(Box<Message>),
}

/// When a watch ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Once the task has settled (gateway API).
    Settled,
    /// Once the task has settled or needs input (A2A streams). Stays open at AUTH_REQUIRED.
    InputRequired,
    /// Once the task has settled or is interrupted in either way (blocking calls, 0.3 streams).
    Interrupted,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A snapshot of the task, then what follows.
    Snapshot,
    /// The events after this sequence.
    After(u64),
}

/// Which tasks to list. Unset filters match all.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// The agent's name.
    pub agent: String,
    /// The context id.
    pub context_id: String,
    /// Any of these states.
    pub states: Vec<TaskState>,
    /// Status changed at this time or later.
    pub updated_after: Option<Timestamp>,
    /// 1 to 100; none: 50.
    pub page_size: Option<i32>,
    /// From the page before; empty: the first page.
    pub page_token: String,
    /// See [`Engine::get`].
    pub history_length: Option<i32>,
    /// Whether the tasks come with artifacts.
    pub include_artifacts: bool,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Most recently updated first.
    pub records: Vec<Record>,
    /// Empty on the last page.
    pub next_page_token: String,
    /// The size that was used.
    pub page_size: i32,
    /// Matches on all pages.
    pub total: u64,
}

/// Which tasks to watch together.
#[derive(Clone, Debug, Default)]
pub struct FeedQuery {
    /// The agent's name; empty: any.
    pub agent: String,
    /// The context id; empty: any.
    pub context_id: String,
    /// Any of these states after the event; empty: any.
    pub states: Vec<TaskState>,
    /// Resume after it; empty: snapshots first.
    pub cursor: String,
}

/// One item of a feed.
#[derive(Clone, Debug)]
pub struct FeedItem {
    /// None: a mark, all up to the cursor has been delivered.
    pub event: Option<Arc<Event>>,
    /// Where to resume; empty on opening snapshots.
    pub cursor: String,
    /// The agent of the event's task; empty in a mark.
    pub agent: Arc<str>,
}

/// An agent as the engine sees it.
#[derive(Clone, Debug)]
pub struct AgentStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it serves requests that name none.
    pub default: bool,
    /// Whether it takes tasks.
    pub ready: bool,
    /// Its own card.
    pub card: Arc<AgentCard>,
    /// Turns running now.
    pub running: u64,
}

/// The engine. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine;

/// A stored submit, and a watch of what comes of it.
pub struct Submitted;

/// A task's events, in order, from a position on.
pub struct Watch;

/// The events of many tasks.
pub struct Feed;

#[allow(unused_variables, clippy::unused_async)]
impl Engine {
    /// Stores a task (or a task's next message) and lets its agent run it.
    pub async fn submit(&self, caller: &Caller, submit: Submit) -> Result<Submitted> {
        todo!()
    }

    /// Reads one task. `history_length`: messages of history to return, newest kept; none: all, 0: none.
    pub async fn get(&self, caller: &Caller, id: TaskId, history_length: Option<i32>) -> Result<Record> {
        todo!()
    }

    /// Lists tasks, most recently updated first.
    pub async fn list(&self, caller: &Caller, query: ListQuery) -> Result<Page> {
        todo!()
    }

    /// Cancels a task and tells its agent.
    pub async fn cancel(&self, caller: &Caller, id: TaskId, metadata: Option<Struct>) -> Result<Record> {
        todo!()
    }

    /// Watches one task.
    pub async fn watch(&self, caller: &Caller, id: TaskId, from: From, until: Until) -> Result<Watch> {
        todo!()
    }

    /// Watches many tasks.
    pub async fn feed(&self, caller: &Caller, query: FeedQuery) -> Result<Feed> {
        todo!()
    }

    /// The agents, the default one first.
    pub fn agents(&self) -> Vec<AgentStatus> {
        todo!()
    }

    /// One agent; empty: the default one. `AgentNotFound` otherwise.
    pub fn agent(&self, name: &str) -> Result<AgentStatus> {
        todo!()
    }

    /// Whether the store takes writes now.
    pub async fn ready(&self) -> Result<()> {
        todo!()
    }

    /// Resolves when the gateway starts to shut down; streams end then.
    pub async fn draining(&self) {
        todo!()
    }
}

#[allow(unused_variables, clippy::unused_async)]
impl Submitted {
    /// The task as it was stored.
    pub fn record(&self) -> &Record {
        todo!()
    }

    /// Whether the request id had been used and this is the first submit's task.
    pub fn replayed(&self) -> bool {
        todo!()
    }

    /// Waits until the task settles or is interrupted, at most `wait`; none: without a limit.
    /// `history_length` as in [`Engine::get`].
    pub async fn outcome(self, wait: Option<Duration>, history_length: Option<i32>) -> Result<Outcome> {
        todo!()
    }

    /// Streams what comes of it: a snapshot of the task first and then its events until `until`, or the single
    /// `message` event of a direct reply. Sequences are the log's.
    pub fn stream(self, until: Until) -> Watch {
        todo!()
    }
}

#[allow(unused_variables, clippy::unused_async)]
impl Watch {
    /// The next event; none at the end. Cancel safe. Ends with `Unavailable` when the gateway shuts down.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>>> {
        todo!()
    }

    /// The next events that are there without waiting for more than the first: at least one, in order.
    pub async fn next_batch(&mut self) -> Option<Result<Vec<Arc<Event>>>> {
        todo!()
    }
}

#[allow(clippy::unused_async)]
impl Feed {
    /// The next item. Cancel safe. Ends with `Unavailable` when the gateway shuts down.
    pub async fn next(&mut self) -> Option<Result<FeedItem>> {
        todo!()
    }
}
