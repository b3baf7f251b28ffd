//! 0.3 to 1.0.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::name;
use crate::{
    error::Result,
    proto::{
        a2a::{self as v1, part::Content, send_message_response, stream_response},
        a2a_v03 as v03,
    },
    wire::wrapped,
};

/// A task.
pub fn task(task: v03::Task) -> v1::Task {
    v1::Task {
        id: task.id,
        context_id: task.context_id,
        status: task.status.map(status),
        artifacts: task.artifacts.into_iter().map(artifact).collect(),
        history: task.history.into_iter().map(message).collect(),
        metadata: task.metadata,
    }
}

/// A status.
pub fn status(status: v03::TaskStatus) -> v1::TaskStatus {
    v1::TaskStatus { state: status.state, message: status.update.map(message), timestamp: status.timestamp }
}

/// A message.
pub fn message(message: v03::Message) -> v1::Message {
    v1::Message {
        message_id: message.message_id,
        context_id: message.context_id,
        task_id: message.task_id,
        role: message.role,
        parts: message.content.into_iter().map(part).collect(),
        metadata: message.metadata,
        extensions: message.extensions,
        reference_task_ids: message.reference_task_ids,
    }
}

/// An artifact.
pub fn artifact(artifact: v03::Artifact) -> v1::Artifact {
    v1::Artifact {
        artifact_id: artifact.artifact_id,
        name: artifact.name,
        description: artifact.description,
        parts: artifact.parts.into_iter().map(part).collect(),
        metadata: artifact.metadata,
        extensions: artifact.extensions,
    }
}

/// A part. One of a kind that is not known here has no content.
pub fn part(part: v03::Part) -> v1::Part {
    let mut whole = v1::Part { metadata: part.metadata, ..v1::Part::default() };
    whole.content = match part.part {
        Some(v03::part::Part::Text(text)) => Some(Content::Text(text)),
        Some(v03::part::Part::File(file)) => {
            (whole.media_type, whole.filename) = (file.mime_type, file.name);
            file.file.map(|file| match file {
                v03::file_part::File::FileWithUri(uri) => Content::Url(uri),
                v03::file_part::File::FileWithBytes(bytes) => Content::Raw(file_bytes(bytes)),
            })
        }
        Some(v03::part::Part::Data(data)) => {
            Some(Content::Data(wrapped::unwrap(data.data.unwrap_or_default(), &mut whole.metadata)))
        }
        None => None,
    };
    whole
}

/// A file's bytes: those of the field, or what they are the base64 text of. Two of the three SDKs put the text there; a
/// file that is itself such a text is rarer than they are.
pub(super) fn file_bytes(bytes: Bytes) -> Bytes {
    match STANDARD.decode(&bytes) {
        Ok(decoded) => decoded.into(),
        Err(_) => bytes,
    }
}

/// An item of a stream; none of a kind that is not known here.
pub fn event(event: v03::StreamResponse) -> Option<stream_response::Payload> {
    use v03::stream_response::Payload;

    Some(match event.payload? {
        Payload::Task(it) => stream_response::Payload::Task(task(it)),
        Payload::Msg(it) => stream_response::Payload::Message(message(it)),
        Payload::StatusUpdate(it) => stream_response::Payload::StatusUpdate(v1::TaskStatusUpdateEvent {
            task_id: it.task_id,
            context_id: it.context_id,
            status: it.status.map(status),
            metadata: it.metadata,
        }),
        Payload::ArtifactUpdate(it) => stream_response::Payload::ArtifactUpdate(v1::TaskArtifactUpdateEvent {
            task_id: it.task_id,
            context_id: it.context_id,
            artifact: it.artifact.map(artifact),
            append: it.append,
            last_chunk: it.last_chunk,
            metadata: it.metadata,
        }),
    })
}

/// The answer to a sent message; none when it holds neither a task nor a message.
pub fn sent(answer: v03::SendMessageResponse) -> Option<send_message_response::Payload> {
    use v03::send_message_response::Payload;

    Some(match answer.payload? {
        Payload::Task(it) => send_message_response::Payload::Task(task(it)),
        Payload::Msg(it) => send_message_response::Payload::Message(message(it)),
    })
}

/// A message to send. A request without a configuration waits, as in every dialect.
pub fn send(request: v03::SendMessageRequest) -> v1::SendMessageRequest {
    v1::SendMessageRequest {
        tenant: String::new(),
        message: request.request.map(message),
        configuration: request.configuration.map(|it| v1::SendMessageConfiguration {
            accepted_output_modes: it.accepted_output_modes,
            task_push_notification_config: it.push_notification.map(push),
            history_length: history_length(it.history_length),
            return_immediately: !it.blocking,
        }),
        metadata: request.metadata,
    }
}

/// Which task to get.
///
/// # Errors
/// `InvalidArgument` for a malformed name.
pub fn get_task(request: &v03::GetTaskRequest) -> Result<v1::GetTaskRequest> {
    Ok(v1::GetTaskRequest {
        id: name::read_task("name", &request.name)?,
        history_length: history_length(request.history_length),
        ..v1::GetTaskRequest::default()
    })
}

/// Which task to cancel.
///
/// # Errors
/// As [`get_task`].
pub fn cancel_task(request: &v03::CancelTaskRequest) -> Result<v1::CancelTaskRequest> {
    Ok(v1::CancelTaskRequest { id: name::read_task("name", &request.name)?, ..v1::CancelTaskRequest::default() })
}

/// Which task to stream.
///
/// # Errors
/// As [`get_task`].
pub fn subscribe(request: &v03::TaskSubscriptionRequest) -> Result<v1::SubscribeToTaskRequest> {
    let id = name::read_task("name", &request.name)?;
    Ok(v1::SubscribeToTaskRequest { id, ..v1::SubscribeToTaskRequest::default() })
}

/// A push notification config to add. The task is the parent's; the config's id is the request's, or its own.
///
/// # Errors
/// As [`get_task`].
pub fn create_push_config(
    request: v03::CreateTaskPushNotificationConfigRequest,
) -> Result<v1::TaskPushNotificationConfig> {
    let task_id = name::read_parent("parent", &request.parent)?;
    let mut config = request.config.map(push_config).unwrap_or_default();
    config.task_id = task_id;
    if !request.config_id.is_empty() {
        config.id = request.config_id;
    }
    Ok(config)
}

/// Which push notification config to get.
///
/// # Errors
/// As [`get_task`].
pub fn get_push_config(
    request: &v03::GetTaskPushNotificationConfigRequest,
) -> Result<v1::GetTaskPushNotificationConfigRequest> {
    let (task_id, id) = name::read_push_config("name", &request.name)?;
    Ok(v1::GetTaskPushNotificationConfigRequest { tenant: String::new(), task_id, id })
}

/// Which push notification config to remove.
///
/// # Errors
/// As [`get_task`].
pub fn delete_push_config(
    request: &v03::DeleteTaskPushNotificationConfigRequest,
) -> Result<v1::DeleteTaskPushNotificationConfigRequest> {
    let (task_id, id) = name::read_push_config("name", &request.name)?;
    Ok(v1::DeleteTaskPushNotificationConfigRequest { tenant: String::new(), task_id, id })
}

/// Which task's push notification configs to list.
///
/// # Errors
/// As [`get_task`].
pub fn list_push_configs(
    request: v03::ListTaskPushNotificationConfigRequest,
) -> Result<v1::ListTaskPushNotificationConfigsRequest> {
    Ok(v1::ListTaskPushNotificationConfigsRequest {
        task_id: name::read_parent("parent", &request.parent)?,
        page_size: request.page_size,
        page_token: request.page_token,
        tenant: String::new(),
    })
}

/// A push notification config. Its ids are those of its name where that has them.
pub fn push_config(config: v03::TaskPushNotificationConfig) -> v1::TaskPushNotificationConfig {
    let mut flat = config.push_notification_config.map(push).unwrap_or_default();
    if let Some((task_id, id)) = name::split(&config.name) {
        flat.task_id = task_id.to_owned();
        if flat.id.is_empty() {
            flat.id = id.to_owned();
        }
    }
    flat
}

fn push(config: v03::PushNotificationConfig) -> v1::TaskPushNotificationConfig {
    v1::TaskPushNotificationConfig {
        id: config.id,
        url: config.url,
        token: config.token,
        authentication: config.authentication.map(|it| v1::AuthenticationInfo {
            scheme: it.schemes.into_iter().next().unwrap_or_default(),
            credentials: it.credentials,
        }),
        ..v1::TaskPushNotificationConfig::default()
    }
}

/// 0 is no limit in 0.3.
fn history_length(length: i32) -> Option<i32> {
    (length != 0).then_some(length)
}
