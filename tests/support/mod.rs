//! What the engine's tests share: an engine on a real SQLite store in a temporary folder, and agents that the test
//! steers by channels.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../database/mod.rs"]
pub mod database;
pub mod places;

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use a2a_gateway::{
    agent::{Agent, AgentError, Cancel, Echo, Recovery, Turn, Update, UpdateStream},
    engine::{Caller, Engine, Hub, Outcome, Parts, Reply, Settings, Submit},
    error::{Error, ErrorKind},
    metrics::Metrics,
    proto::a2a::{
        AgentCard, Artifact, Message, Part, Role, Task, TaskState, part::Content as PartContent,
        stream_response::Payload,
    },
    proto::well_known::Struct,
    store::{
        Acquired, Append, Asked, Backlog, Claims, Content, DeliveryPage, DeliveryQuery, FeedPage, Leases, Link,
        LogPage, NewTask, Outbox, Receipt, Redelivery, Requeued, Round, Sqlite, SqliteSettings, Standing, Store,
        Stored, Stray, TaskPage, TaskQuery, Used, Wanted, WebhookChange, WebhookPage, WebhookQuery, Webhooks, Which,
    },
    task::{Dialect, Event, Record, TaskId, Webhook, WebhookId},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};

/// An engine with the echo agent on a database in `dir`.
pub fn echo(dir: &Path) -> Engine {
    start(dir, vec![("echo".into(), Arc::new(Echo))], Settings::default(), 0)
}

/// An engine with the given agents on a database in `dir`, at most `max_size` bytes large (0: no limit).
pub fn start(dir: &Path, agents: Vec<(String, Arc<dyn Agent>)>, settings: Settings, max_size: u64) -> Engine {
    let metrics = Arc::new(Metrics::default());
    let hub = Hub::new(metrics.clone());
    let sqlite = SqliteSettings { max_size, ..SqliteSettings::new(dir) };
    let store = Sqlite::open(&sqlite, hub.clone(), metrics.clone()).unwrap();
    Engine::start(Parts { store: Arc::new(store), hub, agents, courier: None, settings, metrics })
}

/// As [`start`], on a store that does not list what an earlier process left until the gate opens.
pub fn start_gated(dir: &Path, agents: Vec<(String, Arc<dyn Agent>)>) -> (Engine, oneshot::Sender<()>) {
    let metrics = Arc::new(Metrics::default());
    let hub = Hub::new(metrics.clone());
    let sqlite = SqliteSettings::new(dir);
    let store = Sqlite::open(&sqlite, hub.clone(), metrics.clone()).unwrap();
    let (open, gate) = oneshot::channel();
    let store = Arc::new(Gated { store, gate: Mutex::new(Some(gate)) });
    (Engine::start(Parts { store, hub, agents, courier: None, settings: Settings::default(), metrics }), open)
}

struct Gated {
    store: Sqlite,
    gate: Mutex<Option<oneshot::Receiver<()>>>,
}

/// Hands the store's methods through.
macro_rules! through {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $kind),*) -> BoxFuture<'_, $answer> {
            self.store.$name($($arg),*)
        })*
    };
}

impl Store for Gated {
    through! {
        link(id: TaskId) -> Result<Option<Link>, Error>;
        linked(owner: Arc<str>, agent: Arc<str>, upstream_task: String) -> Result<Option<TaskId>, Error>;
        upstream_context(owner: Arc<str>, agent: Arc<str>, context: String) -> Result<Option<String>, Error>;
        create(new: NewTask) -> Result<Receipt, Error>;
        append(append: Append) -> Result<Receipt, Error>;
        request(owner: Arc<str>, agent: Arc<str>, id: String, now: i64) -> Result<Option<Used>, Error>;
        task(id: TaskId) -> Result<Option<Stored>, Error>;
        log(id: TaskId, after: u64) -> Result<Option<LogPage>, Error>;
        list(query: TaskQuery) -> Result<TaskPage, Error>;
        feed(after: u64) -> Result<FeedPage, Error>;
        overdue(now: i64) -> Result<Vec<TaskId>, Error>;
        purge(cutoff: Option<i64>, now: i64, batch: usize) -> Result<Vec<TaskId>, Error>;
        counts() -> Result<Vec<(TaskState, u64)>, Error>;
        probe() -> Result<(), Error>;
        close() -> ();
    }
}

impl Leases for Gated {
    fn strays(&self, after: Option<TaskId>) -> BoxFuture<'_, Result<Vec<Stray>, Error>> {
        let gate = self.gate.lock().unwrap().take();
        async move {
            if let Some(gate) = gate {
                let _ = gate.await;
            }
            self.store.strays(after).await
        }
        .boxed()
    }

    fn sweep(&self) -> Option<Duration> {
        self.store.sweep()
    }

    through! {
        acquire(id: TaskId) -> Result<Acquired, Error>;
        ask_to_cancel(id: TaskId, metadata: Option<Struct>) -> Result<(), Error>;
        asked() -> Result<Vec<Asked>, Error>;
    }
}

impl Webhooks for Gated {
    through! {
        put_webhook(webhook: Webhook) -> Result<Webhook, Error>;
        webhook(owner: Arc<str>, which: Which) -> Result<Option<Webhook>, Error>;
        webhooks(query: WebhookQuery) -> Result<WebhookPage, Error>;
        update_webhook(owner: Arc<str>, change: WebhookChange) -> Result<Option<Webhook>, Error>;
        delete_webhook(owner: Arc<str>, id: WebhookId) -> Result<bool, Error>;
        standing(id: WebhookId) -> Result<Standing, Error>;
        deliveries(query: DeliveryQuery) -> Result<DeliveryPage, Error>;
        redeliver(owner: Arc<str>, wanted: Redelivery) -> Result<Requeued, Error>;
    }
}

impl Outbox for Gated {
    through! {
        dispatch(round: Round) -> Result<Claims, Error>;
        contents(wanted: Vec<Wanted>) -> Result<Vec<Option<Content>>, Error>;
        backlog() -> Result<Backlog, Error>;
        purge_deliveries(cutoff: Option<i64>, now: i64, batch: usize) -> Result<usize, Error>;
    }
}

/// A user's message.
pub fn message(text: &str) -> Message {
    Message {
        message_id: "m-1".into(),
        role: Role::User.into(),
        parts: vec![Part { content: Some(PartContent::Text(text.into())), ..Part::default() }],
        ..Message::default()
    }
}

/// A submit of a text to the default agent by a caller who is told of the task.
pub fn submit(text: &str) -> Submit {
    Submit {
        agent: String::new(),
        message: message(text),
        metadata: None,
        accepted_output_modes: Vec::new(),
        extensions: Vec::new(),
        timeout: None,
        webhooks: Vec::new(),
        request_id: String::new(),
        dialect: Dialect::V1,
        reply: Reply::Task,
    }
}

/// Submits and waits for the task.
pub async fn run(engine: &Engine, submit: Submit) -> Record {
    match engine.submit(&Caller::default(), submit).await.unwrap().outcome(None, None).await.unwrap() {
        Outcome::Task(record) => *record,
        Outcome::Message(message) => panic!("a message instead of a task: {message:?}"),
    }
}

/// A task's state.
pub fn state(task: &Task) -> TaskState {
    task.status.as_ref().unwrap().state()
}

/// The text of a task's status message.
pub fn said(task: &Task) -> String {
    task.status.as_ref().and_then(|status| status.message.as_ref()).map(text).unwrap_or_default()
}

/// The text of a message.
pub fn text(message: &Message) -> String {
    text_of(&message.parts)
}

/// The text of parts.
pub fn text_of(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match &part.content {
        Some(PartContent::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// What happened, in a word: for comparing orders of events.
pub fn kind(event: &Event) -> &'static str {
    match event.payload() {
        Payload::Task(_) => "task",
        Payload::Message(_) => "message",
        Payload::StatusUpdate(_) => "status",
        Payload::ArtifactUpdate(_) => "artifact",
    }
}

/// A status update.
pub fn status(state: TaskState) -> Update {
    Update::Status { state, message: None, metadata: None }
}

/// An artifact update with one text part.
pub fn chunk(id: &str, text: &str, append: bool) -> Update {
    let part = Part { content: Some(PartContent::Text(text.into())), ..Part::default() };
    let artifact = Artifact { artifact_id: id.into(), parts: vec![part], ..Artifact::default() };
    Update::Artifact { artifact, append, last_chunk: false, metadata: None }
}

/// An agent that the test plays: it hears of each turn and says what the agent says.
pub struct Scripted {
    recovery: Recovery,
    max_concurrency: Option<usize>,
    turns: mpsc::UnboundedSender<Played>,
    canceled: mpsc::UnboundedSender<String>,
    cancels: mpsc::UnboundedSender<Cancel>,
    answers: Arc<Mutex<VecDeque<CancelAnswer>>>,
}

/// What a scripted agent says to a cancel.
pub type CancelAnswer = Result<Vec<Update>, AgentError>;

/// One turn of a scripted agent.
pub struct Played {
    pub turn: Turn,
    say: mpsc::Sender<Result<Update, AgentError>>,
}

impl Played {
    /// Says something.
    pub async fn say(&self, update: Update) {
        self.say.send(Ok(update)).await.unwrap();
    }

    /// Says something, unless the engine has dropped the turn.
    pub async fn try_say(&self, update: Update) -> Result<(), ()> {
        self.say.send(Ok(update)).await.map_err(drop)
    }

    /// Fails.
    pub async fn fail(&self, why: &str) {
        self.say.send(Err(AgentError::failed(why))).await.unwrap();
    }

    /// Refuses the message.
    pub async fn refuse(&self, kind: ErrorKind, why: &str) {
        self.say.send(Err(AgentError::refused(kind, why))).await.unwrap();
    }

    /// Waits until the engine has dropped the turn.
    pub async fn dropped(&self) {
        self.say.closed().await;
    }
}

/// The test's side of a scripted agent.
pub struct Script {
    pub turns: mpsc::UnboundedReceiver<Played>,
    /// The ids of tasks that the agent was asked to cancel.
    pub canceled: mpsc::UnboundedReceiver<String>,
    /// What it was asked then.
    pub cancels: mpsc::UnboundedReceiver<Cancel>,
    answers: Arc<Mutex<VecDeque<CancelAnswer>>>,
}

impl Script {
    /// What the agent is to answer to the next cancel that has no answer yet; without one it answers nothing more than that
    /// it was done.
    pub fn answer_cancel(&self, answer: CancelAnswer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// The next turn.
    pub async fn turn(&mut self) -> Played {
        tokio::time::timeout(Duration::from_secs(10), self.turns.recv()).await.expect("no turn came").unwrap()
    }
}

/// A scripted agent and the test's side of it.
pub fn scripted(recovery: Recovery) -> (Arc<dyn Agent>, Script) {
    scripted_for(recovery, None)
}

/// One that runs at most so many turns at the same time.
pub fn scripted_for(recovery: Recovery, max_concurrency: Option<usize>) -> (Arc<dyn Agent>, Script) {
    let (turns, turns_heard) = mpsc::unbounded_channel();
    let (canceled, canceled_heard) = mpsc::unbounded_channel();
    let (cancels, cancels_heard) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::default());
    let agent = Scripted { recovery, max_concurrency, turns, canceled, cancels, answers: Arc::clone(&answers) };
    let script = Script { turns: turns_heard, canceled: canceled_heard, cancels: cancels_heard, answers };
    (Arc::new(agent), script)
}

impl Agent for Scripted {
    fn card(&self) -> Arc<AgentCard> {
        Arc::new(AgentCard { name: "scripted".into(), ..AgentCard::default() })
    }

    fn recovery(&self) -> Recovery {
        self.recovery
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.max_concurrency
    }

    fn run(&self, turn: Turn) -> UpdateStream {
        let (say, heard) = mpsc::channel(16);
        let played = Played { turn, say };
        let told = self.turns.clone();
        let said = futures::stream::unfold(heard, |mut heard| async move { Some((heard.recv().await?, heard)) });
        // The turn is the test's only once it has been noted that the agent has it.
        let begin = futures::stream::once(async move {
            let _ = told.send(played);
            None
        });
        let sending = futures::stream::iter([Some(Ok(Update::Sending))]);
        sending.chain(begin).chain(said.map(Some)).filter_map(futures::future::ready).boxed()
    }

    fn cancel(&self, cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>> {
        let _ = self.canceled.send(cancel.task.id.clone());
        let _ = self.cancels.send(cancel);
        let answer = self.answers.lock().unwrap().pop_front();
        futures::future::ready(answer.unwrap_or_else(|| Ok(Vec::new()))).boxed()
    }
}
