//! A long task: every event once taken, in order, whatever goes wrong on the way.

use std::sync::Mutex;

use a2a_gateway::proto::gateway::DeliveryState;

use crate::{
    process::Random,
    receiver::{Answer, Receiver},
    rig::{Rig, hook},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_come_in_order_through_random_failures() {
    let random = Mutex::new(Random(4));
    let receiver = Receiver::start(move |_| match random.lock().unwrap().below(100) {
        0..5 => Answer::status(500),
        5..7 => Answer::status(404),
        7..9 => Answer::Reset,
        _ => Answer::status(200),
    })
    .await;
    let schedule = format!("webhooks.schedule={}", ["20ms"; 12].join(","));
    let mut rig = Rig::start(&[&schedule]).await;
    rig.create(hook(receiver.url("/all"))).await;
    let task = rig.submit("burst: 997", vec![hook(receiver.url("/own"))]).await;
    let log = rig.log(&task).await;
    assert_eq!(log.len(), 1000);
    for path in ["/all", "/own"] {
        let over = |n: usize| {
            move |all: &[crate::receiver::Received]| {
                let done = all.iter().filter(|one| one.path == path && one.is_taken()).count();
                (done >= n).then_some(())
            }
        };
        // The whole may take longer than any step.
        for n in (100..=1000).step_by(100) {
            receiver.until(&format!("{n} at {path}"), over(n)).await;
        }
        let mut next = 1;
        for received in receiver.at(path) {
            assert_eq!(received.sequence(), next, "{path}");
            next += u64::from(received.is_taken());
        }
        assert_eq!(next, 1001, "{path}");
    }
    let all = rig.until(&task, "record", |all| all.iter().all(|one| one.state() == DeliveryState::Delivered)).await;
    assert_eq!(all.len(), 2000);
}
