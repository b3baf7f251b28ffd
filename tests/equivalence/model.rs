//! The one model: A2A 1.0's types, and how each door's JSON and contract are read as such, by rules of this file's own.

use a2a_gateway::proto::{
    a2a::{Message, Part, Role, StreamResponse, Task, TaskState, part::Content, stream_response::Payload},
    a2a_v03 as v03,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::door::{Dialect, Door, json::word};

/// The forms in which a task is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A2A 1.0, in JSON.
    V1,
    /// 0.3's JSON-RPC.
    Rpc03,
    /// 0.3's contract: REST, and gRPC as ProtoJSON.
    Contract03,
    /// PraisonAI's.
    Praison,
}

impl Form {
    /// Of what a client of the door sees whose lookups come in the dialect.
    pub fn of(door: Door, lookups: Option<Dialect>) -> Self {
        match (door, lookups) {
            (Door::Rest03 | Door::Grpc03, _) => Self::Contract03,
            (_, None | Some(Dialect::V1)) => Self::V1,
            (_, Some(Dialect::V03)) => Self::Rpc03,
            (_, Some(Dialect::Praison)) => Self::Praison,
        }
    }

    fn is_v03(self) -> bool {
        matches!(self, Self::Rpc03 | Self::Contract03)
    }
}

/// What the form can tell of a task.
///
/// 0.3 has names and media types for files only. PraisonAI's dialect has another type for `extensions`, and no word for
/// a rejected task, which reads as failed there.
pub fn reduced(form: Form, mut task: Task) -> Task {
    let status = task.status.as_mut().unwrap();
    if form == Form::Praison && status.state() == TaskState::Rejected {
        status.set_state(TaskState::Failed);
    }
    status.message.iter_mut().chain(&mut task.history).for_each(|message| reduce_message(form, message));
    for artifact in &mut task.artifacts {
        reduce(form, &mut artifact.parts, &mut artifact.extensions);
    }
    task
}

/// What the form can tell of a message.
pub fn reduce_message(form: Form, message: &mut Message) {
    reduce(form, &mut message.parts, &mut message.extensions);
}

pub fn reduce(form: Form, parts: &mut [Part], extensions: &mut Vec<String>) {
    if form == Form::Praison {
        extensions.clear();
    }
    let named = |part: &&mut Part| !matches!(part.content, Some(Content::Raw(_) | Content::Url(_)));
    for part in parts.iter_mut().filter(|_| form.is_v03()).filter(named) {
        part.filename.clear();
        part.media_type.clear();
    }
}

/// Reads a task.
pub fn task(form: Form, json: &Value) -> Task {
    serde_json::from_value(task_json(form, json)).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// 0.3's task from gRPC.
pub fn of_contract(task: &v03::Task) -> Task {
    self::task(Form::Contract03, &serde_json::to_value(task).unwrap())
}

/// Reads an event of a stream; none: PraisonAI's last one, which tells nothing.
pub fn event(form: Form, name: Option<&str>, json: &Value) -> Option<Payload> {
    let named = match form {
        Form::V1 | Form::Contract03 => {
            let (name, value) = json.as_object().unwrap().iter().next().unwrap();
            (name.as_str(), value)
        }
        Form::Rpc03 => match json["kind"].as_str().unwrap() {
            "status-update" => ("statusUpdate", json),
            "artifact-update" => ("artifactUpdate", json),
            kind => (kind, json),
        },
        Form::Praison => match name.unwrap() {
            "task.status" => ("statusUpdate", json),
            "task.artifact" => ("artifactUpdate", json),
            "done" => return None,
            other => panic!("the event {other}"),
        },
    };
    let value = match named {
        ("task", value) => task_json(form, value),
        ("message", value) => message(form, value),
        ("statusUpdate", value) => members(value, |name, value| match name {
            "kind" | "final" => None,
            "status" => Some(status(form, value)),
            _ => Some(value.clone()),
        }),
        ("artifactUpdate", value) => members(value, |name, value| match name {
            "kind" => None,
            "artifact" => Some(artifact(form, value)),
            _ => Some(value.clone()),
        }),
        (other, _) => panic!("the event {other}"),
    };
    let event: StreamResponse = serde_json::from_value(json!({named.0: value})).unwrap();
    event.payload
}

/// 0.3's event from gRPC.
pub fn event_of_contract(event: &impl Serialize) -> Payload {
    self::event(Form::Contract03, None, &serde_json::to_value(event).unwrap()).unwrap()
}

/// An object with its members shown in another way, or left out.
fn members(value: &Value, show: impl Fn(&str, &Value) -> Option<Value>) -> Value {
    let members = value.as_object().unwrap_or_else(|| panic!("not an object: {value}")).iter();
    members.filter_map(|(name, value)| Some((name.clone(), show(name, value)?))).collect::<Map<_, _>>().into()
}

fn each(list: &Value, show: impl Fn(&Value) -> Value) -> Option<Value> {
    Some(list.as_array().unwrap().iter().map(show).collect())
}

/// The object is said to be of the kind where 0.3 says so, and nowhere else.
fn is_kind(form: Form, value: &Value, kind: &str) {
    assert_eq!(value.get("kind").and_then(Value::as_str), (form == Form::Rpc03).then_some(kind), "{value}");
}

fn task_json(form: Form, value: &Value) -> Value {
    is_kind(form, value, "task");
    members(value, |name, value| match name {
        "kind" => None,
        "status" => Some(status(form, value)),
        "artifacts" => each(value, |value| artifact(form, value)),
        "history" => each(value, |value| message(form, value)),
        _ => Some(value.clone()),
    })
}

fn status(form: Form, value: &Value) -> Value {
    members(value, |name, value| match name {
        "state" => Some(state(form, value.as_str().unwrap()).as_str_name().into()),
        "message" => Some(message(form, value)),
        "timestamp" => {
            let time = value.as_str().unwrap();
            let digits = time.len() == "2026-01-02T03:04:05.678Z".len() && time.ends_with('Z');
            assert!(digits && time.as_bytes()[19] == b'.', "not in UTC with milliseconds: {time}");
            Some(value.clone())
        }
        _ => Some(value.clone()),
    })
}

fn state(form: Form, text: &str) -> TaskState {
    let spelled = |state: &TaskState| match form {
        Form::V1 => state.as_str_name() == text,
        Form::Contract03 => state.as_str_name().replace("CANCELED", "CANCELLED") == text,
        Form::Rpc03 => word(Dialect::V03, *state) == text,
        Form::Praison => word(Dialect::Praison, *state) == text,
    };
    let mut states = (1..=8).map(|number| TaskState::try_from(number).unwrap());
    states.find(spelled).unwrap_or_else(|| panic!("{form:?} has no state {text}"))
}

fn message(form: Form, value: &Value) -> Value {
    is_kind(form, value, "message");
    let mut shown = members(value, |name, value| match (name, form) {
        ("kind" | "content", _) => None,
        ("role", Form::Rpc03 | Form::Praison) => {
            let roles = [("user", Role::User), ("agent", Role::Agent)];
            let role = roles.into_iter().find(|(word, _)| value == word).expect("a role");
            Some(role.1.as_str_name().into())
        }
        ("parts", _) => each(value, |value| part(form, value)),
        _ => Some(value.clone()),
    });
    assert_eq!(value.get("content").is_some(), form == Form::Contract03, "{value}");
    if let Some(content) = value.get("content") {
        shown["parts"] = each(content, |value| part(form, value)).unwrap();
    }
    shown
}

fn artifact(form: Form, value: &Value) -> Value {
    members(value, |name, value| match name {
        "parts" => each(value, |value| part(form, value)),
        _ => Some(value.clone()),
    })
}

fn part(form: Form, value: &Value) -> Value {
    let mut shown = Map::new();
    for (name, value) in value.as_object().unwrap() {
        match (form, name.as_str()) {
            (Form::V1, _) | (_, "text" | "metadata") | (Form::Praison, "mediaType") => {
                shown.insert(name.clone(), value.clone());
            }
            (Form::Contract03, "data") => drop(shown.insert("data".into(), value["data"].clone())),
            (_, "data") => drop(shown.insert("data".into(), value.clone())),
            (Form::Rpc03, "kind") => {}
            (Form::Praison, "name") => drop(shown.insert("filename".into(), value.clone())),
            (Form::Praison, "fileWithBytes") => drop(shown.insert("raw".into(), value.clone())),
            (Form::Praison, "fileWithUri") => drop(shown.insert("url".into(), value.clone())),
            (Form::Rpc03 | Form::Contract03, "file") => file(form, value, &mut shown),
            (_, other) => panic!("{form:?} has no {other} in a part"),
        }
    }
    // The older dialects have objects only: all else is wrapped, with a mark.
    let marked = shown.get("metadata").is_some_and(|metadata| metadata["data_part_compat"] == true);
    if form != Form::V1 && marked {
        shown["data"] = shown["data"]["value"].take();
        let metadata = shown["metadata"].as_object_mut().unwrap();
        metadata.remove("data_part_compat");
        if metadata.is_empty() {
            shown.remove("metadata");
        }
    }
    shown.into()
}

fn file(form: Form, value: &Value, shown: &mut Map<String, Value>) {
    for (name, value) in value.as_object().unwrap() {
        let (name, value) = match (form, name.as_str()) {
            (Form::Rpc03, "bytes") => ("raw", value.clone()),
            // Base64 twice, as two of the three SDKs have it.
            (Form::Contract03, "fileWithBytes") => {
                ("raw", String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap().into())
            }
            (Form::Rpc03, "uri") | (Form::Contract03, "fileWithUri") => ("url", value.clone()),
            (_, "mimeType") => ("mediaType", value.clone()),
            (_, "name") => ("filename", value.clone()),
            (_, other) => panic!("{form:?} has no {other} in a file"),
        };
        shown.insert(name.to_owned(), value);
    }
}

/// The task without what differs each time: ids that the gateway mints, and times.
pub fn canonical(mut task: Task) -> Task {
    let (id, context) = (task.id.clone(), task.context_id.clone());
    let status = task.status.as_mut().unwrap();
    let time = status.timestamp.take().expect("a time");
    assert_eq!(time.nanos % 1_000_000, 0, "not whole milliseconds");
    for message in status.message.iter_mut().chain(&mut task.history) {
        assert!([id.as_str(), ""].contains(&message.task_id.as_str()), "{message:?}");
        assert!([context.as_str(), ""].contains(&message.context_id.as_str()), "{message:?}");
        message.task_id = message.task_id.replace(&id, "T");
        message.context_id = message.context_id.replace(&context, "C");
        if message.role() == Role::Agent {
            message.message_id = "M".into();
        }
    }
    for artifact in &mut task.artifacts {
        artifact.artifact_id = "A".into();
    }
    Task { id: "T".into(), context_id: "C".into(), ..task }
}
