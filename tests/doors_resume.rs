//! A stream that is cut after any event goes on where it was: no gap, no duplicate, also once the task has settled
//! (promise P3).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;
mod support;

use a2a_gateway::{
    agent::{Echo, Recovery},
    proto::a2a::TaskState::{self, AuthRequired, Completed, InputRequired, Working},
};
use door::{kinds::*, *};
use support::{Script, chunk, scripted, status};

async fn start() -> (Gateway, Script) {
    let (agent, script) = scripted(Recovery::Fail);
    (Gateway::start_with(vec![("a".into(), agent)], &[]).await, script)
}

/// What one event changes, without what differs by door.
fn short(item: &Item) -> String {
    match &item.what {
        What::Task(task) => format!("task {:?}", task.state),
        What::Message(text) => format!("message {text}"),
        What::Status { state, .. } => format!("{state:?}"),
        What::Artifact { text, append, .. } => format!("{text} {append}"),
        What::Done => "done".into(),
    }
}

fn sequences(items: &[Item]) -> Vec<u64> {
    items.iter().map(|item| item.sequence.unwrap()).collect()
}

#[tokio::test]
async fn cut_after_every_event_in_turn_a_stream_resumes_without_gap_or_duplicate() {
    let (gateway, mut script) = start().await;
    for door in Door::RESUMABLE {
        let client = gateway.client(door);
        let id = client.send(say_at_once("go")).await.unwrap().task().id;
        let turn = script.turn().await;
        let mut updates = vec![status(Working)];
        updates.extend((0..10).map(|i| chunk("a", &format!("{i},"), i > 0)));
        updates.push(status(Completed));
        let mut seen = client.watch(&id, Some(0)).await.unwrap();
        let mut items = vec![seen.item().await];
        for update in updates {
            drop(seen);
            let after = items.last().unwrap().sequence;
            seen = client.watch(&id, after).await.unwrap();
            turn.say(update).await;
            items.push(seen.item().await);
        }
        assert!(seen.next().await.is_none(), "{door:?}: more than the last event");
        assert_eq!(sequences(&items), (1..=13).collect::<Vec<_>>(), "{door:?}");
        let mut expected = vec!["task Submitted".to_owned(), "Working".to_owned()];
        expected.extend((0..10).map(|i| format!("{i}, {}", i > 0)));
        expected.push("Completed".to_owned());
        assert_eq!(items.iter().map(short).collect::<Vec<_>>(), expected, "{door:?}");

        // Once it has settled, every position still gives the rest, on every door.
        for other in Door::RESUMABLE {
            for after in 0..=13 {
                let rest = gateway.client(other).watch(&id, Some(after)).await.unwrap().rest().await;
                assert_eq!(sequences(&rest), (after + 1..=13).collect::<Vec<_>>(), "{door:?} {other:?} {after}");
                let same = rest.iter().map(short).eq(items[after as usize..].iter().map(short));
                assert!(same, "{door:?} {other:?} {after}: {rest:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_says_where_to_go_on() {
    let (gateway, mut script) = start().await;
    for door in Door::RESUMABLE {
        let client = gateway.client(door);
        let id = client.send(say_at_once("go")).await.unwrap().task().id;
        let turn = script.turn().await;
        for update in [status(Working), chunk("a", "one", false), chunk("a", "two", true)] {
            turn.say(update).await;
        }
        let mut log = client.watch(&id, Some(0)).await.unwrap();
        while short(&log.item().await) != "two true" {}
        let mut watch = client.watch(&id, None).await.unwrap();
        let first = watch.item().await;
        let What::Task(task) = &first.what else { panic!("{door:?}: {first:?}") };
        assert_eq!((first.sequence, task.artifacts.as_slice()), (Some(4), &["onetwo".to_owned()][..]), "{door:?}");
        turn.say(status(Completed)).await;
        let rest = watch.rest().await;
        assert_eq!((sequences(&rest), short(&rest[0])), (vec![5], "Completed".into()), "{door:?}");
    }
}

#[tokio::test]
async fn a_replay_runs_through_an_old_question_to_the_end() {
    let gateway = Gateway::start().await;
    for door in Door::RESUMABLE {
        let client = gateway.client(door);
        let asked = client.send(say("ask: Who?")).await.unwrap().task();
        client.send(Send { task: &asked.id, ..say("Bob") }).await.unwrap();
        let states = |items: &[Item]| items.iter().filter_map(Item::state).collect::<Vec<_>>();
        let all = client.watch(&asked.id, Some(0)).await.unwrap().rest().await;
        let expected = [TaskState::Submitted, Working, InputRequired, Working, Completed];
        assert_eq!(states(&all), expected, "{door:?}");
        // The caller's own message is an event of the gateway's log, not of A2A's streams: the number is passed over.
        let own = all.iter().filter(|item| item.what == What::Message("Bob".into())).count();
        assert_eq!(own, usize::from(door == Door::Gateway), "{door:?}");
        let mut last = 0;
        assert!(all.iter().all(|item| item.sequence.unwrap() > std::mem::replace(&mut last, item.sequence.unwrap())));
    }
}

#[tokio::test]
async fn a_position_that_does_not_exist_is_refused() {
    let gateway = Gateway::start().await;
    for door in Door::RESUMABLE {
        let client = gateway.client(door);
        let id = client.send(say("hello")).await.unwrap().task().id;
        let fault = client.watch(&id, Some(5)).await.err().unwrap();
        let metadata = &fault.is(&SEQUENCE_AHEAD).info.as_ref().unwrap().metadata;
        assert_eq!((metadata["floor"].as_str(), metadata["current"].as_str()), ("0", "4"), "{door:?}");
        assert_eq!(client.watch(&id, Some(4)).await.unwrap().rest().await, [], "{door:?}");
    }
}

#[tokio::test]
async fn a_position_that_is_no_longer_kept_is_refused_and_says_where_to_go_on() {
    let settings = [("retention.events_per_task", "100")];
    let gateway = Gateway::start_with(vec![("echo".into(), std::sync::Arc::new(Echo))], &settings).await;
    for door in Door::RESUMABLE {
        let client = gateway.client(door);
        let id = client.send(say("burst: 1000")).await.unwrap().task().id;
        let fault = client.watch(&id, Some(1)).await.err().unwrap();
        let metadata = &fault.is(&SEQUENCE_TRIMMED).info.as_ref().unwrap().metadata;
        let [floor, current] = ["floor", "current"].map(|name| metadata[name].parse::<u64>().unwrap());
        assert!(floor <= current - 100, "{door:?}: {metadata:?}");
        let rest = client.watch(&id, Some(floor)).await.unwrap().rest().await;
        assert_eq!(sequences(&rest), (floor + 1..=current).collect::<Vec<_>>(), "{door:?}");
        assert_eq!(client.get(&id, None).await.unwrap().artifacts[0].lines().count(), 1000, "{door:?}");
    }
}

#[tokio::test]
async fn a_stream_stays_open_while_an_authorization_is_awaited_save_in_0_3() {
    let (gateway, mut script) = start().await;
    for door in Door::WATCH {
        let client = gateway.client(door);
        let id = client.send(say_at_once("go")).await.unwrap().task().id;
        let turn = script.turn().await;
        let mut watch = client.watch(&id, None).await.unwrap();
        turn.say(status(AuthRequired)).await;
        while watch.item().await.state() != Some(AuthRequired) {}
        if door.is_v03() {
            assert!(watch.next().await.is_none());
            continue;
        }
        let answer = client.send(Send { task: &id, ..say_at_once("here it is") }).await.unwrap().task();
        assert_eq!(answer.id, id, "{door:?}");
        script.turn().await.say(status(Completed)).await;
        let states: Vec<_> = watch.rest().await.iter().filter_map(Item::state).collect();
        assert_eq!(states, [Working, Completed], "{door:?}");
    }
}

#[tokio::test]
async fn a_stream_that_waits_for_an_authorization_too_long_ends_and_can_be_resumed() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[("server.auth_required_idle", "100ms")]).await;
    for door in [Door::A2aGrpc, Door::V1, Door::Rest] {
        let client = gateway.client(door);
        let id = client.send(say_at_once("go")).await.unwrap().task().id;
        let turn = script.turn().await;
        let mut watch = client.watch(&id, None).await.unwrap();
        turn.say(status(AuthRequired)).await;
        while watch.item().await.state() != Some(AuthRequired) {}
        assert!(watch.next().await.is_none(), "{door:?}");
        client.cancel(&id).await.unwrap();
        let rest = gateway.client(Door::V1).watch(&id, Some(2)).await.unwrap().rest().await;
        assert_eq!(rest.iter().map(short).collect::<Vec<_>>(), ["Canceled"], "{door:?}");
    }
}

#[tokio::test]
async fn a_subscription_to_a_task_that_asks_shows_what_becomes_of_it() {
    let gateway = Gateway::start().await;
    for door in [Door::Gateway, Door::A2aGrpc, Door::V1, Door::Rest] {
        let client = gateway.client(door);
        let asked = client.send(say("ask: Who?")).await.unwrap().task();
        let mut watch = client.watch(&asked.id, None).await.unwrap();
        let first = watch.item().await;
        assert!(matches!(&first.what, What::Task(task) if task.state == InputRequired), "{door:?}: {first:?}");
        client.send(Send { task: &asked.id, ..say("Bob") }).await.unwrap();
        let states: Vec<_> = watch.rest().await.iter().filter_map(Item::state).collect();
        assert_eq!(states, [Working, Completed], "{door:?}");
    }
}

#[tokio::test]
async fn a_subscription_to_a_task_that_asks_is_not_held_open_for_ever() {
    let settings = [("server.auth_required_idle", "100ms")];
    let gateway = Gateway::start_with(vec![("echo".into(), std::sync::Arc::new(Echo))], &settings).await;
    for door in [Door::A2aGrpc, Door::V1, Door::Rest] {
        let client = gateway.client(door);
        let asked = client.send(say("ask: Who?")).await.unwrap().task();
        let shown = client.watch(&asked.id, None).await.unwrap().rest().await;
        assert_eq!(shown.iter().filter_map(Item::state).collect::<Vec<_>>(), [InputRequired], "{door:?}");
        // Who goes on where such a stream has ended has missed nothing, and is told so at once.
        let rest = gateway.client(Door::V1).watch(&asked.id, Some(3)).await.unwrap().rest().await;
        assert_eq!(rest, [], "{door:?}");
    }
}
