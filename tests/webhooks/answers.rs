//! What becomes of a delivery after each kind of answer.

use std::time::{Duration, SystemTime};

use a2a_gateway::proto::gateway::{Delivery, DeliveryState, WebhookState};

use crate::{
    receiver::{Answer, Received, Receiver},
    rig::{Rig, hook, one_event, statuses},
};

/// Retries that follow soon.
const SOON: &str = "webhooks.schedule=50ms,50ms,50ms,50ms";

/// Answers the first attempts of each delivery with these, and takes it then.
fn first<const N: usize>(statuses: [u16; N]) -> impl FnMut(&Received) -> Answer + Send {
    move |received: &Received| Answer::status(statuses.get(received.attempt - 1).copied().unwrap_or(200))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_sent_again_with_the_same_bytes_before_anything_else() {
    let receiver = Receiver::start(first([500, 503])).await;
    let mut rig = Rig::start(&[SOON]).await;
    let task = rig.submit("hello", vec![hook(receiver.url("/in"))]).await;
    for (delivery, sequence) in rig.delivered(&task, 4).await.iter().zip(1..) {
        assert_eq!((delivery.sequence, delivery.attempt_count), (sequence, 3), "{delivery:?}");
        assert_eq!(statuses(delivery), [500, 503, 200]);
        assert!(delivery.attempts.iter().map(|attempt| attempt.number).eq(1..=3), "{delivery:?}");
        let address = receiver.address.to_string();
        assert!(delivery.attempts.iter().all(|attempt| attempt.address == address), "{delivery:?}");
    }
    let received = receiver.received();
    assert!(received.iter().map(|one| one.sequence()).eq([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]), "{received:#?}");
    for attempts in received.chunks(3) {
        assert!(attempts.iter().all(|one| one.body == attempts[0].body), "{attempts:#?}");
        assert!(attempts.iter().all(|one| one.header("webhook-id") == attempts[0].header("webhook-id")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_waited_for_in_both_of_its_forms() {
    let receiver = Receiver::start(|received| match (received.path.as_str(), received.attempt) {
        ("/seconds", 1) => Answer::reply(429, &[("Retry-After", "1")], "slowly"),
        ("/date", 1) => {
            // Dates have whole seconds: this is more than one from now.
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_millis(2100));
            Answer::reply(429, &[("Retry-After", &date)], "")
        }
        ("/nonsense", 1) => Answer::reply(429, &[("Retry-After", "soon")], ""),
        _ => Answer::status(200),
    })
    .await;
    let mut rig = Rig::start(&[SOON]).await;
    let paths = ["/seconds", "/date", "/nonsense"];
    let task = rig.submit("hello", paths.map(|path| one_event(receiver.url(path))).into()).await;
    for delivery in rig.delivered(&task, 3).await {
        assert_eq!(statuses(&delivery), [429, 200], "{delivery:?}");
    }
    for (path, least) in [("/seconds", 1000), ("/date", 1000), ("/nonsense", 20)] {
        let received = receiver.at(path);
        let waited = received[1].at - received[0].at;
        assert!(waited >= Duration::from_millis(least), "{path}: {waited:?}");
        assert!(waited < Duration::from_secs(10), "{path}: {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_stops_a_webhook_until_it_is_enabled_again() {
    let receiver = Receiver::start(|_| Answer::status(410)).await;
    let fence = Receiver::willing().await;
    let mut rig = Rig::start(&[SOON]).await;
    let gone = rig.create(hook(receiver.url("/in"))).await;
    rig.create(hook(fence.url("/in"))).await;
    let first = rig.submit("hello", vec![]).await;
    rig.until(&first, "disabling", |all| all.iter().any(|one| one.state() == DeliveryState::Failed)).await;
    let webhook = rig.webhook(&gone.id).await;
    assert_eq!(webhook.state(), WebhookState::Gone, "{webhook:?}");
    assert!(webhook.last_error.contains("410"), "{webhook:?}");
    // Of another task it does not even keep deliveries.
    let second = rig.submit("hello", vec![]).await;
    rig.delivered(&second, 4).await;
    assert_eq!(receiver.count(), 1);

    receiver.script(|_| Answer::status(200));
    assert_eq!(rig.enable(&gone.id, true).await.state(), WebhookState::Enabled);
    let third = rig.submit("hello", vec![]).await;
    rig.delivered(&third, 8).await;
    // What was kept before it was disabled is sent, too; what was given up is not.
    let waits = |all: &[Delivery]| all.iter().any(|one| one.state() == DeliveryState::Pending);
    let kept = rig.until(&first, "end of waiting", |all| !waits(all)).await;
    let kept = kept.iter().filter(|one| one.webhook_id == gone.id && one.state() == DeliveryState::Delivered).count();
    let heard = receiver.received().iter().filter(|one| one.delivery().task.to_string() == first).count();
    assert_eq!(heard, 1 + kept, "{:#?}", receiver.received());
    assert!(receiver.received().iter().all(|one| one.delivery().task.to_string() != second));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_refusals_and_nothing_is_sent_where_they_point() {
    let elsewhere = Receiver::willing().await;
    let url = elsewhere.url("/stolen");
    let receiver = Receiver::start(move |received| {
        let target = if received.path == "/port" { url.as_str() } else { "http://169.254.169.254/latest/meta-data/" };
        match received.attempt {
            attempt @ 1..=4 => Answer::reply([301, 302, 307, 308][attempt - 1], &[("Location", target)], ""),
            _ => Answer::status(200),
        }
    })
    .await;
    let mut rig = Rig::start(&[SOON]).await;
    let task = rig.submit("hello", ["/port", "/metadata"].map(|path| one_event(receiver.url(path))).into()).await;
    for delivery in rig.delivered(&task, 2).await {
        assert_eq!(statuses(&delivery), [301, 302, 307, 308, 200], "{delivery:?}");
        let address = receiver.address.to_string();
        assert!(delivery.attempts.iter().all(|attempt| attempt.address == address), "{delivery:?}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_makes_way_and_can_be_looked_at() {
    let receiver = Receiver::start(|received| match received.sequence() {
        2 => Answer::reply(500, &[], "no room\u{7}for 2"),
        _ => Answer::status(204),
    })
    .await;
    let mut rig = Rig::start(&["webhooks.schedule=20ms,20ms"]).await;
    let task = rig.submit("hello", vec![hook(receiver.url("/in"))]).await;
    let states = |all: &[Delivery]| all.iter().map(|one| one.state()).collect::<Vec<_>>();
    let (taken, failed) = (DeliveryState::Delivered, DeliveryState::Failed);
    let all = rig.until(&task, "end", |all| states(all) == [taken, failed, taken, taken]).await;
    assert_eq!(statuses(&all[1]), [500, 500, 500]);
    let excerpt = &all[1].attempts[0].response_excerpt;
    assert!(excerpt.contains("no room") && excerpt.chars().all(|c| !c.is_control()), "{excerpt:?}");
    assert!(receiver.received().iter().map(|one| one.sequence()).eq([1, 2, 2, 2, 3, 4]));
    let id = all[0].webhook_id.clone();
    let webhook = rig.webhook(&id).await;
    assert_eq!((webhook.pending_deliveries, webhook.failed_deliveries), (Some(0), Some(1)), "{webhook:?}");
}
