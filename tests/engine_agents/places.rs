//! Places: how many turns an agent runs at once, and agents that are replaced.

use super::*;

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
