//! The store as operators meet it: lists, retention, a full disk, files that are not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use a2a_gateway::{
    agent::{Echo, Recovery, Update},
    engine::{Caller, Engine, ListQuery, Page, Settings, Submit},
    error::ErrorKind,
    metrics::Metrics,
    proto::{
        a2a::{Task, TaskState, TaskStatus, TaskStatusUpdateEvent, stream_response::Payload},
        well_known::Timestamp,
    },
    store::{Append, Identity, LIST_BYTES, Link, NewTask, Sqlite, SqliteSettings, Store},
    task::{Dialect, Event, TaskId, Upstream},
};
use support::{places::places, *};

fn me() -> Caller {
    Caller::default()
}

async fn all_pages(engine: &Engine, query: &ListQuery) -> Vec<TaskId> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let page: Page = engine.list(&me(), ListQuery { page_token, ..query.clone() }).await.unwrap();
        assert!(page.records.len() <= usize::try_from(page.page_size).unwrap());
        ids.extend(page.records.iter().map(|record| record.id));
        if page.next_page_token.is_empty() {
            assert_eq!(page.total, ids.len() as u64);
            return ids;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_paged_without_loss() {
    for place in places().await {
        let engine = place.echo().await;
        let mut made = Vec::new();
        for i in 0..25 {
            let mut submit = submit(if i % 5 == 0 { "fail: x" } else { "hello" });
            submit.message.context_id = format!("c-{}", i % 2);
            made.push(run(&engine, submit).await);
        }
        made.sort_by_key(|record| std::cmp::Reverse((record.updated, record.id)));
        let newest_first: Vec<_> = made.iter().map(|record| record.id).collect();
        let pick = |keep: &dyn Fn(&a2a_gateway::task::Record) -> bool| -> Vec<_> {
            made.iter().filter(|record| keep(record)).map(|record| record.id).collect()
        };
        let sized = ListQuery { page_size: Some(4), ..ListQuery::default() };
        assert_eq!(all_pages(&engine, &sized).await, newest_first);
        let failed = ListQuery { states: vec![TaskState::Failed], ..sized.clone() };
        assert_eq!(all_pages(&engine, &failed).await, pick(&|record| state(&record.task) == TaskState::Failed));
        let both = ListQuery { states: vec![TaskState::Failed, TaskState::Completed], ..sized.clone() };
        assert_eq!(all_pages(&engine, &both).await, newest_first);
        let context = ListQuery { context_id: "c-1".into(), agent: "echo".into(), ..sized.clone() };
        assert_eq!(all_pages(&engine, &context).await, pick(&|record| record.task.context_id == "c-1"));
        let since = made[10].updated;
        let recent = ListQuery { updated_after: Some(Timestamp::from_millis(since)), ..sized.clone() };
        assert_eq!(all_pages(&engine, &recent).await, pick(&|record| record.updated >= since));

        let bare = engine.list(&me(), ListQuery { history_length: Some(0), ..ListQuery::default() }).await.unwrap();
        assert_eq!((bare.page_size, bare.records.len()), (50, 25));
        assert!(bare.records.iter().all(|record| record.task.artifacts.is_empty() && record.task.history.is_empty()));
        let full = engine.list(&me(), ListQuery { include_artifacts: true, ..ListQuery::default() }).await.unwrap();
        assert!(full.records.iter().any(|record| !record.task.artifacts.is_empty() && !record.task.history.is_empty()));
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_page_ends_early_rather_than_fill_the_memory() {
    for place in places().await {
        let engine = place.echo().await;
        let mut made = Vec::new();
        // Each holds its text twice: as the message and as its echo.
        let text = "x".repeat(LIST_BYTES / 4 + 1);
        for text in [&*text, &*text, &*text, "hello"] {
            made.push(run(&engine, submit(text)).await);
        }
        made.sort_by_key(|record| std::cmp::Reverse((record.updated, record.id)));
        let page = engine.list(&me(), ListQuery::default()).await.unwrap();
        assert_eq!((page.records.len(), page.total, page.page_size), (3, 4, 50));
        assert!(!page.next_page_token.is_empty());
        let newest_first: Vec<_> = made.iter().map(|record| record.id).collect();
        assert_eq!(all_pages(&engine, &ListQuery::default()).await, newest_first);
        engine.stop().await;
    }
}

#[tokio::test]
async fn bad_list_requests_name_the_field() {
    for place in places().await {
        let engine = place.echo().await;
        run(&engine, submit("one")).await;
        run(&engine, submit("two")).await;
        let page = engine.list(&me(), ListQuery { page_size: Some(1), ..ListQuery::default() }).await.unwrap();
        let cases = [
            ("page_size", ListQuery { page_size: Some(0), ..ListQuery::default() }),
            ("page_size", ListQuery { page_size: Some(-3), ..ListQuery::default() }),
            ("page_size", ListQuery { page_size: Some(101), ..ListQuery::default() }),
            ("history_length", ListQuery { history_length: Some(-1), ..ListQuery::default() }),
            ("page_token", ListQuery { page_token: "abc".into(), ..ListQuery::default() }),
            // A token of another list.
            (
                "page_token",
                ListQuery { page_token: page.next_page_token, context_id: "c".into(), ..ListQuery::default() },
            ),
            ("context_id", ListQuery { context_id: "\0".into(), ..ListQuery::default() }),
        ];
        for (field, query) in cases {
            let error = engine.list(&me(), query.clone()).await.unwrap_err();
            assert_eq!(error.field_violations()[0].field, field, "{query:?}");
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn settled_tasks_go_when_their_time_is_over_and_others_stay() {
    for place in places().await {
        let engine = place.echo().await;
        let settled = run(&engine, submit("hello")).await.id;
        let waiting = run(&engine, submit("ask: who?")).await.id;
        engine.stop().await;
        let settings = Settings {
            retention: Some(Duration::ZERO),
            retention_interval: Duration::from_millis(10),
            retention_batch: 1,
            ..Settings::default()
        };
        let engine = place.start(vec![("echo".into(), Arc::new(Echo))], settings).await;
        let gone = async {
            while engine.get(&me(), settled, None).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the settled task stayed");
        assert_eq!(engine.get(&me(), settled, None).await.unwrap_err().kind(), ErrorKind::TaskNotFound);
        assert_eq!(state(&engine.get(&me(), waiting, None).await.unwrap().task), TaskState::InputRequired);
        assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 1);
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_full_store_refuses_writes_goes_on_reading_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(dir.path(), vec![("echo".into(), Arc::new(Echo))], Settings::default(), 512 << 10);
    let big = "x".repeat(20_000);
    let mut stored = Vec::new();
    let error = loop {
        let submitted = match engine.submit(&me(), submit(&big)).await {
            Ok(submitted) => submitted,
            Err(error) => break error,
        };
        stored.push(submitted.record().id);
        // The agent's updates may be what no longer fits: whoever waits is told.
        if let Err(error) = submitted.outcome(None, None).await {
            break error;
        }
        assert!(stored.len() < 1000, "the store never was full");
    };
    assert_eq!(error.kind(), ErrorKind::StoreFull);
    for id in &stored {
        assert_eq!(text(&engine.get(&me(), *id, None).await.unwrap().task.history[0]), big);
    }
    engine.stop().await;
    // With room again, all is there and what was left unfinished goes on.
    let engine = echo(dir.path());
    for id in &stored {
        let mut watch = engine
            .watch(&me(), *id, a2a_gateway::engine::From::Snapshot, a2a_gateway::engine::Until::Settled)
            .await
            .unwrap();
        let mut last = None;
        while let Some(event) = watch.next().await {
            last = Some(event.unwrap().state);
        }
        assert_eq!(last, Some(TaskState::Completed));
    }
    engine.stop().await;
}

fn open(dir: &std::path::Path) -> Result<Sqlite, String> {
    let metrics = Arc::new(Metrics::default());
    let hub = a2a_gateway::engine::Hub::new(metrics.clone());
    let settings = SqliteSettings { readers: 1, ..SqliteSettings::new(dir) };
    Sqlite::open(&settings, hub, metrics).map_err(|error| error.to_string())
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.db");
    let refused = |says: &str| {
        let before = std::fs::read(&path).unwrap();
        let error = open(dir.path()).err().unwrap();
        assert!(error.contains(says), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{says}: the file was changed");
    };
    std::fs::write(&path, "this is not a database, but a text that is long enough to be read as a header").unwrap();
    refused("damaged");

    std::fs::remove_file(&path).unwrap();
    let foreign = rusqlite::Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(foreign);
    refused("another program");

    std::fs::remove_file(&path).unwrap();
    let engine = echo(dir.path());
    assert!(open(dir.path()).err().unwrap().contains("in use"));
    engine.stop().await;
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "journal_mode", "DELETE").unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    refused("newer");
}

#[tokio::test]
async fn counts_and_totals_follow_every_change_of_state() {
    for place in places().await {
        let engine = place.echo().await;
        run(&engine, submit("hello")).await;
        run(&engine, submit("fail: x")).await;
        let asked = run(&engine, submit("ask: who?")).await;
        let of = |state| ListQuery { states: vec![state], ..ListQuery::default() };
        for (state, total) in [(TaskState::Completed, 1), (TaskState::Failed, 1), (TaskState::InputRequired, 1)] {
            assert_eq!(engine.list(&me(), of(state)).await.unwrap().total, total, "{state:?}");
        }
        engine.cancel(&me(), asked.id, None).await.unwrap();
        for (state, total) in [(TaskState::InputRequired, 0), (TaskState::Canceled, 1), (TaskState::Working, 0)] {
            assert_eq!(engine.list(&me(), of(state)).await.unwrap().total, total, "{state:?}");
        }
        let bare = Submit { reply: a2a_gateway::engine::Reply::Message, ..submit("message: x") };
        engine.submit(&me(), bare).await.unwrap().outcome(None, None).await.unwrap();
        assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 3);
        engine.stop().await;
    }
}

/// Stores a task of a caller with an agent.
async fn store_task(store: &dyn Store, owner: &str, agent: &str, context: &str, created: i64) -> Arc<Identity> {
    let identity = Arc::new(Identity {
        id: TaskId::mint(),
        owner: owner.into(),
        agent: agent.into(),
        context_id: context.into(),
        dialect: Dialect::V1,
        created,
        deadline: None,
        output_modes: Vec::new(),
    });
    let status = TaskStatus { state: TaskState::Submitted.into(), ..TaskStatus::default() };
    let task = Task { id: identity.id.to_string(), status: Some(status), ..Task::default() };
    let event = Arc::new(Event::new(identity.id, 1, created, TaskState::Submitted, Payload::Task(task)));
    store
        .create(NewTask {
            identity: identity.clone(),
            extensions: vec!["http://e/1".into()],
            event,
            webhooks: Vec::new(),
            request: None,
        })
        .await
        .unwrap();
    identity
}

/// Notes how the agent knows a task; with a time: together with an event of it.
async fn name(store: &dyn Store, identity: &Arc<Identity>, ids: (&str, &str), note_context: bool, time: Option<i64>) {
    let events = time.map(|time| {
        let status = TaskStatus { state: TaskState::Working.into(), ..TaskStatus::default() };
        let update = TaskStatusUpdateEvent { status: Some(status), ..TaskStatusUpdateEvent::default() };
        Arc::new(Event::new(identity.id, 2, time, TaskState::Working, Payload::StatusUpdate(update)))
    });
    let append = Append {
        upstream: Some(Upstream { task_id: ids.0.into(), context_id: ids.1.into() }),
        note_context,
        ..Append::new(identity.clone(), 1, TaskState::Submitted, Vec::from_iter(events))
    };
    store.append(append).await.unwrap();
}

#[tokio::test]
async fn how_agents_know_tasks_is_each_callers_and_agents_own() {
    for place in places().await {
        let store = place.open().await;
        let task = store_task(&*store, "me", "a", "c", 1).await;
        let linked = async |owner: &str, agent: &str, id: &str| {
            store.linked(owner.into(), agent.into(), id.into()).await.unwrap()
        };
        assert_eq!(store.link(TaskId::mint()).await.unwrap(), None);
        let link = |task_id: &str, context_id: &str| {
            let upstream = Upstream { task_id: task_id.into(), context_id: context_id.into() };
            Some(Link { owner: "me".into(), agent: "a".into(), upstream })
        };
        assert_eq!(store.link(task.id).await.unwrap(), link("", ""));
        assert_eq!(linked("me", "a", "").await, None, "a task without a name is not found by none");

        name(&*store, &task, ("t", "x"), false, None).await;
        assert_eq!(store.link(task.id).await.unwrap(), link("t", "x"));
        assert_eq!(linked("me", "a", "t").await, Some(task.id));
        for (owner, agent, id) in [("you", "a", "t"), ("me", "b", "t"), ("me", "a", "u"), ("me", "a", "T")] {
            assert_eq!(linked(owner, agent, id).await, None, "{owner} {agent} {id}");
        }
        // An agent that uses an id again means its newest task.
        let newer = store_task(&*store, "me", "a", "c", 2).await;
        name(&*store, &newer, ("t", "x"), false, None).await;
        assert_eq!(linked("me", "a", "t").await, Some(newer.id));
        // Another name takes the place of the first.
        name(&*store, &newer, ("u", "y"), false, None).await;
        assert_eq!((linked("me", "a", "t").await, linked("me", "a", "u").await), (Some(task.id), Some(newer.id)));
        store.close().await;

        let store = place.open().await;
        assert_eq!(store.link(newer.id).await.unwrap(), link("u", "y"));
        assert_eq!(store.task(newer.id).await.unwrap().unwrap().upstream, link("u", "y").unwrap().upstream);
        store.close().await;
    }
}

#[tokio::test]
async fn conversations_are_noted_where_that_is_asked_and_forgotten_when_their_time_is_over() {
    for place in places().await {
        let store = place.open().await;
        let context = async |owner: &str, agent: &str, context: &str| {
            store.upstream_context(owner.into(), agent.into(), context.into()).await.unwrap()
        };
        let quiet = store_task(&*store, "me", "a", "quiet", 100).await;
        name(&*store, &quiet, ("t-1", "x"), false, None).await;
        assert_eq!(context("me", "a", "quiet").await, None);

        let old = store_task(&*store, "me", "a", "old", 100).await;
        name(&*store, &old, ("t-2", "x-old"), true, None).await;
        let used = store_task(&*store, "me", "a", "used", 100).await;
        name(&*store, &used, ("t-3", "x-used"), true, Some(110)).await;
        assert_eq!(context("me", "a", "old").await.as_deref(), Some("x-old"));
        for (owner, agent, id) in [("you", "a", "old"), ("me", "b", "old"), ("me", "a", "x-old")] {
            assert_eq!(context(owner, agent, id).await, None, "{owner} {agent} {id}");
        }
        // A later task of the conversation notes it anew, perhaps under another name.
        let later = store_task(&*store, "me", "a", "used", 150).await;
        name(&*store, &later, ("t-4", "x-new"), true, Some(200)).await;
        assert_eq!(context("me", "a", "used").await.as_deref(), Some("x-new"));

        // Nothing goes without a limit, or before its time.
        store.purge(None, 1000, 10).await.unwrap();
        store.purge(Some(100), 1000, 10).await.unwrap();
        assert_eq!(context("me", "a", "old").await.as_deref(), Some("x-old"));
        store.purge(Some(200), 1000, 10).await.unwrap();
        assert_eq!(context("me", "a", "old").await, None);
        assert_eq!(context("me", "a", "used").await.as_deref(), Some("x-new"));
        store.purge(Some(201), 1000, 10).await.unwrap();
        assert_eq!(context("me", "a", "used").await, None);
        // The open tasks stay, and know their own conversations.
        assert_eq!(store.link(old.id).await.unwrap().unwrap().upstream.context_id, "x-old");
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_keeps_its_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let done = run(&engine, submit("hello")).await;
    let asked = run(&engine, submit("ask: who?")).await;
    engine.stop().await;
    // As version 1 left it: what the later ones added is taken away.
    let file = rusqlite::Connection::open(dir.path().join("gateway.db")).unwrap();
    file.execute_batch(
        "DROP TABLE contexts;
         DROP INDEX upstream_tasks;
         ALTER TABLE tasks DROP COLUMN upstream_task;
         ALTER TABLE tasks DROP COLUMN upstream_context;
         ALTER TABLE tasks DROP COLUMN webhooks;
         ALTER TABLE tasks DROP COLUMN extensions;
         DROP TABLE webhooks;
         DROP TABLE deliveries;
         DROP TABLE attempts;
         DROP TABLE lanes;
         DROP TABLE origins;
         DROP TABLE removed;
         DROP TABLE arrivals;
         DELETE FROM meta WHERE name IN ('round', 'epoch');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(file);

    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), vec![("echo".into(), agent)], Settings::default(), 0);
    assert_eq!(engine.get(&me(), done.id, None).await.unwrap().task, done.task);
    assert_eq!(engine.get(&me(), asked.id, None).await.unwrap().task, asked.task);
    assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 2);
    let mut answer = submit("Ada");
    answer.message.task_id = asked.id.to_string();
    let submitted = engine.submit(&me(), answer).await.unwrap();
    let turn = script.turn().await;
    assert_eq!((turn.turn.upstream.task_id.as_str(), text(&turn.turn.message)), ("", "Ada".into()));
    // What the later versions keep is kept for it from now on.
    turn.say(Update::Known(Upstream { task_id: "t".into(), context_id: "x".into() })).await;
    turn.say(status(TaskState::Completed)).await;
    submitted.outcome(None, None).await.unwrap();
    engine.stop().await;
    let store = open(dir.path()).unwrap();
    assert_eq!(store.link(asked.id).await.unwrap().unwrap().upstream.task_id, "t");
    let context = store.upstream_context("".into(), "echo".into(), asked.task.context_id).await.unwrap();
    assert_eq!(context.as_deref(), Some("x"));
    store.close().await;
}

#[tokio::test]
async fn a_conversation_is_remembered_as_long_as_its_newest_task() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.db");
    let agents = |agent| vec![("a".to_owned(), agent)];
    for turn_of_talk in ["first", "second"] {
        let (agent, mut script) = scripted(Recovery::Fail);
        let engine = start(dir.path(), agents(agent), Settings::default(), 0);
        let mut go = submit(turn_of_talk);
        go.message.context_id = "talk".into();
        let submitted = engine.submit(&me(), go).await.unwrap();
        let turn = script.turn().await;
        let told = turn.turn.upstream.context_id.clone();
        assert_eq!(told == "x", turn_of_talk == "second");
        turn.say(Update::Known(Upstream { task_id: turn_of_talk.into(), context_id: "x".into() })).await;
        turn.say(status(TaskState::Completed)).await;
        submitted.outcome(None, None).await.unwrap();
        engine.stop().await;
        // As if that had been long ago.
        let file = rusqlite::Connection::open(&file).unwrap();
        let noted: i64 = file.query_row("SELECT noted FROM contexts", [], |row| row.get(0)).unwrap();
        assert!(noted > 1, "not noted by the {turn_of_talk} task");
        file.execute("UPDATE contexts SET noted = 1", []).unwrap();
    }
}
