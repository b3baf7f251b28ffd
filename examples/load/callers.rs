//! The calls that are measured, each with a check of its answers.
//!
//! Every answer's status is checked; one in [`CHECK_EVERY`] is decoded and its content compared, since the checks
//! share the machine with what they check.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use a2a_gateway::proto::{
    a2a::{
        GetTaskRequest, Message, Part, Role, SendMessageRequest, Task, TaskState, a2a_service_client::A2aServiceClient,
        part::Content, send_message_response::Payload,
    },
    gateway::{ListTasksRequest, NewWebhook, SubmitTaskRequest, TaskRecord, gateway_client::GatewayClient},
};
use bytes::Bytes;

use crate::{Result, client_grpc::Connection, client_http::HttpConnection, rounds::Caller};

/// One answer in this many is checked in full.
const CHECK_EVERY: u64 = 256;

/// A user's message with one text part.
pub fn message(text: &str) -> Message {
    Message {
        message_id: "load".to_owned(),
        role: Role::User.into(),
        parts: vec![Part { content: Some(Content::Text(text.to_owned())), ..Part::default() }],
        ..Message::default()
    }
}

/// Says which answers to check in full: the first and then one in [`CHECK_EVERY`].
#[derive(Default)]
struct Sampler(u64);

impl Sampler {
    fn hit(&mut self) -> bool {
        let hit = self.0.is_multiple_of(CHECK_EVERY);
        self.0 += 1;
        hit
    }
}

/// A blocking `SendMessage` by JSON-RPC.
pub struct JsonRpcSend {
    connection: HttpConnection,
    body: Bytes,
    sampler: Sampler,
}

impl JsonRpcSend {
    /// Callers with a connection each.
    pub async fn callers(address: &str, count: usize) -> Result<Vec<Self>> {
        let body = Bytes::from_static(
            br#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"load","role":"ROLE_USER","parts":[{"text":"hello"}]}}}"#,
        );
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = HttpConnection::open(address).await?;
            callers.push(Self { connection, body: body.clone(), sampler: Sampler::default() });
        }
        Ok(callers)
    }
}

impl Caller for JsonRpcSend {
    async fn call(&mut self) -> Result<()> {
        let answer = self.connection.call(self.body.clone()).await?;
        if self.sampler.hit() {
            return check_json(&answer);
        }
        // A JSON-RPC error also comes with HTTP status 200; it is much shorter to look for the state than to parse.
        let state = TaskState::Completed.as_str_name().as_bytes();
        if answer.windows(state.len()).any(|window| window == state) { Ok(()) } else { check_json(&answer) }
    }
}

/// A blocking `SendMessage` by gRPC.
pub struct GrpcSend {
    client: A2aServiceClient<Connection>,
    sampler: Sampler,
}

impl GrpcSend {
    /// Callers spread over shared connections.
    pub async fn callers(address: &str, count: usize) -> Result<Vec<Self>> {
        spread(address, count, |connection| Self { client: connection.a2a(), sampler: Sampler::default() }).await
    }
}

impl Caller for GrpcSend {
    async fn call(&mut self) -> Result<()> {
        let request = SendMessageRequest { message: Some(message("hello")), ..SendMessageRequest::default() };
        let Some(Payload::Task(task)) = self.client.send_message(request).await?.into_inner().payload else {
            return Err("SendMessage answered without a task".into());
        };
        check_state(&task)?;
        if self.sampler.hit() { check_artifact(&task) } else { Ok(()) }
    }
}

/// A `SubmitTask` that does not wait.
pub struct Submit {
    client: GatewayClient<Connection>,
    hooks: Hooks,
}

/// What webhooks to bring with each task: one from each list, in turns.
#[derive(Clone, Default)]
pub struct Hooks {
    lists: Vec<Arc<[String]>>,
    next: Arc<AtomicUsize>,
}

impl Hooks {
    /// From lists of URLs, none of them empty.
    pub fn new(lists: Vec<Arc<[String]>>) -> Self {
        Self { lists, next: Arc::default() }
    }

    /// For how many tasks they were taken.
    pub fn taken(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    fn next(&self) -> Vec<NewWebhook> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let url = |list: &Arc<[String]>| list[number % list.len()].clone();
        self.lists.iter().map(|list| NewWebhook { url: url(list), ..NewWebhook::default() }).collect()
    }
}

impl Submit {
    /// Callers spread over shared connections.
    pub async fn callers(address: &str, count: usize) -> Result<Vec<Self>> {
        Self::callers_with(address, count, &Hooks::default()).await
    }

    /// The same, whose tasks bring webhooks.
    pub async fn callers_with(address: &str, count: usize, hooks: &Hooks) -> Result<Vec<Self>> {
        spread(address, count, |connection| Self { client: connection.gateway(), hooks: hooks.clone() }).await
    }

    /// Submits one task and returns it as it was stored.
    pub async fn submit(&mut self) -> Result<TaskRecord> {
        let (message, webhooks) = (Some(message("hello")), self.hooks.next());
        let request = SubmitTaskRequest { message, webhooks, ..SubmitTaskRequest::default() };
        let record = self.client.submit_task(request).await?.into_inner();
        if record.sequence < 1 || record.task.as_ref().is_none_or(|task| task.id.is_empty()) {
            return Err(format!("SubmitTask answered {record:?}").into());
        }
        Ok(record)
    }
}

impl Caller for Submit {
    async fn call(&mut self) -> Result<()> {
        self.submit().await.map(|_| ())
    }
}

/// A `GetTask` of one of many tasks.
pub struct Get {
    client: A2aServiceClient<Connection>,
    ids: Arc<[String]>,
    random: u64,
    sampler: Sampler,
}

impl Get {
    /// Callers spread over shared connections, each with a random order of its own.
    pub async fn callers(address: &str, count: usize, ids: &Arc<[String]>) -> Result<Vec<Self>> {
        let mut seed = 0;
        spread(address, count, |connection| {
            seed += 1;
            let (client, ids) = (connection.a2a(), ids.clone());
            Self { client, ids, random: 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed), sampler: Sampler::default() }
        })
        .await
    }

    /// The next index: xorshift64, ample for picking tasks.
    fn next_index(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % self.ids.len() as u64) as usize
    }
}

impl Caller for Get {
    async fn call(&mut self) -> Result<()> {
        let index = self.next_index();
        let id = self.ids[index].clone();
        let request = GetTaskRequest { id, ..GetTaskRequest::default() };
        let task = self.client.get_task(request).await?.into_inner();
        check_state(&task)?;
        if self.sampler.hit() { check_artifact(&task) } else { Ok(()) }
    }
}

/// A `ListTasks` of the first page.
pub struct List {
    client: GatewayClient<Connection>,
    at_least: i32,
}

impl List {
    /// Callers spread over shared connections, of a gateway that holds at least so many tasks.
    pub async fn callers(address: &str, count: usize, at_least: usize) -> Result<Vec<Self>> {
        let at_least = i32::try_from(at_least)?;
        spread(address, count, |connection| Self { client: connection.gateway(), at_least }).await
    }
}

impl Caller for List {
    async fn call(&mut self) -> Result<()> {
        let page = self.client.list_tasks(ListTasksRequest::default()).await?.into_inner();
        if page.tasks.len() != 50 || page.total_size < self.at_least {
            return Err(format!("ListTasks answered {} of {} tasks", page.tasks.len(), page.total_size).into());
        }
        Ok(())
    }
}

/// Makes callers that share up to eight HTTP/2 connections, as the channels of a busy service do.
async fn spread<C>(address: &str, count: usize, mut caller: impl FnMut(&Connection) -> C) -> Result<Vec<C>> {
    let connections = Connection::open_many(address, count.min(8)).await?;
    Ok(connections.iter().cycle().take(count).map(&mut caller).collect())
}

fn check_state(task: &Task) -> Result<()> {
    match task.status.as_ref().map(|status| status.state()) {
        Some(TaskState::Completed) => Ok(()),
        other => Err(format!("the task is not completed but {other:?}").into()),
    }
}

fn check_artifact(task: &Task) -> Result<()> {
    let text: String = (task.artifacts.iter().flat_map(|artifact| &artifact.parts))
        .filter_map(|part| match &part.content {
            Some(Content::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    check_text(&text)
}

fn check_json(answer: &[u8]) -> Result<()> {
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    let task = &answer["result"]["task"];
    if answer["jsonrpc"] != "2.0" || answer["id"] != 1 || task["status"]["state"] != "TASK_STATE_COMPLETED" {
        return Err(format!("SendMessage answered {answer}").into());
    }
    let parts = task["artifacts"].as_array().into_iter().flatten().flat_map(|artifact| artifact["parts"].as_array());
    let text: String = parts.flatten().filter_map(|part| part["text"].as_str()).collect();
    check_text(&text)
}

fn check_text(text: &str) -> Result<()> {
    if text == "Echo: hello" { Ok(()) } else { Err(format!("the artifact says {text:?}").into()) }
}
