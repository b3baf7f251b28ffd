//! Tasks: sent, read, canceled, each with all that a task can hold.

use a2a_gateway::{
    agent::{Recovery, Update},
    proto::{
        a2a::{
            self, Artifact, Message, Part, Role, SendMessageConfiguration, SendMessageRequest, Task, TaskState,
            part::Content, send_message_response,
        },
        a2a_v03 as v03, gateway,
        well_known::Struct,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    door::{rest::segment, *},
    model::{self, Form, canonical, reduced},
    support::{scripted, status},
};

fn free(json: Value) -> Option<Struct> {
    let Value::Object(members) = json else { panic!("not an object") };
    Some(members.into())
}

/// A part of each kind, with all that it can have.
pub fn parts(text: &str) -> Vec<Part> {
    let part = |content| Part { content: Some(content), ..Part::default() };
    vec![
        Part { metadata: free(json!({"a": 1, "b": [null, 2.5]})), ..part(Content::Text(text.into())) },
        Part { media_type: "text/markdown".into(), ..part(Content::Text("*é*\u{1f600}\n".into())) },
        part(Content::Data(json!({"n": 1, "deep": {"l": [true, null, "x"]}}).into())),
        Part { metadata: free(json!({"a": 1})), ..part(Content::Data(json!([1, "two"]).into())) },
        Part {
            filename: "f.bin".into(),
            media_type: "application/x-made-up".into(),
            ..part(Content::Raw(b"\x00\xff raw"[..].into()))
        },
        Part { media_type: "image/png".into(), ..part(Content::Url("https://files.test/a?b=c&d".into())) },
    ]
}

/// A message with all that a message can have.
pub fn rich(text: &str, role: Role) -> Message {
    Message {
        message_id: "m-1".into(),
        role: role.into(),
        parts: parts(text),
        metadata: free(json!({"k": {"v": [1]}})),
        extensions: vec!["https://ext.test/one".into()],
        reference_task_ids: vec!["earlier".into()],
        ..Message::default()
    }
}

/// The rich message as clients of the form write it, by hand.
fn written(form: Form, text: &str) -> Value {
    let raw = STANDARD.encode(b"\x00\xff raw");
    let (object, list) = (json!({"n": 1, "deep": {"l": [true, null, "x"]}}), json!([1, "two"]));
    let (one, marked) = (json!({"a": 1, "b": [null, 2.5]}), json!({"a": 1, "data_part_compat": true}));
    let (url, markdown) = ("https://files.test/a?b=c&d", "*é*\u{1f600}\n");
    let wrapped = json!({"value": list});
    let (bin, png) = ("application/x-made-up", "image/png");
    let parts = match form {
        Form::V1 => return serde_json::to_value(rich(text, Role::User)).unwrap(),
        Form::Rpc03 => json!([
            {"kind": "text", "text": text, "metadata": one},
            {"kind": "text", "text": markdown},
            {"kind": "data", "data": object},
            {"kind": "data", "data": wrapped, "metadata": marked},
            {"kind": "file", "file": {"bytes": raw, "name": "f.bin", "mimeType": bin}},
            {"kind": "file", "file": {"uri": url, "mimeType": png}},
        ]),
        Form::Contract03 => json!([
            {"text": text, "metadata": one},
            {"text": markdown},
            {"data": {"data": object}},
            {"data": {"data": wrapped}, "metadata": marked},
            {"file": {"fileWithBytes": STANDARD.encode(raw), "name": "f.bin", "mimeType": bin}},
            {"file": {"fileWithUri": url, "mimeType": png}},
        ]),
        Form::Praison => json!([
            {"text": text, "metadata": one},
            {"text": markdown, "mediaType": "text/markdown"},
            {"data": object},
            {"data": wrapped, "metadata": marked},
            {"fileWithBytes": raw, "name": "f.bin", "mediaType": bin},
            {"fileWithUri": url, "mediaType": png},
        ]),
    };
    let mut message =
        json!({"messageId": "m-1", "role": "user", "metadata": {"k": {"v": [1]}}, "referenceTaskIds": ["earlier"]});
    match form {
        Form::Contract03 => {
            message["role"] = "ROLE_USER".into();
            message["content"] = parts;
        }
        _ => message["parts"] = parts,
    }
    if form == Form::Rpc03 {
        message["kind"] = "message".into();
    }
    if form != Form::Praison {
        message["extensions"] = json!(["https://ext.test/one"]);
    }
    message
}

/// The form of what clients of the door send.
fn own_form(door: Door) -> Form {
    Form::of(door, door.dialect())
}

/// Sends the rich message through the client's door.
async fn send(client: &Client, text: &str, at_once: bool) -> Task {
    let form = own_form(client.door);
    let message = written(form, text);
    let configuration = match form {
        Form::V1 | Form::Praison => json!({"returnImmediately": at_once}),
        Form::Rpc03 | Form::Contract03 => json!({"blocking": !at_once}),
    };
    let params = json!({"message": message, "configuration": configuration});
    match client.door {
        Door::Gateway => {
            let request = gateway::SubmitTaskRequest {
                message: Some(rich(text, Role::User)),
                ..grpc::submit(&Send { at_once, ..say(text) })
            };
            client.gateway().submit_task(request).await.unwrap().into_inner().task.unwrap()
        }
        Door::A2aGrpc => {
            let configuration = SendMessageConfiguration { return_immediately: at_once, ..Default::default() };
            let request = SendMessageRequest {
                message: Some(rich(text, Role::User)),
                configuration: Some(configuration),
                ..Default::default()
            };
            match client.a2a().send_message(request).await.unwrap().into_inner().payload.unwrap() {
                send_message_response::Payload::Task(task) => task,
                send_message_response::Payload::Message(message) => panic!("{message:?}"),
            }
        }
        Door::Grpc03 => {
            let request: v03::SendMessageRequest = serde_json::from_value(params).unwrap();
            match client.a2a_v03().send_message(request).await.unwrap().into_inner().payload.unwrap() {
                v03::send_message_response::Payload::Task(task) => model::of_contract(&task),
                v03::send_message_response::Payload::Msg(message) => panic!("{message:?}"),
            }
        }
        Door::Rest03 => {
            let response = client.ask(Method::POST, "/v1/message:send", Some(params.to_string()), &[]).await;
            let answer = rest::answer(client.door, response).await.unwrap();
            model::task(form, &answer["task"])
        }
        _ => {
            let answer = client.call(client.send_method(), params, client.door.dialect().unwrap(), &[]).await.unwrap();
            model::task(form, if form == Form::V1 { &answer["task"] } else { &answer })
        }
    }
}

/// Reads a task through the client's door.
pub async fn get(client: &Client, id: &str, history_length: Option<i32>) -> Task {
    match client.door {
        Door::Gateway => {
            let request = gateway::GetTaskRequest { task_id: id.into(), history_length };
            client.gateway().get_task(request).await.unwrap().into_inner().task.unwrap()
        }
        Door::A2aGrpc => {
            let request = a2a::GetTaskRequest { id: id.into(), history_length, ..Default::default() };
            client.a2a().get_task(request).await.unwrap().into_inner()
        }
        Door::Grpc03 => {
            let history_length = history_length.unwrap_or_default();
            let request = v03::GetTaskRequest { name: format!("tasks/{id}"), history_length };
            model::of_contract(&client.a2a_v03().get_task(request).await.unwrap().into_inner())
        }
        Door::Rest03 => {
            let query = history_length.map(|length| format!("?historyLength={length}")).unwrap_or_default();
            let path = format!("/v1/tasks/{}{query}", segment(id));
            let answer = rest::answer(client.door, client.ask(Method::GET, &path, None, &[]).await).await;
            model::task(Form::Contract03, &answer.unwrap())
        }
        door => {
            let method = if door.is(Dialect::V1) { "GetTask" } else { "tasks/get" };
            let mut params = json!({"id": id});
            if let Some(length) = history_length {
                params["historyLength"] = length.into();
            }
            let answer = client.call(method, params, client.lookups.unwrap(), &[]).await.unwrap();
            model::task(Form::of(door, client.lookups), &answer)
        }
    }
}

/// Cancels a task through the client's door.
async fn cancel(client: &Client, id: &str) -> Task {
    match client.door {
        Door::Gateway => {
            let request = gateway::CancelTaskRequest { task_id: id.into(), metadata: None };
            client.gateway().cancel_task(request).await.unwrap().into_inner().task.unwrap()
        }
        Door::A2aGrpc => {
            let request = a2a::CancelTaskRequest { id: id.into(), ..Default::default() };
            client.a2a().cancel_task(request).await.unwrap().into_inner()
        }
        Door::Grpc03 => {
            let request = v03::CancelTaskRequest { name: format!("tasks/{id}") };
            model::of_contract(&client.a2a_v03().cancel_task(request).await.unwrap().into_inner())
        }
        Door::Rest03 => {
            let response = client.ask(Method::POST, &format!("/v1/tasks/{id}:cancel"), Some("{}".into()), &[]).await;
            model::task(Form::Contract03, &rest::answer(client.door, response).await.unwrap())
        }
        door => {
            let method = if door.is(Dialect::V1) { "CancelTask" } else { "tasks/cancel" };
            let answer = client.call(method, json!({"id": id}), client.lookups.unwrap(), &[]).await.unwrap();
            model::task(Form::of(door, client.lookups), &answer)
        }
    }
}

/// The task with so much of its history.
fn with_history(task: &Task, length: Option<i32>) -> Task {
    let mut task = task.clone();
    if let Some(length) = length {
        let all = task.history.len();
        task.history.drain(..all.saturating_sub(usize::try_from(length).unwrap()));
    }
    task
}

/// Reads the task through every door, with every length of history, and compares.
async fn is_the_same_everywhere(gateway: &Gateway, maker: Door, id: &str) -> Task {
    let whole = get(&gateway.client(Door::Gateway), id, None).await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(maker);
        let form = Form::of(door, client.lookups);
        for length in [None, Some(0), Some(1), Some(2), Some(99)] {
            // In the contract of 0.3, which its REST and gRPC have, 0 is no limit.
            let means = length.filter(|length| *length != 0 || form != Form::Contract03);
            let expected = reduced(form, with_history(&whole, means));
            assert_eq!(get(&client, id, length).await, expected, "{door:?} {length:?}");
        }
    }
    whole
}

#[tokio::test]
async fn a_task_with_all_that_there_is_reads_the_same_on_every_door_at_every_stage() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    for (maker, last) in [
        (Door::A2aGrpc, TaskState::Completed),
        (Door::PraisonOwn, TaskState::Failed),
        (Door::V03, TaskState::Rejected),
        (Door::Rest, TaskState::AuthRequired),
    ] {
        let id = send(&gateway.client(maker), "hello", true).await.id;
        is_the_same_everywhere(&gateway, maker, &id).await;
        let turn = script.turn().await;
        let artifact = Artifact {
            artifact_id: "a-1".into(),
            name: "result".into(),
            description: "what came of it".into(),
            parts: parts("first"),
            metadata: free(json!({"pages": 3})),
            extensions: vec!["https://ext.test/two".into()],
        };
        let more = Artifact { artifact_id: "a-1".into(), parts: parts("second"), ..Artifact::default() };
        let says = |state, text| Update::Status {
            state,
            message: Some(Message { message_id: format!("m-{text}"), ..rich(text, Role::Agent) }),
            metadata: free(json!({"told": text})),
        };
        turn.say(says(TaskState::Working, "on it")).await;
        turn.say(Update::Artifact { artifact, append: false, last_chunk: false, metadata: None }).await;
        turn.say(Update::Artifact { artifact: more, append: true, last_chunk: true, metadata: None }).await;
        turn.say(says(TaskState::InputRequired, "Who?")).await;
        let reader = gateway.client(Door::Gateway);
        reader.until_state(&id, TaskState::InputRequired).await;
        let asked = is_the_same_everywhere(&gateway, maker, &id).await;
        assert_eq!((asked.artifacts[0].parts.len(), asked.history.len()), (12, 2));

        let answer = Message { task_id: id.clone(), ..rich("Bob", Role::User) };
        let request = gateway::SubmitTaskRequest { message: Some(answer), ..Default::default() };
        reader.gateway().submit_task(request).await.unwrap();
        script.turn().await.say(says(last, "done")).await;
        reader.until_state(&id, last).await;
        let done = is_the_same_everywhere(&gateway, maker, &id).await;
        assert!(done.history.len() >= 4 && done.metadata.is_some(), "{done:?}");
    }
}

impl Client {
    /// Waits for a task's state, whatever its parts.
    async fn until_state(&self, id: &str, state: TaskState) {
        let reached = async {
            while get(self, id, Some(0)).await.status.unwrap().state() != state {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the state was not reached");
    }
}

#[tokio::test]
async fn the_same_message_makes_the_same_task_through_every_door() {
    let gateway = Gateway::start().await;
    let reader = gateway.client(Door::Gateway);
    for at_once in [false, true] {
        let mut reference = None;
        for door in Door::ALL {
            let client = gateway.client(door).seeing(door);
            let form = Form::of(door, door.dialect());
            let answered = send(&client, "hello", at_once).await;
            let fresh = answered.status.as_ref().unwrap().state() == TaskState::Submitted;
            assert_eq!(fresh, at_once, "{door:?}");
            reader.until_state(&answered.id, TaskState::Completed).await;
            let stored = get(&reader, &answered.id, None).await;
            if !at_once {
                assert_eq!(answered, reduced(form, stored.clone()), "{door:?}");
            }
            let reference = reference.get_or_insert_with(|| stored.clone());
            // What the form cannot say was not said.
            let expected = canonical(reduced(form, reference.clone()));
            assert_eq!(canonical(stored), expected, "{door:?}");
            assert_eq!(expected.history[0].parts.len(), 6);
        }
    }
}

#[tokio::test]
async fn a_canceled_task_is_the_same_whoever_cancels_it_and_however_often() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let id = send(&client, "hello", true).await.id;
        let turn = script.turn().await;
        turn.say(status(TaskState::Working)).await;
        let first = cancel(&client, &id).await;
        let whole = get(&gateway.client(Door::Gateway), &id, None).await;
        assert_eq!(whole.status.as_ref().unwrap().state(), TaskState::Canceled, "{door:?}");
        assert_eq!(first, reduced(Form::of(door, client.lookups), whole.clone()), "{door:?}");
        for other in Door::ALL {
            let client = gateway.client(other).seeing(door);
            // To 0.3 it is not cancelable, unless PraisonAI's clients made it, whose lookups look like those of 0.3.
            let contract = matches!(other, Door::Rest03 | Door::Grpc03) || client.lookups == Some(Dialect::V03);
            if contract && !door.is_praison() {
                client.cancel(&id).await.unwrap_err().is(&kinds::TASK_NOT_CANCELABLE);
                continue;
            }
            let again = cancel(&client, &id).await;
            assert_eq!(again, reduced(Form::of(other, client.lookups), whole.clone()), "{door:?} {other:?}");
        }
    }
}
