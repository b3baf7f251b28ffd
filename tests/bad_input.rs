//! Bad input gets a clear error that names the field, in the door's own form, and changes nothing (promise P9).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use a2a_gateway::proto::{
    a2a::{self, Message, Part, SendMessageRequest, part::Content},
    a2a_v03 as v03,
    gateway::{ListTasksRequest, SubmitTaskRequest, WatchTaskRequest, WatchTasksRequest},
    well_known::{Duration, Kind, ListValue, Struct, Timestamp, Value as Data},
};
use a2a_gateway::wire::v03::{FileBytes, encode};
use door::{grpc::fault, kinds::*, *};
use serde_json::{Value, json};

/// A message with one fault: how to make it in proto and in JSON, and the field (in proto names) that is to be named.
struct Wrong {
    field: &'static str,
    proto: fn(&mut Message),
    json: fn(&mut Value),
}

const fn wrong(field: &'static str, proto: fn(&mut Message), json: fn(&mut Value)) -> Wrong {
    Wrong { field, proto, json }
}

fn long() -> String {
    "x".repeat(257)
}

fn text(part: &mut Part) -> &mut Part {
    part.content = Some(Content::Text("hello".into()));
    part
}

/// Lists in lists.
fn nested(levels: usize) -> Data {
    let mut data = Data { kind: Some(Kind::Bool(true)) };
    for _ in 0..levels {
        data = Data { kind: Some(Kind::List(ListValue { values: vec![data] })) };
    }
    data
}

/// An object of so many levels.
fn nested_json(levels: usize) -> Value {
    (1..levels).fold(json!({"a": 1}), |inner, _| json!({"a": inner}))
}

fn nested_struct(levels: usize) -> Struct {
    let Some(Kind::Struct(data)) = Data::from(nested_json(levels)).kind else { panic!("not an object") };
    data
}

/// Faults that every door can express.
const EVERYWHERE: [Wrong; 13] = [
    wrong("message.message_id", |m| m.message_id = long(), |m| m["messageId"] = long().into()),
    wrong("message.message_id", |m| m.message_id = "a\0b".into(), |m| m["messageId"] = "a\0b".into()),
    wrong("message.context_id", |m| m.context_id = long(), |m| m["contextId"] = long().into()),
    wrong("message.context_id", |m| m.context_id = "c\n".into(), |m| m["contextId"] = "c\n".into()),
    wrong("message.task_id", |m| m.task_id = long(), |m| m["taskId"] = long().into()),
    wrong("message.task_id", |m| m.task_id = "t\0".into(), |m| m["taskId"] = "t\0".into()),
    wrong(
        "message.reference_task_ids[1]",
        |m| m.reference_task_ids = vec!["a".into(), long()],
        |m| {
            m["referenceTaskIds"] = json!(["a", long()]);
        },
    ),
    wrong("message.parts", |m| m.parts.clear(), |m| m["parts"] = json!([])),
    wrong("message.parts[1]", |m| m.parts.push(Part::default()), |m| push(m, json!({"metadata": {"a": 1}}))),
    wrong(
        "message.parts[0].media_type",
        |m| text(&mut m.parts[0]).media_type = "m".repeat(2049),
        |m| {
            m["parts"][0]["mediaType"] = "m".repeat(2049).into();
        },
    ),
    wrong("message.role", |m| m.role = 2, |m| m["role"] = "agent".into()),
    wrong("message.role", |m| m.role = 77, |m| m["role"] = "ROLE_KING".into()),
    wrong("message.metadata", |m| m.metadata = Some(nested_struct(25)), |m| m["metadata"] = nested_json(25)),
];

/// A field and how to spoil it.
type Spoiled = (&'static str, fn(&mut Value));

/// Faults that only JSON can express.
const JSON_ONLY: [Spoiled; 12] = [
    ("message.parts[0].text", |m| m["parts"][0]["text"] = 5.into()),
    ("message.parts[0].text", |m| m["parts"][0]["text"] = json!(["hello"])),
    ("message.parts", |m| m["parts"] = json!({})),
    ("message.parts", |m| m["parts"] = "hello".into()),
    ("message.parts[0]", |m| m["parts"] = json!(["hello"])),
    ("message.parts[1]", |m| push(m, json!({"text": "a", "url": "http://b"}))),
    ("message.parts[1].raw", |m| push(m, json!({"raw": "not base64!"}))),
    ("message.role", |m| m["role"] = 9.into()),
    ("message.role", |m| m["role"] = true.into()),
    ("message.message_id", |m| m["messageId"] = 7.into()),
    ("message.metadata", |m| m["metadata"] = json!([1])),
    ("message.reference_task_ids", |m| m["referenceTaskIds"] = "a".into()),
];

fn push(message: &mut Value, mut part: Value) {
    // 0.3 says what each part is.
    if message.get("kind").is_some() {
        part["kind"] = "text".into();
    }
    message["parts"].as_array_mut().unwrap().push(part);
}

/// Sends the message by every operation of a gRPC door that takes one.
async fn send_proto(client: &Client, message: Message) -> Vec<Fault> {
    if client.door == Door::Gateway {
        let request = SubmitTaskRequest { message: Some(message), ..Default::default() };
        return vec![fault(client.gateway().submit_task(request).await.unwrap_err())];
    }
    if client.door == Door::Grpc03 {
        let request = v03::SendMessageRequest { request: Some(older(message)), ..Default::default() };
        let mut a2a = client.a2a_v03();
        return vec![
            door::grpc_v03::fault(a2a.send_message(request.clone()).await.unwrap_err()),
            door::grpc_v03::fault(a2a.send_streaming_message(request).await.unwrap_err()),
        ];
    }
    let request = SendMessageRequest { message: Some(message), ..Default::default() };
    let mut a2a = client.a2a();
    vec![
        fault(a2a.send_message(request.clone()).await.unwrap_err()),
        fault(a2a.send_streaming_message(request).await.unwrap_err()),
    ]
}

/// The message as 0.3's contract has it, with its faults.
fn older(message: Message) -> v03::Message {
    let parts = message.parts.clone();
    let mut older = encode::message(message, FileBytes::Base64Text);
    for (older, part) in older.content.iter_mut().zip(parts) {
        if part.content.is_none() {
            older.part = None;
        }
        // Only files have a media type.
        if !part.media_type.is_empty() {
            let file = Some(v03::file_part::File::FileWithUri("http://a".into()));
            older.part =
                Some(v03::part::Part::File(v03::FilePart { file, mime_type: part.media_type, name: String::new() }));
        }
    }
    older
}

/// Params with a mark of the door's dialect that no fault of the message takes away.
fn marked(client: &Client, message: Value) -> Value {
    let configuration =
        if client.door.is(Dialect::V03) { json!({"blocking": true}) } else { json!({"returnImmediately": true}) };
    json!({"message": message, "configuration": configuration})
}

/// Sends params by every operation of a JSON door that takes messages.
async fn send_json(client: &Client, params: &Value) -> Vec<Fault> {
    let form = client.door.dialect().unwrap();
    let stream = if client.door.is(Dialect::V1) { "SendStreamingMessage" } else { "message/stream" };
    let mut faults = Vec::new();
    for method in [client.send_method(), stream] {
        faults.push(client.call(method, params.clone(), form, &[]).await.unwrap_err());
    }
    faults
}

#[tokio::test]
async fn a_wrong_message_is_refused_by_field_on_every_door_and_nothing_is_stored() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        for Wrong { field, proto, json } in &EVERYWHERE {
            let faults = if door.dialect().is_none() {
                let mut message = door::grpc::message("hello");
                proto(&mut message);
                send_proto(&client, message).await
            } else {
                let mut message = client.message("hello");
                json(&mut message);
                send_json(&client, &marked(&client, message)).await
            };
            for fault in faults {
                assert!(fault.is(&INVALID_ARGUMENT).names(field), "{door:?}: {field} is not named by {fault:?}");
            }
        }
    }
    for door in Door::JSON.into_iter().chain(Door::REST) {
        let client = gateway.client(door);
        for (field, spoil) in &JSON_ONLY {
            let mut message = client.message("hello");
            spoil(&mut message);
            for fault in send_json(&client, &marked(&client, message)).await {
                assert!(fault.is(&INVALID_ARGUMENT).names(field), "{door:?}: {field} is not named by {fault:?}");
            }
        }
    }
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        let faults = if door.dialect().is_none() {
            let message = Message { message_id: long(), role: 2, ..Message::default() };
            send_proto(&client, message).await
        } else {
            let message =
                json!({"kind": door.is(Dialect::V03).then_some("message"), "messageId": 1, "role": 99, "parts": 3});
            send_json(&client, &marked(&client, message)).await
        };
        for fault in faults {
            for field in ["message.message_id", "message.role", "message.parts"] {
                assert!(fault.is(&INVALID_ARGUMENT).names(field), "{door:?}: {field} is not named by {fault:?}");
            }
        }
    }
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn what_is_required_is_asked_for() {
    let gateway = Gateway::start().await;
    for door in Door::JSON {
        let client = gateway.client(door);
        let form = client.lookups.unwrap();
        for params in [json!({}), json!(null), json!({"message": null})] {
            // Without any mark on the common path, 0.3 is assumed.
            for method in
                [client.send_method(), if door == Door::V1 { "SendStreamingMessage" } else { "message/stream" }]
            {
                client.call(method, params.clone(), form, &[]).await.unwrap_err().is_about("message");
            }
        }
        let get = if door == Door::V1 { "GetTask" } else { "tasks/get" };
        let cancel = if door == Door::V1 { "CancelTask" } else { "tasks/cancel" };
        for method in [get, cancel] {
            for params in [json!({}), json!({"id": ""}), json!({"id": 5}), json!({"id": long()}), json!({"id": "a\0"})]
            {
                client.call(method, params, form, &[]).await.unwrap_err().is_about("id");
            }
            let fault = client.call(method, json!(["t-1"]), form, &[]).await.unwrap_err();
            assert!(fault.is(&INVALID_ARGUMENT).message.contains("params"), "{fault:?}");
        }
    }
    let refused = gateway.client(Door::PraisonOwn).call("message/send", json!({}), Dialect::Praison, &[]).await;
    assert_eq!(refused.unwrap_err().message, "Invalid params: 'message' required");
    for door in Door::GRPC {
        let client = gateway.client(door);
        let field = if door == Door::Gateway { "task_id" } else { "id" };
        for id in ["", "a\0", &long()] {
            client.get(id, None).await.unwrap_err().is_about(field);
            client.cancel(id).await.unwrap_err().is_about(field);
            client.watch(id, None).await.err().unwrap().is_about(field);
        }
    }
    fault_of_submit(&gateway, |request| request.message = None).await.is_about("message");
    let empty = SendMessageRequest::default();
    fault(gateway.client(Door::A2aGrpc).a2a().send_message(empty).await.unwrap_err()).is_about("message");
    assert_eq!(gateway.count().await, 0);
}

async fn fault_of_submit(gateway: &Gateway, spoil: impl FnOnce(&mut SubmitTaskRequest)) -> Fault {
    let mut request = door::grpc::submit(&say_at_once("hello"));
    spoil(&mut request);
    fault(gateway.client(Door::Gateway).gateway().submit_task(request).await.unwrap_err())
}

#[tokio::test]
async fn what_only_the_gateways_own_api_takes_is_checked_as_well() {
    let gateway = Gateway::start().await;
    let negative = Some(Duration { seconds: -1, nanos: 0 });
    let mixed = Some(Duration { seconds: 1, nanos: -5 });
    let huge = Some(Duration { seconds: i64::MAX, nanos: 0 });
    fault_of_submit(&gateway, |request| request.wait = negative).await.is_about("wait");
    fault_of_submit(&gateway, |request| request.wait = mixed).await.is_about("wait");
    for timeout in [negative, mixed, huge, Some(Duration::default())] {
        fault_of_submit(&gateway, |request| request.timeout = timeout).await.is_about("timeout");
    }
    fault_of_submit(&gateway, |request| request.request_id = long()).await.is_about("request_id");
    fault_of_submit(&gateway, |request| request.agent = "a\0".into()).await.is_about("agent");
    fault_of_submit(&gateway, |request| request.metadata = Some(nested_struct(25))).await.is_about("metadata");
    let modes = |request: &mut SubmitTaskRequest| {
        request.accepted_output_modes = vec!["text/plain".into(), long()];
    };
    fault_of_submit(&gateway, modes).await.is_about("accepted_output_modes[1]");
    let states = ListTasksRequest { states: vec![1, 99], ..Default::default() };
    let mut own = gateway.client(Door::Gateway).gateway();
    fault(own.list_tasks(states).await.unwrap_err()).is_about("states[1]");
    let time = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let after = ListTasksRequest { updated_after: time, ..Default::default() };
    fault(own.list_tasks(after).await.unwrap_err()).is_about("updated_after");
    let watch = WatchTasksRequest { cursor: "cursor".into(), ..Default::default() };
    fault(own.watch_tasks(watch).await.unwrap_err()).is_about("cursor");
    assert_eq!(gateway.count().await, 0);
    let id = gateway.client(Door::Gateway).send(say("hello")).await.unwrap().task().id;
    let watch = WatchTaskRequest { task_id: id, after_sequence: Some(-1) };
    fault(own.watch_task(watch).await.unwrap_err()).is_about("after_sequence");
}

#[tokio::test]
async fn sizes_and_lengths_out_of_range_are_refused() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let id = client.send(say("hello")).await.unwrap().task().id;
        let tasks = gateway.count().await;
        let nested = if door == Door::Gateway { "history_length" } else { "configuration.history_length" };
        for length in [-1, i32::MIN] {
            client.get(&id, Some(length)).await.unwrap_err().is_about("history_length");
            let send = |text| Send { history: Some(length), ..say(text) };
            client.send(send("hello")).await.unwrap_err().is_about(nested);
            if door != Door::Gateway {
                client.stream(send("hello")).await.err().unwrap().is_about(nested);
            }
        }
        client.get(&id, Some(i32::MAX)).await.unwrap();
        assert_eq!(gateway.count().await, tasks, "{door:?}");
        if let Some(form) = client.lookups {
            let get = if door.is(Dialect::V1) { "GetTask" } else { "tasks/get" };
            for length in [json!(1e300), json!(4_294_967_296_u64), json!(1.5), json!("many"), json!([]), json!(true)] {
                let params = json!({"id": id, "historyLength": length});
                client.call(get, params, form, &[]).await.unwrap_err().is_about("history_length");
            }
        }
    }
    for door in [Door::Gateway, Door::A2aGrpc, Door::V1, Door::Rest, Door::Rest03] {
        let client = gateway.client(door);
        for size in [-1, 101, i32::MAX, i32::MIN] {
            let query = ListQuery { size: Some(size), ..ListQuery::default() };
            client.list(&query).await.unwrap_err().is_about("page_size");
        }
        for query in [
            ListQuery { history: Some(-1), ..ListQuery::default() },
            ListQuery { token: "0000", ..ListQuery::default() },
            ListQuery { context: "c\0", ..ListQuery::default() },
        ] {
            let field = match query {
                ListQuery { history: Some(_), .. } => "history_length",
                ListQuery { context: "", .. } => "page_token",
                _ => "context_id",
            };
            client.list(&query).await.unwrap_err().is_about(field);
        }
    }
    for (params, field) in [
        (json!({"status": "TASK_STATE_DONE"}), "status"),
        (json!({"status": 99}), "status"),
        (json!({"pageSize": 1e12}), "page_size"),
        (json!({"statusTimestampAfter": "yesterday"}), "status_timestamp_after"),
        (json!({"statusTimestampAfter": 5}), "status_timestamp_after"),
        (json!({"includeArtifacts": "yes"}), "include_artifacts"),
    ] {
        for door in [Door::V1, Door::Rest] {
            let refused = gateway.client(door).call("ListTasks", params.clone(), Dialect::V1, &[]).await;
            refused.unwrap_err().is_about(field);
        }
    }
    let unknown = a2a::ListTasksRequest { status: 99, ..Default::default() };
    fault(gateway.client(Door::A2aGrpc).a2a().list_tasks(unknown).await.unwrap_err()).is_about("status");
}

#[tokio::test]
async fn headers_of_the_json_doors_are_checked() {
    let gateway = Gateway::start().await;
    for door in Door::JSON.into_iter().chain(Door::REST) {
        let client = gateway.client(door);
        let params = json!({"message": client.message("hello")});
        let long = long();
        for key in [long.as_str(), "a\tb"] {
            let headers = [("idempotency-key", key)];
            let fault = client.call(client.send_method(), params.clone(), door.dialect().unwrap(), &headers).await;
            fault.unwrap_err().is_about("Idempotency-Key");
        }
    }
    assert_eq!(gateway.count().await, 0);
    let id = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    for (door, method) in [
        (Door::V1, "SubscribeToTask"),
        (Door::V03, "tasks/resubscribe"),
        (Door::Rest, "SubscribeToTask"),
        (Door::Rest03, "tasks/resubscribe"),
    ] {
        for position in ["-1", "1.5", "last", "18446744073709551616"] {
            let headers = [("last-event-id", position)];
            let fault = gateway.client(door).call(method, json!({"id": id}), door.dialect().unwrap(), &headers).await;
            fault.unwrap_err().is_about("Last-Event-ID");
        }
    }
}

#[tokio::test]
async fn a_message_in_the_wrong_place_is_refused_and_the_task_stays_as_it_is() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let asked = client.send(say("ask: Who?")).await.unwrap().task();
        let elsewhere = Send { task: &asked.id, context: "elsewhere", ..say("Bob") };
        client.send(elsewhere).await.unwrap_err().is_about("message.context_id");
        assert_eq!(client.get(&asked.id, None).await.unwrap(), asked, "{door:?}");
        let here = Send { task: &asked.id, context: &asked.context, ..say("Bob") };
        let done = client.send(here.clone()).await.unwrap().task();
        client.send(here.clone()).await.unwrap_err().is(&UNSUPPORTED_OPERATION);
        client.stream(Send { at_once: true, ..here }).await.err().unwrap().is(&UNSUPPORTED_OPERATION);
        assert_eq!(client.get(&done.id, None).await.unwrap(), done, "{door:?}");

        let busy = client.send(say_at_once("slow: 100")).await.unwrap().task();
        client.send(Send { task: &busy.id, ..say("faster") }).await.unwrap_err().is(&UNSUPPORTED_OPERATION);
        client.cancel(&busy.id).await.unwrap();
    }
}

#[tokio::test]
async fn nesting_is_limited_by_name_and_the_absurd_is_refused_without_a_crash() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        let Some(form) = door.dialect() else {
            let with = |levels| {
                let part = Part { content: Some(Content::Data(nested(levels))), ..Part::default() };
                Message { parts: vec![part], ..door::grpc::message("") }
            };
            let request = SubmitTaskRequest { message: Some(with(24)), ..Default::default() };
            client.gateway().submit_task(request).await.unwrap();
            for fault in send_proto(&client, with(25)).await {
                fault.is_about("message.parts[0].data");
            }
            continue;
        };
        let with = |levels: usize| {
            let mut message = client.message("hello");
            push(&mut message, json!({"data": nested_json(levels)}));
            json!({"message": message, "configuration": {"returnImmediately": true}})
        };
        client.call(client.send_method(), with(24), form, &[]).await.unwrap();
        for levels in [25, 100] {
            for fault in send_json(&client, &with(levels)).await {
                fault.is_about("message.parts[1].data");
            }
        }
        // REST has no params: its tests are of its own.
        for levels in [200, 100_000].into_iter().filter(|_| !door.is_rest()) {
            let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let method = client.send_method();
            let body = format!(r#"{{"jsonrpc":"2.0","id":"q-1","method":"{method}","params":{{"message":{deep}}}}}"#);
            let response = client.post(body, &[]).await;
            assert_eq!(response.status(), 200, "{door:?} {levels}");
            // What is merely skipped over has no limit; what is read has one.
            let answer = response.json().await.unwrap();
            let refused = door::json::result(client.lookups.unwrap(), &answer).unwrap_err();
            assert!(refused.is(&INVALID_ARGUMENT).names("params"), "{door:?} {levels}: {refused:?}");
            assert!(refused.message.contains("levels deep"), "{refused:?}");
        }
    }
    // Far deeper than protobuf may be.
    let message = Message {
        parts: vec![Part { content: Some(Content::Data(nested(2000))), ..Part::default() }],
        ..door::grpc::message("")
    };
    for door in Door::GRPC {
        for fault in send_proto(&gateway.client(door), message.clone()).await {
            fault.is(&INVALID_ARGUMENT);
        }
    }
    assert_eq!(gateway.count().await, 3 + 6);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let gateway = Gateway::start_with(
        vec![("echo".into(), std::sync::Arc::new(a2a_gateway::agent::Echo))],
        &[("server.max_body", "64KiB")],
    )
    .await;
    let big = "x".repeat(65 * 1024);
    for door in Door::GRPC {
        let fault = gateway.client(door).send(say(&big)).await.unwrap_err();
        fault.is(&REQUEST_TOO_LARGE);
        if door != Door::Gateway {
            let fault = gateway.client(door).stream(say(&big)).await.err().unwrap();
            assert!(fault.is(&REQUEST_TOO_LARGE).message.contains("65536"));
        }
    }
    for door in Door::JSON {
        let client = gateway.client(door);
        let params = json!({"message": client.message(&big)});
        let body = json!({"jsonrpc": "2.0", "id": "q-1", "method": client.send_method(), "params": params});
        let response = client.post(body.to_string(), &[]).await;
        assert_eq!(response.status(), 413, "{door:?}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["id"], Value::Null);
        // On the common path no dialect is known yet: 1.0's form has all that the others have.
        let form = if door == Door::PraisonOwn { Dialect::Praison } else { Dialect::V1 };
        let fault = door::json::fault(form, &answer["error"]);
        assert!(fault.is(&REQUEST_TOO_LARGE).message.contains("65536"), "{answer}");
    }
    assert_eq!(gateway.http.post(gateway.url("/message:send")).json(&big).send().await.unwrap().status(), 413);
    assert_eq!(gateway.count().await, 0);
    for (door, method, count) in [
        ("grpc", "SubmitTask", 1),
        ("a2a-grpc", "SendMessage", 1),
        ("a2a-grpc", "SendStreamingMessage", 1),
        ("a2a-grpc-0.3", "SendMessage", 1),
        ("jsonrpc-1.0", "unknown", 3),
        ("jsonrpc-praisonai", "unknown", 1),
        ("rest-1.0", "SendMessage", 1),
    ] {
        let labels = format!(r#"door="{door}",method="{method}",outcome="request_too_large""#);
        assert_eq!(gateway.counted(&labels).await, Some(count), "{labels}");
    }
    let fits = "x".repeat(60 * 1024);
    for door in Door::ALL {
        let task = gateway.client(door).send(say(&fits)).await.unwrap().task();
        assert_eq!(task.artifacts[0].len(), fits.len() + "Echo: ".len(), "{door:?}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let gateway = Gateway::start().await;
    for door in Door::JSON {
        let client = gateway.client(door);
        let params = json!({"message": client.message("ABC")});
        let body = json!({"jsonrpc": "2.0", "id": "q-1", "method": client.send_method(), "params": params}).to_string();
        let at = body.find("ABC").unwrap();
        let mut bytes = body.into_bytes();
        bytes[at] = 0xff;
        let response = client.post(bytes, &[]).await;
        assert_eq!(response.status(), 200, "{door:?}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32700)), "{door:?}");
    }
    // A gRPC frame around a GetTaskRequest whose id (field 1 there, field 2 in A2A) is not UTF-8.
    for (path, tag) in [("a2a.gateway.v1.Gateway", 0x0a), ("lf.a2a.v1.A2AService", 0x12), ("a2a.v1.A2AService", 0x0a)] {
        let frame: &[u8] = &[0, 0, 0, 0, 3, tag, 1, 0xff];
        // Built without a provider of its own, reqwest wants one even where it speaks no TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
        let call = h2.post(gateway.url(&format!("/{path}/GetTask"))).header("content-type", "application/grpc");
        let response = call.header("te", "trailers").body(frame.to_vec()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"3".parse().unwrap()));
    }
    assert_eq!(gateway.count().await, 0);
    for door in ["grpc", "a2a-grpc", "a2a-grpc-0.3"] {
        let labels = format!(r#"door="{door}",method="GetTask",outcome="invalid_params""#);
        assert_eq!(gateway.counted(&labels).await, Some(1), "{labels}");
    }
}
