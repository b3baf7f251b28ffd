//! What goes wrong on the gateway's side: a store that fails, events that are gone, faults, leases that end.

use std::{
    future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    super::worker::GATHER,
    fake::{Stage, answered, webhook},
};
use crate::{
    store::Verdict,
    task::{Secrets, Webhook},
};

#[tokio::test(start_paused = true)]
async fn results_wait_for_a_store_that_fails_and_are_not_sent_twice() {
    let stage = Stage::new(|_, _| async {
        sleep(Duration::from_millis(10)).await;
        answered(200)
    });
    for _ in 0..5 {
        stage.fake.lane(&Arc::new(webhook()), [1]);
    }
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.rounds == 1).await;
    stage.fake.broken_rounds.store(6, Ordering::SeqCst);
    let begun = Instant::now();
    stage.fake.until(|state| state.recorded.len() == 5).await;
    let took = begun.elapsed();
    // 0.25 s, 0.5 s, 1 s, 2 s, 4 s and 8 s.
    assert!((15_750..16_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(stage.receivers.seen().len(), 5);
    assert_eq!(stage.fake.state().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_is_read_again() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    stage.fake.lane(&Arc::new(webhook()), [1]);
    stage.fake.broken_reads.store(3, Ordering::SeqCst);
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.len() == 1).await;
    assert_eq!(stage.fake.state().recorded[0].1, Verdict::Delivered);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_gone_is_given_up_with_the_reason() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    let task = stage.fake.lane(&Arc::new(webhook()), [1, 2, 3]);
    stage.fake.trim(2);
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.len() == 3).await;
    assert_eq!(stage.taken()[&task], [1, 3]);
    let (_, verdict, attempt) = stage.fake.state().recorded[1].clone();
    assert_eq!(verdict, Verdict::Failed);
    assert_eq!(attempt.unwrap().error, "the event is no longer in the log");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_as_a_request_is_given_up_with_the_reason() {
    let secrets = [
        (Secrets { token: "a\nb".into(), ..Secrets::default() }, "token"),
        (Secrets { signing: "whsec_damaged".into(), ..Secrets::default() }, "signing secret"),
    ];
    for (secrets, named) in secrets {
        let stage = Stage::new(|_, _| future::ready(answered(200)));
        stage.fake.lane(&Arc::new(Webhook { secrets, ..webhook() }), [1]);
        let _dispatcher = stage.start(8);
        stage.fake.until(|state| state.recorded.len() == 1).await;
        let (_, verdict, attempt) = stage.fake.state().recorded[0].clone();
        let error = attempt.unwrap().error;
        assert_eq!(verdict, Verdict::Failed);
        assert!(error.contains(named) && !error.contains("damaged_") && !error.contains("a\nb"), "{error}");
        assert_eq!(stage.receivers.seen().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_one_attempt_is_tried_again_later_and_harms_no_other() {
    let stage = Stage::new(|seen, before| {
        let faulty = before == 0 && seen.id.sequence == 1;
        async move { if faulty { std::panic::panic_any("a fault of the test's") } else { answered(200) } }
    });
    stage.fake.lane(&Arc::new(webhook()), [1]);
    let begun = Instant::now();
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| !state.recorded.is_empty()).await;
    let other = stage.fake.lane(&Arc::new(webhook()), [2]);
    stage.bell.ring();
    stage.fake.until(|state| state.recorded.len() == 3).await;
    let recorded = &stage.fake.state().recorded;
    assert!(matches!(recorded[0].1, Verdict::Retry(_)), "{recorded:?}");
    assert!(recorded[0].2.as_ref().unwrap().error.contains("fault of the gateway"));
    assert_eq!((recorded[1].0.task, &recorded[1].1), (other, &Verdict::Delivered));
    assert_eq!(recorded[2].1, Verdict::Delivered);
    assert!(begun.elapsed() >= Duration::from_millis(800));
}

#[tokio::test(start_paused = true)]
async fn attempts_end_before_their_lease_does() {
    let stage = Stage::new(|_, before| async move {
        if before == 0 {
            future::pending::<()>().await;
        }
        answered(200)
    });
    stage.fake.lane(&Arc::new(webhook()), [1]);
    let begun = Instant::now();
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.len() == 2).await;
    let verdicts: Vec<_> = stage.fake.state().recorded.iter().map(|it| it.1.clone()).collect();
    assert_eq!(verdicts, [Verdict::Released, Verdict::Delivered]);
    assert_eq!(begun.elapsed(), Duration::from_secs(55) + GATHER);
    assert_eq!(stage.fake.state().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn large_bodies_share_a_room_that_small_ones_do_not_need() {
    let stage = Stage::new(|_, _| async {
        sleep(Duration::from_secs(1)).await;
        answered(200)
    });
    let one = Arc::new(webhook());
    for _ in 0..6 {
        stage.fake.lane(&one, [400_000]);
    }
    // One that is larger than all of the room is sent alone.
    stage.fake.lane(&one, [3_000_000]);
    for _ in 0..6 {
        stage.fake.lane(&one, [1]);
    }
    let begun = Instant::now();
    let _dispatcher = stage.start_with(20, |settings| settings.max_body_bytes = 1 << 20);
    stage.fake.until(|state| state.recorded.iter().filter(|it| it.0.sequence == 1).count() == 6).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    stage.fake.until(|state| state.recorded.len() == 13).await;
    assert!(stage.fake.state().recorded.iter().all(|it| it.1 == Verdict::Delivered));
    assert_eq!(begun.elapsed(), Duration::from_secs(4), "two at a time, and one alone");
}

#[tokio::test(start_paused = true)]
async fn large_bodies_for_unproven_origins_have_a_quarter_of_the_room() {
    let stage = Stage::new(|seen, _| {
        let dead = seen.id.sequence == 200_000;
        async move {
            sleep(Duration::from_secs(if dead { 10 } else { 1 })).await;
            answered(200)
        }
    });
    let (dead, live) = (Arc::new(webhook()), Arc::new(webhook()));
    stage.fake.state().unproven.push(dead.id);
    for _ in 0..4 {
        stage.fake.lane(&dead, [200_000]);
    }
    for _ in 0..6 {
        stage.fake.lane(&live, [400_000]);
    }
    let begun = Instant::now();
    let _dispatcher = stage.start_with(20, |settings| settings.max_body_bytes = 1 << 20);
    stage.fake.until(|state| state.recorded.iter().filter(|it| it.0.webhook == live.id).count() == 6).await;
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(stage.receivers.seen().iter().filter(|it| it.id.webhook == dead.id).count(), 1);
    // Those that have waited are sent, too, one after the other.
    stage.fake.until(|state| state.recorded.iter().filter(|it| it.0.webhook == dead.id).count() == 4).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(40));
}
