//! Lists: filters, order, pages, totals, through every door that lists.

use std::sync::Arc;

use a2a_gateway::{
    agent::Echo,
    proto::{
        a2a::{ListTasksRequest, Task, TaskState},
        gateway,
        well_known::Timestamp,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    door::{json::word, rest::segment, *},
    model::{self, Form},
    tasks::get,
};

/// Which tasks.
#[derive(Clone, Debug, Default)]
struct Query {
    context: String,
    state: Option<TaskState>,
    /// Milliseconds since 1970.
    after: Option<i64>,
    size: Option<i32>,
    token: String,
    history: Option<i32>,
    artifacts: bool,
}

/// A page: the tasks, the next page's token, the number on all pages.
type Page = (Vec<Task>, String, i32);

/// The doors whose lists have filters and pages. PraisonAI's list is the bare array, by context only; 0.3 has none on
/// JSON-RPC and gRPC.
const DOORS: [Door; 5] = [Door::Gateway, Door::A2aGrpc, Door::V1, Door::Rest, Door::Rest03];

async fn list(client: &Client, query: &Query) -> Page {
    let after = query.after.map(Timestamp::from_millis);
    match client.door {
        Door::Gateway => {
            let request = gateway::ListTasksRequest {
                context_id: query.context.clone(),
                states: query.state.map(i32::from).into_iter().collect(),
                updated_after: after,
                page_size: query.size.unwrap_or_default(),
                page_token: query.token.clone(),
                history_length: query.history,
                include_artifacts: query.artifacts,
                ..Default::default()
            };
            let page = client.gateway().list_tasks(request).await.unwrap().into_inner();
            let tasks = page.tasks.into_iter().map(|record| record.task.unwrap()).collect();
            (tasks, page.next_page_token, page.total_size)
        }
        Door::A2aGrpc => {
            let request = ListTasksRequest {
                context_id: query.context.clone(),
                status: query.state.unwrap_or_default().into(),
                status_timestamp_after: after,
                page_size: query.size,
                page_token: query.token.clone(),
                history_length: query.history,
                include_artifacts: Some(query.artifacts),
                ..Default::default()
            };
            let page = client.a2a().list_tasks(request).await.unwrap().into_inner();
            assert_eq!(page.page_size, query.size.unwrap_or(50));
            (page.tasks, page.next_page_token, page.total_size)
        }
        Door::V1 | Door::Rest => {
            let value = client.call("ListTasks", params(query), Dialect::V1, &[]).await.unwrap();
            assert_eq!(value["pageSize"], query.size.unwrap_or(50));
            page(Form::V1, &value, query)
        }
        _ => {
            let Value::Object(params) = params(query) else { panic!("not an object") };
            let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), segment);
            let pairs = params.into_iter().map(|(name, value)| format!("{name}={}", text(value)));
            let path = format!("/v1/tasks?{}", pairs.collect::<Vec<_>>().join("&"));
            let answer = rest::answer(client.door, client.ask(Method::GET, &path, None, &[]).await).await;
            page(Form::Contract03, &answer.unwrap(), query)
        }
    }
}

fn params(query: &Query) -> Value {
    let mut params = json!({"includeArtifacts": query.artifacts});
    let mut put = |name: &str, value: Option<Value>| value.into_iter().for_each(|value| params[name] = value);
    put("contextId", Some(query.context.as_str().into()).filter(|_| !query.context.is_empty()));
    put("status", query.state.map(|state| word(Dialect::V1, state).into()));
    put("statusTimestampAfter", query.after.map(|time| Timestamp::from_millis(time).to_string().into()));
    put("pageSize", query.size.map(Value::from));
    put("pageToken", Some(query.token.as_str().into()).filter(|_| !query.token.is_empty()));
    put("historyLength", query.history.map(Value::from));
    params
}

fn page(form: Form, value: &Value, query: &Query) -> Page {
    let tasks = value["tasks"].as_array().unwrap();
    // Left out, not empty, unless they were asked for.
    assert!(tasks.iter().all(|task| query.artifacts || task.get("artifacts").is_none()), "{value}");
    let next = value["nextPageToken"].as_str().expect("there, also on the last page").to_owned();
    let total = i32::try_from(value["totalSize"].as_i64().unwrap()).unwrap();
    (tasks.iter().map(|task| model::task(form, task)).collect(), next, total)
}

/// All pages of a list.
async fn walk(client: &Client, query: &Query) -> Vec<Task> {
    let mut all = Vec::new();
    let mut query = query.clone();
    loop {
        let (tasks, next, total) = list(client, &query).await;
        let size = usize::try_from(query.size.unwrap_or(50)).unwrap();
        all.extend(tasks);
        assert!(all.len() <= usize::try_from(total).unwrap());
        if next.is_empty() {
            assert_eq!(all.len(), usize::try_from(total).unwrap(), "{:?} {query:?}", client.door);
            return all;
        }
        assert_eq!(all.len() % size, 0, "a page that is not the last is full");
        query.token = next;
    }
}

/// Twelve tasks of two contexts in three states; newest first.
async fn made(gateway: &Gateway) -> Vec<Task> {
    let client = gateway.client(Door::V1);
    let reader = gateway.client(Door::Gateway);
    let mut tasks = Vec::new();
    for i in 0..12 {
        let context = if i % 2 == 0 { "even" } else { "odd" };
        let text = if i % 3 == 0 { "hello" } else { "ask: Who?" };
        let id = client.send(Send { context, ..say(text) }).await.unwrap().task().id;
        if i % 3 == 2 {
            client.cancel(&id).await.unwrap();
        }
        tasks.insert(0, get(&reader, &id, None).await);
    }
    tasks
}

fn time(task: &Task) -> i64 {
    task.status.as_ref().unwrap().timestamp.unwrap().millis()
}

fn state(task: &Task) -> TaskState {
    task.status.as_ref().unwrap().state()
}

#[tokio::test]
async fn every_filter_gives_the_same_tasks_in_the_same_order_on_every_page_of_every_door() {
    let gateway = Gateway::start().await;
    let tasks = made(&gateway).await;
    let middle = time(&tasks[5]);
    let queries = [
        Query::default(),
        Query { context: "even".into(), ..Query::default() },
        Query { context: "nobody's".into(), ..Query::default() },
        Query { state: Some(TaskState::Canceled), ..Query::default() },
        Query { state: Some(TaskState::Working), ..Query::default() },
        Query { after: Some(middle), ..Query::default() },
        Query { after: Some(middle + 3_600_000), ..Query::default() },
        Query { after: Some(middle), state: Some(TaskState::InputRequired), context: "odd".into(), ..Query::default() },
        Query { artifacts: true, history: Some(1), ..Query::default() },
        Query { artifacts: true, history: Some(0), ..Query::default() },
    ];
    for query in queries {
        for door in DOORS {
            let form = Form::of(door, door.dialect());
            let matches = |task: &&Task| {
                (query.context.is_empty() || task.context_id == query.context)
                    && query.state.is_none_or(|wanted| state(task) == wanted)
                    && query.after.is_none_or(|after| time(task) >= after)
            };
            let expected = tasks.iter().filter(matches).cloned().map(|mut task| {
                if !query.artifacts {
                    task.artifacts.clear();
                }
                // In the contract of 0.3, 0 is no limit.
                if let Some(length) = query.history.filter(|length| *length > 0 || form == Form::V1) {
                    let all = task.history.len();
                    task.history.drain(..all.saturating_sub(usize::try_from(length).unwrap()));
                }
                model::reduced(form, task)
            });
            let expected: Vec<_> = expected.collect();
            for size in [None, Some(1), Some(5)] {
                let query = Query { size, ..query.clone() };
                assert_eq!(walk(&gateway.client(door), &query).await, expected, "{door:?} {query:?}");
            }
        }
    }
}

#[tokio::test]
async fn pages_hold_while_tasks_change() {
    for door in DOORS {
        let gateway = Gateway::start().await;
        let tasks = made(&gateway).await;
        let client = gateway.client(door);
        let query = Query { size: Some(4), ..Query::default() };
        let (first, token, _) = list(&client, &query).await;
        // A new task, and one of a later page that moves to the front: what is between is neither lost nor told twice.
        gateway.client(Door::V1).send(say("hello")).await.unwrap();
        let moved = tasks[4..].iter().find(|task| state(task) == TaskState::InputRequired).unwrap();
        gateway.client(Door::V1).cancel(&moved.id).await.unwrap();
        let rest = walk_from(&client, &query, token).await;
        let told: Vec<_> = first.iter().chain(&rest).map(|task| task.id.as_str()).collect();
        let expected: Vec<_> = tasks.iter().map(|task| task.id.as_str()).filter(|id| *id != moved.id).collect();
        assert_eq!(told, expected, "{door:?}");
    }
}

async fn walk_from(client: &Client, query: &Query, token: String) -> Vec<Task> {
    let (mut all, mut next) = (Vec::new(), token);
    while !next.is_empty() {
        let (tasks, token, _) = list(client, &Query { token: next, ..query.clone() }).await;
        all.extend(tasks);
        next = token;
    }
    all
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_on_any_door_and_for_no_other() {
    let agents = ["one", "two"].map(|name| (name.to_owned(), Arc::new(Echo) as Arc<dyn a2a_gateway::agent::Agent>));
    let gateway = Gateway::start_with(agents.into(), &[]).await;
    made(&gateway).await;
    let query = ListQuery { context: "odd", size: Some(2), ..ListQuery::default() };
    let token = gateway.client(Door::V1).list(&query).await.unwrap().next;
    let second = gateway.client(Door::V1).list(&ListQuery { token: &token, ..query.clone() }).await.unwrap();
    for door in DOORS {
        let client = gateway.client(door);
        let page = client.list(&ListQuery { token: &token, size: Some(2), ..query.clone() }).await.unwrap();
        assert_eq!((page.tasks, &page.next), (second.tasks.clone(), &second.next), "{door:?}");
        // Another size is the same list.
        let page = client.list(&ListQuery { token: &token, size: Some(1), ..query.clone() }).await.unwrap();
        assert_eq!(page.tasks, second.tasks[..1], "{door:?}");
        let upper = token.to_ascii_uppercase();
        let cut = &token[1..];
        for (context, state, token) in [
            ("even", None, token.as_str()),
            ("", None, &token),
            ("odd", Some(TaskState::Canceled), &token),
            ("odd", None, cut),
            ("odd", None, "0"),
            ("odd", None, "\u{e9}"),
            ("odd", None, if upper == token { cut } else { &upper }),
        ] {
            let query = ListQuery { context, state, token, size: Some(2), ..ListQuery::default() };
            client.list(&query).await.unwrap_err().is_about("page_token");
        }
    }
}
