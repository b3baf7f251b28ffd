//! Agents: what runs tasks.
//!
//! An agent takes one turn of a task at a time (a message from the caller) and answers with a stream of updates. The
//! engine turns the updates into events; an agent never sees sequences, watchers or the store.

mod echo;

pub use echo::Echo;

use std::pin::Pin;

use futures::{Stream, future::BoxFuture};

use crate::proto::{
    a2a::{AgentCard, Artifact, Message, Task, TaskState},
    well_known::Struct,
};

/// A backend that runs tasks.
pub trait Agent: Send + Sync + 'static {
    /// Its own card, as it would serve it itself.
    fn card(&self) -> AgentCard;

    /// What to do with a turn that was under way when the gateway stopped.
    fn recovery(&self) -> Recovery;

    /// Runs one turn. The stream ends when the turn does: after a settled or interrupting status, or a direct reply.
    /// Dropping it stops the work as far as the agent can.
    fn run(&self, turn: Turn) -> UpdateStream;

    /// Asks the agent to stop the task's work. The engine drops the stream and settles the task afterwards, whatever
    /// the answer.
    fn cancel(&self, task: &Task, metadata: Option<&Struct>) -> BoxFuture<'static, Result<(), AgentError>>;
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
    /// The task so far, `message` being the last user message of its history.
    pub task: Task,
    /// The message to act on.
    pub message: Message,
    /// Media types the caller can take; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// True when the turn was under way before the gateway restarted.
    pub resumed: bool,
}

/// What an agent reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
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

/// Why a turn failed, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AgentError(pub String);
