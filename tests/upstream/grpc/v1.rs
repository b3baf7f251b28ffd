//! The messages of A2A 1.0 over gRPC.

use a2a_gateway::proto::{a2a, well_known::Timestamp};
use prost::{DecodeError, Message as _};
use serde_json::Value;

use super::super::{
    model::{Event, Said, Snapshot},
    request::{Operation, Request},
};

/// Reads a request.
pub fn read(request: &mut Request, bytes: &[u8]) -> Result<(), DecodeError> {
    match request.operation {
        Operation::Send { .. } | Operation::Stream => {
            let send = a2a::SendMessageRequest::decode(bytes)?;
            let message = send.message.unwrap_or_default();
            let configuration = send.configuration.unwrap_or_default();
            let parts = message.parts.iter().filter_map(|part| part.content.as_ref());
            let texts = parts.map(|content| match content {
                a2a::part::Content::Text(text) => text.as_str(),
                _ => "",
            });
            request.text = texts.collect();
            request.parts = message.parts.len();
            request.metadata = value(&send.metadata);
            request.message_metadata = value(&message.metadata);
            request.tenant = send.tenant;
            request.task_id = message.task_id;
            request.context_id = message.context_id;
            request.message_id = message.message_id;
            request.references = message.reference_task_ids;
            request.output_modes = configuration.accepted_output_modes;
            request.history_length = configuration.history_length;
            if let Operation::Send { blocking } = &mut request.operation {
                *blocking = !configuration.return_immediately;
            }
        }
        Operation::Get => {
            let get = a2a::GetTaskRequest::decode(bytes)?;
            (request.task_id, request.tenant, request.history_length) = (get.id, get.tenant, get.history_length);
        }
        Operation::Cancel => {
            let cancel = a2a::CancelTaskRequest::decode(bytes)?;
            request.metadata = value(&cancel.metadata);
            (request.task_id, request.tenant) = (cancel.id, cancel.tenant);
        }
        Operation::Subscribe => {
            let subscribe = a2a::SubscribeToTaskRequest::decode(bytes)?;
            (request.task_id, request.tenant) = (subscribe.id, subscribe.tenant);
        }
    }
    Ok(())
}

fn value(metadata: &impl serde::Serialize) -> Value {
    serde_json::to_value(metadata).unwrap()
}

/// A task, in answer to what is no stream.
pub fn answer(operation: Operation, task: &Snapshot) -> Vec<u8> {
    match operation {
        Operation::Send { .. } => {
            let payload = Some(a2a::send_message_response::Payload::Task(self::task(task)));
            a2a::SendMessageResponse { payload }.encode_to_vec()
        }
        _ => self::task(task).encode_to_vec(),
    }
}

/// A direct reply to a send.
pub fn reply(said: &Said) -> Vec<u8> {
    let payload = Some(a2a::send_message_response::Payload::Message(message(said)));
    a2a::SendMessageResponse { payload }.encode_to_vec()
}

/// An event of a stream.
pub fn event(event: &Event) -> Vec<u8> {
    use a2a::stream_response::Payload;
    let payload = match event {
        Event::Task(task) => Payload::Task(self::task(task)),
        Event::Message(said) => Payload::Message(message(said)),
        Event::Status { task, context, state, said } => Payload::StatusUpdate(a2a::TaskStatusUpdateEvent {
            task_id: task.clone(),
            context_id: context.clone(),
            status: Some(status(*state, said.as_ref())),
            metadata: None,
        }),
        Event::Artifact { task, context, id, text, append, last } => {
            Payload::ArtifactUpdate(a2a::TaskArtifactUpdateEvent {
                task_id: task.clone(),
                context_id: context.clone(),
                artifact: Some(artifact(id, std::slice::from_ref(text))),
                append: *append,
                last_chunk: *last,
                metadata: None,
            })
        }
    };
    a2a::StreamResponse { payload: Some(payload) }.encode_to_vec()
}

fn task(task: &Snapshot) -> a2a::Task {
    a2a::Task {
        id: task.id.clone(),
        context_id: task.context.clone(),
        status: Some(status(task.state, task.said().as_ref())),
        artifacts: task.artifacts.iter().map(|(id, texts)| artifact(id, texts)).collect(),
        history: task.told().iter().map(message).collect(),
        metadata: None,
    }
}

fn status(state: a2a::TaskState, said: Option<&Said>) -> a2a::TaskStatus {
    let timestamp = Some(Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 });
    a2a::TaskStatus { state: state.into(), message: said.map(message), timestamp }
}

fn message(said: &Said) -> a2a::Message {
    a2a::Message {
        message_id: said.id.clone(),
        context_id: said.context.clone(),
        task_id: said.task.clone(),
        role: said.role.into(),
        parts: vec![part(&said.text)],
        ..a2a::Message::default()
    }
}

fn artifact(id: &str, texts: &[String]) -> a2a::Artifact {
    let parts = texts.iter().map(|text| part(text)).collect();
    a2a::Artifact { artifact_id: id.into(), parts, ..a2a::Artifact::default() }
}

fn part(text: &str) -> a2a::Part {
    a2a::Part { content: Some(a2a::part::Content::Text(text.into())), ..a2a::Part::default() }
}
