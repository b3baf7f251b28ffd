//! Streams that are lost, and agents that restart: what has been told is not told again, and nothing is missed.

use std::time::Duration;

use a2a_gateway::{
    agent::a2a::{Mode, OnLost, Settings},
    proto::a2a::TaskState,
};

use crate::{
    door::{Events, Item},
    rig::{A2A, Front, Rig, each, settings, told},
    upstream::{Auto, Call, Face, Kind, Operation, Options, Stream, model::Snapshot},
};

const SHORT: Duration = Duration::from_secs(1);

/// Answers reads with the tasks one after the other, and then with the last; refuses subscriptions.
async fn serve(rig: &mut Rig, tasks: &[Snapshot], events: Events) -> Vec<Item> {
    let serving = async {
        let mut tasks = tasks.iter();
        let mut shown = tasks.next().unwrap();
        loop {
            let call: Call = rig.agent.call().await;
            assert_eq!(call.task_id, shown.id);
            match call.operation {
                Operation::Get => {
                    call.task(shown);
                    shown = tasks.next().unwrap_or(shown);
                }
                operation => {
                    assert_eq!(operation, Operation::Subscribe);
                    call.error(Kind::UnsupportedOperation);
                }
            }
        }
    };
    tokio::select! {
        items = events.rest() => items,
        () = serving => unreachable!(),
    }
}

/// A stream that has told a part, as it breaks off.
async fn broken(rig: &mut Rig, end: impl AsyncFnOnce(Stream)) -> (Events, Snapshot) {
    let (events, call) = rig.streaming().await;
    let mut stream = call.stream();
    let task = stream.snapshot(TaskState::Working);
    stream.task(&task).await;
    stream.status(TaskState::Working, "on it").await;
    for n in 0..5 {
        stream.artifact("a", &format!("chunk {n}, "), n > 0, false).await;
    }
    end(stream).await;
    (events, task.text("on it"))
}

fn chunks(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("chunk {n}, ")).collect()
}

fn with_chunks(mut task: Snapshot, count: usize) -> Snapshot {
    task.artifacts = vec![("a".into(), chunks(0..count))];
    task
}

const BEGINNING: [&str; 8] =
    ["submitted", "working", "working: on it", "=chunk 0, ", "+chunk 1, ", "+chunk 2, ", "+chunk 3, ", "+chunk 4, "];

async fn is_taken_up(face: Face, end: impl AsyncFnOnce(Stream), change: fn(&mut Settings)) {
    let mut rig = Rig::with(face, Mode::Stream, change).await;
    let (events, task) = broken(&mut rig, end).await;
    let shown = [
        with_chunks(task.clone(), 5),
        with_chunks(task.clone(), 7),
        with_chunks(task.clone(), 8).state(TaskState::Completed).text("done"),
    ];
    let items = serve(&mut rig, &shown, events).await;
    let lines = told(&items);
    assert_eq!(lines[..8], BEGINNING);
    assert_eq!(lines[8..], ["+chunk 5, chunk 6, ", "+chunk 7, ", "completed: done"]);
    let task = rig.front.task(&items[0].task).await;
    assert_eq!(task.artifacts, [chunks(0..8).concat()]);
}

#[tokio::test]
async fn a_stream_that_is_reset_is_taken_up() {
    each(&Face::ALL, |face| is_taken_up(face, async |stream| stream.reset().await, |_| {})).await;
}

#[tokio::test]
async fn a_stream_that_ends_early_is_taken_up() {
    each(&Face::ALL, |face| is_taken_up(face, async |stream| stream.end().await, |_| {})).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_without_an_end_is_taken_up() {
    // gRPC: without trailers.
    each(&Face::ALL, |face| is_taken_up(face, async |stream| drop(stream), |_| {})).await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_taken_up() {
    let short = |settings: &mut Settings| settings.idle_timeout = SHORT;
    each(&Face::ALL, move |face| is_taken_up(face, async |stream| stream.gone().await, short)).await;
}

#[tokio::test]
async fn an_agent_that_keeps_its_tasks_may_restart() {
    // PraisonAI's streams leave no trace in its table, which is why it is polled.
    each(&Face::ALL, |face| async move {
        let mode = if face == Face::Praison { Mode::Poll } else { Mode::Stream };
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, mode)).await;
        let mut events = front.say("go").await;
        let task = agent.turn().await;
        agent.status(&task.id, TaskState::Working, "on it");
        agent.artifact(&task.id, "a", "one ", false, false);
        let mut items = Vec::new();
        loop {
            items.push(events.item().await);
            let lines = told(&items);
            if ["=one ", "working: on it"].iter().all(|line| lines.iter().any(|told| told == line)) {
                break;
            }
        }
        agent.stop().await;
        // While nobody can be told.
        agent.artifact(&task.id, "a", "two ", true, false);
        agent.resume();
        agent.wait_count(Operation::Get, 1).await;
        agent.artifact(&task.id, "a", "three", true, true);
        agent.status(&task.id, TaskState::Completed, "done");
        items.extend(events.rest().await);
        let lines = told(&items);
        assert_eq!(lines.last().unwrap(), "completed: done");
        let said = items[0].task.clone();
        assert_eq!(front.task(&said).await.artifacts, ["one two three"], "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("one ")).count(), 1, "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("on it")).count(), 1, "{lines:?}");
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_forgets_its_tasks_fails_them() {
    each(&Face::ALL, |face| async move {
        let mode = if face == Face::Praison { Mode::Poll } else { Mode::Stream };
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, mode)).await;
        let events = front.say("go").await;
        let task = agent.turn().await;
        agent.status(&task.id, TaskState::Working, "");
        agent.stop().await;
        agent.forget();
        agent.resume();
        let lines = told(&events.rest().await);
        let text = "failed: The agent no longer knows the task; it may have restarted. It says: ";
        assert!(lines.last().unwrap().starts_with(text), "{lines:?}");
        assert_eq!(agent.count(Operation::Stream) + agent.count(Operation::SEND_AT_ONCE), 1);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_forgets_its_tasks_gets_the_message_again_where_that_is_allowed() {
    each(&Face::ALL, |face| async move {
        let mode = if face == Face::Praison { Mode::Poll } else { Mode::Stream };
        let mut agent = Auto::start(face, Options::default());
        let mut settings = settings(&agent, mode);
        settings.on_lost = OnLost::Resend;
        let front = Front::open(settings).await;
        let events = front.say("go").await;
        let first = agent.turn().await;
        agent.stop().await;
        agent.forget();
        agent.resume();
        let second = agent.turn().await;
        assert_ne!(first.id, second.id);
        assert_eq!(first.context, second.context);
        agent.artifact(&second.id, "a", "all", false, true);
        agent.status(&second.id, TaskState::Completed, "done");
        let items = events.rest().await;
        assert_eq!(told(&items).last().unwrap(), "completed: done");
        assert_eq!(front.task(&items[0].task).await.artifacts, ["all"]);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_gone_for_too_long_fails_its_tasks() {
    each(&A2A, |face| async move {
        let mut rig = Rig::with(face, Mode::Stream, |settings| settings.unreachable_timeout = SHORT).await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        stream.task(&stream.snapshot(TaskState::Working)).await;
        rig.agent.stop().await;
        let lines = told(&events.rest().await);
        assert!(lines.last().unwrap().starts_with("failed: The agent could not be reached for 1s: "), "{lines:?}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_may_last_longer_than_any_timeout() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::with(face, Mode::Stream, |settings| {
            settings.idle_timeout = SHORT;
            settings.request_timeout = SHORT;
        })
        .await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        stream.task(&stream.snapshot(TaskState::Working)).await;
        for _ in 0..10 {
            tokio::time::sleep(SHORT / 5).await;
            stream.status(TaskState::Working, "still on it").await;
        }
        stream.status(TaskState::Completed, "done").await;
        stream.end().await;
        assert_eq!(told(&events.rest().await).last().unwrap(), "completed: done");
        assert!(rig.agent.try_call().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_praisonais_that_is_lost_leaves_nothing_to_follow() {
    each(&[Face::Praison], |face| async move {
        let mut agent = Auto::start(face, Options::default());
        let front = Front::open(settings(&agent, Mode::Stream)).await;
        let events = front.say("go").await;
        let task = agent.turn().await;
        agent.status(&task.id, TaskState::Working, "");
        agent.restart().await;
        let lines = told(&events.rest().await);
        assert!(lines.last().unwrap().starts_with("failed: The agent's stream was lost, and it does not"), "{lines:?}");
        assert_eq!(agent.count(Operation::Stream), 1);
    })
    .await;
}
