//! Tasks, messages and events in each dialect's JSON, written by hand after what the official servers send.

use a2a_gateway::proto::a2a::{Role, TaskState};
use serde_json::{Value, json};

use super::model::{Event, Said, Snapshot, is_done};

/// When everything happened.
const TIME: &str = "2026-01-02T03:04:05.678Z";
/// As Python writes it.
const TIME_ISO: &str = "2026-01-02T03:04:05.678901+00:00";

/// A dialect of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json {
    V1,
    V03,
    /// ProtoJSON of the 0.3 contract.
    V03Proto,
    Praison,
}

impl Json {
    pub fn task(self, task: &Snapshot) -> Value {
        let artifacts = task.artifacts.iter().map(|(id, texts)| self.artifact(id, texts));
        let history = task.told();
        let mut value = json!({
            "id": task.id,
            "contextId": none_if_empty(&task.context),
            "status": self.status(task.state, task.said().as_ref(), true),
            "artifacts": none_if_none(artifacts.collect()),
            "history": none_if_none(history.iter().map(|said| self.message(said)).collect()),
        });
        if self == Self::V03 {
            value["kind"] = "task".into();
        }
        without_nulls(value)
    }

    pub fn message(self, said: &Said) -> Value {
        let parts = json!([self.part(&said.text)]);
        let mut value = json!({
            "messageId": said.id,
            "taskId": none_if_empty(&said.task),
            "contextId": none_if_empty(&said.context),
            "role": self.role(said.role),
        });
        let key = if self == Self::V03Proto { "content" } else { "parts" };
        value[key] = parts;
        if self == Self::V03 {
            value["kind"] = "message".into();
        }
        without_nulls(value)
    }

    /// The result of a send: in 1.0 and in the 0.3 contract it tells by a key what it is.
    pub fn sent(self, key: &str, value: Value) -> Value {
        match self {
            Self::V1 | Self::V03Proto => json!({ key: value }),
            Self::V03 | Self::Praison => value,
        }
    }

    /// An event of a stream. PraisonAI's: see [`Json::praison_events`].
    pub fn event(self, event: &Event) -> Value {
        match event {
            Event::Task(task) => self.sent("task", self.task(task)),
            Event::Message(said) => self.sent("message", self.message(said)),
            Event::Status { task, context, state, said } => {
                let mut value = json!({
                    "taskId": task,
                    "contextId": none_if_empty(context),
                    // PraisonAI's have no time.
                    "status": self.status(*state, said.as_ref(), self != Self::Praison),
                });
                match self {
                    Self::V1 => {}
                    // ProtoJSON leaves false out.
                    Self::V03Proto if !is_done(*state) => {}
                    _ => value["final"] = is_done(*state).into(),
                }
                self.kind("statusUpdate", "status-update", value)
            }
            Event::Artifact { task, context, id, text, append, last } => {
                let mut value = json!({
                    "taskId": task,
                    "contextId": none_if_empty(context),
                    "artifact": self.artifact(id, std::slice::from_ref(text)),
                });
                for (key, set) in [("append", *append), ("lastChunk", *last)] {
                    if set || matches!(self, Self::V03 | Self::Praison) {
                        value[key] = set.into();
                    }
                }
                self.kind("artifactUpdate", "artifact-update", value)
            }
        }
    }

    /// The named events in which PraisonAI's server says it: it has none for a whole task, and none for a message.
    pub fn praison_events(event: &Event) -> Vec<(&'static str, Value)> {
        match event {
            Event::Status { .. } => vec![("task.status", Self::Praison.event(event))],
            Event::Artifact { .. } => vec![("task.artifact", Self::Praison.event(event))],
            Event::Message(said) => {
                let task = Snapshot::new(&said.task, &said.context, TaskState::Completed);
                Self::praison_events(&Event::Task(task.artifact("art-reply", &[&said.text])))
            }
            Event::Task(snapshot) => {
                let (task, context) = (snapshot.id.clone(), snapshot.context.clone());
                let artifacts = snapshot.artifacts.iter().map(|(id, texts)| Event::Artifact {
                    task: task.clone(),
                    context: context.clone(),
                    id: id.clone(),
                    text: texts.concat(),
                    append: false,
                    last: true,
                });
                let mut events: Vec<_> = artifacts.flat_map(|event| Self::praison_events(&event)).collect();
                let (task, context) = (task.clone(), context.clone());
                let status = Event::Status { task, context, state: snapshot.state, said: snapshot.said() };
                let last = if snapshot.is_done() { events.len() } else { 0 };
                events.splice(last..last, Self::praison_events(&status));
                events
            }
        }
    }

    fn kind(self, key: &str, kind: &str, mut value: Value) -> Value {
        if self == Self::V03 {
            value["kind"] = kind.into();
        }
        self.sent(key, without_nulls(value))
    }

    fn status(self, state: TaskState, said: Option<&Said>, timed: bool) -> Value {
        let time = match self {
            Self::V1 | Self::V03Proto => TIME,
            Self::V03 | Self::Praison => TIME_ISO,
        };
        without_nulls(json!({
            "state": self.state(state),
            "message": said.map(|said| self.message(said)),
            "timestamp": timed.then_some(time),
        }))
    }

    fn artifact(self, id: &str, texts: &[String]) -> Value {
        json!({"artifactId": id, "parts": texts.iter().map(|text| self.part(text)).collect::<Vec<_>>()})
    }

    fn part(self, text: &str) -> Value {
        if self == Self::V03 { json!({"kind": "text", "text": text}) } else { json!({"text": text}) }
    }

    fn role(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::V1 | Self::V03Proto, Role::User) => "ROLE_USER",
            (Self::V1 | Self::V03Proto, _) => "ROLE_AGENT",
            (_, Role::User) => "user",
            _ => "agent",
        }
    }

    pub fn state(self, state: TaskState) -> &'static str {
        match (self, state) {
            (Self::V03Proto, TaskState::Canceled) => "TASK_STATE_CANCELLED",
            (Self::V1 | Self::V03Proto, state) => state.as_str_name(),
            (Self::Praison, TaskState::Canceled) => "cancelled",
            (Self::Praison, TaskState::InputRequired) => "input_required",
            (Self::Praison, TaskState::AuthRequired) => "auth_required",
            (Self::Praison, TaskState::Rejected | TaskState::Failed) => "failed",
            (_, TaskState::Unspecified) => "unknown",
            (_, TaskState::Submitted) => "submitted",
            (_, TaskState::Working) => "working",
            (_, TaskState::Completed) => "completed",
            (_, TaskState::Failed) => "failed",
            (_, TaskState::Canceled) => "canceled",
            (_, TaskState::InputRequired) => "input-required",
            (_, TaskState::Rejected) => "rejected",
            (_, TaskState::AuthRequired) => "auth-required",
        }
    }
}

fn none_if_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn none_if_none(list: Vec<Value>) -> Option<Vec<Value>> {
    Some(list).filter(|list| !list.is_empty())
}

/// Without the members that are null: the servers leave them out.
fn without_nulls(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
