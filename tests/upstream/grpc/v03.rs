//! The messages of A2A 0.3 over gRPC.

use a2a_gateway::proto::{a2a::Role, a2a_v03 as a2a, well_known::Timestamp};
use prost::{DecodeError, Message as _};
use serde_json::Value;

use super::super::{
    model::{Event, Said, Snapshot, is_done},
    request::{Operation, Request},
};

/// Reads a request.
pub fn read(request: &mut Request, bytes: &[u8]) -> Result<(), DecodeError> {
    let name = match request.operation {
        Operation::Send { .. } | Operation::Stream => return read_send(request, bytes),
        Operation::Get => {
            let get = a2a::GetTaskRequest::decode(bytes)?;
            // 0 is no limit.
            request.history_length = Some(get.history_length).filter(|length| *length != 0);
            get.name
        }
        Operation::Cancel => a2a::CancelTaskRequest::decode(bytes)?.name,
        Operation::Subscribe => a2a::TaskSubscriptionRequest::decode(bytes)?.name,
    };
    // What is no resource name names no task, and is seen by the test.
    request.task_id = name.strip_prefix("tasks/").map_or_else(|| format!("not a name: {name}"), Into::into);
    Ok(())
}

fn read_send(request: &mut Request, bytes: &[u8]) -> Result<(), DecodeError> {
    let send = a2a::SendMessageRequest::decode(bytes)?;
    let message = send.request.unwrap_or_default();
    let configuration = send.configuration.unwrap_or_default();
    let texts = message.content.iter().map(|part| match &part.part {
        Some(a2a::part::Part::Text(text)) => text.as_str(),
        _ => "",
    });
    request.text = texts.collect();
    request.parts = message.content.len();
    request.metadata = value(&send.metadata);
    request.message_metadata = value(&message.metadata);
    request.task_id = message.task_id;
    request.context_id = message.context_id;
    request.message_id = message.message_id;
    request.references = message.reference_task_ids;
    request.output_modes = configuration.accepted_output_modes;
    request.history_length = Some(configuration.history_length).filter(|length| *length != 0);
    if let Operation::Send { blocking } = &mut request.operation {
        *blocking = configuration.blocking;
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
    let payload = Some(a2a::send_message_response::Payload::Msg(message(said)));
    a2a::SendMessageResponse { payload }.encode_to_vec()
}

/// An event of a stream.
pub fn event(event: &Event) -> Vec<u8> {
    use a2a::stream_response::Payload;
    let payload = match event {
        Event::Task(task) => Payload::Task(self::task(task)),
        Event::Message(said) => Payload::Msg(message(said)),
        Event::Status { task, context, state, said } => Payload::StatusUpdate(a2a::TaskStatusUpdateEvent {
            task_id: task.clone(),
            context_id: context.clone(),
            status: Some(status(*state as i32, said.as_ref())),
            r#final: is_done(*state),
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
        status: Some(status(task.state as i32, task.said().as_ref())),
        artifacts: task.artifacts.iter().map(|(id, texts)| artifact(id, texts)).collect(),
        history: task.told().iter().map(message).collect(),
        metadata: None,
    }
}

/// The numbers of the states are those of 1.0.
fn status(state: i32, said: Option<&Said>) -> a2a::TaskStatus {
    let timestamp = Some(Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 });
    a2a::TaskStatus { state, update: said.map(message), timestamp }
}

fn message(said: &Said) -> a2a::Message {
    a2a::Message {
        message_id: said.id.clone(),
        context_id: said.context.clone(),
        task_id: said.task.clone(),
        role: if said.role == Role::User { a2a::Role::User } else { a2a::Role::Agent }.into(),
        content: vec![part(&said.text)],
        ..a2a::Message::default()
    }
}

fn artifact(id: &str, texts: &[String]) -> a2a::Artifact {
    let parts = texts.iter().map(|text| part(text)).collect();
    a2a::Artifact { artifact_id: id.into(), parts, ..a2a::Artifact::default() }
}

fn part(text: &str) -> a2a::Part {
    a2a::Part { part: Some(a2a::part::Part::Text(text.into())), ..a2a::Part::default() }
}
