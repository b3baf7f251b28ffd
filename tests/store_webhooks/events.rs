//! Deliveries are written with their events, for whom they concern.

use a2a_gateway::error::ErrorKind;

use super::*;

contract!(a_task_and_its_webhooks_are_stored_with_the_deliveries_of_its_first_event);
async fn a_task_and_its_webhooks_are_stored_with_the_deliveries_of_its_first_event(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let hook = webhook(&task, "one");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    assert_eq!(rig.heard(), 1);
    rig.say(&task, 1, &["status", "artifact", "message"]).await;
    assert_eq!(rig.heard(), 0, "what stands behind others is not due");
    let found = rig.deliveries().await;
    let ids: Vec<_> = found.iter().map(|found| (found.id.webhook, found.id.task, found.id.sequence)).collect();
    assert_eq!(ids, [4, 3, 2, 1].map(|sequence| (hook.id, task.id, sequence)));
    assert!(found.iter().all(|found| found.state == DeliveryState::Pending && found.attempts.is_empty()));
    assert_eq!(found.iter().map(|found| found.due).collect::<Vec<_>>(), [None, None, None, Some(CREATED)]);
    assert_eq!(found[0].created, CREATED + 3);
}

contract!(a_webhook_hears_of_what_it_wants_from_its_time_on);
async fn a_webhook_hears_of_what_it_wants_from_its_time_on(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    rig.say(&task, 1, &["status"]).await;
    let of = |status, artifacts, messages| {
        let events = Events { status, artifacts, messages };
        Webhook { events, ..webhook(&task, "one") }
    };
    let mut wants = Vec::new();
    for hook in [of(true, false, false), of(false, true, false), of(false, false, true), of(true, true, true)] {
        wants.push(rig.store.put_webhook(hook).await.unwrap().id);
    }
    rig.say(&task, 2, &["artifact", "status", "message"]).await;
    let mut heard: Vec<_> = rig.deliveries().await.iter().map(|found| (found.id.webhook, found.id.sequence)).collect();
    heard.sort_unstable();
    let mut expected: Vec<_> = [(0, 4), (1, 3), (2, 5), (3, 3), (3, 4), (3, 5)].map(|(n, at)| (wants[n], at)).into();
    expected.sort_unstable();
    assert_eq!(heard, expected);
}

contract!(webhooks_of_an_agent_hear_of_every_task_of_it_that_is_their_owners);
async fn webhooks_of_an_agent_hear_of_every_task_of_it_that_is_their_owners(kind: Kind) {
    let rig = Rig::new(kind).await;
    let hook = rig.store.put_webhook(of_agent("me", "a", "one")).await.unwrap();
    let mine = rig.task().await;
    rig.task_of("you", "a", Vec::new()).await;
    rig.task_of("me", "b", Vec::new()).await;
    rig.say(&mine, 1, &["status"]).await;
    let claims = rig.claim(2000).await;
    assert_eq!(claims.iter().map(|claim| claim.delivery.task).collect::<Vec<_>>(), [mine.id]);
    assert_eq!(rig.states().await.len(), 2);
    // Nobody else's deliveries are seen or counted.
    let query = DeliveryQuery { owner: "you".into(), limit: 10, ..DeliveryQuery::default() };
    assert!(rig.store.deliveries(query).await.unwrap().deliveries.is_empty());
    // Removed, it hears of nothing more; nor do tasks that come later.
    assert!(rig.store.delete_webhook("me".into(), hook.id).await.unwrap());
    rig.say(&mine, 2, &["status"]).await;
    rig.task().await;
    assert!(rig.states().await.is_empty());
    assert_eq!((rig.rows("deliveries").await, rig.rows("lanes").await), (0, 0));
}

contract!(a_webhook_of_another_owner_or_of_no_task_never_hears);
async fn a_webhook_of_another_owner_or_of_no_task_never_hears(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let theirs = Webhook { owner: "you".into(), ..webhook(&task, "one") };
    rig.store.put_webhook(theirs).await.unwrap();
    let none = Webhook { task: "no such task".into(), agent: "".into(), ..webhook(&task, "one") };
    rig.store.put_webhook(none).await.unwrap();
    rig.say(&task, 1, &["status"]).await;
    assert!(rig.claim(2000).await.is_empty());
    assert_eq!(rig.rows("deliveries").await, 0);
}

contract!(writes_that_come_to_nothing_leave_no_delivery_webhook_or_request);
async fn writes_that_come_to_nothing_leave_no_delivery_webhook_or_request(kind: Kind) {
    let rig = Rig::with(kind, Options { per_task: 1, ..Options::default() }).await;
    let task = rig.task().await;
    let hook = webhook(&task, "one");
    let first = || Append { request: request("r-1"), ..append(&task, 1, &["status"]) };
    assert_eq!(rig.store.append(Append { webhooks: vec![hook.clone()], ..first() }).await.unwrap(), Receipt::Written);
    let second = Append { webhooks: vec![webhook(&task, "two")], ..first() };
    assert_eq!(rig.store.append(second).await.unwrap(), Receipt::Replayed(task.id));
    // The log has moved on: neither the events nor the request are kept, so that the same request can be tried again.
    let late = || Append { request: request("r-2"), ..append(&task, 1, &["status"]) };
    assert_eq!(rig.store.append(late()).await.unwrap_err().kind(), ErrorKind::Conflict);
    let again = Append { request: request("r-2"), ..append(&task, 2, &["status"]) };
    assert_eq!(rig.store.append(again).await.unwrap(), Receipt::Written);
    // One webhook too many refuses all that came with it, next to writes that are taken.
    let other = rig.task().await;
    let too_many = Append { webhooks: vec![webhook(&task, "two")], ..append(&task, 3, &["status"]) };
    let (refused, taken) = tokio::join!(rig.store.append(too_many), rig.store.append(append(&other, 1, &["status"])));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::WebhookLimit);
    assert_eq!(taken.unwrap(), Receipt::Written);
    assert_eq!(rig.states().await.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(rig.store.task(task.id).await.unwrap().unwrap().sequence, 3);
    let refused = identity("me", "a");
    let webhooks = vec![webhook(&refused, "one"), webhook(&refused, "two")];
    assert_eq!(rig.create(&refused, webhooks).await.unwrap_err().kind(), ErrorKind::WebhookLimit);
    assert!(rig.store.task(refused.id).await.unwrap().is_none());
    assert_eq!(rig.rows("webhooks").await, 1);
}

contract!(paused_webhooks_keep_what_they_would_hear_and_disabled_ones_do_not);
async fn paused_webhooks_keep_what_they_would_hear_and_disabled_ones_do_not(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let paused = rig.webhook(&task, "one").await;
    let gone = rig.webhook(&task, "two").await;
    let pause = WebhookChange { state: Some(WebhookState::Paused), ..change(&paused) };
    rig.store.update_webhook("me".into(), pause).await.unwrap().unwrap();
    rig.say(&task, 1, &["status"]).await;
    let claims = rig.claim(2000).await;
    assert_eq!(claims.iter().map(|claim| claim.delivery.webhook).collect::<Vec<_>>(), [gone.id]);
    rig.record(2001, all(&claims, &Verdict::Disable(WebhookState::Gone))).await;
    assert_eq!(rig.reload(&gone).await.state, WebhookState::Gone);
    rig.heard();
    rig.say(&task, 2, &["status", "status"]).await;
    assert_eq!(rig.heard(), 0, "nothing of it can be claimed");
    let kept = |id: WebhookId| {
        let store = &rig.store;
        async move { store.standing(id).await.unwrap() }
    };
    assert_eq!((kept(paused.id).await.pending, kept(paused.id).await.failed), (3, 0));
    assert_eq!((kept(gone.id).await.pending, kept(gone.id).await.failed), (0, 1));
    assert!(rig.claim(2010).await.is_empty());
    for hook in [&paused, &gone] {
        let enable = WebhookChange { state: Some(WebhookState::Enabled), ..change(hook) };
        rig.store.update_webhook("me".into(), enable).await.unwrap().unwrap();
    }
    assert_eq!(rig.heard(), 1, "what was paused is due, and what is gone has nothing");
    assert_eq!(sequences(&rig.claim(2020).await), [2]);
}
