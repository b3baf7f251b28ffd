//! The engine's promises, on a real SQLite store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use a2a_gateway::{
    agent::{Agent, Recovery, Update},
    engine::{Caller, Engine, From, ListQuery, Outcome, Reply, Settings, Submit, Until},
    error::ErrorKind,
    proto::a2a::{Message, Role, TaskState, stream_response::Payload},
    task::{Record, TaskId, apply},
};
use support::*;

fn me() -> Caller {
    Caller::default()
}

fn one(agent: Arc<dyn Agent>) -> Vec<(String, Arc<dyn Agent>)> {
    vec![("scripted".into(), agent)]
}

/// Every event of a settled task, from its log.
async fn log(engine: &Engine, id: TaskId) -> Vec<Arc<a2a_gateway::task::Event>> {
    let mut watch = engine.watch(&me(), id, From::After(0), Until::Settled).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = watch.next().await {
        events.push(event.unwrap());
    }
    events
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

#[tokio::test]
async fn echo_says_it_back_and_the_log_folds_to_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let record = run(&engine, submit("hello")).await;
    assert_eq!(state(&record.task), TaskState::Completed);
    assert_eq!(text_of(&record.task.artifacts[0].parts), "Echo: hello");
    assert_eq!(record.sequence, 4);

    let events = log(&engine, record.id).await;
    assert_eq!(events.iter().map(|event| kind(event)).collect::<Vec<_>>(), ["task", "status", "artifact", "status"]);
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let mut folded = a2a_gateway::proto::a2a::Task::default();
    events.iter().for_each(|event| apply(&mut folded, event));
    let stored = engine.get(&me(), record.id, None).await.unwrap();
    assert_eq!(folded, stored.task);
    assert_eq!(record.task, stored.task);
    assert_eq!(record.updated, stored.updated);
    engine.stop().await;
}

#[tokio::test]
async fn a_direct_reply_leaves_no_task_behind() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let bare = |reply| Submit { reply, ..submit("message: pong") };
    let submitted = engine.submit(&me(), bare(Reply::Message)).await.unwrap();
    let id = submitted.record().id;
    let context = submitted.record().task.context_id.clone();
    let Outcome::Message(message) = submitted.outcome(None, None).await.unwrap() else { panic!("a task") };
    assert_eq!((text(&message), &message.context_id, message.role()), ("pong".into(), &context, Role::Agent));
    assert_eq!(engine.get(&me(), id, None).await.unwrap_err().kind(), ErrorKind::TaskNotFound);
    assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 0);

    let mut stream = engine.submit(&me(), bare(Reply::Message)).await.unwrap().stream(Until::Settled).await.unwrap();
    assert_eq!(kind(&stream.next().await.unwrap().unwrap()), "message");
    assert!(stream.next().await.is_none());

    // Who holds a task sees it completed with that message.
    let record = run(&engine, bare(Reply::Task)).await;
    assert_eq!((state(&record.task), said(&record.task)), (TaskState::Completed, "pong".into()));
    assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_stream_opens_with_the_task_and_a_late_reply_becomes_its_message() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let settings = Settings { direct_reply_wait: Duration::from_millis(1), ..Settings::default() };
    let engine = start(dir.path(), one(agent), settings, 0);
    let submitted = engine.submit(&me(), Submit { reply: Reply::Message, ..submit("hi") }).await.unwrap();
    let turn = script.turn().await;
    // The agent says nothing for longer than the stream waits: the task is shown, and cannot be taken back.
    let mut stream = submitted.stream(Until::Settled).await.unwrap();
    assert_eq!(kind(&stream.next().await.unwrap().unwrap()), "task");
    turn.say(Update::Reply(Message { parts: message("late").parts, ..Message::default() })).await;
    let last = stream.next().await.unwrap().unwrap();
    assert_eq!((kind(&last), last.state), ("status", TaskState::Completed));
    assert!(stream.next().await.is_none());
    assert_eq!(said(&engine.get(&me(), last.task_id, None).await.unwrap().task), "late");
    engine.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_in_the_same_task() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let first = run(&engine, submit("ask: your name?")).await;
    assert_eq!((state(&first.task), said(&first.task)), (TaskState::InputRequired, "your name?".into()));

    let answer = |task: &str, context: &str| {
        let message = Message { task_id: task.into(), context_id: context.into(), ..message("Ada") };
        Submit { message, ..submit("") }
    };
    let id = first.id.to_string();
    let mismatch = engine.submit(&me(), answer(&id, "another")).await.err().unwrap();
    assert_eq!(mismatch.field_violations()[0].field, "message.context_id");
    let second = run(&engine, answer(&id, "")).await;
    assert_eq!(second.id, first.id);
    assert_eq!(second.task.context_id, first.task.context_id);
    assert_eq!(text_of(&second.task.artifacts[0].parts), "Echo: Ada");
    let history: Vec<_> = second.task.history.iter().map(text).collect();
    assert_eq!(history, ["ask: your name?", "your name?", "Ada"]);

    let settled = engine.submit(&me(), answer(&id, "")).await.err().unwrap();
    assert_eq!(settled.kind(), ErrorKind::UnsupportedOperation);
    let unknown = TaskId::mint().to_string();
    assert_eq!(engine.submit(&me(), answer(&unknown, "")).await.err().unwrap().kind(), ErrorKind::TaskNotFound);
    assert_eq!(engine.submit(&me(), answer("t-1", "")).await.err().unwrap().kind(), ErrorKind::TaskNotFound);
    assert_eq!(engine.get(&me(), first.id, None).await.unwrap().sequence, second.sequence);
    engine.stop().await;
}

#[tokio::test]
async fn a_working_task_takes_no_message_and_an_authorization_continues_it() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), one(agent), Settings::default(), 0);
    let submitted = engine.submit(&me(), submit("go")).await.unwrap();
    let id = submitted.record().id;
    let turn = script.turn().await;
    turn.say(status(TaskState::Working)).await;
    wait_for(&engine, id, TaskState::Working).await;
    let more = || Submit { message: Message { task_id: id.to_string(), ..message("more") }, ..submit("") };
    assert_eq!(engine.submit(&me(), more()).await.err().unwrap().kind(), ErrorKind::UnsupportedOperation);

    turn.say(status(TaskState::AuthRequired)).await;
    wait_for(&engine, id, TaskState::AuthRequired).await;
    let continued = engine.submit(&me(), more()).await.unwrap();
    let second = script.turn().await;
    assert_eq!(text(&second.turn.message), "more");
    assert_eq!(text(second.turn.task.history.last().unwrap()), "more");
    // The first turn is over: what it still says counts no more.
    turn.dropped().await;
    second.say(status(TaskState::Completed)).await;
    let Outcome::Task(record) = continued.outcome(None, None).await.unwrap() else { panic!("a message") };
    assert_eq!(state(&record.task), TaskState::Completed);
    engine.stop().await;
}

#[tokio::test]
async fn cancel_reaches_the_agent_and_settles() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), one(agent), Settings::default(), 0);
    let id = engine.submit(&me(), submit("go")).await.unwrap().record().id;
    let turn = script.turn().await;
    turn.say(status(TaskState::Working)).await;
    let record = engine.cancel(&me(), id, None).await.unwrap();
    assert_eq!(state(&record.task), TaskState::Canceled);
    assert_eq!(script.canceled.recv().await.unwrap(), id.to_string());
    turn.dropped().await;
    // Again: the same answer, nothing new in the log.
    assert_eq!(engine.cancel(&me(), id, None).await.unwrap().sequence, record.sequence);

    // A task that waits for input has no runner: it is canceled in the log.
    let id = engine.submit(&me(), submit("go")).await.unwrap().record().id;
    script.turn().await.say(status(TaskState::InputRequired)).await;
    wait_for(&engine, id, TaskState::InputRequired).await;
    assert_eq!(state(&engine.cancel(&me(), id, None).await.unwrap().task), TaskState::Canceled);

    let id = engine.submit(&me(), submit("go")).await.unwrap().record().id;
    script.turn().await.say(status(TaskState::Completed)).await;
    wait_for(&engine, id, TaskState::Completed).await;
    let error = engine.cancel(&me(), id, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TaskNotCancelable);
    assert_eq!(error.message(), "Task not cancelable: already completed");
    assert_eq!(engine.cancel(&me(), TaskId::mint(), None).await.unwrap_err().kind(), ErrorKind::TaskNotFound);
    engine.stop().await;
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_failed_also_while_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), one(agent), Settings::default(), 0);
    let timed = || Submit { timeout: Some(Duration::from_millis(50)), ..submit("go") };
    let running = engine.submit(&me(), timed()).await.unwrap().record().id;
    let _silent = script.turn().await;
    let waiting = engine.submit(&me(), timed()).await.unwrap().record().id;
    script.turn().await.say(status(TaskState::InputRequired)).await;
    for id in [running, waiting] {
        let record = wait_for(&engine, id, TaskState::Failed).await;
        assert!(said(&record.task).contains("timeout of 50ms"), "{}", said(&record.task));
    }
    assert_eq!(script.canceled.recv().await.unwrap(), running.to_string());
    engine.stop().await;
}

#[tokio::test]
async fn what_an_agent_does_wrong_ends_in_a_clear_state() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), one(agent), Settings::default(), 0);
    let caller = me();
    let go = || engine.submit(&caller, submit("go"));

    let failed = go().await.unwrap();
    script.turn().await.fail("no paper").await;
    let Outcome::Task(record) = failed.outcome(None, None).await.unwrap() else { panic!() };
    assert_eq!((state(&record.task), said(&record.task)), (TaskState::Failed, "no paper".into()));

    let ended = go().await.unwrap();
    drop(script.turn().await);
    let Outcome::Task(record) = ended.outcome(None, None).await.unwrap() else { panic!() };
    assert_eq!(state(&record.task), TaskState::Failed);
    assert!(said(&record.task).contains("ended its answer"), "{}", said(&record.task));

    // A status that goes back is dropped; an artifact of a task still SUBMITTED makes it WORKING; what comes after the
    // end is not heard.
    let odd = go().await.unwrap();
    let id = odd.record().id;
    let turn = script.turn().await;
    turn.say(chunk("a", "1", false)).await;
    turn.say(status(TaskState::Submitted)).await;
    turn.say(chunk("a", "2", true)).await;
    turn.say(chunk("fresh", "3", true)).await;
    turn.say(status(TaskState::Completed)).await;
    turn.dropped().await;
    let Outcome::Task(record) = odd.outcome(None, None).await.unwrap() else { panic!() };
    assert_eq!(record.task.artifacts.iter().map(|a| text_of(&a.parts)).collect::<Vec<_>>(), ["12", "3"]);
    let states: Vec<_> = log(&engine, id).await.iter().map(|event| event.state).collect();
    use TaskState::{Completed, Submitted, Working};
    assert_eq!(states, [Submitted, Working, Working, Working, Working, Completed]);
    engine.stop().await;
}

#[tokio::test]
async fn a_request_id_makes_a_submit_idempotent() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let with = |id: &str, text: &str| Submit { request_id: id.into(), ..submit(text) };
    let first = run(&engine, with("r1", "hello")).await;
    // A client's retry has another message id.
    let mut retry = with("r1", "hello");
    retry.message.message_id = "m-2".into();
    let again = engine.submit(&me(), retry).await.unwrap();
    assert!(again.replayed());
    assert_eq!(again.record().id, first.id);
    assert_eq!(engine.submit(&me(), with("r1", "other")).await.err().unwrap().kind(), ErrorKind::RequestIdReused);
    let other = Caller { owner: "somebody".into() };
    assert_ne!(engine.submit(&other, with("r1", "hello")).await.unwrap().record().id, first.id);
    assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 1);

    // Also for the next message of a task, and for a direct reply.
    let asked = run(&engine, submit("ask: who?")).await;
    let mut answer = with("r2", "Ada");
    answer.message.task_id = asked.id.to_string();
    let done = run(&engine, answer.clone()).await;
    let again = run(&engine, answer).await;
    assert_eq!((again.id, again.sequence), (done.id, done.sequence));
    for _ in 0..2 {
        let bare = Submit { reply: Reply::Message, ..with("r3", "message: pong") };
        let Outcome::Message(reply) = engine.submit(&me(), bare).await.unwrap().outcome(None, None).await.unwrap()
        else {
            panic!("a task")
        };
        assert_eq!(text(&reply), "pong");
    }
    engine.stop().await;
}

#[tokio::test]
async fn concurrent_submits_with_one_request_id_make_one_task() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let tries = (0..20).map(|_| {
        let engine = engine.clone();
        async move {
            let submit = Submit { request_id: "same".into(), ..submit("hello") };
            engine.submit(&me(), submit).await.unwrap().record().id
        }
    });
    let ids = futures::future::join_all(tries).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(engine.list(&me(), ListQuery::default()).await.unwrap().total, 1);
    engine.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), one(agent), Settings::default(), 0);
    let submitted = engine.submit(&me(), Submit { reply: Reply::Message, ..submit("go") }).await.unwrap();
    let id = submitted.record().id;
    let turn = script.turn().await;
    drop(submitted);
    // Nobody is left to take a bare message, so the task keeps it.
    turn.say(Update::Reply(Message { parts: message("done").parts, ..Message::default() })).await;
    let record = wait_for(&engine, id, TaskState::Completed).await;
    assert_eq!(said(&record.task), "done");
    engine.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_submits_leaves_no_task_that_nobody_runs() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let mut feed = engine.feed(&me(), a2a_gateway::engine::FeedQuery::default()).await.unwrap();
    assert!(feed.next().await.unwrap().unwrap().event.is_none());
    for polls in 1..20 {
        let caller = me();
        let mut submitting = Box::pin(engine.submit(&caller, submit("hello")));
        for _ in 0..polls {
            if futures::poll!(&mut submitting).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(submitting);
        // Whenever it went: the task is stored and run.
        while feed.next().await.unwrap().unwrap().event.is_none_or(|event| event.state != TaskState::Completed) {}
    }
    engine.stop().await;
}

#[tokio::test]
async fn a_task_submitted_before_the_old_ones_are_known_is_run_once() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Continue);
    let (engine, gate) = start_gated(dir.path(), one(agent));
    let submitting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.submit(&me(), submit("go")).await.unwrap() }
    });
    // A probe is committed behind whatever the submit has sent to the store.
    while !submitting.is_finished() && script.turns.is_empty() {
        engine.ready().await.unwrap();
        if engine.list(&me(), ListQuery::default()).await.unwrap().total == 0 {
            break;
        }
    }
    gate.send(()).unwrap();
    let submitted = submitting.await.unwrap();
    script.turn().await.say(status(TaskState::Completed)).await;
    submitted.outcome(None, None).await.unwrap();
    // Another task's whole run: whatever the recovery had to start has been started by then.
    let other = engine.submit(&me(), submit("other")).await.unwrap();
    let turn = script.turn().await;
    assert_eq!(text(&turn.turn.message), "other", "the agent heard of the task twice");
    turn.say(status(TaskState::Completed)).await;
    other.outcome(None, None).await.unwrap();
    engine.stop().await;
}

#[tokio::test]
async fn a_submit_does_not_hold_up_a_stop_that_comes_before_the_old_ones_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Continue);
    let (engine, _gate) = start_gated(dir.path(), one(agent));
    let caller = me();
    let mut submitting = Box::pin(engine.submit(&caller, submit("go")));
    for _ in 0..10 {
        assert!(futures::poll!(&mut submitting).is_pending());
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(Duration::from_secs(10), engine.stop()).await.expect("the stop hangs");
    assert_eq!(submitting.await.err().unwrap().kind(), ErrorKind::Unavailable);
    assert!(script.turns.try_recv().is_err());
}

#[tokio::test]
async fn a_restart_takes_up_what_was_left_as_each_agent_wants_it() {
    for recovery in [Recovery::Continue, Recovery::Resend, Recovery::Fail] {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut script) = scripted(recovery);
        let one_at_a_time = Settings { max_running: 1, ..Settings::default() };
        let engine = start(dir.path(), one(agent), one_at_a_time, 0);
        let running = engine.submit(&me(), submit("first")).await.unwrap().record().id;
        let turn = script.turn().await;
        turn.say(chunk("a", "1", false)).await;
        wait_for(&engine, running, TaskState::Working).await;
        let queued = engine.submit(&me(), submit("second")).await.unwrap().record().id;
        engine.stop().await;

        let (agent, mut script) = scripted(recovery);
        let engine = start(dir.path(), one(agent), Settings::default(), 0);
        if recovery == Recovery::Fail {
            let record = wait_for(&engine, running, TaskState::Failed).await;
            assert!(said(&record.task).contains("restarted"), "{}", said(&record.task));
        } else {
            let turn = script.turn().await;
            assert_eq!((turn.turn.task.id.clone(), turn.turn.resumed), (running.to_string(), true));
            assert_eq!(text(&turn.turn.message), "first");
            turn.say(status(TaskState::Completed)).await;
            wait_for(&engine, running, TaskState::Completed).await;
        }
        let turn = script.turn().await;
        assert_eq!((turn.turn.task.id.clone(), turn.turn.resumed), (queued.to_string(), false));
        turn.say(status(TaskState::Completed)).await;
        wait_for(&engine, queued, TaskState::Completed).await;
        engine.stop().await;
    }
}

#[tokio::test]
async fn waiting_in_the_queue_a_task_can_be_canceled_and_overdue() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut script) = scripted(Recovery::Fail);
    let engine = start(dir.path(), one(agent), Settings { max_running: 1, ..Settings::default() }, 0);
    engine.submit(&me(), submit("first")).await.unwrap();
    let first = script.turn().await;
    let canceled = engine.submit(&me(), submit("second")).await.unwrap().record().id;
    assert_eq!(state(&engine.cancel(&me(), canceled, None).await.unwrap().task), TaskState::Canceled);
    let late = Submit { timeout: Some(Duration::from_millis(5)), ..submit("third") };
    let late = engine.submit(&me(), late).await.unwrap().record().id;
    wait_for(&engine, late, TaskState::Failed).await;
    // The agent never heard of either, so it was not asked to cancel them.
    assert!(script.canceled.try_recv().is_err());
    first.say(status(TaskState::Completed)).await;
    assert!(script.turns.try_recv().is_err());
    engine.stop().await;
}

#[tokio::test]
async fn other_callers_see_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let record = run(&engine, submit("hello")).await;
    let other = Caller { owner: "somebody".into() };
    assert_eq!(engine.get(&other, record.id, None).await.unwrap_err().kind(), ErrorKind::TaskNotFound);
    assert_eq!(engine.cancel(&other, record.id, None).await.unwrap_err().kind(), ErrorKind::TaskNotFound);
    for from in [From::Snapshot, From::After(0)] {
        let error = engine.watch(&other, record.id, from, Until::Settled).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::TaskNotFound);
    }
    assert_eq!(engine.list(&other, ListQuery::default()).await.unwrap().records.len(), 0);
    engine.stop().await;
}

#[tokio::test]
async fn a_direct_reply_event_is_the_agents() {
    let dir = tempfile::tempdir().unwrap();
    let engine = echo(dir.path());
    let mut stream = engine
        .submit(&me(), Submit { reply: Reply::Message, ..submit("message: x") })
        .await
        .unwrap()
        .stream(Until::InputRequired)
        .await
        .unwrap();
    let event = stream.next().await.unwrap().unwrap();
    let Payload::Message(reply) = event.payload() else { panic!("not a message") };
    assert_eq!((event.sequence, reply.role(), reply.task_id.as_str()), (2, Role::Agent, ""));
    engine.stop().await;
}
