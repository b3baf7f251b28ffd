//! The feed, beside transactions that take their time.

use std::time::Duration;

use a2a_gateway::{
    proto::a2a::TaskState,
    store::{Postgres, Store},
};

use super::{database, rig::*};

/// Waits until a store tells the feed, from wherever that is on.
async fn follows(store: &Postgres, told: &Ear) {
    let begun = async || {
        create(store, "o").await;
        !told.ordered().is_empty()
    };
    until("it follows", begun).await;
    let last = create(store, "o").await.id;
    until("it told the last", async || told.ordered().last().is_some_and(|commit| commit.identity.id == last)).await;
}

/// Where the commits are that it told.
fn places(told: &Ear) -> Vec<u64> {
    told.ordered().iter().map(|commit| commit.position).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commits_late_is_neither_skipped_nor_told_before_its_turn() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, told) = open(settings(&url)).await;
    let store = &store;
    follows(store, &told).await;
    let (begin, stable) = feed(store, 0).await;
    let first = begin[0].identity.clone();
    let count = told.ordered().len();
    // A transaction of another database on the server is of no account.
    let other = database::connect(&server.database().await).await;
    other.batch_execute("CREATE TABLE theirs (n int); BEGIN; INSERT INTO theirs VALUES (1)").await.unwrap();
    let second = create(store, "o").await;
    until("the second is told", async || told.ordered().len() == count + 1).await;
    let (next, stable) = feed(store, stable).await;
    assert_eq!(next[0].identity.id, second.id);
    // As a commit of another process that takes its time: it has its place, and is not there yet.
    let slow = database::connect(&url).await;
    slow.batch_execute("BEGIN").await.unwrap();
    let place = "INSERT INTO segments (task, first, last, position, data)
         SELECT task, 2, 2, (pg_current_xact_id()::text::bigint << 20) + 5, data FROM segments
         ORDER BY position LIMIT 1 RETURNING position";
    let place: i64 = slow.query_one(place, &[]).await.unwrap().get(0);
    let place = place.cast_unsigned();
    let later: Vec<_> = [create(store, "o").await, create(store, "o").await].map(|task| task.id).into();
    // They are committed and told to who waits for them, but come after it.
    assert_eq!(told.stored().last().unwrap().identity.id, later[1]);
    let page = store.feed(stable).await.unwrap();
    assert!(page.commits.is_empty() && page.stable < place && page.head > place, "{page:?}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(told.ordered().len(), count + 1);
    slow.batch_execute("COMMIT").await.unwrap();
    until("all are told", async || told.ordered().len() == count + 4).await;
    let (rest, stable) = feed(store, stable).await;
    assert!(stable >= rest[2].position);
    assert_eq!(rest[0].position, place);
    assert_eq!(rest.iter().map(|commit| commit.identity.id).collect::<Vec<_>>(), [first.id, later[0], later[1]]);
    let ordered = places(&told);
    let read: Vec<_> = begin.iter().chain(&next).chain(&rest).map(|commit| commit.position).collect();
    assert!(read.ends_with(&ordered), "{ordered:?} {read:?}");
    other.batch_execute("COMMIT").await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stores_tell_all_commits_once_in_one_order() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, one_told) = open(settings(&url)).await;
    let (two, two_told) = open(settings(&url)).await;
    follows(&one, &one_told).await;
    follows(&two, &two_told).await;
    until("all of that is told", async || places(&one_told).last() == places(&two_told).last()).await;
    let (before, _) = feed(&one, 0).await;
    let work = (0..40).map(|n| {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move {
            let task = create(&store, "o").await;
            for after in 1..5 {
                store.append(more(&task, after, "x")).await.unwrap();
            }
        })
    });
    for done in futures::future::join_all(work).await {
        done.unwrap();
    }
    let all = before.len() + 200;
    until("the feed has all", async || feed(&one, 0).await.0.len() == all).await;
    let read: Vec<_> = feed(&one, 0).await.0.iter().map(|commit| commit.position).collect();
    for told in [&one_told, &two_told] {
        until("all is told", async || places(told).last() == read.last()).await;
        assert!(places(told).len() > 200 && read.ends_with(&places(told)));
    }
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn what_is_removed_raises_the_floor() {
    let Some(server) = database::server() else { return };
    let (store, _) = open(settings(&server.database().await)).await;
    let task = create(&store, "o").await;
    store.append(append(&task, 1, TaskState::Submitted, TaskState::Completed, "x")).await.unwrap();
    let kept = create(&store, "o").await;
    until("the feed has all", async || feed(&store, 0).await.0.len() == 3).await;
    let (commits, _) = feed(&store, 0).await;
    assert_eq!(store.feed(0).await.unwrap().floor, 0);
    assert_eq!(store.purge(Some(2000), 2000, 10).await.unwrap(), [task.id]);
    let page = store.feed(0).await.unwrap();
    assert_eq!(page.floor, commits[1].position);
    assert_eq!(page.commits.iter().map(|commit| commit.identity.id).collect::<Vec<_>>(), [kept.id]);
    store.close().await;
}
