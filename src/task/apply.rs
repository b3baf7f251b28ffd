//! The one fold: a task is its log, applied event by event.
//!
//! It never fails: what may enter a log is decided before the commit (`state::may_follow`), and whatever is in a log
//! must always fold, so that a task can be read for as long as it is kept. The rules are those of A2A 1.0:
//! a status message moves to the history when the next status arrives; an artifact update replaces or creates, or with
//! `append` extends (an unknown id is created, as several SDKs send first chunks so).

use super::Event;
use crate::proto::{
    a2a::{Artifact, Message, Role, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus, stream_response::Payload},
    well_known::{Struct, Timestamp},
};

/// Applies the next event of the log to the task.
pub fn apply(task: &mut Task, event: &Event) {
    match event.payload() {
        Payload::Task(snapshot) => task.clone_from(snapshot),
        Payload::Message(message) if message.role == i32::from(Role::Agent) => {
            set_status(task, completed_with(message.clone(), event.timestamp()));
        }
        Payload::Message(message) => task.history.push(message.clone()),
        Payload::StatusUpdate(update) => {
            set_status(task, update.status.clone().unwrap_or_default());
            merge(&mut task.metadata, update.metadata.as_ref());
        }
        Payload::ArtifactUpdate(update) => apply_artifact(task, update),
    }
}

/// The status of a task that an agent answered with a direct reply.
pub fn completed_with(reply: Message, time: Timestamp) -> TaskStatus {
    TaskStatus { state: TaskState::Completed.into(), message: Some(reply), timestamp: Some(time) }
}

fn set_status(task: &mut Task, status: TaskStatus) {
    if let Some(said) = task.status.replace(status).and_then(|previous| previous.message) {
        task.history.push(said);
    }
}

fn apply_artifact(task: &mut Task, update: &TaskArtifactUpdateEvent) {
    let Some(artifact) = &update.artifact else { return };
    match task.artifacts.iter_mut().find(|known| known.artifact_id == artifact.artifact_id) {
        None => task.artifacts.push(artifact.clone()),
        Some(known) if update.append => extend(known, artifact),
        Some(known) => known.clone_from(artifact),
    }
}

fn extend(known: &mut Artifact, more: &Artifact) {
    known.parts.extend(more.parts.iter().cloned());
    merge(&mut known.metadata, more.metadata.as_ref());
    if known.name.is_empty() {
        known.name.clone_from(&more.name);
    }
    if known.description.is_empty() {
        known.description.clone_from(&more.description);
    }
    for extension in &more.extensions {
        if !known.extensions.contains(extension) {
            known.extensions.push(extension.clone());
        }
    }
}

fn merge(into: &mut Option<Struct>, more: Option<&Struct>) {
    if let Some(more) = more {
        let fields = &mut into.get_or_insert_default().fields;
        fields.extend(more.fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// Cuts the history to its newest messages. None: all; 0: none.
pub fn cut_history(task: &mut Task, length: Option<i32>) {
    if let Some(length) = length {
        let keep = usize::try_from(length).unwrap_or(0);
        task.history.drain(..task.history.len().saturating_sub(keep));
    }
}
