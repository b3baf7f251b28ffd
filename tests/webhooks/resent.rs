//! Deliveries that are sent again on request.

use std::time::SystemTime;

use a2a_gateway::proto::{
    gateway::{Delivery, DeliveryState, RedeliverRequest, redeliver_request::What},
    well_known::Timestamp,
};
use tonic::Code;

use crate::{
    receiver::{Answer, Receiver},
    rig::{Rig, hook, statuses},
};

impl Rig {
    /// Sends again; how many are due.
    async fn redeliver(&mut self, what: What, from: Option<Timestamp>) -> i64 {
        let request = RedeliverRequest { what: Some(what), from, to: None };
        self.client.redeliver(request).await.unwrap().into_inner().count
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp { seconds: now.as_secs() as i64, nanos: now.subsec_nanos() as i32 }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_sent_again_under_its_id() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let webhook = rig.create(hook(receiver.url("/in"))).await;
    let task = rig.submit("hello", vec![]).await;
    let all = rig.delivered(&task, 4).await;
    assert_eq!(rig.redeliver(What::DeliveryId(all[2].id.clone()), None).await, 1);
    let received = receiver.answered(5).await;
    assert_eq!(received[4].header("webhook-id"), all[2].id);
    assert_eq!(received[4].body, received[2].body);
    let again = |all: &[Delivery]| all[2].attempt_count == 2 && all[2].state() == DeliveryState::Delivered;
    let all = rig.until(&task, "second attempt", again).await;
    assert_eq!(statuses(&all[2]), [204, 204]);

    // All since a time, in order.
    assert_eq!(rig.redeliver(What::AllOf(webhook.id.clone()), Some(now())).await, 0);
    let start = Timestamp { seconds: now().seconds - 3600, nanos: 0 };
    assert_eq!(rig.redeliver(What::AllOf(webhook.id), Some(start)).await, 4);
    let received = receiver.answered(9).await;
    for (again, before) in received[5..].iter().zip(&received[..4]) {
        assert_eq!((again.header("webhook-id"), &again.body), (before.header("webhook-id"), &before.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_sent_again_in_order_across_a_crash() {
    let receiver = Receiver::start(|received| {
        Answer::status(if received.path == "/bad" && received.sequence() % 2 == 0 { 500 } else { 200 })
    })
    .await;
    let settings = &["webhooks.schedule=10ms"];
    let mut rig = Rig::start(settings).await;
    let bad = rig.create(hook(receiver.url("/bad"))).await;
    let task = rig.submit("burst: 7", vec![]).await;
    let failed = |all: &[Delivery]| all.iter().filter(|one| one.state() == DeliveryState::Failed).count();
    let all = rig.until(&task, "five given up", |all| all.len() == 10 && failed(all) == 5).await;
    let ids: Vec<_> = all.iter().filter(|one| one.state() == DeliveryState::Failed).map(|one| one.id.clone()).collect();
    let mut rig = rig.crash(settings).await;
    let count = receiver.count();
    receiver.script(|_| Answer::status(200));
    assert_eq!(rig.redeliver(What::FailedOf(bad.id.clone()), None).await, 5);
    let received = receiver.answered(count + 5).await;
    assert!(received[count..].iter().map(|one| one.header("webhook-id")).eq(ids.iter().map(String::as_str)));
    let all = rig.delivered(&task, 10).await;
    assert_eq!(statuses(&all[1]), [500, 500, 200]);
    assert_eq!(rig.redeliver(What::FailedOf(bad.id), None).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_already_is_not_sent_twice_and_what_never_was_is_refused() {
    let receiver = Receiver::start(|received| Answer::status(if received.attempt == 1 { 500 } else { 200 })).await;
    let mut rig = Rig::start(&["webhooks.schedule=300ms"]).await;
    let webhook = rig.create(hook(receiver.url("/in"))).await;
    let task = rig.submit("hello", vec![]).await;
    let id = receiver.answered(1).await[0].header("webhook-id").to_owned();
    for _ in 0..3 {
        assert_eq!(rig.redeliver(What::DeliveryId(id.clone()), None).await, 1);
    }
    rig.delivered(&task, 4).await;
    assert!(receiver.received().iter().map(|one| one.sequence()).eq([1, 1, 2, 2, 3, 3, 4, 4]));
    let never = format!("{}5", id.strip_suffix('1').unwrap());
    for what in [What::DeliveryId(never), What::FailedOf(uuid(&webhook.id))] {
        let request = RedeliverRequest { what: Some(what), from: None, to: None };
        let refused = rig.client.redeliver(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    }
    for what in [Some(What::DeliveryId("no id".into())), Some(What::AllOf(webhook.id)), None] {
        let refused = rig.client.redeliver(RedeliverRequest { what, from: None, to: None }).await.unwrap_err();
        assert!([Code::InvalidArgument, Code::NotFound].contains(&refused.code()), "{refused:?}");
    }
}

/// The id of no webhook, made of one.
fn uuid(id: &str) -> String {
    let last = if id.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &id[..id.len() - 1])
}
