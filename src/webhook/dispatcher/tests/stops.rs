//! Webhooks that are stopped while something is under way, and dispatchers that end.

use std::{future, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::fake::{Stage, answered, webhook};
use crate::store::Verdict;

#[tokio::test(start_paused = true)]
async fn a_stopped_webhook_has_no_attempt_under_way() {
    let stage = Stage::new(|_, _| future::pending());
    let (one, other) = (Arc::new(webhook()), Arc::new(webhook()));
    for _ in 0..3 {
        stage.fake.lane(&one, [1]);
    }
    stage.fake.lane(&other, [1]);
    let dispatcher = stage.start(8);
    while stage.receivers.under_way() < 4 {
        stage.receivers.arrived.notified().await;
    }
    stage.fake.delete(one.id);
    let begun = Instant::now();
    dispatcher.stop_webhook(one.id).await;
    assert_eq!(stage.receivers.under_way(), 1, "the other webhook's goes on");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    stage.fake.until(|state| state.refused == 3).await;
    assert_eq!(stage.receivers.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_arrives_after_the_stop_is_not_sent() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    let one = Arc::new(webhook());
    stage.fake.lane(&one, [1]);
    let gate = Arc::new(Notify::new());
    // The store has claimed, and its answer is on the way.
    stage.fake.gates.lock().unwrap()[1] = Some(gate.clone());
    let dispatcher = stage.start(8);
    stage.fake.until(|state| state.rounds == 1).await;
    stage.fake.delete(one.id);
    let stopping = dispatcher.stop_webhook(one.id);
    tokio::pin!(stopping);
    tokio::select! {
        () = &mut stopping => panic!("a claim may still be handed over"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    stage.fake.gates.lock().unwrap()[1] = None;
    gate.notify_one();
    stopping.await;
    stage.fake.until(|state| state.refused == 1).await;
    assert_eq!(stage.receivers.seen().len(), 0, "it was released unsent");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_was_stopped_and_goes_on_is_sent_to_again() {
    let stage = Stage::new(|_, before| async move {
        if before == 0 {
            future::pending::<()>().await;
        }
        answered(200)
    });
    let one = Arc::new(webhook());
    stage.fake.lane(&one, [1]);
    let dispatcher = stage.start(8);
    stage.receivers.arrived.notified().await;
    dispatcher.stop_webhook(one.id).await;
    stage.fake.until(|state| state.recorded.len() == 2).await;
    let verdicts: Vec<_> = stage.fake.state().recorded.iter().map(|it| it.1.clone()).collect();
    assert_eq!(verdicts, [Verdict::Released, Verdict::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_attempts_records_them_and_claims_no_more() {
    let stage = Stage::new(|_, _| async {
        sleep(Duration::from_secs(2)).await;
        answered(200)
    });
    for _ in 0..3 {
        stage.fake.lane(&Arc::new(webhook()), [1, 2]);
    }
    let dispatcher = stage.start(8);
    stage.receivers.arrived.notified().await;
    let begun = Instant::now();
    dispatcher.shutdown(Duration::from_secs(10)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(stage.receivers.seen().len(), 3);
    assert!(stage.fake.state().recorded.iter().all(|it| it.1 == Verdict::Delivered));
    assert_eq!(stage.fake.waiting(), 3);
    dispatcher.stop_webhook(webhook().id).await;
    dispatcher.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_breaks_off_what_takes_longer_than_its_grace() {
    let stage = Stage::new(|_, _| future::pending());
    stage.fake.lane(&Arc::new(webhook()), [1]);
    let dispatcher = stage.start(8);
    stage.receivers.arrived.notified().await;
    let begun = Instant::now();
    dispatcher.shutdown(Duration::from_secs(3)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(stage.receivers.under_way(), 0);
    let verdicts: Vec<_> = stage.fake.state().recorded.iter().map(|it| it.1.clone()).collect();
    assert_eq!(verdicts, [Verdict::Released]);
}

#[tokio::test(start_paused = true)]
async fn claims_that_arrive_during_a_shutdown_are_released_unsent() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    stage.fake.lane(&Arc::new(webhook()), [1]);
    let gate = Arc::new(Notify::new());
    stage.fake.gates.lock().unwrap()[1] = Some(gate.clone());
    let dispatcher = stage.start(8);
    stage.fake.until(|state| state.rounds == 1).await;
    let open = async {
        sleep(Duration::from_millis(5)).await;
        stage.fake.gates.lock().unwrap()[1] = None;
        gate.notify_one();
    };
    tokio::join!(dispatcher.shutdown(Duration::from_secs(3)), open);
    assert_eq!(stage.receivers.seen().len(), 0);
    let verdicts: Vec<_> = stage.fake.state().recorded.iter().map(|it| it.1.clone()).collect();
    assert_eq!(verdicts, [Verdict::Released]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_ever_for_the_store() {
    let stage = Stage::new(|_, _| async {
        sleep(Duration::from_secs(1)).await;
        answered(200)
    });
    stage.fake.lane(&Arc::new(webhook()), [1]);
    let dispatcher = stage.start(8);
    stage.receivers.arrived.notified().await;
    stage.fake.broken_rounds.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let begun = Instant::now();
    dispatcher.shutdown(Duration::from_secs(3)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(8));
    assert_eq!(stage.fake.waiting(), 1, "it is sent again after the next start");
}
