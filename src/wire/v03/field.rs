//! The fields of requests, as 0.3's contract calls them, for errors that name them.

use crate::error::Error;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To send a message.
    Send,
    /// Something about a task, or about a push notification config, which its `name` names.
    Named,
    /// To add a push notification config.
    CreatePushConfig,
    /// To list push notification configs.
    ListPushConfigs,
}

/// The error with its fields named as the contract names them.
pub fn named(request: Request, error: Error) -> Error {
    if error.field_violations().is_empty() {
        return error;
    }
    let violations = error.field_violations().iter().cloned().map(|mut violation| {
        violation.field = match request {
            Request::Send => of_send(&violation.field),
            Request::Named => of_named(&violation.field).to_owned(),
            Request::CreatePushConfig => of_new_config(&violation.field),
            Request::ListPushConfigs => of_list(&violation.field).to_owned(),
        };
        violation
    });
    Error::violations(violations.collect())
}

fn of_send(field: &str) -> String {
    if let Some(rest) = field.strip_prefix("configuration.task_push_notification_config") {
        return format!("configuration.push_notification{}", of_authentication(rest));
    }
    let Some(rest) = field.strip_prefix("message").filter(|rest| rest.is_empty() || rest.starts_with('.')) else {
        return field.to_owned();
    };
    let Some(parts) = rest.strip_prefix(".parts") else { return format!("request{rest}") };
    let (index, member) = parts.split_once('.').map_or((parts, ""), |(index, member)| (index, member));
    let member = match member {
        "raw" => ".file.file_with_bytes".to_owned(),
        "url" => ".file.file_with_uri".to_owned(),
        "media_type" => ".file.mime_type".to_owned(),
        "filename" => ".file.name".to_owned(),
        "" => String::new(),
        other => format!(".{other}"),
    };
    format!("request.content{index}{member}")
}

fn of_named(field: &str) -> &str {
    match field {
        "id" | "task_id" | "push_notification_config_id" => "name",
        other => other,
    }
}

fn of_new_config(field: &str) -> String {
    match field {
        "parent" | "task_id" => "parent".to_owned(),
        "id" => "config_id".to_owned(),
        other => format!("config.push_notification_config.{}", of_authentication(other)),
    }
}

fn of_list(field: &str) -> &str {
    match field {
        "id" | "task_id" => "parent",
        other => other,
    }
}

/// 0.3 has a list of schemes.
fn of_authentication(field: &str) -> String {
    field.replace("authentication.scheme", "authentication.schemes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Violation};

    #[test]
    fn fields_bear_the_names_of_the_contract() {
        use Request::{CreatePushConfig, ListPushConfigs, Named, Send};

        for (request, field, expected) in [
            (Send, "message", "request"),
            (Send, "message.message_id", "request.message_id"),
            (Send, "message.parts", "request.content"),
            (Send, "message.parts[3]", "request.content[3]"),
            (Send, "message.parts[3].url", "request.content[3].file.file_with_uri"),
            (Send, "message.parts[3].media_type", "request.content[3].file.mime_type"),
            (Send, "message.parts[0].filename", "request.content[0].file.name"),
            (Send, "message.parts[0].data", "request.content[0].data"),
            (Send, "configuration.history_length", "configuration.history_length"),
            (Send, "configuration.task_push_notification_config.url", "configuration.push_notification.url"),
            (
                Send,
                "configuration.task_push_notification_config.authentication.scheme",
                "configuration.push_notification.authentication.schemes",
            ),
            (Send, "messages", "messages"),
            (Named, "id", "name"),
            (Named, "name", "name"),
            (Named, "push_notification_config_id", "name"),
            (Named, "history_length", "history_length"),
            (CreatePushConfig, "task_id", "parent"),
            (CreatePushConfig, "parent", "parent"),
            (CreatePushConfig, "id", "config_id"),
            (CreatePushConfig, "url", "config.push_notification_config.url"),
            (
                CreatePushConfig,
                "authentication.credentials",
                "config.push_notification_config.authentication.credentials",
            ),
            (ListPushConfigs, "id", "parent"),
            (ListPushConfigs, "page_size", "page_size"),
        ] {
            let error = Error::violations(vec![Violation { field: field.into(), description: "is wrong".into() }]);
            assert_eq!(named(request, error).field_violations()[0].field, expected, "{request:?} {field}");
        }
        let other = Error::new(ErrorKind::TaskNotFound, "no");
        assert_eq!(named(Send, other.clone()), other);
    }
}
