//! The JSON of 0.3's REST binding: ProtoJSON of the contract, where a message's parts are called `content`.
//!
//! Agents are read as they come: unknown members are ignored, parts may be called `parts`, and states and roles be
//! spelled as in any dialect. What is written holds the contract's members and no others, since the 0.3 SDKs refuse
//! them.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{FileBytes, decode, encode};
use crate::{
    proto::{
        a2a::{SendMessageRequest, Task, send_message_response, stream_response},
        a2a_v03 as v03,
    },
    wire::words,
};

/// Reads a task.
///
/// # Errors
/// What is wrong, with the member's name.
pub fn read_task(mut json: Value) -> Result<Task, String> {
    tidy_task(&mut json);
    read::<v03::Task>(json).map(decode::task)
}

/// Reads the answer to a sent message.
///
/// # Errors
/// As [`read_task`]; also when it holds neither a task nor a message.
pub fn read_sent(mut json: Value) -> Result<send_message_response::Payload, String> {
    tidy_payload(&mut json);
    decode::sent(read(json)?).ok_or_else(|| "it holds neither a task nor a message".to_owned())
}

/// Reads an item of a stream; none of a kind that is not known here.
///
/// # Errors
/// As [`read_task`].
pub fn read_event(mut json: Value) -> Result<Option<stream_response::Payload>, String> {
    tidy_payload(&mut json);
    Ok(decode::event(read(json)?))
}

/// Writes a message to send.
pub fn write_send(request: SendMessageRequest, bytes: FileBytes) -> Value {
    let mut json = write(&encode::send(request, bytes));
    // ProtoJSON leaves false out, which peers read in different ways.
    if let Some(configuration) = json.get_mut("configuration").and_then(Value::as_object_mut) {
        configuration.entry("blocking").or_insert(Value::Bool(false));
    }
    json
}

fn read<T: DeserializeOwned>(json: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(json).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

#[expect(clippy::expect_used, reason = "the generated types have text keys and serialize to any JSON value")]
pub(super) fn write(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("serializable to JSON")
}

/// An object with one of `task`, `message`, `statusUpdate` and `artifactUpdate`. An update of an artifact needs nothing:
/// artifacts' parts are called `parts`.
fn tidy_payload(json: &mut Value) {
    let Some(members) = json.as_object_mut() else { return };
    each(members, &["task", "statusUpdate", "status_update"], tidy_task);
    each(members, &["message", "msg"], tidy_message);
}

/// A task, or an update of its status.
fn tidy_task(json: &mut Value) {
    let Some(members) = set(json) else { return };
    each(members, &["status"], |status| {
        let Some(members) = set(status) else { return };
        each(members, &["state"], |state| {
            respell(state, |word| {
                let state = words::read_state(word)?;
                v03::TaskState::try_from(i32::from(state)).ok().map(|state| state.as_str_name())
            });
        });
        each(members, &["message", "update"], tidy_message);
    });
    if let Some(history) = members.get_mut("history").and_then(Value::as_array_mut) {
        history.iter_mut().for_each(tidy_message);
    }
}

fn tidy_message(json: &mut Value) {
    let Some(members) = set(json) else { return };
    if !members.contains_key("content")
        && let Some(parts) = members.remove("parts")
    {
        members.insert("content".to_owned(), parts);
    }
    each(members, &["role"], |role| respell(role, |word| words::read_role(word).map(|role| role.as_str_name())));
}

/// The members of an object that are set: null is what some serializers print for one that is not.
fn set(json: &mut Value) -> Option<&mut Map<String, Value>> {
    let members = json.as_object_mut()?;
    members.retain(|_, value| !value.is_null());
    Some(members)
}

fn each(members: &mut Map<String, Value>, names: &[&str], tidy: impl Fn(&mut Value)) {
    for name in names {
        if let Some(value) = members.get_mut(*name) {
            tidy(value);
        }
    }
}

/// Replaces a word by the contract's; one that is not known stays as it is, and is refused with its name.
fn respell(value: &mut Value, word: impl Fn(&str) -> Option<&'static str>) {
    if let Some(right) = value.as_str().and_then(word) {
        *value = right.into();
    }
}
