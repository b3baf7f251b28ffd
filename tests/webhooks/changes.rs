//! Webhooks that are changed, paused and removed, also while a request is under way.

use std::time::Instant;

use a2a_gateway::proto::gateway::{
    DeleteWebhookRequest, DeliveryState, GetWebhookRequest, UpdateWebhookRequest, WebhookState,
};
use tonic::Code;

use crate::{
    process::LIMIT,
    receiver::{Answer, Gate, Receiver},
    rig::{Rig, hook},
};

#[tokio::test(flavor = "multi_thread")]
async fn once_a_removal_is_answered_nothing_arrives_any_more() {
    let gate = Gate::closed();
    let receiver = Receiver::start({
        let gate = gate.clone();
        move |_| Answer::When(gate.clone(), Box::new(Answer::status(500)))
    })
    .await;
    let fence = Receiver::willing().await;
    let mut rig = Rig::start(&["webhooks.schedule=20ms,20ms,20ms", "webhooks.timeout=20s"]).await;
    let removed = rig.create(hook(receiver.url("/in"))).await;
    rig.create(hook(fence.url("/in"))).await;
    // One request under way for each of three tasks.
    for _ in 0..3 {
        rig.submit("hello", vec![]).await;
    }
    receiver.came(3).await;
    let begun = Instant::now();
    let request = DeleteWebhookRequest { id: removed.id.clone() };
    rig.client.delete_webhook(request.clone()).await.unwrap();
    // It has ended them, and not waited for their time to be up.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    receiver.closed().await;
    gate.open();
    let task = rig.submit("hello", vec![]).await;
    let deliveries = rig.delivered(&task, 4).await;
    assert!(deliveries.iter().all(|one| one.webhook_id != removed.id), "{deliveries:?}");
    assert_eq!(receiver.count(), 3, "{:#?}", receiver.received());

    let gone = rig.client.get_webhook(GetWebhookRequest { id: removed.id.clone() }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    rig.client.delete_webhook(request).await.unwrap();
    let mut rig = rig.crash(&[]).await;
    let task = rig.submit("hello", vec![]).await;
    rig.delivered(&task, 4).await;
    assert_eq!(receiver.count(), 3, "{:#?}", receiver.received());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_url_counts_from_the_next_attempt_on() {
    let gate = Gate::closed();
    let old = Receiver::start({
        let gate = gate.clone();
        move |_| Answer::When(gate.clone(), Box::new(Answer::status(500)))
    })
    .await;
    let new = Receiver::willing().await;
    let mut rig = Rig::start(&["webhooks.schedule=20ms,20ms,20ms"]).await;
    let webhook = rig.create(hook(old.url("/in"))).await;
    let task = rig.submit("hello", vec![]).await;
    let first = old.came(1).await.remove(0);
    let change = UpdateWebhookRequest { url: Some(new.url("/moved")), ..UpdateWebhookRequest::default() };
    assert_eq!(rig.update(&webhook.id, change).await.url, new.url("/moved"));
    gate.open();
    rig.delivered(&task, 4).await;
    let moved = new.received();
    assert_eq!((old.count(), moved.len()), (1, 4));
    assert_eq!((&moved[0].body, moved[0].header("webhook-id")), (&first.body, first.header("webhook-id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_webhook_misses_nothing() {
    let receiver = Receiver::willing().await;
    let fence = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let paused = rig.create(hook(receiver.url("/in"))).await;
    rig.create(hook(fence.url("/in"))).await;
    let early = rig.submit("hello", vec![]).await;
    rig.delivered(&early, 8).await;
    assert_eq!(rig.enable(&paused.id, false).await.state(), WebhookState::Paused);
    let task = rig.submit("burst: 20", vec![]).await;
    fence.answered(4 + 23).await;
    assert_eq!(receiver.count(), 4);
    assert_eq!(rig.webhook(&paused.id).await.pending_deliveries, Some(23));
    // It outlives a crash, and so does what waits.
    let mut rig = rig.crash(&[]).await;
    assert_eq!(rig.webhook(&paused.id).await.state(), WebhookState::Paused);
    let later = rig.submit("hello", vec![]).await;
    fence.answered(4 + 23 + 4).await;
    assert_eq!(receiver.count(), 4);
    rig.enable(&paused.id, true).await;
    rig.delivered(&task, 2 * 23).await;
    rig.delivered(&later, 8).await;
    let received = receiver.received();
    for (task, count) in [(task, 23), (later, 4)] {
        let sequences = received.iter().filter(|one| one.delivery().task.to_string() == task).map(|one| one.sequence());
        assert!(sequences.eq(1..=count), "{received:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_what_is_under_way_and_it_is_sent_later() {
    let gate = Gate::closed();
    let receiver = Receiver::start({
        let gate = gate.clone();
        move |_| Answer::When(gate.clone(), Box::new(Answer::status(204)))
    })
    .await;
    let mut rig = Rig::start(&["webhooks.timeout=20s"]).await;
    let webhook = rig.create(hook(receiver.url("/in"))).await;
    let task = rig.submit("hello", vec![]).await;
    receiver.came(1).await;
    let begun = Instant::now();
    rig.enable(&webhook.id, false).await;
    receiver.closed().await;
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
    gate.open();
    rig.enable(&webhook.id, true).await;
    rig.delivered(&task, 4).await;
    assert!(receiver.received().iter().map(|one| one.sequence()).eq([1, 1, 2, 3, 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_signs_beside_the_one_before() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let webhook = rig.create(hook(receiver.url("/in"))).await;
    let old = webhook.signing_secret.clone();
    assert!(webhook.is_signed && rig.webhook(&webhook.id).await.signing_secret.is_empty());
    rig.submit("hello", vec![]).await;
    let received = receiver.answered(4).await;
    assert!(received.iter().all(|one| one.is_signed_with(&old)), "{received:#?}");
    let rotate = UpdateWebhookRequest { rotate_signing_secret: true, ..UpdateWebhookRequest::default() };
    let new = rig.update(&webhook.id, rotate).await.signing_secret;
    assert!(!new.is_empty() && new != old);
    rig.submit("hello", vec![]).await;
    let received = receiver.answered(8).await;
    assert!(received[..4].iter().all(|one| !one.is_signed_with(&new)), "{received:#?}");
    assert!(received[4..].iter().all(|one| one.is_signed_with(&new) && one.is_signed_with(&old)), "{received:#?}");
    let signatures = received[7].header("webhook-signature");
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_webhook_of_many_waiting_deliveries_takes_them_along() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let mut rig = Rig::start(&["webhooks.schedule=1h"]).await;
    let webhook = rig.create(hook(receiver.url("/in"))).await;
    let task = rig.submit("burst: 300", vec![]).await;
    rig.log(&task).await;
    receiver.answered(1).await;
    let all = rig.deliveries(&task).await;
    assert!(all.len() == 303 && all.iter().all(|one| one.state() == DeliveryState::Pending), "{}", all.len());
    rig.client.delete_webhook(DeleteWebhookRequest { id: webhook.id }).await.unwrap();
    assert!(rig.deliveries(&task).await.is_empty());
    assert_eq!(receiver.count(), 1);
}
