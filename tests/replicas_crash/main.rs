//! The promises that must hold where several gateways share a database, held against the real program: three of them on
//! one PostgreSQL server, in front of agents that stream, while one after the other is killed or frozen for longer than
//! its lease, and the server crashes or ends all connections.
//!
//! Callers turn from one gateway to another with each call. Every acknowledged task comes to an end, once. An agent gets
//! each message at most once, and a log is what one gateway at a time has written. Watchers of a task and of all tasks
//! see the same events everywhere, without gap or duplicate. Webhooks hear of everything, in order. `A2A_CRASH_SEED`
//! repeats a run, as far as the moments of the faults go, and `A2A_CRASH_ROUNDS` makes it longer.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../crash_upstream/agents.rs"]
mod agents;
mod caller;
mod check;
#[path = "../database/mod.rs"]
mod database;
mod feed;
mod hooks;
mod latency;
mod outage;
mod place;
#[path = "../process/mod.rs"]
mod process;
#[path = "../receiver/mod.rs"]
mod receiver;
#[path = "../upstream/mod.rs"]
mod upstream;

use std::time::Duration;

use tokio::sync::watch;

use agents::Agent;
use caller::{Stories, work};
use database::Server;
use feed::Feed;
use hooks::Hooks;
use place::{FAULTS, Place, Settings};
use process::{Random, seed};
use upstream::Face;

/// The agents: their names, and what they speak.
const AGENTS: [(&str, Face); 3] = [("json", Face::JsonRpc10), ("json03", Face::JsonRpc03), ("grpc", Face::Grpc10)];
/// Callers at each agent.
const WORKERS: usize = 3;
/// Faults, unless the environment says otherwise: each kind once.
const ROUNDS: u64 = FAULTS.len() as u64;

/// A server that ends waits for whoever is just connecting, at most so long: a gateway that stands still does not go on.
const SERVER: &[&str] = &["authentication_timeout=2s"];

/// Lets faults come while workers play their stories, and checks what came of it.
async fn chaos(seed: u64) {
    let Some(server) = Server::start(SERVER) else { return };
    let data = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut forked = || Random(random.below(u64::MAX));
    let agents = AGENTS.map(|(name, face)| Agent::start(name, face, forked(), 0));
    let mut place = Place::start(server, Settings { dir: data.path(), agents: &agents, lease: "2s" }).await;
    let hooks = Hooks::start(&mut place.client(forked()), forked()).await;
    let feeds = place.each(Feed::start, &mut forked()).await;
    let (over, running) = watch::channel(());
    let stories = Stories::default();
    let mut workers = Vec::new();
    for number in 0..AGENTS.len() * WORKERS {
        let client = place.client(forked());
        let agent = AGENTS[number % AGENTS.len()].0;
        workers.push(tokio::spawn(work(client, agent, number, running.clone(), hooks.clone(), stories.clone())));
    }
    let rounds = rounds();
    let mut faults = Vec::new();
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(300 + random.below(700))).await;
        // Each kind once, and then again, in another order each time.
        if faults.is_empty() {
            faults.extend(FAULTS);
        }
        let fault = faults.swap_remove(random.below(faults.len() as u64) as usize);
        place.suffer(fault, &mut random).await;
    }
    drop(running);
    drop(over);
    for worker in workers {
        worker.await.unwrap();
    }
    let tally = check::check(&mut place, &stories, agents, feeds, &hooks).await;
    eprintln!("{rounds} faults: {tally:?}");
    assert!(tally.losses > 0, "{tally:?}");
    assert!(tally.completed > tally.stories / 2, "{tally:?}");
    place.stop().await;
}

fn rounds() -> u64 {
    std::env::var("A2A_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_a_task_is_one_gateways_at_a_time_and_nothing_is_lost() {
    let limit = Duration::from_secs(120 + 8 * rounds());
    tokio::time::timeout(limit, chaos(seed())).await.expect("something does not come to its end");
}
