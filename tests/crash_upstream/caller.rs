//! Callers: each begins a task through a door, stays with it over all kills, answers what its agent asks, and may
//! cancel it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use a2a_gateway::proto::{
    a2a::{TaskState, TaskStatus},
    gateway::{
        CancelTaskRequest, SubmitTaskRequest, TaskEvent, TaskRecord, WatchTaskRequest, gateway_client::GatewayClient,
        task_event::Event,
    },
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    process::{Random, connect, http, submit},
    sse::Parser,
};

/// How a task is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// gRPC, without waiting.
    Grpc,
    /// gRPC, waiting for the outcome.
    GrpcWaiting,
    /// JSON-RPC, without waiting.
    Json,
    /// JSON-RPC, waiting for the outcome.
    JsonWaiting,
    /// JSON-RPC, as a stream.
    JsonStream,
    /// JSON-RPC, waiting, without a key: not repeated when the answer was lost.
    JsonOnce,
}

const DOORS: [Door; 6] =
    [Door::Grpc, Door::GrpcWaiting, Door::Json, Door::JsonWaiting, Door::JsonStream, Door::JsonOnce];

/// What a caller does with one task.
#[derive(Clone, Debug)]
pub struct Plan {
    pub agent: &'static str,
    pub door: Door,
    pub text: String,
    /// After so many events.
    pub cancel: Option<usize>,
}

impl Plan {
    /// The n-th task of a worker. `asks`: the agent is one that can ask.
    pub fn random(random: &mut Random, agent: &'static str, name: &str, can_ask: bool) -> Self {
        let door = DOORS[random.below(DOORS.len() as u64) as usize];
        let ask = if can_ask && door != Door::JsonOnce && random.below(3) == 0 { " ask" } else { "" };
        let text = format!("{name} {}{ask}", 1 + random.below(24));
        let cancels = door != Door::JsonOnce && random.below(8) == 0;
        Self { agent, door, text, cancel: cancels.then(|| 1 + random.below(8) as usize) }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Story {
    pub plan: Plan,
    /// None: the answer was lost, and it is not known whether the task was stored.
    pub id: Option<String>,
    /// The answers to the agent's questions.
    pub answers: Vec<String>,
    /// In the order they came, over all connections.
    pub events: Vec<TaskEvent>,
    /// Connections lost.
    pub losses: usize,
}

/// Whether a call whose answer was lost is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat<'k> {
    Never,
    Always,
    /// With a key, so that it is done once.
    Keyed(&'k str),
}

/// A client that calls the gateway again after each of its kills.
pub struct Client {
    /// How many gateways there have been.
    generations: watch::Receiver<u64>,
    address: String,
    pub grpc: GatewayClient<Channel>,
    http: reqwest::Client,
    generation: u64,
    losses: usize,
}

impl Client {
    pub async fn new(address: &str, mut generations: watch::Receiver<u64>) -> Self {
        let generation = *generations.borrow_and_update();
        let grpc = connect(address).await.unwrap();
        Self { generations, address: address.to_owned(), grpc, http: http(), generation, losses: 0 }
    }

    /// How many gateways there have been.
    pub fn generation(&self) -> u64 {
        *self.generations.borrow()
    }

    /// After a call that failed: waits for the next gateway. What a gateway says while it runs is no reason.
    async fn lost(&mut self, what: &str, cause: &(dyn std::fmt::Debug + Sync)) {
        self.losses += 1;
        let old = self.generation;
        let next = tokio::time::timeout(Duration::from_secs(30), self.generations.wait_for(|now| *now > old));
        match next.await {
            Ok(next) => self.generation = *next.unwrap(),
            Err(_) => panic!("{what}: lost gateway {old}, which lives: {cause:?}"),
        }
        self.http = http();
        if let Ok(grpc) = connect(&self.address).await {
            self.grpc = grpc;
        }
    }

    async fn lost_grpc(&mut self, what: &str, status: &Status) {
        assert!(status.get_details_error_info().is_none(), "{what}: the gateway refused: {status:?}");
        self.lost(what, status).await;
    }

    async fn submit(&mut self, request: SubmitTaskRequest) -> TaskRecord {
        loop {
            match self.grpc.submit_task(request.clone()).await {
                Ok(record) => return record.into_inner(),
                Err(status) => self.lost_grpc(&request.request_id, &status).await,
            }
        }
    }

    /// Calls a method of JSON-RPC, until it is answered if it can be repeated. None: the answer was lost.
    async fn json(&mut self, agent: &str, repeat: Repeat<'_>, method: &str, params: Value) -> Option<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        loop {
            let mut request = self.http.post(format!("http://{}/agents/{agent}/a2a", self.address)).json(&body);
            if let Repeat::Keyed(key) = repeat {
                request = request.header("Idempotency-Key", key);
            }
            match async { request.send().await?.json::<Value>().await }.await {
                Ok(answer) => return Some(answer),
                Err(cause) => self.lost(&body.to_string(), &cause).await,
            }
            if repeat == Repeat::Never {
                return None;
            }
        }
    }

    /// Sends a message as a stream and reads that as long as it comes; gives the task's id.
    async fn stream(&mut self, plan: &Plan) -> String {
        let params = json!({ "message": message(&plan.text, &plan.text, "") });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": params});
        loop {
            let url = format!("http://{}/agents/{}/a2a", self.address, plan.agent);
            let request = self.http.post(url).json(&body).header("Idempotency-Key", &plan.text);
            let mut id = None;
            let read = async {
                let mut pieces = request.send().await?.bytes_stream();
                let mut parser = Parser::default();
                let mut last: Option<u64> = None;
                while let Some(piece) = pieces.next().await {
                    for frame in parser.push(&piece?) {
                        let result: Value = serde_json::from_str(&frame.data.unwrap()).unwrap();
                        if let Some(task) = result["result"]["task"]["id"].as_str() {
                            id = Some(task.to_owned());
                        }
                        let now = frame.id.unwrap().parse().unwrap();
                        assert!(last.is_none_or(|last| last + 1 == now), "{}: {now} after {last:?}", plan.text);
                        last = Some(now);
                    }
                }
                parser.finish();
                Ok::<_, reqwest::Error>(())
            };
            let read = read.await;
            match (read, id) {
                (_, Some(id)) => return id,
                (Ok(()), None) => panic!("{}: a stream without a task", plan.text),
                (Err(cause), None) => self.lost(&plan.text, &cause).await,
            }
        }
    }

    /// Begins a task; none: the answer was lost.
    pub async fn begin(&mut self, plan: &Plan) -> Option<String> {
        let text = &plan.text;
        match plan.door {
            Door::Grpc | Door::GrpcWaiting => {
                let wait = (plan.door == Door::GrpcWaiting).then(|| Duration::from_secs(60).into());
                let record = self.submit(SubmitTaskRequest { wait, ..said(plan.agent, text, text, "") }).await;
                Some(record.task.unwrap().id)
            }
            Door::Json | Door::JsonWaiting | Door::JsonOnce => {
                let at_once = plan.door == Door::Json;
                let params = json!({
                    "message": message(text, text, ""),
                    "configuration": { "returnImmediately": at_once },
                });
                let repeat = if plan.door == Door::JsonOnce { Repeat::Never } else { Repeat::Keyed(text) };
                let answer = self.json(plan.agent, repeat, "SendMessage", params).await?;
                let id = answer["result"]["task"]["id"].as_str();
                Some(id.unwrap_or_else(|| panic!("{text}: {answer}")).to_owned())
            }
            Door::JsonStream => Some(self.stream(plan).await),
        }
    }

    /// Answers a question of the agent's.
    async fn answer(&mut self, plan: &Plan, id: &str, text: &str) {
        match plan.door {
            Door::Grpc | Door::GrpcWaiting => {
                self.submit(said("", text, text, id)).await;
            }
            _ => {
                let configuration = json!({ "returnImmediately": true });
                let params = json!({ "message": message(text, text, id), "configuration": configuration });
                let answer = self.json(plan.agent, Repeat::Keyed(text), "SendMessage", params).await.unwrap();
                assert_eq!(answer["result"]["task"]["id"], id, "{text}: {answer}");
            }
        }
    }

    /// Cancels a task, unless it has settled before.
    async fn cancel(&mut self, plan: &Plan, id: &str) {
        if plan.door == Door::Grpc {
            loop {
                let request = CancelTaskRequest { task_id: id.to_owned(), metadata: None };
                match self.grpc.cancel_task(request).await {
                    Ok(_) => return,
                    Err(status) if status.code() == Code::FailedPrecondition => return,
                    Err(status) => self.lost_grpc(&plan.text, &status).await,
                }
            }
        }
        let answer = self.json(plan.agent, Repeat::Always, "CancelTask", json!({ "id": id })).await.unwrap();
        let state = answer["result"]["status"]["state"].as_str();
        let fits = state == Some("TASK_STATE_CANCELED") || answer["error"]["code"] == -32002;
        assert!(fits, "{}: {answer}", plan.text);
    }

    pub async fn watch(&mut self, id: &str, after: i64) -> Result<tonic::Streaming<TaskEvent>, Status> {
        let request = WatchTaskRequest { task_id: id.to_owned(), after_sequence: Some(after) };
        Ok(self.grpc.watch_task(request).await?.into_inner())
    }

    /// Plays a whole story.
    pub async fn play(&mut self, plan: Plan) -> Story {
        self.losses = 0;
        let mut story = Story { id: None, answers: Vec::new(), events: Vec::new(), losses: 0, plan };
        let Some(id) = self.begin(&story.plan.clone()).await else { return story };
        story.id = Some(id.clone());
        let mut cancel = story.plan.cancel;
        let mut canceled = false;
        loop {
            let after = story.events.len() as i64;
            let opened = self.generation;
            let mut stream = match self.watch(&id, after).await {
                Ok(stream) => stream,
                Err(status) => {
                    self.lost_grpc(&story.plan.text, &status).await;
                    continue;
                }
            };
            loop {
                match stream.message().await {
                    Ok(Some(event)) => {
                        let text = &story.plan.text;
                        assert_eq!(event.sequence, story.events.len() as i64 + 1, "{text}: resumed after {after}");
                        let asked = state(&event) == Some(TaskState::InputRequired);
                        story.events.push(event);
                        if cancel.is_some_and(|after| story.events.len() >= after) {
                            (cancel, canceled) = (None, true);
                            self.cancel(&story.plan, &id).await;
                        } else if asked && !canceled {
                            let name = story.plan.text.split(' ').next().unwrap();
                            let text = format!("{name}/{} 3", story.answers.len() + 1);
                            story.answers.push(text.clone());
                            self.answer(&story.plan, &id, &text).await;
                        }
                    }
                    Ok(None) => return Story { losses: self.losses, ..story },
                    // Answers and cancels may have met the next gateway before this stream is read on.
                    Err(_) if self.generation > opened => break,
                    Err(status) => {
                        self.lost_grpc(&story.plan.text, &status).await;
                        break;
                    }
                }
            }
        }
    }
}

/// What workers have done.
pub type Stories = Arc<Mutex<Vec<Story>>>;

/// Plays stories at an agent until the gateway that stays is there.
pub async fn work(
    mut client: Client,
    agent: &'static str,
    can_ask: bool,
    last: u64,
    mut random: Random,
    told: Stories,
) {
    let worker = random.below(u64::MAX);
    for n in 0.. {
        if client.generation() == last {
            return;
        }
        let plan = Plan::random(&mut random, agent, &format!("{worker:x}.{n}"), can_ask);
        let story = client.play(plan).await;
        told.lock().unwrap().push(story);
    }
}

/// A message over gRPC, with its text as its id and the request's.
fn said(agent: &str, text: &str, message_id: &str, task_id: &str) -> SubmitTaskRequest {
    let mut request = SubmitTaskRequest { agent: agent.to_owned(), ..submit(text, text) };
    let message = request.message.as_mut().unwrap();
    message_id.clone_into(&mut message.message_id);
    task_id.clone_into(&mut message.task_id);
    request
}

/// A message over JSON-RPC.
fn message(text: &str, message_id: &str, task_id: &str) -> Value {
    let mut message = json!({ "messageId": message_id, "role": "ROLE_USER", "parts": [{ "text": text }] });
    if !task_id.is_empty() {
        message["taskId"] = task_id.into();
    }
    message
}

pub fn status(event: &TaskEvent) -> Option<&TaskStatus> {
    match &event.event {
        Some(Event::StatusUpdate(update)) => update.status.as_ref(),
        _ => None,
    }
}

pub fn state(event: &TaskEvent) -> Option<TaskState> {
    status(event).map(TaskStatus::state)
}
