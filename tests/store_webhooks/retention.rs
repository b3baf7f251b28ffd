//! What a pending delivery needs stays; what nobody needs goes.

use bytes::Bytes;
use prost::Message as _;

use super::*;

fn trimmed(task: &Arc<Identity>, after: u64, to: u64) -> Append {
    let snapshot = Some(Bytes::from(Task::default().encode_to_vec()));
    Append { snapshot, trim_to: Some(to), ..append(task, after, &["status"]) }
}

async fn floor(rig: &Rig, task: &Identity) -> u64 {
    rig.store.task(task.id).await.unwrap().unwrap().floor
}

contract!(logs_are_trimmed_up_to_what_waits);
async fn logs_are_trimmed_up_to_what_waits(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    for after in 1..5 {
        rig.say(&task, after, &["status"]).await;
    }
    let mut claims = rig.claim(2000).await;
    claims = rig.dispatch(Round { results: all(&claims, &Verdict::Delivered), ..round(2000) }).await.claims;
    rig.store.append(trimmed(&task, 5, 4)).await.unwrap();
    assert_eq!((sequences(&claims), floor(&rig, &task).await), (vec![2], 1));
    claims = rig.dispatch(Round { results: all(&claims, &Verdict::Delivered), ..round(2001) }).await.claims;
    claims = rig.dispatch(Round { results: all(&claims, &Verdict::Failed), ..round(2001) }).await.claims;
    rig.store.append(trimmed(&task, 6, 5)).await.unwrap();
    assert_eq!((sequences(&claims), floor(&rig, &task).await), (vec![4], 3));
}

contract!(logs_of_which_the_whole_task_is_told_are_not_trimmed);
async fn logs_of_which_the_whole_task_is_told_are_not_trimmed(kind: Kind) {
    let rig = Rig::new(kind).await;
    let whole = |hook| Webhook { payload: Dialect::V03, ..hook };
    let own = identity("me", "a");
    rig.create(&own, vec![whole(webhook(&own, "h"))]).await.unwrap();
    rig.store.put_webhook(whole(of_agent("me", "b", "h"))).await.unwrap();
    let agents = rig.task_of("me", "b", Vec::new()).await;
    let none = rig.task_of("me", "c", Vec::new()).await;
    let claims = rig.claim(2000).await;
    rig.record(2000, all(&claims, &Verdict::Delivered)).await;
    for (task, expected) in [(&own, 0), (&agents, 0), (&none, 1)] {
        rig.store.append(trimmed(task, 1, 1)).await.unwrap();
        assert_eq!(floor(&rig, task).await, expected);
    }
}

contract!(tasks_stay_while_something_waits_for_them_and_take_all_with_them);
async fn tasks_stay_while_something_waits_for_them_and_take_all_with_them(kind: Kind) {
    let rig = Rig::new(kind).await;
    rig.store.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
        rig.say(&task, 1, &["done"]).await;
        tasks.push(task);
    }
    let purge = || rig.store.purge(Some(i64::MAX), 0, 10);
    assert!(purge().await.unwrap().is_empty());
    // All of the first is delivered; the second's is given up with its webhook disabled; the third's is paused.
    let paused = rig.store.webhooks(a2a_gateway::store::WebhookQuery {
        owner: "me".into(),
        task: Some(tasks[2].id.to_string()),
        limit: 1,
        ..Default::default()
    });
    let paused = paused.await.unwrap().webhooks.remove(0);
    rig.store
        .update_webhook("me".into(), WebhookChange { state: Some(WebhookState::Paused), ..change(&paused) })
        .await
        .unwrap();
    let mut claims = rig.claim(2000).await;
    while !claims.is_empty() {
        let verdict = |claim: &Claim| {
            if claim.delivery.task == tasks[1].id && claim.webhook.url.contains("//h/") {
                Verdict::Disable(WebhookState::Gone)
            } else {
                Verdict::Delivered
            }
        };
        let results = claims.iter().map(|claim| result(claim, verdict(claim))).collect();
        claims = rig.dispatch(Round { results, ..round(2000) }).await.claims;
    }
    let removed = purge().await.unwrap();
    assert_eq!(removed, [tasks[0].id, tasks[1].id]);
    for (table, left) in [("deliveries", 4), ("attempts", 2), ("lanes", 1), ("webhooks", 2), ("origins", 2)] {
        assert_eq!(rig.rows(table).await, left, "{table}");
    }
    rig.store.delete_webhook("me".into(), paused.id).await.unwrap();
    assert_eq!(purge().await.unwrap(), [tasks[2].id]);
    for (table, left) in [("deliveries", 0), ("attempts", 0), ("lanes", 0), ("webhooks", 1), ("origins", 1)] {
        assert_eq!(rig.rows(table).await, left, "{table}");
    }
}

contract!(deliveries_go_when_their_time_is_over);
async fn deliveries_go_when_their_time_is_over(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h"), webhook(&task, "gone")]).await.unwrap();
    rig.say(&task, 1, &["status", "status"]).await;
    let claims = rig.claim(2000).await;
    let (gone, kept) = if claims[0].webhook.url.contains("gone") { (0, 1) } else { (1, 0) };
    let results =
        vec![result(&claims[gone], Verdict::Disable(WebhookState::Gone)), result(&claims[kept], Verdict::Delivered)];
    let claims = rig.dispatch(Round { results, ..round(3000) }).await.claims;
    rig.dispatch(Round { results: all(&claims, &Verdict::Failed), ..round(4000) }).await;
    // Of the live webhook: one delivered at 3000, one given up at 4000, one under way. Of the other: one and two.
    let purge = |cutoff, batch| rig.store.purge_deliveries(Some(cutoff), 0, batch);
    assert_eq!(purge(3000, 10).await.unwrap(), 0);
    assert_eq!(purge(3001, 1).await.unwrap(), 1);
    assert_eq!(purge(3001, 10).await.unwrap(), 3, "what waits for a disabled webhook, too");
    assert_eq!(rig.states().await, [(2, DeliveryState::Failed), (3, DeliveryState::Pending)]);
    assert_eq!(purge(i64::MAX, 10).await.unwrap(), 1);
    assert_eq!(purge(i64::MAX, 10).await.unwrap(), 0, "what is under way stays");
    assert_eq!((rig.rows("attempts").await, rig.rows("lanes").await), (0, 1));
}

contract!(very_many_deliveries_of_a_removed_webhook_go_in_pieces_and_are_seen_no_more);
async fn very_many_deliveries_of_a_removed_webhook_go_in_pieces_and_are_seen_no_more(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let hook = webhook(&task, "h");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    rig.say(&task, 1, &["artifact"; 2499]).await;
    rig.store.delete_webhook("me".into(), hook.id).await.unwrap();
    assert!(rig.deliveries().await.is_empty());
    assert!(rig.claim(2000).await.is_empty());
    assert_eq!(rig.store.backlog().await.unwrap(), a2a_gateway::store::Backlog::default());
    assert_eq!(rig.rows("deliveries").await, 1500);
    // Nothing of it is a new webhook's.
    let next = rig.webhook(&task, "h").await;
    assert_eq!(rig.store.standing(next.id).await.unwrap().pending, 0);
    assert_eq!(rig.store.purge_deliveries(None, 0, 1000).await.unwrap(), 1000);
    assert_eq!(rig.store.purge_deliveries(None, 0, 1000).await.unwrap(), 500);
    assert_eq!(rig.store.purge_deliveries(None, 0, 1000).await.unwrap(), 0);
    assert_eq!((rig.rows("deliveries").await, rig.rows("removed").await), (0, 0));
}

contract!(tasks_with_very_many_deliveries_go_in_pieces);
async fn tasks_with_very_many_deliveries_go_in_pieces(kind: Kind) {
    let rig = Rig::new(kind).await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let task = identity("me", "a");
        let hook = webhook(&task, "h");
        rig.create(&task, vec![hook.clone()]).await.unwrap();
        rig.say(&task, 1, &["artifact"; 2998]).await;
        rig.say(&task, 2999, &["done"]).await;
        tasks.push(task.id);
    }
    // Nothing waits to be spread when something is read.
    assert!(!rig.states().await.is_empty());
    rig.meddle("UPDATE webhooks SET state = 2").await;
    rig.place.execute("UPDATE lanes SET held = 2").await;
    let purge = || rig.store.purge(Some(i64::MAX), 0, 10);
    assert_eq!(purge().await.unwrap(), tasks[..2]);
    assert_eq!(rig.rows("deliveries").await, 6000);
    assert_eq!(purge().await.unwrap(), tasks[2..]);
    assert!(purge().await.unwrap().is_empty());
    assert_eq!(rig.rows("deliveries").await, 0);
}

contract!(where_webhooks_are_not_sent_nothing_is_recorded_or_kept_for_them);
async fn where_webhooks_are_not_sent_nothing_is_recorded_or_kept_for_them(kind: Kind) {
    let rig = Rig::new(kind).await;
    rig.store.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let waiting = identity("me", "a");
    rig.create(&waiting, vec![webhook(&waiting, "h")]).await.unwrap();
    let rig = rig.again_with(Options { enabled: false, ..Options::default() }).await;
    rig.say(&waiting, 1, &["status"]).await;
    let snapshot = Some(Bytes::from(Task::default().encode_to_vec()));
    let trim = Append { snapshot, trim_to: Some(2), ..append(&waiting, 2, &["done"]) };
    rig.store.append(trim).await.unwrap();
    assert_eq!(floor(&rig, &waiting).await, 2);
    rig.task_of("me", "a", Vec::new()).await;
    assert_eq!(rig.states().await, [(1, DeliveryState::Pending), (1, DeliveryState::Pending)]);
    // Turned on again before the task went, what waited is sent, and what comes is.
    let rig = rig.again().await;
    assert_eq!(rig.claim(2000).await.len(), 2);
    assert!(rig.store.purge(Some(i64::MAX), 0, 10).await.unwrap().is_empty());
    let rig = rig.again_with(Options { enabled: false, ..Options::default() }).await;
    assert_eq!(rig.store.purge(Some(i64::MAX), 0, 10).await.unwrap(), [waiting.id]);
    assert_eq!((rig.rows("deliveries").await, rig.rows("lanes").await), (0, 0));
}
