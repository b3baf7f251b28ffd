//! Messages that an agent refuses.

use super::*;

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
