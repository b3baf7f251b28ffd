//! A gateway in front of one scripted agent, and what its callers see put into few words.

use std::{sync::Arc, time::Duration};

use a2a_gateway::{
    agent::{
        A2aAgent,
        a2a::{Mode, OnLost, Settings, Tls},
    },
    proto::a2a::TaskState,
};
use tokio::task::JoinHandle;

use crate::{
    door::{Answer, Client, Door, Events, Fault, Gateway, Item, Seen, Send, What},
    upstream::{Call, Face, Operation, Options, Upstream},
};

/// Longer than any test waits, so that no timeout comes between.
const LONG: Duration = Duration::from_secs(15);

/// Runs a scenario for each of the faces, at the same time.
pub async fn each<F>(faces: &[Face], scenario: impl Fn(Face) -> F)
where
    F: Future<Output = ()> + std::marker::Send + 'static,
{
    let running: Vec<_> = faces.iter().map(|face| (face, tokio::spawn(scenario(*face)))).collect();
    for (face, running) in running {
        assert!(running.await.is_ok(), "{face:?}: see above");
    }
}

/// The faces whose servers let a caller subscribe to a task and show it whole first.
pub const V1: [Face; 3] = [Face::JsonRpc10, Face::Rest10, Face::Grpc10];
/// The faces of 0.3.
pub const V03: [Face; 3] = [Face::JsonRpc03, Face::Rest03, Face::Grpc03];
/// All but PraisonAI's.
pub const A2A: [Face; 6] = [Face::JsonRpc10, Face::JsonRpc03, Face::Rest10, Face::Rest03, Face::Grpc10, Face::Grpc03];
/// The faces over HTTP.
pub const HTTP: [Face; 5] = [Face::JsonRpc10, Face::JsonRpc03, Face::Praison, Face::Rest10, Face::Rest03];

/// How the gateway reaches an agent: by its card, with patience, in this mode.
pub fn settings(agent: &Upstream, mode: Mode) -> Settings {
    Settings {
        name: "scripted".into(),
        url: agent.url(),
        interface: None,
        prefer: Vec::new(),
        headers: Vec::new(),
        tls: Tls::default(),
        mode,
        on_lost: OnLost::Fail,
        max_concurrency: None,
        connect_timeout: LONG,
        request_timeout: LONG,
        idle_timeout: LONG,
        unreachable_timeout: LONG,
        poll_interval: Duration::from_millis(200),
        card_refresh: Duration::from_secs(300),
        max_message: 1 << 20,
    }
}

/// A gateway with one agent, that can be restarted over its data.
pub struct Front {
    pub gateway: Gateway,
    /// Of the gateway's own API.
    pub client: Client,
    settings: Settings,
    dir: tempfile::TempDir,
}

impl Front {
    pub async fn open(settings: Settings) -> Self {
        Self::over(tempfile::tempdir().unwrap(), settings).await
    }

    async fn over(dir: tempfile::TempDir, settings: Settings) -> Self {
        let agent = A2aAgent::new(settings.clone(), Arc::default()).unwrap();
        let data = [("store.data_dir", dir.path().to_str().unwrap()), ("server.drain_deadline", "0")];
        let gateway = Gateway::start_with(vec![("scripted".into(), Arc::new(agent))], &data).await;
        let client = gateway.client(Door::Gateway);
        Self { gateway, client, settings, dir }
    }

    /// Stops the gateway; `meanwhile` runs while there is none.
    pub async fn restart<F: Future<Output = ()>>(self, meanwhile: F) -> Self {
        self.gateway.stop().await;
        meanwhile.await;
        Self::over(self.dir, self.settings).await
    }

    /// Sends a message and reads what comes of it.
    pub async fn say(&self, text: &str) -> Events {
        self.client.stream(Send { text, ..Send::default() }).await.unwrap()
    }

    /// Continues a task: what comes of it after what has been seen.
    pub async fn answer(&self, task: &str, text: &str) -> Events {
        self.client.stream(Send { text, task, ..Send::default() }).await.unwrap()
    }

    /// Sends a message and waits for the outcome, in the background.
    pub fn ask(&self, door: Door, text: &'static str) -> JoinHandle<Result<Answer, Fault>> {
        let client = self.gateway.client(door);
        tokio::spawn(async move { client.send(Send { text, ..Send::default() }).await })
    }

    /// Sends a message; the task as it is at once.
    pub async fn submit(&self, text: &str) -> Seen {
        self.client.send(Send { text, at_once: true, ..Send::default() }).await.unwrap().task()
    }

    /// The whole log of a task that settles.
    pub async fn log(&self, task: &str) -> Vec<Item> {
        self.client.watch(task, Some(0)).await.unwrap().rest().await
    }

    pub async fn task(&self, task: &str) -> Seen {
        self.client.get(task, None).await.unwrap()
    }
}

/// An agent behind a gateway.
pub struct Rig {
    pub agent: Upstream,
    pub front: Front,
}

impl Rig {
    pub async fn start(face: Face, mode: Mode) -> Self {
        Self::with(face, mode, |_| {}).await
    }

    pub async fn with(face: Face, mode: Mode, change: impl FnOnce(&mut Settings)) -> Self {
        let agent = Upstream::start(face, Options::default());
        let mut settings = settings(&agent, mode);
        change(&mut settings);
        Self { front: Front::open(settings).await, agent }
    }

    /// A task that streams: its events, and the call that brought it to the agent.
    pub async fn streaming(&mut self) -> (Events, Call) {
        let events = self.front.say("go").await;
        (events, self.agent.expect(Operation::Stream).await)
    }
}

/// The rest of a stream behind what has been seen of it: what all of it tells.
pub async fn finish(mut events: Events, seen: &mut Vec<Item>) -> Vec<String> {
    while let Some(item) = events.next().await {
        seen.push(item.unwrap());
    }
    told(seen)
}

/// What the events tell, one line each; checks that none is missing and none comes twice.
pub fn told(items: &[Item]) -> Vec<String> {
    let first = items.first().and_then(|item| item.sequence).unwrap_or_default();
    let sequences: Vec<_> = items.iter().map(|item| item.sequence.unwrap()).collect();
    assert!(sequences.iter().copied().eq((first..).take(items.len())), "{sequences:?}");
    items.iter().map(line).collect()
}

fn line(item: &Item) -> String {
    match &item.what {
        What::Task(task) => word(task.state),
        What::Status { state, said, .. } if said.is_empty() => word(*state),
        What::Status { state, said, .. } => format!("{}: {said}", word(*state)),
        What::Artifact { text, append, last } => {
            format!("{}{text}{}", if *append { "+" } else { "=" }, if *last { "." } else { "" })
        }
        What::Message(text) => format!("message {text}"),
        What::Done => "done".into(),
    }
}

fn word(state: TaskState) -> String {
    state.as_str_name().trim_start_matches("TASK_STATE_").to_lowercase()
}
