//! Callers: each turns to a random gateway with each call, and to another one when that does not answer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use a2a_gateway::proto::{
    a2a::{TaskState, TaskStatus},
    gateway::{
        CancelTaskRequest, NewWebhook, SubmitTaskRequest, TaskEvent, TaskRecord, WatchTaskRequest,
        gateway_client::GatewayClient, task_event::Event,
    },
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tonic::{
    Code, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::{
    hooks::Hooks,
    process::{LIMIT, Random, submit},
};

/// How long a gateway may take to answer, or a stream may be silent, before another one is asked.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between a call that failed and the next.
const PAUSE: Duration = Duration::from_millis(20);

/// A client of several gateways.
pub struct Client {
    channels: Vec<GatewayClient<Channel>>,
    pub random: Random,
    /// Calls and streams that broke.
    pub losses: usize,
}

impl Client {
    pub fn new(addresses: &[String], random: Random) -> Self {
        let channels = addresses.iter().map(|address| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
            GatewayClient::new(endpoint.connect_lazy())
        });
        Self { channels: channels.collect(), random, losses: 0 }
    }

    /// A gateway.
    pub fn any(&mut self) -> GatewayClient<Channel> {
        self.channels[self.random.below(self.channels.len() as u64) as usize].clone()
    }

    /// Calls one gateway after the other until one answers or refuses.
    pub async fn insist<Q: Clone, T, F>(
        &mut self,
        request: &Q,
        call: impl Fn(GatewayClient<Channel>, Q) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + LIMIT;
        loop {
            let last = match timeout(PATIENCE, call(self.any(), request.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if !is_loss(&status) => return Err(status),
                Ok(Err(status)) => status.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            self.lost(&last, deadline).await;
        }
    }

    async fn lost(&mut self, last: &str, deadline: Instant) {
        self.losses += 1;
        assert!(Instant::now() < deadline, "no gateway answers: {last}");
        tokio::time::sleep(PAUSE).await;
    }

    /// Says something, once, however often it is called for.
    async fn submit(&mut self, request: &SubmitTaskRequest) -> TaskRecord {
        let call = |mut gateway: GatewayClient<_>, request| async move { gateway.submit_task(request).await };
        self.insist(request, call).await.unwrap_or_else(|status| panic!("{request:?}: {status:?}"))
    }

    /// Cancels a task, unless it has settled before.
    async fn cancel(&mut self, what: &str, id: &str) {
        let request = CancelTaskRequest { task_id: id.to_owned(), metadata: None };
        let call = |mut gateway: GatewayClient<_>, request| async move { gateway.cancel_task(request).await };
        match self.insist(&request, call).await {
            Ok(record) => assert_eq!(record.task.unwrap().status.unwrap().state(), TaskState::Canceled, "{what}"),
            Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{what}: {status:?}"),
        }
    }

    /// Opens a watch of a task at any gateway.
    pub async fn watch(&mut self, id: &str, after: i64) -> Streaming<TaskEvent> {
        let request = WatchTaskRequest { task_id: id.to_owned(), after_sequence: Some(after) };
        let call = |mut gateway: GatewayClient<_>, request| async move { gateway.watch_task(request).await };
        self.insist(&request, call).await.unwrap_or_else(|status| panic!("watching {id} after {after}: {status:?}"))
    }

    /// The whole log of a task that settles.
    pub async fn log(&mut self, id: &str) -> Vec<TaskEvent> {
        let mut watch = Watch::new(id);
        while watch.next(self).await.is_some() {}
        watch.events
    }
}

/// A watch of a task to its end, now at this gateway, now at that one.
struct Watch {
    id: String,
    /// What came.
    events: Vec<TaskEvent>,
    /// The stream of the moment, and how much is read of it.
    stream: Option<(Streaming<TaskEvent>, u64)>,
}

impl Watch {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), events: Vec::new(), stream: None }
    }

    /// The next event; none: the task has settled.
    async fn next(&mut self, client: &mut Client) -> Option<TaskEvent> {
        let (id, after) = (&self.id, self.events.len() as i64);
        let deadline = Instant::now() + LIMIT;
        loop {
            let (mut stream, left) = match self.stream.take() {
                Some((stream, left)) if left > 0 => (stream, left),
                _ => (client.watch(id, after).await, 1 + client.random.below(40)),
            };
            let last = match timeout(PATIENCE, stream.message()).await {
                Ok(Ok(Some(event))) => {
                    assert_eq!((event.sequence, &event.task_id), (after + 1, id), "{event:?}");
                    self.events.push(event.clone());
                    self.stream = Some((stream, left - 1));
                    return Some(event);
                }
                Ok(Ok(None)) => {
                    let last = self.events.last().and_then(state);
                    assert!(last.is_some_and(is_settled), "{id}: the watch ended after {last:?}");
                    return None;
                }
                Ok(Err(status)) if !is_loss(&status) => panic!("watching {id} after {after}: {status:?}"),
                Ok(Err(status)) => status.to_string(),
                Err(_) => format!("nothing of {id} came after {after}"),
            };
            client.lost(&last, deadline).await;
        }
    }
}

/// Whether the gateway is not there, or says that it cannot now.
pub fn is_loss(status: &Status) -> bool {
    status.code() == Code::Unavailable || status.get_details_error_info().is_none()
}

/// What is done with one task.
#[derive(Clone, Debug)]
pub struct Plan {
    pub agent: &'static str,
    /// The message, its id and the request's.
    pub text: String,
    /// After so many events.
    pub cancel: Option<usize>,
    /// The path of its own webhook.
    pub hook: Option<String>,
}

impl Plan {
    fn random(random: &mut Random, agent: &'static str, name: &str) -> Self {
        let ask = if random.below(3) == 0 { " ask" } else { "" };
        let most = 1 << random.below(7);
        let text = format!("{name} {}{ask}", 1 + random.below(most));
        let cancel = (random.below(6) == 0).then(|| 1 + random.below(12) as usize);
        let hook = (random.below(2) == 0).then(|| format!("/own/{name}"));
        Self { agent, text, cancel, hook }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Story {
    pub plan: Plan,
    pub id: String,
    /// What each of its watchers saw.
    pub watched: [Vec<TaskEvent>; 2],
}

/// What workers have done.
#[derive(Clone, Default)]
pub struct Stories(Arc<Mutex<(Vec<Story>, usize)>>);

impl Stories {
    /// All of them.
    pub fn take(&self) -> Vec<Story> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }

    /// How many calls and streams broke.
    pub fn losses(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

/// Plays stories at an agent as long as faults may come.
pub async fn work(
    mut client: Client,
    agent: &'static str,
    number: usize,
    running: watch::Receiver<()>,
    hooks: Hooks,
    told: Stories,
) {
    for n in 0.. {
        if running.has_changed().is_err() {
            break;
        }
        let plan = Plan::random(&mut client.random, agent, &format!("{number}.{n}"));
        let story = client.play(plan, &hooks).await;
        told.0.lock().unwrap().0.push(story);
    }
    told.0.lock().unwrap().1 += client.losses;
}

impl Client {
    /// Plays a whole story.
    async fn play(&mut self, plan: Plan, hooks: &Hooks) -> Story {
        let webhook = plan.hook.as_ref().map(|path| hooks.hook(path));
        let record = self.submit(&said(plan.agent, &plan.text, "", webhook)).await;
        let id = record.task.unwrap().id;
        let mut second = Self { channels: self.channels.clone(), random: self.random.fork(), losses: 0 };
        let beside = id.clone();
        let beside = tokio::spawn(async move { (second.log(&beside).await, second.losses) });
        let (mut answers, mut cancel) = (0, plan.cancel);
        let name = plan.text.split(' ').next().unwrap();
        let mut watch = Watch::new(&id);
        while let Some(event) = watch.next(self).await {
            let asked = state(&event) == Some(TaskState::InputRequired);
            if cancel.is_some_and(|after| watch.events.len() >= after) {
                cancel = None;
                self.cancel(&plan.text, &id).await;
            } else if asked && (plan.cancel.is_none() || cancel.is_some()) {
                let answer = format!("{name}/{} {}", answers + 1, 1 + self.random.below(30));
                self.submit(&said("", &answer, &id, None)).await;
                answers += 1;
            }
        }
        let (other, losses) = beside.await.unwrap();
        self.losses += losses;
        Story { plan, id, watched: [watch.events, other] }
    }
}

fn said(agent: &str, text: &str, task_id: &str, webhook: Option<NewWebhook>) -> SubmitTaskRequest {
    let mut request = SubmitTaskRequest { agent: agent.to_owned(), ..submit(text, text) };
    request.webhooks.extend(webhook);
    let message = request.message.as_mut().unwrap();
    text.clone_into(&mut message.message_id);
    task_id.clone_into(&mut message.task_id);
    request
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

pub fn is_settled(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected)
}
