//! The well-behaved agent over a table.

use std::time::Duration;

use a2a_gateway::proto::a2a::TaskState;
use serde_json::Value;

use crate::{
    client::{JSON, ask, client, options, start, text},
    upstream::{Auto, Face, Operation, Sdk, Upstream},
};

async fn fetch(http: &reqwest::Client, agent: &Upstream, operation: Operation, task: &str) -> Value {
    ask(http, agent, operation, task).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn an_agent_with_a_table_does_what_servers_do() {
    let http = client();
    for face in JSON {
        let mut agent = Auto::start(face, options(Sdk::Js));
        let state = |body: &Value| {
            let body = body.get("result").unwrap_or(body);
            let task = body.get("task").unwrap_or(body);
            task["status"]["state"].as_str().unwrap_or("none").to_lowercase().replace("task_state_", "")
        };
        assert_eq!(state(&fetch(&http, &agent, Operation::SEND_AT_ONCE, "").await), "submitted");
        let id = agent.turn().await.id;
        agent.status(&id, TaskState::Working, "on it");
        agent.artifact(&id, "a", "one", false, false);
        agent.artifact(&id, "a", "two", true, true);
        let task = fetch(&http, &agent, Operation::Get, &id).await;
        assert_eq!(state(&task), "working", "{face:?}");
        assert!(task.to_string().contains("\"two\""));
        let cancelled = state(&fetch(&http, &agent, Operation::Cancel, &id).await);
        assert!(cancelled.starts_with("cancel"), "{cancelled}");
        assert!(state(&fetch(&http, &agent, Operation::Cancel, &id).await) == "none", "{face:?}: canceled twice");
        assert!(state(&fetch(&http, &agent, Operation::Get, "nope").await) == "none");
        agent.wait_count(Operation::Get, 2).await;
        assert_eq!((agent.count(Operation::Cancel), agent.count(Operation::SEND)), (2, 0));

        // A blocking send is held until the turn is over; a stream ends then.
        let (held, streamed) = (ask(&http, &agent, Operation::SEND, ""), ask(&http, &agent, Operation::Stream, ""));
        let held = start(held);
        let id = agent.turn().await.id;
        agent.status(&id, TaskState::InputRequired, "which?");
        let held: Value = held.await.unwrap().unwrap().json().await.unwrap();
        assert!(state(&held).starts_with("input"), "{held}");
        let streamed = start(streamed);
        let id = agent.turn().await.id;
        agent.status(&id, TaskState::Working, "first");
        agent.artifact(&id, "a", "chunk", false, true);
        agent.status(&id, TaskState::Completed, "last");
        let body = text(streamed).await.2;
        for (earlier, later) in [("first", "chunk"), ("chunk", "last")] {
            assert!(body.find(earlier).unwrap() < body.rfind(later).unwrap(), "{face:?}: {body}");
        }
        let after = if face == Face::Praison { "submitted" } else { "completed" };
        assert_eq!(state(&fetch(&http, &agent, Operation::Get, &id).await), after, "{face:?}");
        agent.forget();
        assert_eq!(state(&fetch(&http, &agent, Operation::Get, &id).await), "none");
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_follows_and_the_task_first_in_1_0() {
    let http = client();
    for face in [Face::JsonRpc10, Face::JsonRpc03, Face::Rest10, Face::Rest03] {
        let mut agent = Auto::start(face, options(Sdk::Js));
        ask(&http, &agent, Operation::SEND_AT_ONCE, "").send().await.unwrap();
        let id = agent.turn().await.id;
        agent.status(&id, TaskState::Working, "missed");
        let subscribed = ask(&http, &agent, Operation::Subscribe, &id).send().await.unwrap();
        agent.wait_count(Operation::Subscribe, 1).await;
        agent.status(&id, TaskState::Completed, "seen");
        let body = tokio::time::timeout(Duration::from_secs(20), subscribed.text()).await.unwrap().unwrap();
        assert_eq!(body.contains("missed"), matches!(face, Face::JsonRpc10 | Face::Rest10), "{body}");
        assert!(body.contains("seen"), "{body}");
        let refused = ask(&http, &agent, Operation::Subscribe, &id).send().await.unwrap();
        assert_eq!(
            refused.headers()["content-type"].to_str().unwrap().split(';').next(),
            Some(if face == Face::Rest10 { "application/a2a+json" } else { "application/json" })
        );
    }
}
