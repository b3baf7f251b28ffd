//! Who works on a task: one at a time, and never nobody.

use a2a_gateway::{
    agent::Recovery,
    engine::{Caller, From},
    proto::a2a::TaskState,
};

use super::{Pair, soon, told};
use crate::support::{chunk, message, said, state, status, submit};

fn me() -> Caller {
    Caller::default()
}

#[tokio::test]
async fn a_cancel_reaches_the_one_that_works_on_the_task() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let played = pair.a.script.turn().await;
    played.say(status(TaskState::Working)).await;
    let caller = me();
    let (canceled, heard) = tokio::join!(pair.b.engine.cancel(&caller, id, None), soon(pair.a.script.canceled.recv()));
    assert_eq!(state(&canceled.unwrap().task), TaskState::Canceled);
    assert!(heard.is_some());
    soon(played.dropped()).await;
    assert!(pair.b.script.canceled.try_recv().is_err(), "only the one that works on it asks its agent");
    // Again, at either: it is canceled, and no agent is asked again.
    for node in [&pair.a, &pair.b] {
        assert_eq!(state(&node.engine.cancel(&me(), id, None).await.unwrap().task), TaskState::Canceled);
    }
    assert!(pair.a.script.canceled.try_recv().is_err());
    pair.stop().await;
}

#[tokio::test]
async fn a_task_that_waits_for_input_is_canceled_anywhere() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let played = pair.a.script.turn().await;
    played.say(status(TaskState::InputRequired)).await;
    drop(played);
    pair.until("SELECT runner = 0 FROM tasks").await;
    assert_eq!(state(&pair.b.engine.cancel(&me(), id, None).await.unwrap().task), TaskState::Canceled);
    assert!(soon(pair.b.script.canceled.recv()).await.is_some(), "its agent is told by whoever cancels it");
    pair.stop().await;
}

#[tokio::test]
async fn the_next_message_is_taken_anywhere() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let played = pair.a.script.turn().await;
    played.say(status(TaskState::InputRequired)).await;
    drop(played);
    pair.until("SELECT state = 6 FROM tasks").await;
    let mut next = submit("more");
    next.message.task_id = id.to_string();
    pair.b.submit(next).await;
    let played = pair.b.script.turn().await;
    assert_eq!(played.turn.task.history.len(), 2);
    played.say(chunk("x", "done", false)).await;
    played.say(status(TaskState::Completed)).await;
    let log = pair.a.log(id).await;
    assert_eq!(log.last().unwrap().state, TaskState::Completed);
    assert_eq!(told(&pair.b.log(id).await), told(&log));
    assert!(pair.a.script.turns.try_recv().is_err());
    pair.stop().await;
}

#[tokio::test]
async fn a_message_to_a_task_that_waits_for_an_authorization_ends_the_turn_elsewhere() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let first = pair.a.script.turn().await;
    first.say(status(TaskState::AuthRequired)).await;
    pair.until("SELECT state = 8 FROM tasks").await;
    let mut next = submit("here it is");
    next.message.task_id = id.to_string();
    pair.b.submit(next).await;
    let second = pair.b.script.turn().await;
    soon(first.dropped()).await;
    second.say(status(TaskState::Completed)).await;
    assert_eq!(pair.a.log(id).await.last().unwrap().state, TaskState::Completed);
    pair.stop().await;
}

#[tokio::test]
async fn what_a_dead_one_left_is_taken_over_and_its_late_writes_are_refused() {
    let Some(mut pair) = Pair::start(Recovery::Resend).await else { return };
    let id = pair.a.submit(submit("work")).await;
    let first = pair.a.script.turn().await;
    first.say(chunk("x", "by the first", false)).await;
    let mut watch = pair.b.watch(id, From::After(0)).await;
    while soon(watch.next()).await.unwrap().unwrap().sequence < 3 {}
    pair.bury_a().await;
    let second = pair.b.script.turn().await;
    // The first one lives after all, and its agent goes on.
    let _ = first.try_say(chunk("x", "too late", true)).await;
    soon(first.dropped()).await;
    second.say(chunk("y", "by the second", false)).await;
    second.say(status(TaskState::Completed)).await;
    let log = pair.b.log(id).await;
    let sequences: Vec<_> = log.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=log.len() as u64).collect::<Vec<_>>());
    let record = pair.a.engine.get(&me(), id, None).await.unwrap();
    let texts: Vec<_> = record.task.artifacts.iter().map(|it| crate::support::text_of(&it.parts)).collect();
    assert_eq!(texts, ["by the first", "by the second"]);
    pair.stop().await;
}

#[tokio::test]
async fn what_a_dead_one_had_sent_is_not_sent_again_unless_that_is_wanted() {
    let Some(mut pair) = Pair::start(Recovery::Fail).await else { return };
    let sent = pair.a.submit(submit("sent")).await;
    let first = pair.a.script.turn().await;
    first.say(status(TaskState::Working)).await;
    pair.until("SELECT bool_and(dispatched) FROM tasks").await;
    pair.bury_a().await;
    let log = pair.b.log(sent).await;
    assert_eq!(log.last().unwrap().state, TaskState::Failed);
    let record = pair.b.engine.get(&me(), sent, None).await.unwrap();
    assert!(said(&record.task).contains("its outcome is unknown"), "{record:?}");
    assert!(pair.b.script.turns.try_recv().is_err());
    soon(first.dropped()).await;
    pair.stop().await;
}

#[tokio::test]
async fn one_that_was_taken_for_dead_begins_anew() {
    let Some(server) = crate::database::server() else { return };
    let lease = std::time::Duration::from_secs(2);
    let mut pair = Pair::on(server.database().await, Recovery::Resend, lease).await;
    let id = pair.a.submit(submit("work")).await;
    let first = pair.a.script.turn().await;
    pair.meddle("DELETE FROM replicas WHERE id = (SELECT min(id) FROM replicas)").await;
    soon(first.dropped()).await;
    pair.until("SELECT count(*) = 2 FROM replicas").await;
    // Either may be the one that goes on.
    let again = tokio::select! {
        played = pair.a.script.turn() => played,
        played = pair.b.script.turn() => played,
    };
    again.say(status(TaskState::Completed)).await;
    assert_eq!(pair.a.log(id).await.last().unwrap().state, TaskState::Completed);
    // And it takes new ones.
    let id = pair.a.submit(submit("more")).await;
    pair.a.script.turn().await.say(status(TaskState::Completed)).await;
    assert_eq!(pair.b.log(id).await.last().unwrap().state, TaskState::Completed);
    pair.stop().await;
}

#[tokio::test]
async fn a_turn_that_was_lost_by_a_fault_is_taken_up_by_the_one_whose_it_is() {
    let Some(server) = crate::database::server() else { return };
    let lease = std::time::Duration::from_secs(1);
    let mut pair = Pair::on(server.database().await, Recovery::Resend, lease).await;
    let id = pair.a.submit(submit("work")).await;
    let first = pair.a.script.turn().await;
    // Its runner stops, for the log has moved on without it; and nobody else has taken it.
    pair.meddle("UPDATE tasks SET epoch = epoch + 1").await;
    let _ = first.try_say(status(TaskState::Working)).await;
    soon(first.dropped()).await;
    let again = pair.a.script.turn().await;
    assert_eq!(again.turn.message.parts, message("work").parts);
    again.say(status(TaskState::Completed)).await;
    assert_eq!(pair.b.log(id).await.last().unwrap().state, TaskState::Completed);
    pair.stop().await;
}
