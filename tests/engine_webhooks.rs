//! Webhooks as the engine manages them, for all doors: what is kept when one is changed or replaced, and by whom.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::{path::Path, sync::Arc};

use a2a_gateway::{
    agent::{Agent, Echo},
    engine::{
        Caller, Courier, Engine, Hub, NewWebhook, Parts, Scope, Settings, Signing, Submit, WebhookFilter,
        WebhookUpdate, Which,
    },
    error::ErrorKind,
    metrics::Metrics,
    store::{Sqlite, SqliteSettings},
    task::{Dialect, Webhook, WebhookId},
};
use futures::{FutureExt as _, future::BoxFuture};
use support::{run, submit};

/// Sends nothing, and takes any address but one.
struct Idle;

impl Courier for Idle {
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let refused = url.contains("inside").then(|| "must not point inside".to_owned());
        async move { refused.map_or(Ok(()), Err) }.boxed()
    }

    fn stop(&self, _: WebhookId) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

fn engine(dir: &Path) -> Engine {
    let metrics = Arc::new(Metrics::default());
    let hub = Hub::new(metrics.clone());
    let store = Sqlite::open(&SqliteSettings::new(dir), hub.clone(), metrics.clone()).unwrap();
    let agents: Vec<(String, Arc<dyn Agent>)> = vec![("echo".into(), Arc::new(Echo))];
    let (store, courier, settings) = (Arc::new(store), Some(Arc::new(Idle) as Arc<dyn Courier>), Settings::default());
    Engine::start(Parts { store, hub, agents, courier, settings, metrics })
}

fn me() -> Caller {
    Caller::default()
}

fn new(name: &str, scope: Scope, signing: Signing) -> NewWebhook {
    NewWebhook {
        field: "webhook.".into(),
        scope,
        name: name.into(),
        url: "https://h.test/in".into(),
        token: "hidden-token".into(),
        authentication: None,
        events: None,
        payload: Dialect::V1,
        signing,
    }
}

fn of_agent(name: &str, signing: Signing) -> NewWebhook {
    new(name, Scope::Agent("echo".into()), signing)
}

async fn read(engine: &Engine, id: WebhookId) -> Webhook {
    engine.webhook(&me(), Which::Id(id)).await.unwrap()
}

#[tokio::test]
async fn changes_made_at_once_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    for round in 0..10 {
        let made = engine.create_webhook(&me(), of_agent(&format!("h{round}"), Signing::Minted)).await.unwrap().webhook;
        let token = WebhookUpdate { token: Some("changed".into()), ..WebhookUpdate::default() };
        let rotate = WebhookUpdate { rotate: true, ..WebhookUpdate::default() };
        let (me, again) = (me(), rotate.clone());
        let (one, two, three) = tokio::join!(
            engine.update_webhook(&me, made.id, rotate),
            engine.update_webhook(&me, made.id, token),
            engine.update_webhook(&me, made.id, again),
        );
        let told = [one.unwrap().webhook.secrets.signing, three.unwrap().webhook.secrets.signing];
        two.unwrap();
        let now = read(&engine, made.id).await.secrets;
        assert_eq!(now.token, "changed");
        let signs: Vec<_> = now.previous_signing.iter().map(|(secret, _)| secret.clone()).collect();
        assert!(signs.contains(&made.secrets.signing), "the first secret is valid for a day");
        for secret in told {
            assert!(secret == now.signing || signs.contains(&secret), "a secret that was told is signed with");
        }
    }
    engine.stop().await;
}

#[tokio::test]
async fn one_that_replaces_keeps_the_id_and_the_signing_secret() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let first = engine.create_webhook(&me(), of_agent("h", Signing::Minted)).await.unwrap();
    assert!(first.minted);
    for signing in [Signing::Minted, Signing::Unsigned] {
        let moved = NewWebhook { url: "https://h.test/moved".into(), ..of_agent("h", signing) };
        let second = engine.create_webhook(&me(), moved).await.unwrap();
        assert!(!second.minted, "there is nothing to tell");
        assert_eq!(second.webhook.id, first.webhook.id);
        let now = read(&engine, first.webhook.id).await;
        assert_eq!((now.url.as_str(), &now.secrets.signing), ("https://h.test/moved", &first.webhook.secrets.signing));
    }
    let (all, next) = engine.webhooks(&me(), WebhookFilter::default()).await.unwrap();
    assert_eq!((all.len(), next.as_str()), (1, ""));
    engine.stop().await;
}

#[tokio::test]
async fn a_continued_task_is_answered_with_the_webhook_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let with = |submit: Submit| Submit { webhooks: vec![new("h", Scope::Submitted, Signing::Minted)], ..submit };
    let submitted = engine.submit(&me(), with(submit("ask: who?"))).await.unwrap();
    let first = submitted.webhooks()[0].clone();
    assert!(first.minted);
    let task = submitted.record().task.id.clone();
    submitted.outcome(None, None).await.unwrap();
    let mut answer = with(submit("me"));
    answer.message.task_id = task;
    let submitted = engine.submit(&me(), answer).await.unwrap();
    let second = &submitted.webhooks()[0];
    assert_eq!((second.webhook.id, second.minted), (first.webhook.id, false));
    assert_eq!(read(&engine, second.webhook.id).await.secrets.signing, first.webhook.secrets.signing);
    engine.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_all_named_and_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let numbered = |index: usize, webhook: NewWebhook| NewWebhook { field: format!("webhooks[{index}]."), ..webhook };
    let inside = NewWebhook { url: "http://inside/".into(), ..new("b", Scope::Submitted, Signing::Unsigned) };
    let webhooks = vec![
        numbered(0, new("a", Scope::Submitted, Signing::Unsigned)),
        numbered(1, new("a", Scope::Submitted, Signing::With("short".into()))),
        numbered(2, inside),
    ];
    let error = engine.submit(&me(), Submit { webhooks, ..submit("hello") }).await.err().unwrap();
    let fields: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["webhooks[1].signing_secret", "webhooks[1].name", "webhooks[2].url"]);
    let (all, _) = engine.webhooks(&me(), WebhookFilter::default()).await.unwrap();
    assert_eq!(all, []);
    engine.stop().await;
}

#[tokio::test]
async fn another_caller_sees_no_webhook_and_changes_none() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let record = run(&engine, submit("hello")).await;
    let of_task = new("h", Scope::Task(record.id), Signing::Unsigned);
    let mine = engine.create_webhook(&me(), of_task.clone()).await.unwrap().webhook;
    let other = Caller { owner: "somebody".into() };
    assert_eq!(engine.create_webhook(&other, of_task).await.unwrap_err().kind(), ErrorKind::TaskNotFound);
    let seen = engine.webhook(&other, Which::Id(mine.id)).await;
    assert_eq!(seen.unwrap_err().kind(), ErrorKind::WebhookNotFound);
    let pause = WebhookUpdate { enabled: Some(false), ..WebhookUpdate::default() };
    assert_eq!(engine.update_webhook(&other, mine.id, pause).await.unwrap_err().kind(), ErrorKind::WebhookNotFound);
    assert!(!engine.delete_webhook(&other, mine.id).await.unwrap());
    assert_eq!(read(&engine, mine.id).await, mine);
    engine.stop().await;
}

#[test]
fn nothing_that_holds_secrets_prints_them() {
    let webhook = of_agent("h", Signing::With("whsec_hidden".into()));
    let submit = Submit { webhooks: vec![webhook], ..submit("hello") };
    assert!(!format!("{submit:?}").contains("hidden"));
}
