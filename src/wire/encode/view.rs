//! The model's types as they look in a dialect.
//!
//! One writer per type for all three dialects: they differ in few places, and each difference stands where it is made.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::as_artifact;
use crate::{
    proto::{
        a2a::{
            Artifact, ListTasksResponse, Message, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
            TaskStatusUpdateEvent, send_message_response, stream_response::Payload,
        },
        well_known::Struct,
    },
    task::{
        Dialect::{self, Praison, V1, V03},
        Event,
    },
    wire::words,
};

/// A value in a dialect.
pub(super) struct In<'a, T: ?Sized>(pub Dialect, pub &'a T);

/// Tasks as an array.
pub(super) struct Tasks<'a>(pub Dialect, pub &'a [Task]);

/// A status; its time is left out of PraisonAI's events, which have none.
pub(super) struct Status<'a> {
    pub dialect: Dialect,
    pub status: Option<&'a TaskStatus>,
    pub timed: bool,
}

impl Serialize for In<'_, Task> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, task) = *self;
        let mut map = serializer.serialize_map(None)?;
        kind(&mut map, dialect, "task")?;
        map.serialize_entry("id", &task.id)?;
        context(&mut map, dialect, &task.context_id)?;
        map.serialize_entry("status", &Status { dialect, status: task.status.as_ref(), timed: true })?;
        match direct_reply(task).filter(|_| dialect == Praison) {
            Some(reply) => map.serialize_entry("artifacts", &[In(dialect, &as_artifact(reply))])?,
            None => list(&mut map, "artifacts", dialect, &task.artifacts)?,
        }
        list(&mut map, "history", dialect, &task.history)?;
        option(&mut map, "metadata", task.metadata.as_ref())?;
        map.end()
    }
}

/// The message with which a task was completed that has no artifacts: an agent's reply without a task of its own.
fn direct_reply(task: &Task) -> Option<&Message> {
    let status = task.status.as_ref().filter(|status| status.state() == TaskState::Completed)?;
    status.message.as_ref().filter(|message| task.artifacts.is_empty() && !message.parts.is_empty())
}

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = self.status.map_or(TaskState::Unspecified, TaskStatus::state);
        let message = self.status.and_then(|status| status.message.as_ref());
        let timestamp = self.status.and_then(|status| status.timestamp.as_ref()).filter(|_| self.timed);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", words::state(self.dialect, state))?;
        option(&mut map, "message", message.map(|message| In(self.dialect, message)).as_ref())?;
        option(&mut map, "timestamp", timestamp)?;
        map.end()
    }
}

impl Serialize for In<'_, Message> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, message) = *self;
        let mut map = serializer.serialize_map(None)?;
        kind(&mut map, dialect, "message")?;
        map.serialize_entry("messageId", &message.message_id)?;
        text(&mut map, "contextId", &message.context_id)?;
        text(&mut map, "taskId", &message.task_id)?;
        map.serialize_entry("role", words::role(dialect, message.role()))?;
        map.serialize_entry("parts", &Each(dialect, &message.parts))?;
        option(&mut map, "metadata", message.metadata.as_ref())?;
        extensions(&mut map, dialect, &message.extensions)?;
        if !message.reference_task_ids.is_empty() {
            map.serialize_entry("referenceTaskIds", &message.reference_task_ids)?;
        }
        map.end()
    }
}

impl Serialize for In<'_, Artifact> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, artifact) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("artifactId", &artifact.artifact_id)?;
        text(&mut map, "name", &artifact.name)?;
        text(&mut map, "description", &artifact.description)?;
        map.serialize_entry("parts", &Each(dialect, &artifact.parts))?;
        option(&mut map, "metadata", artifact.metadata.as_ref())?;
        extensions(&mut map, dialect, &artifact.extensions)?;
        map.end()
    }
}

impl Serialize for In<'_, send_message_response::Payload> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            send_message_response::Payload::Task(task) => keyed(serializer, self.0, "task", &In(self.0, task)),
            send_message_response::Payload::Message(message) => {
                keyed(serializer, self.0, "message", &In(self.0, message))
            }
        }
    }
}

impl Serialize for In<'_, ListTasksResponse> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, list) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("tasks", &Tasks(dialect, &list.tasks))?;
        map.serialize_entry("nextPageToken", &list.next_page_token)?;
        map.serialize_entry("pageSize", &list.page_size)?;
        map.serialize_entry("totalSize", &list.total_size)?;
        map.end()
    }
}

impl Serialize for Tasks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Each(self.0, self.1).serialize(serializer)
    }
}

impl Serialize for In<'_, Event> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, event) = *self;
        match event.payload() {
            Payload::Task(task) if dialect == Praison => {
                let status = task.status.as_ref();
                StatusEvent { dialect, event, task: &task.id, context: &task.context_id, status, metadata: None }
                    .serialize(serializer)
            }
            Payload::Message(message) if dialect == Praison => {
                let artifact = as_artifact(message);
                ArtifactEvent {
                    dialect,
                    task: &event.task_id.to_string(),
                    context: &message.context_id,
                    artifact: Some(&artifact),
                    append: false,
                    last_chunk: true,
                    metadata: None,
                }
                .serialize(serializer)
            }
            Payload::Task(task) => keyed(serializer, dialect, "task", &In(dialect, task)),
            Payload::Message(message) => keyed(serializer, dialect, "message", &In(dialect, message)),
            Payload::StatusUpdate(update) => {
                keyed(serializer, dialect, "statusUpdate", &StatusEvent::new(dialect, event, update))
            }
            Payload::ArtifactUpdate(update) => {
                keyed(serializer, dialect, "artifactUpdate", &ArtifactEvent::new(dialect, update))
            }
        }
    }
}

struct StatusEvent<'a> {
    dialect: Dialect,
    event: &'a Event,
    task: &'a str,
    context: &'a str,
    status: Option<&'a TaskStatus>,
    metadata: Option<&'a Struct>,
}

impl<'a> StatusEvent<'a> {
    fn new(dialect: Dialect, event: &'a Event, update: &'a TaskStatusUpdateEvent) -> Self {
        Self {
            dialect,
            event,
            task: &update.task_id,
            context: &update.context_id,
            status: update.status.as_ref(),
            metadata: update.metadata.as_ref(),
        }
    }
}

impl Serialize for StatusEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dialect = self.dialect;
        let mut map = serializer.serialize_map(None)?;
        kind(&mut map, dialect, "status-update")?;
        map.serialize_entry("taskId", self.task)?;
        context(&mut map, dialect, self.context)?;
        let timed = dialect != Praison;
        map.serialize_entry("status", &Status { dialect, status: self.status, timed })?;
        if dialect != V1 {
            map.serialize_entry("final", &ends_stream(self.event.state))?;
        }
        option(&mut map, "metadata", self.metadata)?;
        map.end()
    }
}

/// Whether the older dialects end their streams at this state: settled or interrupted (WIRE 3.7).
pub(in crate::wire) fn ends_stream(state: TaskState) -> bool {
    match state {
        TaskState::Unspecified | TaskState::Submitted | TaskState::Working => false,
        TaskState::Completed
        | TaskState::Failed
        | TaskState::Canceled
        | TaskState::Rejected
        | TaskState::InputRequired
        | TaskState::AuthRequired => true,
    }
}

struct ArtifactEvent<'a> {
    dialect: Dialect,
    task: &'a str,
    context: &'a str,
    artifact: Option<&'a Artifact>,
    append: bool,
    last_chunk: bool,
    metadata: Option<&'a Struct>,
}

impl<'a> ArtifactEvent<'a> {
    fn new(dialect: Dialect, update: &'a TaskArtifactUpdateEvent) -> Self {
        Self {
            dialect,
            task: &update.task_id,
            context: &update.context_id,
            artifact: update.artifact.as_ref(),
            append: update.append,
            last_chunk: update.last_chunk,
            metadata: update.metadata.as_ref(),
        }
    }
}

impl Serialize for ArtifactEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dialect = self.dialect;
        let mut map = serializer.serialize_map(None)?;
        kind(&mut map, dialect, "artifact-update")?;
        map.serialize_entry("taskId", self.task)?;
        context(&mut map, dialect, self.context)?;
        option(&mut map, "artifact", self.artifact.map(|artifact| In(dialect, artifact)).as_ref())?;
        for (name, set) in [("append", self.append), ("lastChunk", self.last_chunk)] {
            if set || dialect != V1 {
                map.serialize_entry(name, &set)?;
            }
        }
        option(&mut map, "metadata", self.metadata)?;
        map.end()
    }
}

/// The elements of a list, each in the dialect.
struct Each<'a, T>(Dialect, &'a [T]);

impl<T> Serialize for Each<'_, T>
where
    for<'b> In<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|item| In(self.0, item)))
    }
}

/// A value that 1.0 tells by the key it stands under; the older dialects have it bare.
fn keyed<S: Serializer>(
    serializer: S,
    dialect: Dialect,
    key: &'static str,
    value: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    if dialect != V1 {
        return value.serialize(serializer);
    }
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

/// 0.3's discriminator.
fn kind<M: SerializeMap>(map: &mut M, dialect: Dialect, kind: &str) -> Result<(), M::Error> {
    if dialect == V03 { map.serialize_entry("kind", kind) } else { Ok(()) }
}

/// The context's id: always there in A2A, where some clients' models demand it.
fn context<M: SerializeMap>(map: &mut M, dialect: Dialect, id: &str) -> Result<(), M::Error> {
    if dialect == Praison { text(map, "contextId", id) } else { map.serialize_entry("contextId", id) }
}

/// Extension URIs; PraisonAI's type of the field is another one.
fn extensions<M: SerializeMap>(map: &mut M, dialect: Dialect, uris: &[String]) -> Result<(), M::Error> {
    if uris.is_empty() || dialect == Praison { Ok(()) } else { map.serialize_entry("extensions", uris) }
}

pub(super) fn text<M: SerializeMap>(map: &mut M, name: &'static str, value: &str) -> Result<(), M::Error> {
    if value.is_empty() { Ok(()) } else { map.serialize_entry(name, value) }
}

pub(super) fn option<M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    value: Option<&impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

fn list<M: SerializeMap, T>(map: &mut M, name: &'static str, dialect: Dialect, items: &[T]) -> Result<(), M::Error>
where
    for<'b> In<'b, T>: Serialize,
{
    if items.is_empty() { Ok(()) } else { map.serialize_entry(name, &Each(dialect, items)) }
}
