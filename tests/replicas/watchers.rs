//! Watching at one what another does.

use a2a_gateway::{
    agent::Recovery,
    engine::{Caller, Feed, FeedQuery, From},
    proto::a2a::TaskState,
    task::TaskId,
};

use super::{Node, Pair, soon, told};
use crate::support::{chunk, kind, status, submit};

#[tokio::test]
async fn a_task_is_watched_at_any_of_them_and_resumed_at_another() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let played = pair.a.script.turn().await;
    let mut watch = pair.b.watch(id, From::After(0)).await;
    let mut seen = Vec::new();
    // Each is seen before the next is said: none waits for another to be told of.
    for text in ["one", "two", "three"] {
        played.say(chunk("x", text, text != "one")).await;
        loop {
            let event = soon(watch.next()).await.unwrap().unwrap();
            seen.push(event.clone());
            if kind(&event) == "artifact" {
                break;
            }
        }
    }
    let at = seen.last().unwrap().sequence;
    drop(watch);
    let mut resumed = pair.a.watch(id, From::After(at)).await;
    played.say(status(TaskState::Completed)).await;
    while let Some(event) = soon(resumed.next()).await {
        seen.push(event.unwrap());
    }
    assert_eq!(told(&pair.b.log(id).await), told(&seen));
    assert_eq!(
        seen.iter().map(|event| event.sequence).collect::<Vec<_>>(),
        (1..=seen.len() as u64).collect::<Vec<_>>()
    );
    pair.stop().await;
}

#[tokio::test]
async fn what_no_hint_told_of_is_found_by_looking() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let played = pair.a.script.turn().await;
    let mut watch = pair.b.watch(id, From::After(1)).await;
    pair.meddle(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .await;
    played.say(status(TaskState::Completed)).await;
    let mut last = TaskState::Submitted;
    while let Some(event) = soon(watch.next()).await {
        last = event.unwrap().state;
    }
    assert_eq!(last, TaskState::Completed);
    pair.stop().await;
}

/// Runs a task on a node.
async fn run(node: &mut Node) -> TaskId {
    let id = node.submit(submit("work")).await;
    let played = node.script.turn().await;
    played.say(chunk("x", "a chunk", false)).await;
    played.say(status(TaskState::Completed)).await;
    drop(played);
    node.log(id).await;
    id
}

/// A feed that has told what there was.
async fn opened(node: &Node) -> Feed {
    let mut feed = node.engine.feed(&Caller::default(), FeedQuery::default()).await.unwrap();
    while soon(feed.next()).await.unwrap().unwrap().event.is_some() {}
    feed
}

/// What a feed tells up to the end of a task: tasks, sequences and cursors.
async fn follow(feed: &mut Feed, until: TaskId) -> Vec<(TaskId, u64, String)> {
    let mut seen = Vec::new();
    loop {
        let item = soon(feed.next()).await.unwrap().unwrap();
        let Some(event) = item.event else { continue };
        seen.push((event.task_id, event.sequence, item.cursor));
        if event.task_id == until && event.state == TaskState::Completed {
            return seen;
        }
    }
}

#[tokio::test]
async fn many_tasks_are_watched_in_one_order_everywhere_and_resumed_anywhere() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let caller = Caller::default();
    let (mut at_a, mut at_b) = (opened(&pair.a).await, opened(&pair.b).await);
    let mut last = run(&mut pair.a).await;
    for _ in 0..3 {
        run(&mut pair.b).await;
        last = run(&mut pair.a).await;
    }
    let seen = follow(&mut at_a, last).await;
    assert_eq!(follow(&mut at_b, last).await, seen);
    assert_eq!(seen.len(), 7 * 4);
    for cut in [0, 5, 13] {
        let query = FeedQuery { cursor: seen[cut].2.clone(), ..FeedQuery::default() };
        let mut resumed = pair.b.engine.feed(&caller, query).await.unwrap();
        assert_eq!(follow(&mut resumed, last).await, seen[cut + 1..]);
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_commit_that_comes_late_is_neither_skipped_nor_told_before_its_place() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    // A transaction that began before all others, and ends after them.
    let mut client = crate::database::connect(&pair.url).await;
    let late = client.transaction().await.unwrap();
    late.batch_execute("UPDATE meta SET value = value + 1 WHERE name = 'probe'").await.unwrap();
    let mut feed = opened(&pair.b).await;
    let first = run(&mut pair.a).await;
    let second = run(&mut pair.b).await;
    // Watching one task does not wait for it.
    assert_eq!(pair.b.log(first).await.last().unwrap().state, TaskState::Completed);
    late.commit().await.unwrap();
    let seen = follow(&mut feed, second).await;
    let of = |id| seen.iter().filter(|(task, ..)| *task == id).map(|(_, sequence, _)| *sequence).collect::<Vec<_>>();
    assert_eq!((of(first), of(second)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    pair.stop().await;
}
