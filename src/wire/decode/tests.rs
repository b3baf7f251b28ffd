use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::json;

use super::*;
use crate::{
    error::ErrorKind,
    proto::{
        a2a::{AuthenticationInfo, Message, Part, Role, part::Content, send_message_response::Payload},
        well_known::{self, Kind, ListValue, Struct, Timestamp},
    },
    wire::encode,
};

const DIALECTS: [Dialect; 3] = [Dialect::V1, Dialect::V03, Dialect::Praison];

fn part(content: Content) -> Part {
    Part { content: Some(content), ..Part::default() }
}

fn text(text: &str) -> Part {
    part(Content::Text(text.to_owned()))
}

fn structure(value: Value) -> Struct {
    let Value::Object(members) = value else { panic!("not an object: {value}") };
    members.into()
}

fn read_part(dialect: Dialect, part: Value) -> Result<Part> {
    let params = json!({"message": {"messageId": "m", "role": "user", "parts": [part]}});
    send_message(params, dialect).map(|request| request.message.unwrap().parts.remove(0))
}

fn faults<T: std::fmt::Debug>(result: Result<T>) -> Vec<String> {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    error.field_violations().iter().map(ToString::to_string).collect()
}

#[test]
fn a_message_reads_the_same_in_every_spelling() {
    let expected = SendMessageRequest {
        tenant: String::new(),
        message: Some(Message {
            message_id: "m-1".into(),
            context_id: "c-1".into(),
            task_id: "t-1".into(),
            role: Role::User.into(),
            parts: vec![text("hi")],
            metadata: Some(structure(json!({"a": 1}))),
            extensions: Vec::new(),
            reference_task_ids: vec!["t-0".into()],
        }),
        configuration: Some(SendMessageConfiguration {
            accepted_output_modes: vec!["text/plain".into()],
            task_push_notification_config: Some(TaskPushNotificationConfig {
                id: "c-1".into(),
                url: "http://h".into(),
                authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "s".into() }),
                ..TaskPushNotificationConfig::default()
            }),
            history_length: Some(3),
            return_immediately: true,
        }),
        metadata: Some(structure(json!({"b": null}))),
    };
    let flat = json!({"id": "c-1", "url": "http://h", "authentication": {"scheme": "Bearer", "credentials": "s"}});
    let listed = json!({"id": "c-1", "url": "http://h", "authentication": {"schemes": ["Bearer"], "credentials": "s"}});
    let shapes = [
        json!({
            "message": {"messageId": "m-1", "contextId": "c-1", "taskId": "t-1", "role": "ROLE_USER",
                "parts": [{"text": "hi"}], "metadata": {"a": 1}, "referenceTaskIds": ["t-0"], "extensions": null},
            "configuration": {"acceptedOutputModes": ["text/plain"], "taskPushNotificationConfig": flat,
                "historyLength": 3, "returnImmediately": true, "unknown": {}},
            "metadata": {"b": null}, "tenant": null, "unknown": 5
        }),
        json!({
            "message": {"message_id": "m-1", "context_id": "c-1", "task_id": "t-1", "role": 1,
                "parts": [{"type": "text", "text": "hi"}], "metadata": {"a": 1.0}, "reference_task_ids": ["t-0"]},
            "configuration": {"accepted_output_modes": ["text/plain"], "task_push_notification_config": listed,
                "history_length": "3", "return_immediately": true},
            "metadata": {"b": null}
        }),
        json!({
            "message": {"kind": "message", "messageId": "m-1", "contextId": "c-1", "taskId": "t-1", "role": "user",
                "parts": [{"kind": "text", "text": "hi", "metadata": null}], "metadata": {"a": 1},
                "referenceTaskIds": ["t-0"]},
            "configuration": {"acceptedOutputModes": ["text/plain"], "pushNotificationConfig": listed,
                "historyLength": 3.0, "blocking": false},
            "metadata": {"b": null}
        }),
        json!({
            "request": {"messageId": "m-1", "contextId": "c-1", "taskId": "t-1", "role": "User",
                "content": [{"text": "hi"}], "metadata": {"a": 1}, "referenceTaskIds": ["t-0"]},
            "configuration": {"acceptedOutputModes": ["text/plain"], "pushNotification": listed,
                "historyLength": 3, "blocking": true, "returnImmediately": true},
            "metadata": {"b": null}
        }),
    ];
    for dialect in DIALECTS {
        for shape in &shapes {
            assert_eq!(send_message(shape.clone(), dialect).unwrap(), expected, "{dialect:?} {shape}");
        }
    }
}

#[test]
fn a_send_waits_unless_it_says_otherwise() {
    for (configuration, at_once) in [
        (json!({}), false),
        (json!({"blocking": true}), false),
        (json!({"blocking": null}), false),
        (json!({"returnImmediately": false, "blocking": false}), false),
        (json!({"blocking": false}), true),
        (json!({"return_immediately": true}), true),
    ] {
        for dialect in DIALECTS {
            let params = json!({"message": {}, "configuration": configuration});
            let request = send_message(params, dialect).unwrap();
            assert_eq!(request.configuration.unwrap().return_immediately, at_once, "{dialect:?} {configuration}");
        }
    }
}

#[test]
fn parts_of_every_dialect_are_read_in_every_dialect() {
    let raw = || part(Content::Raw(vec![0xfb, 0xff, 0xfe, 0x01].into()));
    let url = || part(Content::Url("http://f".into()));
    let named = |part: Part| Part { filename: "f.png".into(), media_type: "image/png".into(), ..part };
    let object = || part(Content::Data(json!({"a": [1, null]}).into()));
    let shapes = [
        (json!({"text": ""}), text("")),
        (json!({"type": "text", "text": "a"}), text("a")),
        (json!({"kind": "text", "text": "a", "raw": null, "data": null}), text("a")),
        (json!({"raw": "+//+AQ=="}), raw()),
        (json!({"raw": "+//+AQ"}), raw()),
        (json!({"raw": "-__-AQ=="}), raw()),
        (json!({"raw": "-__-AQ", "filename": "f.png", "mediaType": "image/png"}), named(raw())),
        (json!({"fileWithBytes": "+//+AQ==", "name": "f.png", "media_type": "image/png"}), named(raw())),
        (
            json!({"kind": "file", "file": {"bytes": "+//+AQ==", "name": "f.png", "mimeType": "image/png"}}),
            named(raw()),
        ),
        (json!({"file": {"fileWithBytes": "-__-AQ", "mime_type": "image/png", "name": "f.png"}}), named(raw())),
        (json!({"kind": "file", "file": {"data": "+//+AQ=="}}), raw()),
        (json!({"url": "http://f"}), url()),
        (json!({"type": "file", "fileWithUri": "http://f", "name": "f.png", "mediaType": "image/png"}), named(url())),
        (json!({"kind": "file", "file": {"uri": "http://f", "bytes": null, "mimeType": null}}), url()),
        (json!({"file": {"fileWithUri": "http://f"}, "filename": "f.png", "mediaType": "image/png"}), named(url())),
        (json!({"data": {"a": [1, null]}}), object()),
        (
            json!({"kind": "data", "data": {"a": [1, null]}, "metadata": {}}),
            Part { metadata: Some(Struct::default()), ..object() },
        ),
    ];
    for dialect in DIALECTS {
        for (shape, expected) in &shapes {
            assert_eq!(&read_part(dialect, shape.clone()).unwrap(), expected, "{dialect:?} {shape}");
        }
    }
}

#[test]
fn data_of_any_type_is_plain_in_1_0_and_wrapped_elsewhere() {
    for value in [json!(null), json!(5), json!("x"), json!([1]), json!(true)] {
        let expected = part(Content::Data(value.clone().into()));
        assert_eq!(read_part(Dialect::V1, json!({"data": value})).unwrap(), expected);
        for dialect in [Dialect::V03, Dialect::Praison] {
            let wrapped = json!({"data": {"value": value}, "metadata": {"data_part_compat": true}});
            assert_eq!(read_part(dialect, wrapped).unwrap(), expected);
            if !value.is_null() {
                let bare = faults(read_part(dialect, json!({"kind": "data", "data": value})));
                assert!(bare[0].starts_with("message.parts[0].data must be an object, not "), "{bare:?}");
            }
        }
    }
    let unmarked = json!({"kind": "data", "data": {"value": 5}, "metadata": {"data_part_compat": false}});
    let read = read_part(Dialect::V03, unmarked).unwrap();
    assert_eq!(read.content, Some(Content::Data(json!({"value": 5}).into())));
    assert_eq!(read.metadata, Some(structure(json!({"data_part_compat": false}))));
    let mut kept = json!({"kind": "data", "data": {"value": 5}, "metadata": {"data_part_compat": true, "a": 1}});
    assert_eq!(read_part(Dialect::V03, kept.take()).unwrap().metadata, Some(structure(json!({"a": 1}))));
}

#[test]
fn only_praisonai_may_leave_out_role_and_message_id() {
    let params = || json!({"message": {"parts": [{"type": "text", "text": "hi"}], "extensions": {"a": "b"}}});
    let message = send_message(params(), Dialect::Praison).unwrap().message.unwrap();
    assert_eq!(message.role(), Role::User);
    assert_eq!(message.message_id.len(), 36);
    let mut other = params();
    other["message"]["extensions"] = json!(["http://x"]);
    for dialect in [Dialect::V1, Dialect::V03] {
        let message = send_message(other.clone(), dialect).unwrap().message.unwrap();
        assert_eq!((message.role(), message.message_id.as_str()), (Role::Unspecified, ""), "left for task to refuse");
        assert_eq!(message.extensions, ["http://x"]);
    }
}

#[test]
fn a_part_of_a_kind_that_there_is_not_is_refused_in_0_3_alone() {
    for (part, field) in [
        (json!({"kind": "video", "text": "a"}), "message.parts[0].kind"),
        (json!({"type": "unsupported", "text": "a"}), "message.parts[0].type"),
    ] {
        let params = || json!({"message": {"parts": [part.clone()]}});
        let refused = faults(send_message(params(), Dialect::V03));
        assert_eq!(refused, [format!("{field} must be text, file or data")]);
        for dialect in [Dialect::V1, Dialect::Praison] {
            assert!(send_message(params(), dialect).is_ok(), "{dialect:?}");
        }
    }
}

#[test]
fn every_fault_is_named_at_once() {
    let params = json!({
        "message": {
            "messageId": 7, "role": "assistant", "extensions": ["a", 1], "metadata": [],
            "parts": [
                {"text": 5}, {}, {"text": "a", "url": "http://f"}, "text", {"raw": "!"}, {"file": {}},
                {"file": {"bytes": "YQ==", "uri": "http://f"}}, {"file": "f"}
            ]
        },
        "configuration": {"historyLength": 2.5, "returnImmediately": "yes", "pushNotificationConfig": {"token": 1}},
        "metadata": "m"
    });
    assert_eq!(
        faults(send_message(params, Dialect::V1)),
        [
            "message.role must be one of ROLE_USER, ROLE_AGENT, not \"assistant\"",
            "message.message_id must be a string, not a number",
            "message.parts[0].text must be a string, not a number",
            "message.parts[1] must hold one of text, raw, url and data",
            "message.parts[2] must hold only one of text, raw, url and data, not text and url",
            "message.parts[3] must be an object, not a string",
            "message.parts[4].raw must be base64",
            "message.parts[5].file must hold one of bytes and uri",
            "message.parts[6].file must hold only one of bytes and uri",
            "message.parts[7].file must be an object, not a string",
            "message.metadata must be an object, not an array",
            "message.extensions[1] must be a string, not a number",
            "configuration.task_push_notification_config.token must be a string, not a number",
            "configuration.task_push_notification_config.url is required",
            "configuration.return_immediately must be true or false, not a string",
            "configuration.history_length must be a whole number of 32 bits, not 2.5",
            "metadata must be an object, not a string",
        ]
    );
}

#[test]
fn an_error_stays_small() {
    let parts = vec![json!(1); 10_000];
    assert_eq!(faults(send_message(json!({"message": {"parts": parts}}), Dialect::V1)).len(), 20);
    let long = "x".repeat(1_000_000);
    assert!(send_message(json!({"message": {"role": long}}), Dialect::V1).unwrap_err().message().len() < 300);
}

#[test]
fn params_must_be_an_object_that_names_what_it_is_about() {
    for dialect in DIALECTS {
        for absent in [json!(null), json!({}), json!({"message": null, "id": null})] {
            assert_eq!(faults(send_message(absent.clone(), dialect)), ["message is required"]);
            assert_eq!(faults(get_task(absent.clone(), dialect)), ["id is required: the id of a task"]);
            assert_eq!(faults(cancel_task(absent.clone(), dialect)), ["id is required: the id of a task"]);
            assert_eq!(faults(subscribe(absent.clone(), dialect)), ["id is required: the id of a task"]);
            assert!(list_tasks(absent.clone(), dialect).is_ok());
            assert!(extended_card(absent, dialect).is_ok());
        }
        assert_eq!(faults(get_task(json!(["t"]), dialect)), ["params must be an object, not an array"]);
        assert_eq!(faults(get_task(json!({"id": 5}), dialect)), ["id must be a string, not a number"]);
        assert_eq!(
            faults(send_message(json!({"message": "hi"}), dialect)),
            ["message must be an object, not a string"]
        );
    }
}

#[test]
fn lookups_read_either_spelling() {
    for (params, history_length) in [
        (json!({"id": "t", "historyLength": 0}), Some(0)),
        (json!({"id": "t", "history_length": "-1"}), Some(-1)),
        (json!({"id": "t", "historyLength": null, "metadata": {}}), None),
    ] {
        for dialect in DIALECTS {
            let request = get_task(params.clone(), dialect).unwrap();
            assert_eq!((request.id.as_str(), request.history_length), ("t", history_length));
        }
    }
    let request = cancel_task(json!({"id": "t", "metadata": {"a": 1}}), Dialect::V03).unwrap();
    assert_eq!(request.metadata, Some(structure(json!({"a": 1}))));
    for value in [json!(2147483648_i64), json!("1.5"), json!(""), json!(true), json!(1e300)] {
        assert_eq!(faults(get_task(json!({"id": "t", "historyLength": value}), Dialect::V1)).len(), 1, "{value}");
    }
}

#[test]
fn only_1_0_has_tenants() {
    let params = || json!({"id": "t", "tenant": "a"});
    assert_eq!(get_task(params(), Dialect::V1).unwrap().tenant, "a");
    assert_eq!(get_task(params(), Dialect::V03).unwrap().tenant, "");
    assert_eq!(extended_card(json!({"tenant": "a"}), Dialect::V1).unwrap().tenant, "a");
}

#[test]
fn lists_read_filters_and_praisonai_gets_all() {
    let expected = ListTasksRequest {
        context_id: "c".into(),
        status: TaskState::InputRequired.into(),
        page_size: Some(5),
        page_token: "p".into(),
        history_length: Some(0),
        status_timestamp_after: Timestamp::parse("2026-01-02T03:04:05Z"),
        include_artifacts: Some(true),
        ..ListTasksRequest::default()
    };
    for params in [
        json!({"contextId": "c", "status": "TASK_STATE_INPUT_REQUIRED", "pageSize": 5, "pageToken": "p",
            "historyLength": 0, "statusTimestampAfter": "2026-01-02T03:04:05Z", "includeArtifacts": true}),
        json!({"context_id": "c", "status": "input-required", "page_size": "5", "page_token": "p",
            "history_length": 0, "status_timestamp_after": "2026-01-02T04:04:05+01:00", "include_artifacts": true}),
        json!({"contextId": "c", "status": 6, "pageSize": 5, "pageToken": "p", "historyLength": 0,
            "lastUpdatedAfter": "2026-01-02T03:04:05", "includeArtifacts": true}),
    ] {
        for dialect in DIALECTS {
            assert_eq!(list_tasks(params.clone(), dialect).unwrap(), expected, "{dialect:?} {params}");
        }
    }
    assert_eq!(list_tasks(json!({}), Dialect::V1).unwrap(), ListTasksRequest::default());
    let all = list_tasks(json!(null), Dialect::Praison).unwrap();
    assert_eq!((all.page_size, all.include_artifacts), (Some(100), Some(true)));

    let bad = json!({"status": 9, "statusTimestampAfter": "yesterday", "includeArtifacts": 1});
    assert_eq!(
        faults(list_tasks(bad, Dialect::Praison)),
        [
            "status must be one of submitted, working, completed, failed, cancelled, input_required, auth_required, not 9",
            "include_artifacts must be true or false, not a number",
            "status_timestamp_after must be a time such as 2026-01-02T03:04:05Z (RFC 3339), not \"yesterday\"",
        ]
    );
}

#[test]
fn push_configs_read_flat_and_nested() {
    let expected = TaskPushNotificationConfig {
        task_id: "t".into(),
        id: "c".into(),
        url: "http://h".into(),
        token: "k".into(),
        authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "s".into() }),
        ..TaskPushNotificationConfig::default()
    };
    let inner = json!({"url": "http://h", "token": "k", "authentication": {"schemes": ["Bearer"], "credentials": "s"}});
    let with_id = json!({"id": "c", "url": "http://h", "token": "k",
        "authentication": {"scheme": "Bearer", "credentials": "s"}});
    let name = "tasks/t/pushNotificationConfigs/c";
    for params in [
        json!({"taskId": "t", "id": "c", "url": "http://h", "token": "k",
            "authentication": {"scheme": "Bearer", "credentials": "s"}}),
        json!({"taskId": "t", "pushNotificationConfig": with_id}),
        json!({"task_id": "t", "config": with_id}),
        json!({"taskId": "t", "configId": "c", "config": inner}),
        json!({"parent": "tasks/t", "configId": "c", "config": {"name": name, "pushNotificationConfig": inner}}),
        json!({"name": name, "pushNotificationConfig": inner}),
    ] {
        for dialect in DIALECTS {
            assert_eq!(create_push_config(params.clone(), dialect).unwrap(), expected, "{dialect:?} {params}");
        }
    }
    let bare = create_push_config(json!({"taskId": "t", "url": "u", "authentication": {}}), Dialect::Praison).unwrap();
    assert_eq!(bare.authentication, None);
    assert_eq!(
        faults(create_push_config(json!({"pushNotificationConfig": {"url": 1}}), Dialect::V03)),
        ["push_notification_config.url must be a string, not a number", "task_id is required: the id of a task",]
    );
}

#[test]
fn push_lookups_read_each_dialects_ids() {
    for (dialect, params, task_id, id) in [
        (Dialect::V1, json!({"taskId": "t", "id": "c"}), "t", "c"),
        (Dialect::V03, json!({"id": "t", "pushNotificationConfigId": "c"}), "t", "c"),
        (Dialect::V03, json!({"taskId": "t", "id": "c"}), "t", "c"),
        (Dialect::Praison, json!({"task_id": "t"}), "t", ""),
    ] {
        let read = get_push_config(params.clone(), dialect).unwrap();
        assert_eq!((read.task_id.as_str(), read.id.as_str()), (task_id, id), "{dialect:?} {params}");
        let read = delete_push_config(params.clone(), dialect).unwrap();
        assert_eq!((read.task_id.as_str(), read.id.as_str()), (task_id, id), "{dialect:?} {params}");
    }
    assert_eq!(get_push_config(json!({"id": "t"}), Dialect::V03).unwrap().task_id, "t");
    assert_eq!(
        faults(delete_push_config(json!({"id": "t"}), Dialect::V03)),
        ["push_notification_config_id is required"]
    );
    assert_eq!(faults(get_push_config(json!({}), Dialect::V03)), ["id is required: the id of a task"]);
    assert_eq!(faults(get_push_config(json!({"taskId": "t"}), Dialect::V1)), ["id is required"]);

    assert_eq!(list_push_configs(json!({"id": "t"}), Dialect::V03).unwrap().task_id, "t");
    let page = list_push_configs(json!({"task_id": "t", "pageSize": "2", "page_token": "p"}), Dialect::V1).unwrap();
    assert_eq!((page.task_id.as_str(), page.page_size, page.page_token.as_str()), ("t", 2, "p"));
    assert_eq!(list_push_configs(json!(null), Dialect::Praison).unwrap().task_id, "");
    assert_eq!(faults(list_push_configs(json!({}), Dialect::V1)), ["task_id is required: the id of a task"]);
}

/// Values with finite numbers, which are all that JSON has.
fn any_value() -> impl Strategy<Value = well_known::Value> {
    let leaf = prop_oneof![
        Just(Kind::Null(0)),
        any::<bool>().prop_map(Kind::Bool),
        (-1e15..1e15).prop_map(Kind::Number),
        any::<i32>().prop_map(|n| Kind::Number(n.into())),
        ".{0,8}".prop_map(Kind::String),
    ];
    let wrap = |kind: Kind| well_known::Value { kind: Some(kind) };
    leaf.prop_map(wrap).prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(move |values| wrap(Kind::List(ListValue { values }))),
            proptest::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(move |fields| wrap(Kind::Struct(Struct { fields }))),
        ]
    })
}

fn any_struct() -> impl Strategy<Value = Option<Struct>> {
    proptest::option::of(
        proptest::collection::btree_map("[a-z]{1,4}", any_value(), 1..3).prop_map(|fields| Struct { fields }),
    )
}

fn any_part() -> impl Strategy<Value = Part> {
    let content = prop_oneof![
        ".{0,12}".prop_map(Content::Text),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Content::Raw(bytes.into())),
        ".{0,12}".prop_map(Content::Url),
        any_value().prop_map(Content::Data),
    ];
    (content, any_struct(), ".{0,6}", ".{0,6}").prop_map(|(content, metadata, filename, media_type)| Part {
        content: Some(content),
        metadata,
        filename,
        media_type,
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let ids = (".{0,6}", ".{0,6}", ".{0,6}");
    let lists = (proptest::collection::vec(".{0,6}", 0..3), proptest::collection::vec(".{0,6}", 0..3));
    let role = prop_oneof![Just(Role::User), Just(Role::Agent)];
    (ids, role, proptest::collection::vec(any_part(), 0..4), any_struct(), lists).prop_map(
        |((message_id, context_id, task_id), role, parts, metadata, (extensions, reference_task_ids))| Message {
            message_id,
            context_id,
            task_id,
            role: role.into(),
            parts,
            metadata,
            extensions,
            reference_task_ids,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_survive_1_0(message in any_message()) {
        let json = encode::send_response(Dialect::V1, &Payload::Message(message.clone()));
        let params = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(send_message(params, Dialect::V1).unwrap().message.unwrap(), message);
    }

    #[test]
    fn messages_survive_0_3_as_far_as_it_has_words(mut message in any_message()) {
        let json = encode::send_response(Dialect::V03, &Payload::Message(message.clone()));
        let sent: Value = serde_json::from_slice(&json).unwrap();
        let read = send_message(json!({"message": sent}), Dialect::V03).unwrap();
        for part in &mut message.parts {
            if matches!(part.content, Some(Content::Text(_) | Content::Data(_))) {
                (part.filename, part.media_type) = (String::new(), String::new());
            }
        }
        prop_assert_eq!(read.message.unwrap(), message);
    }
}
