//! One scenario, every door: the same results and the same errors, each in its door's own form (promise P8).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;
mod support;

use a2a_gateway::agent::{Recovery, Update};
use a2a_gateway::proto::a2a::TaskState::{self, Canceled, Completed, Failed, InputRequired, Submitted, Working};
use door::{kinds::*, *};

/// Whether the task was told of before the agent did anything.
fn is_fresh(state: TaskState) -> bool {
    matches!(state, Submitted | Working)
}

#[tokio::test]
async fn a_send_that_waits_gives_the_completed_task() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        let task = client.send(say("hello")).await.unwrap().task();
        assert_eq!((task.state, task.said.as_str()), (Completed, ""), "{door:?}");
        assert_eq!(task.artifacts, ["Echo: hello"], "{door:?}");
        assert_eq!(task.history, ["user: hello"], "{door:?}");
        assert!(!task.context.is_empty() && !task.id.is_empty());
        assert_eq!(client.seeing(door).get(&task.id, None).await.unwrap(), task, "{door:?}");
    }
}

#[tokio::test]
async fn a_send_that_does_not_wait_gives_the_task_and_polling_its_outcome() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let task = client.send(Send { context: "c-1", ..say_at_once("hello") }).await.unwrap().task();
        assert_eq!((task.state, task.context.as_str()), (Submitted, "c-1"), "{door:?}");
        assert_eq!(task.artifacts, [""; 0], "{door:?}");
        let done = client.until(&task.id, Completed).await;
        assert_eq!(done, Seen { state: Completed, artifacts: vec!["Echo: hello".into()], ..task }, "{door:?}");
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_task_and_ends_with_its_last_status() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let items = gateway.client(door).stream(say("burst: 3")).await.unwrap().rest().await;
        let last = |last: bool| (door.is_v03() || door.is_praison()).then_some(last);
        let mut expected = vec![What::Status { state: Working, said: String::new(), last: last(false) }];
        expected.extend((1..=3).map(|i| What::Artifact {
            text: format!("chunk {i}/3\n"),
            append: i > 1,
            last: i == 3,
        }));
        expected.push(What::Status { state: Completed, said: String::new(), last: last(true) });
        let mut whats: Vec<_> = items.iter().map(|item| item.what.clone()).collect();
        if door.is_praison() {
            // Its streams begin at `working` and end with an event of their own.
            expected.push(What::Done);
        } else {
            let What::Task(first) = whats.remove(0) else { panic!("{door:?} does not begin with the task") };
            assert_eq!((first.state, first.history), (Submitted, vec!["user: burst: 3".into()]), "{door:?}");
        }
        assert_eq!(whats, expected, "{door:?}");
        let id = &items[0].task;
        assert!(items.iter().all(|item| item.task == *id || item.what == What::Done), "{door:?}");
        if Door::RESUMABLE.contains(&door) {
            let sequences: Vec<_> = items.iter().map(|item| item.sequence.unwrap()).collect();
            assert_eq!(sequences, [1, 2, 3, 4, 5, 6], "{door:?}");
        }
        let task = gateway.client(Door::V1).get(id, None).await.unwrap();
        assert_eq!(task.artifacts, ["chunk 1/3\nchunk 2/3\nchunk 3/3\n"], "{door:?}");
    }
}

#[tokio::test]
async fn an_agent_asks_and_the_answer_continues_its_task() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        let asked = client.send(say("ask: Who?")).await.unwrap().task();
        assert_eq!((asked.state, asked.said.as_str()), (InputRequired, "Who?"), "{door:?}");
        let task = client.send(Send { task: &asked.id, ..say("Bob") }).await.unwrap().task();
        assert_eq!((&task.id, &task.context), (&asked.id, &asked.context), "{door:?}");
        assert_eq!((task.state, task.said.as_str()), (Completed, ""), "{door:?}");
        assert_eq!(task.artifacts, ["Echo: Bob"], "{door:?}");
        assert_eq!(task.history, ["user: ask: Who?", "agent: Who?", "user: Bob"], "{door:?}");
        let over = client.send(Send { task: &asked.id, ..say("And?") }).await.unwrap_err();
        over.is(&UNSUPPORTED_OPERATION);
    }
}

#[tokio::test]
async fn a_stream_stops_when_input_is_needed_and_the_next_message_streams_the_rest() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        let mut events = client.stream(say("ask: Who?")).await.unwrap();
        let mut items = Vec::new();
        while items.last().and_then(Item::state) != Some(InputRequired) {
            items.push(events.item().await);
        }
        let What::Status { said, last, .. } = &items.last().unwrap().what else { panic!("{door:?}: no status") };
        assert_eq!(said, "Who?", "{door:?}");
        assert_ne!(*last, Some(false), "{door:?}");
        let id = items[0].task.clone();
        if door == Door::Gateway {
            // Its watches go on until the task has settled.
            client.send(Send { task: &id, ..say_at_once("Bob") }).await.unwrap();
        } else {
            let end = events.rest().await;
            assert_eq!(end.is_empty(), !door.is_praison(), "{door:?}");
            events = client.stream(Send { task: &id, ..say("Bob") }).await.unwrap();
        }
        let rest = events.rest().await;
        assert!(rest.iter().all(|item| item.task == id || item.what == What::Done), "{door:?}");
        let artifacts =
            rest.iter().filter(|item| matches!(&item.what, What::Artifact { text, .. } if text == "Echo: Bob"));
        assert_eq!(artifacts.count(), 1, "{door:?} {rest:?}");
        assert_eq!(rest.iter().filter_map(Item::state).next_back(), Some(Completed), "{door:?}");
    }
}

#[tokio::test]
async fn an_agents_failure_is_the_tasks_and_not_the_calls() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door);
        let task = client.send(say("fail: out of paper")).await.unwrap().task();
        assert_eq!((task.state, task.said.as_str()), (Failed, "out of paper"), "{door:?}");
        let items = client.stream(say("fail: out of ink")).await.unwrap().rest().await;
        let status = items.iter().rev().find(|item| item.what != What::Done).unwrap();
        let What::Status { state, said, last } = &status.what else { panic!("{door:?}: {status:?}") };
        assert_eq!((*state, said.as_str()), (Failed, "out of ink"), "{door:?}");
        assert_ne!(*last, Some(false), "{door:?}");
    }
}

#[tokio::test]
async fn a_direct_reply_is_a_message_to_those_who_know_messages() {
    let gateway = Gateway::start().await;
    for door in Door::A2A {
        let client = gateway.client(door);
        assert_eq!(client.send(say("message: pong")).await.unwrap(), Answer::Message("pong".into()), "{door:?}");
        let items = client.stream(say("message: pong")).await.unwrap().rest().await;
        let whats: Vec<_> = items.into_iter().map(|item| item.what).collect();
        assert_eq!(whats, [What::Message("pong".into())], "{door:?}");
        assert_eq!(gateway.count().await, 0, "{door:?}: a task stayed behind");
    }
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door).seeing(door);
        let task = client.send(say("message: pong")).await.unwrap().task();
        assert_eq!((task.state, task.artifacts.as_slice()), (Completed, &["pong".to_owned()][..]), "{door:?}");
        assert_eq!(client.get(&task.id, None).await.unwrap(), task, "{door:?}");
        let items = client.stream(say("message: pong")).await.unwrap().rest().await;
        let whats: Vec<_> = items.into_iter().map(|item| item.what).collect();
        let [
            What::Artifact { text, append: false, last: true },
            What::Status { state, last: Some(true), .. },
            What::Done,
        ] = whats.as_slice()
        else {
            panic!("{door:?}: {whats:?}")
        };
        assert_eq!((text.as_str(), *state), ("pong", Completed), "{door:?}");
    }
    let client = gateway.client(Door::Gateway);
    let task = client.send(say("message: pong")).await.unwrap().task();
    assert_eq!((task.state, task.said.as_str(), task.artifacts.len()), (Completed, "pong", 0));
}

#[tokio::test]
async fn who_holds_the_task_already_sees_a_direct_reply_complete_it() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let task = client.send(say_at_once("message: pong")).await.unwrap().task();
        let done = client.until(&task.id, Completed).await;
        assert_eq!(done.said, "pong", "{door:?}");
        let artifacts: &[&str] = if door.is_praison() { &["pong"] } else { &[] };
        assert_eq!(done.artifacts, artifacts, "{door:?}");
    }
}

#[tokio::test]
async fn what_is_said_on_completing_is_an_artifact_for_praisonai_only_when_there_is_no_other() {
    let (agent, mut script) = support::scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    let bye = || Update::Status { state: Completed, message: Some(door::grpc::message("bye")), metadata: None };
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door).seeing(door);
        let first = client.send(say_at_once("go")).await.unwrap().task();
        let turn = script.turn().await;
        turn.say(support::chunk("a", "result", false)).await;
        turn.say(support::status(InputRequired)).await;
        client.until(&first.id, InputRequired).await;
        let events = client.stream(Send { task: &first.id, ..say("on") }).await.unwrap();
        script.turn().await.say(bye()).await;
        let artifacts = |items: &[Item]| items.iter().filter(|item| matches!(item.what, What::Artifact { .. })).count();
        assert_eq!(artifacts(&events.rest().await), 0, "{door:?}");
        assert_eq!(client.get(&first.id, None).await.unwrap().artifacts, ["result"], "{door:?}");

        let events = client.stream(say("go")).await.unwrap();
        let turn = script.turn().await;
        turn.say(support::status(Working)).await;
        turn.say(bye()).await;
        let items = events.rest().await;
        assert_eq!(artifacts(&items), 1, "{door:?}: {items:?}");
        assert_eq!(client.get(&items[0].task, None).await.unwrap().artifacts, ["bye"], "{door:?}");
    }
}

#[tokio::test]
async fn canceling_stops_the_work_and_can_be_repeated_but_in_0_3_until_the_task_has_settled_otherwise() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let mut events = client.stream(say("slow: 100")).await.unwrap();
        let id = events.item().await.task;
        let canceled = client.cancel(&id).await.unwrap();
        assert_eq!((canceled.state, &canceled.id), (Canceled, &id), "{door:?}");
        let again = client.cancel(&id).await;
        if matches!(door, Door::V03 | Door::Rest03 | Door::Grpc03) {
            again.unwrap_err().is(&TASK_NOT_CANCELABLE);
        } else {
            assert_eq!(again.unwrap(), canceled, "{door:?}: a second cancel");
        }
        assert_eq!(client.get(&id, None).await.unwrap().state, Canceled, "{door:?}");
        let rest = events.rest().await;
        assert_eq!(rest.iter().filter_map(Item::state).next_back(), Some(Canceled), "{door:?}");

        let waiting = client.send(say("ask: Who?")).await.unwrap().task();
        assert_eq!(client.cancel(&waiting.id).await.unwrap().state, Canceled, "{door:?}");
        let done = client.send(say("hello")).await.unwrap().task();
        client.cancel(&done.id).await.unwrap_err().is(&TASK_NOT_CANCELABLE);
        assert_eq!(client.get(&done.id, None).await.unwrap(), done, "{door:?}");
    }
}

#[tokio::test]
async fn an_unknown_task_is_told_to_be_so() {
    let gateway = Gateway::start().await;
    let never = a2a_gateway::task::mint();
    for door in Door::ALL {
        let client = gateway.client(door);
        for id in [never.as_str(), "task-1", "d5b6"] {
            client.get(id, None).await.unwrap_err().is(&TASK_NOT_FOUND);
            client.cancel(id).await.unwrap_err().is(&TASK_NOT_FOUND);
            client.send(Send { task: id, ..say("hello") }).await.unwrap_err().is(&TASK_NOT_FOUND);
            if Door::WATCH.contains(&door) {
                client.watch(id, None).await.err().unwrap().is(&TASK_NOT_FOUND);
            }
            if Door::RESUMABLE.contains(&door) {
                client.watch(id, Some(1)).await.err().unwrap().is(&TASK_NOT_FOUND);
            }
        }
    }
    assert_eq!(gateway.count().await, 0);
}

#[tokio::test]
async fn the_history_comes_as_long_as_asked_for() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let whole = ["user: ask: Who?", "agent: Who?", "user: Bob"];
        // In the contract of 0.3, which its REST and gRPC have, 0 is no limit.
        let unlimited = matches!(door, Door::Rest03 | Door::Grpc03);
        let none = |all: &[&'static str]| if unlimited { all.to_vec() } else { Vec::new() };
        let asked = client.send(Send { history: Some(0), ..say("ask: Who?") }).await.unwrap().task();
        assert_eq!(asked.history, none(&whole[..1]), "{door:?}");
        let answer = Send { task: &asked.id, history: Some(1), ..say("Bob") };
        assert_eq!(client.send(answer).await.unwrap().task().history, whole[2..], "{door:?}");
        for (length, history) in [
            (None, &whole[..]),
            (Some(0), &none(&whole)),
            (Some(1), &whole[2..]),
            (Some(2), &whole[1..]),
            (Some(9), &whole),
        ] {
            assert_eq!(client.get(&asked.id, length).await.unwrap().history, history, "{door:?} {length:?}");
        }
        let sent = client.send(Send { history: Some(0), ..say_at_once("hello") }).await.unwrap().task();
        assert_eq!(sent.history, none(&["user: hello"]), "{door:?}");
    }
}

#[tokio::test]
async fn tasks_are_listed_newest_first_and_page_by_page() {
    let gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for door in Door::ALL {
        let said = Send { context: "ours", ..say("hello") };
        ids.insert(0, gateway.client(door).send(said).await.unwrap().task().id);
    }
    let other = gateway.client(Door::V1).send(say("ask: Who?")).await.unwrap().task();
    let listed = |page: &Page| page.tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>();
    for door in [Door::Gateway, Door::A2aGrpc, Door::V1, Door::Rest, Door::Rest03] {
        let client = gateway.client(door);
        let query = ListQuery { context: "ours", size: Some(5), ..ListQuery::default() };
        let first = client.list(&query).await.unwrap();
        let second = client.list(&ListQuery { token: &first.next, ..query.clone() }).await.unwrap();
        assert_eq!([listed(&first), listed(&second)].concat(), ids, "{door:?}");
        assert_eq!((first.tasks.len(), first.total, second.total), (5, Some(9), Some(9)), "{door:?}");
        assert_eq!(second.next, "", "{door:?}");
        assert!(first.tasks.iter().all(|task| task.artifacts.is_empty() && task.history == ["user: hello"]));
        let full = ListQuery { artifacts: true, history: Some(0), ..query.clone() };
        for task in client.list(&full).await.unwrap().tasks {
            let history = usize::from(door == Door::Rest03);
            let artifacts = vec!["Echo: hello".to_owned()];
            assert_eq!((task.artifacts, task.history.len()), (artifacts, history), "{door:?}");
        }
        let waiting = client.list(&ListQuery { state: Some(InputRequired), ..ListQuery::default() }).await.unwrap();
        assert_eq!(listed(&waiting), [other.id.as_str()], "{door:?}");
        let foreign = ListQuery { token: &first.next, ..ListQuery::default() };
        client.list(&foreign).await.unwrap_err().is_about("page_token");
        let made_up = ListQuery { token: "next", ..ListQuery::default() };
        client.list(&made_up).await.unwrap_err().is_about("page_token");
        let nobody = ListQuery { context: "nobody's", ..ListQuery::default() };
        let nobody = client.list(&nobody).await.unwrap();
        assert_eq!((nobody.tasks.len(), nobody.next.as_str(), nobody.total), (0, "", Some(0)), "{door:?}");
    }
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door);
        let ours = client.list(&ListQuery { context: "ours", ..ListQuery::default() }).await.unwrap();
        assert_eq!(listed(&ours), ids, "{door:?}");
        assert!(ours.tasks.iter().all(|task| task.artifacts == ["Echo: hello"]), "{door:?}");
        assert_eq!(client.list(&ListQuery::default()).await.unwrap().tasks.len(), 10, "{door:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_nothing_with_it() {
    let gateway = Gateway::start().await;
    for door in Door::ALL {
        let client = gateway.client(door).seeing(door);
        let mut events = client.stream(say("slow: 1")).await.unwrap();
        let first = events.item().await;
        assert!(first.state().is_some_and(is_fresh), "{door:?}");
        drop(events);
        let done = client.until(&first.task, Completed).await;
        assert_eq!(done.artifacts, ["chunk 1/1\n"], "{door:?}");
    }
}
