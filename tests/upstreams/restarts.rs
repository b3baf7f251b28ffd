//! Restarts of the gateway while agents work: what was missed is told, and no message is sent twice.

use a2a_gateway::{
    agent::a2a::{Mode, OnLost},
    proto::a2a::{Role, TaskState},
};

use crate::{
    rig::{A2A, Front, Rig, each, settings, told},
    upstream::{Auto, Face, Operation, Options, Upstream},
};

#[tokio::test]
async fn a_running_task_is_taken_up_with_what_was_missed() {
    each(&Face::ALL, |face| async move {
        // PraisonAI's streams leave no trace in its table.
        let modes = if face == Face::Praison { &[Mode::Poll][..] } else { &[Mode::Stream, Mode::Poll] };
        for mode in modes {
            let mut agent = Auto::start(face, Options::default());
            let front = Front::open(settings(&agent, *mode)).await;
            let mut events = front.say("go").await;
            let task = agent.turn().await;
            agent.artifact(&task.id, "a", "one ", false, false);
            agent.status(&task.id, TaskState::Working, "on it");
            let mut id = String::new();
            let mut seen = 0;
            let mut awaited = vec!["=one ", "working: on it"];
            while !awaited.is_empty() {
                let item = events.item().await;
                seen = item.sequence.unwrap();
                id.clone_from(&item.task);
                let line = told(&[item]).remove(0);
                awaited.retain(|awaited| *awaited != line);
            }
            drop(events);
            let front = front
                .restart(async {
                    agent.artifact(&task.id, "a", "two ", true, false);
                    agent.artifact(&task.id, "b", "other", false, true);
                })
                .await;
            let mut events = front.client.watch(&id, Some(seen)).await.unwrap();
            let mut items = vec![events.item().await, events.item().await];
            agent.artifact(&task.id, "a", "three", true, true);
            agent.status(&task.id, TaskState::Completed, "done");
            items.extend(events.rest().await);
            let lines = told(&items);
            assert_eq!(items[0].sequence, Some(seen + 1), "{mode:?}");
            assert_eq!(lines, ["+two ", "=other", "+three", "completed: done"], "{mode:?}");
            let shown = front.task(&id).await;
            assert_eq!(shown.artifacts, ["one two three", "other"], "{mode:?}");
            let sends = agent.count(Operation::Stream) + agent.count(Operation::SEND_AT_ONCE);
            assert_eq!(sends, 1, "{mode:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_that_settled_meanwhile_is_settled() {
    each(&Face::ALL, |face| async move {
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, Mode::Poll)).await;
        let id = front.submit("go").await.id;
        let task = agent.turn().await;
        agent.wait_count(Operation::Get, 1).await;
        let front = front
            .restart(async {
                agent.artifact(&task.id, "a", "all", false, true);
                agent.status(&task.id, TaskState::Failed, "out of paper");
            })
            .await;
        let lines = told(&front.log(&id).await);
        assert_eq!(lines.last().unwrap(), "failed: out of paper");
        assert_eq!(lines.iter().filter(|line| *line == "=all").count(), 1, "{lines:?}");
        assert_eq!(agent.count(Operation::SEND_AT_ONCE), 1);
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_task_continues() {
    each(&A2A, |face| async move {
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, Mode::Stream)).await;
        let mut events = front.say("go").await;
        let first = agent.turn().await;
        agent.status(&first.id, TaskState::InputRequired, "which?");
        let id = events.item().await.task;
        while events.item().await.state() != Some(TaskState::InputRequired) {}
        drop(events);
        let front = front.restart(async {}).await;
        assert_eq!(front.task(&id).await.state, TaskState::InputRequired);
        let events = front.answer(&id, "blue").await;
        let second = agent.turn().await;
        assert_eq!((&second.id, &second.context), (&first.id, &first.context));
        assert_eq!(second.history.last(), Some(&(Role::User, "blue".to_owned())));
        agent.status(&first.id, TaskState::Completed, "done");
        assert_eq!(told(&events.rest().await).last().unwrap(), "completed: done");
        assert_eq!(agent.count(Operation::Stream), 2);
    })
    .await;
}

#[tokio::test]
async fn a_task_that_never_reached_the_agent_is_sent_once() {
    each(&Face::ALL, |face| async move {
        let mut agent = Upstream::start(face, Options::default());
        let mut settings = settings(&agent, Mode::Blocking);
        settings.max_concurrency = Some(1);
        agent.stop().await;
        let front = Front::open(settings).await;
        // One is tried in vain, the other waits for its place.
        let first = front.submit("first").await.id;
        let second = front.submit("second").await.id;
        let front = front.restart(async { agent.resume() }).await;
        for (id, text) in [(first, "first"), (second, "second")] {
            let call = agent.expect(Operation::SEND).await;
            assert_eq!(call.text, text);
            let done = call.snapshot(TaskState::Completed);
            call.task(&done);
            assert_eq!(told(&front.log(&id).await), ["submitted", "completed"]);
        }
        assert!(agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_fate_is_unknown_after_a_restart_is_not_sent_again() {
    each(&Face::ALL, |face| async move {
        for on_lost in [OnLost::Fail, OnLost::Resend] {
            let mut rig = Rig::with(face, Mode::Blocking, |settings| settings.on_lost = on_lost).await;
            let id = rig.front.submit("go").await.id;
            let call = rig.agent.expect(Operation::SEND).await;
            let message = call.message_id.clone();
            let front = rig.front.restart(async { call.gone().await }).await;
            if on_lost == OnLost::Resend {
                let call = rig.agent.expect(Operation::SEND).await;
                assert_eq!(call.message_id, message);
                let done = call.snapshot(TaskState::Completed);
                call.task(&done);
                assert_eq!(told(&front.log(&id).await), ["submitted", "completed"]);
            } else {
                let lines = told(&front.log(&id).await);
                assert_eq!(lines.len(), 2, "{lines:?}");
                assert!(lines[1].starts_with("failed: The gateway restarted while the agent"), "{lines:?}");
                assert!(rig.agent.try_call().is_none());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_that_the_agent_has_forgotten_meanwhile_fails() {
    each(&Face::ALL, |face| async move {
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, Mode::Poll)).await;
        let id = front.submit("go").await.id;
        agent.turn().await;
        agent.wait_count(Operation::Get, 1).await;
        let front = front.restart(async { agent.forget() }).await;
        let lines = told(&front.log(&id).await);
        assert!(lines.last().unwrap().starts_with("failed: The agent no longer knows the task"), "{lines:?}");
        assert_eq!(agent.count(Operation::SEND_AT_ONCE), 1);
    })
    .await;
}
