//! The methods as a gRPC client calls them, on a real store. What a dispatcher would do is done by hand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use futures::{FutureExt as _, future::BoxFuture};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::*;
use crate::{
    engine::Courier,
    proto::{
        a2a::{Message, Part, TaskState, part::Content},
        gateway::{SubmitTaskRequest, TaskRecord, gateway_client::GatewayClient},
    },
    server::grpc::{Shared, router, tests::shared},
    store::{Attempted, Limits, Outbox as _, Round, Sqlite, Verdict},
};

type Client = GatewayClient<Router>;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Refuses one host, and remembers what it was told to stop.
#[derive(Default)]
struct Desk(Mutex<Vec<String>>);

impl Courier for Desk {
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let problem = "must not lead to a private address";
        let allowed = if url.contains("private.test") { Err(problem.to_owned()) } else { Ok(()) };
        async move { allowed }.boxed()
    }

    fn stop(&self, webhook: WebhookId) -> BoxFuture<'_, ()> {
        async move { self.0.lock().unwrap().push(webhook.to_string()) }.boxed()
    }
}

/// A gateway without a port.
struct Running {
    client: Client,
    store: Arc<Sqlite>,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    _dir: tempfile::TempDir,
}

async fn start_with(offered: bool) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::default());
    let courier = offered.then(|| desk.clone() as Arc<dyn Courier>);
    let (shared, store) = shared(dir.path(), courier);
    let shared = Arc::new(shared);
    let client = GatewayClient::new(router(&shared).await.unwrap().0);
    Running { client, store, desk, shared, _dir: dir }
}

async fn start() -> Running {
    start_with(true).await
}

impl Running {
    async fn create(&mut self, new: api::NewWebhook) -> Result<api::Webhook, Status> {
        let request = CreateWebhookRequest { webhook: Some(new) };
        self.client.create_webhook(request).await.map(tonic::Response::into_inner)
    }

    async fn get(&mut self, id: &str) -> Result<api::Webhook, Status> {
        let answer = self.client.get_webhook(GetWebhookRequest { id: id.into() }).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn update(&mut self, request: UpdateWebhookRequest) -> Result<api::Webhook, Status> {
        self.client.update_webhook(request).await.map(tonic::Response::into_inner)
    }

    /// Runs a task of the echo agent to its end.
    async fn submit(&mut self, webhooks: Vec<api::NewWebhook>, request_id: &str) -> Result<TaskRecord, Status> {
        let part = Part { content: Some(Content::Text("hello".into())), ..Part::default() };
        let request = SubmitTaskRequest {
            message: Some(Message { parts: vec![part], ..Message::default() }),
            webhooks,
            wait: Some(Duration::from_secs(20).into()),
            request_id: request_id.into(),
            ..SubmitTaskRequest::default()
        };
        self.client.submit_task(request).await.map(tonic::Response::into_inner)
    }

    async fn deliveries(&mut self, request: ListDeliveriesRequest) -> Result<ListDeliveriesResponse, Status> {
        self.client.list_deliveries(request).await.map(tonic::Response::into_inner)
    }

    async fn redeliver(&mut self, what: What) -> Result<i64, Status> {
        let request = RedeliverRequest { what: Some(what), from: None, to: None };
        self.client.redeliver(request).await.map(|answer| answer.into_inner().count)
    }

    /// What a dispatcher does in a round: claims the first delivery of each lane, and records the same of all.
    async fn dispatch(&self, verdict: Verdict, attempt: Attempt) -> usize {
        let round = |results| Round {
            jumped: 0,
            now: 4_000_000_000_000,
            results,
            take: 10,
            lease: Duration::from_secs(60),
            limits: Limits {
                total: 100,
                slow: 0,
                retries: 100,
                unproven: 100,
                per_origin: 100,
                circuit_failures: 100,
                circuit_open: Duration::from_secs(1),
                circuit_open_max: Duration::from_secs(1),
            },
        };
        let claims = self.store.dispatch(round(Vec::new())).await.unwrap().claims;
        let done = |claim: &crate::store::Claim| Attempted {
            ticket: claim.ticket,
            verdict: verdict.clone(),
            attempt: Some(Attempt { number: claim.number, ..attempt.clone() }),
            reached: Some(true),
            blame: true,
        };
        let results: Vec<_> = claims.iter().map(done).collect();
        let recorded = self.store.dispatch(Round { take: 0, ..round(results) }).await.unwrap();
        assert_eq!(recorded.refused, 0);
        claims.len()
    }

    async fn stop(self) {
        self.shared.engine.stop().await;
    }
}

fn to(url: &str) -> api::NewWebhook {
    api::NewWebhook { url: url.into(), ..api::NewWebhook::default() }
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

/// The fields that a refusal names.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().expect("it names the fields");
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_webhook_is_created_read_and_listed_without_its_secrets() {
    let mut gateway = start().await;
    let new = api::NewWebhook {
        name: "mine".into(),
        token: "hidden-token".into(),
        authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "hidden-credentials".into() }),
        ..to("http://h.test/in")
    };
    let made = gateway.create(new.clone()).await.unwrap();
    assert!(made.signing_secret.starts_with("whsec_") && made.is_signed && made.has_token);
    assert_eq!((made.agent.as_str(), made.task_id.as_str(), made.name.as_str()), ("echo", "", "mine"));
    assert_eq!(made.authentication, Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: String::new() }));
    assert_eq!(made.events, [WebhookEvent::Status as i32, WebhookEvent::Artifact as i32]);
    assert_eq!((made.payload(), made.state()), (WebhookPayload::A2a10, api::WebhookState::Enabled));
    assert!(made.create_time.is_some() && made.create_time == made.update_time);
    assert_eq!((made.failing_since, made.last_success_time, made.last_failure_time), (None, None, None));
    assert!(!format!("{made:?}").contains("hidden"));

    let read = gateway.get(&made.id).await.unwrap();
    assert_eq!((read.pending_deliveries, read.failed_deliveries), (Some(0), Some(0)));
    let plain = api::Webhook { signing_secret: String::new(), ..made.clone() };
    assert_eq!(api::Webhook { pending_deliveries: None, failed_deliveries: None, ..read }, plain);
    let listed = gateway.client.list_webhooks(ListWebhooksRequest::default()).await.unwrap().into_inner();
    assert_eq!((listed.webhooks, listed.next_page_token.as_str()), (vec![plain], ""));

    // The same again changes nothing, and tells no secret.
    let again = gateway.create(new).await.unwrap();
    assert_eq!((&again.id, again.signing_secret.as_str(), again.is_signed), (&made.id, "", true));
    // One of the caller's own is never said back.
    let given = api::NewWebhook { signing_secret: SECRET.into(), ..to("http://h.test/own") };
    let given = gateway.create(given).await.unwrap();
    assert_eq!((given.signing_secret.as_str(), given.is_signed, given.name == given.id), ("", true, true));
    gateway.stop().await;
}

#[tokio::test]
async fn a_webhook_of_a_task_needs_the_task() {
    let mut gateway = start().await;
    let task = gateway.submit(Vec::new(), "").await.unwrap().task.unwrap().id;
    let of =
        |task: &str, agent: &str| api::NewWebhook { task_id: task.into(), agent: agent.into(), ..to("http://h.test/") };
    let made = gateway.create(of(&task, "echo")).await.unwrap();
    assert_eq!((made.task_id.as_str(), made.agent.as_str()), (task.as_str(), "echo"));
    let unknown = TaskId::mint().to_string();
    for (new, expected) in [
        (of(&unknown, ""), "TASK_NOT_FOUND"),
        (of(&unknown, "echo"), "TASK_NOT_FOUND"),
        (of("nonsense", ""), "TASK_NOT_FOUND"),
        (of("", "nobody"), "AGENT_NOT_FOUND"),
    ] {
        let status = gateway.create(new).await.unwrap_err();
        assert_eq!(reason(&status), (Code::NotFound, expected.to_owned()));
    }
    assert_eq!(fields(&gateway.create(of(&task, "other")).await.unwrap_err()), ["webhook.agent"]);
    gateway.stop().await;
}

#[tokio::test]
async fn each_wrong_field_of_a_new_webhook_is_named() {
    let mut gateway = start().await;
    let good = || to("http://h.test/");
    let auth = |scheme: &str, credentials: &str| {
        Some(AuthenticationInfo { scheme: scheme.into(), credentials: credentials.into() })
    };
    let long = |length| "a".repeat(length);
    let cases: Vec<(api::NewWebhook, &str)> = vec![
        (to(""), "url"),
        (to("ftp://h/"), "url"),
        (to("http://h/\r\nX: y"), "url"),
        (to("http://u:p@h/"), "url"),
        (to(&format!("http://h/{}", long(2048))), "url"),
        (to("http://private.test/"), "url"),
        (api::NewWebhook { name: long(257), ..good() }, "name"),
        (api::NewWebhook { token: "a\r\nb".into(), ..good() }, "token"),
        (api::NewWebhook { token: long(1025), ..good() }, "token"),
        (api::NewWebhook { authentication: auth("", "x"), ..good() }, "authentication.scheme"),
        (api::NewWebhook { authentication: auth("a b", "x"), ..good() }, "authentication.scheme"),
        (api::NewWebhook { authentication: auth("Bearer", "a\0"), ..good() }, "authentication.credentials"),
        (api::NewWebhook { authentication: auth("Bearer", &long(8193)), ..good() }, "authentication.credentials"),
        (api::NewWebhook { events: vec![1, 0], ..good() }, "events[1]"),
        (api::NewWebhook { events: vec![99], ..good() }, "events[0]"),
        (api::NewWebhook { payload: 99, ..good() }, "payload"),
        (api::NewWebhook { signing_secret: "whsec_short".into(), ..good() }, "signing_secret"),
    ];
    for (new, field) in cases {
        assert_eq!(fields(&gateway.create(new.clone()).await.unwrap_err()), [format!("webhook.{field}")]);
        let status = gateway.submit(vec![good(), new], "").await.unwrap_err();
        assert_eq!(fields(&status), [format!("webhooks[1].{field}")]);
    }
    let status = gateway.client.create_webhook(CreateWebhookRequest::default()).await.unwrap_err();
    assert_eq!(fields(&status), ["webhook"]);
    let bad = api::NewWebhook { task_id: "a\n".into(), ..good() };
    assert_eq!(fields(&gateway.create(bad).await.unwrap_err()), ["webhook.task_id"]);
    let bad = api::NewWebhook { agent: "a\n".into(), ..good() };
    assert_eq!(fields(&gateway.create(bad).await.unwrap_err()), ["webhook.agent"]);
    let bad = api::NewWebhook { task_id: "t".into(), agent: "echo".into(), ..good() };
    let status = gateway.submit(vec![bad], "").await.unwrap_err();
    assert_eq!(fields(&status), ["webhooks[0].task_id", "webhooks[0].agent"]);
    assert_eq!(fields(&gateway.submit(vec![good(); 33], "").await.unwrap_err()), ["webhooks"]);
    let all = gateway.client.list_webhooks(ListWebhooksRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.webhooks, [], "nothing was stored");
    gateway.stop().await;
}

#[tokio::test]
async fn each_field_of_a_webhook_can_be_changed_alone() {
    let mut gateway = start().await;
    let made = gateway.create(api::NewWebhook { token: "hidden".into(), ..to("http://h.test/") }).await.unwrap();
    let id = || made.id.clone();
    let nothing = || UpdateWebhookRequest { id: id(), ..UpdateWebhookRequest::default() };
    let mut expected = api::Webhook { signing_secret: String::new(), ..made.clone() };
    let auth =
        |scheme: &str, credentials: &str| AuthenticationInfo { scheme: scheme.into(), credentials: credentials.into() };
    type Expect = fn(&mut api::Webhook);
    let steps: Vec<(UpdateWebhookRequest, Expect)> = vec![
        (nothing(), |_| {}),
        (UpdateWebhookRequest { url: Some("https://h.test/2".into()), ..nothing() }, |w| {
            w.url = "https://h.test/2".into()
        }),
        (UpdateWebhookRequest { token: Some(String::new()), ..nothing() }, |w| w.has_token = false),
        (UpdateWebhookRequest { token: Some("hidden".into()), ..nothing() }, |w| w.has_token = true),
        (UpdateWebhookRequest { authentication: Some(auth("Basic", "hidden")), ..nothing() }, |w| {
            w.authentication = Some(AuthenticationInfo { scheme: "Basic".into(), ..AuthenticationInfo::default() });
        }),
        (UpdateWebhookRequest { authentication: Some(auth("", "")), ..nothing() }, |w| w.authentication = None),
        (UpdateWebhookRequest { events: vec![3, 3], ..nothing() }, |w| w.events = vec![3]),
        (UpdateWebhookRequest { payload: 2, ..nothing() }, |w| w.payload = 2),
        (UpdateWebhookRequest { enabled: Some(false), ..nothing() }, |w| w.state = api::WebhookState::Paused.into()),
        (UpdateWebhookRequest { enabled: Some(true), ..nothing() }, |w| w.state = api::WebhookState::Enabled.into()),
    ];
    for (request, expect) in steps {
        let changed = gateway.update(request).await.unwrap();
        expect(&mut expected);
        expected.update_time = changed.update_time;
        assert_eq!(changed, expected);
        let read = gateway.get(&made.id).await.unwrap();
        assert_eq!(api::Webhook { pending_deliveries: None, failed_deliveries: None, ..read }, expected);
    }
    assert_eq!(*gateway.desk.0.lock().unwrap(), std::slice::from_ref(&made.id), "what is paused is stopped");

    let rotated = gateway.update(UpdateWebhookRequest { rotate_signing_secret: true, ..nothing() }).await.unwrap();
    assert!(rotated.signing_secret.starts_with("whsec_") && rotated.signing_secret != made.signing_secret);
    let valid = rotated.previous_secret_expire_time.unwrap().millis() - rotated.update_time.unwrap().millis();
    assert_eq!(valid, 24 * 3600 * 1000);
    let read = gateway.get(&made.id).await.unwrap();
    let told = (read.signing_secret.as_str(), read.previous_secret_expire_time);
    assert_eq!(told, ("", rotated.previous_secret_expire_time));

    for (request, field) in [
        (UpdateWebhookRequest { id: String::new(), ..nothing() }, "id"),
        (UpdateWebhookRequest { url: Some(String::new()), ..nothing() }, "url"),
        (UpdateWebhookRequest { url: Some("http://private.test/".into()), ..nothing() }, "url"),
        (UpdateWebhookRequest { token: Some("a b".into()), ..nothing() }, "token"),
        (UpdateWebhookRequest { authentication: Some(auth("", "x")), ..nothing() }, "authentication.scheme"),
        (UpdateWebhookRequest { authentication: Some(auth("B", "\n")), ..nothing() }, "authentication.credentials"),
        (UpdateWebhookRequest { events: vec![4], ..nothing() }, "events[0]"),
        (UpdateWebhookRequest { payload: -1, ..nothing() }, "payload"),
    ] {
        assert_eq!(fields(&gateway.update(request).await.unwrap_err()), [field]);
    }
    for id in [WebhookId::mint().to_string(), "nonsense".into()] {
        let status = gateway.update(UpdateWebhookRequest { id, ..UpdateWebhookRequest::default() }).await.unwrap_err();
        assert_eq!(reason(&status), (Code::NotFound, "WEBHOOK_NOT_FOUND".to_owned()));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_webhook_is_deleted_once_and_for_all() {
    let mut gateway = start().await;
    let id = gateway.create(to("http://h.test/")).await.unwrap().id;
    for id in [id.clone(), id.clone(), "nonsense".into()] {
        gateway.client.delete_webhook(DeleteWebhookRequest { id }).await.unwrap();
    }
    assert_eq!(*gateway.desk.0.lock().unwrap(), std::slice::from_ref(&id));
    let status = gateway.get(&id).await.unwrap_err();
    assert_eq!(reason(&status), (Code::NotFound, "WEBHOOK_NOT_FOUND".to_owned()));
    assert_eq!(fields(&gateway.get("").await.unwrap_err()), ["id"]);
    let status = gateway.client.delete_webhook(DeleteWebhookRequest::default()).await.unwrap_err();
    assert_eq!(fields(&status), ["id"]);
    gateway.stop().await;
}

#[tokio::test]
async fn webhooks_are_listed_by_pages_and_filters() {
    let mut gateway = start().await;
    let task = gateway.submit(Vec::new(), "").await.unwrap().task.unwrap().id;
    let mut ids = Vec::new();
    for n in 0..5 {
        let task_id = if n % 2 == 0 { String::new() } else { task.clone() };
        ids.push(gateway.create(api::NewWebhook { task_id, ..to("http://h.test/") }).await.unwrap().id);
    }
    let list = async |client: &mut Client, request: ListWebhooksRequest| {
        let page = client.list_webhooks(request).await?.into_inner();
        let ids: Vec<_> = page.webhooks.into_iter().map(|webhook| webhook.id).collect();
        Ok::<_, Status>((ids, page.next_page_token))
    };
    let client = &mut gateway.client;
    let mut request = ListWebhooksRequest { page_size: 2, ..ListWebhooksRequest::default() };
    let mut seen = Vec::new();
    for left in [3, 1, 0] {
        let (page, next) = list(client, request.clone()).await.unwrap();
        seen.extend(page);
        assert_eq!((seen.len(), next.is_empty()), (5 - left, left == 0));
        request.page_token = next;
    }
    assert_eq!(seen, ids);
    let of_task = ListWebhooksRequest { task_id: task.clone(), ..ListWebhooksRequest::default() };
    assert_eq!(list(client, of_task).await.unwrap().0, [ids[1].clone(), ids[3].clone()]);
    let of_agent = |agent: &str| ListWebhooksRequest { agent: agent.into(), ..ListWebhooksRequest::default() };
    assert_eq!(list(client, of_agent("echo")).await.unwrap().0, ids);
    assert!(list(client, of_agent("other")).await.unwrap().0.is_empty());

    let (_, token) =
        list(client, ListWebhooksRequest { page_size: 2, ..ListWebhooksRequest::default() }).await.unwrap();
    for (request, field) in [
        (ListWebhooksRequest { page_size: 101, ..ListWebhooksRequest::default() }, "page_size"),
        (ListWebhooksRequest { page_size: -1, ..ListWebhooksRequest::default() }, "page_size"),
        (ListWebhooksRequest { page_token: "x".into(), ..ListWebhooksRequest::default() }, "page_token"),
        (ListWebhooksRequest { page_token: token, ..of_agent("echo") }, "page_token"),
        (of_agent("a\n"), "agent"),
        (ListWebhooksRequest { task_id: "a\n".into(), ..ListWebhooksRequest::default() }, "task_id"),
    ] {
        assert_eq!(fields(&list(client, request).await.unwrap_err()), [field]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_submit_stores_its_webhooks_and_a_replay_stores_none() {
    let mut gateway = start().await;
    let webhooks =
        || vec![to("http://h.test/1"), api::NewWebhook { signing_secret: SECRET.into(), ..to("http://h.test/2") }];
    let first = gateway.submit(webhooks(), "r").await.unwrap();
    let task = first.task.unwrap();
    assert_eq!(task.status.unwrap().state(), TaskState::Completed);
    let [one, two] = &first.webhooks[..] else { panic!("{:?}", first.webhooks) };
    assert_eq!((one.url.as_str(), two.url.as_str()), ("http://h.test/1", "http://h.test/2"));
    assert!(one.signing_secret.starts_with("whsec_") && two.signing_secret.is_empty() && two.is_signed);
    assert!(first.webhooks.iter().all(|webhook| webhook.task_id == task.id && webhook.agent == "echo"));
    // They hear of the first event already.
    let all = ListDeliveriesRequest { webhook_id: two.id.clone(), ..ListDeliveriesRequest::default() };
    let heard = gateway.deliveries(all).await.unwrap().deliveries;
    assert_eq!(heard.iter().map(|delivery| delivery.sequence).collect::<Vec<_>>(), [4, 3, 2, 1]);

    let replayed = gateway.submit(webhooks(), "r").await.unwrap();
    assert_eq!((replayed.replayed, replayed.task.unwrap().id, replayed.webhooks), (true, task.id, Vec::new()));
    let status = gateway.submit(vec![to("http://h.test/3")], "r").await.unwrap_err();
    assert_eq!(reason(&status), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    let all = gateway.client.list_webhooks(ListWebhooksRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.webhooks.len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn deliveries_are_listed_with_their_attempts_and_sent_again() {
    let mut gateway = start().await;
    let submitted = gateway.submit(vec![to("http://h.test/")], "").await.unwrap();
    let (task, webhook) = (submitted.task.unwrap().id, submitted.webhooks[0].id.clone());
    let attempt = Attempt {
        time: 5_000,
        latency: 1_250,
        status: 400,
        address: "192.0.2.1:80".into(),
        error: "answered 400".into(),
        excerpt: "no".into(),
        number: 0,
    };
    assert_eq!(gateway.dispatch(Verdict::Failed, attempt.clone()).await, 1);
    let taken = Attempt { status: 204, error: String::new(), ..attempt };
    assert_eq!(gateway.dispatch(Verdict::Delivered, taken).await, 1);
    let all = ListDeliveriesRequest { webhook_id: webhook.clone(), ..ListDeliveriesRequest::default() };
    let listed = gateway.deliveries(all.clone()).await.unwrap().deliveries;
    let states: Vec<_> = listed.iter().map(|each| (each.sequence, each.state(), each.attempt_count)).collect();
    use api::DeliveryState::{Delivered, Failed, Pending};
    assert_eq!(states, [(4, Pending, 0), (3, Pending, 0), (2, Delivered, 1), (1, Failed, 1)]);
    assert!(listed[0].next_attempt_time.is_none() && listed[1].next_attempt_time.is_some());
    let failed = listed[3].clone();
    assert_eq!((&failed.webhook_id, &failed.task_id), (&webhook, &task));
    let parsed = DeliveryId::parse(&failed.id).unwrap();
    assert_eq!((parsed.webhook.to_string(), parsed.sequence), (webhook.clone(), 1));
    let expected = DeliveryAttempt {
        number: 1,
        time: Some(Timestamp::from_millis(5_000)),
        latency: Some(Duration::from_millis(1_250).into()),
        status: 400,
        address: "192.0.2.1:80".into(),
        error: "answered 400".into(),
        response_excerpt: "no".into(),
    };
    assert_eq!(failed.attempts, [expected]);
    let read = gateway.get(&webhook).await.unwrap();
    assert_eq!((read.pending_deliveries, read.failed_deliveries), (Some(2), Some(1)));

    // Filters and pages.
    let event = |n: usize| listed[n].event_time;
    let after = |time: Option<Timestamp>| time.map(|time| Timestamp::from_millis(time.millis() + 1));
    let just_after = |time: Option<Timestamp>| time.map(|time| Timestamp { nanos: time.nanos + 1, ..time });
    let none = ListDeliveriesRequest::default;
    for (request, count) in [
        (none(), 4),
        (ListDeliveriesRequest { task_id: task.clone(), ..none() }, 4),
        (ListDeliveriesRequest { task_id: TaskId::mint().to_string(), ..none() }, 0),
        (ListDeliveriesRequest { state: Failed.into(), ..none() }, 1),
        (ListDeliveriesRequest { state: Pending.into(), ..none() }, 2),
        (ListDeliveriesRequest { from: event(3), to: after(event(0)), ..none() }, 4),
        (ListDeliveriesRequest { from: after(event(0)), ..none() }, 0),
        (ListDeliveriesRequest { from: just_after(event(0)), ..none() }, 0),
        (ListDeliveriesRequest { to: just_after(event(0)), ..none() }, 4),
        (ListDeliveriesRequest { to: event(3), ..none() }, 0),
    ] {
        assert_eq!(gateway.deliveries(request.clone()).await.unwrap().deliveries.len(), count, "{request:?}");
    }
    let first = gateway.deliveries(ListDeliveriesRequest { page_size: 3, ..none() }).await.unwrap();
    let rest = ListDeliveriesRequest { page_size: 3, page_token: first.next_page_token.clone(), ..none() };
    let rest = gateway.deliveries(rest).await.unwrap();
    assert_eq!((&first.deliveries[..], &rest.deliveries[..]), (&listed[..3], &listed[3..]));
    assert_eq!(rest.next_page_token, "");
    for (request, field) in [
        (ListDeliveriesRequest { page_token: first.next_page_token, ..all.clone() }, "page_token"),
        (ListDeliveriesRequest { page_size: 101, ..none() }, "page_size"),
        (ListDeliveriesRequest { state: 99, ..none() }, "state"),
        (ListDeliveriesRequest { task_id: "a\n".into(), ..none() }, "task_id"),
        (ListDeliveriesRequest { from: Some(Timestamp { seconds: i64::MAX, nanos: 0 }), ..none() }, "from"),
        (ListDeliveriesRequest { to: Some(Timestamp { seconds: 0, nanos: -1 }), ..none() }, "to"),
        (ListDeliveriesRequest { from: event(0), to: event(0), ..none() }, "to"),
    ] {
        assert_eq!(fields(&gateway.deliveries(request).await.unwrap_err()), [field]);
    }
    for id in [WebhookId::mint().to_string(), "nonsense".into()] {
        let status = gateway.deliveries(ListDeliveriesRequest { webhook_id: id, ..none() }).await.unwrap_err();
        assert_eq!(reason(&status), (Code::NotFound, "WEBHOOK_NOT_FOUND".to_owned()));
    }

    // Again: one, what failed, all since a time.
    assert_eq!(gateway.redeliver(What::FailedOf(webhook.clone())).await.unwrap(), 1);
    assert_eq!(gateway.redeliver(What::FailedOf(webhook.clone())).await.unwrap(), 0);
    assert_eq!(gateway.redeliver(What::DeliveryId(failed.id.clone())).await.unwrap(), 1, "it waits already");
    let since = RedeliverRequest { what: Some(What::AllOf(webhook.clone())), from: event(3), to: None };
    assert_eq!(gateway.client.redeliver(since).await.unwrap().into_inner().count, 1, "the delivered one");
    let waits = ListDeliveriesRequest { state: Pending.into(), ..all };
    let waits = gateway.deliveries(waits).await.unwrap().deliveries;
    let ids = |all: &[api::Delivery]| all.iter().map(|each| each.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&waits), ids(&listed), "all wait, under the same ids");
    gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_told() {
    let mut gateway = start().await;
    let webhook = gateway.create(to("http://h.test/")).await.unwrap().id;
    let unknown = DeliveryId { webhook: WebhookId::mint(), task: TaskId::mint(), sequence: 1 }.to_string();
    for (what, expected) in [
        (What::DeliveryId(unknown.clone()), "DELIVERY_NOT_FOUND"),
        (What::DeliveryId("nonsense".into()), "DELIVERY_NOT_FOUND"),
        (What::FailedOf(WebhookId::mint().to_string()), "WEBHOOK_NOT_FOUND"),
        (What::FailedOf("nonsense".into()), "WEBHOOK_NOT_FOUND"),
    ] {
        let status = gateway.redeliver(what).await.unwrap_err();
        assert_eq!(reason(&status), (Code::NotFound, expected.to_owned()));
    }
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    for (what, from, to, expected) in [
        (None, None, None, vec!["delivery_id"]),
        (Some(What::DeliveryId(String::new())), None, None, vec!["delivery_id"]),
        (Some(What::DeliveryId(unknown)), time(1), time(2), vec!["from", "to"]),
        (Some(What::FailedOf(String::new())), None, None, vec!["failed_of"]),
        (Some(What::AllOf(String::new())), time(1), None, vec!["all_of"]),
        (Some(What::AllOf(webhook.clone())), None, time(2), vec!["from"]),
        (Some(What::FailedOf(webhook.clone())), time(2), time(2), vec!["to"]),
        (Some(What::FailedOf(webhook)), time(i64::MIN), None, vec!["from"]),
    ] {
        let status = gateway.client.redeliver(RedeliverRequest { what, from, to }).await.unwrap_err();
        assert_eq!(fields(&status), expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn where_webhooks_are_turned_off_every_method_says_so() {
    let mut gateway = start_with(false).await;
    let client = &mut gateway.client;
    let all = [
        client.create_webhook(CreateWebhookRequest::default()).await.map(drop),
        client.get_webhook(GetWebhookRequest { id: "nonsense".into() }).await.map(drop),
        client.list_webhooks(ListWebhooksRequest::default()).await.map(drop),
        client.update_webhook(UpdateWebhookRequest::default()).await.map(drop),
        client.delete_webhook(DeleteWebhookRequest { id: "nonsense".into() }).await.map(drop),
        client.list_deliveries(ListDeliveriesRequest::default()).await.map(drop),
        client.redeliver(RedeliverRequest::default()).await.map(drop),
        gateway.submit(vec![to("http://h.test/")], "").await.map(drop),
    ];
    for answer in all {
        let expected = (Code::FailedPrecondition, "PUSH_NOTIFICATION_NOT_SUPPORTED".to_owned());
        assert_eq!(reason(&answer.unwrap_err()), expected);
    }
    assert!(gateway.submit(Vec::new(), "").await.is_ok());
    gateway.stop().await;
}
