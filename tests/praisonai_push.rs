//! Push notification configs as PraisonAI's clients use them: word for word what their page sends and expects.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use door::*;
use serde_json::{Value, json};

const SET: &str = "tasks/pushNotificationConfig/set";
const GET: &str = "tasks/pushNotificationConfig/get";
const LIST: &str = "tasks/pushNotificationConfig/list";
const DELETE: &str = "tasks/pushNotificationConfig/delete";

/// Posts a request as it is; the whole answer.
async fn post(client: &Client, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": "1", "method": method, "params": params});
    let response = client.post(body.to_string(), &[]).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    response.json().await.unwrap()
}

fn result(result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "1", "result": result})
}

fn error(code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "1", "error": {"code": code, "message": message}})
}

#[tokio::test]
async fn the_pages_requests_get_the_pages_answers() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door);
        let post = async |method, params| post(&client, method, params).await;
        let config = json!({
            "taskId": "task-123", "url": "https://my-app.test/hook", "token": "webhook-secret",
            "authentication": {"scheme": "Bearer", "credentials": "my-auth-token"},
        });
        assert_eq!(post(LIST, json!({})).await, result(json!({"configs": []})), "{door:?}");
        // There is no such task, which is no reason to refuse.
        assert_eq!(post(SET, config.clone()).await, result(config.clone()), "{door:?}");
        assert_eq!(post(GET, json!({"taskId": "task-123"})).await, result(config.clone()), "{door:?}");
        assert_eq!(post(LIST, json!({})).await, result(json!({"configs": [config]})), "{door:?}");

        // One per task: what is set later takes its place.
        let later = json!({"taskId": "task-123", "url": "http://other.test/", "id": "ignored"});
        let shown = json!({"taskId": "task-123", "url": "http://other.test/", "token": null, "authentication": {}});
        assert_eq!(post(SET, later).await, result(shown.clone()), "{door:?}");
        let nulls = json!({"taskId": "test", "url": "http://h.test/", "token": null, "authentication": {}});
        assert_eq!(post(SET, nulls.clone()).await, result(nulls.clone()), "{door:?}");
        assert_eq!(post(LIST, Value::Null).await, result(json!({"configs": [shown, nulls]})), "{door:?}");

        for task in ["task-123", "test"] {
            assert_eq!(post(DELETE, json!({"taskId": task})).await, result(json!({"deleted": true})), "{door:?}");
            for method in [DELETE, GET] {
                let answer = post(method, json!({"taskId": task})).await;
                assert_eq!(answer, error(-32000, "Config not found"), "{door:?} {method}");
            }
        }
    }
}

#[tokio::test]
async fn a_task_or_url_that_is_missing_is_told_in_the_pages_words() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let client = gateway.client(Door::PraisonOwn);
    for params in
        [json!({}), json!({"taskId": "t"}), json!({"url": "http://h.test/"}), json!({"taskId": "", "url": ""})]
    {
        let answer = post(&client, SET, params.clone()).await;
        assert_eq!(answer, error(-32602, "taskId and url required"), "{params}");
    }
    // On the common path a request shows by a URL of its own that it is PraisonAI's.
    let answer = post(&gateway.client(Door::Praison), SET, json!({"url": "http://h.test/"})).await;
    assert_eq!(answer, error(-32602, "taskId and url required"));
    for (method, id) in [(GET, json!({})), (DELETE, json!({"id": "t"}))] {
        let answer = post(&client, method, id).await;
        assert_eq!(answer, error(-32602, "Invalid params: taskId is required: the id of a task"), "{method}");
    }
}

#[tokio::test]
async fn the_list_goes_beyond_a_page_and_leaves_out_what_its_clients_cannot_name() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let client = gateway.client(Door::PraisonOwn);
    for i in 0..130 {
        client.set_hook(&push::hook(&format!("task-{i}"), "")).await.unwrap();
    }
    let task = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    gateway.client(Door::V1).set_hook(&push::hook(&task, "c")).await.unwrap();
    let tasks: Vec<_> = client.hooks("").await.unwrap().into_iter().map(|hook| hook.task).collect();
    assert_eq!(tasks, (0..130).map(|i| format!("task-{i}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_config_that_comes_with_a_message_is_the_tasks_whatever_id_it_has() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let client = gateway.client(Door::PraisonOwn);
    let config = json!({"id": "c", "url": "http://h.test/"});
    let params = json!({"message": client.message("hello"), "configuration": {"pushNotification": config}});
    let answer = post(&client, "message/send", params).await;
    let task = answer["result"]["id"].clone();
    let shown = json!({"taskId": task, "url": "http://h.test/", "token": null, "authentication": {}});
    assert_eq!(post(&client, GET, json!({"taskId": task})).await, result(shown));
}

#[tokio::test]
async fn a_task_that_is_there_has_one_config_however_its_id_is_spelled() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door);
        let task = client.send(say("hello")).await.unwrap().task().id;
        let spelled = push::Hook { task: task.to_uppercase(), ..push::hook("", "") };
        let shown = push::Hook { task: task.clone(), ..spelled.clone() };
        client.set_hook(&push::hook(&task, "")).await.unwrap();
        assert_eq!(client.set_hook(&spelled).await.unwrap(), shown, "{door:?}");
        assert_eq!(client.hooks("").await.unwrap(), [shown], "{door:?}");
        let webhooks = engine.webhooks(&Default::default(), Default::default()).await.unwrap().0;
        assert_eq!(webhooks.len(), 1, "{door:?}");
        assert_eq!(&*webhooks[0].agent, "echo", "{door:?}: the task's");
        client.drop_hook(&task.to_uppercase(), "").await.unwrap();
    }
}

#[tokio::test]
async fn where_webhooks_are_off_each_of_the_four_says_so() {
    let gateway = Gateway::start_without_push().await;
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door);
        for (method, params) in [
            (SET, json!({"taskId": "test", "url": "http://localhost:9999/test"})),
            (GET, json!({"taskId": "test"})),
            (LIST, json!({})),
            (DELETE, json!({"taskId": "test"})),
        ] {
            let message = format!("Push notifications not supported: {method}");
            assert_eq!(post(&client, method, params).await, error(-32601, &message), "{door:?}");
        }
    }
    // Whatever a probe sends.
    let message = format!("Push notifications not supported: {SET}");
    assert_eq!(post(&gateway.client(Door::PraisonOwn), SET, json!({})).await, error(-32601, &message));
}

#[tokio::test]
async fn a_probe_finds_what_the_card_says() {
    let (on, _) = Gateway::start_push(&["echo"]).await;
    for (gateway, offered) in [(on, true), (Gateway::start_without_push().await, false)] {
        let card = gateway.http.get(gateway.url("/.well-known/agent.json")).send().await.unwrap();
        let card: Value = card.json().await.unwrap();
        assert_eq!(card["capabilities"]["pushNotifications"], offered);
        let probe = json!({"taskId": "test", "url": "http://localhost:9999/test"});
        let answer = post(&gateway.client(Door::Praison), SET, probe).await;
        assert_eq!(answer.get("result").is_some(), offered, "{answer}");
    }
}
