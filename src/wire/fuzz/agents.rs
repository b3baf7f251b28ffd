//! What hostile agents answer: every reader takes anything, and either reads it or names what is wrong.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{changed, changes, noise, run, slipped, slips};
use crate::{
    error::{Error, ErrorKind},
    proto::a2a::{send_message_response, stream_response::Payload},
    task::{Dialect, Event, TaskId},
    wire::{card, decode::answer, encode, fault, v03},
};

const DIALECTS: [Dialect; 3] = [Dialect::V1, Dialect::V03, Dialect::Praison];

/// Answers, events, errors and cards in every dialect.
fn said() -> Vec<Value> {
    let parts = json!([
        {"text": "hi", "metadata": {"a": 1}},
        {"raw": "AAEC", "mediaType": "a/b", "filename": "f"},
        {"data": [1, {"b": null}]},
        {"kind": "file", "file": {"bytes": "AAEC", "mimeType": "a/b", "name": "f"}},
        {"file": {"fileWithUri": "http://a", "mimeType": "a/b"}},
        {"kind": "data", "data": {"value": 3}, "metadata": {"data_part_compat": true}},
    ]);
    let message = json!({"messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_AGENT", "parts": parts,
        "metadata": {"a": [1, 2.5]}, "extensions": ["http://e"], "referenceTaskIds": ["t-2"]});
    let status = json!({"state": "TASK_STATE_WORKING", "message": message, "timestamp": "2026-01-02T03:04:05.678Z"});
    let artifact = json!({"artifactId": "a", "name": "n", "description": "d", "parts": parts, "metadata": {}});
    let task = json!({"id": "t", "contextId": "c", "status": status, "artifacts": [artifact], "history": [message]});
    let older = json!({"kind": "task", "id": "t", "contextId": "c", "status": {"state": "input-required"}});
    let update = json!({"taskId": "t", "contextId": "c", "status": status, "final": true});
    let chunk = json!({"taskId": "t", "contextId": "c", "artifact": artifact, "append": true, "lastChunk": false});
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND",
        "domain": "a2a-protocol.org", "metadata": {"taskId": "t"}}]);
    let card = json!({"name": "n", "description": "d", "version": "1", "url": "http://a", "protocolVersion": "0.3.0",
        "preferredTransport": "GRPC", "additionalInterfaces": [{"url": "http://b", "transport": "JSONRPC"}],
        "supportedInterfaces": [{"url": "http://a", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "x"}],
        "capabilities": {"streaming": true, "pushNotifications": true, "extensions": [{"uri": "u", "required": true}]},
        "securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X"}, "o": {"oauth2SecurityScheme":
            {"flows": {"clientCredentials": {"tokenUrl": "http://t", "scopes": {"a": "b"}}}}}},
        "security": [{"k": ["s"]}], "securityRequirements": [{"schemes": {"k": {"list": ["s"]}}}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "s", "name": "s", "description": "d", "tags": ["t"], "examples": ["e"]}],
        "signatures": [{"protected": "p", "signature": "s"}]});
    vec![
        json!({"task": task}),
        json!({"message": message}),
        json!({"statusUpdate": update}),
        json!({"artifactUpdate": chunk}),
        task,
        older,
        json!({"kind": "status-update", "taskId": "t", "contextId": "c", "status": {"state": "working"}, "final": false}),
        json!({"code": -32001, "message": "no", "data": details}),
        json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "no", "details": details}}),
        card,
    ]
}

/// A text of hostile agents, as bytes.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let spoiled = (prop::sample::select(said()), changes(), slips())
        .prop_map(|(value, changes, slips)| slipped(&changed(value, &changes).to_string(), &slips));
    prop_oneof![4 => spoiled, 1 => noise()]
}

fn is_well_formed(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(!error.message().is_empty());
    assert!(error.field_violations().iter().all(|wrong| !wrong.field.is_empty() && !wrong.description.is_empty()));
}

/// What has been read can be told on in every dialect. That it is not too deep to be stored is the engine's to check.
fn is_told(payload: Payload) {
    let state = crate::proto::a2a::TaskState::Working;
    if let Payload::Task(task) = &payload {
        assert!(DIALECTS.iter().all(|dialect| is_json(&encode::task(*dialect, task))));
        assert!(is_json(&v03::rest::task(task)));
        let again = answer::task(parsed(&encode::task(Dialect::V1, task)), Dialect::V1);
        assert!(task.id.is_empty() || again.is_ok_and(|again| again.id == task.id), "{task:?}");
    }
    let event = Event::new(TaskId::mint(), 1, 0, state, payload);
    for dialect in DIALECTS {
        assert!(encode::event(dialect, &event).is_none_or(|json| is_json(&json)));
    }
    assert!(v03::rest::event(&event).is_none_or(|json| is_json(&json)));
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("JSON")
}

fn is_json(json: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok()
}

#[test]
fn answers_of_any_kind_are_read_or_refused() {
    run(500, &texts(), |text| {
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { return };
        for dialect in DIALECTS {
            // Only PraisonAI's events go by their names.
            let names: &[_] = if dialect == Dialect::Praison {
                &[None, Some("task.status"), Some("task.artifact"), Some("done"), Some("x")]
            } else {
                &[None]
            };
            for name in names.iter().copied() {
                match answer::event(value.clone(), name, dialect) {
                    Ok(payload) => payload.into_iter().for_each(is_told),
                    Err(error) => is_well_formed(&error),
                }
            }
            match answer::sent(value.clone(), dialect) {
                Ok(send_message_response::Payload::Task(task)) => is_told(Payload::Task(task)),
                Ok(send_message_response::Payload::Message(message)) => is_told(Payload::Message(message)),
                Err(error) => is_well_formed(&error),
            }
            match answer::task(value.clone(), dialect) {
                Ok(task) => is_told(Payload::Task(task)),
                Err(error) => is_well_formed(&error),
            }
            let (_, text) = fault::read(&value, dialect);
            assert!(text.chars().count() <= 400 && !text.contains(['\n', '\r', '\0']), "{text:?}");
        }
        for read in [
            v03::json::read_task(value.clone()).map(|task| is_told(Payload::Task(task))),
            v03::json::read_event(value.clone()).map(|payload| payload.into_iter().for_each(is_told)),
            v03::json::read_sent(value).map(drop),
        ] {
            assert_ne!(read, Err(String::new()), "a refusal without a reason");
        }
    });
}

#[test]
fn cards_of_any_kind_are_read_or_refused() {
    run(500, &texts(), |text| {
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { return };
        match card::read(value) {
            Ok(found) => {
                assert!(!found.card.name.is_empty());
                let url = "http://gateway.test/a2a";
                for text in [
                    card::v1(&found.card),
                    card::merged(&found.card, url),
                    card::v03(&found.card, url),
                    card::praisonai(&found.card, url),
                ] {
                    assert!(is_json(text.as_bytes()));
                }
                let again = card::read(parsed(card::v1(&found.card).as_bytes())).expect("our own card is read");
                assert_eq!(again.card.name, found.card.name);
            }
            Err(error) => is_well_formed(&error),
        }
    });
}
