//! Receivers that keep the sender waiting, send too much, or break off.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use a2a_gateway::proto::gateway::{Delivery, DeliveryState};

use crate::{
    receiver::{Answer, Receiver},
    rig::{Rig, hook, one_event, statuses},
};

const SETTINGS: &[&str] = &["webhooks.schedule=20ms,20ms,20ms", "webhooks.timeout=1s"];

/// How long the first attempt took.
fn latency(delivery: &Delivery) -> Duration {
    let latency = delivery.attempts[0].latency.unwrap();
    Duration::new(latency.seconds as u64, latency.nanos as u32)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_has_one_time_limit_from_the_first_byte_to_the_last() {
    let receiver = Receiver::start(|received| match (received.attempt, received.path.as_str()) {
        (1, "/silence") => Answer::Silence,
        (1, "/head") => {
            Answer::Trickle(b"HTTP/1.1 200 OK\r\nx-slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
        }
        (1, "/body") => {
            Answer::Trickle(b"HTTP/1.1 500 X\r\ncontent-length: 9999\r\n\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
        }
        _ => Answer::status(200),
    })
    .await;
    let mut rig = Rig::start(SETTINGS).await;
    let paths = ["/silence", "/head", "/body"];
    let task = rig.submit("hello", paths.map(|path| one_event(receiver.url(path))).into()).await;
    for delivery in rig.delivered(&task, 3).await {
        assert_eq!(delivery.attempt_count, 2, "{delivery:#?}");
        assert!(!delivery.attempts[0].error.is_empty() && delivery.attempts[1].error.is_empty(), "{delivery:#?}");
        let latency = latency(&delivery);
        assert!(latency >= Duration::from_millis(900) && latency < Duration::from_secs(8), "{delivery:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_endless_body_only_the_beginning_is_read() {
    let receiver = Receiver::start(|received| match (received.attempt, received.path.as_str()) {
        (1, "/taken") => Answer::Endless(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
        (1, "/refused") => Answer::Endless(b"HTTP/1.1 500 X\r\ncontent-length: 99999999999\r\n\r\n"),
        _ => Answer::status(200),
    })
    .await;
    let mut rig = Rig::start(&["webhooks.schedule=20ms,20ms,20ms", "webhooks.timeout=20s"]).await;
    let begun = Instant::now();
    let task = rig.submit("hello", ["/taken", "/refused"].map(|path| one_event(receiver.url(path))).into()).await;
    for delivery in rig.delivered(&task, 2).await {
        let first = &delivery.attempts[0];
        assert!(first.response_excerpt.len() <= 16 << 10 && first.response_excerpt.starts_with("xx"), "{first:?}");
        // The size ends it, not the time.
        assert!(latency(&delivery) < Duration::from_secs(10), "{first:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!((receiver.at("/taken").len(), receiver.at("/refused").len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_attempts_that_failed() {
    let receiver = Receiver::start(|received| match (received.attempt, received.path.as_str()) {
        (1 | 2, "/reset") => Answer::Reset,
        (1, "/part") => Answer::ResetAfter(500),
        (1, "/noise") => Answer::Trickle(b"220 mail.test ESMTP\r\n"),
        _ => Answer::status(200),
    })
    .await;
    let mut rig = Rig::start(SETTINGS).await;
    let paths = ["/reset", "/part", "/noise"];
    let task = rig.submit("hello", paths.map(|path| one_event(receiver.url(path))).into()).await;
    let all = rig.delivered(&task, 3).await;
    for (path, expected) in [("/reset", &[0, 0, 200][..]), ("/part", &[500, 200]), ("/noise", &[0, 200])] {
        let id = receiver.at(path)[0].header("webhook-id").to_owned();
        let delivery = all.iter().find(|delivery| delivery.id == id).unwrap();
        assert_eq!(statuses(delivery), expected, "{path}: {delivery:#?}");
        assert!(!delivery.attempts[0].error.is_empty(), "{path}: {delivery:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_whose_connection_breaks_does_not_hold_up_what_follows() {
    let receiver =
        Receiver::start(|received| if received.attempt == 1 { Answer::ResetAfter(200) } else { Answer::status(200) })
            .await;
    let mut rig = Rig::start(SETTINGS).await;
    let task = rig.submit("hello", vec![hook(receiver.url("/in"))]).await;
    rig.delivered(&task, 4).await;
    let sequences: Vec<_> = receiver.received().iter().map(|one| one.sequence()).collect();
    assert!(sequences.is_sorted() && sequences.last() == Some(&4), "{sequences:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_speaks_no_tls_is_told_nothing() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(SETTINGS).await;
    let url = receiver.url("/in").replace("http:", "https:");
    let task = rig.submit("hello", vec![one_event(url)]).await;
    let failed = |all: &[Delivery]| all.iter().any(|one| one.state() == DeliveryState::Failed);
    let all = rig.until(&task, "giving up", failed).await;
    assert_eq!(statuses(&all[0]), [0; 4], "{all:?}");
    assert!(all[0].attempts.iter().all(|attempt| !attempt.error.is_empty()), "{all:?}");
    assert!(receiver.connections() > 0 && receiver.count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_do_not_delay_the_living() {
    // Each an origin of its own, where connections are made and nobody ever says a word.
    let dead: Vec<_> = (0..200).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let (known, new) = (Receiver::willing().await, Receiver::willing().await);
    let mut rig = Rig::start(&["webhooks.timeout=3s", "webhooks.schedule=20ms,20ms,1h"]).await;
    rig.submit("hello", vec![hook(known.url("/first"))]).await;
    known.answered(4).await;
    let mut tasks = Vec::new();
    for dead in dead.chunks(20) {
        let urls = dead.iter().map(|dead| hook(format!("http://{}/", dead.local_addr().unwrap())));
        tasks.push(rig.submit("hello", urls.collect()).await);
    }
    let begun = Instant::now();
    rig.submit("hello", (0..5).map(|n| hook(known.url(&format!("/{n}")))).collect()).await;
    known.answered(4 + 5 * 4).await;
    // One that was reached before has not waited for a dead one to be given up.
    assert!(begun.elapsed() < Duration::from_millis(2800), "{:?}", begun.elapsed());
    // Nor does one that is new, once all of the dead have been tried.
    for task in &tasks {
        let tried = |all: &[Delivery]| all.iter().filter(|one| one.attempt_count > 0).count() == 20;
        rig.until(task, "first attempts", tried).await;
    }
    let begun = Instant::now();
    rig.submit("hello", (0..5).map(|n| hook(new.url(&format!("/{n}")))).collect()).await;
    new.answered(5 * 4).await;
    assert!(begun.elapsed() < Duration::from_millis(2800), "{:?}", begun.elapsed());
}
