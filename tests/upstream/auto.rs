//! A well-behaved agent over a table of tasks: it answers every call as the official servers of its face would, and the
//! test does the work by editing the table.

use std::{
    collections::{BTreeMap, HashMap},
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use a2a_gateway::proto::a2a::{Role, TaskState};
use tokio::sync::{mpsc, watch};

use super::{
    Call, Face, Operation, Options, PATIENCE, Request, Upstream,
    model::{Event, Kind, Snapshot, is_turn_over, said},
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// The connection is reset before the agent has seen it.
    Unseen,
    /// The agent does what is asked, and the connection is reset before it answers.
    Unanswered,
    /// The same, but a stream that was asked for has just begun.
    CutOff,
}

/// Decides over each call as it comes.
pub type Sieve = Box<dyn FnMut(&Request) -> Fate + Send>;

/// The agent.
pub struct Auto {
    upstream: Upstream,
    table: Arc<Table>,
    /// New turns: the task with the message last in its history.
    turns: mpsc::UnboundedReceiver<Snapshot>,
}

/// Of stopping, restarting and the card.
impl Deref for Auto {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl DerefMut for Auto {
    fn deref_mut(&mut self) -> &mut Upstream {
        &mut self.upstream
    }
}

struct Table {
    face: Face,
    tasks: Mutex<BTreeMap<String, Entry>>,
    turns: mpsc::UnboundedSender<Snapshot>,
    counts: watch::Sender<HashMap<Operation, usize>>,
    violations: Mutex<Vec<String>>,
}

struct Entry {
    snapshot: Snapshot,
    watchers: Vec<mpsc::UnboundedSender<Event>>,
    /// PraisonAI's streams leave no trace in its table: such a task stays SUBMITTED to those who ask.
    unseen: bool,
}

impl Auto {
    /// On free ports, with an empty table.
    pub fn start(face: Face, options: Options) -> Self {
        Self::start_with(face, options, Box::new(|_| Fate::Answered))
    }

    /// With calls that go wrong.
    pub fn start_with(face: Face, options: Options, mut sieve: Sieve) -> Self {
        let mut upstream = Upstream::start(face, options);
        let (_, none) = mpsc::unbounded_channel();
        let mut calls = std::mem::replace(&mut upstream.calls, none);
        let (turns, taken) = mpsc::unbounded_channel();
        let (tasks, counts, violations) = (Mutex::default(), watch::Sender::default(), Mutex::default());
        let table = Arc::new(Table { face, tasks, turns, counts, violations });
        let serving = table.clone();
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                match call {
                    Ok(call) => {
                        let fate = sieve(&call);
                        serving.answer(call, fate);
                    }
                    Err(violation) => serving.violations.lock().unwrap().push(violation),
                }
            }
        });
        Self { upstream, table, turns: taken }
    }

    /// The next message that came: its task, with the message last in the history.
    pub async fn turn(&mut self) -> Snapshot {
        let turn = tokio::time::timeout(PATIENCE, self.turns.recv()).await;
        self.check();
        turn.unwrap_or_else(|_| panic!("{:?}: no message came", self.face)).unwrap()
    }

    /// The task as it is now.
    pub fn get(&self, id: &str) -> Option<Snapshot> {
        self.table.tasks.lock().unwrap().get(id).map(|entry| entry.snapshot.clone())
    }

    /// Gives the task a state and tells those who watch it.
    pub fn status(&self, id: &str, state: TaskState, text: &str) {
        self.table.tasks.lock().unwrap().get_mut(id).expect("no such task").status(state, text);
    }

    /// Adds an artifact of one part, or one more part to it, and tells those who watch the task.
    pub fn artifact(&self, id: &str, artifact: &str, text: &str, append: bool, last: bool) {
        let mut tasks = self.table.tasks.lock().unwrap();
        tasks.get_mut(id).expect("no such task").artifact(artifact, text, append, last);
    }

    /// Edits a task, or puts one in the table, and tells nobody.
    pub fn put(&self, snapshot: Snapshot) {
        let mut tasks = self.table.tasks.lock().unwrap();
        let entry = tasks.entry(snapshot.id.clone()).or_insert_with(|| Entry::new(Snapshot::default()));
        entry.snapshot = snapshot;
    }

    /// Empties the table, as a restart does to agents that keep their tasks in memory. Open streams end.
    pub fn forget(&self) {
        self.table.tasks.lock().unwrap().clear();
    }

    /// How many calls of the kind came.
    pub fn count(&self, operation: Operation) -> usize {
        self.check();
        self.table.counts.borrow().get(&operation).copied().unwrap_or_default()
    }

    /// Waits until that many calls of the kind came.
    pub async fn wait_count(&self, operation: Operation, count: usize) {
        let mut counts = self.table.counts.subscribe();
        let enough = counts.wait_for(|counts| counts.get(&operation).copied().unwrap_or_default() >= count);
        tokio::time::timeout(PATIENCE, enough).await.expect("too few calls came").unwrap();
    }

    /// Fails the test if a request was not what a client of the face may send.
    fn check(&self) {
        let violations = self.table.violations.lock().unwrap();
        assert!(violations.is_empty(), "{:?}: {violations:?}", self.upstream.face);
    }
}

impl Drop for Auto {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

impl Entry {
    fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, watchers: Vec::new(), unseen: false }
    }

    fn status(&mut self, state: TaskState, text: &str) {
        let (task, context) = (self.snapshot.id.clone(), self.snapshot.context.clone());
        self.snapshot.state = state;
        self.snapshot.text = text.into();
        let said = said(&task, &context, state, text);
        self.tell(&Event::Status { task, context, state, said });
    }

    fn artifact(&mut self, id: &str, text: &str, append: bool, last: bool) {
        let (task, context) = (self.snapshot.id.clone(), self.snapshot.context.clone());
        let artifacts = &mut self.snapshot.artifacts;
        match artifacts.iter_mut().find(|(known, _)| known == id) {
            Some((_, texts)) if append => texts.push(text.into()),
            Some((_, texts)) => *texts = vec![text.into()],
            None => artifacts.push((id.into(), vec![text.into()])),
        }
        self.tell(&Event::Artifact { task, context, id: id.into(), text: text.into(), append, last });
    }

    fn tell(&mut self, event: &Event) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    fn watch(&mut self) -> mpsc::UnboundedReceiver<Event> {
        let (watcher, events) = mpsc::unbounded_channel();
        self.watchers.push(watcher);
        events
    }

    /// As a lookup shows it.
    fn shown(&self, history: Option<i32>) -> Snapshot {
        let mut shown = self.snapshot.clone();
        if self.unseen {
            shown = Snapshot::new(&shown.id, &shown.context, TaskState::Submitted);
        }
        if let Some(length) = history.and_then(|length| usize::try_from(length).ok()) {
            shown.history.drain(..shown.history.len().saturating_sub(length));
        }
        shown
    }
}

impl Table {
    fn answer(self: &Arc<Self>, call: Call, fate: Fate) {
        let mut tasks = self.tasks.lock().unwrap();
        match call.operation {
            _ if fate == Fate::Unseen => {
                self.counted(call.operation);
                call.reset();
            }
            Operation::Send { .. } | Operation::Stream => self.take(&mut tasks, call, fate),
            Operation::Get | Operation::Cancel | Operation::Subscribe => match tasks.get_mut(&call.task_id) {
                None => {
                    self.counted(call.operation);
                    call.error(Kind::TaskNotFound);
                }
                Some(entry) => self.look_up(entry, call, fate),
            },
        }
    }

    /// Counts a call when what it did can be seen.
    fn counted(&self, operation: Operation) {
        self.counts.send_modify(|counts| *counts.entry(operation).or_default() += 1);
    }

    fn look_up(self: &Arc<Self>, entry: &mut Entry, call: Call, fate: Fate) {
        let operation = call.operation;
        match operation {
            _ if fate != Fate::Answered => {
                if operation == Operation::Cancel && !entry.snapshot.is_done() {
                    entry.status(TaskState::Canceled, "");
                }
                cut(call, fate);
            }
            Operation::Get => {
                let shown = entry.shown(call.history_length);
                call.task(&shown);
            }
            Operation::Cancel if entry.snapshot.is_done() => call.error(Kind::TaskNotCancelable),
            Operation::Cancel => {
                entry.status(TaskState::Canceled, "");
                call.task(&entry.shown(None));
            }
            _ if entry.snapshot.is_done() => call.error(Kind::UnsupportedOperation),
            _ => {
                // A 0.3 server begins with the next event, whatever was missed.
                let v1 = matches!(self.face, Face::JsonRpc10 | Face::Rest10 | Face::Grpc10);
                let first = v1.then(|| entry.snapshot.clone());
                tokio::spawn(play(call, first, entry.watch()));
            }
        }
        self.counted(operation);
    }

    /// Takes a message: for a new task, or for one that is there.
    fn take(self: &Arc<Self>, tasks: &mut BTreeMap<String, Entry>, call: Call, fate: Fate) {
        let operation = call.operation;
        let snapshot = call.snapshot(TaskState::Submitted);
        let entry = if call.task_id.is_empty() || self.face == Face::Praison {
            tasks.entry(snapshot.id.clone()).or_insert_with(|| Entry::new(snapshot))
        } else {
            let refusal = match tasks.get(&call.task_id) {
                None => Some(Kind::TaskNotFound),
                Some(entry) => entry.snapshot.is_done().then_some(Kind::UnsupportedOperation),
            };
            if let Some(kind) = refusal {
                call.error(kind);
                return self.counted(operation);
            }
            let entry = tasks.get_mut(&call.task_id).unwrap();
            entry.snapshot.history.push((Role::User, call.text.clone()));
            entry.status(TaskState::Working, "");
            entry
        };
        match operation {
            _ if fate != Fate::Answered => cut(call, fate),
            Operation::Stream => {
                entry.unseen = self.face == Face::Praison;
                tokio::spawn(play(call, Some(entry.snapshot.clone()), entry.watch()));
            }
            Operation::SEND => {
                let (events, table) = (entry.watch(), self.clone());
                tokio::spawn(table.hold(call, entry.snapshot.id.clone(), events));
            }
            _ => call.task(&entry.shown(None)),
        }
        let turn = entry.snapshot.clone();
        self.counted(operation);
        drop(self.turns.send(turn));
    }

    /// Holds a blocking send until the turn is over.
    async fn hold(self: Arc<Self>, call: Call, id: String, mut events: mpsc::UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Status { state, .. } if is_turn_over(state)) {
                break;
            }
        }
        let shown = self.tasks.lock().unwrap().get(&id).map(|entry| entry.shown(None));
        match shown {
            Some(shown) => call.task(&shown),
            None => call.error(Kind::TaskNotFound),
        }
    }
}

/// Ends the connection of a call.
fn cut(call: Call, fate: Fate) {
    if fate == Fate::CutOff && call.operation.is_stream() {
        tokio::spawn(call.stream().reset());
    } else {
        call.reset();
    }
}

/// Streams what happens to a task until its turn is over.
async fn play(call: Call, first: Option<Snapshot>, mut events: mpsc::UnboundedReceiver<Event>) {
    let mut stream = call.stream();
    if let Some(first) = first {
        stream.task(&first).await;
    }
    while let Some(event) = events.recv().await {
        stream.event(&event).await;
        if matches!(event, Event::Status { state, .. } if is_turn_over(state)) {
            break;
        }
    }
    stream.end().await;
}
