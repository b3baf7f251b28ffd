//! Errors: each provoked through all doors, and compared by code, reason, domain, details, fields and text.
//!
//! Codes are those of the table in `door::kinds`, each binding's own. PraisonAI's dialect has codes and its own words,
//! and no details.

use std::{collections::BTreeMap, sync::Arc};

use a2a_gateway::{
    agent::{Agent, Echo, Recovery},
    error::ErrorKind,
    proto::{
        a2a::{self, TaskState},
        a2a_v03 as v03, gateway,
    },
};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{
    door::{grpc::fault, json::result, kinds::*, push::hook, *},
    support::scripted,
};

const NOBODYS: &str = "01234567-89ab-7cde-8f01-23456789abcd";
/// What an agent says that refuses.
const WHY: &str = "not like this";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    GetUnknown,
    CancelUnknown,
    ContinueUnknown,
    WatchUnknown,
    CancelSettled,
    ContinueSettled,
    ContinueWorking,
    WatchSettled,
    OtherContext,
    NegativeHistory,
    UnknownAgent,
    OtherVersion,
    KeyReused,
    PositionAhead,
    TooLarge,
    OtherContentType,
    PushOff,
}

impl Case {
    const ALL: [Self; 17] = [
        Self::GetUnknown,
        Self::CancelUnknown,
        Self::ContinueUnknown,
        Self::WatchUnknown,
        Self::CancelSettled,
        Self::ContinueSettled,
        Self::ContinueWorking,
        Self::WatchSettled,
        Self::OtherContext,
        Self::NegativeHistory,
        Self::UnknownAgent,
        Self::OtherVersion,
        Self::KeyReused,
        Self::PositionAhead,
        Self::TooLarge,
        Self::OtherContentType,
        Self::PushOff,
    ];

    fn kind(self) -> Kind {
        match self {
            Self::GetUnknown | Self::CancelUnknown | Self::ContinueUnknown | Self::WatchUnknown => TASK_NOT_FOUND,
            Self::CancelSettled => TASK_NOT_CANCELABLE,
            Self::ContinueSettled | Self::ContinueWorking | Self::WatchSettled => UNSUPPORTED_OPERATION,
            Self::OtherContext | Self::NegativeHistory => INVALID_ARGUMENT,
            Self::UnknownAgent => AGENT_NOT_FOUND,
            Self::OtherVersion => VERSION_NOT_SUPPORTED,
            Self::KeyReused => REQUEST_ID_REUSED,
            Self::PositionAhead => SEQUENCE_AHEAD,
            Self::TooLarge => REQUEST_TOO_LARGE,
            Self::OtherContentType => CONTENT_TYPE_NOT_SUPPORTED,
            Self::PushOff => PUSH_NOT_SUPPORTED,
        }
    }

    /// Why it cannot be provoked through the door; none: it can.
    fn lacks(self, door: Door) -> Option<&'static str> {
        match (self, door) {
            (Self::WatchUnknown | Self::WatchSettled, Door::Praison | Door::PraisonOwn) => {
                Some("PraisonAI's clients have nothing to watch by")
            }
            (Self::WatchSettled, Door::Gateway) => Some("it shows a settled task and ends"),
            (Self::OtherVersion, Door::Gateway) => Some("the gateway's own API is not of an A2A version"),
            (Self::KeyReused, door) if !Door::KEYED.contains(&door) => Some("A2A over gRPC has no keys"),
            (Self::PositionAhead, door) if !Door::RESUMABLE.contains(&door) => Some("its streams have no positions"),
            (Self::OtherContentType, door) if door.dialect().is_none() => {
                Some("to gRPC it is no call at all: HTTP 415")
            }
            (Self::PushOff, Door::Gateway) => Some("its webhooks are of its own API"),
            _ => None,
        }
    }
}

/// Tasks that errors are about.
struct Place {
    gateway: Gateway,
    /// Settled, working, waiting for input.
    done: String,
    busy: String,
    asked: String,
}

impl Place {
    async fn start() -> Self {
        let gateway = Gateway::start_without_push().await;
        let client = gateway.client(Door::V1);
        let done = client.send(say("hello")).await.unwrap().task().id;
        let busy = client.send(say_at_once("slow: 600")).await.unwrap().task().id;
        let asked = client.send(say("ask: Who?")).await.unwrap().task().id;
        Self { gateway, done, busy, asked }
    }

    /// The client of a door that sees 1.0's tasks.
    fn client(&self, door: Door) -> Client {
        self.gateway.client(door).seeing(Door::V1)
    }

    async fn provoke(&self, case: Case, door: Door) -> Fault {
        let client = self.client(door);
        let to = |task| Send { task, ..say("more") };
        match case {
            Case::GetUnknown => client.get(NOBODYS, None).await.unwrap_err(),
            Case::CancelUnknown => client.cancel(NOBODYS).await.unwrap_err(),
            Case::ContinueUnknown => client.send(to(NOBODYS)).await.unwrap_err(),
            Case::WatchUnknown => client.watch(NOBODYS, None).await.err().unwrap(),
            Case::CancelSettled => client.cancel(&self.done).await.unwrap_err(),
            Case::ContinueSettled => client.send(to(&self.done)).await.unwrap_err(),
            Case::ContinueWorking => client.send(to(&self.busy)).await.unwrap_err(),
            Case::WatchSettled => client.watch(&self.done, None).await.err().unwrap(),
            Case::OtherContext => client.send(Send { context: "other", ..to(&self.asked) }).await.unwrap_err(),
            Case::NegativeHistory => client.get(&self.done, Some(-1)).await.unwrap_err(),
            Case::UnknownAgent => self.ask_nobody(client).await,
            Case::OtherVersion => other_version(&client).await,
            Case::KeyReused => {
                let keyed = |text| Send { key: "key", ..say(text) };
                client.send(keyed("hello")).await.unwrap();
                client.send(keyed("other")).await.unwrap_err()
            }
            Case::PositionAhead => client.watch(&self.done, Some(99)).await.err().unwrap(),
            Case::TooLarge => self.too_large(&client).await,
            Case::OtherContentType => {
                let answer = post(&client, "text/plain", "not JSON".into()).await;
                assert_eq!(answer.status(), 415, "{door:?}");
                unread(&client, answer).await
            }
            Case::PushOff => client.get_hook(&self.done, "c").await.unwrap_err(),
        }
    }

    /// By the path where the door has one, else as its contract names agents.
    async fn ask_nobody(&self, client: Client) -> Fault {
        match client.door {
            Door::Gateway => {
                let request = gateway::SubmitTaskRequest { agent: "nobody".into(), ..grpc::submit(&say("hello")) };
                fault(client.gateway().submit_task(request).await.unwrap_err())
            }
            Door::A2aGrpc => Client { tenant: "nobody".into(), ..client }.send(say("hello")).await.unwrap_err(),
            Door::Grpc03 => Client { metadata: "nobody".into(), ..client }.send(say("hello")).await.unwrap_err(),
            _ => client.on_path("nobody").send(say("hello")).await.unwrap_err(),
        }
    }

    async fn too_large(&self, client: &Client) -> Fault {
        let text = "x".repeat(4 << 20);
        if client.door.dialect().is_none() {
            return client.send(say(&text)).await.unwrap_err();
        }
        let answer = post(client, "application/json", json!({"message": client.message(&text)}).to_string()).await;
        assert_eq!(answer.status(), 413, "{:?}", client.door);
        unread(client, answer).await
    }
}

/// Posts a body to where the door takes messages.
async fn post(client: &Client, content_type: &str, body: String) -> Response {
    let path = match client.door {
        Door::Rest => "/message:send",
        Door::Rest03 => "/v1/message:send",
        _ => "",
    };
    let request = client.http.post(format!("{}{path}", client.url)).header("content-type", content_type);
    request.body(body).send().await.unwrap()
}

/// The error in the answer to a body that was not read: on the common path in 1.0's form, as no dialect is known.
async fn unread(client: &Client, answer: Response) -> Fault {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    if client.door.is_rest() {
        let mut fault = rest::fault(client.door, status, &body);
        // For the type of a body HTTP has a status of its own, whatever the table says of parts.
        fault.code = if fault.code == 415 { 400 } else { fault.code };
        return fault;
    }
    assert_eq!(body["id"], Value::Null);
    let form = if client.door == Door::PraisonOwn { Dialect::Praison } else { Dialect::V1 };
    json::fault(form, &body["error"])
}

async fn other_version(client: &Client) -> Fault {
    let headers = [("a2a-version", "99.0")];
    match client.door {
        Door::A2aGrpc => {
            let mut request = tonic::Request::new(a2a::GetTaskRequest { id: NOBODYS.into(), ..Default::default() });
            request.metadata_mut().insert("a2a-version", "99.0".parse().unwrap());
            fault(client.a2a().get_task(request).await.unwrap_err())
        }
        Door::Grpc03 => {
            let name = format!("tasks/{NOBODYS}");
            let mut request = tonic::Request::new(v03::GetTaskRequest { name, history_length: 0 });
            request.metadata_mut().insert("a2a-version", "99.0".parse().unwrap());
            fault(client.a2a_v03().get_task(request).await.unwrap_err())
        }
        door => {
            let method = if door.is(Dialect::V1) { "GetTask" } else { "tasks/get" };
            client.call(method, json!({"id": NOBODYS}), client.lookups.unwrap(), &headers).await.unwrap_err()
        }
    }
}

/// An error in common values: its text, its details, its fields as proto names them.
#[derive(Debug, PartialEq)]
struct Told {
    message: String,
    metadata: BTreeMap<String, String>,
    fields: Vec<(String, String)>,
}

/// What a fault tells; none: PraisonAI's, which have words of their own.
fn told(fault: Fault) -> Option<Told> {
    let info = fault.info?;
    let fields: Vec<_> = fault.fields.into_iter().map(|(field, why)| (camel(&field), why)).collect();
    // A text that names fields does so in the binding's spelling.
    let message = if fields.is_empty() { fault.message } else { String::new() };
    Some(Told { message, metadata: info.metadata, fields })
}

#[tokio::test]
async fn every_error_is_the_same_one_on_every_door() {
    let place = Place::start().await;
    for case in Case::ALL {
        let mut reference: Option<(Door, Told)> = None;
        for door in Door::ALL {
            if case.lacks(door).is_some_and(|why| !why.is_empty()) {
                continue;
            }
            let fault = place.provoke(case, door).await;
            fault.is(&case.kind());
            let Some(mut told) = told(fault) else { continue };
            if case == Case::TooLarge {
                // A body here, a message there.
                told.message.clear();
            }
            match &reference {
                Some((first, reference)) => assert_eq!(told, *reference, "{case:?}: {door:?} against {first:?}"),
                None => reference = Some((door, told)),
            }
        }
        assert!(reference.is_some(), "{case:?}");
    }
    place.gateway.client(Door::V1).cancel(&place.busy).await.unwrap();
}

#[tokio::test]
async fn what_an_agent_refuses_is_refused_alike_on_every_door() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    for (kind, expected) in [
        (ErrorKind::ContentTypeNotSupported, CONTENT_TYPE_NOT_SUPPORTED),
        (ErrorKind::InvalidAgentResponse, INVALID_AGENT_RESPONSE),
        (ErrorKind::ExtensionSupportRequired, EXTENSION_SUPPORT_REQUIRED),
        (ErrorKind::UnsupportedOperation, UNSUPPORTED_OPERATION),
        (ErrorKind::InvalidArgument, INVALID_ARGUMENT),
    ] {
        for door in Door::ALL {
            let client = gateway.client(door);
            let send = tokio::spawn(async move { client.send(say("hello")).await });
            script.turn().await.refuse(kind, WHY).await;
            let answer = send.await.unwrap();
            // These hold a task from the start, and see it fail.
            if door == Door::Gateway || door.is_praison() {
                let task = answer.unwrap().task();
                assert_eq!((task.state, task.said.as_str()), (TaskState::Failed, WHY), "{door:?}");
                continue;
            }
            let fault = answer.unwrap_err();
            assert!(fault.is(&expected).message.ends_with(WHY), "{door:?}: {fault:?}");
            let ids = fault.info.as_ref().map(|info| info.metadata.contains_key("taskId"));
            assert_ne!(ids, Some(false), "{door:?}: {fault:?}");
        }
    }
}

#[tokio::test]
async fn every_push_operation_is_refused_where_push_is_off() {
    let place = Place::start().await;
    for door in Door::PUSH {
        let client = place.client(door);
        let hook = hook(&place.done, "c");
        for fault in [
            client.set_hook(&hook).await.unwrap_err(),
            client.get_hook(&place.done, "c").await.unwrap_err(),
            client.hooks(&place.done).await.unwrap_err(),
            client.drop_hook(&place.done, "c").await.unwrap_err(),
            client.send_hook(say("hello"), &push::hook("", "c")).await.unwrap_err(),
        ] {
            fault.is(&PUSH_NOT_SUPPORTED);
        }
    }
}

/// Types of content that no agent has declared are the agent's to judge: the gateway passes them on.
#[tokio::test]
async fn unknown_types_of_parts_and_of_output_are_taken() {
    let agents: Vec<(String, Arc<dyn Agent>)> = vec![("echo".into(), Arc::new(Echo))];
    let gateway = Gateway::start_with(agents, &[]).await;
    for door in Door::JSON.into_iter().chain(Door::REST) {
        let client = gateway.client(door);
        let mut message = client.message("hello");
        let part = match door.dialect().unwrap() {
            Dialect::V03 => json!({"kind": "file", "file": {"uri": "http://a", "mimeType": "x/made-up"}}),
            _ => json!({"url": "http://a", "mediaType": "x/made-up"}),
        };
        message["parts"].as_array_mut().unwrap().push(part);
        let configuration = json!({"acceptedOutputModes": ["x/made-up"], "blocking": true});
        let params = json!({"message": message, "configuration": configuration});
        if door == Door::Rest03 {
            let message = json!({"messageId": "m", "role": "ROLE_USER",
                "content": [{"text": "hello"}, {"file": {"fileWithUri": "http://a", "mimeType": "x/made-up"}}]});
            let body = json!({"message": message, "configuration": configuration}).to_string();
            let answer = client.ask(Method::POST, "/v1/message:send", Some(body), &[]).await;
            assert_eq!(rest::answer(door, answer).await.unwrap()["task"]["status"]["state"], "TASK_STATE_COMPLETED");
            continue;
        }
        let answer = client.call(client.send_method(), params, door.dialect().unwrap(), &[]).await.unwrap();
        assert!(answer.to_string().contains("Echo: hello"), "{door:?}: {answer}");
    }
    // Nothing that is not JSON-RPC gets another answer than JSON-RPC's.
    let client = gateway.client(Door::V1);
    let answer = client.post(r#"{"jsonrpc":"2.0","id":"q-1","method":"Nope"}"#, &[]).await.json().await.unwrap();
    assert_eq!(result(Dialect::V1, &answer).unwrap_err().code, -32601);
}
