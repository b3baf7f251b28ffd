use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::json;

use super::*;
use crate::{
    proto::{
        a2a::{Message, Part, Role, part::Content},
        well_known::Timestamp,
    },
    task::{Event, TaskId},
    wire::{
        decode::tests::{any_message, any_part, any_struct},
        encode, praisonai,
    },
};

const DIALECTS: [Dialect; 3] = [Dialect::V1, Dialect::V03, Dialect::Praison];

fn said(role: Role, text: &str) -> Message {
    let part = Part { content: Some(Content::Text(text.to_owned())), ..Part::default() };
    Message { message_id: "m".into(), role: role.into(), parts: vec![part], ..Message::default() }
}

fn state_of(payload: &Payload) -> TaskState {
    match payload {
        Payload::StatusUpdate(update) => update.status.as_ref().unwrap().state(),
        Payload::Task(task) => task.status.as_ref().unwrap().state(),
        other => panic!("no state: {other:?}"),
    }
}

fn faults<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_was_sent_is_answered_by_a_task_or_message_in_any_envelope() {
    let task = json!({"id": "t", "contextId": "c", "status": {"state": "working"}});
    let message = json!({"messageId": "m", "role": "agent", "parts": [{"text": "hi"}]});
    let kinded = |value: &Value, kind: &str| {
        let mut value = value.clone();
        value["kind"] = kind.into();
        value
    };
    for dialect in DIALECTS {
        for answer in
            [task.clone(), kinded(&task, "task"), json!({"task": task}), json!({"task": task, "message": null})]
        {
            let send_message_response::Payload::Task(read) = sent(answer.clone(), dialect).unwrap() else {
                panic!("not a task: {answer}")
            };
            assert_eq!((read.id.as_str(), read.context_id.as_str()), ("t", "c"));
            assert_eq!(read.status.unwrap().state(), TaskState::Working);
        }
        for answer in [
            message.clone(),
            kinded(&message, "message"),
            json!({"message": message}),
            json!({"msg": message, "task": null}),
            json!({"messageId": "m", "content": [{"text": "hi"}]}),
            json!({"message_id": "m", "parts": [{"kind": "text", "text": "hi"}], "role": "ROLE_AGENT"}),
        ] {
            let send_message_response::Payload::Message(read) = sent(answer.clone(), dialect).unwrap() else {
                panic!("not a message: {answer}")
            };
            assert_eq!(read, said(Role::Agent, "hi"), "{dialect:?} {answer}");
        }
    }
}

#[test]
fn unusable_answers_are_refused_and_named() {
    let any = "result must hold a task, a message, a status update or an artifact update";
    let event = "result must be a task or a message, not an event";
    for dialect in DIALECTS {
        for (answer, expected) in [
            (json!(null), "result must be an object, not null"),
            (json!("done"), "result must be an object, not a string"),
            (json!([{"id": "t"}]), "result must be an object, not an array"),
            (json!({}), any),
            (json!({"id": "t"}), any),
            (json!({"kind": "weather", "degrees": 3}), any),
            (json!({"task": null}), any),
            (json!({"task": "t"}), "task must be an object, not a string"),
            (json!({"task": {"status": {"state": "working"}}}), "task.id is required: the task's id"),
            (json!({"kind": "task", "id": ""}), "id is required: the task's id"),
            (json!({"kind": "task", "id": 7, "status": {}}), "id must be a string, not a number"),
            (json!({"id": "t", "status": "working"}), "status must be an object, not a string"),
            (
                json!({"id": "t", "status": {"state": {}}}),
                "status.state must be one of the names of task states, not an object",
            ),
            (json!({"id": "t", "status": {}, "artifacts": {}}), "artifacts must be an array, not an object"),
            (
                json!({"id": "t", "artifacts": [{"parts": [{"text": 1}]}]}),
                "artifacts[0].parts[0].text must be a string, not a number",
            ),
            (json!({"id": "t", "history": [null]}), "history[0] must be an object, not null"),
            (json!({"statusUpdate": {"taskId": "t", "status": {"state": "working"}}}), event),
        ] {
            assert_eq!(faults(sent(answer.clone(), dialect)), expected, "{dialect:?} {answer}");
        }
        assert_eq!(faults(task(json!({}), dialect)), "id is required: the task's id");
        assert_eq!(faults(task(json!({"kind": "message", "parts": []}), dialect)), "result must be a task");
        assert_eq!(
            faults(super::event(json!({"statusUpdate": {"taskId": "t"}}), None, dialect)),
            "status_update.status is required"
        );
        assert_eq!(
            faults(super::event(json!({"artifactUpdate": {"artifact": null, "append": 1}}), None, dialect)),
            "artifact_update.artifact is required; artifact_update.append must be true or false, not a number"
        );
    }
}

#[test]
fn trifles_are_let_pass() {
    for dialect in DIALECTS {
        let read = task(
            json!({
                "id": "t", "context_id": null, "kind": null, "extra": {"a": [1]}, "metadata": null,
                "status": {"state": "thinking-hard", "timestamp": "last tuesday", "message": {"parts": [
                    {"text": "hm"}, {}, {"kind": "video", "video": "x"}, {"data": [1, 2]}
                ]}},
                "artifacts": [{"parts": null}, {"artifact_id": "a", "parts": [{"type": "text", "text": ""}]}],
                "history": [{"role": "assistant", "parts": []}, {"role": 1, "messageId": "u"}, {"role": 0}],
            }),
            dialect,
        )
        .unwrap();
        let status = read.status.unwrap();
        assert_eq!((status.state(), status.timestamp), (TaskState::Unspecified, None));
        let message = status.message.unwrap();
        assert_eq!((message.role(), message.message_id.as_str()), (Role::Agent, ""), "nothing is minted");
        let kept: Vec<_> = message.parts.into_iter().map(|part| part.content.unwrap()).collect();
        assert_eq!(kept, [Content::Text("hm".into()), Content::Data(json!([1, 2]).into())]);
        assert_eq!((read.artifacts[0].artifact_id.as_str(), read.artifacts[0].parts.len()), ("", 0));
        assert_eq!((read.artifacts[1].artifact_id.as_str(), read.artifacts[1].parts.len()), ("a", 1));
        let roles: Vec<_> = read.history.iter().map(Message::role).collect();
        assert_eq!(roles, [Role::Agent, Role::User, Role::Agent]);
        assert_eq!((read.context_id.as_str(), read.metadata), ("", None));
    }
}

#[test]
fn states_and_times_read_in_every_spelling() {
    for dialect in DIALECTS {
        for (word, expected) in [
            (json!("TASK_STATE_CANCELLED"), TaskState::Canceled),
            (json!("cancelled"), TaskState::Canceled),
            (json!("canceled"), TaskState::Canceled),
            (json!("Input-Required"), TaskState::InputRequired),
            (json!("input_required"), TaskState::InputRequired),
            (json!("unknown"), TaskState::Unspecified),
            (json!(3), TaskState::Completed),
            (json!(99), TaskState::Unspecified),
            (json!(null), TaskState::Unspecified),
        ] {
            let read = task(json!({"id": "t", "status": {"state": word}}), dialect).unwrap();
            assert_eq!(read.status.unwrap().state(), expected, "{dialect:?} {word}");
        }
        for text in ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678901", "2026-01-02T03:04:05.678999+00:00"] {
            let read = task(json!({"id": "t", "status": {"timestamp": text}}), dialect).unwrap();
            assert_eq!(read.status.unwrap().timestamp.unwrap().millis(), 1_767_323_045_678, "{text}");
        }
    }
}

#[test]
fn a_praisonai_stream_reads_to_its_end() {
    let read = |name: &str, data: Value| event(data, Some(name), Dialect::Praison).unwrap();
    let task = "task-0a1b2c3d4e5f";
    let working = json!({"taskId": task, "status": {"state": "working"}, "final": false});
    let working = read("task.status", working).unwrap();
    assert_eq!(state_of(&working), TaskState::Working);

    let artifact = json!({"taskId": task, "artifact": {"artifactId": "art-001122334455", "parts": [{"text": "hi"}]},
        "append": false, "lastChunk": true});
    let Some(Payload::ArtifactUpdate(update)) = read("task.artifact", artifact) else { panic!("not an artifact") };
    assert_eq!((update.task_id.as_str(), update.append, update.last_chunk), (task, false, true));
    assert_eq!(update.artifact.unwrap().artifact_id, "art-001122334455");

    let failed = json!({"taskId": task, "contextId": "c", "status": {"state": "failed"}, "final": true});
    assert_eq!(state_of(&read("task.status", failed).unwrap()), TaskState::Failed);
    let whole = json!({"id": task, "status": {"state": "cancelled", "timestamp": "2026-01-02T03:04:05.678901+00:00"}});
    assert_eq!(state_of(&read("task", whole).unwrap()), TaskState::Canceled);
    assert_eq!(read("done", json!({})), None);
    assert_eq!(read("task.progress", json!({"percent": 3})), None);

    // A proxy that drops the names, and an event that is not what its name says it is.
    let unnamed = json!({"taskId": task, "status": {"state": "completed"}, "final": true});
    assert_eq!(state_of(&event(unnamed, None, Dialect::Praison).unwrap().unwrap()), TaskState::Completed);
    assert_eq!(faults(event(json!({"taskId": task}), Some("task.artifact"), Dialect::Praison)), "artifact is required");
}

#[test]
fn a_praisonai_task_of_its_own_server_is_read() {
    let read = task(
        json!({
            "id": "task-0a1b2c3d4e5f", "contextId": "ctx-1",
            "status": {"state": "completed", "timestamp": "2026-01-02T03:04:05.678901+00:00"},
            "artifacts": [{"artifactId": "art-001122334455", "parts": [
                {"text": "hi"}, {"fileWithUri": "http://f", "mediaType": "image/png", "name": "f.png"}]}],
            "history": [{"messageId": "m", "role": "user", "parts": [{"text": "Write a report"}],
                "extensions": {"a": "b"}}],
        }),
        Dialect::Praison,
    )
    .unwrap();
    assert_eq!(read.history, [said(Role::User, "Write a report")]);
    let file = &read.artifacts[0].parts[1];
    assert_eq!(file.content, Some(Content::Url("http://f".into())));
    assert_eq!((file.filename.as_str(), file.media_type.as_str()), ("f.png", "image/png"));
    assert_eq!(read.status.unwrap().timestamp, Some(Timestamp::parse("2026-01-02T03:04:05.678901Z").unwrap()));
}

#[test]
fn event_names_count_in_praisonai_only() {
    let data = json!({"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}});
    for dialect in [Dialect::V1, Dialect::V03] {
        for name in [None, Some("message"), Some("done"), Some("anything")] {
            assert_eq!(state_of(&event(data.clone(), name, dialect).unwrap().unwrap()), TaskState::Working);
        }
    }
    assert_eq!(state_of(&event(data, Some("message"), Dialect::Praison).unwrap().unwrap()), TaskState::Working);
}

#[test]
fn events_are_told_apart_by_kind_envelope_or_members() {
    let status = |payload: &Payload| matches!(payload, Payload::StatusUpdate(_));
    let artifact = |payload: &Payload| matches!(payload, Payload::ArtifactUpdate(_));
    let task = |payload: &Payload| matches!(payload, Payload::Task(_));
    let message = |payload: &Payload| matches!(payload, Payload::Message(_));
    type Is = fn(&Payload) -> bool;
    for dialect in DIALECTS {
        for (data, is) in [
            (
                json!({"kind": "status-update", "taskId": "t", "status": {"state": "working"}, "final": true}),
                status as Is,
            ),
            (json!({"taskId": "t", "contextId": "c", "status": {"state": "working"}}), status),
            (json!({"status_update": {"task_id": "t", "status": {}}}), status),
            (json!({"kind": "artifact-update", "taskId": "t", "artifact": {"parts": []}}), artifact),
            (json!({"taskId": "t", "artifact": {"artifactId": "a", "parts": []}}), artifact),
            (json!({"artifact_update": {"artifact": {"artifactId": "a"}, "last_chunk": true}}), artifact),
            (json!({"id": "t", "contextId": "c", "status": {"state": "working"}}), task),
            (json!({"id": "t", "contextId": "c"}), task),
            (json!({"kind": "message", "messageId": "m", "parts": []}), message),
            (json!({"role": "agent", "parts": [{"text": "a"}], "taskId": "t"}), message),
        ] {
            let read = event(data.clone(), None, dialect).unwrap().unwrap();
            assert!(is(&read), "{dialect:?} {data} read as {read:?}");
        }
    }
}

#[test]
fn deep_and_long_answers_are_read_or_refused() {
    let deep = (0..120).fold(json!({}), |inner, _| json!({"a": [inner]}));
    let long: Vec<_> = (0..100_000).map(|_| json!({"parts": 1})).collect();
    for dialect in DIALECTS {
        let read = task(json!({"id": "t", "status": {}, "metadata": deep}), dialect).unwrap();
        assert!(read.metadata.is_some());
        let error = task(json!({"id": "t", "artifacts": long}), dialect).unwrap_err();
        assert!(error.field_violations().len() <= 20);
    }
}

fn any_status() -> impl Strategy<Value = TaskStatus> {
    let time = proptest::option::of((0i64..4_000_000_000_000).prop_map(Timestamp::from_millis));
    (0i32..9, proptest::option::of(any_message()), time).prop_map(|(state, message, timestamp)| TaskStatus {
        state,
        message,
        timestamp,
    })
}

fn any_artifact() -> impl Strategy<Value = Artifact> {
    let texts = (".{0,6}", ".{0,6}", ".{0,6}");
    let parts = proptest::collection::vec(any_part(), 0..3);
    (texts, parts, any_struct(), proptest::collection::vec(".{0,6}", 0..2)).prop_map(
        |((artifact_id, name, description), parts, metadata, extensions)| Artifact {
            artifact_id,
            name,
            description,
            parts,
            metadata,
            extensions,
        },
    )
}

fn any_task() -> impl Strategy<Value = Task> {
    let history = proptest::collection::vec(any_message(), 0..3);
    (("[a-z]{1,6}", ".{0,6}"), any_status(), proptest::collection::vec(any_artifact(), 0..3), history, any_struct())
        .prop_map(|((id, context_id), status, artifacts, history, metadata)| Task {
            id,
            context_id,
            status: Some(status),
            artifacts,
            history,
            metadata,
        })
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let ids = || ("[a-z]{1,6}", ".{0,6}");
    prop_oneof![
        any_task().prop_map(Payload::Task),
        any_message().prop_map(|message| Payload::Message(Message { role: Role::Agent.into(), ..message })),
        (ids(), any_status(), any_struct()).prop_map(|((task_id, context_id), status, metadata)| {
            Payload::StatusUpdate(TaskStatusUpdateEvent { task_id, context_id, status: Some(status), metadata })
        }),
        (ids(), any_artifact(), any::<[bool; 2]>(), any_struct()).prop_map(
            |((task_id, context_id), artifact, [append, last_chunk], metadata)| {
                Payload::ArtifactUpdate(TaskArtifactUpdateEvent {
                    task_id,
                    context_id,
                    artifact: Some(artifact),
                    append,
                    last_chunk,
                    metadata,
                })
            }
        ),
    ]
}

/// What 0.3 has no words for: names and media types of what is no file.
fn cut_part(part: &mut Part) {
    if matches!(part.content, Some(Content::Text(_) | Content::Data(_))) {
        (part.filename, part.media_type) = (String::new(), String::new());
    }
}

fn cut_task(task: &mut Task) {
    let messages = task.status.iter_mut().filter_map(|status| status.message.as_mut()).chain(&mut task.history);
    let parts = messages.flat_map(|message| &mut message.parts);
    parts.chain(task.artifacts.iter_mut().flat_map(|artifact| &mut artifact.parts)).for_each(cut_part);
}

fn cut(payload: &mut Payload) {
    match payload {
        Payload::Task(task) => cut_task(task),
        Payload::Message(message) => message.parts.iter_mut().for_each(cut_part),
        Payload::StatusUpdate(update) => {
            let message = update.status.as_mut().and_then(|status| status.message.as_mut());
            message.into_iter().flat_map(|message| &mut message.parts).for_each(cut_part);
        }
        Payload::ArtifactUpdate(update) => {
            update.artifact.iter_mut().flat_map(|artifact| &mut artifact.parts).for_each(cut_part);
        }
    }
}

fn written(dialect: Dialect, payload: &Payload) -> (Option<Value>, &'static str) {
    let event = Event::new(TaskId::mint(), 1, 0, TaskState::Working, payload.clone());
    let json = encode::event(dialect, &event).map(|json| serde_json::from_slice(&json).unwrap());
    (json, praisonai::event_name(&event))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tasks_of_our_own_doors_are_read_back(mut made in any_task()) {
        for dialect in [Dialect::V1, Dialect::V03] {
            if dialect == Dialect::V03 {
                cut_task(&mut made);
            }
            let json: Value = serde_json::from_slice(&encode::task(dialect, &made)).unwrap();
            prop_assert_eq!(&task(json, dialect).unwrap(), &made);
            let answer = send_message_response::Payload::Task(made.clone());
            let json = serde_json::from_slice(&encode::send_response(dialect, &answer)).unwrap();
            prop_assert_eq!(&sent(json, dialect).unwrap(), &answer);
        }
        let json: Value = serde_json::from_slice(&encode::task(Dialect::Praison, &made)).unwrap();
        let read = task(json, Dialect::Praison).unwrap();
        prop_assert_eq!((&read.id, &read.context_id, &read.metadata), (&made.id, &made.context_id, &made.metadata));
        prop_assert_eq!(read.history.len(), made.history.len());
    }

    #[test]
    fn events_of_our_own_doors_are_read_back(mut made in any_payload()) {
        for dialect in [Dialect::V1, Dialect::V03] {
            if dialect == Dialect::V03 {
                cut(&mut made);
            }
            let json = written(dialect, &made).0.unwrap();
            prop_assert_eq!(event(json.clone(), None, dialect).unwrap().unwrap(), made.clone());
            if dialect == Dialect::V1 {
                prop_assert_eq!(event(json, None, Dialect::V03).unwrap().is_some(), true);
            }
        }
        let (json, name) = written(Dialect::Praison, &made);
        let Some(json) = json else { return Ok(()) };
        let read = event(json, Some(name), Dialect::Praison).unwrap().unwrap();
        match (&read, &made) {
            (Payload::StatusUpdate(read), Payload::StatusUpdate(made)) => prop_assert_eq!(&read.task_id, &made.task_id),
            (Payload::StatusUpdate(read), Payload::Task(made)) => prop_assert_eq!(&read.task_id, &made.id),
            (Payload::ArtifactUpdate(read), Payload::ArtifactUpdate(made)) => {
                prop_assert_eq!((read.append, read.last_chunk), (made.append, made.last_chunk));
                let parts = |update: &TaskArtifactUpdateEvent| update.artifact.as_ref().unwrap().parts.len();
                prop_assert_eq!(parts(read), parts(made));
            }
            (Payload::ArtifactUpdate(_), Payload::Message(_)) => {}
            _ => prop_assert!(false, "{:?} read as {:?}", made, read),
        }
    }

    #[test]
    fn no_answer_panics(made in any_struct(), name in "(task|task.status|task.artifact|done|)", key in "(task|message|kind|status|artifact|parts|id)") {
        let mut json = serde_json::to_value(made).unwrap();
        json = json!({key: json, "status": {"state": json}, "artifacts": [json], "id": "t"});
        for dialect in DIALECTS {
            let _ = sent(json.clone(), dialect);
            let _ = task(json.clone(), dialect);
            let _ = event(json.clone(), Some(&name), dialect);
        }
    }
}
