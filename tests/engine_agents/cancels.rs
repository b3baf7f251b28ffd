//! Canceling, and what the agent says to it.

use super::*;

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
