//! The promises that a crash must not break, held against the real program in front of agents that stream: the gateway is
//! killed and started again on the same data and port, agents come and go, and connections between them are reset, in
//! the midst of everything.
//!
//! Every acknowledged task comes to an end. An agent gets each message at most once, unless it is to be sent again; a task
//! fails only where nobody can know whether the agent has its message. What has been told is neither lost nor told
//! twice. `A2A_CRASH_SEED` repeats a run, as far as the moments of the kills go, and `A2A_CRASH_ROUNDS` makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod agents;
mod caller;
mod check;
#[path = "../process/mod.rs"]
mod process;
#[path = "../door/sse.rs"]
mod sse;
#[path = "../upstream/mod.rs"]
mod upstream;

use std::{net::Ipv4Addr, path::Path, time::Duration};

use a2a_gateway::proto::a2a::TaskState;
use futures::{FutureExt as _, future::join_all};
use tokio::{net::TcpSocket, sync::watch, task::block_in_place};

use agents::{Agent, Order, Seen};
use caller::{Client, Door, Plan, Stories, state, work};
use check::{check, settled};
use process::{Gateway, Random, seed};
use upstream::Face;

/// The agents: their names, what they speak, and whether the test has them ask.
const AGENTS: [(&str, Face, bool); 4] = [
    ("json", Face::JsonRpc10, true),
    ("json03", Face::JsonRpc03, true),
    ("grpc", Face::Grpc10, true),
    ("praison", Face::Praison, false),
];
/// An agent that works on one task at a time.
const NARROW: &str = "json";
/// Callers at each agent.
const WORKERS: usize = 3;
const ROUNDS: u64 = 6;
/// One call in so many goes wrong.
const ODDS: u64 = 25;

/// The gateway of the moment, always at one address.
struct Place {
    gateway: Gateway,
    /// Keeps the port while no gateway listens.
    _port: TcpSocket,
    arguments: Vec<String>,
    generation: watch::Sender<u64>,
}

impl Place {
    fn start(dir: &Path, agents: &[Agent], on_lost: &str) -> Self {
        let mut settings = String::new();
        for Agent { name, url, .. } in agents {
            let width = if *name == NARROW { 1 } else { 0 };
            settings += &format!(
                "[[agents]]\nname = {name:?}\nurl = {url:?}\non_lost = {on_lost:?}\nmax_concurrency = {width}\n\
                 poll_interval = \"200ms\"\n\n"
            );
        }
        let file = dir.join("gateway.toml");
        std::fs::write(&file, settings).unwrap();
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = port.local_addr().unwrap().to_string();
        let arguments = vec!["--config".to_owned(), file.to_str().unwrap().to_owned()];
        let gateway = launch(&address, dir, &arguments);
        Self { gateway, _port: port, arguments, generation: watch::Sender::new(0) }
    }

    async fn client(&self) -> Client {
        Client::new(&self.gateway.address, self.generation.subscribe()).await
    }

    /// Kills the gateway and starts the next one. `between`: what happens while there is none.
    async fn kill(&mut self, between: impl Future<Output = ()>) {
        block_in_place(|| self.gateway.kill9());
        between.await;
        self.gateway = launch(&self.gateway.address, &self.gateway.dir, &self.arguments);
        self.generation.send_modify(|generation| *generation += 1);
    }
}

fn launch(address: &str, dir: &Path, arguments: &[String]) -> Gateway {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    block_in_place(|| Gateway::start_at(address, dir, &arguments))
}

fn rounds() -> u64 {
    std::env::var("A2A_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// Kills, cuts, stops and resumes at random while workers play their stories, and checks them all.
async fn chaos(seed: u64, on_lost: &str) {
    let data = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut forked = || Random(random.below(u64::MAX));
    let agents = AGENTS.map(|(name, face, _)| Agent::start(name, face, forked(), ODDS));
    let mut place = Place::start(data.path(), &agents, on_lost);
    let (stories, rounds) = (Stories::default(), rounds());
    let mut workers = Vec::new();
    for (name, _, can_ask) in AGENTS {
        for _ in 0..WORKERS {
            let client = place.client().await;
            workers.push(tokio::spawn(work(client, name, can_ask, rounds, forked(), stories.clone())));
        }
    }
    for _ in 0..rounds {
        let mut stopped = None;
        for _ in 0..1 + random.below(3) {
            tokio::time::sleep(Duration::from_millis(random.below(250))).await;
            let agent = &agents[random.below(4) as usize];
            match random.below(3) {
                0 => agent.order(Order::Cut).await,
                1 if stopped.is_none() => {
                    agent.order(Order::Stop).await;
                    stopped = Some(agent);
                }
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(random.below(100))).await;
        let early = random.below(2) == 0;
        let resume = async {
            if let Some(agent) = stopped {
                agent.order(Order::Resume).await;
            }
        };
        if early {
            place.kill(resume).await;
        } else {
            place.kill(async {}).await;
            tokio::time::sleep(Duration::from_millis(random.below(150))).await;
            resume.await;
        }
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let mut client = place.client().await;
    settled(&mut client).await;
    let mut seen = Vec::new();
    for agent in agents {
        let noted = agent.seen.clone();
        agent.end().await;
        seen.push(std::mem::take(&mut *noted.lock().unwrap()));
    }
    let stories = std::mem::take(&mut *stories.lock().unwrap());
    let tally = check(&stories, &mut client, &seen, on_lost == "resend").await;
    eprintln!("{on_lost}: {rounds} kills, {} stories: {tally:?}", stories.len());
    assert!(tally.losses as u64 >= rounds, "{tally:?}");
    assert!(tally.completed > stories.len() / 2, "{tally:?}");
}

async fn limited(scenario: impl Future<Output = ()>) {
    let limit = Duration::from_secs(60 + 5 * rounds());
    tokio::time::timeout(limit, scenario).await.expect("something is not settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_no_message_is_sent_twice_and_no_task_is_lost() {
    limited(chaos(seed(), "fail")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_resend_every_task_is_done_whatever_breaks() {
    limited(chaos(seed(), "resend")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_is_sent_after_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let agents = AGENTS.map(|(name, face, _)| Agent::start(name, face, Random(1), 0));
    let mut place = Place::start(data.path(), &agents, "fail");
    // One that the agent has, and others behind it that wait for a place.
    let mut tasks = vec![begin(&place, NARROW, "first 20").await];
    until(&place, &tasks[0], |state| state == TaskState::Working).await;
    let narrow = agents.iter().find(|agent| agent.name == NARROW).unwrap();
    narrow.order(Order::Rest).await;
    for n in 0..3 {
        tasks.push(begin(&place, NARROW, &format!("queued-{n} 2")).await);
    }
    let stop = agents.iter().filter(|agent| agent.name != NARROW).map(|agent| agent.order(Order::Stop));
    place.kill(join_all(stop).map(drop)).await;
    // Others wait for agents that this gateway has never met.
    for (name, ..) in AGENTS.into_iter().filter(|(name, ..)| *name != NARROW) {
        tasks.push(begin(&place, name, &format!("early-{name} 2")).await);
    }
    place.kill(async {}).await;
    join_all(agents.iter().map(|agent| agent.order(Order::Resume))).await;
    narrow.order(Order::Work).await;
    for task in &tasks {
        until(&place, task, |state| state == TaskState::Completed).await;
    }
    let mut sent = 0;
    for agent in agents {
        let Seen { messages, .. } = std::mem::take(&mut *agent.seen.lock().unwrap());
        assert!(messages.values().all(|count| *count == 1), "{messages:?}");
        sent += messages.len();
        agent.end().await;
    }
    assert_eq!(sent, tasks.len());
}

/// Begins a task; gives its id.
async fn begin(place: &Place, agent: &'static str, text: &str) -> String {
    let plan = Plan { agent, door: Door::Grpc, text: text.to_owned(), cancel: None };
    place.client().await.begin(&plan).await.unwrap()
}

/// Waits until the task has come to a state; it must not settle before.
async fn until(place: &Place, id: &str, pass: impl Fn(TaskState) -> bool) {
    let mut events = place.client().await.watch(id, 0).await.unwrap();
    let come = async {
        loop {
            let event = events.message().await.unwrap().expect("it ended");
            let state = state(&event).unwrap_or_default();
            if pass(state) {
                return;
            }
            assert_ne!(state, TaskState::Failed, "{event:?}");
        }
    };
    tokio::time::timeout(process::LIMIT, come).await.expect("it does not come to that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_on_its_way_is_asked_for_again() {
    let data = tempfile::tempdir().unwrap();
    let agents = AGENTS.map(|(name, face, _)| Agent::start(name, face, Random(1), 0));
    let place = Place::start(data.path(), &agents, "fail");
    let stories = AGENTS.into_iter().filter(|(.., can_ask)| *can_ask).map(|(agent, ..)| {
        let text = "lost 2 ask".to_owned();
        let plan = Plan { agent, door: Door::Grpc, text, cancel: None };
        place.client().then(async |mut client| client.play(plan).await)
    });
    let stories = tokio::time::timeout(process::LIMIT, join_all(stories)).await.expect("it is not asked for again");
    for story in stories {
        assert_eq!(story.answers.len(), 2, "{story:?}");
        assert_eq!(story.events.last().and_then(state), Some(TaskState::Completed), "{story:?}");
    }
    for agent in agents {
        agent.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answer_was_lost_is_sent_again_only_where_that_is_allowed() {
    for (on_lost, expected, sent) in [("fail", TaskState::Failed, 1), ("resend", TaskState::Completed, 2)] {
        let data = tempfile::tempdir().unwrap();
        let agents = AGENTS.map(|(name, face, _)| Agent::start(name, face, Random(1), 0));
        let place = Place::start(data.path(), &agents, on_lost);
        let stories = agents.iter().map(|agent| {
            let plan = Plan { agent: agent.name, door: Door::Grpc, text: "cut 2".to_owned(), cancel: None };
            place.client().then(async |mut client| client.play(plan).await)
        });
        for (story, agent) in join_all(stories).await.iter().zip(agents) {
            assert_eq!(story.events.last().and_then(state), Some(expected), "{on_lost}: {story:?}");
            assert_eq!(agent.seen.lock().unwrap().messages["cut 2"], sent, "{on_lost}: {story:?}");
            agent.end().await;
        }
    }
}
