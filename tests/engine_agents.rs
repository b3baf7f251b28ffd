//! What the engine does with agents beyond running them: places, replacement, refusals, cancels, their ids, restarts, and
//! limits to what they may say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use a2a_gateway::{
    agent::{Agent, AgentError, Recovery, Update},
    engine::{Caller, Engine, From, Outcome, Reply, Settings, Submit, Until},
    error::{Error, ErrorKind},
    proto::{
        a2a::{Message, TaskState},
        well_known::{Kind, Struct, Value},
    },
    task::{Record, TaskId, Upstream},
};
use support::*;

fn me() -> Caller {
    Caller::default()
}

fn one(agent: Arc<dyn Agent>) -> Vec<(String, Arc<dyn Agent>)> {
    vec![("scripted".into(), agent)]
}

fn engine(dir: &Path, agent: Arc<dyn Agent>) -> Engine {
    start(dir, one(agent), Settings::default(), 0)
}

async fn begin(engine: &Engine, text: &str) -> TaskId {
    engine.submit(&me(), submit(text)).await.unwrap().record().id
}

/// The next message of a task.
fn more(id: TaskId, text: &str) -> Submit {
    Submit { message: Message { task_id: id.to_string(), ..message(text) }, ..submit("") }
}

async fn wait_for(engine: &Engine, id: TaskId, wanted: TaskState) -> Record {
    let mut watch = engine.watch(&me(), id, From::Snapshot, Until::Settled).await.unwrap();
    while let Some(event) = watch.next().await {
        if event.unwrap().state == wanted {
            return engine.get(&me(), id, None).await.unwrap();
        }
    }
    panic!("the task never was {wanted:?}");
}

async fn state_of(engine: &Engine, id: TaskId) -> TaskState {
    state(&engine.get(&me(), id, None).await.unwrap().task)
}

fn saying(state: TaskState, id: &str, text: &str) -> Update {
    Update::Status { state, message: Some(Message { message_id: id.into(), ..message(text) }), metadata: None }
}

fn known(task_id: &str, context_id: &str) -> Update {
    Update::Known(Upstream { task_id: task_id.into(), context_id: context_id.into() })
}

fn load(engine: &Engine) -> (u64, u64) {
    let agent = engine.agent("").unwrap();
    (agent.running, agent.queued)
}

/// A struct with a value so many levels deep.
fn deep(levels: usize) -> Struct {
    let mut inner = Struct::default();
    for _ in 0..levels {
        let value = Value { kind: Some(Kind::Struct(inner)) };
        inner = Struct { fields: [("deeper".to_owned(), value)].into_iter().collect() };
    }
    inner
}

#[tokio::test]
async fn an_agent_with_few_places_gets_its_tasks_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted_for(Recovery::Fail, Some(2));
    let engine = engine(dir.path(), agent);
    let mut ids = Vec::new();
    for n in 0..6 {
        let metadata = Some(Struct {
            fields: [("n".to_owned(), Value { kind: Some(Kind::Number(f64::from(n))) })].into_iter().collect(),
        });
        let submit = Submit { metadata, ..submit(&n.to_string()) };
        ids.push(engine.submit(&me(), submit).await.unwrap().record().id);
    }
    assert_eq!(load(&engine), (2, 4));
    let mut running = vec![script.turn().await, script.turn().await];
    for (n, id) in ids.iter().enumerate().skip(2) {
        assert!(script.turns.try_recv().is_err(), "more turns than places");
        assert_eq!(state_of(&engine, *id).await, TaskState::Submitted);
        running.remove(0).say(status(TaskState::Completed)).await;
        let next = script.turn().await;
        assert_eq!((next.turn.task.id.clone(), text(&next.turn.message)), (id.to_string(), n.to_string()));
        let number = next.turn.metadata.as_ref().unwrap().fields["n"].kind.clone();
        assert_eq!(number, Some(Kind::Number(n as f64)), "what came beside the message waits with it");
        running.push(next);
    }
    for turn in running {
        turn.say(status(TaskState::Completed)).await;
    }
    for id in ids {
        wait_for(&engine, id, TaskState::Completed).await;
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_queued_task_can_be_canceled_or_overdue_and_those_behind_it_move_up() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted_for(Recovery::Fail, Some(1));
    let engine = engine(dir.path(), agent);
    begin(&engine, "first").await;
    let first = script.turn().await;
    let canceled = begin(&engine, "canceled").await;
    let timed = Submit { timeout: Some(Duration::from_millis(5)), ..submit("late") };
    let late = engine.submit(&me(), timed).await.unwrap().record().id;
    let last = begin(&engine, "last").await;
    assert_eq!(state(&engine.cancel(&me(), canceled, None).await.unwrap().task), TaskState::Canceled);
    let late = wait_for(&engine, late, TaskState::Failed).await;
    assert!(said(&late.task).contains("timeout of 5ms"), "{}", said(&late.task));
    assert_eq!(text(&late.task.history[0]), "late", "the task is whole, though it waited without being held");
    first.say(status(TaskState::Completed)).await;
    let turn = script.turn().await;
    assert_eq!(turn.turn.task.id, last.to_string());
    turn.say(status(TaskState::Completed)).await;
    wait_for(&engine, last, TaskState::Completed).await;
    assert!(script.canceled.try_recv().is_err(), "the agent never heard of either");
    engine.stop().await;
}

#[tokio::test]
async fn queued_turns_survive_a_restart_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted_for(Recovery::Fail, Some(1));
    let before = engine(dir.path(), agent);
    let running = begin(&before, "running").await;
    let _turn = script.turn().await;
    let mut queued = Vec::new();
    for n in 0..3 {
        queued.push(begin(&before, &n.to_string()).await);
    }
    before.stop().await;

    let (agent, mut script) = scripted_for(Recovery::Fail, Some(1));
    let engine = engine(dir.path(), agent);
    wait_for(&engine, running, TaskState::Failed).await;
    for id in queued {
        let turn = script.turn().await;
        assert_eq!((turn.turn.task.id.clone(), turn.turn.resumed), (id.to_string(), false));
        assert!(script.turns.try_recv().is_err());
        turn.say(status(TaskState::Completed)).await;
        wait_for(&engine, id, TaskState::Completed).await;
    }
    engine.stop().await;
}

#[tokio::test]
async fn replaced_agents_finish_what_they_began() {
    let dir = tempfile::tempdir().unwrap();
    let (old, mut old_script) = scripted(Recovery::Fail);
    let (new, mut new_script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), old);
    let (finished, canceled, asked) =
        (begin(&engine, "one").await, begin(&engine, "two").await, begin(&engine, "three").await);
    let mut turns = [old_script.turn().await, old_script.turn().await, old_script.turn().await];
    turns.sort_by_key(|played| played.turn.task.id.clone());
    engine.replace_agents(one(new));

    let fresh = begin(&engine, "four").await;
    let turn = new_script.turn().await;
    assert_eq!(turn.turn.task.id, fresh.to_string());
    turn.say(status(TaskState::Completed)).await;
    wait_for(&engine, fresh, TaskState::Completed).await;

    turns[0].say(status(TaskState::Completed)).await;
    wait_for(&engine, finished, TaskState::Completed).await;
    engine.cancel(&me(), canceled, None).await.unwrap();
    assert_eq!(old_script.canceled.recv().await.unwrap(), canceled.to_string());
    // What was asked by the old one is answered to the new one of the same name.
    turns[2].say(status(TaskState::InputRequired)).await;
    wait_for(&engine, asked, TaskState::InputRequired).await;
    engine.submit(&me(), more(asked, "answer")).await.unwrap();
    let turn = new_script.turn().await;
    assert_eq!((turn.turn.task.id.clone(), text(&turn.turn.message)), (asked.to_string(), "answer".into()));

    // One that is no longer there takes nothing new, and its waiting tasks can still be canceled.
    turn.say(status(TaskState::InputRequired)).await;
    wait_for(&engine, asked, TaskState::InputRequired).await;
    let (other, _other_script) = scripted(Recovery::Fail);
    engine.replace_agents(vec![("other".into(), other)]);
    let error = engine.submit(&me(), more(asked, "again")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AgentNotFound);
    let named = Submit { agent: "scripted".into(), ..submit("go") };
    assert_eq!(engine.submit(&me(), named).await.err().unwrap().kind(), ErrorKind::AgentNotFound);
    assert_eq!(state(&engine.cancel(&me(), asked, None).await.unwrap().task), TaskState::Canceled);
    assert!(old_script.turns.try_recv().is_err());
    engine.stop().await;
}

#[tokio::test]
async fn an_agent_that_stays_keeps_its_places() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted_for(Recovery::Fail, Some(1));
    let engine = engine(dir.path(), agent.clone());
    begin(&engine, "one").await;
    let first = script.turn().await;
    begin(&engine, "two").await;
    let (other, _other_script) = scripted(Recovery::Fail);
    engine.replace_agents(vec![("scripted".into(), agent), ("other".into(), other)]);
    assert_eq!(load(&engine), (1, 1));
    begin(&engine, "three").await;
    assert_eq!(load(&engine), (1, 2));
    assert!(script.turns.try_recv().is_err());
    first.say(status(TaskState::Completed)).await;
    let second = script.turn().await;
    assert_eq!(text(&second.turn.message), "two");
    second.say(status(TaskState::Completed)).await;
    assert_eq!(text(&script.turn().await.turn.message), "three");
    engine.stop().await;
}

fn blocking(submit: Submit) -> Submit {
    Submit { reply: Reply::Message, ..submit }
}

fn assert_refusal(error: &Error, kind: ErrorKind, id: TaskId) {
    assert_eq!((error.kind(), error.message()), (kind, "only text"));
    assert_eq!(error.metadata(), [("taskId", id.to_string())]);
}

#[tokio::test]
async fn a_refusal_is_the_waiting_callers_error_and_the_task_says_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    for kind in [ErrorKind::ContentTypeNotSupported, ErrorKind::InvalidArgument, ErrorKind::InvalidAgentResponse] {
        let submitted = engine.submit(&me(), blocking(submit("go"))).await.unwrap();
        let id = submitted.record().id;
        script.turn().await.refuse(kind, "only text").await;
        assert_refusal(&submitted.outcome(None, None).await.unwrap_err(), kind, id);
        let task = engine.get(&me(), id, None).await.unwrap().task;
        assert_eq!((state(&task), said(&task)), (TaskState::Failed, "only text".into()));

        let submitted = engine.submit(&me(), blocking(submit("go"))).await.unwrap();
        let id = submitted.record().id;
        script.turn().await.refuse(kind, "only text").await;
        assert_refusal(&submitted.stream(Until::Settled).await.err().unwrap(), kind, id);
        assert_eq!(state_of(&engine, id).await, TaskState::Failed);

        // Who holds the task sees it failed.
        let submitted = engine.submit(&me(), submit("go")).await.unwrap();
        script.turn().await.refuse(kind, "only text").await;
        let Outcome::Task(record) = submitted.outcome(None, None).await.unwrap() else { panic!("a message") };
        assert_eq!((state(&record.task), said(&record.task)), (TaskState::Failed, "only text".into()));
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_refusal_after_the_first_word_is_a_failure_of_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let submitted = engine.submit(&me(), blocking(submit("go"))).await.unwrap();
    let turn = script.turn().await;
    turn.say(status(TaskState::Working)).await;
    turn.refuse(ErrorKind::ContentTypeNotSupported, "only text").await;
    let Outcome::Task(record) = submitted.outcome(None, None).await.unwrap() else { panic!("a message") };
    assert_eq!((state(&record.task), said(&record.task)), (TaskState::Failed, "only text".into()));
    engine.stop().await;
}

#[tokio::test]
async fn a_stream_that_has_shown_the_task_shows_the_refusal_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let settings = Settings { direct_reply_wait: Duration::from_millis(1), ..Settings::default() };
    let engine = start(dir.path(), one(agent), settings, 0);
    let submitted = engine.submit(&me(), blocking(submit("go"))).await.unwrap();
    let turn = script.turn().await;
    let mut stream = submitted.stream(Until::Settled).await.unwrap();
    assert_eq!(kind(&stream.next().await.unwrap().unwrap()), "task");
    turn.refuse(ErrorKind::ContentTypeNotSupported, "only text").await;
    let last = stream.next().await.unwrap().unwrap();
    assert_eq!((kind(&last), last.state), ("status", TaskState::Failed));
    assert!(stream.next().await.is_none());
    engine.stop().await;
}

#[tokio::test]
async fn a_refused_answer_leaves_the_question_open_if_another_may_do() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let asks = async |script: &mut Script, names: bool| {
        let id = begin(&engine, "go").await;
        let turn = script.turn().await;
        if names {
            turn.say(known("t", "c")).await;
        }
        turn.say(status(TaskState::InputRequired)).await;
        wait_for(&engine, id, TaskState::InputRequired).await;
        id
    };
    let id = asks(&mut script, true).await;
    for kind in [ErrorKind::InvalidArgument, ErrorKind::ContentTypeNotSupported, ErrorKind::UnsupportedOperation] {
        let submitted = engine.submit(&me(), blocking(more(id, "a picture"))).await.unwrap();
        script.turn().await.refuse(kind, "only text").await;
        assert_refusal(&submitted.outcome(None, None).await.unwrap_err(), kind, id);
        let task = engine.get(&me(), id, None).await.unwrap().task;
        assert_eq!((state(&task), said(&task)), (TaskState::InputRequired, "only text".into()));
    }
    let submitted = engine.submit(&me(), more(id, "text")).await.unwrap();
    let turn = script.turn().await;
    assert_eq!(turn.turn.upstream.task_id, "t");
    turn.say(status(TaskState::Completed)).await;
    submitted.outcome(None, None).await.unwrap();
    assert_eq!(state_of(&engine, id).await, TaskState::Completed);

    // A broken agent, and one that keeps no tasks, cannot be answered again.
    for (names, kind) in [(true, ErrorKind::InvalidAgentResponse), (false, ErrorKind::ContentTypeNotSupported)] {
        let id = asks(&mut script, names).await;
        let submitted = engine.submit(&me(), blocking(more(id, "a picture"))).await.unwrap();
        script.turn().await.refuse(kind, "only text").await;
        assert_refusal(&submitted.outcome(None, None).await.unwrap_err(), kind, id);
        assert_eq!(state_of(&engine, id).await, TaskState::Failed);
    }
    engine.stop().await;
}

#[tokio::test]
async fn what_the_agent_answers_to_a_cancel_is_heeded() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let run = async |script: &mut Script| {
        let id = begin(&engine, "go").await;
        let turn = script.turn().await;
        turn.say(known("t", "c")).await;
        turn.say(status(TaskState::Working)).await;
        wait_for(&engine, id, TaskState::Working).await;
        (id, turn)
    };
    // It had just finished. What it says beyond that counts no more.
    let (id, turn) = run(&mut script).await;
    let done = vec![
        chunk("a", "result", false),
        saying(TaskState::Completed, "m", "done"),
        chunk("b", "after the end", false),
        status(TaskState::Canceled),
    ];
    script.answer_cancel(Ok(done));
    let error = engine.cancel(&me(), id, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TaskNotCancelable);
    turn.dropped().await;
    let task = engine.get(&me(), id, None).await.unwrap().task;
    assert_eq!((state(&task), said(&task)), (TaskState::Completed, "done".into()));
    assert_eq!(task.artifacts.iter().map(|one| text_of(&one.parts)).collect::<Vec<_>>(), ["result"]);

    // It canceled, with words of its own.
    let (id, _turn) = run(&mut script).await;
    script.answer_cancel(Ok(vec![saying(TaskState::Canceled, "m", "stopped halfway")]));
    let record = engine.cancel(&me(), id, None).await.unwrap();
    assert_eq!((state(&record.task), said(&record.task)), (TaskState::Canceled, "stopped halfway".into()));

    // It asks something instead: the caller wants no more.
    let (id, _turn) = run(&mut script).await;
    script.answer_cancel(Ok(vec![saying(TaskState::InputRequired, "m", "sure?")]));
    assert_eq!(state(&engine.cancel(&me(), id, None).await.unwrap().task), TaskState::Canceled);

    // It cannot.
    let (id, turn) = run(&mut script).await;
    script.answer_cancel(Err(AgentError::failed("not supported")));
    let record = engine.cancel(&me(), id, None).await.unwrap();
    assert_eq!(state(&record.task), TaskState::Canceled);
    assert_eq!(said(&record.task), "Canceled here, but the agent may still be working on it: not supported");
    turn.dropped().await;

    // What cannot be stored fails the task.
    let (id, _turn) = run(&mut script).await;
    let metadata = Some(deep(200));
    script.answer_cancel(Ok(vec![
        Update::Status { state: TaskState::Working, message: None, metadata },
        chunk("a", "x", false),
    ]));
    assert_eq!(engine.cancel(&me(), id, None).await.unwrap_err().kind(), ErrorKind::TaskNotCancelable);
    let task = engine.get(&me(), id, None).await.unwrap().task;
    assert_eq!((state(&task), task.artifacts.len()), (TaskState::Failed, 0));
    engine.stop().await;
}

#[tokio::test]
async fn the_end_of_an_interrupted_task_reaches_the_agent_under_its_own_id() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let before = engine(dir.path(), agent);
    let ask = async |script: &mut Script, submit: Submit| {
        let id = before.submit(&me(), submit).await.unwrap().record().id;
        let turn = script.turn().await;
        turn.say(known("t-7", "c-7")).await;
        turn.say(status(TaskState::InputRequired)).await;
        wait_for(&before, id, TaskState::InputRequired).await;
        id
    };
    let upstream = Upstream { task_id: "t-7".into(), context_id: "c-7".into() };
    let id = ask(&mut script, submit("go")).await;
    script.answer_cancel(Ok(vec![saying(TaskState::Canceled, "m", "as you wish")]));
    let metadata = Some(deep(1));
    let record = before.cancel(&me(), id, metadata.clone()).await.unwrap();
    assert_eq!((state(&record.task), said(&record.task)), (TaskState::Canceled, "as you wish".into()));
    let cancel = script.cancels.recv().await.unwrap();
    assert_eq!((cancel.upstream, cancel.metadata, cancel.task.id), (upstream.clone(), metadata, id.to_string()));

    // Its time ends while it waits; the engine has been restarted meanwhile.
    let id = ask(&mut script, Submit { timeout: Some(Duration::from_secs(3600)), ..submit("go") }).await;
    before.stop().await;
    let file = rusqlite::Connection::open(dir.path().join("gateway.db")).unwrap();
    let aged = "UPDATE tasks SET created = created - 60000, deadline = created - 59000 WHERE standing = 0";
    assert_eq!(file.execute(aged, []).unwrap(), 1);
    drop(file);
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let record = wait_for(&engine, id, TaskState::Failed).await;
    assert!(said(&record.task).contains("timeout of 1s"), "{}", said(&record.task));
    let cancel = script.cancels.recv().await.unwrap();
    assert_eq!((cancel.upstream, cancel.task.id), (upstream, id.to_string()));
    engine.stop().await;
}

#[tokio::test]
async fn an_agent_is_asked_to_cancel_once_however_many_ask() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    for waits in [TaskState::InputRequired, TaskState::AuthRequired, TaskState::Working] {
        for _ in 0..10 {
            let id = begin(&engine, "go").await;
            let turn = script.turn().await;
            turn.say(status(waits)).await;
            wait_for(&engine, id, waits).await;
            let caller = me();
            let asks = (0..4).map(|_| engine.cancel(&caller, id, None));
            for record in futures::future::join_all(asks).await {
                assert_eq!(state(&record.unwrap().task), TaskState::Canceled);
            }
            assert_eq!(script.canceled.recv().await.unwrap(), id.to_string());
            assert!(script.canceled.try_recv().is_err(), "asked again: {waits:?}");
        }
    }
    engine.stop().await;
}

#[tokio::test]
async fn the_agents_ids_are_kept_over_turns_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let before = engine(dir.path(), agent);
    let submit_in = |text: &str, context: &str| {
        let message = Message { context_id: context.into(), ..message(text) };
        Submit { message, ..submit("") }
    };
    let first = before.submit(&me(), submit_in("go", "mine")).await.unwrap().record().id;
    let turn = script.turn().await;
    let made_up = turn.turn.upstream.context_id.clone();
    assert_eq!(turn.turn.upstream.task_id, "");
    assert!(!made_up.is_empty() && made_up != "mine", "the caller's context id is not the agent's");
    turn.say(known("t-1", "c-1")).await;
    turn.say(status(TaskState::Working)).await;
    wait_for(&before, first, TaskState::Working).await;
    before.stop().await;

    // Under way, and the agent had named it: taken up again, whatever the recovery.
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let upstream = Upstream { task_id: "t-1".into(), context_id: "c-1".into() };
    let turn = script.turn().await;
    assert_eq!((turn.turn.upstream.clone(), turn.turn.resumed), (upstream.clone(), true));
    turn.say(status(TaskState::InputRequired)).await;
    wait_for(&engine, first, TaskState::InputRequired).await;
    engine.submit(&me(), more(first, "answer")).await.unwrap();
    let turn = script.turn().await;
    assert_eq!((turn.turn.upstream.clone(), turn.turn.resumed), (upstream, false));
    turn.say(status(TaskState::Completed)).await;
    wait_for(&engine, first, TaskState::Completed).await;

    // Another task of the conversation; of another one; of another caller's of the same name.
    let context_of = async |script: &mut Script, caller: &str, context: &str| {
        let caller = Caller { owner: caller.into() };
        engine.submit(&caller, submit_in("go", context)).await.unwrap();
        let turn = script.turn().await;
        assert_eq!(turn.turn.upstream.task_id, "");
        turn.turn.upstream.context_id.clone()
    };
    assert_eq!(context_of(&mut script, "", "mine").await, "c-1");
    let other = context_of(&mut script, "", "other").await;
    let stranger = context_of(&mut script, "stranger", "mine").await;
    assert!(![&other, &stranger].contains(&&"c-1".to_owned()) && other != stranger);
    assert_ne!(stranger, made_up);
    engine.stop().await;
}

#[tokio::test]
async fn references_are_in_the_ids_of_who_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let named = async |script: &mut Script, caller: &Caller, upstream: &str| {
        let id = engine.submit(caller, submit("go")).await.unwrap().record().id;
        let turn = script.turn().await;
        turn.say(known(upstream, "c")).await;
        turn.say(status(TaskState::Completed)).await;
        turn.dropped().await;
        id.to_string()
    };
    let mine = named(&mut script, &me(), "t-mine").await;
    let theirs = named(&mut script, &Caller { owner: "stranger".into() }, "t-theirs").await;
    let references = vec![mine.clone(), theirs.clone(), "elsewhere".to_owned()];
    let message = Message { reference_task_ids: references.clone(), ..message("go on") };
    let submitted = engine.submit(&me(), Submit { message, ..submit("") }).await.unwrap();
    let id = submitted.record().id.to_string();
    let turn = script.turn().await;
    assert_eq!(turn.turn.message.reference_task_ids, ["t-mine", &theirs, "elsewhere"]);
    turn.say(known("t-now", "c")).await;
    let says = |state, references: &[&str]| {
        let reference_task_ids = references.iter().map(|id| (*id).to_owned()).collect();
        Update::Status {
            state,
            message: Some(Message { reference_task_ids, ..support::message("see") }),
            metadata: None,
        }
    };
    turn.say(says(TaskState::Working, &["t-mine", "t-theirs", "t-unknown"])).await;
    turn.say(says(TaskState::Completed, &["t-unknown", "t-now"])).await;
    let Outcome::Task(record) = submitted.outcome(None, None).await.unwrap() else { panic!("a message") };
    let history = &record.task.history;
    assert_eq!(history[0].reference_task_ids, references, "the caller's own message is as it was");
    assert_eq!(history[1].reference_task_ids, [mine]);
    assert_eq!(record.task.status.unwrap().message.unwrap().reference_task_ids, [id]);
    engine.stop().await;
}

#[tokio::test]
async fn what_is_run_again_after_a_restart_depends_on_what_the_agent_may_have() {
    #[derive(Debug, PartialEq)]
    enum After {
        Again { resumed: bool },
        Failed,
    }
    use After::{Again, Failed};
    let cases = [
        // The agent may have the message, and has not named the task.
        (Recovery::Fail, vec![], Failed),
        (Recovery::Resend, vec![], Again { resumed: true }),
        // It has certainly not got it.
        (Recovery::Fail, vec![Update::NotSent], Again { resumed: false }),
        (Recovery::Resend, vec![Update::NotSent], Again { resumed: false }),
        // It was sent once more.
        (Recovery::Fail, vec![Update::NotSent, Update::Sending], Failed),
        // It has named the task.
        (Recovery::Fail, vec![known("t", "c")], Again { resumed: true }),
        (Recovery::Resend, vec![known("t", "c")], Again { resumed: true }),
    ];
    for (recovery, says, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut script) = scripted(recovery);
        let before = engine(dir.path(), agent);
        let id = begin(&before, "go").await;
        let turn = script.turn().await;
        for update in says.clone() {
            turn.say(update).await;
        }
        turn.say(status(TaskState::Working)).await;
        wait_for(&before, id, TaskState::Working).await;
        before.stop().await;

        let (agent, mut script) = scripted(recovery);
        let engine = engine(dir.path(), agent);
        let after = if expected == Failed {
            wait_for(&engine, id, TaskState::Failed).await;
            assert!(script.turns.try_recv().is_err());
            Failed
        } else {
            let turn = script.turn().await;
            assert_eq!(text(&turn.turn.message), "go");
            let resumed = turn.turn.resumed;
            turn.say(status(TaskState::Completed)).await;
            wait_for(&engine, id, TaskState::Completed).await;
            Again { resumed }
        };
        assert_eq!(after, expected, "{recovery:?} {says:?}");
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_later_turn_that_was_not_sent_is_sent_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let before = engine(dir.path(), agent);
    let id = begin(&before, "go").await;
    let turn = script.turn().await;
    turn.say(known("t", "c")).await;
    turn.say(status(TaskState::InputRequired)).await;
    wait_for(&before, id, TaskState::InputRequired).await;
    before.submit(&me(), more(id, "answer")).await.unwrap();
    let turn = script.turn().await;
    turn.say(Update::NotSent).await;
    turn.say(saying(TaskState::Working, "m", "it cannot be reached")).await;
    let mut watch = before.watch(&me(), id, From::Snapshot, Until::Settled).await.unwrap();
    while before.get(&me(), id, None).await.unwrap().task.status.unwrap().message.is_none() {
        watch.next().await.unwrap().unwrap();
    }
    before.stop().await;

    // The agent knows the task, but not this message: following the task would wait for ever.
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let turn = script.turn().await;
    assert_eq!((text(&turn.turn.message), turn.turn.resumed), ("answer".into(), false));
    assert_eq!(turn.turn.upstream.task_id, "t");
    engine.stop().await;
}

#[tokio::test]
async fn an_agent_that_sends_too_much_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let settings = Settings { max_task_size: 1 << 20, ..Settings::default() };
    let engine = start(dir.path(), one(agent), settings, 0);
    let submitted = engine.submit(&me(), submit("go")).await.unwrap();
    let id = submitted.record().id;
    let turn = script.turn().await;
    let big = "x".repeat(300 << 10);
    let mut chunks = 0;
    while turn.try_say(chunk("a", &big, chunks > 0)).await.is_ok() {
        chunks += 1;
        assert!(chunks < 100, "nobody stopped it");
    }
    let Outcome::Task(record) = submitted.outcome(None, None).await.unwrap() else { panic!("a message") };
    assert_eq!(state(&record.task), TaskState::Failed);
    assert_eq!(said(&record.task), "The agent sent more than the 1 MiB that a task may hold.");
    assert_eq!(record.task.artifacts[0].parts.len(), 3, "what fits is kept");
    assert_eq!(script.canceled.recv().await.unwrap(), id.to_string());
    engine.stop().await;
}

#[tokio::test]
async fn data_too_deep_to_be_read_fails_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let Update::Artifact { artifact, .. } = chunk("a", "x", false) else { unreachable!() };
    let cases = [
        Update::Status { state: TaskState::Working, message: None, metadata: Some(deep(200)) },
        Update::Status {
            state: TaskState::Completed,
            message: Some(Message { metadata: Some(deep(200)), ..message("done") }),
            metadata: None,
        },
        Update::Artifact { artifact, append: false, last_chunk: true, metadata: Some(deep(200)) },
        Update::Reply(Message { metadata: Some(deep(200)), ..message("done") }),
    ];
    for update in cases {
        let submitted = engine.submit(&me(), submit("go")).await.unwrap();
        let id = submitted.record().id;
        let turn = script.turn().await;
        turn.say(update).await;
        let Outcome::Task(record) = submitted.outcome(None, None).await.unwrap() else { panic!("a message") };
        assert_eq!(state(&record.task), TaskState::Failed);
        assert!(said(&record.task).starts_with("The agent's answer cannot be used:"), "{}", said(&record.task));
        assert!(record.task.artifacts.is_empty());
        turn.dropped().await;
        assert_eq!(script.canceled.recv().await.unwrap(), id.to_string());
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_status_that_says_the_same_again_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = engine(dir.path(), agent);
    let submitted = engine.submit(&me(), submit("go")).await.unwrap();
    let turn = script.turn().await;
    turn.say(saying(TaskState::Working, "m-1", "half done")).await;
    turn.say(saying(TaskState::Working, "m-1", "half done")).await;
    turn.say(status(TaskState::Working)).await;
    // The same id with other words, the same words with another id, and what has metadata say something.
    turn.say(saying(TaskState::Working, "m-1", "nearly done")).await;
    turn.say(saying(TaskState::Working, "m-2", "nearly done")).await;
    turn.say(Update::Status { state: TaskState::Working, message: None, metadata: Some(deep(1)) }).await;
    turn.say(status(TaskState::Completed)).await;
    let Outcome::Task(record) = submitted.outcome(None, None).await.unwrap() else { panic!("a message") };
    let history: Vec<_> = record.task.history.iter().map(text).collect();
    assert_eq!(history, ["go", "half done", "nearly done", "nearly done"]);
    assert_eq!(record.sequence, 6);
    assert_eq!(record.task.metadata, Some(deep(1)));
    engine.stop().await;
}
