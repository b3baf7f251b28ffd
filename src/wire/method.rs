//! JSON-RPC methods: which operation a name means, and which dialect a request is in.
//!
//! A2A 1.0's names are its own. 0.3 and PraisonAI share most of theirs, so that a request under a shared name has to
//! be told apart by what it holds: [`marks`] knows the shapes that only one of them has (DESIGN: "dialect of a
//! request").

use serde_json::{Map, Value};

use crate::task::Dialect;

/// An operation of A2A, whatever its dialect calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Sends a message, answers with the task or message.
    SendMessage,
    /// Sends a message, streams what happens.
    SendStreamingMessage,
    /// Reads one task.
    GetTask,
    /// Lists tasks.
    ListTasks,
    /// Cancels a task.
    CancelTask,
    /// Streams an existing task.
    SubscribeToTask,
    /// Adds a push notification config.
    CreatePushConfig,
    /// Reads a push notification config.
    GetPushConfig,
    /// Lists push notification configs.
    ListPushConfigs,
    /// Removes a push notification config.
    DeletePushConfig,
    /// Reads the card for authenticated callers.
    GetExtendedAgentCard,
}

/// What a JSON-RPC method name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The operation.
    pub operation: Operation,
    /// The only dialect that has the name; none: 0.3 and PraisonAI share it.
    pub dialect: Option<Dialect>,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 11] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreatePushConfig,
        Self::GetPushConfig,
        Self::ListPushConfigs,
        Self::DeletePushConfig,
        Self::GetExtendedAgentCard,
    ];

    /// Its A2A 1.0 method name, which is also its gRPC name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreatePushConfig => "CreateTaskPushNotificationConfig",
            Self::GetPushConfig => "GetTaskPushNotificationConfig",
            Self::ListPushConfigs => "ListTaskPushNotificationConfigs",
            Self::DeletePushConfig => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedAgentCard => "GetExtendedAgentCard",
        }
    }

    /// Its JSON-RPC method name in a dialect; none: the dialect lacks the operation.
    pub fn name_in(self, dialect: Dialect) -> Option<&'static str> {
        let fits = |only: Option<Dialect>| only.is_none_or(|only| only == dialect);
        match dialect {
            Dialect::V1 => Some(self.name()),
            Dialect::V03 | Dialect::Praison => {
                OLDER.into_iter().find(|(_, operation, only)| *operation == self && fits(*only)).map(|(name, ..)| name)
            }
        }
    }

    /// Whether it answers with a stream.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }
}

/// The names that are not 1.0's, which are [`Operation::name`].
const OLDER: [(&str, Operation, Option<Dialect>); 12] = [
    ("message/send", Operation::SendMessage, None),
    ("message/stream", Operation::SendStreamingMessage, None),
    ("tasks/get", Operation::GetTask, None),
    ("tasks/cancel", Operation::CancelTask, None),
    ("tasks/pushNotificationConfig/set", Operation::CreatePushConfig, None),
    ("tasks/pushNotificationConfig/get", Operation::GetPushConfig, None),
    ("tasks/pushNotificationConfig/list", Operation::ListPushConfigs, None),
    ("tasks/pushNotificationConfig/delete", Operation::DeletePushConfig, None),
    ("tasks/resubscribe", Operation::SubscribeToTask, Some(Dialect::V03)),
    ("agent/getAuthenticatedExtendedCard", Operation::GetExtendedAgentCard, Some(Dialect::V03)),
    ("tasks/list", Operation::ListTasks, Some(Dialect::Praison)),
    ("agent/getExtendedCard", Operation::GetExtendedAgentCard, Some(Dialect::Praison)),
];

/// What a JSON-RPC method name means; none: no dialect has it.
pub fn method(name: &str) -> Option<Method> {
    if let Some((_, operation, dialect)) = OLDER.into_iter().find(|(older, ..)| *older == name) {
        return Some(Method { operation, dialect });
    }
    let operation = Operation::ALL.into_iter().find(|operation| operation.name() == name)?;
    Some(Method { operation, dialect: Some(Dialect::V1) })
}

/// The older dialect whose marks a request bears, if any: 0.3's or PraisonAI's. Only for names that both have; 0.3's
/// marks win, since PraisonAI's are mostly what 0.3 has and the request lacks.
pub fn marks(operation: Operation, params: &Value) -> Option<Dialect> {
    let empty = Map::new();
    let params = params.as_object().unwrap_or(&empty);
    match operation {
        Operation::SendMessage | Operation::SendStreamingMessage => send_marks(params),
        Operation::CreatePushConfig => {
            if has(params, &["pushNotificationConfig", "push_notification_config", "config"]) {
                Some(Dialect::V03)
            } else {
                has(params, &["url"]).then_some(Dialect::Praison)
            }
        }
        Operation::GetPushConfig | Operation::DeletePushConfig => {
            if has(params, &["pushNotificationConfigId", "push_notification_config_id"]) {
                Some(Dialect::V03)
            } else if has(params, &["taskId", "task_id"]) {
                Some(Dialect::Praison)
            } else {
                has(params, &["id"]).then_some(Dialect::V03)
            }
        }
        Operation::ListPushConfigs => Some(if has(params, &["id"]) { Dialect::V03 } else { Dialect::Praison }),
        Operation::ListTasks
        | Operation::GetTask
        | Operation::CancelTask
        | Operation::SubscribeToTask
        | Operation::GetExtendedAgentCard => None,
    }
}

fn send_marks(params: &Map<String, Value>) -> Option<Dialect> {
    let empty = Map::new();
    let object = |name: &str| params.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let (message, configuration) = (object("message"), object("configuration"));
    let parts = ["parts", "content"].iter().find_map(|name| message.get(*name)?.as_array());
    let mut parts = parts.map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_object).peekable();

    let bare_parts = parts.peek().is_some();
    if has(message, &["kind"])
        || parts.any(|part| has(part, &["kind"]))
        || has(configuration, &["blocking", "pushNotificationConfig", "push_notification_config"])
    {
        Some(Dialect::V03)
    } else {
        (bare_parts || has(configuration, &["returnImmediately", "return_immediately"])).then_some(Dialect::Praison)
    }
}

fn has(object: &Map<String, Value>, names: &[&str]) -> bool {
    names.iter().any(|name| object.get(*name).is_some_and(|value| !value.is_null()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_tell_the_operation_and_where_they_can_the_dialect() {
        for operation in Operation::ALL {
            assert_eq!(method(operation.name()), Some(Method { operation, dialect: Some(Dialect::V1) }));
        }
        for (name, operation, dialect) in [
            ("message/send", Operation::SendMessage, None),
            ("message/stream", Operation::SendStreamingMessage, None),
            ("tasks/get", Operation::GetTask, None),
            ("tasks/cancel", Operation::CancelTask, None),
            ("tasks/resubscribe", Operation::SubscribeToTask, Some(Dialect::V03)),
            ("tasks/list", Operation::ListTasks, Some(Dialect::Praison)),
            ("tasks/pushNotificationConfig/set", Operation::CreatePushConfig, None),
            ("tasks/pushNotificationConfig/get", Operation::GetPushConfig, None),
            ("tasks/pushNotificationConfig/list", Operation::ListPushConfigs, None),
            ("tasks/pushNotificationConfig/delete", Operation::DeletePushConfig, None),
            ("agent/getExtendedCard", Operation::GetExtendedAgentCard, Some(Dialect::Praison)),
            ("agent/getAuthenticatedExtendedCard", Operation::GetExtendedAgentCard, Some(Dialect::V03)),
        ] {
            assert_eq!(method(name), Some(Method { operation, dialect }), "{name}");
        }
        for name in ["", "nope", "sendMessage", "Message/Send", "tasks/", "ListTaskPushNotificationConfig"] {
            assert_eq!(method(name), None, "{name}");
        }
    }

    #[test]
    fn streams_are_the_two_streaming_operations() {
        let streams: Vec<_> = Operation::ALL.into_iter().filter(|operation| operation.is_stream()).collect();
        assert_eq!(streams, [Operation::SendStreamingMessage, Operation::SubscribeToTask]);
    }

    #[test]
    fn marks_tell_0_3_from_praisonai() {
        use Dialect::{Praison, V03};
        use Operation::*;
        for (operation, params, expected) in [
            (SendMessage, json!({"message": {"kind": "message", "parts": [{"kind": "text", "text": "a"}]}}), Some(V03)),
            (SendMessage, json!({"message": {"parts": [{"text": "a"}, {"kind": "text", "text": "b"}]}}), Some(V03)),
            (SendMessage, json!({"message": {"kind": "message", "parts": [{"text": "a"}]}}), Some(V03)),
            (SendMessage, json!({"message": {"parts": []}, "configuration": {"blocking": false}}), Some(V03)),
            (SendMessage, json!({"configuration": {"pushNotificationConfig": {"url": "http://h"}}}), Some(V03)),
            (SendMessage, json!({"message": {"parts": [{"text": "a"}]}}), Some(Praison)),
            (SendMessage, json!({"message": {"parts": [{"type": "text", "text": "a"}]}}), Some(Praison)),
            (SendMessage, json!({"message": {}, "configuration": {"returnImmediately": true}}), Some(Praison)),
            (SendStreamingMessage, json!({"configuration": {"return_immediately": false}}), Some(Praison)),
            (SendMessage, json!({"message": {"kind": null, "parts": []}}), None),
            (SendMessage, json!({}), None),
            (SendMessage, json!([1]), None),
            (CreatePushConfig, json!({"taskId": "t", "pushNotificationConfig": {"url": "http://h"}}), Some(V03)),
            (CreatePushConfig, json!({"taskId": "t", "url": "http://h"}), Some(Praison)),
            (CreatePushConfig, json!({"taskId": "t"}), None),
            (GetPushConfig, json!({"id": "t", "pushNotificationConfigId": "c"}), Some(V03)),
            (GetPushConfig, json!({"id": "t"}), Some(V03)),
            (GetPushConfig, json!({"taskId": "t"}), Some(Praison)),
            (DeletePushConfig, json!({"task_id": "t"}), Some(Praison)),
            (DeletePushConfig, json!({}), None),
            (ListPushConfigs, json!({"id": "t"}), Some(V03)),
            (ListPushConfigs, json!({}), Some(Praison)),
            (ListPushConfigs, json!(null), Some(Praison)),
            (GetTask, json!({"id": "t", "historyLength": 1}), None),
            (CancelTask, json!({"id": "t"}), None),
        ] {
            assert_eq!(marks(operation, &params), expected, "{operation:?} {params}");
        }
    }
}
