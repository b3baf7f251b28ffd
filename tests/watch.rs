//! Watching: resumed after any event, lagging, beside readers that stop reading, trimmed; and the feed of many tasks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::{collections::HashMap, sync::Arc};

use a2a_gateway::{
    agent::{Agent, Echo, Recovery},
    engine::{Caller, Engine, Feed, FeedItem, FeedQuery, From, Settings, Submit, Until, Watch},
    error::ErrorKind,
    proto::a2a::{Message, Task, TaskState},
    task::{Event, TaskId, apply},
};
use support::*;

fn me() -> Caller {
    Caller::default()
}

async fn rest(mut watch: Watch) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    while let Some(batch) = watch.next_batch().await {
        events.extend(batch.unwrap());
    }
    events
}

fn sequences(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

fn fold(events: &[Arc<Event>]) -> Task {
    let mut task = Task::default();
    events.iter().for_each(|event| apply(&mut task, event));
    task
}

#[tokio::test]
async fn cut_after_every_event_in_turn_a_watch_resumes_without_gap_or_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), vec![("a".into(), agent)], Settings::default(), 0);
    let id = engine.submit(&me(), submit("go")).await.unwrap().record().id;
    let turn = script.turn().await;
    // One update at a time, so that each is a commit of its own; after each, cut the stream and resume.
    let mut seen: Vec<Arc<Event>> = Vec::new();
    let mut updates = vec![status(TaskState::Working)];
    updates.extend((0..20).map(|i| chunk("a", &format!("{i},"), i > 0)));
    updates.push(status(TaskState::Completed));
    for update in updates {
        turn.say(update).await;
        let after = seen.last().map_or(0, |event| event.sequence);
        let mut watch = engine.watch(&me(), id, From::After(after), Until::Settled).await.unwrap();
        while seen.len() < 2 || seen.last().unwrap().sequence == after {
            seen.push(watch.next().await.unwrap().unwrap());
        }
    }
    assert_eq!(sequences(&seen), (1..=23).collect::<Vec<_>>());
    let stored = engine.get(&me(), id, None).await.unwrap();
    assert_eq!(fold(&seen), stored.task);

    // Settled, and after a restart, every position still gives exactly the rest.
    engine.stop().await;
    let (agent, _script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), vec![("a".into(), agent)], Settings::default(), 0);
    for after in 0..=23 {
        let watch = engine.watch(&me(), id, From::After(after), Until::Settled).await.unwrap();
        assert_eq!(sequences(&rest(watch).await), (after + 1..=23).collect::<Vec<_>>());
    }
    let ahead = engine.watch(&me(), id, From::After(24), Until::Settled).await.err().unwrap();
    assert_eq!(ahead.kind(), ErrorKind::SequenceAhead);
    let opening = rest(engine.watch(&me(), id, From::Snapshot, Until::Settled).await.unwrap()).await;
    assert_eq!(sequences(&opening), [23]);
    assert_eq!(fold(&opening), stored.task);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_watchers_see_the_same_while_some_stop_reading() {
    const EVENTS: u64 = 5000 + 6;
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let asked = run(&engine, submit("ask: ready?")).await;
    let id = asked.id;
    // Every fourth reads nothing until all is over: it has to come back from far beyond the ring.
    let (open_gate, gate) = tokio::sync::watch::channel(false);
    let mut readers = Vec::new();
    for index in 0..200_u64 {
        let from = if index % 2 == 0 { From::After(0) } else { From::After(index % 4) };
        let watch = engine.watch(&me(), id, from, Until::Settled).await.unwrap();
        let mut gate = gate.clone();
        readers.push(tokio::spawn(async move {
            if index % 4 == 0 {
                gate.wait_for(|open| *open).await.unwrap();
            }
            let first = if let From::After(after) = from { after + 1 } else { 1 };
            (first, rest(watch).await)
        }));
    }
    let message = Message { task_id: id.to_string(), ..message("burst: 5000") };
    let done = run(&engine, Submit { message, ..submit("") }).await;
    assert_eq!(done.sequence, EVENTS);
    open_gate.send(true).unwrap();
    for reader in readers {
        let (first, events) = reader.await.unwrap();
        assert_eq!(sequences(&events), (first..=EVENTS).collect::<Vec<_>>());
    }
    assert_eq!(done.task.artifacts[0].parts.len(), 5000);
    engine.stop().await;
}

#[tokio::test]
async fn an_old_question_does_not_end_a_replay_but_a_present_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let asked = run(&engine, submit("ask: who?")).await;
    for until in [Until::InputRequired, Until::Interrupted] {
        let watch = engine.watch(&me(), asked.id, From::After(0), until).await.unwrap();
        assert_eq!(sequences(&rest(watch).await), [1, 2, 3], "{until:?}");
    }
    let snapshot = engine.watch(&me(), asked.id, From::Snapshot, Until::Interrupted).await.unwrap();
    assert_eq!(sequences(&rest(snapshot).await), [3]);
    // A stream of 1.0 that begins with the question is for what comes of it.
    let snapshot = engine.watch(&me(), asked.id, From::Snapshot, Until::InputRequired).await.unwrap();
    let message = Message { task_id: asked.id.to_string(), ..message("Ada") };
    let done = run(&engine, Submit { message, ..submit("") }).await;
    let watch = engine.watch(&me(), asked.id, From::After(0), Until::InputRequired).await.unwrap();
    assert_eq!(sequences(&rest(watch).await), (1..=done.sequence).collect::<Vec<_>>());
    assert_eq!(sequences(&rest(snapshot).await), (3..=done.sequence).collect::<Vec<_>>());
    engine.stop().await;
}

#[tokio::test]
async fn a_trimmed_position_is_a_typed_error_never_a_skip() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { events_per_task: 1000, ..Settings::default() };
    let engine = start(dir.path(), vec![("echo".into(), Arc::new(Echo))], settings, 0);
    let record = run(&engine, submit("burst: 3000")).await;
    let error = engine.watch(&me(), record.id, From::After(0), Until::Settled).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::SequenceTrimmed);
    let detail = |name: &str| error.metadata().iter().find(|(key, _)| *key == name).unwrap().1.parse::<u64>().unwrap();
    let (floor, current) = (detail("floor"), detail("current"));
    assert_eq!(current, record.sequence);
    assert!((record.sequence - 1100 - 256..record.sequence - 1000).contains(&floor), "{floor}");
    let watch = engine.watch(&me(), record.id, From::After(floor), Until::Settled).await.unwrap();
    assert_eq!(sequences(&rest(watch).await), (floor + 1..=current).collect::<Vec<_>>());
    // The task itself is whole.
    engine.stop().await;
    let engine = echo(dir.path());
    assert_eq!(engine.get(&me(), record.id, None).await.unwrap().task, record.task);
    // And a cursor from before the trim cannot skip what is gone.
    let cursor = format!("{:016x}{:08x}", 1, 0);
    let error = engine.feed(&me(), FeedQuery { cursor, ..FeedQuery::default() }).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::CursorTrimmed);
    engine.stop().await;
}

/// Items up to the mark that says that all until now has been delivered.
async fn until_mark(feed: &mut Feed) -> Vec<FeedItem> {
    let mut items = Vec::new();
    loop {
        let item = feed.next().await.unwrap().unwrap();
        if item.event.is_none() {
            return items;
        }
        items.push(item);
    }
}

#[tokio::test]
async fn a_feed_resumes_at_every_cursor_without_gap_or_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let mut feed = engine.feed(&me(), FeedQuery::default()).await.unwrap();
    assert!(until_mark(&mut feed).await.is_empty());
    let submits = (0..10).map(|i| {
        let engine = engine.clone();
        async move { run(&engine, submit(&format!("task {i}"))).await.id }
    });
    let ids = futures::future::join_all(submits).await;
    let mut items = Vec::new();
    while items.len() < 40 {
        items.push(feed.next().await.unwrap().unwrap());
    }
    let place = |item: &FeedItem| {
        let event = item.event.as_ref().unwrap();
        (event.task_id, event.sequence)
    };
    let order: Vec<_> = items.iter().map(place).collect();
    let mut by_task: HashMap<TaskId, Vec<u64>> = HashMap::new();
    for (task, sequence) in &order {
        by_task.entry(*task).or_default().push(*sequence);
    }
    assert_eq!(by_task.len(), ids.len());
    assert!(by_task.values().all(|sequences| *sequences == [1, 2, 3, 4]), "{by_task:?}");

    engine.stop().await;
    let engine = echo(dir.path());
    for (index, item) in items.iter().enumerate() {
        assert_eq!(&*item.agent, "echo");
        let query = FeedQuery { cursor: item.cursor.clone(), ..FeedQuery::default() };
        let mut resumed = engine.feed(&me(), query).await.unwrap();
        let mut rest = Vec::new();
        while rest.len() < order.len() - index - 1 {
            rest.push(place(&resumed.next().await.unwrap().unwrap()));
        }
        assert_eq!(rest, order[index + 1..], "after item {index}");
    }
    let foreign = FeedQuery { cursor: "there".into(), ..FeedQuery::default() };
    assert_eq!(engine.feed(&me(), foreign).await.err().unwrap().field_violations()[0].field, "cursor");
    engine.stop().await;
}

#[tokio::test]
async fn a_feed_opens_with_snapshots_and_filters() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let agents: Vec<(String, Arc<dyn Agent>)> = vec![("echo".into(), Arc::new(Echo)), ("b".into(), agent)];
    let engine = start(dir.path(), agents, Settings::default(), 0);
    let asked = run(&engine, submit("ask: who?")).await;
    run(&engine, submit("settled before")).await;
    let to_b = || Submit { agent: "b".into(), ..submit("go") };
    let other = engine.submit(&me(), to_b()).await.unwrap().record().clone();
    let turn = script.turn().await;

    let open = |query: FeedQuery| {
        let engine = engine.clone();
        async move {
            let mut feed = engine.feed(&me(), query).await.unwrap();
            let mut opening: Vec<_> =
                until_mark(&mut feed).await.iter().map(|i| i.event.clone().unwrap().task_id).collect();
            opening.sort_unstable();
            (feed, opening)
        }
    };
    let (_, all) = open(FeedQuery::default()).await;
    assert_eq!(all, [asked.id, other.id]);
    let (_, echoes) = open(FeedQuery { agent: "echo".into(), ..FeedQuery::default() }).await;
    assert_eq!(echoes, [asked.id]);
    let (_, context) = open(FeedQuery { context_id: other.task.context_id.clone(), ..FeedQuery::default() }).await;
    assert_eq!(context, [other.id]);
    let completed = FeedQuery { agent: "b".into(), states: vec![TaskState::Completed], ..FeedQuery::default() };
    let (mut settled, none) = open(completed).await;
    assert!(none.is_empty());

    turn.say(status(TaskState::Working)).await;
    turn.say(status(TaskState::Completed)).await;
    let item = settled.next().await.unwrap().unwrap();
    let event = item.event.unwrap();
    assert_eq!((event.task_id, event.state, event.sequence), (other.id, TaskState::Completed, 3));
    assert_eq!(
        engine.feed(&me(), FeedQuery { agent: "c".into(), ..FeedQuery::default() }).await.err().unwrap().kind(),
        ErrorKind::AgentNotFound
    );
    engine.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_gateway_drains_and_waiting_calls_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine: Engine = start(dir.path(), vec![("a".into(), agent)], Settings::default(), 0);
    let submitted = engine.submit(&me(), submit("go")).await.unwrap();
    let id = submitted.record().id;
    let turn = script.turn().await;
    let mut watch = engine.watch(&me(), id, From::After(1), Until::Settled).await.unwrap();
    let mut feed = engine.feed(&me(), FeedQuery::default()).await.unwrap();
    until_mark(&mut feed).await;
    let waiting = tokio::spawn(submitted.outcome(None, None));
    engine.drain();
    assert_eq!(watch.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(feed.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(engine.submit(&me(), submit("more")).await.err().unwrap().kind(), ErrorKind::Unavailable);
    turn.say(status(TaskState::Completed)).await;
    assert!(waiting.await.unwrap().is_ok());
    engine.stop().await;
}
