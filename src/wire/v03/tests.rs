use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::{FileBytes, decode, encode, json as rest, name};
use crate::proto::{
    a2a::{
        Artifact, AuthenticationInfo, Message, Part, Role, SendMessageConfiguration, SendMessageRequest, Task,
        TaskArtifactUpdateEvent, TaskPushNotificationConfig, TaskState, TaskStatus, TaskStatusUpdateEvent,
        part::Content, send_message_response, stream_response,
    },
    a2a_v03 as v03,
    well_known::{Struct, Timestamp, Value},
};

const BOTH: [FileBytes; 2] = [FileBytes::Base64Text, FileBytes::Raw];

fn object(json: serde_json::Value) -> Struct {
    serde_json::from_value(json).unwrap()
}

fn data(json: serde_json::Value) -> Part {
    Part { content: Some(Content::Data(json.into())), ..Part::default() }
}

fn raw(bytes: &'static [u8]) -> Part {
    Part { content: Some(Content::Raw(bytes.into())), ..Part::default() }
}

fn file_bytes(part: &v03::Part) -> &[u8] {
    let Some(v03::part::Part::File(file)) = &part.part else { panic!("{part:?}") };
    let Some(v03::file_part::File::FileWithBytes(bytes)) = &file.file else { panic!("{file:?}") };
    bytes
}

prop_compose! {
    fn any_struct()(fields in prop::collection::btree_map("[a-z]{1,6}", any_value(), 0..3)) -> Struct {
        Struct { fields }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|it| json!(it)),
        any::<i32>().prop_map(|it| json!(it)),
        ".{0,8}".prop_map(|it| json!(it)),
    ];
    let any = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|it| json!(it)),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..3).prop_map(|it| json!(it)),
        ]
    });
    any.prop_map(Value::from)
}

/// A part of which 0.3 can carry everything.
fn any_part() -> impl Strategy<Value = Part> {
    let plain = prop_oneof![".{0,20}".prop_map(Content::Text), any_value().prop_map(Content::Data),]
        .prop_map(|content| Part { content: Some(content), ..Part::default() });
    let file = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30).prop_map(|it| Content::Raw(it.into())),
        "https://[a-z]{1,9}".prop_map(Content::Url),
    ];
    let file = (file, "[a-z]{0,5}", "[a-z]{0,5}/[a-z]{0,5}").prop_map(|(content, filename, media_type)| Part {
        content: Some(content),
        filename,
        media_type,
        ..Part::default()
    });
    (prop_oneof![plain, file], prop::option::of(any_struct())).prop_map(|(part, metadata)| Part {
        // Metadata without members is what unwrapping leaves behind as none.
        metadata: metadata.filter(|it| !it.fields.is_empty()),
        ..part
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let ids = ("[a-z0-9-]{1,9}", "[a-z0-9-]{0,9}", "[a-z0-9-]{0,9}");
    let lists = (prop::collection::vec("https://[a-z]{1,9}", 0..2), prop::collection::vec("[a-z]{1,9}", 0..2));
    (ids, 0..=2, prop::collection::vec(any_part(), 0..3), prop::option::of(any_struct()), lists).prop_map(
        |((message_id, context_id, task_id), role, parts, metadata, (extensions, reference_task_ids))| Message {
            message_id,
            context_id,
            task_id,
            role,
            parts,
            metadata,
            extensions,
            reference_task_ids,
        },
    )
}

fn any_status() -> impl Strategy<Value = TaskStatus> {
    (0..=8, prop::option::of(any_message()), prop::option::of(0..2_000_000_000_000_i64))
        .prop_map(|(state, message, time)| TaskStatus { state, message, timestamp: time.map(Timestamp::from_millis) })
}

fn any_artifact() -> impl Strategy<Value = Artifact> {
    (any_message(), "[a-z]{0,9}", "[a-z]{0,9}").prop_map(|(message, name, description)| Artifact {
        artifact_id: message.message_id,
        name,
        description,
        parts: message.parts,
        metadata: message.metadata,
        extensions: message.extensions,
    })
}

fn any_task() -> impl Strategy<Value = Task> {
    let lists = (prop::collection::vec(any_artifact(), 0..2), prop::collection::vec(any_message(), 0..2));
    ("[a-z]{1,9}", "[a-z]{0,9}", prop::option::of(any_status()), lists, prop::option::of(any_struct())).prop_map(
        |(id, context_id, status, (artifacts, history), metadata)| Task {
            id,
            context_id,
            status,
            artifacts,
            history,
            metadata,
        },
    )
}

fn any_event() -> impl Strategy<Value = stream_response::Payload> {
    use stream_response::Payload;

    let ids = || ("[a-z]{1,9}", "[a-z]{0,9}", prop::option::of(any_struct()));
    prop_oneof![
        any_task().prop_map(Payload::Task),
        any_message().prop_map(Payload::Message),
        (ids(), prop::option::of(any_status())).prop_map(|((task_id, context_id, metadata), status)| {
            Payload::StatusUpdate(TaskStatusUpdateEvent { task_id, context_id, status, metadata })
        }),
        (ids(), prop::option::of(any_artifact()), any::<bool>(), any::<bool>()).prop_map(
            |((task_id, context_id, metadata), artifact, append, last_chunk)| {
                let event = TaskArtifactUpdateEvent { task_id, context_id, artifact, append, last_chunk, metadata };
                Payload::ArtifactUpdate(event)
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Through the contract's bytes, as gRPC sends them, and through its JSON, as REST does.
    #[test]
    fn what_0_3_can_carry_comes_back(event in any_event(), last in any::<bool>()) {
        let sent = encode::event(event.clone(), last, FileBytes::Base64Text);
        let received = v03::StreamResponse::decode(sent.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(decode::event(received), Some(event.clone()));
        let json = serde_json::to_value(&sent).unwrap();
        prop_assert_eq!(rest::read_event(json), Ok(Some(event)));
    }

    #[test]
    fn requests_come_back(message in any_message(), at_once in any::<bool>(), length in 1..9, metadata in any_struct()) {
        let push = TaskPushNotificationConfig {
            id: "c-1".into(),
            url: "http://receiver".into(),
            token: "secret".into(),
            authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "x".into() }),
            ..TaskPushNotificationConfig::default()
        };
        let request = SendMessageRequest {
            message: Some(message),
            configuration: Some(SendMessageConfiguration {
                accepted_output_modes: vec!["text/plain".into()],
                task_push_notification_config: Some(push),
                history_length: Some(length),
                return_immediately: at_once,
            }),
            metadata: Some(metadata),
            ..SendMessageRequest::default()
        };
        prop_assert_eq!(decode::send(encode::send(request.clone(), FileBytes::Base64Text)), request.clone());
        let json = rest::write_send(request.clone(), FileBytes::Base64Text);
        let read: v03::SendMessageRequest = serde_json::from_value(json).unwrap();
        prop_assert_eq!(decode::send(read), request);
    }
}

#[test]
fn states_and_roles_have_the_same_numbers() {
    for number in 0..=8 {
        let (old, new) = (v03::TaskState::try_from(number).unwrap(), TaskState::try_from(number).unwrap());
        assert_eq!(old.as_str_name().replace("CANCELLED", "CANCELED"), new.as_str_name());
    }
    for number in 0..=2 {
        let (old, new) = (v03::Role::try_from(number).unwrap(), Role::try_from(number).unwrap());
        assert_eq!(old.as_str_name(), new.as_str_name());
    }
    assert!(v03::TaskState::try_from(9).is_err() && TaskState::try_from(9).is_err());
}

#[test]
fn files_are_sent_as_text_or_as_they_are_and_read_from_both() {
    for (bytes, expected) in BOTH.into_iter().zip([&b"AQL/"[..], &[1, 2, 255]]) {
        let part = encode::part(raw(&[1, 2, 255]), bytes);
        assert_eq!(file_bytes(&part), expected);
        assert_eq!(decode::part(part), raw(&[1, 2, 255]), "{bytes:?}");
    }
    // Only well-formed text counts: padded, of the standard alphabet, without line ends.
    for file in [&b"AQI"[..], b"AQI=\n", b"AQ-_", b"hello", b"AQJ="] {
        let part = encode::part(raw(file), FileBytes::Raw);
        assert_eq!(decode::part(part), raw(file), "{file:?}");
    }
    // A file that is base64 text itself survives where the peer sends text.
    assert_eq!(decode::part(encode::part(raw(b"AQI="), FileBytes::Base64Text)), raw(b"AQI="));
}

#[test]
fn data_that_is_no_object_is_wrapped_and_marked() {
    for value in [json!([1, 2]), json!("x"), json!(null), json!(7)] {
        let mut part = data(value.clone());
        part.metadata = Some(object(json!({"own": 1})));
        let wrapped = encode::part(part.clone(), FileBytes::Base64Text);
        let json = serde_json::to_value(&wrapped).unwrap();
        assert_eq!(json["data"]["data"], json!({"value": value}));
        assert_eq!(json["metadata"], json!({"own": 1, "data_part_compat": true}));
        assert_eq!(decode::part(wrapped), part);
    }
    let plain = encode::part(data(json!({"value": 1})), FileBytes::Base64Text);
    assert_eq!(serde_json::to_value(&plain).unwrap(), json!({"data": {"data": {"value": 1}}}));
    assert_eq!(decode::part(plain), data(json!({"value": 1})), "an object like the wrapping one, without the mark");
}

#[test]
fn what_0_3_has_no_place_for_is_left_out() {
    let text = Part {
        content: Some(Content::Text("hi".into())),
        filename: "a.txt".into(),
        media_type: "text/plain".into(),
        ..Part::default()
    };
    let part = encode::part(text, FileBytes::Base64Text);
    assert_eq!(serde_json::to_value(&part).unwrap(), json!({"text": "hi"}));
    let nothing = encode::part(Part::default(), FileBytes::Base64Text);
    assert_eq!(nothing.part, Some(v03::part::Part::Text(String::new())));
    assert_eq!(decode::part(v03::Part::default()), Part::default());
}

#[test]
fn only_the_last_status_update_is_final() {
    let update = || stream_response::Payload::StatusUpdate(TaskStatusUpdateEvent::default());
    for last in [true, false] {
        let event = encode::event(update(), last, FileBytes::Base64Text);
        let Some(v03::stream_response::Payload::StatusUpdate(update)) = event.payload else { panic!("{event:?}") };
        assert_eq!(update.r#final, last);
    }
}

#[test]
fn a_send_says_whether_it_blocks_also_without_a_configuration() {
    for (configuration, blocking) in [
        (None, true),
        (Some(SendMessageConfiguration::default()), true),
        (Some(SendMessageConfiguration { return_immediately: true, ..SendMessageConfiguration::default() }), false),
    ] {
        let message = Message { message_id: "m".into(), parts: vec![raw(b"x")], ..Message::default() };
        let request = SendMessageRequest { message: Some(message), configuration, ..SendMessageRequest::default() };
        let json = rest::write_send(request, FileBytes::Raw);
        assert_eq!(json["configuration"], json!({"blocking": blocking}));
        assert_eq!(json["message"], json!({"messageId": "m", "content": [{"file": {"fileWithBytes": "eA=="}}]}));
    }
    let bare = decode::send(v03::SendMessageRequest::default());
    assert_eq!(bare.configuration, None);
    let configuration = Some(v03::SendMessageConfiguration::default());
    let unset = decode::send(v03::SendMessageRequest { configuration, ..v03::SendMessageRequest::default() });
    let configuration = unset.configuration.unwrap();
    assert_eq!((configuration.return_immediately, configuration.history_length), (true, None));
}

#[test]
fn requests_name_tasks_and_configs_by_their_place() {
    let get = |name: &str| decode::get_task(&v03::GetTaskRequest { name: name.into(), history_length: 0 });
    assert_eq!(get(&name::task("t-1")).unwrap().id, "t-1");
    assert_eq!(get("tasks/t-1").unwrap().history_length, None);
    for wrong in ["", "t-1", "tasks/", "tasks/a/b", "/tasks/a", "tasks/a/pushNotificationConfigs/c"] {
        let error = get(wrong).unwrap_err();
        assert_eq!(error.field_violations()[0].field, "name", "{wrong}");
    }

    let config = |name: &str| {
        decode::get_push_config(&v03::GetTaskPushNotificationConfigRequest { name: name.into() })
            .map(|request| (request.task_id, request.id))
    };
    assert_eq!(config(&name::push_config("t", "c")).unwrap(), ("t".to_owned(), "c".to_owned()));
    for wrong in ["", "tasks/t", "tasks/t/pushNotificationConfigs/", "tasks//pushNotificationConfigs/c", "tasks/t/x/c"]
    {
        assert!(config(wrong).is_err(), "{wrong}");
    }

    for parent in ["tasks/t", "tasks/t/pushNotificationConfigs"] {
        let request = v03::CreateTaskPushNotificationConfigRequest {
            parent: parent.into(),
            config_id: "c".into(),
            config: Some(v03::TaskPushNotificationConfig {
                name: String::new(),
                push_notification_config: Some(v03::PushNotificationConfig {
                    url: "http://h".into(),
                    ..v03::PushNotificationConfig::default()
                }),
            }),
        };
        let config = decode::create_push_config(request).unwrap();
        assert_eq!((config.task_id.as_str(), config.id.as_str(), config.url.as_str()), ("t", "c", "http://h"));
        assert_eq!(decode::push_config(encode::push_config(config.clone())), config);
    }
}

#[test]
fn agents_json_is_read_as_it_comes() {
    let task = rest::read_task(json!({
        "id": "t", "contextId": "c", "kind": "task", "extra": {"x": 1}, "artifacts": null,
        "status": {"state": "input-required", "timestamp": "2026-01-02T03:04:05", "message":
            {"messageId": "m", "role": "agent", "parts": [{"text": "which?"}], "taskId": null}},
        "history": [{"message_id": "h", "role": "ROLE_USER", "content": [{"text": "hi", "unknown": true}]}],
        "metadata": {"parts": [1], "state": "canceled"},
    }))
    .unwrap();
    let status = task.status.unwrap();
    assert_eq!(status.state(), TaskState::InputRequired);
    assert_eq!(status.timestamp.unwrap().to_string(), "2026-01-02T03:04:05.000Z");
    let message = status.message.unwrap();
    assert_eq!((message.role(), message.parts.len()), (Role::Agent, 1));
    assert_eq!((task.history[0].role(), task.history[0].parts.len()), (Role::User, 1));
    assert_eq!(task.metadata, Some(object(json!({"parts": [1], "state": "canceled"}))), "free data stays as it is");

    let canceled = json!({"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_CANCELLED"}, "final": true}});
    let Ok(Some(stream_response::Payload::StatusUpdate(update))) = rest::read_event(canceled) else { panic!() };
    assert_eq!(update.status.unwrap().state(), TaskState::Canceled);

    let reply =
        rest::read_sent(json!({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}}));
    let Ok(send_message_response::Payload::Message(message)) = reply else { panic!("{reply:?}") };
    assert_eq!(message.parts.len(), 1);
}

#[test]
fn what_is_no_answer_is_named() {
    let error = rest::read_task(json!({"id": "t", "status": {"state": "dancing"}})).unwrap_err();
    assert!(error.contains("status.state"), "{error}");
    for json in [json!([]), json!("x"), json!(null), json!({"task": 5}), json!({}), json!({"detail": "Not Found"})] {
        assert!(rest::read_sent(json.clone()).is_err(), "{json}");
    }
    assert_eq!(rest::read_event(json!({"somethingNew": {}})), Ok(None));
}
