//! How long it takes until what one gateway commits is seen at another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use a2a_gateway::proto::gateway::WatchTaskRequest;
use futures::future::join_all;

use crate::{
    database::Server,
    place::{Place, REPLICAS, Settings},
    process::{Random, submit},
};

/// Tasks that run at the same time.
const TASKS: usize = 24;

/// No more than this on the busiest machine. What is usual is told, and is far less.
const SANE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_seen_at_once_at_every_gateway() {
    let Some(server) = Server::start(&[]) else { return };
    let data = tempfile::tempdir().unwrap();
    let mut place = Place::start(server, Settings { dir: data.path(), agents: &[], lease: "10s" }).await;
    let mut watched = Vec::new();
    for n in 0..TASKS {
        let mut random = Random(n as u64);
        let owner = n % REPLICAS;
        let record = place.client_of(owner).any().submit_task(submit("slow: 12", "")).await.unwrap().into_inner();
        let id = record.task.unwrap().id;
        let other = (owner + 1 + random.below(REPLICAS as u64 - 1) as usize) % REPLICAS;
        for at in [owner, other] {
            let request = WatchTaskRequest { task_id: id.clone(), after_sequence: None };
            let mut events = place.client_of(at).any().watch_task(request).await.unwrap().into_inner();
            watched.push(tokio::spawn(async move {
                let mut delays = Vec::new();
                // What is there already says nothing.
                let _ = events.message().await.unwrap();
                while let Some(event) = events.message().await.unwrap() {
                    let made = event.time.unwrap();
                    let made = Duration::new(made.seconds as u64, made.nanos as u32);
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                    delays.push(now.saturating_sub(made));
                }
                (at == owner, delays)
            }));
        }
    }
    let watched: Vec<_> = join_all(watched).await.into_iter().map(Result::unwrap).collect();
    for (here, place) in [(true, "at the gateway that works on it"), (false, "at another one")] {
        let delays = watched.iter().filter(|(at, _)| *at == here).flat_map(|(_, delays)| delays.iter().copied());
        let mut delays: Vec<_> = delays.collect();
        delays.sort_unstable();
        let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
        eprintln!("{} events {place}: p50 {:?}, p99 {:?}, max {:?}", delays.len(), at(50), at(99), at(100));
        assert!(at(99) < SANE, "{place}: {:?}", at(99));
    }
    place.stop().await;
}
