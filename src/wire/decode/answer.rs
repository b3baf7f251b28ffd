//! What agents answer: tasks, messages and the events of their streams.
//!
//! Read by the same rules as requests, and more kindly, since what the agent has done would be lost otherwise. An
//! envelope that is left out or added, in any dialect, is understood; so are missing roles (the agent's), times,
//! message and artifact ids (left empty), unknown states (`Unspecified`) and parts that hold nothing (left out). Values
//! of the wrong type are not, nor answers that nobody could use: a task without its id, something that is neither a
//! task nor a message. Such an error names the fields; what it means for the call is for the caller to say.

use serde_json::Value;

use super::{
    message::{extensions, message, message_fields, parts},
    push::TASK_ID,
    reader::{Names, Object, Path, Reader, read_answer},
};
use crate::{
    error::{Error, Result},
    proto::a2a::{
        Artifact, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus, TaskStatusUpdateEvent, send_message_response,
        stream_response::Payload,
    },
    task::Dialect,
    wire::words,
};

const CONTEXT_ID: Names = &["context_id", "contextId"];
/// Members of a task, some of which stand beside its id.
const TASK_MEMBERS: Names = &["status", "artifacts", "history", "contextId", "context_id"];
/// Members that only messages have.
const MESSAGE_MEMBERS: Names = &["parts", "content", "messageId", "message_id"];

/// The members under which 1.0 tells what an answer or event is, each with what it holds. `msg` is a proto name of 0.3.
const ENVELOPES: [(Names, Shape); 4] = [
    (&["task"], Shape::Task),
    (&["message", "msg"], Shape::Message),
    (&["status_update", "statusUpdate"], Shape::Status),
    (&["artifact_update", "artifactUpdate"], Shape::Artifact),
];

/// What an answer or event is.
#[derive(Clone, Copy)]
enum Shape {
    Task,
    Message,
    Status,
    Artifact,
}

/// Reads the answer to a sent message.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn sent(result: Value, dialect: Dialect) -> Result<send_message_response::Payload> {
    match any(result, dialect, None)? {
        Payload::Task(task) => Ok(send_message_response::Payload::Task(task)),
        Payload::Message(message) => Ok(send_message_response::Payload::Message(message)),
        Payload::StatusUpdate(_) | Payload::ArtifactUpdate(_) => {
            Err(Error::invalid("result", "must be a task or a message, not an event"))
        }
    }
}

/// Reads a task: the answer to a request for it, or to its cancellation.
///
/// # Errors
/// As [`sent`].
pub fn task(result: Value, dialect: Dialect) -> Result<Task> {
    match any(result, dialect, Some(Shape::Task))? {
        Payload::Task(task) => Ok(task),
        _ => Err(Error::invalid("result", "must be a task")),
    }
}

/// Reads one event of a stream, without its JSON-RPC envelope. `name` is what the SSE event is called, which counts in
/// PraisonAI's dialect only. None: it tells nothing, as PraisonAI's `done`.
///
/// # Errors
/// As [`sent`].
pub fn event(data: Value, name: Option<&str>, dialect: Dialect) -> Result<Option<Payload>> {
    let shape = match name.filter(|_| dialect == Dialect::Praison) {
        Some("task.status") => Some(Shape::Status),
        Some("task.artifact") => Some(Shape::Artifact),
        Some("task") => Some(Shape::Task),
        // What an SSE event is called that has no name.
        Some("message" | "") | None => None,
        Some(_) => return Ok(None),
    };
    any(data, dialect, shape).map(Some)
}

/// Reads whatever it is; `shape`: what it is unless its members tell otherwise.
fn any(value: Value, dialect: Dialect, shape: Option<Shape>) -> Result<Payload> {
    let read = read_answer(value, dialect, |object, reader| {
        if let Some(shape) = object.text("kind").and_then(of_kind) {
            return Some(payload(shape, object, reader));
        }
        for (names, shape) in ENVELOPES {
            if let Some(value) = object.take(names) {
                let mut inner = Object::new(object.path(names[0]), value, reader)?;
                return Some(payload(shape, &mut inner, reader));
            }
        }
        let shape = shape.or_else(|| sniffed(object))?;
        Some(payload(shape, object, reader))
    })?;
    read.ok_or_else(|| Error::invalid("result", "must hold a task, a message, a status update or an artifact update"))
}

/// What 0.3's `kind` says.
fn of_kind(kind: &str) -> Option<Shape> {
    match kind {
        "task" => Some(Shape::Task),
        "message" => Some(Shape::Message),
        "status-update" => Some(Shape::Status),
        "artifact-update" => Some(Shape::Artifact),
        _ => None,
    }
}

/// What an object is by its members alone.
fn sniffed(object: &Object<'_>) -> Option<Shape> {
    if object.has(&["artifact"]) {
        Some(Shape::Artifact)
    } else if object.has(&["id"]) && object.has(TASK_MEMBERS) {
        Some(Shape::Task)
    } else if object.has(&["status"]) {
        Some(Shape::Status)
    } else {
        object.has(MESSAGE_MEMBERS).then_some(Shape::Message)
    }
}

fn payload(shape: Shape, object: &mut Object<'_>, reader: &mut Reader) -> Payload {
    match shape {
        Shape::Task => Payload::Task(whole(object, reader)),
        Shape::Message => Payload::Message(message_fields(object, reader)),
        Shape::Status => Payload::StatusUpdate(status_update(object, reader)),
        Shape::Artifact => Payload::ArtifactUpdate(artifact_update(object, reader)),
    }
}

fn status_update(object: &mut Object<'_>, reader: &mut Reader) -> TaskStatusUpdateEvent {
    let status = status(object, reader);
    reader.require(status.is_some(), object.path("status"), "is required");
    TaskStatusUpdateEvent {
        task_id: object.string(TASK_ID, reader),
        context_id: object.string(CONTEXT_ID, reader),
        status,
        metadata: object.structure(&["metadata"], reader),
    }
}

fn artifact_update(object: &mut Object<'_>, reader: &mut Reader) -> TaskArtifactUpdateEvent {
    let value = object.take(&["artifact"]);
    let artifact = value.and_then(|value| artifact(object.path("artifact"), value, reader));
    reader.require(artifact.is_some(), object.path("artifact"), "is required");
    TaskArtifactUpdateEvent {
        task_id: object.string(TASK_ID, reader),
        context_id: object.string(CONTEXT_ID, reader),
        artifact,
        append: object.boolean(&["append"], reader).unwrap_or(false),
        last_chunk: object.boolean(&["last_chunk", "lastChunk"], reader).unwrap_or(false),
        metadata: object.structure(&["metadata"], reader),
    }
}

fn whole(object: &mut Object<'_>, reader: &mut Reader) -> Task {
    let id = object.string(&["id"], reader);
    reader.require(!id.is_empty(), object.path("id"), "is required: the task's id");
    Task {
        id,
        context_id: object.string(CONTEXT_ID, reader),
        status: status(object, reader),
        artifacts: each(object, &["artifacts"], reader, artifact),
        history: each(object, &["history"], reader, message),
        metadata: object.structure(&["metadata"], reader),
    }
}

fn status(object: &mut Object<'_>, reader: &mut Reader) -> Option<TaskStatus> {
    let value = object.take(&["status"])?;
    let mut object = Object::new(object.path("status"), value, reader)?;
    let state = object.word(&["state"], reader, words::read_state, |_| "the names of task states".to_owned());
    let said = object.take(&["message", "update"]);
    Some(TaskStatus {
        state: state.unwrap_or(TaskState::Unspecified).into(),
        message: said.and_then(|value| message(object.path("message"), value, reader)),
        timestamp: object.time(&["timestamp"], reader),
    })
}

fn artifact(path: Path<'_>, value: Value, reader: &mut Reader) -> Option<Artifact> {
    let mut object = Object::new(path, value, reader)?;
    Some(Artifact {
        artifact_id: object.string(&["artifact_id", "artifactId"], reader),
        name: object.string(&["name"], reader),
        description: object.string(&["description"], reader),
        parts: parts(&mut object, reader),
        metadata: object.structure(&["metadata"], reader),
        extensions: extensions(&mut object, reader),
    })
}

/// The elements of a list.
fn each<T>(
    object: &mut Object<'_>,
    names: Names,
    reader: &mut Reader,
    read: impl Fn(Path<'_>, Value, &mut Reader) -> Option<T>,
) -> Vec<T> {
    let Some(value) = object.take(names) else { return Vec::new() };
    let path = object.path(names[0]);
    let items = reader.array(path, value);
    items.into_iter().enumerate().filter_map(|(i, item)| read(Path::Index(&path, i), item, reader)).collect()
}
