//! The gRPC door of A2A 0.3.

use a2a_gateway::proto::a2a::TaskState;
use a2a_gateway::proto::a2a_v03::{
    self as v03, AuthenticationInfo, CancelTaskRequest, CreateTaskPushNotificationConfigRequest,
    DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest, GetTaskRequest,
    ListTaskPushNotificationConfigRequest, Message, Part, PushNotificationConfig, Role, SendMessageConfiguration,
    SendMessageRequest, StreamResponse, Task, TaskPushNotificationConfig, TaskSubscriptionRequest,
    a2a_service_client::A2aServiceClient, part, send_message_response, stream_response::Payload,
};
use futures::StreamExt as _;
use tonic::{Code, Response, Status, transport::Channel};

use super::{Answer, Client, Events, Fault, Item, Seen, Send, What, grpc, push::Hook};

type Result<T> = std::result::Result<T, Fault>;

impl Client {
    /// A2A 0.3.
    pub fn a2a_v03(&self) -> A2aServiceClient<Channel> {
        A2aServiceClient::new(self.channel.clone())
    }
}

/// A message as callers send it.
pub fn message(text: &str) -> Message {
    Message {
        message_id: "m-1".into(),
        role: Role::User.into(),
        content: vec![Part { part: Some(part::Part::Text(text.into())), metadata: None }],
        ..Message::default()
    }
}

/// A message with a configuration, as the SDKs' clients send it.
pub fn request(send: &Send<'_>) -> SendMessageRequest {
    assert_eq!((send.key, send.tenant), ("", ""), "this door has neither keys nor tenants");
    let message = Message { task_id: send.task.into(), context_id: send.context.into(), ..message(send.text) };
    let configuration = SendMessageConfiguration {
        blocking: !send.at_once,
        history_length: send.history.unwrap_or_default(),
        ..SendMessageConfiguration::default()
    };
    SendMessageRequest { request: Some(message), configuration: Some(configuration), metadata: None }
}

pub async fn send(client: &Client, send: &Send<'_>) -> Result<Answer> {
    answer(client, request(send)).await
}

async fn answer(client: &Client, request: SendMessageRequest) -> Result<Answer> {
    let answer = client.a2a_v03().send_message(client.named(request)).await.map_err(fault)?.into_inner();
    Ok(match answer.payload.unwrap() {
        send_message_response::Payload::Task(task) => Answer::Task(seen(task)),
        send_message_response::Payload::Msg(message) => {
            assert_eq!(message.role(), Role::Agent);
            assert_ne!(message.context_id, "");
            Answer::Message(text(&message.content))
        }
    })
}

pub async fn stream(client: &Client, send: &Send<'_>) -> Result<Events> {
    let answer = client.a2a_v03().send_streaming_message(client.named(request(send))).await;
    answer.map(events).map_err(fault)
}

pub async fn get(client: &Client, id: &str, history: Option<i32>) -> Result<Seen> {
    let request = GetTaskRequest { name: format!("tasks/{id}"), history_length: history.unwrap_or_default() };
    client.a2a_v03().get_task(client.named(request)).await.map(|task| seen(task.into_inner())).map_err(fault)
}

pub async fn cancel(client: &Client, id: &str) -> Result<Seen> {
    let request = CancelTaskRequest { name: format!("tasks/{id}") };
    client.a2a_v03().cancel_task(client.named(request)).await.map(|task| seen(task.into_inner())).map_err(fault)
}

pub async fn watch(client: &Client, id: &str) -> Result<Events> {
    let request = TaskSubscriptionRequest { name: format!("tasks/{id}") };
    client.a2a_v03().task_subscription(client.named(request)).await.map(events).map_err(fault)
}

fn events(response: Response<tonic::Streaming<StreamResponse>>) -> Events {
    let items = response.into_inner().map(|event| {
        let (task, what) = match event.map_err(fault)?.payload.unwrap() {
            Payload::Task(task) => (task.id.clone(), What::Task(seen(task))),
            Payload::Msg(message) => (message.task_id, What::Message(text(&message.content))),
            Payload::StatusUpdate(update) => {
                assert_ne!(update.context_id, "");
                let (state, said) = status(update.status.as_ref().unwrap());
                (update.task_id, What::Status { state, said, last: Some(update.r#final) })
            }
            Payload::ArtifactUpdate(update) => {
                assert_ne!(update.context_id, "");
                let text = text(&update.artifact.unwrap().parts);
                (update.task_id, What::Artifact { text, append: update.append, last: update.last_chunk })
            }
        };
        Ok(Item { sequence: None, task, what })
    });
    Events(items.boxed())
}

fn status(status: &v03::TaskStatus) -> (TaskState, String) {
    let state = TaskState::try_from(status.state).unwrap();
    (state, status.update.as_ref().map(|message| text(&message.content)).unwrap_or_default())
}

fn seen(task: Task) -> Seen {
    let now = task.status.unwrap();
    assert!(now.timestamp.is_some());
    let (state, said) = status(&now);
    let line = |message: &Message| {
        let who = if message.role() == Role::User { "user" } else { "agent" };
        format!("{who}: {}", text(&message.content))
    };
    Seen {
        id: task.id,
        context: task.context_id,
        state,
        said,
        artifacts: task.artifacts.iter().map(|artifact| text(&artifact.parts)).collect(),
        history: task.history.iter().map(line).collect(),
    }
}

fn text(parts: &[Part]) -> String {
    let texts = parts.iter().map(|part| match &part.part {
        Some(part::Part::Text(text)) => text.as_str(),
        _ => "[not text]",
    });
    texts.collect()
}

/// A status in common values: what this contract calls otherwise than 1.0's has 1.0's name.
pub fn fault(status: Status) -> Fault {
    let mut fault = grpc::fault(status);
    let reason = fault.info.as_ref().map(|info| info.reason.as_str()).unwrap_or_default();
    let unsupported = ["UNSUPPORTED_OPERATION", "PUSH_NOTIFICATION_NOT_SUPPORTED"].contains(&reason);
    assert_eq!(fault.code == Code::Unimplemented as i32, unsupported, "{fault:?}");
    if unsupported {
        fault.code = Code::FailedPrecondition as i32;
    }
    for (field, _) in &mut fault.fields {
        let common = field
            .replace("request.content", "message.parts")
            .replace("configuration.push_notification", "configuration.task_push_notification_config")
            .replace("config.push_notification_config.", "")
            .replace("authentication.schemes", "authentication.scheme")
            .replace("file.mime_type", "media_type");
        *field = match common.as_str() {
            "request" => "message".into(),
            "name" => "id".into(),
            "config_id" => "id".into(),
            "parent" => "task_id".into(),
            other => other.strip_prefix("request.").map_or(common.clone(), |rest| format!("message.{rest}")),
        };
    }
    fault
}

fn config(hook: &Hook) -> PushNotificationConfig {
    PushNotificationConfig {
        id: hook.id.clone(),
        url: hook.url.clone(),
        token: hook.token.clone(),
        authentication: hook
            .auth
            .clone()
            .map(|(scheme, credentials)| AuthenticationInfo { schemes: vec![scheme], credentials }),
    }
}

fn hook(config: TaskPushNotificationConfig) -> Hook {
    let name = config.name.strip_prefix("tasks/").unwrap();
    let (task, id) = name.split_once("/pushNotificationConfigs/").unwrap();
    let inner = config.push_notification_config.unwrap();
    assert_eq!(inner.id, id);
    let auth = inner.authentication.map(|info| {
        let [scheme] = <[String; 1]>::try_from(info.schemes).unwrap();
        (scheme, info.credentials)
    });
    Hook { id: id.into(), task: task.into(), url: inner.url, token: inner.token, auth }
}

pub async fn set_hook(client: &Client, hook: &Hook) -> Result<Hook> {
    let inner = TaskPushNotificationConfig { name: String::new(), push_notification_config: Some(config(hook)) };
    let request = CreateTaskPushNotificationConfigRequest {
        parent: format!("tasks/{}", hook.task),
        config_id: hook.id.clone(),
        config: Some(inner),
    };
    let answer = client.a2a_v03().create_task_push_notification_config(client.named(request)).await;
    answer.map(|config| self::hook(config.into_inner())).map_err(fault)
}

fn hook_name(task: &str, id: &str) -> String {
    format!("tasks/{task}/pushNotificationConfigs/{id}")
}

pub async fn get_hook(client: &Client, task: &str, id: &str) -> Result<Hook> {
    let request = GetTaskPushNotificationConfigRequest { name: hook_name(task, id) };
    let answer = client.a2a_v03().get_task_push_notification_config(client.named(request)).await;
    answer.map(|config| hook(config.into_inner())).map_err(fault)
}

pub async fn hooks(client: &Client, task: &str) -> Result<(Vec<Hook>, String)> {
    let request = ListTaskPushNotificationConfigRequest { parent: format!("tasks/{task}"), ..Default::default() };
    let answer = client.a2a_v03().list_task_push_notification_config(client.named(request)).await;
    let list = answer.map_err(fault)?.into_inner();
    Ok((list.configs.into_iter().map(hook).collect(), list.next_page_token))
}

pub async fn drop_hook(client: &Client, task: &str, id: &str) -> Result<()> {
    let request = DeleteTaskPushNotificationConfigRequest { name: hook_name(task, id) };
    client.a2a_v03().delete_task_push_notification_config(client.named(request)).await.map(drop).map_err(fault)
}

fn with_hook(send: &Send<'_>, hook: &Hook) -> SendMessageRequest {
    let mut request = request(send);
    request.configuration.as_mut().unwrap().push_notification = Some(config(hook));
    request
}

pub async fn send_hook(client: &Client, send: &Send<'_>, hook: &Hook) -> Result<Seen> {
    answer(client, with_hook(send, hook)).await.map(Answer::task)
}

pub async fn stream_hook(client: &Client, send: &Send<'_>, hook: &Hook) -> Result<Events> {
    let answer = client.a2a_v03().send_streaming_message(client.named(with_hook(send, hook))).await;
    answer.map(events).map_err(fault)
}
