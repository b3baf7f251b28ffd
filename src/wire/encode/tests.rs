use serde_json::{Value, json};

use super::*;
use crate::{
    proto::{
        a2a::{Part, StreamResponse, TaskArtifactUpdateEvent, TaskStatusUpdateEvent, part::Content},
        well_known::{Struct, Timestamp},
    },
    task::TaskId,
    wire::praisonai,
};

fn parsed(json: &Bytes) -> Value {
    serde_json::from_slice(json).unwrap()
}

fn part(content: Content) -> Part {
    Part { content: Some(content), ..Part::default() }
}

fn structure(value: Value) -> Struct {
    let Value::Object(members) = value else { panic!("not an object: {value}") };
    members.into()
}

fn message(role: Role) -> Message {
    Message {
        message_id: "m-1".into(),
        context_id: "c-1".into(),
        role: role.into(),
        parts: vec![part(Content::Text("hi".into()))],
        extensions: vec!["http://x".into()],
        ..Message::default()
    }
}

fn status(state: TaskState) -> TaskStatus {
    TaskStatus { state: state.into(), message: None, timestamp: Some(Timestamp::from_millis(1_767_323_045_678)) }
}

fn sample() -> Task {
    let named = |content| Part { filename: "f.png".into(), media_type: "image/png".into(), ..part(content) };
    Task {
        id: "t-1".into(),
        context_id: "c-1".into(),
        status: Some(TaskStatus { message: Some(message(Role::Agent)), ..status(TaskState::InputRequired) }),
        artifacts: vec![Artifact {
            artifact_id: "a-1".into(),
            name: "out".into(),
            parts: vec![
                named(Content::Raw(vec![0xfb, 0xff, 0xfe, 0x01].into())),
                named(Content::Url("http://f".into())),
                Part { media_type: "text/html".into(), ..part(Content::Text("<p>".into())) },
                part(Content::Data(json!({"n": 1}).into())),
                Part { metadata: Some(structure(json!({"k": 2}))), ..part(Content::Data(json!([1]).into())) },
            ],
            ..Artifact::default()
        }],
        history: vec![message(Role::User)],
        metadata: Some(structure(json!({"a": null}))),
    }
}

#[test]
fn a_task_in_1_0_is_the_contracts_json() {
    let json = task(Dialect::V1, &sample());
    let hi = |role| {
        json!({"messageId": "m-1", "contextId": "c-1", "role": role, "parts": [{"text": "hi"}],
            "extensions": ["http://x"]})
    };
    let expected = json!({
        "id": "t-1", "contextId": "c-1",
        "status": {"state": "TASK_STATE_INPUT_REQUIRED", "message": hi("ROLE_AGENT"),
            "timestamp": "2026-01-02T03:04:05.678Z"},
        "artifacts": [{"artifactId": "a-1", "name": "out", "parts": [
            {"raw": "+//+AQ==", "filename": "f.png", "mediaType": "image/png"},
            {"url": "http://f", "filename": "f.png", "mediaType": "image/png"},
            {"text": "<p>", "mediaType": "text/html"},
            {"data": {"n": 1}},
            {"data": [1], "metadata": {"k": 2}}
        ]}],
        "history": [hi("ROLE_USER")],
        "metadata": {"a": null}
    });
    assert_eq!(parsed(&json), expected);
    assert_eq!(parsed(&json), serde_json::to_value(sample()).unwrap(), "the generated ProtoJSON agrees");
    assert_eq!(serde_json::from_slice::<Task>(&json).unwrap(), sample());
}

#[test]
fn a_task_in_0_3_has_kinds() {
    let hi = |role| {
        json!({"kind": "message", "messageId": "m-1", "contextId": "c-1", "role": role,
            "parts": [{"kind": "text", "text": "hi"}], "extensions": ["http://x"]})
    };
    assert_eq!(
        parsed(&task(Dialect::V03, &sample())),
        json!({
            "kind": "task", "id": "t-1", "contextId": "c-1",
            "status": {"state": "input-required", "message": hi("agent"), "timestamp": "2026-01-02T03:04:05.678Z"},
            "artifacts": [{"artifactId": "a-1", "name": "out", "parts": [
                {"kind": "file", "file": {"bytes": "+//+AQ==", "name": "f.png", "mimeType": "image/png"}},
                {"kind": "file", "file": {"uri": "http://f", "name": "f.png", "mimeType": "image/png"}},
                {"kind": "text", "text": "<p>"},
                {"kind": "data", "data": {"n": 1}},
                {"kind": "data", "data": {"value": [1]}, "metadata": {"k": 2, "data_part_compat": true}}
            ]}],
            "history": [hi("user")],
            "metadata": {"a": null}
        })
    );
}

#[test]
fn a_task_in_praisonai_has_neither_kinds_nor_extensions() {
    let hi = |role| json!({"messageId": "m-1", "contextId": "c-1", "role": role, "parts": [{"text": "hi"}]});
    assert_eq!(
        parsed(&task(Dialect::Praison, &sample())),
        json!({
            "id": "t-1", "contextId": "c-1",
            "status": {"state": "input_required", "message": hi("agent"), "timestamp": "2026-01-02T03:04:05.678Z"},
            "artifacts": [{"artifactId": "a-1", "name": "out", "parts": [
                {"fileWithBytes": "+//+AQ==", "name": "f.png", "mediaType": "image/png"},
                {"fileWithUri": "http://f", "name": "f.png", "mediaType": "image/png"},
                {"text": "<p>", "mediaType": "text/html"},
                {"data": {"n": 1}},
                {"data": {"value": [1]}, "metadata": {"k": 2, "data_part_compat": true}}
            ]}],
            "history": [hi("user")],
            "metadata": {"a": null}
        })
    );
}

#[test]
fn required_fields_are_written_even_when_empty() {
    let empty = Task {
        status: Some(TaskStatus { message: Some(Message::default()), ..TaskStatus::default() }),
        artifacts: vec![Artifact::default()],
        ..Task::default()
    };
    assert_eq!(
        parsed(&task(Dialect::V1, &empty)),
        json!({
            "id": "", "contextId": "",
            "status": {"state": "TASK_STATE_UNSPECIFIED",
                "message": {"messageId": "", "role": "ROLE_UNSPECIFIED", "parts": []}},
            "artifacts": [{"artifactId": "", "parts": []}]
        })
    );
    assert_eq!(serde_json::from_slice::<Task>(&task(Dialect::V1, &empty)).unwrap(), empty);
    assert_eq!(parsed(&task(Dialect::Praison, &Task::default())), json!({"id": "", "status": {"state": "unknown"}}));
}

#[test]
fn a_sent_message_is_answered_in_each_dialects_envelope() {
    use send_message_response::Payload as Response;
    let t = || Response::Task(Task { id: "t".into(), status: Some(status(TaskState::Canceled)), ..Task::default() });
    let when = "2026-01-02T03:04:05.678Z";
    assert_eq!(
        parsed(&send_response(Dialect::V1, &t())),
        json!({"task": {"id": "t", "contextId": "", "status": {"state": "TASK_STATE_CANCELED", "timestamp": when}}})
    );
    assert_eq!(
        parsed(&send_response(Dialect::V03, &t())),
        json!({"kind": "task", "id": "t", "contextId": "", "status": {"state": "canceled", "timestamp": when}})
    );
    assert_eq!(
        parsed(&send_response(Dialect::Praison, &t())),
        json!({"id": "t", "status": {"state": "cancelled", "timestamp": when}})
    );

    let m = || Response::Message(message(Role::Agent));
    assert_eq!(parsed(&send_response(Dialect::V1, &m()))["message"]["role"], "ROLE_AGENT");
    assert_eq!(parsed(&send_response(Dialect::V03, &m()))["kind"], "message");
    assert_eq!(
        parsed(&send_response(Dialect::Praison, &m())),
        json!({
            "id": "m-1", "contextId": "c-1", "status": {"state": "completed"},
            "artifacts": [{"artifactId": "m-1", "parts": [{"text": "hi"}]}],
            "history": [{"messageId": "m-1", "contextId": "c-1", "role": "agent", "parts": [{"text": "hi"}]}]
        })
    );
}

#[test]
fn a_direct_reply_kept_as_status_message_is_praisonais_artifact() {
    let mut reply = Task {
        id: "t".into(),
        status: Some(TaskStatus { message: Some(message(Role::Agent)), ..status(TaskState::Completed) }),
        ..Task::default()
    };
    let shown = parsed(&task(Dialect::Praison, &reply));
    assert_eq!(shown["artifacts"], json!([{"artifactId": "m-1", "parts": [{"text": "hi"}]}]));
    assert_eq!(parsed(&task(Dialect::V03, &reply)).get("artifacts"), None);

    reply.artifacts.push(Artifact { artifact_id: "a".into(), ..Artifact::default() });
    assert_eq!(parsed(&task(Dialect::Praison, &reply))["artifacts"], json!([{"artifactId": "a", "parts": []}]));
    reply.artifacts.clear();
    reply.status.as_mut().unwrap().state = TaskState::Failed.into();
    assert_eq!(parsed(&task(Dialect::Praison, &reply)).get("artifacts"), None);
}

#[test]
fn lists_have_all_their_fields_and_praisonais_is_an_array() {
    let list = ListTasksResponse {
        tasks: vec![Task { id: "t".into(), status: Some(status(TaskState::Rejected)), ..Task::default() }],
        page_size: 50,
        total_size: 1,
        next_page_token: String::new(),
    };
    let shown = parsed(&task_list(Dialect::V1, &list));
    assert_eq!((&shown["nextPageToken"], &shown["pageSize"], &shown["totalSize"]), (&json!(""), &json!(50), &json!(1)));
    assert_eq!(shown["tasks"][0]["status"]["state"], "TASK_STATE_REJECTED");
    assert_eq!(parsed(&task_list(Dialect::V03, &list))["tasks"][0]["kind"], "task");
    assert_eq!(parsed(&task_list(Dialect::Praison, &list))[0]["status"]["state"], "failed");
    assert_eq!(
        parsed(&task_list(Dialect::V1, &ListTasksResponse::default())),
        json!({"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0})
    );
    assert_eq!(parsed(&task_list(Dialect::Praison, &ListTasksResponse::default())), json!([]));
}

fn shown(state: TaskState, payload: Payload) -> [Option<Value>; 3] {
    let made = Event::new(TaskId::from_bytes([7; 16]), 1, 0, state, payload);
    let shown = [Dialect::V1, Dialect::V03, Dialect::Praison].map(|dialect| event(dialect, &made));
    if let Some(json) = &shown[0] {
        let read: StreamResponse = serde_json::from_slice(json).unwrap();
        assert_eq!(read.payload.as_ref(), Some(made.payload()), "1.0 JSON reads back");
    }
    shown.map(|json| json.as_ref().map(parsed))
}

#[test]
fn status_events() {
    let update = |state, message| {
        Payload::StatusUpdate(TaskStatusUpdateEvent {
            task_id: "t".into(),
            context_id: "c".into(),
            status: Some(TaskStatus { message, ..status(state) }),
            metadata: Some(structure(json!({"a": 1}))),
        })
    };
    let when = "2026-01-02T03:04:05.678Z";
    assert_eq!(
        shown(TaskState::Working, update(TaskState::Working, None)),
        [
            Some(json!({"statusUpdate": {"taskId": "t", "contextId": "c", "metadata": {"a": 1},
            "status": {"state": "TASK_STATE_WORKING", "timestamp": when}}})),
            Some(
                json!({"kind": "status-update", "taskId": "t", "contextId": "c", "final": false, "metadata": {"a": 1},
            "status": {"state": "working", "timestamp": when}})
            ),
            Some(json!({"taskId": "t", "contextId": "c", "final": false, "metadata": {"a": 1},
            "status": {"state": "working"}})),
        ]
    );
    for (state, last) in [
        (TaskState::Submitted, false),
        (TaskState::Completed, true),
        (TaskState::Failed, true),
        (TaskState::Canceled, true),
        (TaskState::Rejected, true),
        (TaskState::InputRequired, true),
        (TaskState::AuthRequired, true),
    ] {
        let [v1, v03, praison] = shown(state, update(state, Some(message(Role::Agent)))).map(Option::unwrap);
        assert_eq!(v1["statusUpdate"]["status"]["message"]["role"], "ROLE_AGENT");
        assert_eq!(
            (v1["statusUpdate"].get("final"), &v03["final"], &praison["final"]),
            (None, &json!(last), &json!(last))
        );
        assert_eq!(v03["status"]["message"]["kind"], "message");
        assert_eq!(praison["status"]["message"]["parts"], json!([{"text": "hi"}]));
    }
}

#[test]
fn artifact_events() {
    let update = |append, last_chunk, parts| {
        let artifact = Some(Artifact { artifact_id: "a".into(), parts, ..Artifact::default() });
        let ids = ("t".to_owned(), "c".to_owned());
        let (task_id, context_id) = ids;
        Payload::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id,
            context_id,
            artifact,
            append,
            last_chunk,
            metadata: None,
        })
    };
    assert_eq!(
        shown(TaskState::Working, update(true, true, Vec::new())),
        [
            Some(json!({"artifactUpdate": {"taskId": "t", "contextId": "c", "append": true, "lastChunk": true,
            "artifact": {"artifactId": "a", "parts": []}}})),
            Some(json!({"kind": "artifact-update", "taskId": "t", "contextId": "c", "append": true, "lastChunk": true,
            "artifact": {"artifactId": "a", "parts": []}})),
            Some(json!({"taskId": "t", "contextId": "c", "append": true, "lastChunk": true,
            "artifact": {"artifactId": "a", "parts": []}})),
        ]
    );
    let text = vec![part(Content::Text("x".into()))];
    let [v1, v03, praison] = shown(TaskState::Working, update(false, false, text)).map(Option::unwrap);
    assert_eq!(
        v1,
        json!({"artifactUpdate": {"taskId": "t", "contextId": "c",
            "artifact": {"artifactId": "a", "parts": [{"text": "x"}]}}})
    );
    for old in [v03, praison] {
        assert_eq!((&old["append"], &old["lastChunk"]), (&json!(false), &json!(false)));
    }
}

#[test]
fn snapshots_and_messages() {
    let snapshot = |state| {
        Payload::Task(Task { id: "t".into(), context_id: "c".into(), status: Some(status(state)), ..Task::default() })
    };
    let [v1, v03, praison] = shown(TaskState::Submitted, snapshot(TaskState::Submitted));
    assert_eq!(v1.unwrap()["task"]["status"]["state"], "TASK_STATE_SUBMITTED");
    assert_eq!(v03.unwrap()["kind"], "task");
    assert_eq!(praison, None, "a PraisonAI stream begins at working");
    let [_, _, praison] = shown(TaskState::Working, snapshot(TaskState::Working));
    assert_eq!(praison, Some(json!({"taskId": "t", "contextId": "c", "status": {"state": "working"}, "final": false})));

    let [v1, v03, praison] = shown(TaskState::Completed, Payload::Message(message(Role::Agent)));
    assert_eq!(v1.unwrap()["message"]["messageId"], "m-1");
    assert_eq!(v03.unwrap()["kind"], "message");
    let id = "07070707-0707-0707-0707-070707070707";
    assert_eq!(
        praison,
        Some(json!({"taskId": id, "contextId": "c-1", "append": false, "lastChunk": true,
            "artifact": {"artifactId": "m-1", "parts": [{"text": "hi"}]}}))
    );
    assert_eq!(shown(TaskState::Submitted, Payload::Message(message(Role::User))), [None, None, None]);
}

#[test]
fn praisonais_event_names_follow_what_is_shown() {
    let name = |payload| praisonai::event_name(&Event::new(TaskId::mint(), 1, 0, TaskState::Working, payload));
    assert_eq!(name(Payload::Task(Task::default())), "task.status");
    assert_eq!(name(Payload::StatusUpdate(TaskStatusUpdateEvent::default())), "task.status");
    assert_eq!(name(Payload::ArtifactUpdate(TaskArtifactUpdateEvent::default())), "task.artifact");
    assert_eq!(name(Payload::Message(Message::default())), "task.artifact");
}

#[test]
fn an_event_is_encoded_once_per_dialect() {
    let made = Event::new(TaskId::mint(), 1, 0, TaskState::Working, Payload::StatusUpdate(Default::default()));
    for dialect in [Dialect::V1, Dialect::V03, Dialect::Praison] {
        let (first, second) = (event(dialect, &made).unwrap(), event(dialect, &made).unwrap());
        assert_eq!(first.as_ptr(), second.as_ptr());
    }
    assert_ne!(event(Dialect::V1, &made), event(Dialect::V03, &made));
}
