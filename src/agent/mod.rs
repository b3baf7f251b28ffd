//! Agents: what runs tasks.
//!
//! An agent takes one turn of a task at a time (a message from the caller) and answers with a stream of updates. The
//! engine turns the updates into events; an agent never sees sequences, watchers or the store.

pub mod a2a;
mod echo;
mod exec;
mod generate;

pub use a2a::A2aAgent;
pub use echo::Echo;
pub use exec::{Exec, ExecSettings, Input as ExecInput, Output as ExecOutput};
pub use generate::{Emitter, generate};

use std::{pin::Pin, sync::Arc};

use futures::{Stream, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    error::ErrorKind,
    proto::{
        a2a::{AgentCard, Artifact, Message, Task, TaskState},
        well_known::Struct,
    },
    task::Upstream,
};

/// A backend that runs tasks.
pub trait Agent: Send + Sync + 'static {
    /// Its own card, as it would serve it itself.
    fn card(&self) -> Arc<AgentCard>;

    /// Whether the card is its own word, and not what is said in its place as long as it has shown none.
    fn has_shown_card(&self) -> bool {
        true
    }

    /// Why it takes no tasks now, in words for an operator; none: it takes them, as far as is known.
    fn problem(&self) -> Option<String> {
        None
    }

    /// Turns that it may run at the same time; more wait as SUBMITTED, in order. None: no limit of its own.
    fn max_concurrency(&self) -> Option<usize> {
        None
    }

    /// What to do with a turn that was under way when the gateway stopped, and whose task the agent had not named.
    fn recovery(&self) -> Recovery;

    /// Runs one turn. The stream ends when the turn does: after a settled or interrupting status, or a direct reply.
    /// Dropping it stops the work as far as the agent can.
    ///
    /// The stream is polled again only when what it yielded before has been stored, where the update says so.
    fn run(&self, turn: Turn) -> UpdateStream;

    /// Asks the agent to stop the task's work, and tells what it answered: the last updates. The engine has dropped the
    /// turn's stream before, and settles the task as canceled afterwards unless the updates settle it otherwise.
    fn cancel(&self, cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>>;
}

/// What to do with a turn that was under way when the gateway stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Run it again: the agent looks at the task so far (`Turn::task`) and goes on from there.
    Continue,
    /// Run it again from its start, as if nothing had come of it: for agents that can bear repeated work.
    Resend,
    /// Fail the task: the work may or may not have been done, and doing it twice would be worse.
    Fail,
}

/// One turn of a task.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The task so far, in the gateway's ids, `message` being the last user message of its history.
    pub task: Task,
    /// The message to act on, in the gateway's ids; `reference_task_ids` are the agent's where it knows the tasks.
    pub message: Message,
    /// What the caller sent beside the message.
    pub metadata: Option<Struct>,
    /// Media types the caller can take; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// Extensions that are active for the turn: their URIs.
    pub extensions: Vec<String>,
    /// The task and its conversation as the agent knows them. The task id is empty until the agent has named it; the
    /// context id is the one to use with this agent, always set.
    pub upstream: Upstream,
    /// True when the turn was under way before the gateway restarted.
    pub resumed: bool,
    /// When the turn was given to this process: how long it waits for an agent that cannot be reached counts from here.
    pub queued: Instant,
}

/// A task to cancel.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// The task so far, in the gateway's ids.
    pub task: Task,
    /// As in [`Turn`].
    pub upstream: Upstream,
    /// Whether the agent may have the message.
    pub sent: bool,
    /// What the caller sent beside the request.
    pub metadata: Option<Struct>,
    /// As in [`Turn`].
    pub extensions: Vec<String>,
}

/// What an agent reports. Ids of tasks and contexts within messages and artifacts are the agent's; the engine maps them.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The message is about to be sent. Stored before the stream is polled again: from here on nobody knows, after a
    /// crash, whether the agent has it.
    Sending,
    /// The message has certainly not reached the agent: undoes `Sending`.
    NotSent,
    /// The agent named the task, or its conversation.
    Known(Upstream),
    /// The state changed, or something is to be said about it.
    Status {
        /// The state after it.
        state: TaskState,
        /// What the agent says.
        message: Option<Message>,
        /// Merged into the task's metadata.
        metadata: Option<Struct>,
    },
    /// An artifact was added, replaced or extended.
    Artifact {
        /// The artifact, or the parts to append to it.
        artifact: Artifact,
        /// True: append to the artifact of this id.
        append: bool,
        /// True: nothing more will be added to it.
        last_chunk: bool,
        /// Merged into the event's metadata.
        metadata: Option<Struct>,
    },
    /// A direct reply: the agent answers with a message instead of doing a task.
    Reply(Message),
}

/// The updates of one turn. An error ends it and fails the task with the error's text.
pub type UpdateStream = Pin<Box<dyn Stream<Item = Result<Update, AgentError>> + Send>>;

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AgentError {
    /// In words for the caller.
    pub text: String,
    /// Set when the agent refused the message before it began to work: a caller that still waits gets this error. None:
    /// the work itself failed.
    pub refusal: Option<ErrorKind>,
}

impl AgentError {
    /// The work failed.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), refusal: None }
    }

    /// The agent refused the message.
    pub fn refused(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { text: text.into(), refusal: Some(kind) }
    }
}
