//! What a delivery tells, whichever dialect its body is in. Only for showing: a field that is missing is left out.

use serde_json::Value;

/// What a delivery tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The dialect of the body.
    pub(super) form: &'static str,
    /// What kind of event it is.
    pub(super) kind: &'static str,
    /// The task's state as people write it; empty: it is not told.
    pub(super) state: String,
    /// What was said or made; empty: nothing.
    pub(super) text: String,
    /// The task's id.
    pub(super) task: String,
}

/// Reads a body. None: it is of no known form.
pub(super) fn read(body: &Value) -> Option<Told> {
    let v1 = |kind, value: &Value, status: &Value, text: String, task: &str| Told {
        form: "A2A 1.0",
        kind,
        state: state(&status["state"]),
        text,
        task: word(&value[task]),
    };
    let none = &Value::Null;
    if let Some(update) = body.get("statusUpdate") {
        let status = &update["status"];
        return Some(v1("status", update, status, message(&status["message"]), "taskId"));
    }
    if let Some(update) = body.get("artifactUpdate") {
        return Some(v1("artifact", update, none, message(&update["artifact"]), "taskId"));
    }
    if let Some(task) = body.get("task") {
        return Some(v1("task", task, &task["status"], task_text(task), "id"));
    }
    if let Some(said) = body.get("message").filter(|said| said.is_object()) {
        return Some(v1("message", said, none, message(said), "taskId"));
    }
    if body["kind"] == "task" {
        let (state, text) = (state(&body["status"]["state"]), task_text(body));
        return Some(Told { form: "A2A 0.3", kind: "task", state, text, task: word(&body["id"]) });
    }
    if body["taskId"].is_string() && body.get("status").is_some() {
        let status = &body["status"];
        // A state, or an object that has one.
        let state = state(if status.is_object() { &status["state"] } else { status });
        let text = message(&status["message"]);
        return Some(Told { form: "PraisonAI", kind: "status", state, text, task: word(&body["taskId"]) });
    }
    None
}

/// What a task says last: its status's words, or what it made, or what it was asked.
fn task_text(task: &Value) -> String {
    let items = |name: &str| task[name].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let made = items("artifacts").map(message).collect::<Vec<_>>().join(" ");
    let asked = items("history").next_back().map(message).unwrap_or_default();
    let words = [message(&task["status"]["message"]), made, asked];
    words.into_iter().find(|words| !words.is_empty()).unwrap_or_default()
}

/// The parts of a message or an artifact, in one text. What is no text is named in brackets.
fn message(value: &Value) -> String {
    let parts = value["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let part = |part: &Value| match part {
        part if part["text"].is_string() => word(&part["text"]),
        part if part.get("data").is_some() => "[data]".to_owned(),
        part => {
            let name = [&part["filename"], &part["file"]["name"]].into_iter().find_map(Value::as_str);
            name.map_or_else(|| "[file]".to_owned(), |name| format!("[file {name}]"))
        }
    };
    parts.iter().map(part).collect::<Vec<_>>().concat()
}

/// `TASK_STATE_INPUT_REQUIRED`, `input-required`: as people write them.
fn state(value: &Value) -> String {
    let word = word(value);
    word.strip_prefix("TASK_STATE_").unwrap_or(&word).to_ascii_lowercase().replace('_', "-")
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
