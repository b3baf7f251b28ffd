//! Answers and events, and in [`request`] what agents are asked, to JSON, in the safest shape of each dialect (WIRE
//! 9.3, 9.8).
//!
//! Values are written straight into the bytes that are sent. 1.0 output holds the contract's fields and nothing else,
//! required ones even when empty (which is why this is not the generated ProtoJSON, that leaves them out and breaks
//! clients whose models demand them: an artifact chunk without parts is common). Null and empty optional fields are
//! never written.

mod part;
mod payload;
mod push;
pub mod request;
#[cfg(test)]
mod tests;
pub(super) mod view;

pub use push::{push_config, push_configs, push_deleted};

use bytes::Bytes;
use serde::Serialize;

pub use self::payload::payload;
use self::view::{In, Tasks};
use crate::{
    proto::a2a::{
        Artifact, ListTasksResponse, Message, Role, Task, TaskState, TaskStatus, send_message_response,
        stream_response::Payload,
    },
    task::{Dialect, Event, Form},
};

/// A task, as the answer to a request for it.
pub fn task(dialect: Dialect, task: &Task) -> Bytes {
    write(&In(dialect, task))
}

/// A message on its own.
pub fn message(dialect: Dialect, message: &Message) -> Bytes {
    write(&In(dialect, message))
}

/// The answer to a sent message: 1.0 says which of task and message it is by the key, 0.3 by `kind`. PraisonAI, which
/// has no messages as answers, gets a completed task that holds the message as its artifact.
pub fn send_response(dialect: Dialect, response: &send_message_response::Payload) -> Bytes {
    match (dialect, response) {
        (Dialect::Praison, send_message_response::Payload::Message(message)) => task(dialect, &as_task(message)),
        _ => write(&In(dialect, response)),
    }
}

/// The answer to a list of tasks. PraisonAI's is the bare array; 0.3, which defines none, gets 1.0's with 0.3 tasks.
pub fn task_list(dialect: Dialect, list: &ListTasksResponse) -> Bytes {
    match dialect {
        Dialect::Praison => write(&Tasks(dialect, &list.tasks)),
        Dialect::V1 | Dialect::V03 => write(&In(dialect, list)),
    }
}

/// One event of a stream, encoded once per dialect and shared; none where the dialect has no form for it.
///
/// A user's message has none anywhere: A2A streams carry what the agent does. PraisonAI's streams know only status and
/// artifact events and begin at `working`, so there a snapshot shows as its status, and not at all when submitted, and
/// an agent's direct message shows as an artifact.
pub fn event(dialect: Dialect, event: &Event) -> Option<Bytes> {
    let shown = match event.payload() {
        Payload::Message(_) => is_shown(event),
        Payload::Task(_) => dialect != Dialect::Praison || event.state != TaskState::Submitted,
        Payload::StatusUpdate(_) | Payload::ArtifactUpdate(_) => true,
    };
    let form = match dialect {
        Dialect::V1 => Form::V1Json,
        Dialect::V03 => Form::V03Json,
        Dialect::Praison => Form::PraisonJson,
    };
    shown.then(|| event.form(form, |event| write(&In(dialect, event))))
}

/// Whether an event has a place in A2A's streams: a user's message has none.
pub(super) fn is_shown(event: &Event) -> bool {
    !matches!(event.payload(), Payload::Message(message) if message.role() == Role::User)
}

/// A direct reply as the task that PraisonAI's clients expect. The gateway keeps no task for such a reply, so the
/// message's own id stands in for the task's.
fn as_task(message: &Message) -> Task {
    Task {
        id: if message.task_id.is_empty() { message.message_id.clone() } else { message.task_id.clone() },
        context_id: message.context_id.clone(),
        status: Some(TaskStatus { state: TaskState::Completed.into(), ..TaskStatus::default() }),
        artifacts: vec![as_artifact(message)],
        history: vec![message.clone()],
        metadata: None,
    }
}

/// A message's content as an artifact, which is where PraisonAI's clients look for results.
fn as_artifact(message: &Message) -> Artifact {
    Artifact { artifact_id: message.message_id.clone(), parts: message.parts.clone(), ..Artifact::default() }
}

#[expect(
    clippy::expect_used,
    reason = "writing to memory does not fail, and nothing here has map keys other than text"
)]
fn write(value: &impl Serialize) -> Bytes {
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, value).expect("serializable to JSON");
    json.into()
}
