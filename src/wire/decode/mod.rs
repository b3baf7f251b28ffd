//! Requests of clients, and in [`answer`] the answers of agents, from JSON. `params` is what a request holds: null when
//! it holds nothing.
//!
//! Every shape of WIRE 9.2 is read in every dialect; what differs between dialects is only what an absent or
//! ambiguous field means. Types are strict, unknown fields are ignored, null counts as absent, and an error names every
//! field that is wrong by its path in proto names. Whether the values make sense is for `task` to judge.
//!
//! Nothing here recurses deeper than its input, and serde_json reads none deeper than 128 levels.

pub mod answer;
mod message;
mod push;
mod reader;
#[cfg(test)]
mod tests;

pub use push::push_id_fields;

use serde_json::Value;

use self::reader::{Names, Object, Reader, read};
use super::words;
use crate::{
    error::Result,
    proto::a2a::{
        CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
        GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest, ListTasksRequest,
        SendMessageConfiguration, SendMessageRequest, SubscribeToTaskRequest, TaskPushNotificationConfig, TaskState,
    },
    task::Dialect,
};

const HISTORY_LENGTH: Names = &["history_length", "historyLength"];
const PAGE_SIZE: Names = &["page_size", "pageSize"];
const PAGE_TOKEN: Names = &["page_token", "pageToken"];

/// PraisonAI's list has no pages: it gets the largest one there is, with all that the tasks hold.
const PRAISON_PAGE: i32 = 100;

/// Reads a message to send. `return_immediately` is set also where the request says `blocking: false`; a request that
/// says neither waits.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn send_message(params: Value, dialect: Dialect) -> Result<SendMessageRequest> {
    read(params, dialect, |object, reader| {
        let message = object.take(&["message", "request"]);
        let message = message.and_then(|value| message::message(object.path("message"), value, reader));
        reader.require(message.is_some(), object.path("message"), "is required");
        SendMessageRequest {
            tenant: tenant(object, reader),
            message,
            configuration: configuration(object, reader),
            metadata: object.structure(&["metadata"], reader),
        }
    })
}

fn configuration(object: &mut Object<'_>, reader: &mut Reader) -> Option<SendMessageConfiguration> {
    let value = object.take(&["configuration"])?;
    let mut object = Object::new(object.path("configuration"), value, reader)?;

    let push: Names = &[
        "task_push_notification_config",
        "taskPushNotificationConfig",
        "pushNotificationConfig",
        "push_notification_config",
        "pushNotification",
        "push_notification",
    ];
    let webhook = object.take(push);
    let webhook = webhook.and_then(|value| Object::new(object.path(push[0]), value, reader));
    let webhook = webhook.map(|mut object| push::config(&mut object, reader));

    let at_once = object.boolean(&["return_immediately", "returnImmediately"], reader);
    let blocking = object.boolean(&["blocking"], reader);
    Some(SendMessageConfiguration {
        accepted_output_modes: object.strings(&["accepted_output_modes", "acceptedOutputModes"], reader),
        task_push_notification_config: webhook,
        history_length: object.integer(HISTORY_LENGTH, reader),
        return_immediately: at_once.or(blocking.map(|blocking| !blocking)).unwrap_or(false),
    })
}

/// Reads which task to get.
///
/// # Errors
/// As [`send_message`].
pub fn get_task(params: Value, dialect: Dialect) -> Result<GetTaskRequest> {
    read(params, dialect, |object, reader| GetTaskRequest {
        tenant: tenant(object, reader),
        id: task_id(object, reader),
        history_length: object.integer(HISTORY_LENGTH, reader),
    })
}

/// Reads which tasks to list.
///
/// # Errors
/// As [`send_message`].
pub fn list_tasks(params: Value, dialect: Dialect) -> Result<ListTasksRequest> {
    read(params, dialect, |object, reader| {
        let status = object.word(&["status"], reader, words::read_state, |dialect| {
            let states = (1..).map_while(|number| TaskState::try_from(number).ok());
            let own = states.filter(|state| words::read_state(words::state(dialect, *state)) == Some(*state));
            own.map(|state| words::state(dialect, state)).collect::<Vec<_>>().join(", ")
        });
        let page_size = object.integer(PAGE_SIZE, reader);
        let include_artifacts = object.boolean(&["include_artifacts", "includeArtifacts"], reader);
        let whole = dialect == Dialect::Praison;
        ListTasksRequest {
            tenant: tenant(object, reader),
            context_id: object.string(&["context_id", "contextId"], reader),
            status: status.unwrap_or_default().into(),
            page_size: page_size.or(whole.then_some(PRAISON_PAGE)),
            page_token: object.string(PAGE_TOKEN, reader),
            history_length: object.integer(HISTORY_LENGTH, reader),
            status_timestamp_after: object
                .time(&["status_timestamp_after", "statusTimestampAfter", "lastUpdatedAfter"], reader),
            include_artifacts: include_artifacts.or(whole.then_some(true)),
        }
    })
}

/// Reads which task to cancel.
///
/// # Errors
/// As [`send_message`].
pub fn cancel_task(params: Value, dialect: Dialect) -> Result<CancelTaskRequest> {
    read(params, dialect, |object, reader| CancelTaskRequest {
        tenant: tenant(object, reader),
        id: task_id(object, reader),
        metadata: object.structure(&["metadata"], reader),
    })
}

/// Reads which task to stream.
///
/// # Errors
/// As [`send_message`].
pub fn subscribe(params: Value, dialect: Dialect) -> Result<SubscribeToTaskRequest> {
    read(params, dialect, |object, reader| SubscribeToTaskRequest {
        tenant: tenant(object, reader),
        id: task_id(object, reader),
    })
}

/// Reads a push notification config to add, flat or nested.
///
/// # Errors
/// As [`send_message`].
pub fn create_push_config(params: Value, dialect: Dialect) -> Result<TaskPushNotificationConfig> {
    read(params, dialect, |object, reader| {
        let config = push::config(object, reader);
        require_id(&config.task_id, "task_id", object, reader);
        config
    })
}

/// Reads which push notification config to get. Only 1.0 requires its id: elsewhere it may be empty.
///
/// # Errors
/// As [`send_message`].
pub fn get_push_config(params: Value, dialect: Dialect) -> Result<GetTaskPushNotificationConfigRequest> {
    read(params, dialect, |object, reader| {
        let tenant = tenant(object, reader);
        let (task_id, id) = push::ids(object, reader);
        let (task_field, id_field) = push_id_fields(dialect);
        require_id(&task_id, task_field, object, reader);
        reader.require(!id.is_empty() || dialect != Dialect::V1, object.path(id_field), "is required");
        GetTaskPushNotificationConfigRequest { tenant, task_id, id }
    })
}

/// Reads of which task to list the push notification configs. PraisonAI names none and means all.
///
/// # Errors
/// As [`send_message`].
pub fn list_push_configs(params: Value, dialect: Dialect) -> Result<ListTaskPushNotificationConfigsRequest> {
    read(params, dialect, |object, reader| {
        let tenant = tenant(object, reader);
        let (task_id, _) = push::ids(object, reader);
        if dialect != Dialect::Praison {
            require_id(&task_id, push_id_fields(dialect).0, object, reader);
        }
        ListTaskPushNotificationConfigsRequest {
            tenant,
            task_id,
            page_size: object.integer(PAGE_SIZE, reader).unwrap_or_default(),
            page_token: object.string(PAGE_TOKEN, reader),
        }
    })
}

/// Reads which push notification config to remove. PraisonAI has one per task and leaves its id out.
///
/// # Errors
/// As [`send_message`].
pub fn delete_push_config(params: Value, dialect: Dialect) -> Result<DeleteTaskPushNotificationConfigRequest> {
    read(params, dialect, |object, reader| {
        let tenant = tenant(object, reader);
        let (task_id, id) = push::ids(object, reader);
        let (task_field, id_field) = push_id_fields(dialect);
        require_id(&task_id, task_field, object, reader);
        reader.require(!id.is_empty() || dialect == Dialect::Praison, object.path(id_field), "is required");
        DeleteTaskPushNotificationConfigRequest { tenant, task_id, id }
    })
}

/// Reads a request for the extended card, which holds little or nothing.
///
/// # Errors
/// As [`send_message`].
pub fn extended_card(params: Value, dialect: Dialect) -> Result<GetExtendedAgentCardRequest> {
    read(params, dialect, |object, reader| GetExtendedAgentCardRequest { tenant: tenant(object, reader) })
}

/// The tenant, which only 1.0 has.
fn tenant(object: &mut Object<'_>, reader: &mut Reader) -> String {
    if reader.dialect() == Dialect::V1 { object.string(&["tenant"], reader) } else { String::new() }
}

fn task_id(object: &mut Object<'_>, reader: &mut Reader) -> String {
    let id = object.string(&["id"], reader);
    require_id(&id, "id", object, reader);
    id
}

/// Requires a task's id, which is read from `field`.
fn require_id(id: &str, field: &'static str, object: &Object<'_>, reader: &mut Reader) {
    reader.require(!id.is_empty(), object.path(field), "is required: the id of a task");
}
