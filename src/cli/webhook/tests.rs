//! The commands against a scripted gateway: what is asked, what is shown.

use clap::Parser;

use super::*;
use crate::{
    cli::{
        follow::tests::{Script, Scripted, WebhookCall},
        print::tests::screen,
        text::parse_when,
    },
    proto::{
        a2a::AuthenticationInfo,
        gateway::{
            Delivery, DeliveryAttempt, DeliveryState, ListDeliveriesRequest, ListDeliveriesResponse,
            ListWebhooksResponse, RedeliverRequest, RedeliverResponse, WebhookEvent, WebhookPayload, WebhookState,
            redeliver_request::What,
        },
        well_known::Timestamp,
    },
};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: WebhookArgs,
}

/// Runs a command on a scripted gateway: what it was asked, standard output and standard error.
async fn run(script: Script, arguments: &[&str]) -> (Vec<WebhookCall>, String, String) {
    let (scripted, address) = Scripted::start(script).await;
    let gateway = ["--gateway", &address];
    let line = Line::try_parse_from(["webhook"].iter().chain(arguments).chain(&gateway)).unwrap();
    let (mut screen, out, err) = screen(false);
    assert_eq!(webhook(line.args, &mut screen).await.unwrap(), Exit::Done);
    let asked = scripted.0.lock().unwrap().asked_webhooks.clone();
    (asked, out.text(), err.text())
}

fn sample() -> Webhook {
    Webhook {
        id: "w1".into(),
        agent: "echo".into(),
        name: "w1".into(),
        url: "http://h.test/in\u{1b}[2J".into(),
        has_token: true,
        authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), ..AuthenticationInfo::default() }),
        events: vec![WebhookEvent::Status.into(), WebhookEvent::Artifact.into()],
        payload: WebhookPayload::A2a10.into(),
        is_signed: true,
        state: WebhookState::Enabled.into(),
        ..Webhook::default()
    }
}

fn answering(webhook: Webhook) -> Script {
    Script { webhook: [webhook].into(), ..Script::default() }
}

#[tokio::test]
async fn a_webhook_is_created_and_its_secret_is_told_once() {
    let minted = Webhook { signing_secret: "whsec_new".into(), ..sample() };
    let arguments = [
        "create",
        "--url",
        "http://h.test/in",
        "--task",
        "t1",
        "--name",
        "n",
        "--token",
        "tk",
        "--auth",
        "Bearer  a b",
        "--events",
        "status,artifact",
        "--payload",
        "praisonai",
    ];
    let (asked, out, err) = run(answering(minted), &arguments).await;
    let new = NewWebhook {
        task_id: "t1".into(),
        name: "n".into(),
        url: "http://h.test/in".into(),
        token: "tk".into(),
        authentication: Some(AuthenticationInfo { scheme: "Bearer".into(), credentials: "a b".into() }),
        events: vec![1, 2],
        payload: WebhookPayload::Praisonai.into(),
        ..NewWebhook::default()
    };
    assert_eq!(asked, [WebhookCall::Create(CreateWebhookRequest { webhook: Some(new) })]);
    let expected = "Webhook   w1\nURL       http://h.test/in\nState     enabled\n\
        Hears of  status, artifacts of agent echo\nPayload   A2A 1.0\nSigned    yes\nToken     yes\nAuth      Bearer …\n\
        Secret    whsec_new\n";
    assert_eq!(out, expected);
    assert_eq!(err, "the signing secret is not shown again: give it to the receiver now\n");

    // One that was there keeps its secret, which is then not there to be shown.
    let (_, out, err) = run(answering(sample()), &["create", "--url", "http://h.test/in"]).await;
    assert!(!out.contains("Secret"), "{out}");
    assert_eq!(err, "it was there already and keeps its signing secret\n");

    let given = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let arguments =
        ["create", "--url", "u", "--secret", given, "--auth-scheme", "Basic", "--credentials", "c", "--json"];
    let (asked, out, err) = run(answering(sample()), &arguments).await;
    let [WebhookCall::Create(CreateWebhookRequest { webhook: Some(new) })] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((new.signing_secret.as_str(), err.as_str()), (given, ""));
    let authentication = AuthenticationInfo { scheme: "Basic".into(), credentials: "c".into() };
    assert_eq!(new.authentication, Some(authentication));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["id"], &json["state"]), (&"w1".into(), &"WEBHOOK_STATE_ENABLED".into()));
}

#[tokio::test]
async fn a_webhook_is_shown_with_how_it_does() {
    let webhook = Webhook {
        task_id: "t1".into(),
        name: "mine".into(),
        state: WebhookState::Gone.into(),
        last_error: "410 Gone\nbye".into(),
        last_failure_time: Some(Timestamp::from_millis(1_000)),
        pending_deliveries: Some(0),
        failed_deliveries: Some(7),
        previous_secret_expire_time: Some(Timestamp::from_millis(1_000)),
        ..sample()
    };
    let (asked, out, _) = run(answering(webhook), &["get", "w1"]).await;
    assert_eq!(asked, [WebhookCall::Get("w1".into())]);
    for line in [
        "Name      mine",
        "State     gone: the receiver answered 410 Gone; `webhook update --enable` sends again",
        "Hears of  status, artifacts of task t1",
        "Signed    yes",
        "Pending   0",
        "Given up  7",
    ] {
        assert!(out.lines().any(|each| each == line), "{line}: {out}");
    }
    let failure = out.lines().find(|line| line.starts_with("Failure")).unwrap();
    assert!(failure.starts_with("Failure   1970-01-01T00:00:01.000Z (") && failure.ends_with("): 410 Gone bye"));
}

#[tokio::test]
async fn webhooks_are_listed_by_pages_up_to_the_limit() {
    let mut webhooks = vec![sample(); 60];
    webhooks[1].failing_since = Some(Timestamp::from_millis(0));
    let page = |next: &str| ListWebhooksResponse { webhooks: webhooks.clone(), next_page_token: next.into() };
    let script = || Script { list_webhooks: [page("p2"), page("p3"), page("")].into(), ..Script::default() };
    let (asked, out, err) = run(script(), &["list", "--agent", "a", "--limit", "120"]).await;
    let ask = |size, token: &str| {
        let (agent, page_token) = ("a".into(), token.into());
        WebhookCall::List(ListWebhooksRequest { agent, page_size: size, page_token, ..ListWebhooksRequest::default() })
    };
    assert_eq!(asked, [ask(100, ""), ask(60, "p2")]);
    assert_eq!((out.lines().count(), err.as_str()), (121, "there are more; --all shows all of them\n"));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "WEBHOOK  STATE    HEARS OF    LAST SUCCESS  FAILING SINCE  URL");
    assert!(lines[1].ends_with("never         -              http://h.test/in"), "{out}");
    assert!(lines[2].contains("d ago     http"), "{out}");
    let (asked, out, err) = run(script(), &["list", "--all", "--json"]).await;
    assert_eq!((asked.len(), out.lines().count(), err.as_str()), (3, 180, ""));
    let none = Script { list_webhooks: [ListWebhooksResponse::default()].into(), ..Script::default() };
    let (_, out, err) = run(none, &["list"]).await;
    assert_eq!((out.as_str(), err.as_str()), ("", "no webhooks\n"));
}

#[tokio::test]
async fn only_what_is_named_is_changed() {
    let unchanged = UpdateWebhookRequest { id: "w1".into(), ..UpdateWebhookRequest::default() };
    let cases: [(&[&str], UpdateWebhookRequest); 8] = [
        (&["--url", "u"], UpdateWebhookRequest { url: Some("u".into()), ..unchanged.clone() }),
        (&["--token", "t"], UpdateWebhookRequest { token: Some("t".into()), ..unchanged.clone() }),
        (&["--no-token"], UpdateWebhookRequest { token: Some(String::new()), ..unchanged.clone() }),
        (
            &["--no-auth"],
            UpdateWebhookRequest { authentication: Some(AuthenticationInfo::default()), ..unchanged.clone() },
        ),
        (&["--pause"], UpdateWebhookRequest { enabled: Some(false), ..unchanged.clone() }),
        (&["--enable"], UpdateWebhookRequest { enabled: Some(true), ..unchanged.clone() }),
        (
            &["--events", "message", "--payload", "0.3"],
            UpdateWebhookRequest { events: vec![3], payload: WebhookPayload::A2a03.into(), ..unchanged.clone() },
        ),
        (&["--rotate-secret"], UpdateWebhookRequest { rotate_signing_secret: true, ..unchanged.clone() }),
    ];
    for (arguments, expected) in cases {
        let arguments: Vec<_> = ["update", "w1"].iter().chain(arguments).copied().collect();
        let (asked, ..) = run(answering(sample()), &arguments).await;
        assert_eq!(asked, [WebhookCall::Update(expected)], "{arguments:?}");
    }
    let rotated = Webhook {
        signing_secret: "whsec_new".into(),
        previous_secret_expire_time: parse_when("9999-01-01T00:00:00Z").ok(),
        ..sample()
    };
    let (_, out, err) = run(answering(rotated), &["update", "w1", "--rotate-secret"]).await;
    assert!(out.contains("Signed    yes, with the secret before, too, until 9999-01-01T00:00:00.000Z"), "{out}");
    assert!(out.ends_with("Secret    whsec_new\n") && err.contains("not shown again"), "{out}{err}");
}

#[tokio::test]
async fn impossible_changes_are_refused_before_anyone_is_asked() {
    for (arguments, problem) in [
        (["update", "w1"].as_slice(), "there is nothing to change"),
        (&["update", "w1", "--auth", "x"], "--auth must be"),
    ] {
        let line = Line::try_parse_from(["webhook"].iter().chain(arguments)).unwrap();
        let failure = webhook(line.args, &mut screen(false).0).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.report().contains(problem), "{}", failure.report());
    }
}

#[tokio::test]
async fn a_webhook_is_deleted() {
    for (script, told) in [
        (answering(sample()), "removed; nothing is sent any more\n"),
        (Script::default(), "there is no such webhook\n"),
    ] {
        let (asked, out, err) = run(script, &["delete", "w1"]).await;
        assert_eq!(asked, [WebhookCall::Get("w1".into()), WebhookCall::Delete("w1".into())]);
        assert_eq!((out.as_str(), err.as_str()), ("", told));
    }
}

#[tokio::test]
async fn deliveries_are_shown_with_their_attempts() {
    let attempt = |number, status, error: &str| DeliveryAttempt {
        number,
        time: Some(Timestamp::from_millis(i64::from(number) * 1000)),
        latency: Some(std::time::Duration::from_millis(12).into()),
        status,
        address: "127.0.0.1:9000".into(),
        error: error.into(),
        response_excerpt: "out\nof order".into(),
    };
    let delivery = Delivery {
        id: "d1".into(),
        webhook_id: "w1".into(),
        task_id: "t1".into(),
        sequence: 3,
        state: DeliveryState::Pending.into(),
        next_attempt_time: Some(Timestamp::from_millis(9_000)),
        attempts: vec![
            attempt(3, 503, "answered 503"),
            DeliveryAttempt { response_excerpt: String::new(), ..attempt(4, 0, "timed out") },
            attempt(5, 204, ""),
        ],
        attempt_count: 5,
        ..Delivery::default()
    };
    let answer = ListDeliveriesResponse { deliveries: vec![delivery], next_page_token: "more".into() };
    let script = Script { list_deliveries: [answer].into(), ..Script::default() };
    let arguments =
        ["deliveries", "--webhook", "w1", "--task", "t1", "--failed", "--from", "2026-01-02T03:04:05Z", "--limit", "1"];
    let (asked, out, err) = run(script, &arguments).await;
    let expected = ListDeliveriesRequest {
        webhook_id: "w1".into(),
        task_id: "t1".into(),
        state: DeliveryState::Failed.into(),
        from: Some(parse_when("2026-01-02T03:04:05Z").unwrap()),
        page_size: 1,
        ..ListDeliveriesRequest::default()
    };
    assert_eq!(asked, [WebhookCall::Deliveries(expected)]);
    let lines: Vec<_> = out.lines().collect();
    let expected = [
        "d1  pending",
        "  #3 of task t1",
        "  … 2 older attempts",
        "   3. 1970-01-01T00:00:03.000Z  503  12 ms  127.0.0.1:9000  answered 503",
        "      answered: out of order",
        "   4. 1970-01-01T00:00:04.000Z  no answer  12 ms  127.0.0.1:9000  timed out",
        "   5. 1970-01-01T00:00:05.000Z  204  12 ms  127.0.0.1:9000",
    ];
    assert_eq!(lines[..7], expected);
    assert!(lines[7].starts_with("  next attempt 1970-01-01T00:00:09.000Z ("), "{out}");
    assert_eq!((lines.len(), err.as_str()), (8, "there are more; --all shows all of them\n"));

    let none = || Script { list_deliveries: [ListDeliveriesResponse::default()].into(), ..Script::default() };
    let (asked, _, err) = run(none(), &["deliveries", "--pending"]).await;
    let [WebhookCall::Deliveries(request)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((request.state(), err.as_str()), (DeliveryState::Pending, "no deliveries\n"));
    assert_eq!(run(none(), &["deliveries", "--json"]).await.2, "");
}

#[tokio::test]
async fn deliveries_are_sent_again() {
    let script = |count| Script { redeliver: [RedeliverResponse { count }].into(), ..Script::default() };
    let since = parse_when("2026-01-02T03:04:05Z").unwrap();
    let cases: [(&[&str], i64, RedeliverRequest, &str); 3] = [
        (
            &["d1"],
            1,
            RedeliverRequest { what: Some(What::DeliveryId("d1".into())), from: None, to: None },
            "1 delivery is sent again\n",
        ),
        (
            &["--failed", "w1"],
            0,
            RedeliverRequest { what: Some(What::FailedOf("w1".into())), from: None, to: None },
            "nothing to send again\n",
        ),
        (
            &["--all", "w1", "--since", "2026-01-02T03:04:05Z", "--until", "2026-01-02T03:04:05Z"],
            12,
            RedeliverRequest { what: Some(What::AllOf("w1".into())), from: Some(since), to: Some(since) },
            "12 deliveries are sent again\n",
        ),
    ];
    for (arguments, count, expected, note) in cases {
        let arguments: Vec<_> = ["redeliver"].iter().chain(arguments).copied().collect();
        let (asked, out, err) = run(script(count), &arguments).await;
        assert_eq!((asked, out.as_str(), err.as_str()), (vec![WebhookCall::Redeliver(expected)], "", note));
    }
    let (_, out, err) = run(script(3), &["redeliver", "d1", "--json"]).await;
    assert_eq!((out.as_str(), err.as_str()), ("{\"count\":\"3\"}\n", ""));
}
