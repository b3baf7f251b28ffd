//! Agents that are not there: a task waits for them, and only so long.

use std::time::Duration;

use a2a_gateway::{
    agent::a2a::{Mode, OnLost},
    proto::a2a::TaskState,
};

use crate::{
    rig::{Front, Rig, each, settings, told},
    upstream::{Face, Kind, Operation, Options, Upstream},
};

const SHORT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_task_waits_for_an_agent_that_is_not_there_yet() {
    each(&Face::ALL, |face| async move {
        let mut agent = Upstream::start(face, Options::default());
        agent.stop().await;
        let front = Front::open(settings(&agent, Mode::Stream)).await;
        let mut events = front.say("go").await;
        let id = events.item().await.task;
        assert_eq!(front.task(&id).await.state, TaskState::Submitted);
        agent.resume();
        let mut stream = agent.expect(Operation::Stream).await.stream();
        stream.status(TaskState::Completed, "done").await;
        stream.end().await;
        assert_eq!(told(&events.rest().await), ["completed: done"]);
        assert!(agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_task_waits_for_an_agent_that_shows_no_card_yet() {
    each(&Face::ALL, |face| async move {
        let mut agent = Upstream::start(face, Options::default());
        agent.card.set_status(503);
        let front = Front::open(settings(&agent, Mode::Stream)).await;
        let mut events = front.say("go").await;
        let id = events.item().await.task;
        agent.card.wait_asked(2).await;
        assert_eq!(front.task(&id).await.state, TaskState::Submitted);
        agent.card.set_status(200);
        let mut stream = agent.expect(Operation::Stream).await.stream();
        stream.status(TaskState::Completed, "done").await;
        stream.end().await;
        assert_eq!(told(&events.rest().await), ["completed: done"]);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_goes_away_is_waited_for() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::start(face, Mode::Blocking).await;
        let events = rig.front.say("first").await;
        let call = rig.agent.expect(Operation::SEND).await;
        let done = call.snapshot(TaskState::Completed);
        call.task(&done);
        assert_eq!(told(&events.rest().await), ["submitted", "completed"]);
        rig.agent.stop().await;
        let events = rig.front.say("second").await;
        rig.agent.resume();
        let call = rig.agent.expect(Operation::SEND).await;
        assert_eq!(call.text, "second");
        let done = call.snapshot(TaskState::Completed);
        call.task(&done);
        assert_eq!(told(&events.rest().await), ["submitted", "completed"]);
        assert!(rig.agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_agent_does_not_come_fails() {
    each(&Face::ALL, |face| async move {
        let mut agent = Upstream::start(face, Options::default());
        for carded in [false, true] {
            let mut settings = settings(&agent, Mode::Stream);
            settings.unreachable_timeout = SHORT;
            if carded {
                settings.url = if face.is_grpc() { format!("http://{}", agent.endpoint()) } else { agent.endpoint() };
                settings.interface = Some(face.interface());
            }
            agent.stop().await;
            let front = Front::open(settings).await;
            let lines = told(&front.say("go").await.rest().await);
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert!(lines[1].starts_with("failed: The agent could not be reached for 1s: "), "{lines:?}");
            assert!(lines[1].contains("refused"), "{lines:?}");
        }
        assert!(agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_busy_agent_gets_the_message_again_when_it_says() {
    each(&Face::ALL, |face| async move {
        for mode in [Mode::Stream, Mode::Blocking] {
            let mut rig = Rig::start(face, mode).await;
            let mut events = rig.front.say("go").await;
            let begun = tokio::time::Instant::now();
            let call = rig.agent.call().await;
            let message = call.message_id.clone();
            call.error(Kind::Busy);
            let id = events.item().await.task;
            let call = rig.agent.call().await;
            assert_eq!((call.text.as_str(), &call.message_id), ("go", &message));
            // What UNAVAILABLE says of the time is left to the caller.
            assert!(face.is_grpc() || begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
            assert_eq!(rig.front.task(&id).await.state, TaskState::Submitted);
            let done = call.snapshot(TaskState::Completed);
            if mode == Mode::Stream {
                let mut stream = call.stream();
                stream.task(&done).await;
                stream.end().await;
            } else {
                call.task(&done);
            }
            assert_eq!(told(&events.rest().await), ["completed"]);
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_stays_busy_fails_the_task() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::with(face, Mode::Blocking, |settings| settings.unreachable_timeout = SHORT).await;
        let events = rig.front.say("go").await;
        let refusing = async {
            loop {
                rig.agent.call().await.error_saying(Kind::Busy, "too much to do");
            }
        };
        let items = tokio::select! {
            items = events.rest() => items,
            () = refusing => unreachable!(),
        };
        let lines = told(&items);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].starts_with("failed: The agent could not be reached for 1s: "), "{lines:?}");
        assert!(lines[1].contains("too much to do"), "{lines:?}");
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_fate_is_unknown_is_not_sent_again() {
    each(&Face::ALL, |face| async move {
        for mode in [Mode::Stream, Mode::Poll, Mode::Blocking] {
            let mut rig = Rig::start(face, mode).await;
            let events = rig.front.say("go").await;
            rig.agent.call().await.reset();
            let lines = told(&events.rest().await);
            assert_eq!(lines.len(), 2, "{lines:?}");
            let text =
                "failed: The connection to the agent was lost before it named the task, so its outcome is unknown: ";
            assert!(lines[1].starts_with(text), "{mode:?}: {lines:?}");
            assert!(rig.agent.try_call().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_fate_is_unknown_is_sent_again_where_that_is_allowed() {
    each(&Face::ALL, |face| async move {
        for mode in [Mode::Stream, Mode::Poll, Mode::Blocking] {
            let mut rig = Rig::with(face, mode, |settings| settings.on_lost = OnLost::Resend).await;
            let events = rig.front.say("go").await;
            let call = rig.agent.call().await;
            let message = call.message_id.clone();
            call.reset();
            let call = rig.agent.call().await;
            assert_eq!((call.text.as_str(), &call.message_id, call.operation.is_send()), ("go", &message, true));
            let done = call.snapshot(TaskState::Completed);
            if mode == Mode::Stream {
                let mut stream = call.stream();
                stream.task(&done).await;
                stream.end().await;
            } else {
                call.task(&done);
            }
            assert_eq!(told(&events.rest().await), ["submitted", "completed"], "{mode:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_never_answers_is_given_up() {
    each(&Face::ALL, |face| async move {
        for mode in [Mode::Stream, Mode::Poll, Mode::Blocking] {
            let mut rig = Rig::with(face, mode, |settings| {
                settings.idle_timeout = SHORT;
                settings.request_timeout = SHORT;
            })
            .await;
            let events = rig.front.say("go").await;
            rig.agent.call().await.hang();
            let lines = told(&events.rest().await);
            assert_eq!(lines.len(), 2, "{lines:?}");
            assert!(lines[1].starts_with("failed: The connection to the agent was lost before"), "{mode:?}: {lines:?}");
            assert!(lines[1].contains("within 1s"), "{mode:?}: {lines:?}");
        }
    })
    .await;
}
