//! Properties of the fold and of the moves between states, over arbitrary conversations between caller and agent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::sync::Arc;

use a2a_gateway::{
    agent::{Recovery, Update},
    engine::{Caller, From, Settings, Until},
    proto::a2a::{Task, TaskState},
    task::{Event, apply, state as states},
};
use proptest::prelude::*;
use support::*;

/// What an agent might say, sensible or not.
fn any_update() -> impl Strategy<Value = Update> {
    let any_state = prop::sample::select(states::ALL.to_vec());
    let words = prop::option::of("[a-z]{0,8}");
    let said = (any_state, words).prop_map(|(state, words)| Update::Status {
        state,
        message: words.map(|words| message(&words)),
        metadata: None,
    });
    let made = ("[abc]", "[a-z]{1,4}", any::<bool>()).prop_map(|(id, text, append)| chunk(&id, &text, append));
    prop_oneof![2 => said, 3 => made]
}

fn fold(events: &[Arc<Event>]) -> Task {
    let mut task = Task::default();
    events.iter().for_each(|event| apply(&mut task, event));
    task
}

/// Lets an agent say all of this in one turn, and returns the log and the stored task, before and after a restart.
async fn play(updates: Vec<Update>) -> (Vec<Arc<Event>>, Task, Task) {
    let dir = tempfile::tempdir().unwrap();
    let me = Caller::default();
    let (agent, mut script) = scripted(Recovery::Continue);
    let engine = start(dir.path(), vec![("a".into(), agent)], Settings::default(), 0);
    let id = engine.submit(&me, submit("go")).await.unwrap().record().id;
    let turn = script.turn().await;
    // Whatever it says, it finishes; whether that still counts depends on what it said before.
    for update in updates.into_iter().chain([status(TaskState::Completed)]) {
        if turn.try_say(update).await.is_err() {
            break;
        }
    }
    drop(turn);
    let mut watch = engine.watch(&me, id, From::After(0), Until::InputRequired).await.unwrap();
    let mut events = Vec::new();
    while let Some(batch) = watch.next_batch().await {
        events.extend(batch.unwrap());
    }
    let stored = engine.get(&me, id, None).await.unwrap().task;
    engine.stop().await;
    let engine = echo(dir.path());
    let reread = engine.get(&me, id, None).await.unwrap().task;
    engine.stop().await;
    (events, stored, reread)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_agent_says_the_log_is_whole_and_folds_to_the_stored_task(
        updates in prop::collection::vec(any_update(), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (events, stored, reread) = runtime.block_on(play(updates));
        prop_assert!(events.iter().zip(1..).all(|(event, sequence)| event.sequence == sequence));
        for pair in events.windows(2) {
            prop_assert!(states::may_follow(pair[0].state, pair[1].state), "{:?} -> {:?}", pair[0].state, pair[1].state);
            prop_assert!(pair[0].time <= pair[1].time);
        }
        let last = events.last().unwrap().state;
        prop_assert!(states::is_settled(last) || last == TaskState::InputRequired, "the turn ended {last:?}");
        prop_assert_eq!(fold(&events), stored.clone());
        prop_assert_eq!(stored.clone(), reread);
        prop_assert_eq!(state(&stored), last);
    }

    #[test]
    fn folding_in_pieces_is_folding_at_once(
        updates in prop::collection::vec(any_update(), 0..16),
        cut in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (events, _, _) = runtime.block_on(play(updates));
        let (before, after) = events.split_at(cut.index(events.len()) + 1);
        let mut task = fold(before);
        // A snapshot is itself an event of the log's first kind: folding from it must give the same.
        let snapshot = Event::new(
            events[0].task_id,
            before.last().unwrap().sequence,
            before.last().unwrap().time,
            before.last().unwrap().state,
            a2a_gateway::proto::a2a::stream_response::Payload::Task(task.clone()),
        );
        let mut from_snapshot = Task::default();
        apply(&mut from_snapshot, &snapshot);
        for event in after {
            apply(&mut task, event);
            apply(&mut from_snapshot, event);
        }
        prop_assert_eq!(&task, &fold(&events));
        prop_assert_eq!(task, from_snapshot);
    }
}
