//! What a script can do: answer, break the connection, see its caller go, stop and come back, and refuse bad requests.

use a2a_gateway::proto::{
    a2a::{self, TaskState, a2a_service_client::A2aServiceClient},
    a2a_v03::{self, a2a_service_client::A2aServiceClient as A2aV03Client},
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    client::{JSON, ask, channel, client, start, v1_request, v1_send, v03_send},
    upstream::{Face, Kind, Operation, Options, Upstream},
};

#[tokio::test]
async fn grpc_clients_of_both_versions_are_answered() {
    let mut agent = Upstream::start(Face::Grpc10, Options::default());
    let mut v1 = A2aServiceClient::new(channel(&agent).await);
    let mut other = v1.clone();
    let asked = tokio::spawn(async move { other.send_message(v1_send()).await });
    let call = agent.expect(Operation::SEND).await;
    assert_eq!((call.text.as_str(), call.message_id.as_str()), ("hello", "m-1"));
    let task = call.snapshot(TaskState::Canceled).text("why").artifact("a", &["x", "y"]);
    call.task(&task);
    let payload = asked.await.unwrap().unwrap().into_inner().payload;
    let Some(a2a::send_message_response::Payload::Task(seen)) = payload else { panic!("{payload:?}") };
    assert_eq!((seen.id.as_str(), seen.context_id.as_str()), ("task-1", "ctx-1"));
    assert_eq!(seen.status.unwrap().state(), TaskState::Canceled);
    assert_eq!((seen.artifacts[0].parts.len(), seen.history.len()), (2, 1));

    let asked = tokio::spawn(async move { (v1.send_streaming_message(v1_send()).await, v1) });
    let mut stream = agent.expect(Operation::Stream).await.stream();
    stream.task(&stream.snapshot(TaskState::Working)).await;
    stream.artifact("a", "hi", true, false).await;
    stream.end().await;
    let (answer, mut v1) = asked.await.unwrap();
    let events: Vec<_> = answer.unwrap().into_inner().map(Result::unwrap).collect().await;
    let Some(a2a::stream_response::Payload::ArtifactUpdate(chunk)) = &events[1].payload else { panic!("{events:?}") };
    assert_eq!((events.len(), chunk.append, chunk.last_chunk, chunk.task_id.as_str()), (2, true, false, "task-2"));

    let asked = tokio::spawn(async move {
        let get = a2a::GetTaskRequest { id: "t-9".into(), ..a2a::GetTaskRequest::default() };
        v1.get_task(v1_request(get)).await
    });
    let call = agent.expect(Operation::Get).await;
    assert_eq!(call.task_id, "t-9");
    call.error(Kind::TaskNotFound);
    let error = asked.await.unwrap().unwrap_err();
    let info = error.get_details_error_info().unwrap();
    assert_eq!(
        (error.code(), info.reason.as_str(), info.domain.as_str()),
        (Code::NotFound, "TASK_NOT_FOUND", "a2a-protocol.org")
    );

    let mut agent = Upstream::start(Face::Grpc03, Options::default());
    let mut v03 = A2aV03Client::new(channel(&agent).await);
    let asked = tokio::spawn(async move { (v03.send_streaming_message(v03_send()).await, v03) });
    let mut stream = agent.expect(Operation::Stream).await.stream();
    stream.status(TaskState::Completed, "done").await;
    stream.end().await;
    let (answer, mut v03) = asked.await.unwrap();
    let events: Vec<_> = answer.unwrap().into_inner().map(Result::unwrap).collect().await;
    let Some(a2a_v03::stream_response::Payload::StatusUpdate(last)) = &events[0].payload else { panic!("{events:?}") };
    assert!(last.r#final && last.status.as_ref().unwrap().update.is_some());
    let asked = tokio::spawn(async move {
        let cancel = a2a_v03::CancelTaskRequest { name: "tasks/t-9".into() };
        v03.cancel_task(cancel).await
    });
    let call = agent.expect(Operation::Cancel).await;
    assert_eq!(call.task_id, "t-9");
    call.error_saying(Kind::TaskNotCancelable, "no");
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unimplemented, "TaskNotCancelableError: no"));
}

#[tokio::test]
async fn a_connection_breaks_where_the_script_says() {
    let http = client();
    for face in JSON {
        let mut agent = Upstream::start(face, Options::default());
        let asked = start(ask(&http, &agent, Operation::SEND, ""));
        agent.call().await.reset();
        assert!(asked.await.unwrap().is_err(), "{face:?}");

        let asked = start(ask(&http, &agent, Operation::Stream, ""));
        let mut stream = agent.call().await.stream();
        for n in 0..40 {
            stream.status(TaskState::Working, &format!("step {n}.")).await;
        }
        stream.reset().await;
        let mut body = asked.await.unwrap().unwrap().bytes_stream();
        let mut seen = Vec::new();
        let error = loop {
            match body.next().await.expect("the stream ended well") {
                Ok(bytes) => seen.extend(bytes),
                Err(error) => break error,
            }
        };
        assert!(error.is_body() || error.is_decode() || error.is_request(), "{error:?}");
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.contains("step 39."), "{face:?}: what came before the reset is lost: {seen}");
    }
    let mut agent = Upstream::start(Face::Grpc10, Options::default());
    let mut v1 = A2aServiceClient::new(channel(&agent).await);
    let asked = tokio::spawn(async move { v1.send_streaming_message(v1_send()).await });
    let mut stream = agent.call().await.stream();
    for n in 0..40 {
        stream.status(TaskState::Working, &format!("step {n}.")).await;
    }
    stream.reset().await;
    let mut events = asked.await.unwrap().unwrap().into_inner();
    for n in 0..40 {
        assert!(events.message().await.unwrap().is_some(), "what came before the reset is lost: {n}");
    }
    events.message().await.unwrap_err();
}

#[tokio::test]
async fn a_script_sees_that_its_caller_has_gone() {
    let http = client();
    for face in [Face::JsonRpc10, Face::Grpc10] {
        let mut agent = Upstream::start(face, Options::default());
        for streams in [false, true] {
            let operation = if streams { Operation::Stream } else { Operation::SEND };
            let asked = if face == Face::Grpc10 {
                let mut v1 = A2aServiceClient::new(channel(&agent).await);
                tokio::spawn(async move {
                    let answer = v1.send_streaming_message(v1_send()).await;
                    std::future::pending::<()>().await;
                    drop(answer);
                })
            } else {
                let request = ask(&http, &agent, operation, "");
                tokio::spawn(async move {
                    let response = request.send().await;
                    std::future::pending::<()>().await;
                    drop(response);
                })
            };
            let call = agent.call().await;
            if streams {
                let mut stream = call.stream();
                stream.status(TaskState::Working, "").await;
                asked.abort();
                stream.gone().await;
            } else {
                asked.abort();
                call.gone().await;
            }
        }
    }
}

#[tokio::test]
async fn a_stopped_agent_refuses_connections_and_comes_back_on_its_port() {
    let http = client();
    let mut agent = Upstream::start(Face::Rest10, Options::default());
    let (url, waiting) = (agent.url(), start(ask(&http, &agent, Operation::SEND, "")));
    agent.call().await.hang();
    agent.stop().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(ask(&http, &agent, Operation::SEND, "").send().await.unwrap_err().is_connect());
    agent.resume();
    assert_eq!(agent.url(), url);
    let asked = start(ask(&http, &agent, Operation::Get, "t%2F1"));
    let call = agent.call().await;
    assert_eq!((call.task_id.as_str(), call.history_length), ("t/1", Some(2)));
    call.raw_http(503, &[("retry-after", "7")], "later");
    let answer = asked.await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    agent.restart().await;
    assert!(agent.try_call().is_none());
}

#[tokio::test]
async fn what_no_client_of_the_face_may_send_fails_the_test() {
    let http = client();
    let part = json!({"text": "hi"});
    let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [part]});
    let rpc = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": "1", "method": method, "params": params});
    let mut old = message.clone();
    old["kind"] = "message".into();
    let rows = [
        (Face::JsonRpc10, "/rpc", "1.0", rpc("SendMessage", json!({"message": old})), "kind"),
        (Face::JsonRpc10, "/rpc", "0.3", rpc("SendMessage", json!({"message": message})), "A2A-Version"),
        (Face::JsonRpc10, "/rpc", "1.0", rpc("message/send", json!({"message": message})), "unknown method"),
        (Face::JsonRpc10, "/", "1.0", rpc("SendMessage", json!({"message": message})), "POST to /"),
        (Face::JsonRpc10, "/rpc", "1.0", rpc("GetTask", json!({"id": "t", "historyLength": null})), "historyLength"),
        (Face::JsonRpc03, "/rpc", "0.3", rpc("message/send", json!({"message": old})), "the role is not user"),
        (Face::Praison, "/a2a", "", rpc("message/send", json!({"message": old})), "kind"),
        (Face::Praison, "/a2a", "", rpc("tasks/resubscribe", json!({"id": "t"})), "unknown method"),
        (Face::Rest03, "/rest/v1/message:send", "", json!({"message": message}), "parts"),
        (Face::Rest03, "/rest/message:send", "", json!({"message": message}), "no such path"),
        (Face::Rest10, "/rest/v1/message:send/x", "1.0", json!({"message": message}), "POST"),
        (Face::Grpc10, "", "1.0", json!({}), "not gRPC"),
    ];
    for (face, path, version, body, expected) in rows {
        let mut agent = Upstream::start(face, Options::default());
        let base = if face == Face::Grpc10 { format!("http://{}", agent.endpoint()) } else { agent.url() };
        let mut request = http.post(format!("{base}{path}")).json(&body);
        if !version.is_empty() {
            request = request.header("a2a-version", version);
        }
        assert_eq!(request.send().await.unwrap().status(), 400, "{face:?} {body}");
        let failed = tokio::spawn(async move { drop(agent.call().await) }).await.unwrap_err().into_panic();
        let text = failed.downcast_ref::<String>().unwrap();
        assert!(text.contains(expected), "{face:?} {body}: {text}");
    }
}
