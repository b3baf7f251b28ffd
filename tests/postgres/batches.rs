//! Writes that go into one transaction together, and beside others.

use std::{collections::HashMap, sync::Arc};

use a2a_gateway::{
    error::ErrorKind,
    proto::a2a::TaskState,
    store::{Append, Commit, NewTask, Postgres, PostgresSettings, Receipt, Store},
    task::Upstream,
};
use futures::future::join_all;

use super::{database, rig::*};

/// Each task's events among commits, which must be whole and in order.
fn by_task(commits: &[Commit]) -> HashMap<String, Vec<u64>> {
    let mut tasks: HashMap<String, Vec<u64>> = HashMap::new();
    for commit in commits {
        let task = tasks.entry(commit.identity.id.to_string()).or_default();
        task.extend(commit.events.iter().map(|event| event.sequence));
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writes_through_two_stores_have_one_order_without_holes() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, one_told) = open(PostgresSettings { batch_max: 16, ..settings(&url) }).await;
    let (two, two_told) = open(PostgresSettings { writers: 2, ..settings(&url) }).await;
    let begin = one.feed(i64::MAX.cast_unsigned()).await.unwrap().stable;
    let work = (0..120).map(|n| {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        let other = if n % 2 == 0 { two.clone() } else { one.clone() };
        tokio::spawn(async move {
            let task = create(&store, &format!("o{}", n % 3)).await;
            for after in 1..6 {
                // The stores take turns.
                let writer = if after % 2 == 0 { &store } else { &other };
                writer.append(more(&task, after, &format!("{n}.{after}"))).await.unwrap();
            }
            store.append(append(&task, 6, TaskState::Working, TaskState::Completed, "end")).await.unwrap();
            let events = log(&other, task.id).await;
            assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
            assert_eq!(said(&events[3]), format!("{n}.3"));
        })
    });
    for done in join_all(work).await {
        done.unwrap();
    }
    // The feed has all of it once, each task's events in their order, and both stores have the same.
    // Of what just ended on the server, the feed may not have heard yet.
    until("the feed has all", async || {
        feed(&one, begin).await.0.len() == 840 && feed(&two, begin).await.0.len() == 840
    })
    .await;
    let (commits, stable) = feed(&one, begin).await;
    assert!(commits.is_sorted_by(|a, b| a.position < b.position), "a place is used twice");
    assert!(commits.iter().all(|commit| commit.position <= stable));
    let tasks = by_task(&commits);
    assert_eq!(tasks.len(), 120);
    assert!(tasks.values().all(|events| *events == [1, 2, 3, 4, 5, 6, 7]), "{tasks:?}");
    let places = |commits: &[Commit]| commits.iter().map(|commit| commit.position).collect::<Vec<_>>();
    assert_eq!(places(&feed(&two, begin).await.0), places(&commits));
    // What each told of its own writes is in order for each task, at the places of the feed.
    let mut told: Vec<Commit> = one_told.stored();
    told.extend(two_told.stored());
    let mut told = places(&told);
    told.sort_unstable();
    assert_eq!(told, places(&commits));
    for told in [&one_told, &two_told] {
        for events in by_task(&told.stored()).values() {
            assert!(events.is_sorted_by(|a, b| a < b), "{events:?}");
        }
    }
    assert_eq!(counted(&one).await, [(TaskState::Completed, 120)]);
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writes_after_the_same_event_one_is_refused() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, told) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    let task = create(&one, "o").await;
    for after in 1..40 {
        let write = |store: &Arc<Postgres>, n: usize| {
            let (store, task) = (store.clone(), task.clone());
            tokio::spawn(async move { store.append(more(&task, after, &format!("{after}.{n}"))).await })
        };
        let writes = [write(&one, 0), write(&two, 1), write(&one, 2), write(&two, 3)];
        let results = join_all(writes).await.into_iter().map(Result::unwrap);
        let (mut taken, mut refused) = (Vec::new(), 0);
        for (n, result) in results.enumerate() {
            match result {
                Ok(receipt) => {
                    assert_eq!(receipt, Receipt::Written);
                    taken.push(n);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict);
                    refused += 1;
                }
            }
        }
        assert_eq!((taken.len(), refused), (1, 3));
        let events = log(&two, task.id).await;
        assert_eq!(said(&events[usize::try_from(after).unwrap()]), format!("{after}.{}", taken[0]));
    }
    assert_eq!(log(&one, task.id).await.len(), 40);
    assert!(told.stored().len() <= 40, "what was refused was told");
    assert_eq!(counted(&one).await, [(TaskState::Working, 1)]);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn writes_to_one_task_that_wait_together_are_done_one_after_the_other() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, told) = open(settings(&url)).await;
    let task = identity("o", "c");
    // All of them wait before the first is taken: this test has one thread.
    let create = store.create(new_task(&task));
    let appends = (1..20).map(|after| store.append(more(&task, after, "x")));
    let (created, appended) = tokio::join!(create, join_all(appends));
    created.unwrap();
    for result in appended {
        assert_eq!(result.unwrap(), Receipt::Written);
    }
    assert_eq!(log(&store, task.id).await.len(), 20);
    let told: Vec<u64> = told.stored().iter().map(|commit| commit.events[0].sequence).collect();
    assert_eq!(told, (1..=20).collect::<Vec<_>>());
    store.close().await;
}

#[tokio::test]
async fn a_write_that_the_database_refuses_is_refused_alone() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, told) = open(PostgresSettings { writers: 1, ..settings(&url) }).await;
    let (good, bad) = ((0..5).map(|_| identity("o", "c")).collect::<Vec<_>>(), identity("o", "no \0 here"));
    let writes = good.iter().take(3).chain([&bad]).chain(&good[3..]).map(|task| store.create(new_task(task)));
    let results = join_all(writes).await;
    for (n, result) in results.into_iter().enumerate() {
        if n == 3 {
            assert_eq!(kind(result), ErrorKind::Internal);
        } else {
            assert_eq!(result.unwrap(), Receipt::Written);
        }
    }
    assert!(store.task(bad.id).await.unwrap().is_none());
    for task in &good {
        assert_eq!(log(&store, task.id).await.len(), 1);
    }
    assert_eq!(told.stored().len(), 5);
    assert_eq!(counted(&store).await, [(TaskState::Submitted, 5)]);
    // What an agent calls things may hold anything, and be long.
    let odd = "\0".repeat(9000) + &"ü".repeat(9000);
    let upstream = Upstream { task_id: odd.clone(), context_id: odd.clone() };
    let noted = Append { upstream: Some(upstream.clone()), note_context: true, ..more(&good[0], 1, "known") };
    store.append(noted).await.unwrap();
    assert_eq!(store.linked("o".into(), "a".into(), odd.clone()).await.unwrap(), Some(good[0].id));
    assert_eq!(store.task(good[0].id).await.unwrap().unwrap().upstream, upstream);
    assert_eq!(store.upstream_context("o".into(), "a".into(), "c".into()).await.unwrap(), Some(odd));
    store.close().await;
}

#[tokio::test]
async fn what_was_handed_over_is_written_whether_or_not_anybody_waits() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, told) = open(settings(&url)).await;
    let tasks: Vec<_> = (0..30).map(|_| identity("o", "c")).collect();
    for task in &tasks {
        // Handed over, then given up.
        let mut write = store.create(new_task(task));
        assert!(futures::poll!(&mut write).is_pending());
    }
    store.close().await;
    assert_eq!(told.stored().len(), 30);
    let (store, _) = open(settings(&url)).await;
    for task in &tasks {
        assert!(store.task(task.id).await.unwrap().is_some());
    }
    store.close().await;
    let late = store.create(new_task(&identity("o", "c"))).await;
    assert_eq!(kind(late), ErrorKind::Unavailable);
    assert_eq!(store.task(tasks[0].id).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn too_many_webhooks_are_refused_without_disturbing_others() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, _) = open(PostgresSettings { webhooks_per_task: 0, ..settings(&url) }).await;
    let (fine, greedy) = (identity("o", "c"), identity("o", "c"));
    let webhook = webhook(&greedy);
    let new = NewTask { webhooks: vec![webhook], request: Some(request("r", 1, 9000)), ..new_task(&greedy) };
    let (refused, stored) = tokio::join!(store.create(new), store.create(new_task(&fine)));
    assert_eq!(kind(refused), ErrorKind::WebhookLimit);
    stored.unwrap();
    assert!(store.task(greedy.id).await.unwrap().is_none());
    assert_eq!(store.request("o".into(), "a".into(), "r".into(), 1).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn long_logs_are_read_piece_by_piece() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, _) = open(settings(&url)).await;
    let task = create(&store, "o").await;
    let big = "x".repeat(400_000);
    for after in 1..8 {
        store.append(more(&task, after, &big)).await.unwrap();
    }
    // A piece ends with what makes it large: 1, then three of 400,000 bytes, then three more.
    let lengths = async || {
        let (mut lengths, mut after) = (Vec::new(), 0);
        loop {
            let page = store.log(task.id, after).await.unwrap().unwrap();
            assert_eq!(page.head, 8);
            let Some(last) = page.events.last() else { return lengths };
            after = last.sequence;
            lengths.push(page.events.len());
        }
    };
    assert_eq!(lengths().await, [4, 3, 1]);
    let page = store.feed(0).await.unwrap();
    assert_eq!(page.commits.len(), 4, "the feed is bounded alike");
    // Many small ones are bounded by their number.
    let small = create(&store, "o").await;
    let events = (2..=1200).map(|sequence| says(&small, sequence, TaskState::Working, "x")).collect::<Vec<_>>();
    let mut after = 1;
    for events in events.chunks(100) {
        let from = if after == 1 { TaskState::Submitted } else { TaskState::Working };
        let append = Append::new(small.clone(), after, from, events.to_vec());
        after += events.len() as u64;
        store.append(append).await.unwrap();
    }
    let page = store.log(small.id, 0).await.unwrap().unwrap();
    assert_eq!(page.events.len(), 601, "1, and 100 a time until there are 512");
    let page = store.log(small.id, 650).await.unwrap().unwrap();
    assert_eq!(page.events[0].sequence, 651);
    assert_eq!(page.events.len(), 550);
    assert!(store.log(small.id, u64::MAX).await.unwrap().unwrap().events.is_empty());
    store.close().await;
}
