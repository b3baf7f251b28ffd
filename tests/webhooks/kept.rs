//! What waits for a receiver outlives crashes, shutdowns and retention.

use std::time::Instant;

use a2a_gateway::proto::gateway::{DeliveryState, GetTaskRequest};
use tonic::Code;

use crate::{
    process::LIMIT,
    receiver::{Answer, Receiver},
    rig::{Rig, hook, one_event, statuses},
};

#[tokio::test(flavor = "multi_thread")]
async fn retries_go_on_after_a_crash_where_they_were() {
    let receiver = Receiver::start(|received| Answer::status(if received.attempt <= 3 { 500 } else { 200 })).await;
    let settings = &["webhooks.schedule=500ms,500ms,500ms"];
    let mut rig = Rig::start(settings).await;
    let task = rig.submit("hello", vec![one_event(receiver.url("/in"))]).await;
    for known in 1..=3 {
        rig.until(&task, "attempt", |all| all.iter().any(|one| one.attempt_count >= known)).await;
        rig = rig.crash(settings).await;
    }
    let delivery = rig.delivered(&task, 1).await.remove(0);
    assert_eq!(statuses(&delivery), [500, 500, 500, 200], "{delivery:#?}");
    assert!(delivery.attempts.iter().map(|attempt| attempt.number).eq(1..=4), "{delivery:#?}");
    assert_eq!(receiver.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_sends_nothing_twice() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    rig.create(hook(receiver.url("/in"))).await;
    let task = rig.submit("burst: 200", vec![]).await;
    rig.log(&task).await;
    receiver.answered(20).await;
    let data = rig.stop();
    let mut rig = Rig::start_with(data, crate::rig::ALLOWED).await;
    rig.delivered(&task, 203).await;
    assert!(receiver.received().iter().map(|one| one.sequence()).eq(1..=203));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_silent_receivers_and_loses_nothing() {
    let receiver = Receiver::start(|_| Answer::Silence).await;
    let mut rig = Rig::start(&["webhooks.timeout=20s", "server.drain_deadline=1s"]).await;
    let task = rig.submit("hello", vec![one_event(receiver.url("/in"))]).await;
    receiver.came(1).await;
    let begun = Instant::now();
    let data = rig.stop();
    assert!(begun.elapsed() < LIMIT / 3, "{:?}", begun.elapsed());
    receiver.script(|_| Answer::status(200));
    let mut rig = Rig::start_with(data, crate::rig::ALLOWED).await;
    rig.delivered(&task, 1).await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_leaves_what_a_waiting_delivery_needs() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let schedule = format!("webhooks.schedule={}", ["200ms"; 50].join(","));
    let mut rig =
        Rig::start(&[&schedule, "retention.settled=1s", "retention.interval=100ms", "tasks.request_id_ttl=1s"]).await;
    let task = rig.submit("burst: 50", vec![hook(receiver.url("/in"))]).await;
    let other = rig.submit("burst: 50", vec![]).await;
    let (log, _) = (rig.log(&task).await, rig.log(&other).await);
    // The other one goes; this one has been settled as long.
    let deadline = Instant::now() + LIMIT;
    let request = GetTaskRequest { task_id: other, history_length: None };
    while rig.client.get_task(request.clone()).await.is_ok() {
        assert!(Instant::now() < deadline, "nothing is removed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    receiver.script(|_| Answer::status(200));
    let taken = |all: &[crate::receiver::Received]| all.iter().filter(|one| one.is_taken()).count();
    receiver.until("whole log", |all| (taken(all) == log.len()).then_some(())).await;
    // And goes in its turn.
    let request = GetTaskRequest { task_id: task, history_length: None };
    let deadline = Instant::now() + LIMIT;
    let gone = loop {
        match rig.client.get_task(request.clone()).await {
            Err(gone) => break gone,
            Ok(_) => assert!(Instant::now() < deadline, "it stays for ever"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trimmed_log_keeps_the_events_that_wait() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&["retention.events_per_task=100", "retention.interval=100ms"]).await;
    let webhook = rig.create(hook(receiver.url("/in"))).await;
    rig.enable(&webhook.id, false).await;
    // Kept by a webhook that is paused; another task's log is trimmed meanwhile.
    let task = rig.submit("burst: 500", vec![]).await;
    rig.log(&task).await;
    let waiting = rig.deliveries(&task).await;
    assert!(waiting.len() == 503 && waiting.iter().all(|one| one.state() == DeliveryState::Pending));
    let mut rig = rig.crash(&["retention.events_per_task=100", "retention.interval=100ms"]).await;
    rig.enable(&webhook.id, true).await;
    rig.delivered(&task, 503).await;
    let received = receiver.received();
    assert!(received.iter().map(|one| one.sequence()).eq(1..=503), "{}", received.len());
    for (n, received) in (1..=500).zip(&received[2..502]) {
        let parts = &received.json()["artifactUpdate"]["artifact"]["parts"];
        assert_eq!(parts[0]["text"], format!("chunk {n}/500\n"));
    }
}
