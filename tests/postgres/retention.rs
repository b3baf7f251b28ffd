//! What is removed when its time is over.

use std::sync::Arc;

use a2a_gateway::{
    error::ErrorKind,
    proto::a2a::TaskState,
    store::{Append, Postgres, Store},
    task::{TaskId, apply},
};
use bytes::Bytes;
use prost::Message as _;

use super::{database, rig::*};

async fn settled(store: &Postgres, owner: &str) -> TaskId {
    let task = create(store, owner).await;
    store.append(append(&task, 1, TaskState::Submitted, TaskState::Completed, "x")).await.unwrap();
    task.id
}

#[tokio::test]
async fn settled_and_hidden_tasks_of_all_owners_go_in_batches() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, _) = open(settings(&url)).await;
    let mut old = Vec::new();
    for owner in ["", "a", "b", "b", "c"] {
        old.push(settled(&store, owner).await);
    }
    let hidden = create(&store, "b").await;
    let hide = append(&hidden, 1, TaskState::Submitted, TaskState::Completed, "x");
    store.append(Append { hide: true, ..hide }).await.unwrap();
    old.push(hidden.id);
    let open_task = create(&store, "b").await;
    assert_eq!(counted(&store).await, [(TaskState::Submitted, 1), (TaskState::Completed, 5)]);
    assert!(store.task(hidden.id).await.unwrap().unwrap().hidden);

    assert_eq!(store.purge(None, 9000, 10).await.unwrap(), []);
    assert_eq!(store.purge(Some(1002), 9000, 10).await.unwrap(), [], "it settled at 1002");
    let mut gone = Vec::new();
    loop {
        let batch = store.purge(Some(1003), 9000, 4).await.unwrap();
        assert!(batch.len() <= 4);
        if batch.is_empty() {
            break;
        }
        gone.extend(batch);
    }
    gone.sort_unstable();
    old.sort_unstable();
    assert_eq!(gone, old);
    assert_eq!(counted(&store).await, [(TaskState::Submitted, 1)]);
    assert!(store.task(open_task.id).await.unwrap().is_some());
    let client = database::connect(&url).await;
    for table in ["segments", "snapshots"] {
        let left = format!("SELECT count(*) FROM {table} WHERE task NOT IN (SELECT key FROM tasks)");
        assert_eq!(client.query_one(&left, &[]).await.unwrap().get::<_, i64>(0), 0, "{table}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_that_remove_at_once_remove_each_task_once() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, _) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    for _ in 0..40 {
        settled(&one, "o").await;
    }
    let removing = |store: Arc<Postgres>| {
        tokio::spawn(async move {
            let mut gone = Vec::new();
            while store.counts().await.unwrap().iter().any(|(_, count)| *count > 0) {
                gone.extend(store.purge(Some(2000), 2000, 3).await.unwrap());
            }
            gone
        })
    };
    let (first, second) = tokio::join!(removing(one.clone()), removing(two.clone()));
    let mut gone = [first.unwrap(), second.unwrap()].concat();
    assert_eq!(gone.len(), 40);
    gone.sort_unstable();
    gone.dedup();
    assert_eq!(gone.len(), 40);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn the_end_of_a_long_log_goes_and_the_task_stays_whole() {
    let Some(server) = database::server() else { return };
    let (store, _) = open(settings(&server.database().await)).await;
    let task = create(&store, "o").await;
    for after in 1..10 {
        store.append(more(&task, after, &format!("{after}"))).await.unwrap();
    }
    let whole = store.task(task.id).await.unwrap().unwrap();
    assert_eq!((whole.floor, whole.unfolded > 0, whole.sequence), (0, true, 10));
    until("the feed has all", async || feed(&store, 0).await.0.len() == 10).await;
    let (commits, _) = feed(&store, 0).await;
    let last = more(&task, 10, "10");
    let mut folded = whole.task.clone();
    last.events.iter().for_each(|event| apply(&mut folded, event));
    let snapshot = Some(Bytes::from(folded.encode_to_vec()));
    // Without a snapshot nothing goes.
    store.append(Append { snapshot, trim_to: Some(7), ..last }).await.unwrap();
    let stored = store.task(task.id).await.unwrap().unwrap();
    assert_eq!((stored.floor, stored.unfolded, stored.sequence), (7, 0, 11));
    assert_eq!(stored.task, folded);
    let page = store.log(task.id, 7).await.unwrap().unwrap();
    assert_eq!((page.floor, page.events.len()), (7, 4));
    assert_eq!(store.feed(0).await.unwrap().floor, commits[6].position);
    store.append(Append { trim_to: Some(9), ..more(&task, 11, "11") }).await.unwrap();
    assert_eq!(store.log(task.id, 7).await.unwrap().unwrap().floor, 7);
    let stored = store.task(task.id).await.unwrap().unwrap();
    assert_eq!((stored.unfolded > 0, stored.sequence), (true, 12));
    // Who comes too late is refused, as ever.
    assert_eq!(kind(store.append(more(&task, 3, "x")).await), ErrorKind::Conflict);
    store.close().await;
}
