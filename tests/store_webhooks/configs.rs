//! Webhooks are stored, found, listed, changed and removed, each owner's apart.

use a2a_gateway::{
    error::ErrorKind,
    store::{WebhookQuery, Which},
};

use super::{rig::Place, *};

async fn list(rig: &Rig, query: WebhookQuery) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = 0;
    loop {
        let page = rig.store.webhooks(WebhookQuery { after, limit: 2, ..query.clone() }).await.unwrap();
        assert!(page.webhooks.len() <= 2);
        names.extend(page.webhooks.into_iter().map(|webhook| webhook.name));
        match page.next {
            Some(next) => after = next,
            None => return names,
        }
    }
}

contract!(what_is_stored_is_read_back_until_it_is_removed);
async fn what_is_stored_is_read_back_until_it_is_removed(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let mut hook = Webhook {
        payload: Dialect::Praison,
        events: Events { status: false, artifacts: true, messages: true },
        secrets: Secrets { token: "t".into(), signing: "whsec_x".into(), ..Secrets::default() },
        ..webhook(&task, "one")
    };
    assert_eq!(rig.store.put_webhook(hook.clone()).await.unwrap(), hook);
    assert_eq!(rig.reload(&hook).await, hook);
    let find = async |owner: &str, which: Which| rig.store.webhook(owner.into(), which).await.unwrap();
    let name = hook.name.clone();
    let named = |task: &str, name: &str| Which::Task { task: task.into(), name: name.into() };
    assert_eq!(find("me", named(&hook.task, &name)).await, Some(hook.clone()));
    assert_eq!(find("me", named(&hook.task, "")).await, Some(hook.clone()), "the oldest");
    for (owner, which) in [
        ("you", Which::Id(hook.id)),
        ("you", named(&hook.task, &name)),
        ("me", named(&hook.task, "other")),
        ("me", named("other", &name)),
        ("me", Which::Agent { agent: "a".into(), name: name.clone() }),
        ("me", Which::Id(WebhookId::mint())),
    ] {
        assert_eq!(find(owner, which.clone()).await, None, "{owner} {which:?}");
    }
    // The one named as the task comes before the oldest.
    let second = Webhook { name: hook.task.clone(), ..webhook(&task, "two") };
    let second = rig.store.put_webhook(second).await.unwrap();
    assert_eq!(find("me", named(&hook.task, "")).await, Some(second));

    // Again under its name: its id stays, and so does its signing secret, as this one brings none.
    let changed = Webhook { url: "https://two/x".into(), origin: "https://two:443".into(), ..webhook(&task, "two") };
    let changed = Webhook { name: name.clone(), created: 9, updated: 9, ..changed };
    let stored = rig.store.put_webhook(changed.clone()).await.unwrap();
    hook = Webhook {
        id: hook.id,
        created: hook.created,
        secrets: Secrets { token: String::new(), ..hook.secrets },
        ..changed
    };
    assert_eq!(stored, hook);
    assert_eq!(rig.reload(&hook).await, hook);
    assert!(!rig.store.delete_webhook("you".into(), hook.id).await.unwrap());
    assert!(rig.store.delete_webhook("me".into(), hook.id).await.unwrap());
    assert!(!rig.store.delete_webhook("me".into(), hook.id).await.unwrap());
    assert_eq!(find("me", Which::Id(hook.id)).await, None);
}

contract!(lists_are_the_owners_oldest_first_filtered_and_paged);
async fn lists_are_the_owners_oldest_first_filtered_and_paged(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let name = |name: &str, hook: Webhook| Webhook { name: name.into(), ..hook };
    for hook in [
        name("1", webhook(&task, "h")),
        name("2", of_agent("me", "a", "h")),
        name("3", of_agent("me", "b", "h")),
        name("4", Webhook { payload: Dialect::V03, ..webhook(&task, "h") }),
        name("5", Webhook { task: "none".into(), agent: "".into(), ..webhook(&task, "h") }),
        name("6", of_agent("you", "a", "h")),
    ] {
        rig.store.put_webhook(hook).await.unwrap();
    }
    let mine = WebhookQuery { owner: "me".into(), ..WebhookQuery::default() };
    assert_eq!(list(&rig, mine.clone()).await, ["1", "2", "3", "4", "5"]);
    let agent = Some("a".to_owned());
    assert_eq!(list(&rig, WebhookQuery { agent: agent.clone(), ..mine.clone() }).await, ["1", "2", "4"]);
    let of_task = Some(task.id.to_string());
    assert_eq!(list(&rig, WebhookQuery { task: of_task, ..mine.clone() }).await, ["1", "4"]);
    let of_none = Some(String::new());
    assert_eq!(list(&rig, WebhookQuery { agent, task: of_none, ..mine.clone() }).await, ["2"]);
    assert_eq!(list(&rig, WebhookQuery { payload: Some(Dialect::V03), ..mine }).await, ["4"]);
}

contract!(limits_are_per_place_and_name_the_remedy);
async fn limits_are_per_place_and_name_the_remedy(kind: Kind) {
    const DAYS: i64 = 30 * 86_400_000;
    let rig = Rig::with(kind, Options { per_task: 2, ..Options::default() }).await;
    let task = rig.task().await;
    let none = |n: usize| Webhook { task: format!("none-{n}"), agent: "".into(), ..webhook(&task, "h") };
    for make in [&(|| webhook(&task, "h")) as &dyn Fn() -> Webhook, &|| of_agent("me", "a", "h"), &|| none(0)] {
        let first = rig.store.put_webhook(make()).await.unwrap();
        rig.store.put_webhook(make()).await.unwrap();
        let error = rig.store.put_webhook(make()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WebhookLimit);
        assert!(error.message().contains("2 webhooks") && error.message().contains("delete one"), "{error}");
        // What is there can still be replaced.
        rig.store.put_webhook(Webhook { name: first.name.clone(), ..make() }).await.unwrap();
    }
    rig.store.put_webhook(of_agent("me", "b", "h")).await.unwrap();
    rig.store.put_webhook(of_agent("you", "a", "h")).await.unwrap();
    let put = |n| rig.store.put_webhook(none(n));
    futures::future::try_join_all((1..999).map(put)).await.unwrap();
    let error = put(1000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WebhookLimit);
    assert!(error.message().contains("1000 webhooks of tasks that do not exist"), "{error}");
    rig.store.put_webhook(Webhook { owner: "you".into(), ..none(0) }).await.unwrap();
    // They go when their time is over, and make room.
    let purge = |cutoff, now| rig.store.purge_deliveries(cutoff, now, 1000);
    assert_eq!(purge(Some(CREATED), i64::MAX).await.unwrap(), 0);
    assert_eq!(purge(Some(CREATED + 1), 0).await.unwrap(), 1000);
    // Also where deliveries are kept for ever.
    assert_eq!(purge(None, CREATED + DAYS).await.unwrap(), 0);
    assert_eq!(purge(None, CREATED + DAYS + 1).await.unwrap(), 1);
    put(1000).await.unwrap();
}

contract!(a_changed_url_is_tried_at_once_and_answers_of_the_old_one_decide_nothing);
async fn a_changed_url_is_tried_at_once_and_answers_of_the_old_one_decide_nothing(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let hook = rig.webhook(&task, "old").await;
    rig.say(&task, 1, &["status", "status"]).await;
    let claims = rig.claim(2000).await;
    rig.record(2000, all(&claims, &Verdict::Retry(900_000))).await;
    assert_eq!(rig.reload(&hook).await.health.failing_since, Some(2000));
    let target = |host: &str| Some((format!("https://{host}/in"), format!("https://{host}:443")));
    let update = |host: &str| WebhookChange { target: target(host), ..change(&hook) };
    rig.heard();
    rig.store.update_webhook("me".into(), update("new")).await.unwrap().unwrap();
    assert_eq!(rig.heard(), 1);
    let claims = rig.claim(2001).await;
    assert_eq!((claims[0].webhook.url.as_str(), claims[0].tries, claims[0].number), ("https://new/in", 1, 2));
    assert_eq!(rig.reload(&hook).await.health.failing_since, None);
    // Changed while an attempt is under way: what the old URL answers disables nothing and gives nothing up.
    rig.store.update_webhook("me".into(), update("newest")).await.unwrap().unwrap();
    assert!(rig.claim(2002).await.is_empty(), "one attempt at a time");
    let results = all(&claims, &Verdict::Disable(WebhookState::Gone));
    let claims = rig.dispatch(Round { results, ..round(2003) }).await.claims;
    assert_eq!((claims[0].webhook.url.as_str(), claims[0].delivery.sequence), ("https://newest/in", 2));
    assert_eq!(rig.reload(&hook).await.state, WebhookState::Enabled);
    assert_eq!(rig.rows("origins").await, 1, "origins that nobody uses are forgotten");
    rig.record(2004, all(&claims, &Verdict::Delivered)).await;
    assert_eq!(sequences(&rig.claim(2005).await), [3]);
}

contract!(removing_or_pausing_a_webhook_ends_its_claims);
async fn removing_or_pausing_a_webhook_ends_its_claims(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let limits = Limits { per_origin: 1, ..limits() };
    let hook = rig.webhook(&task, "h").await;
    let other = rig.webhook(&task, "h").await;
    rig.say(&task, 1, &["status", "status"]).await;
    let claims = rig.dispatch(Round { limits: limits.clone(), ..round(2000) }).await.claims;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].delivery.webhook, hook.id);
    rig.store.delete_webhook("me".into(), hook.id).await.unwrap();
    let results = all(&claims, &Verdict::Delivered);
    let next = rig.dispatch(Round { results, limits: limits.clone(), ..round(2001) }).await;
    assert_eq!(next.refused, 1);
    assert_eq!(next.claims[0].delivery.webhook, other.id, "the origin has room again");
    // Paused while an attempt is under way: its result counts, and the next one waits.
    let pause = WebhookChange { state: Some(WebhookState::Paused), ..change(&other) };
    rig.store.update_webhook("me".into(), pause).await.unwrap();
    let results = all(&next.claims, &Verdict::Delivered);
    let after = rig.dispatch(Round { results, limits, ..round(2002) }).await;
    assert_eq!((after.refused, after.claims.len(), after.next), (0, 0, None));
    assert_eq!(rig.states().await, [(2, DeliveryState::Delivered), (3, DeliveryState::Pending)]);
}

/// Origins with how many webhooks each says that it has, and has.
async fn origins(rig: &Rig) -> Vec<(String, i64, i64)> {
    match &rig.place {
        Place::Sqlite(dir) => {
            let sql = rusqlite::Connection::open(dir.path().join("gateway.db")).unwrap();
            let count = "(SELECT count(*) FROM webhooks WHERE origin = origins.key)";
            let query = format!("SELECT name, webhooks, {count} FROM origins ORDER BY name");
            let mut origins = sql.prepare(&query).unwrap();
            let rows = origins.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.map(Result::unwrap).collect()
        }
        // It does not say how many it has.
        Place::Postgres(url) => {
            let count = "(SELECT count(*) FROM webhooks WHERE origin = origins.name)";
            let query = format!("SELECT name, {count} FROM origins ORDER BY name");
            let rows = database::connect(url).await.query(&query, &[]).await.unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(1))).collect()
        }
    }
}

contract!(an_origin_stays_as_long_as_it_has_webhooks);
async fn an_origin_stays_as_long_as_it_has_webhooks(kind: Kind) {
    let rig = Rig::new(kind).await;
    let has = async |expected: &[(&str, i64)]| {
        let expected: Vec<_> =
            expected.iter().map(|(host, count)| (format!("https://{host}:443"), *count, *count)).collect();
        assert_eq!(origins(&rig).await, expected);
    };
    let brought = identity("me", "a");
    let two = vec![webhook(&brought, "one"), webhook(&brought, "two")];
    rig.create(&brought, two.clone()).await.unwrap();
    let task = rig.task().await;
    let hook = rig.webhook(&task, "one").await;
    has(&[("one", 2), ("two", 1)]).await;
    // Put again, at the same origin and at another.
    rig.store.put_webhook(hook.clone()).await.unwrap();
    has(&[("one", 2), ("two", 1)]).await;
    let elsewhere = Webhook { name: hook.name.clone(), ..webhook(&task, "two") };
    rig.store.put_webhook(elsewhere).await.unwrap();
    has(&[("one", 1), ("two", 2)]).await;
    let target = Some(("https://three/in".to_owned(), "https://three:443".to_owned()));
    let change = WebhookChange { target, ..change(&two[1]) };
    rig.store.update_webhook("me".into(), change).await.unwrap();
    has(&[("one", 1), ("three", 1), ("two", 1)]).await;
    assert!(rig.store.delete_webhook("me".into(), two[0].id).await.unwrap());
    has(&[("three", 1), ("two", 1)]).await;
}
