//! 1.0 to 0.3.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::name;
use crate::{
    proto::{
        a2a::{self as v1, part::Content, send_message_response, stream_response},
        a2a_v03 as v03,
    },
    wire::wrapped,
};

/// How a file's bytes are put into the contract's bytes field. The peers disagree, and 0.3 does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileBytes {
    /// As base64 text, like Python's and Go's SDK.
    #[default]
    Base64Text,
    /// As they are, like the JS SDK.
    Raw,
}

/// A task.
pub fn task(task: v1::Task, bytes: FileBytes) -> v03::Task {
    v03::Task {
        id: task.id,
        context_id: task.context_id,
        status: task.status.map(|it| status(it, bytes)),
        artifacts: task.artifacts.into_iter().map(|it| artifact(it, bytes)).collect(),
        history: task.history.into_iter().map(|it| message(it, bytes)).collect(),
        metadata: task.metadata,
    }
}

/// A status.
pub fn status(status: v1::TaskStatus, bytes: FileBytes) -> v03::TaskStatus {
    v03::TaskStatus {
        state: status.state,
        update: status.message.map(|it| message(it, bytes)),
        timestamp: status.timestamp,
    }
}

/// A message.
pub fn message(message: v1::Message, bytes: FileBytes) -> v03::Message {
    v03::Message {
        message_id: message.message_id,
        context_id: message.context_id,
        task_id: message.task_id,
        role: message.role,
        content: parts(message.parts, bytes),
        metadata: message.metadata,
        extensions: message.extensions,
        reference_task_ids: message.reference_task_ids,
    }
}

/// An artifact.
pub fn artifact(artifact: v1::Artifact, bytes: FileBytes) -> v03::Artifact {
    v03::Artifact {
        artifact_id: artifact.artifact_id,
        name: artifact.name,
        description: artifact.description,
        parts: parts(artifact.parts, bytes),
        metadata: artifact.metadata,
        extensions: artifact.extensions,
    }
}

fn parts(parts: Vec<v1::Part>, bytes: FileBytes) -> Vec<v03::Part> {
    parts.into_iter().map(|it| part(it, bytes)).collect()
}

/// A part. One without content becomes an empty text, since 0.3's clients demand one of the kinds.
pub fn part(part: v1::Part, bytes: FileBytes) -> v03::Part {
    let mut metadata = part.metadata;
    let (mime_type, name) = (part.media_type, part.filename);
    let file = |file| v03::part::Part::File(v03::FilePart { file: Some(file), mime_type, name });
    let content = match part.content {
        Some(Content::Text(text)) => v03::part::Part::Text(text),
        Some(Content::Raw(raw)) => file(v03::file_part::File::FileWithBytes(match bytes {
            FileBytes::Base64Text => STANDARD.encode(raw).into(),
            FileBytes::Raw => raw,
        })),
        Some(Content::Url(url)) => file(v03::file_part::File::FileWithUri(url)),
        Some(Content::Data(data)) => {
            v03::part::Part::Data(v03::DataPart { data: Some(wrapped::wrap(data, &mut metadata)) })
        }
        None => v03::part::Part::Text(String::new()),
    };
    v03::Part { part: Some(content), metadata }
}

/// An item of a stream. `last`: the stream ends with it, which a status update says.
pub fn event(event: stream_response::Payload, last: bool, bytes: FileBytes) -> v03::StreamResponse {
    use v03::stream_response::Payload;

    let payload = match event {
        stream_response::Payload::Task(it) => Payload::Task(task(it, bytes)),
        stream_response::Payload::Message(it) => Payload::Msg(message(it, bytes)),
        stream_response::Payload::StatusUpdate(it) => Payload::StatusUpdate(v03::TaskStatusUpdateEvent {
            task_id: it.task_id,
            context_id: it.context_id,
            status: it.status.map(|it| status(it, bytes)),
            r#final: last,
            metadata: it.metadata,
        }),
        stream_response::Payload::ArtifactUpdate(it) => Payload::ArtifactUpdate(v03::TaskArtifactUpdateEvent {
            task_id: it.task_id,
            context_id: it.context_id,
            artifact: it.artifact.map(|it| artifact(it, bytes)),
            append: it.append,
            last_chunk: it.last_chunk,
            metadata: it.metadata,
        }),
    };
    v03::StreamResponse { payload: Some(payload) }
}

/// The answer to a sent message.
pub fn sent(answer: send_message_response::Payload, bytes: FileBytes) -> v03::SendMessageResponse {
    use v03::send_message_response::Payload;

    let payload = match answer {
        send_message_response::Payload::Task(it) => Payload::Task(task(it, bytes)),
        send_message_response::Payload::Message(it) => Payload::Msg(message(it, bytes)),
    };
    v03::SendMessageResponse { payload: Some(payload) }
}

/// A message to send. There is always a configuration, since peers disagree on what its absence, or that of
/// `blocking`, means.
pub fn send(request: v1::SendMessageRequest, bytes: FileBytes) -> v03::SendMessageRequest {
    let configuration = request.configuration.unwrap_or_default();
    v03::SendMessageRequest {
        request: request.message.map(|it| message(it, bytes)),
        configuration: Some(v03::SendMessageConfiguration {
            accepted_output_modes: configuration.accepted_output_modes,
            push_notification: configuration.task_push_notification_config.map(push),
            history_length: configuration.history_length.unwrap_or_default(),
            blocking: !configuration.return_immediately,
        }),
        metadata: request.metadata,
    }
}

/// A push notification config, named by its place.
pub fn push_config(config: v1::TaskPushNotificationConfig) -> v03::TaskPushNotificationConfig {
    v03::TaskPushNotificationConfig {
        name: name::push_config(&config.task_id, &config.id),
        push_notification_config: Some(push(config)),
    }
}

/// The push notification configs of a task.
pub fn push_configs(list: v1::ListTaskPushNotificationConfigsResponse) -> v03::ListTaskPushNotificationConfigResponse {
    v03::ListTaskPushNotificationConfigResponse {
        configs: list.configs.into_iter().map(push_config).collect(),
        next_page_token: list.next_page_token,
    }
}

fn push(config: v1::TaskPushNotificationConfig) -> v03::PushNotificationConfig {
    v03::PushNotificationConfig {
        id: config.id,
        url: config.url,
        token: config.token,
        authentication: config.authentication.map(|it| v03::AuthenticationInfo {
            schemes: if it.scheme.is_empty() { Vec::new() } else { vec![it.scheme] },
            credentials: it.credentials,
        }),
    }
}
