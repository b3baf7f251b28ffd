//! What arrives: the headers and the bytes, in each form.

use a2a_gateway::proto::{
    a2a::AuthenticationInfo,
    gateway::{NewWebhook, WebhookEvent, WebhookPayload},
};
use serde_json::{Value, json};

use crate::{
    process::{http, submit},
    receiver::Receiver,
    rig::{Rig, hook, one_event},
};

/// A webhook with all that can be given.
fn full(url: String, payload: WebhookPayload) -> NewWebhook {
    let authentication = AuthenticationInfo { scheme: "Bearer".into(), credentials: "s3cr3t== x".into() };
    NewWebhook { token: "a-token".into(), authentication: Some(authentication), payload: payload.into(), ..hook(url) }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_one_task_hear_of_it_from_the_first_event_on_each_in_its_form() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let hooks = vec![
        full(receiver.url("/v1"), WebhookPayload::A2a10),
        full(receiver.url("/v03"), WebhookPayload::A2a03),
        full(receiver.url("/praison"), WebhookPayload::Praisonai),
    ];
    let task = rig.submit("hello", hooks).await;
    let log = rig.log(&task).await;
    rig.delivered(&task, 4 + 3 + 3).await;

    let v1 = receiver.at("/v1");
    assert!(v1.iter().map(|one| one.sequence()).eq(1..=4), "{v1:#?}");
    for (received, event) in v1.iter().zip(&log) {
        let mut event = serde_json::to_value(event).unwrap();
        let body = received.json();
        let (member, content) = body.as_object().unwrap().iter().next().unwrap();
        let name = if member == "task" { "snapshot" } else { member };
        assert_eq!(content["id"].as_str().or(content["taskId"].as_str()), Some(task.as_str()), "{received:?}");
        // Two writers of the same: they differ only in empty members.
        let event = event[name].take();
        assert_eq!(content["status"]["state"], event["status"]["state"], "{body}");
        assert_eq!(content["artifact"]["parts"], event["artifact"]["parts"], "{body}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    }
    assert_eq!(v1[0].json()["task"]["status"]["state"], "TASK_STATE_SUBMITTED");
    assert_eq!(v1[2].json()["artifactUpdate"]["artifact"]["parts"][0]["text"], "Echo: hello");

    let v03 = receiver.at("/v03");
    assert!(v03.iter().map(|one| one.sequence()).eq([1, 2, 4]), "{v03:#?}");
    let states: Vec<_> = v03.iter().map(|one| one.json()["status"]["state"].clone()).collect();
    assert_eq!(states, ["submitted", "working", "completed"]);
    let last = v03[2].json();
    assert_eq!((&last["kind"], &last["id"]), (&json!("task"), &json!(task)));
    assert_eq!(last["artifacts"][0]["parts"][0], json!({"kind": "text", "text": "Echo: hello"}));
    assert!(v03[0].json().get("artifacts").is_none_or(|none| none == &json!([])), "the task as of the event");

    let praison = receiver.at("/praison");
    for (received, state) in praison.iter().zip(["submitted", "working", "completed"]) {
        let body = received.json();
        let timestamp = body["status"]["timestamp"].clone();
        assert!(timestamp.is_string(), "{body}");
        let expected =
            json!({"taskId": task, "status": {"state": state, "timestamp": timestamp}, "timestamp": timestamp});
        assert_eq!(body, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_those_of_the_form() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let forms = [
        ("/v1", WebhookPayload::A2a10, "application/a2a+json"),
        ("/v03", WebhookPayload::A2a03, "application/json"),
        ("/praison", WebhookPayload::Praisonai, "application/json"),
    ];
    let mut request = submit("hello", "");
    request.webhooks = forms.map(|(path, payload, _)| full(receiver.url(path), payload)).into();
    let record = rig.client.submit_task(request).await.unwrap().into_inner();
    let task = record.task.unwrap().id;
    rig.delivered(&task, 4 + 3 + 3).await;
    for ((path, payload, media_type), webhook) in forms.into_iter().zip(&record.webhooks) {
        for received in receiver.at(path) {
            assert!(received.is_signed_with(&webhook.signing_secret), "{path}: {received:?}");
            assert_eq!(received.header("content-type"), media_type);
            assert_eq!(received.header("authorization"), "Bearer s3cr3t== x");
            assert_eq!(received.header("a2a-event-sequence"), received.sequence().to_string());
            assert_eq!(received.header("user-agent"), format!("a2a-gateway/{}", env!("CARGO_PKG_VERSION")));
            let trace: Vec<_> = received.header("traceparent").split('-').map(str::len).collect();
            assert_eq!(trace, [2, 32, 16, 2], "{received:?}");
            let delivery = received.delivery();
            assert_eq!((delivery.webhook.to_string(), delivery.task.to_string()), (webhook.id.clone(), task.clone()));
            let tokens = ["x-a2a-notification-token", "a2a-notification-token", "x-webhook-token"];
            let token = tokens.map(|name| received.header(name));
            match payload {
                WebhookPayload::Praisonai => assert_eq!(token, ["", "", "a-token"]),
                _ => assert_eq!(token, ["a-token", "a-token", ""]),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_hears_of_what_it_wants_also_on_later_turns() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let all = [WebhookEvent::Status, WebhookEvent::Artifact, WebhookEvent::Message].map(i32::from);
    let hooks = vec![
        NewWebhook { events: all.into(), ..hook(receiver.url("/all")) },
        NewWebhook { events: vec![WebhookEvent::Message.into()], ..hook(receiver.url("/messages")) },
        one_event(receiver.url("/artifacts")),
        hook(receiver.url("/usual")),
    ];
    let task = rig.submit("ask: Which way?", hooks).await;
    rig.until(&task, "question", |all| all.len() == 3 + 3).await;
    let mut answer = submit("north", "");
    answer.message.as_mut().unwrap().task_id = task.clone();
    rig.client.submit_task(answer).await.unwrap();
    let log = rig.log(&task).await;
    // Task, working, question; working, answer, artifact, completed.
    assert_eq!(log.len(), 7, "{log:#?}");
    rig.delivered(&task, 7 + 1 + 1 + 6).await;
    let sequences = |path: &str| receiver.at(path).iter().map(|one| one.sequence()).collect::<Vec<_>>();
    assert_eq!(sequences("/all"), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(sequences("/messages"), [5]);
    assert_eq!(sequences("/artifacts"), [6]);
    assert_eq!(sequences("/usual"), [1, 2, 3, 4, 6, 7]);
    assert_eq!(receiver.at("/messages")[0].json()["message"]["parts"][0]["text"], "north");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_submit_makes_no_second_webhook() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let mut request = submit("hello", "once");
    request.webhooks = vec![hook(receiver.url("/in"))];
    let first = rig.client.submit_task(request.clone()).await.unwrap().into_inner();
    let again = rig.client.submit_task(request).await.unwrap().into_inner();
    assert!(again.replayed && again.webhooks.is_empty() && first.webhooks.len() == 1);
    let task = first.task.unwrap().id;
    rig.log(&task).await;
    rig.delivered(&task, 4).await;
    assert_eq!(receiver.count(), 4);
}

/// Calls a method of JSON-RPC.
async fn call(rig: &Rig, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = http().post(format!("http://{}/a2a", rig.gateway.address)).json(&body).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn push_configs_of_a2a_are_sent_with_token_and_credentials_from_the_first_event_on() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let parts = |kind: bool| if kind { json!({"kind": "text", "text": "hello"}) } else { json!({"text": "hello"}) };
    let v1 = json!({"id": "c-1", "url": receiver.url("/v1"), "token": "tk",
        "authentication": {"scheme": "Bearer", "credentials": "s3cr3t"}});
    let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [parts(false)]});
    let params = json!({"message": message, "configuration": {"taskPushNotificationConfig": v1}});
    let answer = call(&rig, "SendMessage", params).await;
    let first = answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    rig.delivered(&first, 4).await;

    let v03 = json!({"id": "c-1", "url": receiver.url("/v03"), "token": "tk",
        "authentication": {"schemes": ["Bearer"], "credentials": "s3cr3t"}});
    let message = json!({"kind": "message", "messageId": "m", "role": "user", "parts": [parts(true)]});
    let params = json!({"message": message, "configuration": {"blocking": true, "pushNotificationConfig": v03}});
    let answer = call(&rig, "message/send", params).await;
    let second = answer["result"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    rig.delivered(&second, 3).await;
    for (path, count) in [("/v1", 4), ("/v03", 3)] {
        let received = receiver.at(path);
        assert_eq!((received.len(), received[0].sequence()), (count, 1), "{path}: {received:#?}");
        for received in received {
            assert_eq!(received.header("authorization"), "Bearer s3cr3t");
            assert_eq!(received.header("x-a2a-notification-token"), "tk");
            assert_eq!(received.header("a2a-notification-token"), "tk");
            assert_eq!(received.header("webhook-signature"), "");
            assert!(!received.header("webhook-id").is_empty());
        }
    }
    assert_eq!(receiver.at("/v03")[2].json()["kind"], "task");
}
