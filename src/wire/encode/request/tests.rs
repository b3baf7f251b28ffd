use serde_json::{Value, json};

use super::*;
use crate::{
    proto::a2a::{Role, TaskPushNotificationConfig},
    wire::{
        decode,
        method::{Operation, method},
    },
};

const DIALECTS: [Dialect; 3] = [V1, V03, Praison];

fn parsed(value: &impl Serialize) -> Value {
    serde_json::from_slice(&json(value)).unwrap()
}

fn part(content: Content) -> Part {
    Part { content: Some(content), ..Part::default() }
}

fn structure(value: Value) -> Struct {
    let Value::Object(members) = value else { panic!("not an object: {value}") };
    members.into()
}

fn request(parts: Vec<Part>) -> SendMessageRequest {
    SendMessageRequest {
        tenant: "ours".into(),
        message: Some(Message {
            message_id: "m".into(),
            context_id: "c".into(),
            task_id: "t".into(),
            role: Role::User.into(),
            parts,
            ..Message::default()
        }),
        configuration: Some(SendMessageConfiguration {
            accepted_output_modes: vec!["text/plain".into()],
            task_push_notification_config: Some(TaskPushNotificationConfig {
                url: "http://ours".into(),
                token: "secret".into(),
                ..TaskPushNotificationConfig::default()
            }),
            history_length: Some(2),
            return_immediately: true,
        }),
        metadata: Some(structure(json!({"k": 1}))),
    }
}

fn text() -> Vec<Part> {
    vec![part(Content::Text("hi".into()))]
}

#[test]
fn a_message_goes_out_in_each_dialects_words() {
    for (dialect, expected) in [
        (
            V1,
            json!({
                "tenant": "theirs",
                "message": {"messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_USER",
                    "parts": [{"text": "hi"}]},
                "configuration": {"acceptedOutputModes": ["text/plain"], "historyLength": 2,
                    "returnImmediately": true},
                "metadata": {"k": 1}
            }),
        ),
        (
            V03,
            json!({
                "message": {"kind": "message", "messageId": "m", "contextId": "c", "taskId": "t", "role": "user",
                    "parts": [{"kind": "text", "text": "hi"}]},
                "configuration": {"acceptedOutputModes": ["text/plain"], "historyLength": 2, "blocking": false},
                "metadata": {"k": 1}
            }),
        ),
        (
            Praison,
            json!({
                "message": {"messageId": "m", "contextId": "c", "taskId": "t", "role": "user",
                    "parts": [{"text": "hi"}]},
                "configuration": {"returnImmediately": true},
                "metadata": {"k": 1}
            }),
        ),
    ] {
        assert_eq!(parsed(&send(&request(text()), dialect, "theirs")), expected);
    }
}

#[test]
fn the_older_dialects_are_always_told_whether_to_wait() {
    let request = SendMessageRequest { configuration: None, metadata: None, ..request(text()) };
    let configuration = |dialect| parsed(&send(&request, dialect, "")).get("configuration").cloned();
    assert_eq!(configuration(V1), None);
    assert_eq!(configuration(V03), Some(json!({"acceptedOutputModes": [], "blocking": true})));
    assert_eq!(configuration(Praison), Some(json!({"returnImmediately": false})));
    assert_eq!(parsed(&send(&request, V1, "")).get("tenant"), None);
}

#[test]
fn parts_take_the_shape_that_the_agent_takes() {
    let file = |content| Part { media_type: "image/png".into(), filename: "f.png".into(), ..part(content) };
    let parts = vec![
        file(Content::Raw(vec![0xfb, 0xff].into())),
        part(Content::Raw(vec![1].into())),
        file(Content::Url("http://f".into())),
        part(Content::Data(json!([1]).into())),
        part(Content::Data(json!({"a": null}).into())),
    ];
    let request = request(parts);
    let sent = |dialect| parsed(&send(&request, dialect, ""))["message"]["parts"].clone();
    assert_eq!(
        sent(V1),
        json!([
            {"raw": "+/8=", "mediaType": "image/png", "filename": "f.png"},
            {"raw": "AQ=="},
            {"url": "http://f", "mediaType": "image/png", "filename": "f.png"},
            {"data": [1]},
            {"data": {"a": null}}
        ])
    );
    assert_eq!(
        sent(V03),
        json!([
            {"kind": "file", "file": {"bytes": "+/8=", "mimeType": "image/png", "name": "f.png"}},
            {"kind": "file", "file": {"bytes": "AQ=="}},
            {"kind": "file", "file": {"uri": "http://f", "mimeType": "image/png", "name": "f.png"}},
            {"kind": "data", "data": {"value": [1]}, "metadata": {"data_part_compat": true}},
            {"kind": "data", "data": {"a": null}}
        ])
    );
    assert_eq!(
        sent(Praison),
        json!([
            {"fileWithUri": "data:image/png;base64,+/8=", "mediaType": "image/png", "name": "f.png"},
            {"fileWithUri": "data:application/octet-stream;base64,AQ=="},
            {"fileWithUri": "http://f", "mediaType": "image/png", "name": "f.png"},
            {"data": {"value": [1]}, "metadata": {"data_part_compat": true}},
            {"data": {"a": null}}
        ])
    );
}

#[test]
fn lookups_name_the_task() {
    let metadata = structure(json!({"why": "late"}));
    for dialect in DIALECTS {
        let mut bare = json!({"id": "t"});
        if dialect == V1 {
            bare["tenant"] = "theirs".into();
        }
        assert_eq!(parsed(&subscribe("t", dialect, "theirs")), bare);
        assert_eq!(parsed(&cancel("t", None, dialect, "theirs")), bare);
        assert_eq!(parsed(&get("t", None, dialect, "theirs")), bare);

        let mut counted = bare.clone();
        if dialect != Praison {
            counted["historyLength"] = 0.into();
        }
        assert_eq!(parsed(&get("t", Some(0), dialect, "theirs")), counted);
        bare["metadata"] = json!({"why": "late"});
        assert_eq!(parsed(&cancel("t", Some(&metadata), dialect, "theirs")), bare);
    }
    assert_eq!(parsed(&cancel("", Some(&metadata), V1, "")), json!({"metadata": {"why": "late"}}));
    assert_eq!(parsed(&cancel("", None, V1, "")), json!({}));
}

#[test]
fn our_own_doors_read_what_is_sent() {
    for dialect in DIALECTS {
        let request = request(text());
        let called = Operation::SendMessage.name_in(dialect).unwrap();
        let call: Value = serde_json::from_slice(&rpc("7", called, &send(&request, dialect, "theirs"))).unwrap();
        assert_eq!((&call["jsonrpc"], &call["id"], &call["method"]), (&json!("2.0"), &json!("7"), &json!(called)));
        assert_eq!(method(called).unwrap().operation, Operation::SendMessage);

        let read = decode::send_message(call["params"].clone(), dialect).unwrap();
        assert_eq!((&read.message, &read.metadata), (&request.message, &request.metadata));
        let configuration = read.configuration.unwrap();
        assert!(configuration.return_immediately);
        assert_eq!(configuration.task_push_notification_config, None, "webhooks stay here");
        assert_eq!(decode::get_task(parsed(&get("t", Some(3), dialect, "")), dialect).unwrap().id, "t");
    }
}
