//! What only PraisonAI's dialect has: its texts and its names of stream events (WIRE 5.1, 7.6).

use super::method::{Operation, method};
use crate::{
    error::{Error, ErrorKind},
    proto::a2a::stream_response::Payload,
    task::Event,
};

/// The SSE event that ends a PraisonAI stream; its data is `{}`.
pub const DONE: &str = "done";

/// The text of an error in PraisonAI's words. `text` is its message with fields in JSON names, `called` the JSON-RPC
/// method of the request.
pub fn error_message(error: &Error, text: &str, called: &str) -> String {
    match error.kind() {
        ErrorKind::InvalidArgument => {
            let required = |field: &str| {
                let mut violations = error.field_violations().iter();
                violations.any(|v| v.field == field && v.description.starts_with("is required"))
            };
            let sets_push = method(called).is_some_and(|method| method.operation == Operation::CreatePushConfig);
            if sets_push && (required("task_id") || required("url")) {
                "taskId and url required".to_owned()
            } else if let Some(field) = ["message", "id"].into_iter().find(|field| required(field)) {
                format!("Invalid params: '{field}' required")
            } else {
                format!("Invalid params: {text}")
            }
        }
        ErrorKind::PushNotificationNotSupported => format!("Push notifications not supported: {called}"),
        _ => text.to_owned(),
    }
}

/// The SSE event name of an event that has a PraisonAI form: `task.status` or `task.artifact`.
pub fn event_name(event: &Event) -> &'static str {
    match event.payload() {
        Payload::Task(_) | Payload::StatusUpdate(_) => "task.status",
        Payload::ArtifactUpdate(_) | Payload::Message(_) => "task.artifact",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{task::Dialect, wire::decode};

    #[test]
    fn errors_read_as_praisonai_words_them() {
        let set = "tasks/pushNotificationConfig/set";
        for (error, called, expected) in [
            (
                decode::send_message(json!({}), Dialect::Praison).unwrap_err(),
                "message/send",
                "Invalid params: 'message' required",
            ),
            (
                decode::get_task(json!(null), Dialect::Praison).unwrap_err(),
                "tasks/get",
                "Invalid params: 'id' required",
            ),
            (
                decode::create_push_config(json!({"taskId": "t"}), Dialect::Praison).unwrap_err(),
                set,
                "taskId and url required",
            ),
            (
                decode::create_push_config(json!({"url": "http://h", "token": 1}), Dialect::Praison).unwrap_err(),
                set,
                "taskId and url required",
            ),
            (
                Error::invalid("message.parts", "must not be empty"),
                "message/send",
                "Invalid params: message.parts must not be empty",
            ),
            (
                Error::invalid("message", "must be an object, not a string"),
                "message/send",
                "Invalid params: message must be an object, not a string",
            ),
            (Error::task_not_found("t-1"), "tasks/get", "Task not found: t-1"),
            (
                Error::new(ErrorKind::PushNotificationNotSupported, "not offered"),
                set,
                "Push notifications not supported: tasks/pushNotificationConfig/set",
            ),
        ] {
            assert_eq!(error_message(&error, error.message(), called), expected);
        }
    }
}
