//! Several agents behind one gateway: however a request names one, it reaches that agent and sees its tasks alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use std::sync::Arc;

use a2a_gateway::{
    agent::{Agent, AgentError, Cancel, Echo, Recovery, Turn, Update, UpdateStream},
    proto::{
        a2a::{
            AgentCard, AgentSkill,
            TaskState::{Canceled, Completed, InputRequired},
        },
        gateway::{self, AgentState},
    },
};
use door::{grpc::fault, kinds::*, *};
use futures::future::BoxFuture;
use serde_json::{Value, json};

/// An agent like the echo agent, with a card of its own.
struct Parrot {
    card: AgentCard,
    problem: Option<String>,
}

impl Agent for Parrot {
    fn card(&self) -> Arc<AgentCard> {
        Arc::new(self.card.clone())
    }

    fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    fn max_concurrency(&self) -> Option<usize> {
        self.problem.is_some().then_some(4)
    }

    fn recovery(&self) -> Recovery {
        Echo.recovery()
    }

    fn run(&self, turn: Turn) -> UpdateStream {
        Echo.run(turn)
    }

    fn cancel(&self, cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>> {
        Echo.cancel(cancel)
    }
}

fn parrot(name: &str) -> (String, Arc<dyn Agent>) {
    let card = AgentCard {
        name: format!("{name}'s own name"),
        description: "Says it again.".into(),
        version: "7".into(),
        skills: vec![AgentSkill { id: name.into(), ..AgentSkill::default() }],
        ..AgentCard::default()
    };
    (name.into(), Arc::new(Parrot { card, problem: None }))
}

/// Two agents; webhooks are off.
async fn start() -> Gateway {
    Gateway::start_courier(vec![parrot("first"), parrot("other")], None).await.0
}

/// How a request names its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Path,
    Tenant,
    Metadata,
}

const WAYS: [(Door, Way); 11] = [
    (Door::V1, Way::Path),
    (Door::V03, Way::Path),
    (Door::Praison, Way::Path),
    (Door::PraisonOwn, Way::Path),
    (Door::Rest, Way::Path),
    (Door::Rest03, Way::Path),
    (Door::V1, Way::Tenant),
    (Door::Rest, Way::Tenant),
    (Door::A2aGrpc, Way::Tenant),
    (Door::A2aGrpc, Way::Metadata),
    (Door::Grpc03, Way::Metadata),
];

/// The doors of 0.3 that have no lists.
const LISTLESS: [Door; 2] = [Door::V03, Door::Grpc03];

fn client(gateway: &Gateway, (door, way): (Door, Way), agent: &str) -> Client {
    let client = gateway.client(door);
    match way {
        Way::Path => client.on_path(agent),
        Way::Tenant => Client { tenant: agent.into(), ..client },
        Way::Metadata => Client { metadata: agent.into(), ..client },
    }
}

/// The agent that has a task, as the gateway's own API tells it.
async fn agent_of(gateway: &Gateway, id: &str) -> String {
    let request = gateway::GetTaskRequest { task_id: id.into(), history_length: Some(0) };
    gateway.client(Door::Gateway).gateway().get_task(request).await.unwrap().into_inner().agent
}

async fn get(gateway: &Gateway, path: &str) -> reqwest::Response {
    gateway.http.get(gateway.url(path)).send().await.unwrap()
}

async fn card(gateway: &Gateway, path: &str, version: &str) -> Value {
    let request = gateway.http.get(gateway.url(path)).header("a2a-version", version);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_request_reaches_the_agent_that_it_names() {
    let gateway = start().await;
    for way in WAYS {
        for agent in ["first", "other"] {
            let client = client(&gateway, way, agent).seeing(way.0);
            let sent = client.send(say("hello")).await.unwrap().task();
            assert_eq!((sent.state, sent.artifacts.as_slice()), (Completed, &["Echo: hello".to_owned()][..]));
            assert_eq!(agent_of(&gateway, &sent.id).await, agent, "{way:?}");
            assert_eq!(client.get(&sent.id, None).await.unwrap(), sent, "{way:?}");

            let asked = client.send(say("ask: Who?")).await.unwrap().task();
            assert_eq!(agent_of(&gateway, &asked.id).await, agent, "{way:?}");
            let told = client.send(Send { task: &asked.id, ..say("Bob") }).await.unwrap().task();
            assert_eq!((told.id, told.state), (asked.id, Completed), "{way:?}");

            let mut events = client.stream(say("slow: 100")).await.unwrap();
            let id = events.item().await.task;
            assert_eq!(agent_of(&gateway, &id).await, agent, "{way:?}");
            if Door::WATCH.contains(&way.0) {
                assert_eq!(client.watch(&id, None).await.unwrap().item().await.task, id, "{way:?}");
            }
            assert_eq!(client.cancel(&id).await.unwrap().state, Canceled, "{way:?}");
            events.rest().await;
        }
    }
}

#[tokio::test]
async fn a_list_holds_the_tasks_of_the_named_agent_alone() {
    let gateway = start().await;
    let mut made = [Vec::new(), Vec::new()];
    for (index, agent) in [(0, "first"), (1, "other"), (0, "first")] {
        for way in WAYS {
            let task = client(&gateway, way, agent).send(say("hello")).await.unwrap().task();
            made[index].insert(0, task.id);
        }
    }
    for way in WAYS.into_iter().filter(|(door, _)| !LISTLESS.contains(door)) {
        for (index, agent) in [(0, "first"), (1, "other")] {
            let page = client(&gateway, way, agent).list(&ListQuery::default()).await.unwrap();
            let ids: Vec<_> = page.tasks.into_iter().map(|task| task.id).collect();
            assert_eq!(ids, made[index], "{way:?}");
        }
    }
    // Who names no agent sees the tasks of all.
    let all = gateway.client(Door::V1).list(&ListQuery::default()).await.unwrap();
    assert_eq!(all.tasks.len(), 3 * WAYS.len());
}

#[tokio::test]
async fn a_task_of_another_agent_does_not_exist() {
    let gateway = start().await;
    for maker in [Door::V1, Door::PraisonOwn] {
        let asked = gateway.client(maker).send(say("ask: Who?")).await.unwrap().task();
        for way in WAYS {
            let other = client(&gateway, way, "other");
            other.get(&asked.id, None).await.unwrap_err().is(&TASK_NOT_FOUND);
            other.cancel(&asked.id).await.unwrap_err().is(&TASK_NOT_FOUND);
            if Door::WATCH.contains(&way.0) {
                other.watch(&asked.id, None).await.err().unwrap().is(&TASK_NOT_FOUND);
            }
            if Door::RESUMABLE.contains(&way.0) {
                other.watch(&asked.id, Some(0)).await.err().unwrap().is(&TASK_NOT_FOUND);
            }
            let answer = Send { task: &asked.id, ..say("Bob") };
            let refused = [
                other.send(answer.clone()).await.unwrap_err(),
                other.stream(answer).await.err().expect("a stream of another agent's task"),
            ];
            for refused in refused {
                match way.1 {
                    Way::Tenant => refused.is_about("tenant"),
                    Way::Path | Way::Metadata => refused.is(&TASK_NOT_FOUND),
                };
            }
        }
        let task = gateway.client(maker).seeing(maker).get(&asked.id, None).await.unwrap();
        assert_eq!((task.state, task.history.len()), (InputRequired, asked.history.len()));
    }
}

#[tokio::test]
async fn a_tenant_that_says_otherwise_is_refused_and_one_that_agrees_is_taken() {
    for way in [(Door::V1, Way::Path), (Door::Rest, Way::Path), (Door::A2aGrpc, Way::Metadata)] {
        let gateway = start().await;
        let other = client(&gateway, way, "other");
        let agreeing = Client { tenant: "other".into(), ..other.clone() };
        let task = agreeing.send(say("hello")).await.unwrap().task();
        assert_eq!(agent_of(&gateway, &task.id).await, "other", "{way:?}");
        assert_eq!(agreeing.get(&task.id, None).await.unwrap(), task, "{way:?}");
        assert_eq!(agreeing.list(&ListQuery::default()).await.unwrap().tasks.len(), 1, "{way:?}");
        agreeing.cancel(&task.id).await.unwrap_err().is(&TASK_NOT_CANCELABLE);
        agreeing.watch(&task.id, None).await.err().unwrap().is(&UNSUPPORTED_OPERATION);

        for tenant in ["first", "nobody"] {
            let torn = Client { tenant: tenant.into(), ..other.clone() };
            for refused in [
                torn.send(say("hello")).await.unwrap_err(),
                torn.stream(say("hello")).await.err().unwrap(),
                torn.get(&task.id, None).await.unwrap_err(),
                torn.cancel(&task.id).await.unwrap_err(),
                torn.watch(&task.id, None).await.err().unwrap(),
                torn.list(&ListQuery::default()).await.unwrap_err(),
            ] {
                assert!(refused.is_about("tenant").message.contains("other"), "{way:?}: {refused:?}");
            }
        }
        // What was refused has left nothing.
        assert_eq!(gateway.count().await, 1, "{way:?}");
    }
}

#[tokio::test]
async fn an_unknown_agent_is_told_by_every_operation_with_those_that_there_are() {
    let gateway = start().await;
    let task = gateway.client(Door::V1).send(say("hello")).await.unwrap().task();
    for way in WAYS {
        for name in ["nobody", "First", "first%20"] {
            let nobody = client(&gateway, way, name);
            let mut refusals = vec![
                nobody.send(say("hello")).await.unwrap_err(),
                nobody.stream(say("hello")).await.err().unwrap(),
                nobody.get(&task.id, None).await.unwrap_err(),
                nobody.cancel(&task.id).await.unwrap_err(),
            ];
            if Door::WATCH.contains(&way.0) {
                refusals.push(nobody.watch(&task.id, None).await.err().unwrap());
            }
            if !LISTLESS.contains(&way.0) {
                refusals.push(nobody.list(&ListQuery::default()).await.unwrap_err());
            }
            if way.1 != Way::Tenant {
                refusals.push(nobody.get("no-such-task", None).await.unwrap_err());
                refusals.push(nobody.send(Send { task: &task.id, ..say("hello") }).await.unwrap_err());
            }
            for refusal in refusals {
                assert!(refusal.is(&AGENT_NOT_FOUND).message.contains("first, other"), "{way:?}: {refusal:?}");
            }
        }
    }
    assert_eq!(gateway.count().await, 1);
}

#[tokio::test]
async fn what_is_not_offered_is_told_of_the_agent_that_is_named() {
    let gateway = start().await;
    let operations = [
        (Door::V1, "GetTaskPushNotificationConfig", &PUSH_NOT_SUPPORTED),
        (Door::V03, "tasks/pushNotificationConfig/set", &PUSH_NOT_SUPPORTED),
        (Door::PraisonOwn, "tasks/pushNotificationConfig/get", &PUSH_NOT_SUPPORTED),
        (Door::Rest, "DeleteTaskPushNotificationConfig", &PUSH_NOT_SUPPORTED),
        (Door::Rest03, "tasks/pushNotificationConfig/list", &PUSH_NOT_SUPPORTED),
        (Door::V1, "GetExtendedAgentCard", &UNSUPPORTED_OPERATION),
        (Door::Rest, "GetExtendedAgentCard", &UNSUPPORTED_OPERATION),
        (Door::V03, "agent/getAuthenticatedExtendedCard", &EXTENDED_CARD_NOT_CONFIGURED),
        (Door::Rest03, "agent/getAuthenticatedExtendedCard", &EXTENDED_CARD_NOT_CONFIGURED),
    ];
    for (door, method, kind) in operations {
        let dialect = door.dialect().unwrap();
        let params = json!({"taskId": "t", "id": "p", "pushNotificationConfig": {"url": "http://127.0.0.1:1"}});
        for (agent, kind) in [("other", kind), ("nobody", &AGENT_NOT_FOUND)] {
            let client = gateway.client(door).on_path(agent);
            client.call(method, params.clone(), dialect, &[]).await.unwrap_err().is(kind);
        }
    }
    let torn = Client { tenant: "first".into(), ..gateway.client(Door::V1).on_path("other") };
    let refused = torn.call("GetExtendedAgentCard", json!({}), Dialect::V1, &[]).await;
    refused.unwrap_err().is_about("tenant");
    for (door, path) in [(Door::Praison, "/agents/other/a2a"), (Door::PraisonOwn, "/agents/other/praisonai/a2a")] {
        let call = async |agent: &str| {
            gateway.client(door).on_path(agent).call("agent/getExtendedCard", json!({}), Dialect::Praison, &[]).await
        };
        let card = call("other").await.unwrap();
        assert_eq!((&card["name"], &card["url"]), (&json!("other's own name"), &json!(gateway.url(path))));
        call("nobody").await.unwrap_err().is(&AGENT_NOT_FOUND);
    }
}

#[tokio::test]
async fn metadata_that_is_no_name_is_refused() {
    let gateway = start().await;
    let long = "x".repeat(257);
    for door in [Door::A2aGrpc, Door::Grpc03] {
        let call = Client { metadata: long.clone(), ..gateway.client(door) };
        call.send(say("hello")).await.unwrap_err().is_about("a2a-agent");
    }
    // The gateway's own API has a field for it.
    let mut request = tonic::Request::new(door::grpc::submit(&say("hello")));
    request.metadata_mut().insert("a2a-agent", "nobody".parse().unwrap());
    let record = gateway.client(Door::Gateway).gateway().submit_task(request).await.unwrap().into_inner();
    assert_eq!(record.agent, "first");
}

#[tokio::test]
async fn every_path_of_a_door_leads_to_its_agent_and_a_batch_with_it() {
    let gateway = start().await;
    let v1 = gateway.client(Door::V1);
    for path in ["/agents/other", "/agents/other/", "/agents/other/a2a", "/agents/other/a2a/", "/agents/%6Fther/a2a"] {
        let task = Client { url: gateway.url(path), ..v1.clone() }.send(say("hello")).await.unwrap().task();
        assert_eq!(agent_of(&gateway, &task.id).await, "other", "{path}");
    }
    let own = gateway.client(Door::PraisonOwn);
    for path in ["/agents/other/praisonai/a2a", "/agents/other/praisonai/a2a/"] {
        let task = Client { url: gateway.url(path), ..own.clone() }.send(say("hello")).await.unwrap().task();
        assert_eq!(agent_of(&gateway, &task.id).await, "other", "{path}");
    }
    let other = v1.on_path("other");
    let send = |id: u8| {
        let params = json!({"message": other.message("hello")});
        json!({"jsonrpc": "2.0", "id": id, "method": "SendMessage", "params": params})
    };
    let answers: Value = other.post(json!([send(1), send(2)]).to_string(), &[]).await.json().await.unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 2);
    for answer in answers.as_array().unwrap() {
        assert_eq!(agent_of(&gateway, answer["result"]["task"]["id"].as_str().unwrap()).await, "other");
    }
}

#[tokio::test]
async fn a_key_is_remembered_for_each_agent() {
    let gateway = start().await;
    for door in [Door::V1, Door::V03, Door::PraisonOwn, Door::Rest, Door::Rest03] {
        let key = format!("{door:?}");
        let send = async |agent: &str| {
            let client = gateway.client(door).on_path(agent);
            client.send(Send { key: &key, ..say("hello") }).await.unwrap().task().id
        };
        let first = send("first").await;
        let other = send("other").await;
        assert_ne!(first, other, "{door:?}");
        assert_eq!([send("first").await, send("other").await], [first, other], "{door:?}");
    }
}

#[tokio::test]
async fn each_agent_has_its_own_card_that_leads_to_it() {
    let gateway = start().await;
    for (prefix, agent, door) in
        [("", "first", "/a2a"), ("/agents/first", "first", "/a2a"), ("/agents/other", "other", "/agents/other/a2a")]
    {
        let name = json!(format!("{agent}'s own name"));
        for path in ["/.well-known/agent-card.json", "/.well-known/agent.json"] {
            let path = format!("{prefix}{path}");
            let merged = card(&gateway, &path, "").await;
            assert_eq!((&merged["name"], &merged["url"]), (&name, &json!(gateway.url(door))), "{path}");
            assert_eq!((&merged["version"], &merged["skills"][0]["id"]), (&json!("7"), &json!(agent)), "{path}");
            let mut grpc =
                json!({"url": gateway.address.to_string(), "protocolBinding": "GRPC", "protocolVersion": "1.0"});
            if agent == "other" {
                grpc["tenant"] = agent.into();
            }
            let json = |version: &str| json!({"url": gateway.url(door), "protocolBinding": "JSONRPC", "protocolVersion": version});
            let base = door.strip_suffix("/a2a").unwrap();
            let rest = |version: &str| json!({"url": gateway.url(base), "protocolBinding": "HTTP+JSON", "protocolVersion": version});
            let mut interfaces = vec![json("1.0"), grpc, rest("1.0"), json("0.3"), rest("0.3")];
            if agent == "first" {
                // In 0.3 nothing of a card could tell another agent's from it.
                let grpc =
                    json!({"url": gateway.address.to_string(), "protocolBinding": "GRPC", "protocolVersion": "0.3"});
                interfaces.push(grpc);
            }
            let interfaces = Value::Array(interfaces);
            assert_eq!(merged["supportedInterfaces"], interfaces, "{path}");
            assert_eq!(card(&gateway, &path, "1.0").await["supportedInterfaces"], merged["supportedInterfaces"]);
            let v03 = card(&gateway, &path, "0.3").await;
            assert_eq!((&v03["name"], &v03["url"]), (&name, &json!(gateway.url(door))), "{path}");
            assert_eq!(merged["capabilities"]["streaming"], true);
            assert_eq!(merged["capabilities"]["pushNotifications"], false);
        }
        let praison = card(&gateway, &format!("{prefix}/praisonai/.well-known/agent.json"), "").await;
        let own = door.replace("/a2a", "/praisonai/a2a");
        assert_eq!((&praison["name"], &praison["url"]), (&name, &json!(gateway.url(&own))), "{prefix}");
        let status: Value = get(&gateway, &format!("{prefix}/status")).await.json().await.unwrap();
        assert_eq!(status, json!({"status": "ok", "name": name, "version": "7"}));

        // What the card says is where its agent is reached.
        let request = gateway::GetAgentCardRequest { agent: agent.into() };
        let read = gateway.client(Door::Gateway).gateway().get_agent_card(request).await.unwrap().into_inner();
        for (interface, speaker) in read.supported_interfaces.iter().zip([
            Door::V1,
            Door::A2aGrpc,
            Door::Rest,
            Door::V03,
            Door::Rest03,
            Door::Grpc03,
        ]) {
            let client = gateway.client(speaker);
            let url = if Door::GRPC.contains(&speaker) { client.url.clone() } else { interface.url.clone() };
            let client = Client { url, tenant: interface.tenant.clone(), ..client };
            let task = client.send(say("hello")).await.unwrap().task();
            assert_eq!(agent_of(&gateway, &task.id).await, agent, "{interface:?}");
        }
        let client = Client { url: gateway.url(&own), ..gateway.client(Door::PraisonOwn) };
        let task = client.send(say("hello")).await.unwrap().task();
        assert_eq!(agent_of(&gateway, &task.id).await, agent, "{own}");
    }
}

#[tokio::test]
async fn an_unknown_agent_has_no_card_and_no_path() {
    let gateway = start().await;
    for name in ["nobody", "First", "%FF", "..%2Ffirst"] {
        for path in
            ["/.well-known/agent-card.json", "/.well-known/agent.json", "/praisonai/.well-known/agent.json", "/status"]
        {
            let response = get(&gateway, &format!("/agents/{name}{path}")).await;
            assert_eq!(response.status(), 404, "{name}{path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            let error = response.json::<Value>().await.unwrap()["error"].clone();
            assert_eq!((&error["code"], &error["status"]), (&json!(404), &json!("NOT_FOUND")));
            assert_eq!(error["details"][0]["reason"], "AGENT_NOT_FOUND");
            assert!(error["message"].as_str().unwrap().ends_with("the agents are: first, other"), "{error}");
        }
    }
    for path in ["/agents", "/agents/", "/agents//a2a", "/agents//.well-known/agent.json", "/agents/first/nothing"] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let request = gateway.http.request(method, gateway.url(path)).header("content-type", "application/json");
            let status = request.body("{}").send().await.unwrap().status();
            assert!([404, 405].contains(&status.as_u16()), "{path}: {status}");
        }
    }
    assert_eq!(get(&gateway, "/agents/first").await.status(), 405);
}

#[tokio::test]
async fn an_agent_that_cannot_be_reached_is_told_of_and_its_card_is_not_kept() {
    let card = AgentCard { name: "far".into(), ..AgentCard::default() };
    let problem = "no connection to http://127.0.0.1:1";
    let far: Arc<dyn Agent> = Arc::new(Parrot { card, problem: Some(problem.into()) });
    let gateway = Gateway::start_with(vec![parrot("first"), ("far".into(), far)], &[]).await;
    let response = get(&gateway, "/agents/far/.well-known/agent-card.json").await;
    assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (200, &"no-cache".parse().unwrap()));
    assert!(response.headers().contains_key("etag"));
    let card: Value = response.json().await.unwrap();
    assert_eq!((&card["name"], &card["description"], &card["version"]), (&json!("far"), &json!(""), &json!("")));
    assert_eq!(card["url"], gateway.url("/agents/far/a2a"));
    assert_eq!(card["capabilities"]["streaming"], true);
    let first = get(&gateway, "/.well-known/agent-card.json").await;
    assert!(first.headers()["cache-control"].to_str().unwrap().contains("max-age="));

    let agents = gateway.client(Door::Gateway).gateway().list_agents(gateway::ListAgentsRequest {}).await;
    let agents = agents.unwrap().into_inner().agents;
    let told: Vec<_> = agents
        .iter()
        .map(|agent| (agent.name.as_str(), agent.state(), agent.problem.as_str(), agent.max_concurrency))
        .collect();
    assert_eq!(told, [("first", AgentState::Ready, "", None), ("far", AgentState::Unreachable, problem, Some(4))]);
    let metrics = get(&gateway, "/metrics").await.text().await.unwrap();
    for (agent, up) in [("first", 1), ("far", 0)] {
        for line in [
            format!("a2a_agent_up{{agent=\"{agent}\"}} {up}"),
            format!("a2a_agent_queued_tasks{{agent=\"{agent}\"}} 0"),
        ] {
            assert!(metrics.lines().any(|each| each == line), "{line} is not in {metrics}");
        }
    }
    let unknown = gateway::GetAgentCardRequest { agent: "nobody".into() };
    fault(gateway.client(Door::Gateway).gateway().get_agent_card(unknown).await.unwrap_err()).is(&AGENT_NOT_FOUND);
}
