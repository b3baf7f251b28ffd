//! Turns after the first: the agent asks, the caller answers.

use a2a_gateway::{
    agent::a2a::Mode,
    proto::a2a::{Role, TaskState},
};

use crate::{
    door::{Events, Item},
    rig::{A2A, Front, Rig, V03, each, finish, settings, told},
    upstream::{Auto, Face, Operation, Options},
};

#[tokio::test]
async fn the_second_turn_names_the_agents_task_and_context() {
    // For PraisonAI every message is a new task: see below.
    each(&A2A, |face| async move {
        for mode in [Mode::Stream, Mode::Poll, Mode::Blocking] {
            let mut agent = Auto::start(face, Options::default());
            let front = Front::open(settings(&agent, mode)).await;
            let events = front.say("book a room").await;
            let first = agent.turn().await;
            agent.status(&first.id, TaskState::InputRequired, "which one?");
            let mut seen = Vec::new();
            let lines = finish_turn(events, &mut seen).await;
            assert_eq!(lines.last().unwrap(), "input_required: which one?", "{mode:?}");
            let id = seen[0].task.clone();

            let events = front.answer(&id, "the blue one").await;
            let second = agent.turn().await;
            assert_eq!((&second.id, &second.context), (&first.id, &first.context));
            assert_eq!(second.history.last(), Some(&(Role::User, "the blue one".to_owned())));
            agent.artifact(&first.id, "a", "booked", false, true);
            agent.status(&first.id, TaskState::Completed, "done");
            let items = events.rest().await;
            let lines = told(&items);
            assert_eq!(lines.first().unwrap(), "message the blue one", "{mode:?}");
            assert_eq!(lines.last().unwrap(), "completed: done", "{mode:?}");
            assert_eq!(lines.iter().filter(|line| line.starts_with("=booked")).count(), 1, "{mode:?} {lines:?}");
            assert_eq!(lines.len(), 3, "{mode:?} {lines:?}");
            let task = front.task(&id).await;
            let history = ["user: book a room", "agent: which one?", "user: the blue one"];
            assert_eq!((task.history.as_slice(), task.said.as_str()), (&history.map(String::from)[..], "done"));
        }
    })
    .await;
}

/// A turn that ends with a question: the door's stream goes on.
async fn finish_turn(mut events: Events, seen: &mut Vec<Item>) -> Vec<String> {
    loop {
        let item = events.item().await;
        let over = matches!(item.state(), Some(TaskState::InputRequired | TaskState::AuthRequired));
        seen.push(item);
        if over {
            return told(seen);
        }
    }
}

#[tokio::test]
async fn a_question_that_was_answered_is_not_taken_for_a_new_one() {
    each(&A2A, |face| async move {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        let task = stream.snapshot(TaskState::Working);
        stream.task(&task).await;
        stream.status(TaskState::InputRequired, "which?").await;
        stream.end().await;
        let mut seen = Vec::new();
        assert_eq!(finish_turn(events, &mut seen).await, ["submitted", "working", "input_required: which?"]);
        let id = seen[0].task.clone();

        // JavaScript's servers open the second turn's stream with the task as it was before.
        let events = rig.front.answer(&id, "blue").await;
        let call = rig.agent.expect(Operation::Stream).await;
        assert_eq!((call.task_id.as_str(), call.context_id.as_str()), (task.id.as_str(), task.context.as_str()));
        let mut stream = call.stream();
        stream.task(&task.clone().state(TaskState::InputRequired).text("which?")).await;
        stream.status(TaskState::Working, "on it").await;
        // The same question again is a new one now.
        stream.status(TaskState::InputRequired, "which shade?").await;
        stream.end().await;
        let mut seen = Vec::new();
        let lines = finish_turn(events, &mut seen).await;
        assert_eq!(lines, ["message blue", "working: on it", "input_required: which shade?"]);

        let events = rig.front.answer(&id, "dark").await;
        let mut stream = rig.agent.expect(Operation::Stream).await.stream();
        stream.status(TaskState::Completed, "").await;
        stream.end().await;
        assert_eq!(told(&events.rest().await), ["message dark", "completed"]);
    })
    .await;
}

#[tokio::test]
async fn a_polled_agent_may_show_the_old_question_for_a_while() {
    each(&A2A, |face| async move {
        let mut rig = Rig::start(face, Mode::Poll).await;
        let events = rig.front.say("go").await;
        let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
        let asks = call.snapshot(TaskState::InputRequired).text("which?");
        call.task(&asks);
        let mut seen = Vec::new();
        assert_eq!(finish_turn(events, &mut seen).await, ["submitted", "input_required: which?"]);
        let events = rig.front.answer(&seen[0].task, "blue").await;
        rig.agent.expect(Operation::SEND_AT_ONCE).await.task(&asks);
        rig.agent.expect(Operation::Get).await.task(&asks);
        rig.agent.expect(Operation::Get).await.task(&asks.clone().state(TaskState::Working).text(""));
        rig.agent.expect(Operation::Get).await.task(&asks.clone().state(TaskState::Completed).text("done"));
        assert_eq!(told(&events.rest().await), ["message blue", "completed: done"]);
    })
    .await;
}

#[tokio::test]
async fn a_stream_may_end_with_a_question_and_no_final_event() {
    each(&V03, |face| async move {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        // Working is the last that the stream says.
        let task = stream.snapshot(TaskState::Working);
        stream.task(&task).await;
        stream.end().await;
        rig.agent.expect(Operation::Get).await.task(&task.clone().state(TaskState::InputRequired).text("which?"));
        let mut seen = Vec::new();
        assert_eq!(finish_turn(events, &mut seen).await, ["submitted", "working", "input_required: which?"]);
        let events = rig.front.answer(&seen[0].task, "blue").await;
        let call = rig.agent.expect(Operation::Stream).await;
        assert_eq!(call.task_id, task.id);
        let mut stream = call.stream();
        stream.status(TaskState::Completed, "done").await;
        stream.end().await;
        assert_eq!(told(&events.rest().await), ["message blue", "completed: done"]);
    })
    .await;
}

#[tokio::test]
async fn praisonai_takes_an_answer_as_a_new_task_of_the_conversation() {
    each(&[Face::Praison], |face| async move {
        let mut rig = Rig::start(face, Mode::Poll).await;
        let events = rig.front.say("go").await;
        let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
        let asks = call.snapshot(TaskState::InputRequired).text("which?");
        call.task(&asks);
        let mut seen = Vec::new();
        finish_turn(events, &mut seen).await;
        let events = rig.front.answer(&seen[0].task, "blue").await;
        let call = rig.agent.expect(Operation::SEND_AT_ONCE).await;
        assert_eq!(call.context_id, asks.context);
        let done = call.snapshot(TaskState::Completed).text("done");
        assert_ne!(done.id, asks.id);
        call.task(&done);
        assert_eq!(finish(events, &mut Vec::new()).await, ["message blue", "completed: done"]);
    })
    .await;
}
