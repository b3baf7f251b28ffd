//! The agent's own ids of tasks and conversations, and what they mean after a restart.

use super::*;

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
