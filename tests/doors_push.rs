//! Push notification configs are the same webhooks on every A2A door, each in its dialect's own form.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use a2a_gateway::{
    engine::{Caller, Engine, NewWebhook, Scope, Signing, WebhookFilter},
    proto::a2a::TaskState::{Completed, InputRequired},
    task::{Dialect as Payload, Webhook},
};
use door::{
    kinds::*,
    push::{Hook, hook, is_missing},
    *,
};
use serde_json::{Value, json};

/// A task that nobody ever made.
const NOBODYS: &str = "01234567-89ab-7cde-8f01-23456789abcd";

async fn settled(client: &Client) -> String {
    client.send(say("hello")).await.unwrap().task().id
}

/// All webhooks of the anonymous caller.
async fn stored(engine: &Engine) -> Vec<Webhook> {
    engine.webhooks(&Caller::default(), WebhookFilter::default()).await.unwrap().0
}

#[tokio::test]
async fn a_config_is_set_read_listed_and_removed_in_each_dialects_form() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    for door in Door::PUSH {
        let client = gateway.client(door);
        let task = settled(&client).await;
        for whole in [hook(&task, "c-1"), Hook { token: String::new(), auth: None, ..hook(&task, "c-1") }] {
            let seen = whole.clone().seen_by(door);
            assert_eq!(client.set_hook(&whole).await.unwrap(), seen, "{door:?}");
            assert_eq!(client.get_hook(&task, "c-1").await.unwrap(), seen, "{door:?}");
            assert_eq!(client.hooks(&task).await.unwrap(), [seen], "{door:?}");
        }
        let webhooks = stored(&engine).await;
        let [webhook] = webhooks.as_slice() else { panic!("{door:?}: {webhooks:?}") };
        let payload = match door.dialect() {
            _ if door.is_v03() => Payload::V03,
            None | Some(Dialect::V1 | Dialect::V03) => Payload::V1,
            Some(Dialect::Praison) => Payload::Praison,
        };
        assert_eq!((webhook.payload, webhook.secrets.signing.as_str()), (payload, ""), "{door:?}");
        assert_eq!((&*webhook.agent, &webhook.task), ("echo", &task), "{door:?}");

        client.drop_hook(&task, "c-1").await.unwrap();
        assert!(stored(&engine).await.is_empty(), "{door:?}");
        is_missing(&client.get_hook(&task, "c-1").await.unwrap_err(), "c-1");
        assert_eq!(client.hooks(&task).await.unwrap(), [], "{door:?}");
        match client.drop_hook(&task, "c-1").await {
            Ok(()) => assert!(!door.is_praison()),
            Err(fault) => {
                assert!(door.is_praison(), "{fault:?}");
                is_missing(&fault, "c-1");
            }
        }
    }
}

#[tokio::test]
async fn a_config_without_an_id_gets_one_and_one_with_a_known_id_replaces() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    for door in Door::PUSH {
        let client = gateway.client(door);
        let task = settled(&client).await;
        let plain = Hook { id: String::new(), ..hook(&task, "a") };
        let first = client.set_hook(&plain).await.unwrap();
        let second = client.set_hook(&Hook { url: "http://b.test/".into(), ..plain.clone() }).await.unwrap();
        assert_eq!((first.url.as_str(), second.url.as_str()), ("https://hook.test/a", "http://b.test/"), "{door:?}");
        match door {
            // Each is a new one.
            Door::A2aGrpc | Door::V1 | Door::Rest => {
                assert_ne!(first.id, second.id, "{door:?}");
                assert_eq!(client.hooks(&task).await.unwrap(), [first, second.clone()], "{door:?}");
            }
            // The one that is called as the task: what a request means that names none.
            Door::V03 | Door::Rest03 | Door::Grpc03 => {
                assert_eq!((&first.id, &second.id), (&task, &task));
                assert_eq!(client.hooks(&task).await.unwrap(), std::slice::from_ref(&second));
            }
            _ => assert_eq!(client.hooks(&task).await.unwrap(), std::slice::from_ref(&second), "{door:?}"),
        }
        let replaced = client.set_hook(&Hook { token: "new".into(), auth: None, ..second.clone() }).await.unwrap();
        assert_eq!((&replaced.id, replaced.token.as_str(), &replaced.auth), (&second.id, "new", &None), "{door:?}");
        assert_eq!(client.get_hook(&task, &second.id).await.unwrap(), replaced, "{door:?}");
        for shown in client.hooks(&task).await.unwrap() {
            client.drop_hook(&task, &shown.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_0_3_leaves_open_is_the_tasks_own_config_or_the_first() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let client = gateway.client(Door::V03);
    let task = settled(&client).await;
    let fault = client.get_hook(&task, "").await.unwrap_err();
    assert_eq!(fault.is(&TASK_NOT_FOUND).message, format!("task {task} has no push notification config"));
    for id in ["b", "a"] {
        client.set_hook(&hook(&task, id)).await.unwrap();
    }
    assert_eq!(client.get_hook(&task, "").await.unwrap().id, "b");
    client.set_hook(&hook(&task, "")).await.unwrap();
    assert_eq!(client.get_hook(&task, "").await.unwrap().id, task);
    // To remove one it has to be named.
    let method = "tasks/pushNotificationConfig/delete";
    let fault = client.call(method, json!({"id": task}), Dialect::V03, &[]).await.unwrap_err();
    fault.is_about("push_notification_config_id");
    assert_eq!(client.hooks(&task).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_config_set_on_one_door_is_there_on_every_other() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    for maker in Door::PUSH_A2A {
        let task = settled(&gateway.client(maker)).await;
        let made = gateway.client(maker).set_hook(&hook(&task, "c-1")).await.unwrap();
        for other in Door::PUSH_A2A {
            let client = gateway.client(other);
            assert_eq!(client.get_hook(&task, "c-1").await.unwrap(), made, "{maker:?} {other:?}");
            assert_eq!(client.hooks(&task).await.unwrap(), std::slice::from_ref(&made), "{maker:?} {other:?}");
        }
    }
    // PraisonAI's has the task's id as its own.
    for maker in [Door::Praison, Door::PraisonOwn] {
        let task = settled(&gateway.client(maker)).await;
        let made = gateway.client(maker).set_hook(&hook(&task, "")).await.unwrap();
        for other in Door::PUSH_A2A {
            let seen = gateway.client(other).get_hook(&task, &task).await.unwrap();
            assert_eq!(seen, Hook { id: task.clone(), ..made.clone() }, "{maker:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn lists_have_pages_where_the_dialect_has_them() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let task = settled(&gateway.client(Door::V1)).await;
    let ids = ["e", "d", "c", "b", "a"];
    for id in ids {
        gateway.client(Door::V1).set_hook(&hook(&task, id)).await.unwrap();
    }
    for door in Door::PUSH_PAGES {
        let client = gateway.client(door);
        let (mut seen, mut token) = (Vec::new(), String::new());
        for expected in [2, 2, 1] {
            let (page, next) = client.hook_page(&task, 2, &token).await.unwrap();
            assert_eq!(page.len(), expected, "{door:?}");
            assert_eq!(next.is_empty(), expected == 1, "{door:?}");
            seen.extend(page.into_iter().map(|hook| hook.id));
            token = next;
        }
        assert_eq!(seen, ids, "{door:?}: oldest first");
        for (size, token, field) in
            [(101, "", "page_size"), (-1, "", "page_size"), (2, "next", "page_token"), (2, "é", "page_token")]
        {
            client.hook_page(&task, size, token).await.unwrap_err().is_about(field);
        }
    }
    let all = gateway.client(Door::V03).hooks(&task).await.unwrap();
    assert_eq!(all.into_iter().map(|hook| hook.id).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn the_33rd_config_of_a_task_is_refused_and_no_other_task_minds() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    for door in Door::PUSH_A2A {
        let client = gateway.client(door);
        let (task, other) = (settled(&client).await, settled(&client).await);
        for i in 0..32 {
            client.set_hook(&hook(&task, &format!("c-{i}"))).await.unwrap();
        }
        client.set_hook(&hook(&task, "c-32")).await.unwrap_err().is(&WEBHOOK_LIMIT);
        // One that is there may still be replaced, and one that was removed leaves its place.
        client.set_hook(&hook(&task, "c-7")).await.unwrap();
        client.set_hook(&hook(&other, "c-32")).await.unwrap();
        client.drop_hook(&task, "c-0").await.unwrap();
        client.set_hook(&hook(&task, "c-32")).await.unwrap();
        assert_eq!(client.hooks(&task).await.unwrap().len(), 32, "{door:?}");
        client.hooks(&other).await.unwrap();
    }
    let waiting = gateway.client(Door::V1).send(say("ask: Who?")).await.unwrap().task();
    for i in 0..32 {
        gateway.client(Door::V1).set_hook(&hook(&waiting.id, &format!("c-{i}"))).await.unwrap();
    }
    for door in Door::PUSH_A2A {
        let next = Send { task: &waiting.id, ..say("Bob") };
        let fault = gateway.client(door).send_hook(next, &hook("", "inline")).await.unwrap_err();
        fault.is(&WEBHOOK_LIMIT);
        let read = gateway.client(Door::V1).get(&waiting.id, None).await.unwrap();
        assert_eq!(read, waiting, "{door:?}: the refused message left something behind");
    }
    engine.stop().await;
}

#[tokio::test]
async fn configs_of_a_task_that_is_not_there_are_not_found() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    for door in Door::PUSH_A2A {
        let client = gateway.client(door);
        for task in [NOBODYS, "task-123"] {
            let faults = [
                client.set_hook(&hook(task, "c")).await.unwrap_err(),
                client.get_hook(task, "c").await.unwrap_err(),
                client.hooks(task).await.unwrap_err(),
                client.drop_hook(task, "c").await.unwrap_err(),
            ];
            for fault in faults {
                fault.is(&TASK_NOT_FOUND);
                assert_eq!(fault.message, format!("Task not found: {task}"), "{door:?}");
            }
        }
    }
    assert!(stored(&engine).await.is_empty());
}

#[tokio::test]
async fn another_callers_configs_are_not_there() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    let new = NewWebhook {
        field: String::new(),
        scope: Scope::Named("task-1".into()),
        name: "task-1".into(),
        url: "http://h.test/".into(),
        token: String::new(),
        authentication: None,
        events: None,
        payload: Payload::Praison,
        signing: Signing::Unsigned,
    };
    let somebody = Caller { owner: "somebody".into() };
    engine.create_webhook(&somebody, new).await.unwrap();
    for door in [Door::Praison, Door::PraisonOwn] {
        let client = gateway.client(door);
        assert_eq!(client.hooks("").await.unwrap(), []);
        is_missing(&client.get_hook("task-1", "").await.unwrap_err(), "");
        is_missing(&client.drop_hook("task-1", "").await.unwrap_err(), "");
    }
    assert_eq!(engine.webhooks(&somebody, WebhookFilter::default()).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn for_a_request_that_names_an_agent_only_configs_of_its_tasks_are_there() {
    let (gateway, engine) = Gateway::start_push(&["first", "other"]).await;
    for door in Door::PUSH {
        let by_default = gateway.client(door);
        let (mine, theirs) = match door {
            Door::A2aGrpc | Door::Grpc03 => {
                let named = |agent: &str| Client { metadata: agent.into(), ..gateway.client(door) };
                (named("other"), named("first"))
            }
            _ => (by_default.on_path("other"), by_default.on_path("first")),
        };
        let task = settled(&mine).await;
        let made = mine.set_hook(&hook(&task, "c")).await.unwrap();
        assert_eq!(mine.get_hook(&task, "c").await.unwrap(), made, "{door:?}");
        assert_eq!(mine.hooks(&task).await.unwrap(), std::slice::from_ref(&made), "{door:?}");
        assert_eq!(by_default.hooks(&task).await.unwrap(), std::slice::from_ref(&made), "{door:?}");

        theirs.set_hook(&hook(&task, "c")).await.unwrap_err().is(&TASK_NOT_FOUND);
        theirs.get_hook(&task, "c").await.unwrap_err().is(&TASK_NOT_FOUND);
        theirs.drop_hook(&task, "c").await.unwrap_err().is(&TASK_NOT_FOUND);
        if door.is_praison() {
            assert_eq!(theirs.hooks(&task).await.unwrap(), [], "{door:?}");
        } else {
            theirs.hooks(&task).await.unwrap_err().is(&TASK_NOT_FOUND);
        }
        assert_eq!(stored(&engine).await.len(), 1, "{door:?}");

        let nobody = match door {
            Door::A2aGrpc | Door::Grpc03 => Client { metadata: "nobody".into(), ..gateway.client(door) },
            _ => by_default.on_path("nobody"),
        };
        nobody.set_hook(&hook(&task, "c")).await.unwrap_err().is(&AGENT_NOT_FOUND);
        nobody.hooks(&task).await.unwrap_err().is(&AGENT_NOT_FOUND);
        mine.drop_hook(&task, "c").await.unwrap();
    }
    for door in Door::PUSH_PAGES {
        let tenant = |name: &str| Client { tenant: name.into(), ..gateway.client(door) };
        let task = settled(&tenant("other")).await;
        let made = tenant("other").set_hook(&hook(&task, "c")).await.unwrap();
        assert_eq!(tenant("other").get_hook(&task, "c").await.unwrap(), made, "{door:?}");
        for (name, kind) in [("first", &TASK_NOT_FOUND), ("nobody", &AGENT_NOT_FOUND)] {
            tenant(name).set_hook(&hook(&task, "c")).await.unwrap_err().is(kind);
            tenant(name).get_hook(&task, "c").await.unwrap_err().is(kind);
            tenant(name).hooks(&task).await.unwrap_err().is(kind);
            tenant(name).drop_hook(&task, "c").await.unwrap_err().is(kind);
        }
    }
}

#[tokio::test]
async fn a_config_that_comes_with_a_message_is_stored_with_the_task() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    for door in Door::PUSH {
        let client = gateway.client(door);
        let asked = client.send_hook(say("ask: Who?"), &hook("", "c-1")).await.unwrap();
        assert_eq!(asked.state, InputRequired, "{door:?}");
        let named = |id: &str| Hook { task: asked.id.clone(), ..hook("", id) };
        // PraisonAI knows no ids: what it sends with a message is the task's own config.
        let id = if door.is_praison() { "" } else { "c-1" };
        assert_eq!(client.get_hook(&asked.id, id).await.unwrap(), named("c-1").seen_by(door), "{door:?}");
        // With the next turn: one more, or another in its place.
        let next = Send { task: &asked.id, ..say("Bob") };
        let items = client.stream_hook(next, &hook("", "c-2")).await.unwrap().rest().await;
        assert!(items.iter().any(|item| item.state() == Some(Completed)), "{door:?}");
        let expected =
            if door.is_praison() { vec![named("c-2").seen_by(door)] } else { vec![named("c-1"), named("c-2")] };
        assert_eq!(client.hooks(&asked.id).await.unwrap(), expected, "{door:?}");
        for webhook in stored(&engine).await {
            engine.delete_webhook(&Caller::default(), webhook.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_config_without_an_id_that_comes_with_each_turn_is_one_config() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    for door in Door::PUSH_A2A {
        let client = gateway.client(door);
        let plain = |token: &str| Hook { token: token.into(), ..hook("", "") };
        let asked = client.send_hook(say("ask: Who?"), &plain("one")).await.unwrap();
        let next = Send { task: &asked.id, ..say("Bob") };
        client.send_hook(next, &Hook { task: asked.id.clone(), ..plain("two") }).await.unwrap();
        let expected = Hook { id: asked.id.clone(), task: asked.id.clone(), ..plain("two") };
        assert_eq!(client.hooks(&asked.id).await.unwrap(), [expected], "{door:?}");
    }
}

#[tokio::test]
async fn a_send_that_is_repeated_by_its_key_has_its_config_once() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    for door in Door::JSON.into_iter().chain(Door::REST) {
        let client = gateway.client(door);
        let key = format!("key-{door:?}");
        let keyed = || Send { key: &key, ..say("hello") };
        let before = stored(&engine).await.len();
        let first = client.send_hook(keyed(), &hook("", "c")).await.unwrap();
        assert_eq!(client.send_hook(keyed(), &hook("", "c")).await.unwrap(), first, "{door:?}");
        let other = Hook { token: "other".into(), ..hook("", "c") };
        client.send_hook(keyed(), &other).await.unwrap_err().is(&REQUEST_ID_REUSED);
        client.send(keyed()).await.unwrap_err().is(&REQUEST_ID_REUSED);
        assert_eq!(stored(&engine).await.len(), before + 1, "{door:?}");
    }
}

#[tokio::test]
async fn a_config_for_another_task_than_the_messages_is_refused() {
    let (gateway, engine) = Gateway::start_push(&["echo"]).await;
    let waiting = gateway.client(Door::V1).send(say("ask: Who?")).await.unwrap().task();
    for door in Door::PUSH_A2A {
        let client = gateway.client(door);
        let next = || Send { task: &waiting.id, ..say("Bob") };
        for (send, task) in [(say("hello"), waiting.id.as_str()), (say("hello"), "x"), (next(), NOBODYS)] {
            let foreign = Hook { task: task.into(), ..hook("", "c") };
            for fault in [
                client.send_hook(send.clone(), &foreign).await.unwrap_err(),
                client.stream_hook(send, &foreign).await.err().unwrap(),
            ] {
                fault.is_about("configuration.task_push_notification_config.task_id");
            }
        }
    }
    assert_eq!(gateway.client(Door::V1).get(&waiting.id, None).await.unwrap(), waiting);
    assert_eq!(gateway.count().await, 1);
    assert!(stored(&engine).await.is_empty());
}

#[tokio::test]
async fn every_known_shape_of_a_config_makes_the_same_one() {
    let (gateway, _) = Gateway::start_push(&["echo"]).await;
    let task = settled(&gateway.client(Door::V1)).await;
    let single = json!({"scheme": "Bearer", "credentials": "secret-c"});
    let inner = json!({"url": "https://hook.test/c", "token": "token-c",
        "authentication": {"schemes": ["Bearer"], "credentials": "secret-c"}});
    let flat = json!({"id": "c", "url": "https://hook.test/c", "token": "token-c", "authentication": single});
    let with = |mut object: Value, more: Value| {
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let name = format!("tasks/{task}/pushNotificationConfigs/c");
    let nested = [
        json!({"taskId": task, "pushNotificationConfig": flat}),
        json!({"taskId": task, "config": flat}),
        json!({"task_id": task, "configId": "c", "config": inner}),
        json!({"parent": format!("tasks/{task}"), "configId": "c",
            "config": {"name": name, "pushNotificationConfig": inner}}),
        json!({"name": name, "pushNotificationConfig": inner}),
        json!({"name": name, "push_notification_config": inner}),
    ];
    let mut requests = vec![(Door::V1, with(flat.clone(), json!({"taskId": task})))];
    for shape in nested {
        requests.extend([(Door::V1, shape.clone()), (Door::V03, shape)]);
    }
    for (door, params) in requests {
        let client = gateway.client(door);
        let method =
            if door == Door::V1 { "CreateTaskPushNotificationConfig" } else { "tasks/pushNotificationConfig/set" };
        client.call(method, params.clone(), door.dialect().unwrap(), &[]).await.unwrap();
        assert_eq!(client.hooks(&task).await.unwrap(), [hook(&task, "c")], "{door:?} {params}");
        client.drop_hook(&task, "c").await.unwrap();
    }
    for name in ["taskPushNotificationConfig", "pushNotificationConfig", "pushNotification"] {
        let client = gateway.client(Door::V1);
        let params = json!({"message": client.message("hello"), "configuration": {name: flat}});
        let answer = client.call("SendMessage", params, Dialect::V1, &[]).await.unwrap();
        let task = answer["task"]["id"].as_str().unwrap();
        assert_eq!(client.hooks(task).await.unwrap(), [hook(task, "c")], "{name}");
    }
}
