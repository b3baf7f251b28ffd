//! The dispatcher on an outbox in memory, receivers that answer as told, and a paused clock.

mod fake;
mod faults;
mod stops;

use std::{future, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use self::fake::{START, Stage, answered, webhook};
use super::worker::{GATHER, GATHERED};
use crate::{
    store::Verdict,
    task::{Dialect, Secrets, Webhook},
    webhook::Schedule,
};

const SECOND: i64 = 1000;

#[tokio::test(start_paused = true)]
async fn what_is_due_is_delivered_at_once_and_in_order() {
    let stage = Stage::new(|_, _| future::ready(answered(204)));
    let task = stage.fake.lane(&Arc::new(webhook()), 1..=50);
    let begun = Instant::now();
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.len() == 50).await;
    assert_eq!(stage.taken()[&task], (1..=50).collect::<Vec<_>>());
    assert_eq!(stage.receivers.seen().len(), 50);
    assert_eq!(begun.elapsed(), GATHER * 50, "each waits only for what may come with it");
    let text = stage.metrics.render();
    assert!(text.contains(r#"a2a_webhook_attempts_total{outcome="delivered"} 50"#), "{text}");
    assert!(text.contains("a2a_webhook_delivery_seconds_count 50"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_bell_wakes_an_idle_dispatcher_at_once() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.rounds == 1).await;
    sleep(GATHER).await;
    let begun = Instant::now();
    stage.fake.lane(&Arc::new(webhook()), [1]);
    stage.bell.ring();
    stage.fake.until(|state| state.rounds == 2).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    stage.fake.until(|state| state.recorded.len() == 1).await;
    assert_eq!((begun.elapsed(), stage.receivers.seen().len()), (GATHER, 1));
}

#[tokio::test(start_paused = true)]
async fn where_much_has_come_nothing_waits_for_more() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    for _ in 0..GATHERED {
        stage.fake.lane(&Arc::new(webhook()), [1]);
    }
    let begun = Instant::now();
    let _dispatcher = stage.start(GATHERED);
    stage.fake.until(|state| state.recorded.len() == GATHERED).await;
    assert_eq!((begun.elapsed(), stage.fake.state().rounds), (Duration::ZERO, 2));
}

#[tokio::test(start_paused = true)]
async fn an_idle_dispatcher_leaves_the_store_alone_unless_the_clock_is_set_back() {
    let stage = Stage::new(|_, before| future::ready(answered(if before == 0 { 503 } else { 200 })));
    // After a day something is due.
    stage.fake.lane(&Arc::new(webhook()), [1]);
    let day = Schedule::new([Duration::from_secs(86_400)]);
    let _dispatcher = stage.start_with(8, |settings| settings.schedule = day);
    stage.fake.until(|state| state.recorded.len() == 1).await;
    sleep(Duration::from_secs(1)).await;
    let rounds = stage.fake.state().rounds;
    for (set, more) in [(0, 0), (-900, 0), (40_000, 0), (-42_000, 1), (-3_600_000, 2)] {
        stage.wall.set_forth(set);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.fake.state().rounds - rounds, more, "{set}");
    }
    // The next one comes when it is due.
    stage.fake.until(|state| state.recorded.len() == 2).await;
    assert_eq!(stage.fake.state().recorded[1].1, Verdict::Delivered);
    assert!(stage.fake.state().rounds - rounds <= 4);
    let told: Vec<_> = stage.fake.state().jumps.iter().copied().filter(|jump| *jump != 0).collect();
    assert_eq!(told, [-2_900, -3_600_000], "all steps since the round before");
}

#[tokio::test(start_paused = true)]
async fn a_round_tells_how_far_the_clock_was_set_since_the_last_one() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.rounds == 1).await;
    for (set, told) in [(0, 0), (900, 0), (70_000, 70_000), (0, 0), (-70_000, -70_000)] {
        sleep(Duration::from_secs(30)).await;
        stage.wall.set_forth(set);
        // One that the store did not take has told nothing.
        stage.fake.broken_rounds.store(2, std::sync::atomic::Ordering::SeqCst);
        let before = stage.fake.state().rounds;
        stage.bell.ring();
        stage.fake.until(|state| state.rounds > before).await;
        assert_eq!(stage.fake.state().jumps[before], told, "{set}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_come_within_the_bounds_of_the_schedule_and_then_end() {
    let stage = Stage::new(|_, _| future::ready(answered(500)));
    stage.fake.lane(&Arc::new(webhook()), [1, 2]);
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.iter().any(|(_, verdict, _)| *verdict == Verdict::Failed)).await;
    let seen = stage.receivers.seen();
    let first: Vec<_> = seen.iter().filter(|seen| seen.id.sequence == 1).collect();
    assert_eq!(first.len(), 12, "one attempt, and one after each pause");
    let scheduled = [1, 5, 30, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (pair, pause) in first.windows(2).zip(scheduled) {
        let took = pair[1].wall - pair[0].wall;
        let (least, most) = (pause * 800, pause * 1200 + 50);
        assert!((least..=most).contains(&took), "{pause} s: {took} ms");
        assert_eq!(pair[0].request.body, pair[1].request.body);
        for same in ["webhook-id", "a2a-event-sequence"] {
            assert_eq!(pair[0].request.headers[same], pair[1].request.headers[same]);
        }
        let trace = |at: usize| pair[at].request.headers["traceparent"].to_str().unwrap().to_owned();
        assert_eq!(trace(0)[..36], trace(1)[..36]);
        assert_ne!(trace(0), trace(1));
    }
    let recorded = &stage.fake.state().recorded;
    let numbers: Vec<_> =
        recorded.iter().filter(|it| it.0.sequence == 1).map(|it| it.2.as_ref().unwrap().number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn retry_after_prolongs_a_pause_and_never_shortens_it() {
    for (asked, least, most) in [(Some(60), 60, 60), (Some(0), 1, 1), (None, 1, 1), (Some(1_000_000), 86_400, 86_400)] {
        let report = move |before| {
            let mut report = answered(if before == 0 { 429 } else { 200 });
            report.retry_after = asked.map(Duration::from_secs);
            report
        };
        let stage = Stage::new(move |_, before| future::ready(report(before)));
        stage.fake.lane(&Arc::new(webhook()), [1]);
        let _dispatcher = stage.start(8);
        stage.fake.until(|state| state.recorded.len() == 2).await;
        let seen = stage.receivers.seen();
        let took = seen[1].wall - seen[0].wall;
        assert!((least * 800..=most * 1200 + 50).contains(&took), "{asked:?}: {took}");
        assert!(asked != Some(60) || took >= 60 * SECOND, "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_payload_is_given_up_soon_and_the_next_follows() {
    let stage = Stage::new(|seen, _| future::ready(answered(if seen.id.sequence == 1 { 400 } else { 200 })));
    let task = stage.fake.lane(&Arc::new(webhook()), [1, 2]);
    let begun = Instant::now();
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.len() == 4).await;
    assert!(begun.elapsed() <= Duration::from_millis(2500), "{:?}", begun.elapsed());
    assert_eq!(stage.taken()[&task], [2]);
    assert_eq!(stage.fake.state().recorded[2].1, Verdict::Failed);
}

#[tokio::test(start_paused = true)]
async fn order_holds_and_nothing_is_lost_under_random_failures() {
    const LANES: u64 = 10;
    // A number from the count of requests: every third or so fails, slowly or at once.
    let chance = crate::webhook::schedule::Chance::seeded(5);
    let stage = Stage::new(move |_, _| {
        let dice = chance.number();
        async move {
            sleep(Duration::from_millis(dice % 700)).await;
            answered([200, 500, 200, 503, 200, 404][(dice >> 32) as usize % 6])
        }
    });
    let one = Arc::new(webhook());
    let tasks: Vec<_> = (0..LANES).map(|_| stage.fake.lane(&one, 1..=100)).collect();
    stage.fake.broken_rounds.store(5, std::sync::atomic::Ordering::SeqCst);
    let short = [1; 60].map(Duration::from_millis);
    let _dispatcher = stage.start_with(6, |settings| settings.schedule = Schedule::new(short));
    stage.fake.until(|state| state.recorded.iter().filter(|it| it.1 == Verdict::Delivered).count() == 1000).await;
    let taken = stage.taken();
    for task in tasks {
        assert_eq!(taken[&task], (1..=100).collect::<Vec<_>>());
        // Receivers see them in order, too: repeated perhaps, never an earlier one after a later one.
        let seen: Vec<_> = stage.receivers.seen().into_iter().filter(|it| it.id.task == task).collect();
        assert!(seen.is_sorted_by_key(|it| it.id.sequence));
    }
    assert!(stage.receivers.seen().len() > 1200, "there were failures");
    assert_eq!(stage.fake.state().refused, 0);
    assert!((2..=6).contains(&stage.receivers.most.load(std::sync::atomic::Ordering::SeqCst)), "slots");
}

#[tokio::test(start_paused = true)]
async fn slots_are_used_and_never_exceeded() {
    let stage = Stage::new(|_, _| async {
        sleep(Duration::from_millis(100)).await;
        answered(200)
    });
    let one = Arc::new(webhook());
    for _ in 0..40 {
        stage.fake.lane(&one, 1..=5);
    }
    let begun = Instant::now();
    let _dispatcher = stage.start(4);
    stage.fake.until(|state| state.recorded.len() == 200).await;
    assert_eq!(stage.receivers.most.load(std::sync::atomic::Ordering::SeqCst), 4);
    assert!(begun.elapsed() <= Duration::from_secs(6), "all four work all the time: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn receivers_that_stay_silent_leave_their_places_to_others_without_anything_happening() {
    let silent = Arc::new(webhook());
    let is_silent = silent.id;
    let stage = Stage::new(move |seen, _| {
        let silent = seen.id.webhook == is_silent;
        async move {
            if silent {
                sleep(Duration::from_secs(20)).await;
            }
            answered(if silent { 504 } else { 200 })
        }
    });
    for _ in 0..12 {
        stage.fake.lane(&silent, [1]);
    }
    let live = stage.fake.lane(&Arc::new(webhook()), 1..=5);
    let begun = Instant::now();
    let _dispatcher = stage.start_with(4, |settings| settings.limits.slow = 100);
    stage.fake.until(|state| state.recorded.len() == 5).await;
    assert_eq!(stage.taken()[&live], [1, 2, 3, 4, 5]);
    assert!((1500..=2500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(stage.receivers.most.load(std::sync::atomic::Ordering::SeqCst), 13, "more than there are quick places");
    // Nothing more can be claimed: the store is left alone.
    let rounds = stage.fake.state().rounds;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stage.fake.state().rounds, rounds);
}

#[tokio::test(start_paused = true)]
async fn two_dispatchers_share_the_work_and_send_each_once() {
    let stage = Stage::new(|_, _| async {
        sleep(Duration::from_millis(10)).await;
        answered(200)
    });
    let one = Arc::new(webhook());
    for _ in 0..20 {
        stage.fake.lane(&one, 1..=20);
    }
    let _dispatchers = [stage.start(8), stage.start(8)];
    stage.fake.until(|state| state.recorded.len() == 400).await;
    assert_eq!(stage.receivers.seen().len(), 400);
    assert!(stage.taken().values().all(|taken| *taken == (1..=20).collect::<Vec<_>>()));
    assert!(stage.receivers.most.load(std::sync::atomic::Ordering::SeqCst) <= 8);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_neither_stalls_nor_hurries_much() {
    for jump in [-3 * 86_400 * SECOND, 40 * SECOND] {
        let stage = Stage::new(|_, before| future::ready(answered(if before < 3 { 500 } else { 200 })));
        stage.fake.lane(&Arc::new(webhook()), [1]);
        let _dispatcher = stage.start(8);
        // Two pauses of the schedule; the third, of 30 s, has begun when the clock is set.
        stage.fake.until(|state| state.recorded.len() == 3).await;
        let begun = Instant::now();
        sleep(Duration::from_secs(6)).await;
        stage.wall.set_forth(jump);
        stage.fake.until(|state| state.recorded.len() == 4).await;
        let took = begun.elapsed();
        assert!(took <= Duration::from_secs(46), "{jump}: {took:?}");
        assert!(jump > 0 || took >= Duration::from_secs(22), "{jump}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_in_the_webhooks_form() {
    let stage = Stage::new(|_, _| future::ready(answered(200)));
    for payload in [Dialect::V1, Dialect::V03, Dialect::Praison] {
        let secrets = Secrets { token: "tk".into(), ..Secrets::default() };
        stage.fake.lane(&Arc::new(Webhook { payload, secrets, ..webhook() }), [1]);
    }
    let _dispatcher = stage.start(8);
    stage.fake.until(|state| state.recorded.len() == 3).await;
    let mut bodies: Vec<String> =
        stage.receivers.seen().into_iter().map(|it| String::from_utf8(it.request.body.into()).unwrap()).collect();
    bodies.sort_by_key(String::len);
    let starts = [r#"{"kind":"task","id":"#, r#"{"message":{"messageId":"1","#, r#"{"taskId":"#];
    for start in starts {
        assert!(bodies.iter().any(|body| body.starts_with(start)), "{start} not in {bodies:?}");
    }
    assert!(stage.receivers.seen().iter().all(|it| it.wall >= START));
}
