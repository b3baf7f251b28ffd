//! What a webhook is sent of an event, in the form it was registered with (WIRE 6.3).
//!
//! Equal events give equal bytes: every attempt of a delivery, in any process, has the same body.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    view::{In, Status, option},
    write,
};
use crate::{
    proto::a2a::{Role, Task, TaskStatus, stream_response::Payload},
    task::{Dialect, Event, Form, completed_with},
};

/// The body of a delivery. None: 0.3 is told of tasks as a whole, and `task`, the task as of the event, is not there.
///
/// 1.0: the event as a `StreamResponse`, the caller's own messages too. 0.3: the bare task. PraisonAI: the task's id
/// and status.
pub fn payload(dialect: Dialect, event: &Event, task: Option<&Task>) -> Option<Bytes> {
    match dialect {
        Dialect::V1 => Some(event.form(Form::V1Json, |event| write(&In(dialect, event)))),
        Dialect::V03 => task.map(|task| super::task(dialect, task)),
        Dialect::Praison => Some(write(&Notice { event, status: status_after(event) })),
    }
}

/// PraisonAI's body.
struct Notice<'a> {
    event: &'a Event,
    status: TaskStatus,
}

impl Serialize for Notice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let timestamp = self.status.timestamp.unwrap_or_else(|| self.event.timestamp());
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("taskId", &self.event.task_id.to_string())?;
        let status = Status { dialect: Dialect::Praison, status: Some(&self.status), timed: true };
        map.serialize_entry("status", &status)?;
        option(&mut map, "timestamp", Some(&timestamp))?;
        map.end()
    }
}

/// The task's status after an event, as far as the event itself tells. An artifact and a caller's message change none:
/// then it is the state alone, at the event's time.
fn status_after(event: &Event) -> TaskStatus {
    let told = match event.payload() {
        Payload::Task(task) => task.status.clone(),
        Payload::StatusUpdate(update) => update.status.clone(),
        Payload::Message(message) if message.role() == Role::Agent => {
            Some(completed_with(message.clone(), event.timestamp()))
        }
        Payload::Message(_) | Payload::ArtifactUpdate(_) => None,
    };
    told.unwrap_or_else(|| TaskStatus { state: event.state.into(), message: None, timestamp: Some(event.timestamp()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        proto::{
            a2a::{Artifact, Message, Part, TaskArtifactUpdateEvent, TaskState, TaskStatusUpdateEvent, part::Content},
            well_known::{Struct, Timestamp},
        },
        task::TaskId,
    };

    const TIME: i64 = 1_767_323_045_678;
    const ISO: &str = "2026-01-02T03:04:05.678Z";

    fn parsed(body: Option<Bytes>) -> Value {
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    fn message(role: Role, text: &str) -> Message {
        let part = Part { content: Some(Content::Text(text.into())), ..Part::default() };
        Message { message_id: "m-1".into(), role: role.into(), parts: vec![part], ..Message::default() }
    }

    fn status(state: TaskState) -> TaskStatus {
        TaskStatus { state: state.into(), message: None, timestamp: Some(Timestamp::from_millis(TIME - 1000)) }
    }

    fn event(state: TaskState, payload: Payload) -> Event {
        Event::new(TaskId::mint(), 3, TIME, state, payload)
    }

    fn update(state: TaskState) -> Payload {
        let status = Some(status(state));
        Payload::StatusUpdate(TaskStatusUpdateEvent { task_id: "t-1".into(), status, ..Default::default() })
    }

    fn artifact(metadata: Option<Struct>) -> Payload {
        let artifact = Some(Artifact { artifact_id: "a-1".into(), metadata, ..Artifact::default() });
        Payload::ArtifactUpdate(TaskArtifactUpdateEvent { task_id: "t-1".into(), artifact, ..Default::default() })
    }

    #[test]
    fn a_1_0_webhook_is_sent_what_streams_carry_and_users_messages() {
        let snapshot = Task { id: "t-1".into(), status: Some(status(TaskState::Submitted)), ..Task::default() };
        for (payload, key) in [
            (Payload::Task(snapshot), "task"),
            (update(TaskState::Working), "statusUpdate"),
            (artifact(None), "artifactUpdate"),
            (Payload::Message(message(Role::Agent, "hi")), "message"),
            (Payload::Message(message(Role::User, "hi")), "message"),
        ] {
            let body = parsed(super::payload(Dialect::V1, &event(TaskState::Working, payload), None));
            assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), [key]);
        }
    }

    #[test]
    fn a_0_3_webhook_is_sent_the_bare_task() {
        let task = Task { id: "t-1".into(), status: Some(status(TaskState::InputRequired)), ..Task::default() };
        let event = event(TaskState::InputRequired, update(TaskState::InputRequired));
        assert_eq!(
            parsed(payload(Dialect::V03, &event, Some(&task))),
            json!({"kind": "task", "id": "t-1", "contextId": "",
                "status": {"state": "input-required", "timestamp": "2026-01-02T03:04:04.678Z"}})
        );
        assert_eq!(payload(Dialect::V03, &event, None), None);
    }

    #[test]
    fn a_praisonai_webhook_is_sent_id_status_and_time() {
        let id = |event: &Event| event.task_id.to_string();
        let before = "2026-01-02T03:04:04.678Z";
        let canceled = event(TaskState::Canceled, update(TaskState::Canceled));
        assert_eq!(
            parsed(payload(Dialect::Praison, &canceled, None)),
            json!({"taskId": id(&canceled), "status": {"state": "cancelled", "timestamp": before}, "timestamp": before})
        );
        let answered = event(TaskState::Completed, Payload::Message(message(Role::Agent, "hi")));
        let said = json!({"messageId": "m-1", "role": "agent", "parts": [{"text": "hi"}]});
        assert_eq!(
            parsed(payload(Dialect::Praison, &answered, None)),
            json!({"taskId": id(&answered), "timestamp": ISO,
                "status": {"state": "completed", "message": said, "timestamp": ISO}})
        );
        for payload in [artifact(None), Payload::Message(message(Role::User, "more"))] {
            let event = event(TaskState::Working, payload);
            assert_eq!(
                parsed(super::payload(Dialect::Praison, &event, None)),
                json!({"taskId": id(&event), "status": {"state": "working", "timestamp": ISO}, "timestamp": ISO})
            );
        }
    }

    fn payloads() -> impl Strategy<Value = Payload> {
        let members = prop::collection::hash_map("[a-zä\u{0}-\u{1f}\"]{0,6}", any::<f64>(), 0..8);
        let metadata = members.prop_map(|members| {
            let members = members.into_iter().filter(|(_, n)| n.is_finite()).map(|(k, n)| (k, json!(n)));
            Some(members.collect::<serde_json::Map<_, _>>().into())
        });
        (metadata, "\\PC{0,20}", 0..4).prop_map(|(metadata, text, kind)| match kind {
            0 => Payload::Message(Message { metadata, ..message(Role::Agent, &text) }),
            1 => Payload::Message(Message { metadata, ..message(Role::User, &text) }),
            2 => artifact(metadata),
            _ => {
                let task =
                    Task { id: "t-1".into(), metadata, history: vec![message(Role::User, &text)], ..Task::default() };
                Payload::Task(Task { status: Some(status(TaskState::Working)), ..task })
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_read_from_the_store_has_the_same_bytes_each_time(payload in payloads()) {
            let first = event(TaskState::Working, payload);
            let again = || {
                let stored = Bytes::copy_from_slice(first.bytes());
                Event::from_stored(first.task_id, first.sequence, first.time, first.state, stored).unwrap()
            };
            for dialect in [Dialect::V1, Dialect::V03, Dialect::Praison] {
                let body = |event: &Event| {
                    let mut task = Task::default();
                    crate::task::apply(&mut task, event);
                    super::payload(dialect, event, Some(&task)).unwrap()
                };
                prop_assert_eq!(body(&first), body(&again()));
                prop_assert_eq!(body(&again()), body(&again()));
            }
        }
    }
}
