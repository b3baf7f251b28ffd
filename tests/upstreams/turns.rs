//! Turns that go well: by stream, by poll, in one call, and with a direct reply; and the ids on the way.

use a2a_gateway::{agent::a2a::Mode, proto::a2a::TaskState};

use crate::{
    door::{Answer, Door, Seen, Send},
    rig::{A2A, Front, Rig, each, finish, settings, told},
    upstream::{Auto, Face, Kind, Operation, Options, Upstream},
};

#[tokio::test]
async fn a_stream_becomes_the_tasks_log() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (events, call) = rig.streaming().await;
        assert_eq!((call.text.as_str(), call.task_id.as_str()), ("go", ""));
        let mut stream = call.stream();
        stream.task(&stream.snapshot(TaskState::Submitted)).await;
        stream.status(TaskState::Working, "on it").await;
        stream.ping().await;
        stream.artifact("a", "one ", false, false).await;
        stream.artifact("a", "two ", true, false).await;
        stream.status(TaskState::Working, "nearly").await;
        stream.artifact("a", "three", true, true).await;
        stream.artifact("b", "other", false, true).await;
        stream.status(TaskState::Completed, "done").await;
        stream.end().await;
        let items = events.rest().await;
        let expected = [
            "submitted",
            "working: on it",
            "=one ",
            "+two ",
            "working: nearly",
            "+three.",
            "=other.",
            "completed: done",
        ];
        assert_eq!(told(&items), expected);
        let task = rig.front.task(&items[0].task).await;
        assert_eq!((task.state, task.said.as_str()), (TaskState::Completed, "done"));
        assert_eq!(task.artifacts, ["one two three", "other"]);
        assert_eq!(task.history, ["user: go", "agent: on it", "agent: nearly"]);
        assert!(rig.agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_cannot_stream_is_polled() {
    each(&Face::ALL, |face| async move {
        let mut agent = Upstream::start(face, Options { streaming: false, ..Options::default() });
        let front = Front::open(settings(&agent, Mode::Auto)).await;
        let events = front.say("go").await;
        let call = agent.expect(Operation::SEND_AT_ONCE).await;
        assert_eq!(call.text, "go");
        let task = call.snapshot(TaskState::Submitted);
        call.task(&task);
        let states = [
            task.clone().state(TaskState::Working).text("on it").artifact("a", &["one "]),
            task.clone().state(TaskState::Working).text("on it").artifact("a", &["one "]),
            task.clone().state(TaskState::Working).text("on it").artifact("a", &["one ", "two"]),
            task.clone().state(TaskState::Completed).text("done").artifact("a", &["one ", "two"]),
        ];
        for state in &states {
            let call = agent.expect(Operation::Get).await;
            assert_eq!(call.task_id, task.id);
            call.task(state);
        }
        let items = events.rest().await;
        assert_eq!(told(&items), ["submitted", "working", "=one ", "working: on it", "+two", "completed: done"]);
        let task = front.task(&items[0].task).await;
        assert_eq!((task.artifacts.as_slice(), task.said.as_str()), (&["one two".to_owned()][..], "done"));
        assert!(agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_answers_at_once_is_not_polled() {
    each(&Face::ALL, |face| async move {
        for mode in [Mode::Poll, Mode::Blocking] {
            let mut rig = Rig::start(face, mode).await;
            let asked = rig.front.ask(Door::V1, "go");
            let operation = if mode == Mode::Poll { Operation::SEND_AT_ONCE } else { Operation::SEND };
            let call = rig.agent.expect(operation).await;
            let done = call.snapshot(TaskState::Completed).text("done").artifact("a", &["one"]);
            call.task(&done);
            let task = asked.await.unwrap().unwrap().task();
            assert_eq!((task.state, task.said.as_str()), (TaskState::Completed, "done"));
            assert_eq!(task.artifacts, ["one"]);
            assert!(rig.agent.try_call().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_refuses_to_stream_is_polled_from_then_on() {
    // PraisonAI's agents are polled anyway.
    each(&A2A, |face| async move {
        let mut rig = Rig::start(face, Mode::Auto).await;
        let events = rig.front.say("go").await;
        rig.agent.expect(Operation::Stream).await.error(Kind::UnsupportedOperation);
        for n in 0..2 {
            let events = if n == 0 { None } else { Some(rig.front.say("again").await) };
            let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
            let done = call.snapshot(TaskState::Completed).text("done");
            call.task(&done);
            if let Some(events) = events {
                assert_eq!(told(&events.rest().await), ["submitted", "completed: done"]);
            }
        }
        assert_eq!(told(&events.rest().await), ["submitted", "completed: done"]);
    })
    .await;
}

#[tokio::test]
async fn a_direct_reply_is_a_message_to_those_who_take_one() {
    // PraisonAI's agents always make a task.
    each(&A2A, |face| async move {
        for mode in [Mode::Stream, Mode::Poll, Mode::Blocking] {
            let mut rig = Rig::start(face, mode).await;
            for door in [Door::V1, Door::Gateway] {
                let asked = rig.front.ask(door, "hello");
                let call = rig.agent.call().await;
                assert!(call.operation.is_send());
                if mode == Mode::Stream {
                    let mut stream = call.stream();
                    stream.message("hello yourself").await;
                    stream.end().await;
                } else {
                    call.message("hello yourself");
                }
                match asked.await.unwrap().unwrap() {
                    Answer::Message(text) => assert_eq!((door, text.as_str()), (Door::V1, "hello yourself")),
                    Answer::Task(task) => {
                        assert_eq!((door, task.state), (Door::Gateway, TaskState::Completed));
                        assert_eq!(task.said, "hello yourself");
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn ids_are_the_agents_towards_it_and_the_gateways_towards_callers() {
    each(&Face::ALL, |face| async move {
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, Mode::Poll)).await;
        let mut turns = Vec::new();
        let mut tasks = Vec::new();
        // Two tasks of one context, and one of another.
        for context in ["", "first", ""] {
            let context = if context.is_empty() { String::new() } else { tasks.first().map(context_of).unwrap() };
            let send = Send { text: "go", context: &context, at_once: true, ..Send::default() };
            let task = front.client.send(send).await.unwrap().task();
            let turn = agent.turn().await;
            agent.status(&turn.id, TaskState::Completed, "done");
            let done = front.client.until(&task.id, TaskState::Completed).await;
            assert_eq!(done.context, task.context);
            turns.push(turn);
            tasks.push(task);
        }
        assert_eq!(tasks[0].context, tasks[1].context);
        assert_eq!(turns[0].context, turns[1].context);
        assert_ne!(turns[0].context, turns[2].context);
        assert_ne!(turns[0].context, "");
        for (turn, task) in turns.iter().zip(&tasks) {
            assert_ne!(turn.id, task.id);
            assert_ne!(turn.context, task.context);
        }
    })
    .await;
}

fn context_of(task: &Seen) -> String {
    task.context.clone()
}

#[tokio::test]
async fn referenced_tasks_are_named_as_the_agent_knows_them() {
    // Messages of the 0.3 contract for gRPC and REST have no references.
    let faces = [Face::JsonRpc10, Face::JsonRpc03, Face::Praison, Face::Rest10, Face::Grpc10];
    each(&faces, |face| async move {
        let mut rig = Rig::start(face, Mode::Blocking).await;
        let events = rig.front.say("go").await;
        let call = rig.agent.expect(Operation::SEND).await;
        let done = call.snapshot(TaskState::Completed);
        call.task(&done);
        let first = events.rest().await[0].task.clone();
        let mut message = crate::door::grpc::message("more");
        message.reference_task_ids = vec![first.clone(), "unknown".into()];
        let request = a2a_gateway::proto::gateway::SubmitTaskRequest { message: Some(message), ..Default::default() };
        let record = rig.front.client.gateway().submit_task(request).await.unwrap().into_inner();
        let call = rig.agent.expect(Operation::SEND).await;
        assert_eq!(call.references, [done.id.as_str(), "unknown"]);
        let again = call.snapshot(TaskState::Completed);
        call.task(&again);
        let id = record.task.unwrap().id;
        let events = rig.front.client.watch(&id, Some(0)).await.unwrap();
        assert_eq!(finish(events, &mut Vec::new()).await, ["submitted", "completed"]);
    })
    .await;
}
