//! The bare echo: what axum and tonic do on this machine without tasks, store or watchers.
//!
//! One port, as the gateway: `POST /a2a` decodes a JSON-RPC `SendMessage` and answers a completed task of about the
//! size of the gateway's answer; the A2A gRPC service answers `SendMessage` and `GetTask` likewise.

use std::{
    io::{Read as _, Write as _},
    pin::Pin,
};

use a2a_gateway::proto::a2a::{
    AgentCard, Artifact, CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse, ListTasksRequest, ListTasksResponse, Message, Part, Role,
    SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskPushNotificationConfig,
    TaskState, TaskStatus,
    a2a_service_server::{A2aService, A2aServiceServer},
    part::Content,
    send_message_response::Payload,
};
use a2a_gateway::proto::well_known::Timestamp;
use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response as HttpResponse},
    routing::post,
};
use bytes::Bytes;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes};

use crate::Result;

/// Ids and a time of the gateway's form and length.
const TASK: &str = "0198c0de-0000-7000-8000-000000000001";
const CONTEXT: &str = "0198c0de-0000-7000-8000-000000000002";
const ARTIFACT: &str = "0198c0de-0000-7000-8000-000000000003";
const TIME: &str = "2026-01-01T00:00:00.000Z";
const TIME_MILLIS: i64 = 1_767_225_600_000;

/// Serves until standard input closes, so that it never outlives the process that started it. Prints its address first.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let (gone, parent_gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    let app: Router = Routes::new(A2aServiceServer::new(Echo)).into_axum_router().route("/a2a", post(answer_json_rpc));
    tokio::select! {
        served = accept(listener, app) => served,
        _ = parent_gone => Ok(()),
    }
}

async fn accept(listener: TcpListener, app: Router) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let app = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            // A client that goes away ends its connection with an error; there is nobody to tell.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), app).await;
        });
    }
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    message: JsonMessage<'a>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonMessage<'a> {
    message_id: &'a str,
    #[serde(default, skip_deserializing)]
    context_id: &'a str,
    #[serde(default, skip_deserializing)]
    task_id: &'a str,
    role: &'a str,
    #[serde(borrow)]
    parts: Vec<JsonPart<'a>>,
}

#[derive(Deserialize, Serialize)]
struct JsonPart<'a> {
    text: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: JsonResult<'a>,
}

#[derive(Serialize)]
struct JsonResult<'a> {
    task: JsonTask<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonTask<'a> {
    id: &'static str,
    context_id: &'static str,
    status: JsonStatus,
    artifacts: [JsonArtifact<'a>; 1],
    history: [JsonMessage<'a>; 1],
}

#[derive(Serialize)]
struct JsonStatus {
    state: &'static str,
    timestamp: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonArtifact<'a> {
    artifact_id: &'static str,
    parts: [JsonPart<'a>; 1],
}

async fn answer_json_rpc(body: Bytes) -> HttpResponse {
    let Ok(call) = serde_json::from_slice::<Call<'_>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(first) = call.params.message.parts.first().filter(|_| call.method == "SendMessage") else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let echo = JsonPart { text: format!("Echo: {}", first.text).into() };
    let task = JsonTask {
        id: TASK,
        context_id: CONTEXT,
        status: JsonStatus { state: "TASK_STATE_COMPLETED", timestamp: TIME },
        artifacts: [JsonArtifact { artifact_id: ARTIFACT, parts: [echo] }],
        history: [JsonMessage { context_id: CONTEXT, task_id: TASK, ..call.params.message }],
    };
    let reply = Reply { jsonrpc: "2.0", id: call.id, result: JsonResult { task } };
    match serde_json::to_vec(&reply) {
        Ok(body) => ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The A2A gRPC service without anything behind it.
struct Echo;

type NoStream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

fn text_part(text: String) -> Part {
    Part { content: Some(Content::Text(text)), ..Part::default() }
}

/// A completed task with one artifact that echoes the message.
fn completed(message: Message) -> Task {
    let text = match message.parts.first().and_then(|part| part.content.as_ref()) {
        Some(Content::Text(text)) => text.as_str(),
        _ => "",
    };
    let artifact = Artifact {
        artifact_id: ARTIFACT.to_owned(),
        parts: vec![text_part(format!("Echo: {text}"))],
        ..Artifact::default()
    };
    Task {
        id: TASK.to_owned(),
        context_id: CONTEXT.to_owned(),
        status: Some(TaskStatus {
            state: TaskState::Completed.into(),
            message: None,
            timestamp: Some(Timestamp::from_millis(TIME_MILLIS)),
        }),
        artifacts: vec![artifact],
        history: vec![Message { context_id: CONTEXT.to_owned(), task_id: TASK.to_owned(), ..message }],
        metadata: None,
    }
}

fn unimplemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("the bare echo only answers SendMessage and GetTask"))
}

#[tonic::async_trait]
impl A2aService for Echo {
    type SendStreamingMessageStream = NoStream<StreamResponse>;
    type SubscribeToTaskStream = NoStream<StreamResponse>;

    async fn send_message(&self, call: Request<SendMessageRequest>) -> Result<Response<SendMessageResponse>, Status> {
        let message = call.into_inner().message.ok_or_else(|| Status::invalid_argument("message is required"))?;
        Ok(Response::new(SendMessageResponse { payload: Some(Payload::Task(completed(message))) }))
    }

    async fn get_task(&self, call: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let message = Message {
            message_id: ARTIFACT.to_owned(),
            role: Role::User.into(),
            parts: vec![text_part("hello".to_owned())],
            ..Message::default()
        };
        Ok(Response::new(Task { id: call.into_inner().id, ..completed(message) }))
    }

    async fn send_streaming_message(
        &self,
        _: Request<SendMessageRequest>,
    ) -> Result<Response<Self::SendStreamingMessageStream>, Status> {
        unimplemented()
    }

    async fn list_tasks(&self, _: Request<ListTasksRequest>) -> Result<Response<ListTasksResponse>, Status> {
        unimplemented()
    }

    async fn cancel_task(&self, _: Request<CancelTaskRequest>) -> Result<Response<Task>, Status> {
        unimplemented()
    }

    async fn subscribe_to_task(
        &self,
        _: Request<SubscribeToTaskRequest>,
    ) -> Result<Response<Self::SubscribeToTaskStream>, Status> {
        unimplemented()
    }

    async fn create_task_push_notification_config(
        &self,
        _: Request<TaskPushNotificationConfig>,
    ) -> Result<Response<TaskPushNotificationConfig>, Status> {
        unimplemented()
    }

    async fn get_task_push_notification_config(
        &self,
        _: Request<GetTaskPushNotificationConfigRequest>,
    ) -> Result<Response<TaskPushNotificationConfig>, Status> {
        unimplemented()
    }

    async fn list_task_push_notification_configs(
        &self,
        _: Request<ListTaskPushNotificationConfigsRequest>,
    ) -> Result<Response<ListTaskPushNotificationConfigsResponse>, Status> {
        unimplemented()
    }

    async fn get_extended_agent_card(
        &self,
        _: Request<GetExtendedAgentCardRequest>,
    ) -> Result<Response<AgentCard>, Status> {
        unimplemented()
    }

    async fn delete_task_push_notification_config(
        &self,
        _: Request<DeleteTaskPushNotificationConfigRequest>,
    ) -> Result<Response<()>, Status> {
        unimplemented()
    }
}
