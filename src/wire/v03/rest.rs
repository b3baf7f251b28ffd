//! 0.3's REST binding as it is served: requests of clients to 1.0, answers and events from 1.0.
//!
//! Requests are read as those of the other bindings are, in every shape, with every wrong field named. What differs is
//! what the contract's ProtoJSON means by leaving a field out, and how it nests data and carries files. Answers are the
//! contract's ProtoJSON and nothing else, since the 0.3 SDKs refuse other members.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{FileBytes, decode as contract, encode, json::write};
use crate::{
    error::Result,
    proto::a2a::{
        GetTaskRequest, ListTaskPushNotificationConfigsResponse, ListTasksRequest, ListTasksResponse,
        SendMessageRequest, Task, TaskPushNotificationConfig, send_message_response,
    },
    task::{Dialect, Event, Form},
    wire::{
        decode,
        encode::{is_shown, view::ends_stream},
    },
};

/// What files are written as: what two of the three SDKs read.
const FILES: FileBytes = FileBytes::Base64Text;

/// Reads a message to send. A configuration that does not say `blocking` does not wait, since ProtoJSON leaves false
/// out; a request without one waits. A history length of 0 is no limit.
///
/// # Errors
/// `InvalidArgument` with every field that is wrong.
pub fn read_send(mut body: Value) -> Result<SendMessageRequest> {
    for message in ["message", "request"] {
        if let Some(message) = body.get_mut(message).and_then(Value::as_object_mut) {
            for parts in ["content", "parts"] {
                message.get_mut(parts).into_iter().for_each(unnest);
            }
        }
    }
    let waits = ["blocking", "returnImmediately", "return_immediately"];
    if let Some(configuration) = body.get_mut("configuration").and_then(Value::as_object_mut)
        && waits.iter().all(|name| configuration.get(*name).is_none_or(Value::is_null))
    {
        configuration.insert("blocking".to_owned(), Value::Bool(false));
    }
    let mut request = decode::send_message(body, Dialect::V03)?;
    if let Some(configuration) = &mut request.configuration {
        configuration.history_length = limit(configuration.history_length);
    }
    Ok(request)
}

/// Reads which task to get. A history length of 0 is no limit.
///
/// # Errors
/// As [`read_send`].
pub fn read_get(params: Value) -> Result<GetTaskRequest> {
    let request = decode::get_task(params, Dialect::V03)?;
    Ok(GetTaskRequest { history_length: limit(request.history_length), ..request })
}

/// Reads which tasks to list: an operation that the contract lacks and the Go SDK has. A history length of 0 is no
/// limit.
///
/// # Errors
/// As [`read_send`].
pub fn read_list(params: Value) -> Result<ListTasksRequest> {
    let request = decode::list_tasks(params, Dialect::V03)?;
    Ok(ListTasksRequest { history_length: limit(request.history_length), ..request })
}

/// 0 is no limit in 0.3's contract.
fn limit(length: Option<i32>) -> Option<i32> {
    length.filter(|length| *length != 0)
}

/// Brings the contract's parts into the shape of the other bindings. A part with a `kind` is in theirs already.
fn unnest(parts: &mut Value) {
    let parts = parts.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
    for part in parts.filter(|part| !part.contains_key("kind")) {
        if let Some(data) = part.get_mut("data").and_then(Value::as_object_mut) {
            unnest_data(data);
        }
        if let Some(file) = part.get_mut("file").and_then(Value::as_object_mut) {
            for bytes in ["fileWithBytes", "file_with_bytes"] {
                file.get_mut(bytes).into_iter().for_each(read_file);
            }
        }
    }
}

/// `{"data": {…}}`, which is how the contract holds data, becomes what it holds.
fn unnest_data(data: &mut Map<String, Value>) {
    let inner = data.get_mut("data").and_then(Value::as_object_mut).map(std::mem::take);
    match inner {
        Some(inner) if data.len() == 1 => *data = inner,
        Some(inner) => drop(data.insert("data".to_owned(), Value::Object(inner))),
        None => {}
    }
}

/// A file's bytes in base64, or in base64 twice: once is left.
fn read_file(text: &mut Value) {
    let Some(bytes) = text.as_str().and_then(|text| STANDARD.decode(text).ok()) else { return };
    let file = contract::file_bytes(bytes.into());
    *text = STANDARD.encode(file).into();
}

/// A task.
pub fn task(task: &Task) -> Bytes {
    text(&encode_task(task))
}

/// The answer to a sent message.
pub fn send_response(answer: &send_message_response::Payload) -> Bytes {
    text(&write(&encode::sent(answer.clone(), FILES)))
}

/// The answer to a list of tasks. The Go SDK's contract has no page size in it.
pub fn task_list(list: &ListTasksResponse) -> Bytes {
    let tasks: Vec<_> = list.tasks.iter().map(encode_task).collect();
    text(&json!({"tasks": tasks, "nextPageToken": list.next_page_token, "totalSize": list.total_size}))
}

/// One event of a stream, encoded once and shared; none for a user's message, which has no place in a stream.
pub fn event(event: &Event) -> Option<Bytes> {
    is_shown(event).then(|| {
        event.form(Form::V03Rest, |event| {
            let last = ends_stream(event.state);
            let mut json = write(&encode::event(event.payload().clone(), last, FILES));
            // ProtoJSON leaves false out, which clients read as anything.
            if let Some(update) = json.get_mut("statusUpdate").and_then(Value::as_object_mut) {
                update.entry("final").or_insert(Value::Bool(false));
            }
            text(&json)
        })
    })
}

/// A push notification config.
pub fn push_config(config: &TaskPushNotificationConfig) -> Bytes {
    text(&write(&encode::push_config(config.clone())))
}

/// The push notification configs of a task: the list is there even when it is empty.
pub fn push_configs(list: &ListTaskPushNotificationConfigsResponse) -> Bytes {
    let configs: Vec<_> = list.configs.iter().map(|config| write(&encode::push_config(config.clone()))).collect();
    let mut json = json!({"configs": configs});
    if !list.next_page_token.is_empty() {
        json["nextPageToken"] = list.next_page_token.as_str().into();
    }
    text(&json)
}

fn encode_task(task: &Task) -> Value {
    write(&encode::task(task.clone(), FILES))
}

fn text(json: &Value) -> Bytes {
    json.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        a2a::{Message, Part, Role, TaskState, TaskStatus, TaskStatusUpdateEvent, part::Content, stream_response},
        well_known,
    };

    fn parsed(json: &Bytes) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    fn contents(parts: Value) -> Vec<Option<Content>> {
        let body = json!({"message": {"messageId": "m", "role": "ROLE_USER", "content": parts}});
        let message = read_send(body).unwrap().message.unwrap();
        message.parts.into_iter().map(|part| part.content).collect()
    }

    fn data(json: Value) -> Option<Content> {
        Some(Content::Data(well_known::Value::from(json)))
    }

    #[test]
    fn a_configuration_that_does_not_say_blocking_does_not_wait() {
        let at_once = |configuration: Value| {
            let body = json!({"message": {"messageId": "m", "role": 1, "content": [{"text": "t"}]},
                "configuration": configuration});
            read_send(body).unwrap().configuration.map(|configuration| configuration.return_immediately)
        };
        for (configuration, expected) in [
            (json!(null), None),
            (json!({}), Some(true)),
            (json!({"historyLength": 1}), Some(true)),
            (json!({"blocking": null}), Some(true)),
            (json!({"blocking": false}), Some(true)),
            (json!({"blocking": true}), Some(false)),
            (json!({"returnImmediately": false}), Some(false)),
            (json!({"return_immediately": true}), Some(true)),
        ] {
            assert_eq!(at_once(configuration.clone()), expected, "{configuration}");
        }
    }

    #[test]
    fn a_history_length_of_zero_is_no_limit() {
        for (sent, read) in [(0, None), (1, Some(1)), (-1, Some(-1))] {
            let message = json!({"messageId": "m", "role": "ROLE_USER", "content": [{"text": "t"}]});
            let body = json!({"request": message, "configuration": {"historyLength": sent, "pushNotification": {"url": "http://h"}}});
            let request = read_send(body).unwrap();
            let configuration = request.configuration.unwrap();
            assert_eq!((configuration.history_length, request.message.unwrap().parts.len()), (read, 1));
            assert_eq!(configuration.task_push_notification_config.unwrap().url, "http://h");
            let params = json!({"id": "t", "history_length": sent.to_string()});
            assert_eq!(read_get(params.clone()).unwrap().history_length, read);
            assert_eq!(read_list(params).unwrap().history_length, read);
        }
    }

    #[test]
    fn data_is_nested_or_not() {
        let parts = json!([
            {"data": {"data": {"a": 1}}},
            {"data": {"data": {}}},
            {"data": {"data": {"data": {"a": 1}}}},
            {"data": {"data": {"a": 1}, "b": 2}},
            {"data": {"data": 5}},
            {"data": {"a": 1}},
            {"kind": "data", "data": {"data": {"a": 1}}},
            {"data": {"data": {"value": [1]}}, "metadata": {"data_part_compat": true}},
        ]);
        let expected = [
            json!({"a": 1}),
            json!({}),
            json!({"data": {"a": 1}}),
            json!({"data": {"a": 1}, "b": 2}),
            json!({"data": 5}),
            json!({"a": 1}),
            json!({"data": {"a": 1}}),
            json!([1]),
        ];
        assert_eq!(contents(parts), expected.map(data));
    }

    #[test]
    fn files_are_in_base64_once_or_twice() {
        let once = STANDARD.encode(b"\x00\x01 file");
        let twice = STANDARD.encode(&once);
        for name in ["fileWithBytes", "file_with_bytes"] {
            for text in [&once, &twice] {
                let read = contents(json!([{"file": {name: text, "mimeType": "a/b"}}]));
                assert_eq!(read, [Some(Content::Raw(b"\x00\x01 file"[..].into()))], "{name}: {text}");
            }
        }
        // In the shape of JSON-RPC, base64 stands for nothing but itself.
        let read = contents(json!([{"kind": "file", "file": {"bytes": twice}}]));
        assert_eq!(read, [Some(Content::Raw(once.into()))]);
        let error = read_send(json!({"message": {"content": [{"file": {"fileWithBytes": "?"}}]}})).unwrap_err();
        assert_eq!(error.field_violations()[0].field, "message.parts[0].file.bytes");
    }

    #[test]
    fn answers_are_the_contracts_and_nothing_else() {
        let raw = Part { content: Some(Content::Raw(b"file"[..].into())), media_type: "a/b".into(), ..Part::default() };
        let message =
            Message { message_id: "m".into(), role: Role::Agent.into(), parts: vec![raw], ..Message::default() };
        let twice = STANDARD.encode(STANDARD.encode(b"file"));
        let shown = json!({"messageId": "m", "role": "ROLE_AGENT",
            "content": [{"file": {"fileWithBytes": twice, "mimeType": "a/b"}}]});
        let answer = send_message_response::Payload::Message(message.clone());
        assert_eq!(parsed(&send_response(&answer)), json!({"message": shown}));
        let status = TaskStatus { state: TaskState::Canceled.into(), message: Some(message), timestamp: None };
        let task = Task { id: "t".into(), context_id: "c".into(), status: Some(status), ..Task::default() };
        let shown = json!({"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_CANCELLED", "message": shown}});
        assert_eq!(parsed(&super::task(&task)), shown);
        let list =
            ListTasksResponse { tasks: vec![task], page_size: 50, total_size: 1, ..ListTasksResponse::default() };
        assert_eq!(parsed(&task_list(&list)), json!({"tasks": [shown], "nextPageToken": "", "totalSize": 1}));
    }

    #[test]
    fn status_updates_say_whether_they_are_the_last() {
        let id = crate::task::TaskId::mint();
        for (state, last) in [(TaskState::Working, false), (TaskState::InputRequired, true), (TaskState::Failed, true)]
        {
            let status = Some(TaskStatus { state: state.into(), ..TaskStatus::default() });
            let update = TaskStatusUpdateEvent { task_id: "t".into(), status, ..TaskStatusUpdateEvent::default() };
            let update = Event::new(id, 2, 0, state, stream_response::Payload::StatusUpdate(update));
            assert_eq!(parsed(&event(&update).unwrap())["statusUpdate"]["final"], last, "{state:?}");
        }
        let own = Message { role: Role::User.into(), ..Message::default() };
        let own = Event::new(id, 3, 0, TaskState::Working, stream_response::Payload::Message(own));
        assert_eq!(event(&own), None);
    }

    #[test]
    fn push_configs_are_named_by_their_place() {
        let config = TaskPushNotificationConfig {
            id: "c".into(),
            task_id: "t".into(),
            url: "http://h".into(),
            ..TaskPushNotificationConfig::default()
        };
        let shown = json!({"name": "tasks/t/pushNotificationConfigs/c", "pushNotificationConfig": {"id": "c", "url": "http://h"}});
        assert_eq!(parsed(&push_config(&config)), shown);
        let mut list =
            ListTaskPushNotificationConfigsResponse { configs: vec![config], next_page_token: String::new() };
        assert_eq!(parsed(&push_configs(&list)), json!({"configs": [shown]}));
        list.configs.clear();
        assert_eq!(parsed(&push_configs(&list)), json!({"configs": []}));
    }
}
