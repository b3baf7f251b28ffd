//! Canceling a task at its agent, and heeding what the agent says to it.

use a2a_gateway::{agent::a2a::Mode, proto::a2a::TaskState};

use crate::{
    door::{Client, Door, Events, Fault, Seen},
    rig::{A2A, Rig, each, told},
    upstream::{Call, Face, Kind, Operation, model::Snapshot},
};

/// The task's id at the gateway, its events until it works, and the agent's task.
async fn working(rig: &mut Rig) -> (String, Events, Snapshot) {
    let mut events = rig.front.say("go").await;
    let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
    let task = call.snapshot(TaskState::Working);
    call.task(&task);
    let id = events.item().await.task;
    assert_eq!(events.item().await.state(), Some(TaskState::Working));
    (id, events, task)
}

fn cancel(client: &Client, id: &str) -> tokio::task::JoinHandle<Result<Seen, Fault>> {
    let (client, id) = (client.clone(), id.to_owned());
    tokio::spawn(async move { client.cancel(&id).await })
}

/// The next call that is no poll; polls are shown the task.
async fn canceled(rig: &mut Rig, task: &Snapshot) -> Call {
    loop {
        let call = rig.agent.call().await;
        match call.operation {
            Operation::Get => call.task(task),
            operation => {
                assert_eq!((operation, &call.task_id), (Operation::Cancel, &task.id));
                return call;
            }
        }
    }
}

#[tokio::test]
async fn an_agent_is_told_to_cancel_and_has_the_last_word() {
    each(&Face::ALL, |face| async move {
        for door in [Door::Gateway, Door::V1] {
            let mut rig = Rig::start(face, Mode::Poll).await;
            let (id, events, task) = working(&mut rig).await;
            let canceling = cancel(&rig.front.gateway.client(door), &id);
            let call = canceled(&mut rig, &task).await;
            call.task(&task.clone().state(TaskState::Canceled).text("stopped").artifact("a", &["half"]));
            let seen = canceling.await.unwrap().unwrap();
            assert_eq!((seen.state, seen.said.as_str()), (TaskState::Canceled, "stopped"));
            assert_eq!(told(&events.rest().await), ["=half", "canceled: stopped"]);
            assert!(rig.agent.try_call().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_takes_its_time_to_cancel_is_asked_until_it_has() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::start(face, Mode::Poll).await;
        let (id, events, task) = working(&mut rig).await;
        let canceling = cancel(&rig.front.client, &id);
        canceled(&mut rig, &task).await.task(&task);
        rig.agent.expect(Operation::Get).await.task(&task);
        rig.agent.expect(Operation::Get).await.task(&task.clone().state(TaskState::Canceled));
        assert_eq!(canceling.await.unwrap().unwrap().state, TaskState::Canceled);
        assert_eq!(told(&events.rest().await), ["canceled"]);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_has_completed_meanwhile_cannot_be_canceled() {
    // PraisonAI's word for it is that of a task it does not know.
    each(&A2A, |face| async move {
        for door in [Door::Gateway, Door::V1] {
            let mut rig = Rig::start(face, Mode::Poll).await;
            let (id, events, task) = working(&mut rig).await;
            let canceling = cancel(&rig.front.gateway.client(door), &id);
            canceled(&mut rig, &task).await.error(Kind::TaskNotCancelable);
            let done = task.clone().state(TaskState::Completed).text("too late").artifact("a", &["all"]);
            rig.agent.expect(Operation::Get).await.task(&done);
            let fault = canceling.await.unwrap().unwrap_err();
            assert_eq!(fault.info.unwrap().reason, "TASK_NOT_CANCELABLE");
            assert_eq!(told(&events.rest().await), ["=all", "completed: too late"]);
            assert_eq!(rig.front.task(&id).await.state, TaskState::Completed);
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_agent_cannot_cancel_is_canceled_here_and_says_so() {
    each(&Face::ALL, |face| async move {
        for kind in [Kind::UnsupportedOperation, Kind::Internal] {
            let mut rig = Rig::start(face, Mode::Poll).await;
            let (id, events, task) = working(&mut rig).await;
            let canceling = cancel(&rig.front.client, &id);
            canceled(&mut rig, &task).await.error(kind);
            let seen = canceling.await.unwrap().unwrap();
            assert_eq!(seen.state, TaskState::Canceled, "{kind:?}");
            let begin = "Canceled here, but the agent may still be working on it: ";
            assert!(seen.said.starts_with(begin), "{kind:?}: {}", seen.said);
            assert_eq!(told(&events.rest().await), [format!("canceled: {}", seen.said)]);
            assert!(rig.agent.try_call().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_that_waits_for_input_is_canceled_at_its_agent() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (mut events, call) = rig.streaming().await;
        let mut stream = call.stream();
        let task = stream.snapshot(TaskState::Working);
        stream.task(&task).await;
        stream.status(TaskState::InputRequired, "which?").await;
        stream.end().await;
        let id = events.item().await.task;
        while events.item().await.state() != Some(TaskState::InputRequired) {}
        let canceling = cancel(&rig.front.client, &id);
        let call = rig.agent.expect(Operation::Cancel).await;
        assert_eq!(call.task_id, task.id);
        call.task(&task.clone().state(TaskState::Canceled));
        assert_eq!(canceling.await.unwrap().unwrap().state, TaskState::Canceled);
        assert_eq!(told(&events.rest().await), ["canceled"]);
    })
    .await;
}

#[tokio::test]
async fn a_canceled_stream_is_dropped() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (mut events, call) = rig.streaming().await;
        let mut stream = call.stream();
        let task = stream.snapshot(TaskState::Working);
        stream.task(&task).await;
        let id = events.item().await.task;
        assert_eq!(events.item().await.state(), Some(TaskState::Working));
        let canceling = cancel(&rig.front.client, &id);
        rig.agent.expect(Operation::Cancel).await.task(&task.state(TaskState::Canceled));
        assert_eq!(canceling.await.unwrap().unwrap().state, TaskState::Canceled);
        stream.gone().await;
        assert_eq!(told(&events.rest().await), ["canceled"]);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_the_agent_has_not_named_a_task_for_is_dropped_with_the_call() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::start(face, Mode::Blocking).await;
        let events = rig.front.say("go").await;
        let call = rig.agent.expect(Operation::SEND).await;
        let id = rig.front.client.list(&Default::default()).await.unwrap().tasks[0].id.clone();
        assert_eq!(rig.front.client.cancel(&id).await.unwrap().state, TaskState::Canceled);
        call.gone().await;
        let told = told(&events.rest().await);
        assert!(told[1].starts_with("canceled: Canceled here, but the agent may still be working on it"), "{told:?}");
        assert!(rig.agent.try_call().is_none());
    })
    .await;
}
