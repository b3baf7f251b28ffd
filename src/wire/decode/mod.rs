//! Requests from JSON. `params` is what the request holds, null when it holds none.
use serde_json::Value;

use crate::{
    error::Result,
    proto::a2a::{
        CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
        GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest, ListTasksRequest,
        SendMessageRequest, SubscribeToTaskRequest, TaskPushNotificationConfig,
    },
    task::Dialect,
};

/// Reads the parameters of `send_message`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn send_message(params: Value, dialect: Dialect) -> Result<SendMessageRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `get_task`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn get_task(params: Value, dialect: Dialect) -> Result<GetTaskRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `list_tasks`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn list_tasks(params: Value, dialect: Dialect) -> Result<ListTasksRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `cancel_task`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn cancel_task(params: Value, dialect: Dialect) -> Result<CancelTaskRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `subscribe`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn subscribe(params: Value, dialect: Dialect) -> Result<SubscribeToTaskRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `create_push_config`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn create_push_config(params: Value, dialect: Dialect) -> Result<TaskPushNotificationConfig> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `get_push_config`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn get_push_config(params: Value, dialect: Dialect) -> Result<GetTaskPushNotificationConfigRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `list_push_configs`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn list_push_configs(params: Value, dialect: Dialect) -> Result<ListTaskPushNotificationConfigsRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `delete_push_config`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn delete_push_config(params: Value, dialect: Dialect) -> Result<DeleteTaskPushNotificationConfigRequest> {
    let _ = (params, dialect);
    todo!()
}

/// Reads the parameters of `extended_card`.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn extended_card(params: Value, dialect: Dialect) -> Result<GetExtendedAgentCardRequest> {
    let _ = (params, dialect);
    todo!()
}
