//! Agents that take so many tasks at a time, that refuse messages, and that fail.

use a2a_gateway::{agent::a2a::Mode, proto::a2a::TaskState};

use crate::{
    door::Door,
    rig::{A2A, Rig, V1, each, told},
    upstream::{Face, Kind, Operation},
};

#[tokio::test]
async fn further_tasks_wait_in_order() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::with(face, Mode::Blocking, |settings| settings.max_concurrency = Some(1)).await;
        let texts = ["first", "second", "third"];
        let mut ids = Vec::new();
        for text in texts {
            ids.push(rig.front.submit(text).await.id);
        }
        for (n, text) in texts.into_iter().enumerate() {
            let call = rig.agent.expect(Operation::SEND).await;
            assert_eq!(call.text, text);
            assert!(rig.agent.try_call().is_none());
            for waiting in &ids[n + 1..] {
                assert_eq!(rig.front.task(waiting).await.state, TaskState::Submitted);
            }
            let done = call.snapshot(TaskState::Completed);
            call.task(&done);
            assert_eq!(told(&rig.front.log(&ids[n]).await), ["submitted", "completed"]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_waiting_task_that_is_canceled_never_reaches_the_agent() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::with(face, Mode::Blocking, |settings| settings.max_concurrency = Some(1)).await;
        let first = rig.front.submit("first").await.id;
        let second = rig.front.submit("second").await.id;
        let third = rig.front.submit("third").await.id;
        let call = rig.agent.expect(Operation::SEND).await;
        assert_eq!(rig.front.client.cancel(&second).await.unwrap().state, TaskState::Canceled);
        let done = call.snapshot(TaskState::Completed);
        call.task(&done);
        let call = rig.agent.expect(Operation::SEND).await;
        assert_eq!(call.text, "third");
        let done = call.snapshot(TaskState::Completed);
        call.task(&done);
        for id in [first, third] {
            assert_eq!(told(&rig.front.log(&id).await), ["submitted", "completed"]);
        }
        assert!(rig.agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_an_error_to_who_waits_for_it_and_else_a_failed_task() {
    each(&Face::ALL, |face| async move {
        for mode in [Mode::Stream, Mode::Poll, Mode::Blocking] {
            for (kind, reason) in
                [(Kind::ContentTypeNotSupported, "CONTENT_TYPE_NOT_SUPPORTED"), (Kind::InvalidParams, "INVALID_PARAMS")]
            {
                let mut rig = Rig::start(face, mode).await;
                // PraisonAI's servers have one word for both.
                let reason = if face == Face::Praison { "INVALID_PARAMS" } else { reason };
                let asked = rig.front.ask(Door::V1, "go");
                rig.agent.call().await.error_saying(kind, "only pictures, please");
                let fault = asked.await.unwrap().unwrap_err();
                assert_eq!(fault.info.unwrap().reason, reason, "{mode:?}");
                let text = "The agent refused the message: ";
                assert!(fault.message.starts_with(text), "{mode:?}: {}", fault.message);
                assert!(fault.message.contains("only pictures, please"), "{mode:?}: {}", fault.message);

                let events = rig.front.say("go").await;
                rig.agent.call().await.error_saying(kind, "only pictures, please");
                let items = events.rest().await;
                let lines = told(&items);
                assert_eq!((lines.len(), lines[0].as_str()), (2, "submitted"), "{mode:?}");
                assert!(lines[1].starts_with(&format!("failed: {text}")), "{mode:?}: {lines:?}");
                assert!(rig.agent.try_call().is_none());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_answer_leaves_the_question_open() {
    each(&A2A, |face| async move {
        let mut rig = Rig::start(face, Mode::Poll).await;
        let mut events = rig.front.say("go").await;
        let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
        let asks = call.snapshot(TaskState::InputRequired).text("which?");
        call.task(&asks);
        let id = events.item().await.task;
        assert_eq!(events.item().await.state(), Some(TaskState::InputRequired));
        let mut events = rig.front.answer(&id, "a picture").await;
        rig.agent.expect(Operation::SEND_AT_ONCE).await.error(Kind::InvalidParams);
        // It might have settled the task by itself.
        rig.agent.expect(Operation::Get).await.task(&asks);
        while events.item().await.state() != Some(TaskState::InputRequired) {}
        let events = rig.front.answer(&id, "words").await;
        let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
        assert_eq!((&call.task_id, call.text.as_str()), (&asks.id, "words"));
        call.task(&asks.clone().state(TaskState::Completed).text(""));
        assert_eq!(told(&events.rest().await), ["message words", "completed"]);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_fails_to_take_the_message_fails_the_task() {
    each(&Face::ALL, |face| async move {
        for kind in [Kind::Internal, Kind::Unauthenticated] {
            for mode in [Mode::Stream, Mode::Poll] {
                let mut rig = Rig::start(face, mode).await;
                let events = rig.front.say("go").await;
                rig.agent.call().await.error(kind);
                let items = events.rest().await;
                let lines = told(&items);
                assert_eq!((lines.len(), lines[0].as_str()), (2, "submitted"));
                assert!(lines[1].starts_with("failed: The agent "), "{kind:?}: {lines:?}");
                if kind == Kind::Unauthenticated {
                    assert!(lines[1].contains("credentials"), "{kind:?}: {lines:?}");
                }
                assert!(rig.agent.try_call().is_none());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_told_in_the_agents_words() {
    each(&Face::ALL, |face| async move {
        for (state, word) in [(TaskState::Failed, "failed"), (TaskState::Rejected, "rejected")] {
            for (text, expected) in [("out of paper", "out of paper"), ("", "The agent re")] {
                let mut rig = Rig::start(face, Mode::Stream).await;
                let (events, call) = rig.streaming().await;
                let mut stream = call.stream();
                stream.status(state, text).await;
                stream.end().await;
                // PraisonAI's servers have no word for a rejection.
                let word = if face == Face::Praison { "failed" } else { word };
                let lines = told(&events.rest().await);
                assert_eq!(lines.len(), 2, "{lines:?}");
                assert!(lines[1].starts_with(&format!("{word}: {expected}")), "{lines:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_in_the_midst_of_a_stream_is_no_end_of_the_task() {
    // The agent's task may well go on: only its reading tells.
    each(&V1, |face| async move {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        let task = stream.snapshot(TaskState::Working);
        stream.task(&task).await;
        stream.error(Kind::Internal).await;
        rig.agent.expect(Operation::Get).await.task(&task.state(TaskState::Completed).text("done"));
        assert_eq!(told(&events.rest().await), ["submitted", "working", "completed: done"]);
    })
    .await;
}
