//! Limits to what an agent may say.

use super::*;

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
