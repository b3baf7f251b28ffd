//! Connections that break, and servers that go away.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use a2a_gateway::{
    error::ErrorKind,
    store::{Identity, Postgres, Store},
    task::TaskId,
};
use futures::future::join_all;
use tokio::task::JoinHandle;

use super::{database, rig::*};

/// What a writer was told of its writes to a task, by what they said: whether they were stored.
type Told = BTreeMap<String, Option<bool>>;

/// Writes to tasks until it is told to stop, each write saying something else.
struct Writers {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<(Arc<Identity>, Told)>>,
    stored: Arc<Mutex<usize>>,
}

impl Writers {
    async fn start(stores: &[Arc<Postgres>], count: usize) -> Self {
        let (stop, stored) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let mut writers = Vec::new();
        for n in 0..count {
            let store = stores[n % stores.len()].clone();
            let task = create(&store, "o").await;
            writers.push(tokio::spawn(write(store, task, stop.clone(), stored.clone())));
        }
        Self { stop, writers, stored }
    }

    /// Waits until so many more were stored.
    async fn more(&self, count: usize) {
        let goal = *self.stored.lock().unwrap() + count;
        until("more is stored", async || *self.stored.lock().unwrap() >= goal).await;
    }

    /// Ends, and checks that the logs hold what was told.
    async fn check(self, store: &Postgres) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in join_all(self.writers).await {
            let (task, told) = writer.unwrap();
            let events = log(store, task.id).await;
            assert!((1..).zip(&events).all(|(sequence, event)| event.sequence == sequence));
            let said: Vec<String> = events[1..].iter().map(|event| said(event)).collect();
            for (text, stored) in told {
                let times = said.iter().filter(|said| **said == text).count();
                match stored {
                    Some(true) => assert_eq!(times, 1, "{text} was acknowledged"),
                    Some(false) => assert_eq!(times, 0, "{text} was refused"),
                    // Nobody knew.
                    None => assert!(times <= 1, "{text}"),
                }
            }
        }
    }
}

async fn write(
    store: Arc<Postgres>,
    task: Arc<Identity>,
    stop: Arc<AtomicBool>,
    stored: Arc<Mutex<usize>>,
) -> (Arc<Identity>, Told) {
    let (mut told, mut head, mut n) = (Told::new(), 1, 0);
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let text = n.to_string();
        match store.append(more(&task, head, &text)).await {
            Ok(_) => {
                head += 1;
                *stored.lock().unwrap() += 1;
                told.insert(text, Some(true));
            }
            Err(error) => {
                // It cannot be a conflict: nobody else writes, and what was stored was told of.
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                let unknown = error.message().contains("not known");
                told.insert(text, (!unknown).then_some(false));
                if unknown {
                    head = settled_head(&store, task.id).await;
                }
            }
        }
    }
    (task, told)
}

/// The end of a log of which it was not known.
async fn settled_head(store: &Postgres, id: TaskId) -> u64 {
    loop {
        match store.task(id).await {
            Ok(found) => return found.unwrap().sequence,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    let Some(mut server) = database::Server::start(&[]) else { return };
    let url = server.database().await;
    let (one, _) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    let writers = Writers::start(&[one.clone(), two.clone()], 12).await;
    for _ in 0..4 {
        writers.more(100).await;
        // The server is of this process: it is stopped and started beside the writers.
        server = tokio::task::spawn_blocking(move || {
            server.crash();
            server
        })
        .await
        .unwrap();
    }
    writers.more(100).await;
    writers.check(&one).await;
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_lose_nothing() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, _) = open(settings(&url)).await;
    let writers = Writers::start(std::slice::from_ref(&store), 12).await;
    let client = database::connect(&url).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..25 {
        writers.more(20).await;
        let count: i64 = client.query_one(cut, &[]).await.unwrap().get(0);
        assert!(count > 0);
    }
    writers.more(50).await;
    // Reads go on as well.
    assert_eq!(counted(&store).await.iter().map(|(_, count)| count).sum::<u64>(), 12);
    writers.check(&store).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_waited_for_and_then_told_of() {
    let Some(mut server) = database::Server::start(&["fsync=off"]) else { return };
    let url = server.database().await;
    let (store, _) = open(settings(&url)).await;
    let task = create(&store, "o").await;
    server.stop("INT");
    let append = |text: &str| {
        let (store, append) = (store.clone(), more(&task, 1, text));
        tokio::spawn(async move { store.append(append).await })
    };
    assert_eq!(kind(append("nobody is there").await.unwrap()), ErrorKind::Unavailable);
    assert_eq!(store.task(task.id).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let waits = append("somebody comes");
    server.begin();
    waits.await.unwrap().unwrap();
    let events = log(&store, task.id).await;
    assert_eq!((events.len(), said(&events[1])), (2, "somebody comes".to_owned()));
    store.close().await;
}
