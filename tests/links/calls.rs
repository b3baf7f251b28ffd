//! What is asked, and how answers are read, on each interface.

use a2a_gateway::{
    agent::a2a::{Answer, CallError, Event},
    error::ErrorKind,
    proto::{
        a2a::{Message, Part, Role, SendMessageConfiguration, SendMessageRequest, Task, TaskState, part::Content},
        well_known::Struct,
    },
    task::Dialect,
};
use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::fake::{Fake, INTERFACES, Interface, Seen, json_answer, link_to, link_with, rpc, settings, sse};

const ID: &str = "t/1:a ü";
const ENCODED: &str = "t%2F1%3Aa%20%C3%BC";

fn is_rpc(interface: Interface) -> bool {
    interface.0 == "JSONRPC"
}

/// What every call asks for.
fn extensions() -> Vec<String> {
    vec!["http://e/1".into(), "not\na header".into(), "http://e/2".into()]
}

fn request() -> SendMessageRequest {
    let part = Part { content: Some(Content::Text("hi".into())), ..Part::default() };
    let message = Message {
        message_id: "m-1".into(),
        role: Role::User.into(),
        parts: vec![part],
        extensions: vec!["http://of-the-message".into()],
        ..Message::default()
    };
    let configuration = SendMessageConfiguration { return_immediately: true, ..SendMessageConfiguration::default() };
    SendMessageRequest { message: Some(message), configuration: Some(configuration), ..SendMessageRequest::default() }
}

/// A working task as an interface writes it.
fn task(interface: Interface) -> Value {
    match interface {
        (_, Dialect::V1) => json!({"id": ID, "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}),
        ("JSONRPC", Dialect::V03) => {
            json!({"kind": "task", "id": ID, "contextId": "c", "status": {"state": "working"}})
        }
        (_, Dialect::V03) => json!({"id": ID, "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}),
        (_, Dialect::Praison) => json!({"id": ID, "contextId": "c", "status": {"state": "working"}}),
    }
}

/// A task within the answer to a sent message, or as an event.
fn told(interface: Interface) -> Value {
    match interface {
        (_, Dialect::V1) | ("HTTP+JSON", _) => json!({"task": task(interface)}),
        _ => task(interface),
    }
}

fn message(interface: Interface) -> Value {
    match interface {
        (_, Dialect::V1) => {
            json!({"message": {"messageId": "r", "role": "ROLE_AGENT", "parts": [{"text": "hello"}]}})
        }
        ("HTTP+JSON", _) => {
            json!({"message": {"messageId": "r", "role": "ROLE_AGENT", "content": [{"text": "hello"}]}})
        }
        _ => {
            json!({"kind": "message", "messageId": "r", "role": "agent", "parts": [{"kind": "text", "text": "hello"}]})
        }
    }
}

fn artifact_update(interface: Interface) -> Value {
    match interface {
        (_, Dialect::V1) => json!({"artifactUpdate": {"taskId": ID, "contextId": "c",
            "artifact": {"artifactId": "a", "parts": [{"text": "hello"}]}, "append": true}}),
        ("HTTP+JSON", _) => json!({"artifactUpdate": {"taskId": ID, "contextId": "c",
            "artifact": {"artifactId": "a", "parts": [{"text": "hello"}]}, "append": true}}),
        (_, Dialect::Praison) => json!({"taskId": ID, "contextId": "c",
            "artifact": {"artifactId": "a", "parts": [{"text": "hello"}]}, "append": true, "lastChunk": false}),
        _ => json!({"kind": "artifact-update", "taskId": ID, "contextId": "c", "append": true,
            "artifact": {"artifactId": "a", "parts": [{"kind": "text", "text": "hello"}]}}),
    }
}

fn status_update(interface: Interface) -> Value {
    match interface {
        (_, Dialect::V1) => json!({"statusUpdate": {"taskId": ID, "contextId": "c",
            "status": {"state": "TASK_STATE_COMPLETED"}}}),
        ("HTTP+JSON", _) => json!({"statusUpdate": {"taskId": ID, "contextId": "c", "final": true,
            "status": {"state": "TASK_STATE_COMPLETED"}}}),
        (_, Dialect::Praison) => {
            json!({"taskId": ID, "contextId": "c", "status": {"state": "completed"}, "final": true})
        }
        _ => json!({"kind": "status-update", "taskId": ID, "contextId": "c", "final": true,
            "status": {"state": "completed"}}),
    }
}

/// An answer that is not a stream.
fn whole(interface: Interface, value: &Value) -> Response {
    if is_rpc(interface) { rpc(value) } else { json_answer(200, value) }
}

/// A stream as an interface frames it, with what peers put between events.
fn stream(interface: Interface, events: &[Value]) -> Response {
    let mut text = ": hello\n\n".to_owned();
    for event in events {
        match interface {
            (_, Dialect::Praison) => {
                let name = if event.get("artifact").is_some() { "task.artifact" } else { "task.status" };
                text += &format!("event: {name}\ndata: {event}\n\n");
            }
            ("JSONRPC", _) => {
                text += &format!("id: 1\r\ndata: {}\r\n\r\n: ping\n", json!({"jsonrpc": "2.0", "result": event}));
            }
            // Over several lines, as Python's 0.3 SDK does.
            _ => {
                let pretty = serde_json::to_string_pretty(event).unwrap();
                pretty.lines().for_each(|line| text += &format!("data: {line}\n"));
                text += "\n";
            }
        }
    }
    if interface.1 == Dialect::Praison {
        text += "event: done\ndata: {}\n\nevent: task.status\ndata: not read\n\n";
    }
    sse(text)
}

/// Checks the form of a request and gives what it holds: a JSON-RPC request's params, or the body.
fn asked(interface: Interface, seen: &Seen, method: &str, rest: &str) -> Value {
    let extensions = "http://e/1, http://e/2";
    let expected = match interface.1 {
        Dialect::V1 => (extensions, ""),
        Dialect::V03 => ("", extensions),
        Dialect::Praison => ("", ""),
    };
    assert_eq!((seen.header("a2a-extensions"), seen.header("x-a2a-extensions")), expected);
    assert_eq!(seen.header("user-agent"), concat!("a2a-gateway/", env!("CARGO_PKG_VERSION")));
    assert_eq!(seen.header("accept"), "application/json, text/event-stream");
    assert_eq!(seen.header("a2a-version"), if interface.1 == Dialect::V1 { "1.0" } else { "" });
    if !is_rpc(interface) {
        assert_eq!(format!("{} {}", seen.method, seen.path), rest, "{interface:?}");
        return seen.body.clone();
    }
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/"));
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.body["jsonrpc"], "2.0");
    assert!(seen.body["id"].as_str().is_some_and(|id| !id.is_empty()), "a text id");
    assert_eq!(seen.body["method"], method);
    assert!(seen.body["params"].is_object());
    seen.body["params"].clone()
}

/// One of a method's names.
fn name(interface: Interface, v1: &'static str, older: &'static str) -> &'static str {
    if interface.1 == Dialect::V1 { v1 } else { older }
}

fn checked(task: &Task) {
    assert_eq!((task.id.as_str(), task.context_id.as_str()), (ID, "c"));
    assert_eq!(task.status.as_ref().unwrap().state(), TaskState::Working);
}

fn check_sent(interface: Interface, seen: &Seen, method: &str, rest: &str) {
    let sent = asked(interface, seen, method, rest);
    assert_eq!(sent["message"]["messageId"], "m-1");
    let (parts, role) = match interface {
        (_, Dialect::V1) => ("parts", "ROLE_USER"),
        ("HTTP+JSON", _) => ("content", "ROLE_USER"),
        _ => ("parts", "user"),
    };
    assert_eq!(sent["message"][parts][0]["text"], "hi", "{sent}");
    assert_eq!(sent["message"]["role"], role);
    let returns = match interface.1 {
        Dialect::V03 => ("blocking", false),
        _ => ("returnImmediately", true),
    };
    assert_eq!(sent["configuration"][returns.0], returns.1, "{interface:?}: {sent}");
}

#[tokio::test]
async fn a_message_is_sent_and_answered_with_a_task_or_a_message() {
    for interface in INTERFACES {
        let fake = Fake::start(move |_| whole(interface, &told(interface))).await;
        let answer = link_to(&fake.url, interface).send(request(), &extensions()).await.unwrap();
        let Answer::Task(task) = answer else { panic!("{interface:?}: {answer:?}") };
        checked(&task);
        let rest = name(interface, "POST /message:send", "POST /v1/message:send");
        check_sent(interface, &fake.only(), name(interface, "SendMessage", "message/send"), rest);

        let fake = Fake::start(move |_| whole(interface, &message(interface))).await;
        let answer = link_to(&fake.url, interface).send(request(), &extensions()).await.unwrap();
        let Answer::Message(message) = answer else { panic!("{interface:?}: {answer:?}") };
        assert_eq!((message.message_id.as_str(), message.role()), ("r", Role::Agent));
        assert_eq!(message.parts[0].content, Some(Content::Text("hello".into())));
    }
}

#[tokio::test]
async fn a_stream_gives_its_events() {
    for interface in INTERFACES {
        let fake = Fake::start(move |_| {
            let first = if interface.1 == Dialect::Praison { None } else { Some(told(interface)) };
            let events = first.into_iter().chain([artifact_update(interface), status_update(interface)]);
            stream(interface, &events.collect::<Vec<_>>())
        })
        .await;
        let link = link_to(&fake.url, interface);
        let mut events: Vec<Event> = link.stream(request(), &extensions()).await.unwrap().try_collect().await.unwrap();
        if interface.1 != Dialect::Praison {
            let Event::Task(task) = events.remove(0) else { panic!("{interface:?}: no task") };
            checked(&task);
        }
        let [Event::ArtifactUpdate(artifact), Event::StatusUpdate(status)] = &events[..] else {
            panic!("{interface:?}: {events:?}")
        };
        assert_eq!((artifact.task_id.as_str(), artifact.append), (ID, true));
        assert_eq!(artifact.artifact.as_ref().unwrap().parts[0].content, Some(Content::Text("hello".into())));
        assert_eq!(status.status.as_ref().unwrap().state(), TaskState::Completed);
        let rest = name(interface, "POST /message:stream", "POST /v1/message:stream");
        check_sent(interface, &fake.only(), name(interface, "SendStreamingMessage", "message/stream"), rest);
    }
}

#[tokio::test]
async fn an_answer_instead_of_a_stream_is_a_stream_of_one() {
    for interface in INTERFACES {
        let fake = Fake::start(move |_| whole(interface, &message(interface))).await;
        let link = link_to(&fake.url, interface);
        let events: Vec<Event> = link.stream(request(), &extensions()).await.unwrap().try_collect().await.unwrap();
        assert!(matches!(&events[..], [Event::Message(message)] if message.message_id == "r"), "{events:?}");
    }
}

#[tokio::test]
async fn a_task_is_read() {
    for interface in INTERFACES {
        for history in [true, false] {
            let fake = Fake::start(move |_| whole(interface, &task(interface))).await;
            checked(&link_to(&fake.url, interface).get(ID, history, &extensions()).await.unwrap());
            let rest = match (interface.1, history) {
                (Dialect::V1, true) => format!("GET /tasks/{ENCODED}"),
                (Dialect::V1, false) => format!("GET /tasks/{ENCODED}?historyLength=0"),
                _ => format!("GET /v1/tasks/{ENCODED}"),
            };
            let params = asked(interface, &fake.only(), name(interface, "GetTask", "tasks/get"), &rest);
            if is_rpc(interface) {
                assert_eq!(params["id"], ID);
                assert_eq!(params.get("historyLength").is_none(), history || interface.1 == Dialect::Praison);
            }
        }
    }
}

#[tokio::test]
async fn a_task_is_subscribed_to() {
    for interface in INTERFACES {
        let fake = Fake::start(move |_| stream(interface, &[told(interface), status_update(interface)])).await;
        let events = link_to(&fake.url, interface).subscribe(ID, &extensions()).await;
        if interface.1 == Dialect::Praison {
            let error = events.err().unwrap();
            assert!(matches!(error, CallError::Refused { kind: Some(ErrorKind::UnsupportedOperation), .. }), "{error}");
            assert!(fake.seen().is_empty());
            continue;
        }
        let events: Vec<Event> = events.unwrap().try_collect().await.unwrap();
        assert!(matches!(&events[..], [Event::Task(_), Event::StatusUpdate(_)]), "{interface:?}: {events:?}");
        let rest = match interface.1 {
            Dialect::V1 => format!("POST /tasks/{ENCODED}:subscribe"),
            _ => format!("GET /v1/tasks/{ENCODED}:subscribe"),
        };
        let method = name(interface, "SubscribeToTask", "tasks/resubscribe");
        let params = asked(interface, &fake.only(), method, &rest);
        if is_rpc(interface) {
            assert_eq!(params["id"], ID);
        }
    }
}

#[tokio::test]
async fn a_task_is_canceled() {
    let metadata = || -> Struct { serde_json::from_value(json!({"why": "late"})).unwrap() };
    for interface in INTERFACES {
        let fake = Fake::start(move |_| whole(interface, &task(interface))).await;
        checked(&link_to(&fake.url, interface).cancel(ID, Some(metadata()), &extensions()).await.unwrap());
        let rest = match interface.1 {
            Dialect::V1 => format!("POST /tasks/{ENCODED}:cancel"),
            _ => format!("POST /v1/tasks/{ENCODED}:cancel"),
        };
        let asked = asked(interface, &fake.only(), name(interface, "CancelTask", "tasks/cancel"), &rest);
        match interface {
            (_, Dialect::V1) | ("JSONRPC", Dialect::V03) => assert_eq!(asked["metadata"]["why"], "late"),
            ("HTTP+JSON", _) => assert_eq!(asked, json!({"name": format!("tasks/{ID}")})),
            _ => {}
        }
        if is_rpc(interface) {
            assert_eq!(asked["id"], ID);
        }
    }
}

#[tokio::test]
async fn rest_subscribes_by_the_other_method_when_one_is_not_served() {
    for (dialect, served) in [(Dialect::V1, "GET"), (Dialect::V03, "POST")] {
        for status in [404, 405] {
            let interface = ("HTTP+JSON", dialect);
            let fake = Fake::start(move |seen| {
                if seen.method == served {
                    stream(interface, &[status_update(interface)])
                } else {
                    json_answer(status, json!({"detail": "Not Found"}))
                }
            })
            .await;
            let events: Vec<_> =
                link_to(&fake.url, interface).subscribe(ID, &extensions()).await.unwrap().collect().await;
            assert!(matches!(&events[..], [Ok(Event::StatusUpdate(_))]), "{events:?}");
            assert_eq!(fake.seen().len(), 2);
        }
    }
    // An agent that says that there is no such task is believed.
    let error = json!({"error": {"code": 404, "message": "no", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org"}]}});
    let fake = Fake::start(move |_| json_answer(404, &error)).await;
    let refused = link_to(&fake.url, ("HTTP+JSON", Dialect::V1)).subscribe(ID, &extensions()).await.err();
    assert_eq!(refused, Some(CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text: "no".into() }));
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn bases_and_tenants_are_part_of_rest_paths() {
    for (dialect, base, tenant, expected) in [
        (Dialect::V1, "/", "", "/message:send"),
        (Dialect::V1, "/a/", "my tenant", "/a/my%20tenant/message:send"),
        (Dialect::V1, "/a?key=1", "", "/a/message:send?key=1"),
        (Dialect::V03, "/a", "ignored", "/a/v1/message:send"),
        (Dialect::V03, "/a/v1/", "", "/a/v1/message:send"),
    ] {
        let interface = ("HTTP+JSON", dialect);
        let fake = Fake::start(move |_| whole(interface, &told(interface))).await;
        let mut offer = crate::fake::offer(&format!("{}{base}", fake.url), interface);
        offer.tenant = tenant.into();
        crate::fake::link_of(&offer).send(request(), &[]).await.unwrap();
        assert_eq!(fake.only().path, expected);
        assert!(fake.only().body.get("tenant").is_none());
    }
}

#[tokio::test]
async fn a_tenant_is_sent_with_every_jsonrpc_request_of_1_0() {
    for (dialect, expected) in [(Dialect::V1, Some("acme")), (Dialect::V03, None)] {
        let interface = ("JSONRPC", dialect);
        let fake = Fake::start(move |seen| {
            let sends = seen.body["method"].as_str().unwrap().to_ascii_lowercase().ends_with(['e', 'd']);
            whole(interface, &if sends { told(interface) } else { task(interface) })
        })
        .await;
        let mut offer = crate::fake::offer(&fake.url, interface);
        offer.tenant = "acme".into();
        let link = crate::fake::link_of(&offer);
        link.send(request(), &extensions()).await.unwrap();
        drop(link.stream(request(), &extensions()).await.unwrap());
        link.get(ID, true, &extensions()).await.unwrap();
        drop(link.subscribe(ID, &extensions()).await.unwrap());
        link.cancel(ID, None, &extensions()).await.unwrap();
        let tenants: Vec<_> =
            fake.seen().iter().map(|seen| seen.body["params"]["tenant"].as_str().map(str::to_owned)).collect();
        assert_eq!(tenants, vec![expected.map(str::to_owned); 5]);
    }
}

#[tokio::test]
async fn errors_of_the_agent_keep_their_meaning() {
    use Dialect::{Praison, V1, V03};
    use ErrorKind::{PushNotificationNotSupported, TaskNotCancelable, TaskNotFound, UnsupportedOperation};
    let info = |reason: &str| {
        json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
        "domain": "a2a-protocol.org"}])
    };
    for (interface, status, body, kind) in [
        (("JSONRPC", V1), 200, json!({"error": {"code": -32001, "message": "m"}}), Some(TaskNotFound)),
        (("JSONRPC", V1), 500, json!({"error": {"code": -32004, "message": "m"}}), Some(UnsupportedOperation)),
        (
            ("JSONRPC", V03),
            400,
            json!({"error": {"code": -32002, "message": "m", "data": null}}),
            Some(TaskNotCancelable),
        ),
        (("JSONRPC", Praison), 200, json!({"error": {"code": -32000, "message": "m"}}), Some(TaskNotFound)),
        (("JSONRPC", V1), 200, json!({"error": {"code": -32603, "message": "m"}}), None),
        (("JSONRPC", V03), 502, json!({"error": {"code": -32603, "message": "m"}}), None),
        (
            ("HTTP+JSON", V1),
            400,
            json!({"error": {"code": 400, "message": "m", "details": info("PUSH_NOTIFICATION_NOT_SUPPORTED")}}),
            Some(PushNotificationNotSupported),
        ),
        (
            ("HTTP+JSON", V1),
            200,
            json!({"error": {"code": 404, "message": "m", "details": info("TASK_NOT_FOUND")}}),
            Some(TaskNotFound),
        ),
        (("HTTP+JSON", V03), 404, json!({"code": -32001, "message": "m"}), Some(TaskNotFound)),
        (("HTTP+JSON", V03), 404, json!({"message": "m"}), Some(TaskNotFound)),
        (("HTTP+JSON", V03), 409, json!({"message": "m"}), Some(TaskNotCancelable)),
        (("HTTP+JSON", V03), 500, json!({"message": "m"}), None),
    ] {
        let answer = body.clone();
        let fake = Fake::start(move |_| json_answer(status, &answer)).await;
        let refused = link_to(&fake.url, interface).cancel(ID, None, &extensions()).await.unwrap_err();
        assert_eq!(refused, CallError::Refused { kind, text: "m".into() }, "{interface:?} {status} {body}");
    }
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it() {
    let error = json!({"code": -32001, "message": "gone"});
    let wrapped = json!({"jsonrpc": "2.0", "error": error});
    for interface in INTERFACES.into_iter().filter(|(_, dialect)| *dialect != Dialect::Praison) {
        for frame in [format!("data: {wrapped}\n\n"), format!("event: error\ndata: {error}\n\n")] {
            let event = status_update(interface);
            let fake = Fake::start(move |_| sse(format!("data: {event}\n\n{frame}data: {event}\n\n"))).await;
            let events: Vec<_> =
                link_to(&fake.url, interface).stream(request(), &extensions()).await.unwrap().collect().await;
            let refused = CallError::Refused { kind: Some(ErrorKind::TaskNotFound), text: "gone".into() };
            assert!(matches!(&events[0], Ok(Event::StatusUpdate(_))), "bare events are read too: {:?}", events[0]);
            assert_eq!(events[1..], [Err(refused)]);
        }
    }
}

#[tokio::test]
async fn headers_of_the_settings_are_sent_and_win() {
    let interface = ("JSONRPC", Dialect::V1);
    let fake = Fake::start(move |_| whole(interface, &task(interface))).await;
    let mut settings = settings(&fake.url);
    let header = |name: &str, value: &str| (name.to_owned(), a2a_gateway::agent::a2a::Secret(value.to_owned()));
    settings.headers = vec![
        header("X-API-Key", "k"),
        header("x-api-key", "l"),
        header("User-Agent", "me"),
        header("A2A-Version", "1.1"),
    ];
    link_with(&settings, interface).get(ID, true, &[]).await.unwrap();
    let seen = fake.only();
    let keys: Vec<_> = seen.headers.get_all("x-api-key").iter().collect();
    assert_eq!(keys, ["k", "l"]);
    let one = |name| seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((one("user-agent"), one("a2a-version")), (vec!["me"], vec!["1.1"]));
}
