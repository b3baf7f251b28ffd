//! The JSON-RPC doors: 1.0, 0.3 and PraisonAI's dialect.

use axum::body::Body;
use http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Rig, are_details, headers, is_message};
use crate::wire::fuzz::{changed, changes, noise, run, slipped, slips};

/// The codes that bad input may lead to: JSON-RPC's own and those of A2A, but none for a fault of the gateway.
const CODES: [i64; 12] =
    [-32700, -32600, -32601, -32602, -32000, -32001, -32002, -32003, -32004, -32005, -32007, -32009];

fn envelope(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "q-1", "method": method, "params": params})
}

fn v1() -> Vec<Value> {
    let message = json!({"messageId": "m", "contextId": "c", "role": "ROLE_USER", "metadata": {"a": 1},
        "extensions": ["http://e"], "referenceTaskIds": ["t"], "parts": [{"text": "hello"}, {"data": {"a": [1]}},
        {"raw": "AAEC", "mediaType": "a/b", "filename": "f"}, {"url": "http://a"}]});
    let configuration = json!({"acceptedOutputModes": ["text/plain"], "historyLength": 1, "returnImmediately": true});
    let send = json!({"tenant": "echo", "message": message, "configuration": configuration, "metadata": {}});
    let list = json!({"contextId": "c", "status": "TASK_STATE_WORKING", "pageSize": 5, "historyLength": 1,
        "pageToken": "", "statusTimestampAfter": "2026-01-02T03:04:05Z", "includeArtifacts": true});
    let config = json!({"taskId": "t", "id": "c", "url": "http://h",
        "authentication": {"scheme": "Bearer", "credentials": "x"}});
    vec![
        envelope("SendMessage", send.clone()),
        envelope("SendStreamingMessage", send),
        envelope("GetTask", json!({"id": "t", "historyLength": 2})),
        envelope("ListTasks", list),
        envelope("CancelTask", json!({"id": "t", "metadata": {}})),
        envelope("SubscribeToTask", json!({"id": "t"})),
        envelope("CreateTaskPushNotificationConfig", config),
        envelope("ListTaskPushNotificationConfigs", json!({"taskId": "t", "pageSize": 3})),
        envelope("GetExtendedAgentCard", json!({})),
    ]
}

fn v03() -> Vec<Value> {
    let message = json!({"kind": "message", "messageId": "m", "contextId": "c", "role": "user", "parts": [
        {"kind": "text", "text": "hello"}, {"kind": "data", "data": {"a": 1}},
        {"kind": "file", "file": {"bytes": "AAEC", "mimeType": "a/b", "name": "f"}}]});
    let send = json!({"message": message, "metadata": {},
        "configuration": {"blocking": false, "historyLength": 1, "acceptedOutputModes": ["text/plain"]}});
    let config = json!({"taskId": "t", "pushNotificationConfig": {"id": "c", "url": "http://h",
        "authentication": {"schemes": ["Bearer"], "credentials": "x"}}});
    vec![
        envelope("message/send", send.clone()),
        envelope("message/stream", send),
        envelope("tasks/get", json!({"id": "t", "historyLength": 2, "metadata": {}})),
        envelope("tasks/cancel", json!({"id": "t"})),
        envelope("tasks/resubscribe", json!({"id": "t"})),
        envelope("tasks/pushNotificationConfig/set", config),
        envelope("tasks/pushNotificationConfig/get", json!({"id": "t", "pushNotificationConfigId": "c"})),
        envelope("agent/getAuthenticatedExtendedCard", json!({})),
    ]
}

fn praison() -> Vec<Value> {
    let message = json!({"messageId": "m", "role": "user", "parts": [{"text": "hello"},
        {"fileWithUri": "http://a", "mediaType": "a/b", "name": "f"}, {"data": {"a": 1}}, {"type": "text", "text": "b"}]});
    let send = json!({"message": message, "configuration": {"returnImmediately": true}});
    vec![
        envelope("message/send", send.clone()),
        envelope("message/stream", send),
        envelope("tasks/get", json!({"id": "t"})),
        envelope("tasks/list", json!({"contextId": "c"})),
        envelope("tasks/cancel", json!({"id": "t"})),
        envelope("tasks/pushNotificationConfig/set", json!({"taskId": "t", "url": "http://h", "token": "x"})),
        envelope("tasks/pushNotificationConfig/list", json!({})),
        envelope("agent/getExtendedCard", json!({})),
    ]
}

/// Bodies: valid requests that have been spoiled, batches of them, and noise.
fn bodies(valid: Vec<Value>) -> impl Strategy<Value = Vec<u8>> {
    let spoiled =
        (prop::sample::select(valid), changes()).prop_map(|(value, changes)| changed(value, &changes)).boxed();
    let one = (spoiled.clone(), slips()).prop_map(|(value, slips)| slipped(&value.to_string(), &slips));
    let batch = prop::collection::vec(spoiled, 0..4).prop_map(|batch| json!(batch).to_string().into_bytes());
    prop_oneof![8 => one, 1 => batch, 1 => noise()]
}

/// Checks one answer of JSON-RPC.
pub(super) fn is_answer(answer: &Value, praison: bool) {
    let members = answer.as_object().unwrap_or_else(|| panic!("not an object: {answer}"));
    assert_eq!((members.len(), &answer["jsonrpc"]), (3, &json!("2.0")), "{answer}");
    assert!(matches!(members["id"], Value::Null | Value::String(_) | Value::Number(_)), "{answer}");
    let Some(error) = members.get("error") else {
        assert!(members.contains_key("result"), "{answer}");
        return;
    };
    assert!(error["code"].as_i64().is_some_and(|code| CODES.contains(&code)), "{answer}");
    is_message(&error["message"]);
    let Some(data) = error.get("data") else { return };
    assert!(!praison, "{answer}");
    // 0.3 puts the list into an object.
    are_details(data.get("details").unwrap_or(data));
    assert_eq!(error.as_object().unwrap().len(), 3, "{answer}");
}

fn check(answer: &Answer, praison: bool) {
    match (answer.status.as_u16(), answer.media.as_str()) {
        (200, "application/json") => match answer.json() {
            Value::Array(answers) => {
                assert!(!answers.is_empty());
                answers.iter().for_each(|answer| is_answer(answer, praison));
            }
            answer => is_answer(&answer, praison),
        },
        (200, "text/event-stream") => {
            let events = answer.events();
            assert!(!events.is_empty());
            // PraisonAI's events are bare.
            events.iter().filter(|event| event.get("jsonrpc").is_some()).for_each(|event| is_answer(event, praison));
        }
        (415, "application/json") => assert_eq!(answer.json()["error"]["code"], if praison { -32600 } else { -32005 }),
        other => panic!("{other:?}: {}", answer.text()),
    }
}

fn door(path: &'static str, valid: Vec<Value>) {
    let rig = Rig::start();
    run(150, &(bodies(valid), headers()), |(body, headers)| {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = rig.ask(request.body(Body::from(body)).unwrap());
        check(&answer, path.starts_with("/praisonai"));
    });
    rig.end();
}

#[test]
fn requests_of_1_0_are_answered_whatever_they_hold() {
    door("/a2a", v1());
}

#[test]
fn requests_of_0_3_are_answered_whatever_they_hold() {
    door("/a2a", v03());
}

#[test]
fn requests_of_praisonai_are_answered_whatever_they_hold() {
    door("/a2a", praison());
}

#[test]
fn requests_at_praisonais_own_path_are_answered_whatever_they_hold() {
    door("/praisonai/a2a", [praison(), v03(), v1()].concat());
}
