//! Agents that say very much.

use std::time::Duration;

use a2a_gateway::{agent::a2a::Mode, proto::a2a::TaskState};

use crate::{
    door::{Door, Seen},
    rig::{Rig, each, told},
    upstream::{Face, Operation},
};

const LARGE: usize = 50 << 20;

#[tokio::test]
async fn very_many_chunks_arrive_in_order() {
    // One face of each binding: what is told of chunks is the same code in all versions.
    for (face, chunks) in [(Face::JsonRpc10, 10_000), (Face::Grpc10, 3_000)] {
        let mut rig = Rig::start(face, Mode::Stream).await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        let writing = async {
            stream.task(&stream.snapshot(TaskState::Working)).await;
            for n in 0..chunks {
                stream.artifact("a", &format!("{n:09};"), n > 0, n + 1 == chunks).await;
            }
            stream.status(TaskState::Completed, "done").await;
            stream.end().await;
        };
        let ((), items) = tokio::join!(writing, events.rest());
        let lines = told(&items);
        assert_eq!(lines.len(), chunks + 3, "{face:?}: {:?}", lines.last());
        for (n, line) in lines[2..chunks + 2].iter().enumerate() {
            assert_eq!(line[1..11], format!("{n:09};"));
        }
        assert_eq!(lines.last().unwrap(), "completed: done");
        let task = rig.front.gateway.client(Door::V1).get(&items[0].task, None).await.unwrap();
        let text: String = (0..chunks).map(|n| format!("{n:09};")).collect();
        assert_eq!(task.artifacts, [text]);
    }
}

#[tokio::test]
async fn a_very_large_artifact_arrives_whole() {
    // JSON takes a test's build too long to write and read at this size; what carries it is the same.
    let face = Face::Grpc10;
    let mut rig = Rig::with(face, Mode::Blocking, |settings| settings.max_message = LARGE + (1 << 20)).await;
    let task = rig.front.submit("go").await.id;
    let call = rig.agent.expect(Operation::SEND).await;
    let large = "x".repeat(LARGE);
    let done = call.snapshot(TaskState::Completed).text("done").artifact("a", &[&large]);
    call.task(&done);
    let seen = settled(&rig, &task).await;
    assert_eq!((seen.state, seen.said.as_str()), (TaskState::Completed, "done"));
    assert!(seen.artifacts == [large]);
}

/// The task as the JSON door shows it in the end: the gRPC client of these tests takes only small messages.
async fn settled(rig: &Rig, task: &str) -> Seen {
    let client = rig.front.gateway.client(Door::V1);
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let page = rig.front.client.list(&Default::default()).await.unwrap();
        let state = page.tasks.iter().find(|known| known.id == task).unwrap().state;
        if state != TaskState::Submitted && state != TaskState::Working {
            return client.get(task, None).await.unwrap();
        }
        assert!(tokio::time::Instant::now() < end, "still {state:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_fails_the_task() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::with(face, Mode::Blocking, |settings| settings.max_message = 64 << 10).await;
        let events = rig.front.say("go").await;
        let call = rig.agent.expect(Operation::SEND).await;
        let large = "x".repeat(70 << 10);
        let done = call.snapshot(TaskState::Completed).artifact("a", &[&large]);
        call.task(&done);
        let lines = told(&events.rest().await);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("failed: The agent's answer is not A2A: "), "{lines:?}");
        assert!(lines[1].contains("larger than"), "{lines:?}");
    })
    .await;
}

#[tokio::test]
async fn an_event_over_the_limit_fails_the_task_and_keeps_what_came_before() {
    each(&Face::ALL, |face| async move {
        let mut rig = Rig::with(face, Mode::Stream, |settings| settings.max_message = 64 << 10).await;
        let (events, call) = rig.streaming().await;
        let mut stream = call.stream();
        stream.task(&stream.snapshot(TaskState::Working)).await;
        // All of them together may be larger.
        for n in 0..3 {
            stream.artifact("a", &"x".repeat(40 << 10), n > 0, false).await;
        }
        stream.artifact("a", &"x".repeat(70 << 10), true, true).await;
        let items = events.rest().await;
        let lines = told(&items);
        assert_eq!(lines.len(), 6);
        assert!(lines[5].contains("larger than"), "{}", lines[5]);
        assert_eq!(rig.front.task(&items[0].task).await.artifacts[0].len(), 120 << 10);
    })
    .await;
}
