//! Versions and extensions of the protocol, on every door: what requests say of them in headers, metadata and queries,
//! and what the answers say. And what no version knows: members of requests that are passed over.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use std::sync::{Arc, Mutex};

use a2a_gateway::{
    agent::{Agent, AgentError, Cancel, Echo, Recovery, Turn, Update, UpdateStream},
    proto::{
        a2a::{self, AgentCapabilities, AgentCard, AgentExtension},
        a2a_v03, gateway,
    },
};
use door::{
    Client, Dialect, Door, Fault, Gateway, grpc, grpc_v03,
    json::{params, result},
    kinds::{EXTENSION_SUPPORT_REQUIRED, INVALID_ARGUMENT, VERSION_NOT_SUPPORTED},
    rest, say,
};
use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

const ONE: &str = "http://e/1";
const TWO: &str = "http://e/2";

type Headers<'a> = &'a [(&'static str, &'a str)];

/// The echo agent with extensions in its card. It notes what each turn and each cancel asked for.
struct Declaring {
    card: Arc<AgentCard>,
    asked: Mutex<Vec<Vec<String>>>,
}

impl Declaring {
    fn new(extensions: &[(&str, bool)]) -> Arc<Self> {
        let extension = |(uri, required): &(&str, bool)| AgentExtension {
            uri: (*uri).into(),
            required: *required,
            ..Default::default()
        };
        let extensions = extensions.iter().map(extension).collect();
        let own = Echo.card();
        let capabilities = AgentCapabilities { extensions, ..own.capabilities.clone().unwrap_or_default() };
        let card = AgentCard { capabilities: Some(capabilities), ..(*own).clone() };
        Arc::new(Self { card: Arc::new(card), asked: Mutex::default() })
    }

    /// What was asked for since the last time.
    fn take(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Agent for Declaring {
    fn card(&self) -> Arc<AgentCard> {
        self.card.clone()
    }

    fn recovery(&self) -> Recovery {
        Echo.recovery()
    }

    fn run(&self, turn: Turn) -> UpdateStream {
        self.asked.lock().unwrap().push(turn.extensions.clone());
        Echo.run(turn)
    }

    fn cancel(&self, cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>> {
        self.asked.lock().unwrap().push(cancel.extensions.clone());
        Echo.cancel(cancel)
    }
}

async fn start(agent: &Arc<Declaring>) -> Gateway {
    // Subscriptions to a task that waits are ended by this: they are read to their end here.
    let settings = [("server.auth_required_idle", "100ms")];
    Gateway::start_with(vec![("echo".into(), agent.clone())], &settings).await
}

/// What an operation is about: a text to say, with the extensions that the message uses, or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask<'a> {
    Send(&'a str, &'a [&'a str]),
    Stream(&'a str),
    Get(&'a str),
    Cancel(&'a str),
    Watch(&'a str),
}

/// The id of the task that came of it, empty for streams; and the answer's headers.
type Heard = (Result<String, Fault>, HeaderMap);

async fn ask(client: &Client, what: Ask<'_>, headers: Headers<'_>) -> Heard {
    match client.door.dialect() {
        Some(_) if client.door.is_rest() => ask_rest(client, what, headers).await,
        Some(dialect) => ask_rpc(client, dialect, what, headers).await,
        None => ask_grpc(client, what, headers).await,
    }
}

fn message(client: &Client, dialect: Dialect, text: &str, used: &[&str]) -> Value {
    let mut params = params(client, dialect, &say(text));
    if !used.is_empty() {
        params["message"]["extensions"] = used.into();
    }
    params
}

async fn ask_rpc(client: &Client, dialect: Dialect, what: Ask<'_>, headers: Headers<'_>) -> Heard {
    let (method, older, params) = match what {
        Ask::Send(text, used) => ("SendMessage", "message/send", message(client, dialect, text, used)),
        Ask::Stream(text) => ("SendStreamingMessage", "message/stream", message(client, dialect, text, &[])),
        Ask::Get(id) => ("GetTask", "tasks/get", json!({"id": id})),
        Ask::Cancel(id) => ("CancelTask", "tasks/cancel", json!({"id": id})),
        Ask::Watch(id) => ("SubscribeToTask", "tasks/resubscribe", json!({"id": id})),
    };
    let method = if dialect == Dialect::V1 { method } else { older };
    let dialect = if matches!(what, Ask::Send(..) | Ask::Stream(_)) { dialect } else { client.lookups.unwrap() };
    let body = json!({"jsonrpc": "2.0", "id": "q-1", "method": method, "params": params}).to_string();
    let response = client.post(body, headers).await;
    let told = response.headers().clone();
    if told["content-type"] == "text/event-stream" {
        let text = response.text().await.unwrap();
        let first: Value =
            text.lines().find_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).unwrap();
        let refused = first.get("error").is_some();
        return (if refused { result(dialect, &first).map(|_| String::new()) } else { Ok(String::new()) }, told);
    }
    let answer = result(dialect, &response.json().await.unwrap());
    (answer.map(|value| id_of(&value)), told)
}

fn id_of(value: &Value) -> String {
    value.get("task").unwrap_or(value)["id"].as_str().unwrap().to_owned()
}

async fn ask_rest(client: &Client, what: Ask<'_>, headers: Headers<'_>) -> Heard {
    let body = |text: &str, used: &[&str]| match client.door {
        Door::Rest => message(client, Dialect::V1, text, used),
        _ => json!({
            "message": {
                "messageId": "m-1", "role": "ROLE_USER", "content": [{"text": text}], "extensions": used,
            },
            "configuration": {"blocking": true},
        }),
    };
    let (verb, path, body) = match what {
        Ask::Send(text, used) => (Method::POST, "/message:send".to_owned(), Some(body(text, used))),
        Ask::Stream(text) => (Method::POST, "/message:stream".to_owned(), Some(body(text, &[]))),
        Ask::Get(id) => (Method::GET, format!("/tasks/{id}"), None),
        Ask::Cancel(id) => (Method::POST, format!("/tasks/{id}:cancel"), None),
        Ask::Watch(id) => (Method::GET, format!("/tasks/{id}:subscribe"), None),
    };
    let prefix = if client.door == Door::Rest03 { "/v1" } else { "" };
    let response = client.ask(verb, &format!("{prefix}{path}"), body.map(|body| body.to_string()), headers).await;
    let told = response.headers().clone();
    if told["content-type"] == "text/event-stream" {
        assert!(response.text().await.unwrap().contains("data: "));
        return (Ok(String::new()), told);
    }
    (rest::answer(client.door, response).await.map(|value| id_of(&value)), told)
}

async fn ask_grpc(client: &Client, what: Ask<'_>, headers: Headers<'_>) -> Heard {
    fn with<T>(message: T, headers: Headers<'_>) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in headers {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        request
    }
    fn heard<T>(answer: Result<Response<T>, Status>, id: impl Fn(T) -> String) -> Heard {
        match answer {
            Ok(answer) => {
                let told = answer.metadata().clone().into_headers();
                (Ok(id(answer.into_inner())), told)
            }
            Err(status) => (Err(grpc::fault(status.clone())), status.metadata().clone().into_headers()),
        }
    }
    let used = match what {
        Ask::Send(_, used) => used.iter().map(|uri| (*uri).to_owned()).collect(),
        _ => Vec::new(),
    };
    let record = |record: gateway::TaskRecord| record.task.unwrap().id;
    let name = |id: &str| format!("tasks/{id}");
    match (client.door, what) {
        (Door::Gateway, Ask::Send(text, _) | Ask::Stream(text)) => {
            let mut submit = grpc::submit(&say(text));
            submit.message.as_mut().unwrap().extensions = used;
            heard(client.gateway().submit_task(with(submit, headers)).await, record)
        }
        (Door::Gateway, Ask::Get(id)) => {
            let get = gateway::GetTaskRequest { task_id: id.into(), history_length: None };
            heard(client.gateway().get_task(with(get, headers)).await, record)
        }
        (Door::Gateway, Ask::Cancel(id)) => {
            let cancel = gateway::CancelTaskRequest { task_id: id.into(), metadata: None };
            heard(client.gateway().cancel_task(with(cancel, headers)).await, record)
        }
        (Door::A2aGrpc, Ask::Send(text, _)) => {
            let mut send = grpc::request(&say(text));
            send.message.as_mut().unwrap().extensions = used;
            heard(client.a2a().send_message(with(send, headers)).await, |answer| grpc::task(answer).id)
        }
        (Door::A2aGrpc, Ask::Stream(text)) => {
            let send = grpc::request(&say(text));
            heard(client.a2a().send_streaming_message(with(send, headers)).await, |_| String::new())
        }
        (Door::A2aGrpc, Ask::Get(id)) => {
            let get = a2a::GetTaskRequest { id: id.into(), ..Default::default() };
            heard(client.a2a().get_task(with(get, headers)).await, |task| task.id)
        }
        (Door::A2aGrpc, Ask::Cancel(id)) => {
            let cancel = a2a::CancelTaskRequest { id: id.into(), ..Default::default() };
            heard(client.a2a().cancel_task(with(cancel, headers)).await, |task| task.id)
        }
        (Door::A2aGrpc, Ask::Watch(id)) => {
            let watch = a2a::SubscribeToTaskRequest { id: id.into(), ..Default::default() };
            heard(client.a2a().subscribe_to_task(with(watch, headers)).await, |_| String::new())
        }
        (Door::Grpc03, Ask::Send(text, _)) => {
            let mut send = grpc_v03::request(&say(text));
            send.request.as_mut().unwrap().extensions = used;
            heard(client.a2a_v03().send_message(with(send, headers)).await, |answer| match answer.payload.unwrap() {
                a2a_v03::send_message_response::Payload::Task(task) => task.id,
                a2a_v03::send_message_response::Payload::Msg(message) => panic!("{message:?}"),
            })
        }
        (Door::Grpc03, Ask::Stream(text)) => {
            let send = grpc_v03::request(&say(text));
            heard(client.a2a_v03().send_streaming_message(with(send, headers)).await, |_| String::new())
        }
        (Door::Grpc03, Ask::Get(id)) => {
            let get = a2a_v03::GetTaskRequest { name: name(id), history_length: 0 };
            heard(client.a2a_v03().get_task(with(get, headers)).await, |task| task.id)
        }
        (Door::Grpc03, Ask::Cancel(id)) => {
            let cancel = a2a_v03::CancelTaskRequest { name: name(id) };
            heard(client.a2a_v03().cancel_task(with(cancel, headers)).await, |task| task.id)
        }
        (Door::Grpc03, Ask::Watch(id)) => {
            let watch = a2a_v03::TaskSubscriptionRequest { name: name(id) };
            heard(client.a2a_v03().task_subscription(with(watch, headers)).await, |_| String::new())
        }
        (door, what) => panic!("{door:?} has no {what:?}"),
    }
}

/// What the answer says is active, under the two names.
fn active(told: &HeaderMap) -> (&str, &str) {
    let value = |name| told.get(name).map_or("", |value| value.to_str().unwrap());
    (value("a2a-extensions"), value("x-a2a-extensions"))
}

#[tokio::test]
async fn what_is_asked_for_and_declared_reaches_the_agent_and_is_told_under_the_name_of_the_request() {
    let agent = Declaring::new(&[(ONE, false), (TWO, false)]);
    let gateway = start(&agent).await;
    let both = "http://e/1, http://e/2";
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        for (now, headers) in [
            (true, &[("a2a-extensions", "http://e/1 ,http://e/1/v2,, http://e/2")][..]),
            (true, &[("a2a-extensions", ONE), ("a2a-extensions", "urn:x, http://e/2")]),
            (false, &[("x-a2a-extensions", both)]),
        ] {
            let expected = if now { (both, "") } else { ("", both) };
            let (sent, told) = ask(&client, Ask::Send("hello", &[]), headers).await;
            sent.unwrap();
            assert_eq!(active(&told), expected, "{door:?}");
            let (streamed, told) = ask(&client, Ask::Stream("hello"), headers).await;
            streamed.unwrap();
            assert_eq!(active(&told), expected, "{door:?}");
            assert_eq!(agent.take(), [[ONE, TWO], [ONE, TWO]], "{door:?}");
        }
        let (sent, told) = ask(&client, Ask::Send("hello", &[]), &[]).await;
        sent.unwrap();
        assert_eq!((active(&told), agent.take()), (("", ""), vec![Vec::new()]), "{door:?}");
        let headers = [("a2a-extensions", "http://e/2"), ("x-a2a-extensions", "http://e/1")];
        let (_, told) = ask(&client, Ask::Send("hello", &[]), &headers).await;
        assert_eq!(active(&told), ("http://e/2, http://e/1", "http://e/2, http://e/1"), "{door:?}");
        agent.take();
    }
}

#[tokio::test]
async fn other_operations_are_told_which_of_theirs_are_active_for_the_task() {
    let agent = Declaring::new(&[(ONE, false), (TWO, false)]);
    let gateway = start(&agent).await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let (sent, _) = ask(&client, Ask::Send("ask: Who?", &[]), &[("a2a-extensions", ONE)]).await;
        let id = &sent.unwrap();
        let mut asks = vec![Ask::Get(id)];
        if door != Door::Gateway && Door::WATCH.contains(&door) {
            asks.push(Ask::Watch(id));
        }
        asks.push(Ask::Cancel(id));
        for what in asks {
            let headers = [("x-a2a-extensions", "http://e/2, http://e/1")];
            if what == Ask::Get(id) {
                let (_, told) = ask(&client, what, &[]).await;
                assert_eq!(active(&told), ("", ""), "{door:?}");
            }
            let (answer, told) = ask(&client, what, &headers).await;
            answer.unwrap();
            assert_eq!(active(&told), ("", ONE), "{door:?} {what:?}");
        }
        assert_eq!(agent.take(), [[ONE]], "{door:?}");
    }
}

#[tokio::test]
async fn what_a_message_uses_is_asked_for() {
    let agent = Declaring::new(&[(ONE, true)]);
    let gateway = start(&agent).await;
    // PraisonAI's messages have no such member.
    for door in Door::ALL.into_iter().filter(|door| !door.is_praison()) {
        let (sent, told) = ask(&gateway.client(door), Ask::Send("hello", &[ONE, TWO]), &[]).await;
        sent.unwrap();
        let (now, before) = active(&told);
        assert_eq!(format!("{now}{before}"), ONE, "{door:?}");
        assert_eq!(agent.take(), [[ONE]], "{door:?}");
    }
}

#[tokio::test]
async fn a_required_extension_must_be_asked_for_to_send_and_nothing_else() {
    let agent = Declaring::new(&[(ONE, true), (TWO, true), ("http://e/3", false)]);
    let gateway = start(&agent).await;
    let all = [("a2a-extensions", "http://e/2,http://e/1")];
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let before = gateway.count().await;
        for headers in [&[][..], &[("a2a-extensions", "http://e/3")], &[("x-a2a-extensions", ONE)]] {
            for what in [Ask::Send("hello", &[]), Ask::Stream("hello")] {
                let (refused, told) = ask(&client, what, headers).await;
                let refused = refused.unwrap_err();
                refused.is(&EXTENSION_SUPPORT_REQUIRED);
                assert!(refused.message.contains(TWO), "{door:?} {refused:?}");
                if let Some(info) = &refused.info {
                    let asked = !headers.is_empty() && headers[0].1 == ONE;
                    assert_eq!(info.metadata["extensions"], if asked { TWO } else { "http://e/1, http://e/2" });
                }
                assert_eq!(active(&told), ("", ""), "{door:?}");
            }
        }
        assert_eq!(gateway.count().await, before, "{door:?}");
        let (sent, _) = ask(&client, Ask::Send("ask: Who?", &[]), &all).await;
        let id = sent.unwrap();
        ask(&client, Ask::Get(&id), &[]).await.0.unwrap();
        let more = door::Send { task: &id, ..say("Bob") };
        let refused = gateway.client(Door::A2aGrpc).send(more).await.unwrap_err();
        refused.is(&EXTENSION_SUPPORT_REQUIRED);
        ask(&client, Ask::Cancel(&id), &[]).await.0.unwrap();
    }
}

#[tokio::test]
async fn more_extensions_than_anybody_has_are_refused_by_the_headers_name() {
    let gateway = Gateway::start().await;
    let many = (0..65).map(|n| format!("urn:{n}")).collect::<Vec<_>>().join(",");
    for door in Door::ALL {
        let client = gateway.client(door);
        for what in [Ask::Send("hello", &[]), Ask::Get("t")] {
            let (refused, _) = ask(&client, what, &[("x-a2a-extensions", &many)]).await;
            refused.unwrap_err().is_about("A2A-Extensions");
        }
    }
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn a_batch_is_told_what_is_active_for_any_of_its_requests() {
    let gateway = start(&Declaring::new(&[(ONE, false), (TWO, false)])).await;
    let client = gateway.client(Door::V1);
    let request = |id: i32, used: &str| json!({"jsonrpc": "2.0", "id": id, "method": "SendMessage", "params": message(&client, Dialect::V1, "hi", &[used])});
    let body = json!([request(1, ONE), request(2, TWO)]).to_string();
    let told = client.post(body, &[("a2a-extensions", "urn:x")]).await.headers().clone();
    let (now, _) = active(&told);
    let mut uris: Vec<_> = now.split(", ").collect();
    uris.sort_unstable();
    assert_eq!(uris, [ONE, TWO]);
}

#[tokio::test]
async fn a_repeated_send_is_told_of_the_first_ones_extensions_and_one_with_others_is_another() {
    let gateway = start(&Declaring::new(&[(ONE, false), (TWO, false)])).await;
    let client = gateway.client(Door::V1);
    let send = async |uris: &str| {
        let headers = [("idempotency-key", "k"), ("a2a-extensions", uris)];
        ask(&client, Ask::Send("hello", &[]), &headers).await
    };
    let (first, told) = send(ONE).await;
    let first = first.unwrap();
    assert_eq!(active(&told).0, ONE);
    let (again, told) = send(ONE).await;
    assert_eq!((again.unwrap(), active(&told).0), (first, ONE));
    send(TWO).await.0.unwrap_err().is(&door::kinds::REQUEST_ID_REUSED);
}

#[tokio::test]
async fn versions_are_read_from_header_metadata_and_query_alike() {
    let gateway = Gateway::start().await;
    for door in Door::ALL.into_iter().filter(|door| *door != Door::Gateway) {
        let client = gateway.client(door);
        let refused = [
            &[("a2a-version", "99.0")][..],
            &[("A2A-Version", "0.2")],
            &[("a2a-version", "1.0"), ("a2a-version", "99.0")],
            &[("a2a-version", "1.0, 99.0")],
        ];
        for headers in refused {
            let headers: Vec<_> = headers.iter().map(|(_, value)| ("a2a-version", *value)).collect();
            for what in [Ask::Send("hello", &[]), Ask::Stream("hello"), Ask::Get("t"), Ask::Cancel("t")] {
                let refused = ask(&client, what, &headers).await.0.unwrap_err();
                refused.is(&VERSION_NOT_SUPPORTED);
                assert!(refused.message.contains("1.0 and 0.3"), "{door:?} {refused:?}");
                if let Some(info) = &refused.info {
                    assert_eq!(info.metadata["supported"], "1.0, 0.3", "{door:?}");
                }
            }
        }
        for taken in ["1", "1.0", "1.0.1", "0.3", "0.3.0", "", "1.0, 1.0"] {
            ask(&client, Ask::Send("hello", &[]), &[("a2a-version", taken)]).await.0.unwrap();
        }
    }
    for door in ["a2a-grpc", "a2a-grpc-0.3", "rest-1.0", "rest-0.3", "jsonrpc-1.0"] {
        for method in ["SendMessage", "SendStreamingMessage", "GetTask", "CancelTask"] {
            let labels = format!(r#"door="{door}",method="{method}",outcome="version_not_supported""#);
            assert_eq!(gateway.counted(&labels).await, Some(4), "{labels}");
        }
    }
}

#[tokio::test]
async fn metadata_that_names_no_agent_is_counted_by_the_method_it_came_with() {
    let gateway = Gateway::start().await;
    let long = "x".repeat(300);
    for (door, label) in [(Door::A2aGrpc, "a2a-grpc"), (Door::Grpc03, "a2a-grpc-0.3")] {
        let client = gateway.client(door);
        for what in [Ask::Send("hello", &[]), Ask::Stream("hello")] {
            let refused = ask(&client, what, &[("a2a-agent", &long)]).await.0.unwrap_err();
            assert!(refused.is(&INVALID_ARGUMENT).names("a2a-agent"), "{door:?} {refused:?}");
        }
        for method in ["SendMessage", "SendStreamingMessage"] {
            let labels = format!(r#"door="{label}",method="{method}",outcome="invalid_params""#);
            assert_eq!(gateway.counted(&labels).await, Some(1), "{labels}");
        }
    }
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn the_query_counts_where_no_header_does() {
    let gateway = Gateway::start().await;
    for door in Door::JSON {
        let client = gateway.client(door);
        let at = |query: &str| Client { url: format!("{}?{query}", client.url), ..client.clone() };
        for query in ["A2A-Version=99.0", "x=1&a2a-version=2", "A2A-VERSION=0%2E2"] {
            let refused = ask(&at(query), Ask::Send("hello", &[]), &[("a2a-version", "")]).await.0;
            refused.unwrap_err().is(&VERSION_NOT_SUPPORTED);
            ask(&at(query), Ask::Send("hello", &[]), &[("a2a-version", "1.0")]).await.0.unwrap();
        }
        for query in ["A2A-Version=1.0", "a2a-version=0.3.0", "A2A-Version="] {
            ask(&at(query), Ask::Send("hello", &[]), &[("a2a-version", "")]).await.0.unwrap();
        }
    }
}

/// Puts a member that nobody knows into an object and all objects in it, save those that callers fill as they like.
fn with_unknown(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.iter_mut().filter(|(name, _)| !["metadata", "data"].contains(&name.as_str())).for_each(
                |(_, value)| {
                    with_unknown(value);
                },
            );
            members.insert("xUnknown".into(), json!({"a": [1, {"b": null}]}));
        }
        Value::Array(values) => values.iter_mut().for_each(with_unknown),
        _ => {}
    }
}

#[tokio::test]
async fn members_that_nobody_knows_are_passed_over_and_come_back_nowhere() {
    let gateway = Gateway::start().await;
    let push = json!({"url": "https://hooks.example.com/a", "token": "t"});
    for door in Door::JSON.into_iter().chain(Door::REST) {
        let client = gateway.client(door).seeing(door);
        let dialect = door.dialect().unwrap();
        let mut said = message(&client, dialect, "hello", &[]);
        said["metadata"] = json!({"k": 1});
        said["message"]["metadata"] = json!({"k": 2});
        match dialect {
            Dialect::V1 => said["configuration"]["taskPushNotificationConfig"] = push.clone(),
            Dialect::V03 => said["configuration"]["pushNotificationConfig"] = push.clone(),
            Dialect::Praison => {}
        }
        let (text, content) = if door.is_rest() {
            if door == Door::Rest03 {
                said["message"] = json!({"messageId": "m-1", "role": "ROLE_USER", "content": [{"text": "hello"}], "metadata": {"k": 2}});
                said["configuration"] = json!({"blocking": true, "pushNotification": push});
            }
            with_unknown(&mut said);
            let path = if door == Door::Rest03 { "/v1/message:send" } else { "/message:send?xUnknown=1" };
            let answer = client.ask(Method::POST, path, Some(said.to_string()), &[]).await;
            (answer.status(), answer.text().await.unwrap())
        } else {
            let mut body = json!({"jsonrpc": "2.0", "id": "q-1", "method": client.send_method(), "params": said});
            with_unknown(&mut body);
            let answer = client.post(body.to_string(), &[]).await;
            (answer.status(), answer.text().await.unwrap())
        };
        assert_eq!(text, 200, "{door:?} {content}");
        assert!(content.contains("Echo: hello") && !content.contains("error"), "{door:?} {content}");
        let id = gateway.client(Door::V1).list(&door::ListQuery::default()).await.unwrap().tasks[0].id.clone();
        let (read, _) = ask(&client, Ask::Get(&id), &[]).await;
        read.unwrap();
        let whole = gateway.client(Door::V1).call("GetTask", json!({"id": id}), Dialect::V1, &[]).await.unwrap();
        for text in [content, whole.to_string()] {
            assert!(!text.contains("xUnknown"), "{door:?} {text}");
        }
    }
}
