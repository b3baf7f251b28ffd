//! The store as operators meet it: lists, retention, a full disk, files that are not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use a2a_gateway::{
    agent::Echo,
    engine::{Caller, Engine, ListQuery, Page, Settings, Submit},
    error::ErrorKind,
    metrics::Metrics,
    proto::{a2a::TaskState, well_known::Timestamp},
    store::{Sqlite, SqliteSettings},
    task::TaskId,
};
use support::*;

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
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
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

#[tokio::test]
async fn bad_list_requests_name_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
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
        ("page_token", ListQuery { page_token: page.next_page_token, context_id: "c".into(), ..ListQuery::default() }),
        ("context_id", ListQuery { context_id: "\0".into(), ..ListQuery::default() }),
    ];
    for (field, query) in cases {
        let error = engine.list(&me(), query.clone()).await.unwrap_err();
        assert_eq!(error.field_violations()[0].field, field, "{query:?}");
    }
    engine.stop().await;
}

#[tokio::test]
async fn settled_tasks_go_when_their_time_is_over_and_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let settled = run(&engine, submit("hello")).await.id;
    let waiting = run(&engine, submit("ask: who?")).await.id;
    engine.stop().await;
    let settings = Settings {
        retention: Some(Duration::ZERO),
        retention_interval: Duration::from_millis(10),
        retention_batch: 1,
        ..Settings::default()
    };
    let engine = start(dir.path(), vec![("echo".into(), Arc::new(Echo))], settings, 0);
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
    let settings = SqliteSettings { data_dir: dir.to_owned(), readers: 1, batch_max: 8, max_size: 0 };
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
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
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
