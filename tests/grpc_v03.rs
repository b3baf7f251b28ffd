//! What only the gRPC binding of A2A 0.3 has: resource names, what is left out of requests, and its card.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use a2a_gateway::proto::a2a_v03::{
    self as v03, CancelTaskRequest, CreateTaskPushNotificationConfigRequest, DeleteTaskPushNotificationConfigRequest,
    GetAgentCardRequest, GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigRequest,
    SendMessageConfiguration, SendMessageRequest, TaskState, TaskSubscriptionRequest, part, send_message_response,
};
use door::{grpc::fault, grpc_v03::message, kinds::*, *};
use tonic::{Code, Request};

fn task(answer: tonic::Response<v03::SendMessageResponse>) -> v03::Task {
    match answer.into_inner().payload.unwrap() {
        send_message_response::Payload::Task(task) => task,
        send_message_response::Payload::Msg(message) => panic!("a message instead of a task: {message:?}"),
    }
}

#[tokio::test]
async fn names_have_the_form_of_the_contract_and_what_has_not_is_refused_by_its_field() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let client = gateway.client(Door::Grpc03);
    let id = client.send(say("hello")).await.unwrap().task().id;
    let mut a2a = client.a2a_v03();
    let long = format!("tasks/{}", "x".repeat(257));
    for name in ["", "tasks/", &id, &format!("task/{id}"), &format!("tasks/{id}/more"), "tasks/a\nb", &long] {
        let name = name.to_owned();
        for status in [
            a2a.get_task(GetTaskRequest { name: name.clone(), history_length: 0 }).await.unwrap_err(),
            a2a.cancel_task(CancelTaskRequest { name: name.clone() }).await.unwrap_err(),
            a2a.task_subscription(TaskSubscriptionRequest { name: name.clone() }).await.unwrap_err(),
        ] {
            assert!(fault(status).is(&INVALID_ARGUMENT).names("name"), "{name}");
        }
        let create = CreateTaskPushNotificationConfigRequest { parent: name.clone(), ..Default::default() };
        let list = ListTaskPushNotificationConfigRequest { parent: name.clone(), ..Default::default() };
        for status in [
            a2a.create_task_push_notification_config(create).await.unwrap_err(),
            a2a.list_task_push_notification_config(list).await.unwrap_err(),
        ] {
            assert!(fault(status).is(&INVALID_ARGUMENT).names("parent"), "{name}");
        }
    }
    for name in ["", "c", &format!("tasks/{id}"), &format!("tasks/{id}/pushNotificationConfigs/"), "tasks/t/configs/c"]
    {
        let get = GetTaskPushNotificationConfigRequest { name: name.into() };
        let delete = DeleteTaskPushNotificationConfigRequest { name: name.into() };
        for status in [
            a2a.get_task_push_notification_config(get).await.unwrap_err(),
            a2a.delete_task_push_notification_config(delete).await.unwrap_err(),
        ] {
            assert!(fault(status).is(&INVALID_ARGUMENT).names("name"), "{name}");
        }
    }
    // The collection's own name is taken for its parent's.
    let parent = format!("tasks/{id}/pushNotificationConfigs");
    let list = ListTaskPushNotificationConfigRequest { parent, ..Default::default() };
    assert!(a2a.list_task_push_notification_config(list).await.unwrap().into_inner().configs.is_empty());
}

#[tokio::test]
async fn fields_are_named_as_the_contract_names_them() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let mut a2a = gateway.client(Door::Grpc03).a2a_v03();
    let refused = a2a.send_message(SendMessageRequest::default()).await.unwrap_err();
    assert!(fault(refused).is(&INVALID_ARGUMENT).names("request"));
    let empty = v03::Message { content: Vec::new(), ..message("") };
    let refused = a2a.send_message(SendMessageRequest { request: Some(empty), ..Default::default() }).await;
    assert!(fault(refused.unwrap_err()).is(&INVALID_ARGUMENT).names("request.content"));
    let id = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    let create = CreateTaskPushNotificationConfigRequest { parent: format!("tasks/{id}"), ..Default::default() };
    let refused = a2a.create_task_push_notification_config(create).await.unwrap_err();
    assert!(fault(refused).is(&INVALID_ARGUMENT).names("config.push_notification_config.url"));
}

#[tokio::test]
async fn a_send_waits_where_it_says_so_or_says_nothing_at_all() {
    let gateway = Gateway::start().await;
    let mut a2a = gateway.client(Door::Grpc03).a2a_v03();
    for (configuration, state) in [
        (None, TaskState::Completed),
        (Some(SendMessageConfiguration { blocking: true, ..Default::default() }), TaskState::Completed),
        (Some(SendMessageConfiguration::default()), TaskState::Submitted),
    ] {
        let request = SendMessageRequest { request: Some(message("hello")), configuration, metadata: None };
        assert_eq!(task(a2a.send_message(request).await.unwrap()).status.unwrap().state(), state);
    }
}

#[tokio::test]
async fn files_are_read_in_both_forms_and_shown_as_base64_text() {
    let gateway = Gateway::start().await;
    let mut a2a = gateway.client(Door::Grpc03).a2a_v03();
    for bytes in [&b"\x00\x01 file"[..], b"AAEgZmlsZQ=="] {
        let file = v03::FilePart {
            file: Some(v03::file_part::File::FileWithBytes(bytes.into())),
            mime_type: "a/b".into(),
            name: "f".into(),
        };
        let mut message = message("hello");
        message.content.push(v03::Part { part: Some(part::Part::File(file)), metadata: None });
        let request = SendMessageRequest { request: Some(message), ..Default::default() };
        let task = task(a2a.send_message(request).await.unwrap());
        let Some(part::Part::File(file)) = &task.history[0].content[1].part else { panic!("{task:?}") };
        assert_eq!(file.file, Some(v03::file_part::File::FileWithBytes(b"AAEgZmlsZQ=="[..].into())));
        assert_eq!((file.mime_type.as_str(), file.name.as_str()), ("a/b", "f"));
    }
}

#[tokio::test]
async fn the_card_is_the_agents_with_the_interfaces_of_0_3() {
    let gateway = Gateway::start().await;
    let client = gateway.client(Door::Grpc03);
    let card = client.a2a_v03().get_agent_card(GetAgentCardRequest {}).await.unwrap().into_inner();
    assert_eq!((card.name.as_str(), card.protocol_version.as_str()), ("echo", "0.3.0"));
    assert_eq!((card.url, card.preferred_transport.as_str()), (gateway.url("/a2a"), "JSONRPC"));
    let interfaces: Vec<_> = card.additional_interfaces.into_iter().map(|each| (each.transport, each.url)).collect();
    let address = gateway.address.to_string();
    let expected = [("JSONRPC", gateway.url("/a2a")), ("HTTP+JSON", gateway.url("")), ("GRPC", address.clone())];
    assert_eq!(interfaces, expected.map(|(transport, url)| (transport.to_owned(), url)));
    assert!(!card.supports_authenticated_extended_card && card.capabilities.unwrap().streaming);
    let nobody = Client { metadata: "nobody".into(), ..client };
    let refused = nobody.a2a_v03().get_agent_card(nobody.named(GetAgentCardRequest {})).await.unwrap_err();
    fault(refused).is(&AGENT_NOT_FOUND);
    // Where clients of 0.3 look for it.
    let card = gateway.http.get(gateway.url("/.well-known/agent-card.json")).header("a2a-version", "0.3").send().await;
    let card: serde_json::Value = card.unwrap().json().await.unwrap();
    let grpc = serde_json::json!({"transport": "GRPC", "url": address});
    assert!(card["additionalInterfaces"].as_array().unwrap().contains(&grpc), "{card}");
}

#[tokio::test]
async fn only_known_versions_are_spoken() {
    let gateway = Gateway::start().await;
    let mut a2a = gateway.client(Door::Grpc03).a2a_v03();
    let with = |version: &'static str| {
        let mut request = Request::new(SendMessageRequest { request: Some(message("hello")), ..Default::default() });
        request.metadata_mut().insert("a2a-version", version.parse().unwrap());
        request
    };
    for version in ["99.0", "0.2", "x"] {
        fault(a2a.send_message(with(version)).await.unwrap_err()).is(&VERSION_NOT_SUPPORTED);
        fault(a2a.send_streaming_message(with(version)).await.unwrap_err()).is(&VERSION_NOT_SUPPORTED);
    }
    for version in ["0.3", "0.3.0", ""] {
        a2a.send_message(with(version)).await.unwrap();
    }
    assert_eq!(gateway.count().await, 3);
}

#[tokio::test]
async fn where_webhooks_are_off_configs_are_refused_whatever_they_are_called() {
    let gateway = Gateway::start_without_push().await;
    let mut a2a = gateway.client(Door::Grpc03).a2a_v03();
    let name = || "anything".to_owned();
    for status in [
        a2a.create_task_push_notification_config(CreateTaskPushNotificationConfigRequest::default()).await.unwrap_err(),
        a2a.get_task_push_notification_config(GetTaskPushNotificationConfigRequest { name: name() }).await.unwrap_err(),
        a2a.list_task_push_notification_config(ListTaskPushNotificationConfigRequest::default()).await.unwrap_err(),
        a2a.delete_task_push_notification_config(DeleteTaskPushNotificationConfigRequest { name: name() })
            .await
            .unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unimplemented);
        // In common values, which have 1.0's code.
        door::grpc_v03::fault(status).is(&PUSH_NOT_SUPPORTED);
    }
}
