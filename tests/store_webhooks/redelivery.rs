//! Deliveries are made due again: one, those of a time, those that were given up. Their ids and order stay.

use a2a_gateway::{
    store::{Redelivery, Requeued},
    task::DeliveryId,
};

use super::*;

/// A task whose five events were delivered, the second and the fourth given up.
async fn sent(rig: &Rig) -> (Arc<Identity>, Webhook) {
    let task = identity("me", "a");
    let hook = webhook(&task, "h");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    rig.say(&task, 1, &["status", "status", "status", "status"]).await;
    let mut claims = rig.claim(2000).await;
    for sequence in 1..=5 {
        let verdict = if sequence % 2 == 0 { Verdict::Failed } else { Verdict::Delivered };
        claims = rig.dispatch(Round { results: all(&claims, &verdict), ..round(2000) }).await.claims;
    }
    assert!(claims.is_empty());
    rig.heard();
    (task, hook)
}

async fn drain(rig: &Rig, now: i64) -> Vec<DeliveryId> {
    let mut ids = Vec::new();
    let mut claims = rig.claim(now).await;
    while let [claim] = &claims[..] {
        ids.push(claim.delivery);
        claims = rig.dispatch(Round { results: all(&claims, &Verdict::Delivered), ..round(now) }).await.claims;
    }
    ids
}

fn many(hook: &Webhook, from: i64, to: i64, failed_only: bool) -> Redelivery {
    Redelivery::Many { webhook: hook.id, from, to, failed_only, after: 0 }
}

contract!(one_delivery_is_sent_again_in_its_place);
async fn one_delivery_is_sent_again_in_its_place(kind: Kind) {
    let rig = Rig::new(kind).await;
    let (task, hook) = sent(&rig).await;
    let id = |sequence| DeliveryId { webhook: hook.id, task: task.id, sequence };
    let one = |sequence| rig.store.redeliver("me".into(), Redelivery::One(id(sequence)));
    for sequence in [4, 2, 2, 5] {
        assert_eq!(one(sequence).await.unwrap(), Requeued { count: 1, next: None });
    }
    assert!((1..=2).contains(&rig.heard()), "once for a lane that begins, once for a new head");
    rig.say(&task, 5, &["status"]).await;
    let first = rig.claim(3000).await;
    assert_eq!((first[0].delivery, first[0].number, first[0].tries), (id(2), 2, 0));
    // What comes before the one under way waits for it, and no longer.
    one(1).await.unwrap();
    assert!(rig.claim(3000).await.is_empty());
    let rest = rig.dispatch(Round { results: all(&first, &Verdict::Retry(9000)), ..round(3001) }).await.claims;
    assert_eq!(rest[0].delivery, id(1));
    rig.record(3002, all(&rest, &Verdict::Delivered)).await;
    assert_eq!(drain(&rig, 9000).await, [2, 4, 5, 6].map(id));
    // Not another's, nor one that is not there.
    for (owner, id) in [("you", id(1)), ("me", id(7)), ("me", DeliveryId { task: TaskId::mint(), ..id(1) })] {
        let none = rig.store.redeliver(owner.into(), Redelivery::One(id)).await.unwrap();
        assert_eq!(none, Requeued::default());
    }
}

contract!(a_retry_that_waits_long_is_not_what_a_redelivery_waits_for);
async fn a_retry_that_waits_long_is_not_what_a_redelivery_waits_for(kind: Kind) {
    let rig = Rig::new(kind).await;
    let (task, hook) = sent(&rig).await;
    rig.say(&task, 5, &["status"]).await;
    let claims = rig.claim(3000).await;
    rig.record(3000, all(&claims, &Verdict::Retry(900_000))).await;
    rig.heard();
    let id = DeliveryId { webhook: hook.id, task: task.id, sequence: 4 };
    rig.store.redeliver("me".into(), Redelivery::One(id)).await.unwrap();
    assert_eq!(rig.heard(), 1);
    let claims = rig.claim(3001).await;
    assert_eq!((sequences(&claims), claims[0].tries), (vec![4], 0));
}

contract!(those_of_a_time_or_those_given_up_are_sent_again);
async fn those_of_a_time_or_those_given_up_are_sent_again(kind: Kind) {
    let rig = Rig::new(kind).await;
    let (_, hook) = sent(&rig).await;
    let redeliver = |owner: &str, wanted| rig.store.redeliver(owner.into(), wanted);
    let count = |count| Requeued { count, next: None };
    assert_eq!(redeliver("you", many(&hook, 0, i64::MAX, false)).await.unwrap(), count(0));
    assert_eq!(redeliver("me", many(&hook, 0, i64::MAX, true)).await.unwrap(), count(2));
    let again = drain(&rig, 3000).await;
    assert_eq!(again.iter().map(|id| id.sequence).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(redeliver("me", many(&hook, 0, i64::MAX, true)).await.unwrap(), count(0));
    // From a time to before another.
    let ranged = many(&hook, CREATED + 1, CREATED + 4, false);
    assert_eq!(redeliver("me", ranged.clone()).await.unwrap(), count(3));
    assert_eq!(redeliver("me", ranged).await.unwrap(), count(0), "they wait already");
    assert_eq!(drain(&rig, 4000).await.iter().map(|id| id.sequence).collect::<Vec<_>>(), [2, 3, 4]);
}

contract!(many_are_made_due_and_listed_in_pieces_without_loss);
async fn many_are_made_due_and_listed_in_pieces_without_loss(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let hook = webhook(&task, "h");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    rig.say(&task, 1, &["artifact"; 1199]).await;
    rig.store
        .update_webhook("me".into(), WebhookChange { state: Some(WebhookState::Paused), ..change(&hook) })
        .await
        .unwrap();
    // As if all had been given up.
    rig.meddle("UPDATE deliveries SET state = 2, settled = 1").await;
    rig.meddle("DELETE FROM lanes").await;
    let (mut after, mut total, mut pieces) = (0, 0, 0);
    loop {
        let wanted = Redelivery::Many { webhook: hook.id, from: 0, to: i64::MAX, failed_only: true, after };
        let requeued = rig.store.redeliver("me".into(), wanted).await.unwrap();
        (total, pieces) = (total + requeued.count, pieces + 1);
        match requeued.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!((total, pieces), (1200, 3));
    assert_eq!(rig.heard(), 1, "what is paused is not due");
    assert_eq!(rig.store.standing(hook.id).await.unwrap().pending, 1200);

    let filters = [
        DeliveryQuery::default(),
        DeliveryQuery { webhook: Some(hook.id), ..DeliveryQuery::default() },
        DeliveryQuery { task: Some(task.id), state: Some(DeliveryState::Pending), ..DeliveryQuery::default() },
    ];
    for filter in filters {
        let (mut listed, mut before) = (Vec::new(), None);
        loop {
            let query = DeliveryQuery { owner: "me".into(), before, limit: 500, ..filter.clone() };
            let page = rig.store.deliveries(query).await.unwrap();
            listed.extend(page.deliveries.iter().map(|delivery| delivery.id.sequence));
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        assert_eq!(listed, Vec::from_iter((1..=1200).rev()), "{filter:?}");
    }
    let some = DeliveryQuery {
        owner: "me".into(),
        from: Some(CREATED + 9),
        to: Some(CREATED + 12),
        limit: 10,
        ..DeliveryQuery::default()
    };
    let page = rig.store.deliveries(some).await.unwrap();
    assert_eq!(page.deliveries.iter().map(|found| found.id.sequence).collect::<Vec<_>>(), [12, 11, 10]);
    let none = DeliveryQuery { owner: "me".into(), webhook: Some(WebhookId::mint()), limit: 10, ..Default::default() };
    assert!(rig.store.deliveries(none).await.unwrap().deliveries.is_empty());
}

contract!(a_page_looks_at_so_many_rows_also_of_what_was_removed_or_does_not_match);
async fn a_page_looks_at_so_many_rows_also_of_what_was_removed_or_does_not_match(kind: Kind) {
    let rig = Rig::new(kind).await;
    let (task, hook) = sent(&rig).await;
    let before = rig.deliveries().await.len();
    // What a removed webhook has left is newer than all of it.
    rig.meddle(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 15000)
         INSERT INTO deliveries (webhook, task, sequence, state, created) SELECT 999, 1, n, 1, 0 FROM n",
    )
    .await;
    let any = || DeliveryQuery { owner: "me".into(), limit: 10, ..DeliveryQuery::default() };
    let failed = || DeliveryQuery { state: Some(DeliveryState::Failed), ..any() };
    let both = DeliveryQuery { task: Some(task.id), webhook: Some(hook.id), ..any() };
    for (query, expected) in [(any(), before), (failed(), 2), (both, before)] {
        let first = rig.store.deliveries(query.clone()).await.unwrap();
        assert!(first.deliveries.is_empty() && first.next.is_some(), "{query:?}");
        let second = rig.store.deliveries(DeliveryQuery { before: first.next, ..query }).await.unwrap();
        assert_eq!((second.deliveries.len(), second.next), (expected, None));
    }
}
