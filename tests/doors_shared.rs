//! A task belongs to no door: made on one, it is read, watched and canceled on any other (promise P7), each in the
//! dialect that DESIGN's rules give it; and what every door refuses in a form of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use std::sync::Arc;

use a2a_gateway::{
    agent::{Agent, Echo},
    proto::{
        a2a::{self, TaskState::Canceled, TaskState::Completed},
        gateway,
    },
};
use door::{grpc::fault, kinds::*, *};
use serde_json::{Value, json};

#[tokio::test]
async fn a_task_made_on_one_door_is_read_watched_and_canceled_on_any_other() {
    let gateway = Gateway::start().await;
    let reference = gateway.client(Door::Gateway);
    for maker in Door::ALL {
        for other in Door::ALL {
            let client = gateway.client(other).seeing(maker);
            let made = gateway.client(maker).send(say_at_once("slow: 100")).await.unwrap().task();
            let read = client.get(&made.id, None).await.unwrap();
            assert_eq!((&read.id, &read.context), (&made.id, &made.context), "{maker:?} {other:?}");
            assert_eq!(read.history, ["user: slow: 100"], "{maker:?} {other:?}");
            let mut watch = match other {
                // PraisonAI's clients have nothing to watch by on the common path.
                Door::Praison => None,
                _ => Some(client.watch(&made.id, None).await.unwrap()),
            };
            if let Some(watch) = watch.as_mut().filter(|_| other != Door::PraisonOwn) {
                let What::Task(first) = watch.item().await.what else { panic!("{other:?}: no task first") };
                assert_eq!((&first.id, first.history), (&made.id, read.history), "{maker:?} {other:?}");
            }
            let canceled = client.cancel(&made.id).await.unwrap();
            assert_eq!((canceled.state, &canceled.id), (Canceled, &made.id), "{maker:?} {other:?}");
            if let Some(watch) = watch {
                let states: Vec<_> = watch.rest().await.iter().filter_map(Item::state).collect();
                assert_eq!(states.last(), Some(&Canceled), "{maker:?} {other:?}");
            }
            // The same task, whoever looks.
            let same = reference.get(&made.id, None).await.unwrap();
            let context = client.get(&made.id, None).await.unwrap();
            assert_eq!(context, same, "{maker:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn a_task_that_waits_is_continued_on_another_door() {
    let gateway = Gateway::start().await;
    for (i, maker) in Door::ALL.into_iter().enumerate() {
        let other = Door::ALL[(i + 1) % Door::ALL.len()];
        let asked = gateway.client(maker).send(say("ask: Who?")).await.unwrap().task();
        let done = gateway.client(other).send(Send { task: &asked.id, ..say("Bob") }).await.unwrap().task();
        assert_eq!((done.state, done.artifacts), (Completed, vec!["Echo: Bob".to_owned()]), "{maker:?} {other:?}");
        let read = gateway.client(maker).seeing(maker).get(&asked.id, None).await.unwrap();
        assert_eq!(read.history, ["user: ask: Who?", "agent: Who?", "user: Bob"], "{maker:?} {other:?}");
    }
}

#[tokio::test]
async fn an_error_about_a_task_comes_in_the_tasks_dialect() {
    let gateway = Gateway::start().await;
    for maker in Door::ALL {
        let done = gateway.client(maker).send(say("hello")).await.unwrap().task();
        for other in Door::ALL {
            let client = gateway.client(other).seeing(maker);
            client.cancel(&done.id).await.unwrap_err().is(&TASK_NOT_CANCELABLE);
        }
    }
}

#[tokio::test]
async fn a_settled_task_is_not_watched_without_a_position() {
    let gateway = Gateway::start().await;
    for maker in Door::ALL {
        let done = gateway.client(maker).send(say("hello")).await.unwrap().task();
        for door in Door::A2A {
            gateway.client(door).watch(&done.id, None).await.err().unwrap().is(&UNSUPPORTED_OPERATION);
        }
        // The gateway's own API shows it, and that is all.
        let items = gateway.client(Door::Gateway).watch(&done.id, None).await.unwrap().rest().await;
        assert_eq!(items, [Item { sequence: Some(4), task: done.id.clone(), what: What::Task(done) }]);
    }
}

#[tokio::test]
async fn the_same_key_gives_the_same_task_and_other_content_is_refused() {
    let gateway = Gateway::start().await;
    let mut tasks = 0;
    for door in Door::KEYED {
        let client = gateway.client(door);
        let key = format!("key-{door:?}");
        let keyed = |text| Send { key: &key, ..say(text) };
        let first = client.send(keyed("hello")).await.unwrap().task();
        assert_eq!(client.send(keyed("hello")).await.unwrap().task(), first, "{door:?}");
        let replay = client.stream(keyed("hello")).await.unwrap().rest().await;
        assert_eq!(replay[0].task, first.id, "{door:?}");
        client.send(keyed("other")).await.unwrap_err().is(&REQUEST_ID_REUSED);
        let unkeyed = client.send(say("hello")).await.unwrap().task();
        assert_ne!(unkeyed.id, first.id, "{door:?}: a repeated message id is another message");
        tasks += 2;
        assert_eq!(gateway.count().await, tasks, "{door:?}");
    }
    // A key is the caller's, whichever door it comes through.
    let shared = Send { key: "shared", ..say("hello") };
    let first = gateway.client(Door::V1).send(shared.clone()).await.unwrap().task().id;
    for door in Door::KEYED {
        assert_eq!(gateway.client(door).send(shared.clone()).await.unwrap().task().id, first, "{door:?}");
    }
    let direct = Send { key: "direct", ..say("message: pong") };
    for door in [Door::V1, Door::V03, Door::Rest, Door::Rest03, Door::V1] {
        let answer = gateway.client(door).send(direct.clone()).await.unwrap();
        assert_eq!(answer, Answer::Message("pong".into()), "{door:?}");
    }
    let request = door::grpc::submit(&Send { key: "r", ..say("hello") });
    let mut client = gateway.client(Door::Gateway).gateway();
    assert!(!client.submit_task(request.clone()).await.unwrap().into_inner().replayed);
    assert!(client.submit_task(request).await.unwrap().into_inner().replayed);
}

#[tokio::test]
async fn where_webhooks_are_off_push_is_refused_in_each_dialects_form() {
    let gateway = Gateway::start_without_push().await;
    let id = gateway.client(Door::V1).send(say("hello")).await.unwrap().task().id;
    let hook = "http://127.0.0.1:9/hook";
    let mut a2a = gateway.client(Door::A2aGrpc).a2a();
    let config = a2a::TaskPushNotificationConfig { task_id: id.clone(), url: hook.into(), ..Default::default() };
    let task_id = || id.clone();
    let get = a2a::GetTaskPushNotificationConfigRequest { task_id: task_id(), id: "c".into(), ..Default::default() };
    let list = a2a::ListTaskPushNotificationConfigsRequest { task_id: task_id(), ..Default::default() };
    let delete =
        a2a::DeleteTaskPushNotificationConfigRequest { task_id: task_id(), id: "c".into(), ..Default::default() };
    for status in [
        a2a.create_task_push_notification_config(config.clone()).await.unwrap_err(),
        a2a.get_task_push_notification_config(get).await.unwrap_err(),
        a2a.list_task_push_notification_configs(list).await.unwrap_err(),
        a2a.delete_task_push_notification_config(delete).await.unwrap_err(),
    ] {
        fault(status).is(&PUSH_NOT_SUPPORTED);
    }
    let mut inline = door::grpc::request(&say("hello"));
    inline.configuration.as_mut().unwrap().task_push_notification_config = Some(config);
    fault(a2a.send_message(inline.clone()).await.unwrap_err()).is(&PUSH_NOT_SUPPORTED);
    fault(a2a.send_streaming_message(inline).await.unwrap_err()).is(&PUSH_NOT_SUPPORTED);

    let v03 = ["set", "get", "list", "delete"].map(|verb| format!("tasks/pushNotificationConfig/{verb}"));
    let v1 = ["Create", "Get", "Delete"].map(|verb| format!("{verb}TaskPushNotificationConfig"));
    for method in v1.iter().map(String::as_str).chain(["ListTaskPushNotificationConfigs"]) {
        let params = json!({"taskId": id, "id": "c", "url": hook});
        let client = gateway.client(Door::V1);
        client.call(method, params, Dialect::V1, &[]).await.unwrap_err().is(&PUSH_NOT_SUPPORTED);
    }
    for method in &v03 {
        let params = match method.ends_with("set") {
            true => json!({"taskId": id, "pushNotificationConfig": {"url": hook}}),
            false => json!({"id": id, "pushNotificationConfigId": "c"}),
        };
        let client = gateway.client(Door::V03);
        client.call(method, params, Dialect::V03, &[]).await.unwrap_err().is(&PUSH_NOT_SUPPORTED);
        for door in [Door::Praison, Door::PraisonOwn] {
            let params = json!({"taskId": id, "url": hook});
            let fault = gateway.client(door).call(method, params, Dialect::Praison, &[]).await.unwrap_err();
            assert_eq!(fault.is(&PUSH_NOT_SUPPORTED).message, format!("Push notifications not supported: {method}"));
        }
    }
    for (door, name) in [
        (Door::V1, "taskPushNotificationConfig"),
        (Door::V03, "pushNotificationConfig"),
        (Door::PraisonOwn, "pushNotification"),
    ] {
        let client = gateway.client(door);
        let params = json!({"message": client.message("hello"), "configuration": {name: {"url": hook}}});
        let form = door.dialect().unwrap();
        let stream = if door == Door::V1 { "SendStreamingMessage" } else { "message/stream" };
        for method in [client.send_method(), stream] {
            client.call(method, params.clone(), form, &[]).await.unwrap_err().is(&PUSH_NOT_SUPPORTED);
        }
    }
    assert_eq!(gateway.count().await, 1, "something was stored");
}

#[tokio::test]
async fn there_is_no_extended_card_but_praisonais() {
    let gateway = Gateway::start().await;
    let mut a2a = gateway.client(Door::A2aGrpc).a2a();
    let status = a2a.get_extended_agent_card(a2a::GetExtendedAgentCardRequest::default()).await.unwrap_err();
    fault(status).is(&UNSUPPORTED_OPERATION);
    let call = async |door: Door, method: &str| {
        gateway.client(door).call(method, json!({}), door.dialect().unwrap(), &[]).await
    };
    for door in [Door::V1, Door::Rest] {
        call(door, "GetExtendedAgentCard").await.unwrap_err().is(&UNSUPPORTED_OPERATION);
    }
    for door in [Door::V03, Door::Rest03] {
        let method = "agent/getAuthenticatedExtendedCard";
        call(door, method).await.unwrap_err().is(&EXTENDED_CARD_NOT_CONFIGURED);
    }
    for (door, path) in [(Door::Praison, "/a2a"), (Door::PraisonOwn, "/praisonai/a2a")] {
        let card: Value = call(door, "agent/getExtendedCard").await.unwrap();
        assert_eq!((&card["name"], &card["url"]), (&json!("echo"), &json!(gateway.url(path))));
    }
}

#[tokio::test]
async fn an_agent_is_named_by_tenant_and_an_unknown_one_is_told() {
    let agents: Vec<(String, Arc<dyn Agent>)> = vec![("echo".into(), Arc::new(Echo)), ("other".into(), Arc::new(Echo))];
    let gateway = Gateway::start_with(agents, &[]).await;
    for door in [Door::Gateway, Door::A2aGrpc, Door::V1, Door::Rest] {
        let client = gateway.client(door);
        let to = |tenant| Send { tenant, ..say("hello") };
        let task = client.send(to("other")).await.unwrap().task();
        let listed = async |tenant| client.list(&ListQuery { tenant, ..ListQuery::default() }).await;
        assert!(listed("other").await.unwrap().tasks.iter().any(|listed| listed.id == task.id), "{door:?}");
        assert!(listed("echo").await.unwrap().tasks.is_empty(), "{door:?}");
        listed("nobody").await.unwrap_err().is(&AGENT_NOT_FOUND);
        client.send(to("nobody")).await.unwrap_err().is(&AGENT_NOT_FOUND);
        client.stream(to("nobody")).await.err().unwrap().is(&AGENT_NOT_FOUND);
    }
    let task = gateway.client(Door::V1).send(Send { tenant: "other", ..say("hello") }).await.unwrap().task();
    // A task of another agent does not exist for a request that names one.
    for (tenant, kind) in [("echo", &TASK_NOT_FOUND), ("nobody", &AGENT_NOT_FOUND)] {
        let (tenant, id) = (tenant.to_owned(), task.id.clone());
        let mut a2a = gateway.client(Door::A2aGrpc).a2a();
        let get = a2a::GetTaskRequest { tenant: tenant.clone(), id: id.clone(), ..Default::default() };
        fault(a2a.get_task(get).await.unwrap_err()).is(kind);
        let cancel = a2a::CancelTaskRequest { tenant: tenant.clone(), id: id.clone(), ..Default::default() };
        fault(a2a.cancel_task(cancel).await.unwrap_err()).is(kind);
        for door in [Door::V1, Door::Rest] {
            for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
                let params = json!({"tenant": tenant, "id": id});
                gateway.client(door).call(method, params, Dialect::V1, &[]).await.unwrap_err().is(kind);
            }
        }
    }
    let card = gateway::GetAgentCardRequest { agent: "nobody".into() };
    fault(gateway.client(Door::Gateway).gateway().get_agent_card(card).await.unwrap_err()).is(&AGENT_NOT_FOUND);
    let agents = gateway.client(Door::Gateway).gateway().list_agents(gateway::ListAgentsRequest {}).await;
    let agents: Vec<_> = agents.unwrap().into_inner().agents.into_iter().map(|a| (a.name, a.default)).collect();
    assert_eq!(agents, [("echo".to_owned(), true), ("other".to_owned(), false)]);
}

#[tokio::test]
async fn an_unknown_protocol_version_is_refused_and_known_ones_are_taken() {
    let gateway = Gateway::start().await;
    for door in Door::JSON.into_iter().chain(Door::REST) {
        let client = gateway.client(door);
        let form = door.dialect().unwrap();
        let params = json!({"message": client.message("hello")});
        for version in ["99.0", "0.2", "one"] {
            let headers = [("a2a-version", version)];
            let refused = client.call(client.send_method(), params.clone(), form, &headers).await.unwrap_err();
            assert!(refused.is(&VERSION_NOT_SUPPORTED).message.contains(version));
        }
        for version in ["1.0", "0.3", "0.3.0", "1.0.1", ""] {
            let headers = [("a2a-version", version)];
            client.call(client.send_method(), params.clone(), form, &headers).await.unwrap();
        }
    }
    let with = |version: &'static str| {
        let mut request = tonic::Request::new(door::grpc::request(&say("hello")));
        request.metadata_mut().insert("a2a-version", version.parse().unwrap());
        request
    };
    let mut a2a = gateway.client(Door::A2aGrpc).a2a();
    fault(a2a.send_message(with("99.0")).await.unwrap_err()).is(&VERSION_NOT_SUPPORTED);
    fault(a2a.send_streaming_message(with("99.0")).await.unwrap_err()).is(&VERSION_NOT_SUPPORTED);
    a2a.send_message(with("1.0")).await.unwrap();
    assert_eq!(gateway.count().await, 5 * 6 + 1);
}
