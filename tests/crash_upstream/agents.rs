//! The agents: each does its tasks chunk by chunk, and loses calls and connections at random.
//!
//! A message says what is to come of it: `NAME N` makes N chunks, `NAME N ask` makes them and then asks a question.

#![allow(dead_code, reason = "each test uses its part")]

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use a2a_gateway::proto::a2a::{Role, TaskState};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::interval,
};

use crate::{
    process::Random,
    upstream::{Auto, Face, Fate, Operation, Options, Request, Snapshot},
};

/// How often an agent gets to work.
const TICK: Duration = Duration::from_millis(4);

/// The beginning of the first answer to a question, in a task of this name, that never arrives.
const LOST: &str = "lost/1 ";

/// The beginning of a message that an agent takes, if it is the first, and does not answer.
const CUT: &str = "cut ";

/// The chunks that a message makes.
pub fn chunks(text: &str) -> Vec<String> {
    let mut words = text.split(' ');
    let (name, count) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    (1..=count).map(|n: usize| format!("{name}: chunk {n} of {count}\n")).collect()
}

/// Whether a message makes the agent ask.
pub fn asks(text: &str) -> bool {
    text.ends_with(" ask")
}

/// What agents were sent.
#[derive(Default)]
pub struct Seen {
    /// How often the agent had each message, by its id; 0: it was lost on its way.
    pub messages: HashMap<String, usize>,
    /// Every id that was named to an agent as that of a task or a context, and all text of the requests.
    pub words: Vec<String>,
    /// The tasks that messages have begun or gone on with: the agent's names for them.
    pub tasks: HashMap<String, String>,
    /// Those that it was asked to cancel, by the same names.
    pub cancels: HashSet<String>,
}

/// An agent that works in the background.
pub struct Agent {
    pub name: &'static str,
    pub url: String,
    orders: mpsc::UnboundedSender<(Order, oneshot::Sender<()>)>,
    /// What it was sent.
    pub seen: Arc<Mutex<Seen>>,
    working: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Reset every connection.
    Cut,
    /// Be not there; work goes on.
    Stop,
    /// Be there again, with all tasks.
    Resume,
    /// Do no work.
    Rest,
    /// Go on with the work.
    Work,
    /// End.
    End,
}

impl Agent {
    /// Starts one whose calls go wrong once in a while: one of `odds`, never if 0.
    pub fn start(name: &'static str, face: Face, mut random: Random, odds: u64) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = seen.clone();
        let mut fates = Random(random.below(u64::MAX));
        let sieve = move |request: &Request| {
            let mut noted = noted.lock().unwrap();
            let fate = match fates.below(odds.max(1) * 3) {
                _ if request.operation.is_send() && request.text.starts_with(LOST) => Fate::Unseen,
                _ if request.text.starts_with(CUT) && noted.messages.is_empty() => Fate::CutOff,
                _ if odds == 0 => Fate::Answered,
                0 => Fate::Unseen,
                1 => Fate::Unanswered,
                2 => Fate::CutOff,
                _ => Fate::Answered,
            };
            noted.note(request, fate);
            fate
        };
        let auto = Auto::start_with(face, Options::default(), Box::new(sieve));
        let url = auto.url();
        let (orders, heard) = mpsc::unbounded_channel();
        let working = tokio::spawn(work(auto, random, heard, seen.clone()));
        Self { name, url, orders, seen, working }
    }

    /// Waits until it is done.
    pub async fn order(&self, order: Order) {
        let (done, heard) = oneshot::channel();
        self.orders.send((order, done)).unwrap();
        heard.await.unwrap();
    }

    /// Ends it. Fails if it was asked what an agent of its face must not be asked.
    pub async fn end(self) {
        self.order(Order::End).await;
        self.working.await.unwrap();
    }
}

impl Seen {
    fn note(&mut self, request: &Request, fate: Fate) {
        self.words.extend([&request.task_id, &request.context_id, &request.text].map(Clone::clone));
        self.words.extend(request.references.iter().cloned());
        self.words.extend([&request.body, &request.metadata].map(ToString::to_string));
        if request.operation.is_send() {
            let count = self.messages.entry(request.message_id.clone()).or_default();
            *count += usize::from(fate != Fate::Unseen);
        }
        if request.operation == Operation::Cancel {
            self.cancels.insert(request.task_id.clone());
        }
    }
}

/// A turn under way.
struct Turn {
    task: String,
    chunks: std::vec::IntoIter<String>,
    asks: bool,
}

async fn work(
    mut auto: Auto,
    mut random: Random,
    mut orders: mpsc::UnboundedReceiver<(Order, oneshot::Sender<()>)>,
    seen: Arc<Mutex<Seen>>,
) {
    let mut turns: Vec<Turn> = Vec::new();
    let mut ticks = interval(TICK);
    let mut rests = false;
    loop {
        tokio::select! {
            turn = auto.turn() => {
                let (_, text) = turn.history.last().unwrap();
                seen.lock().unwrap().tasks.insert(text.clone(), turn.id.clone());
                turns.push(Turn::of(&turn));
            }
            _ = ticks.tick(), if !rests => turns.retain_mut(|turn| random.below(3) == 0 || turn.goes_on(&auto)),
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                match order {
                    Order::Cut => auto.restart().await,
                    Order::Stop => auto.stop().await,
                    Order::Resume => auto.resume(),
                    Order::Rest => rests = true,
                    Order::Work => rests = false,
                    Order::End => {}
                }
                let _ = done.send(());
                if order == Order::End {
                    return;
                }
            }
        }
    }
}

impl Turn {
    fn of(task: &Snapshot) -> Self {
        let (role, text) = task.history.last().unwrap();
        assert_eq!(*role, Role::User);
        Self { task: task.id.clone(), chunks: chunks(text).into_iter(), asks: asks(text) }
    }

    /// Does a piece of the work; whether there is more.
    fn goes_on(&mut self, agent: &Auto) -> bool {
        let now = agent.get(&self.task).unwrap();
        if now.is_done() {
            return false;
        }
        if now.state != TaskState::Working {
            agent.status(&self.task, TaskState::Working, "");
        }
        match self.chunks.next() {
            Some(chunk) => agent.artifact(&self.task, "out", &chunk, !now.artifacts.is_empty(), false),
            None if self.asks => agent.status(&self.task, TaskState::InputRequired, "What else?"),
            None => {
                agent.status(&self.task, TaskState::Completed, "");
                return false;
            }
        }
        agent.get(&self.task).unwrap().state == TaskState::Working
    }
}
