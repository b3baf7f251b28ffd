//! The OpenAPI document against the gateway's real answers: each is as its schema says, and has no member that its schema
//! does not have.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use std::sync::Arc;

use a2a_gateway::agent::Echo;
use door::{Gateway, sse::Parser};
use reqwest::{Method, Response};
use serde_json::{Map, Value, json};

/// A gateway and its document.
struct Described {
    gateway: Gateway,
    document: Value,
}

/// The keywords of schemas that are checked. Others fail, so that none is passed over.
const KEYWORDS: [&str; 13] = [
    "$ref",
    "type",
    "const",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "maxProperties",
    "items",
    "oneOf",
    "anyOf",
    "contentEncoding",
    "format",
];

impl Described {
    async fn start() -> Self {
        let settings = [("webhooks.allow", "127.0.0.1/32"), ("server.cors_origins", "https://app.example.com")];
        let gateway = Gateway::start_with(vec![("echo".into(), Arc::new(Echo))], &settings).await;
        let document = gateway.http.get(gateway.url("/openapi.json")).send().await.unwrap().json().await.unwrap();
        Self { gateway, document }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(to) => self.document.pointer(to.strip_prefix('#').unwrap()).expect(to),
            None => value,
        }
    }

    /// What is wrong with a value, by a schema.
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        let object = schema.as_object().unwrap();
        if let Some(unknown) = object.keys().find(|key| !KEYWORDS.contains(&key.as_str()) && *key != "description") {
            return Err(format!("{at}: the schema has the keyword {unknown}"));
        }
        let is = match object.get("type").and_then(Value::as_str) {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some(other) => panic!("no type {other}"),
            None => true,
        };
        let told = |what: &str| Err(format!("{at}: {value} {what}"));
        if !is {
            return told(&format!("is no {}", schema["type"]));
        }
        if object.get("const").is_some_and(|only| only != value) {
            return told("is not what it must be");
        }
        if object.get("enum").is_some_and(|words| !words.as_array().unwrap().contains(value)) {
            return told("is none of its words");
        }
        if schema["format"] == "date-time" && value.as_str().unwrap().parse::<jiff::Timestamp>().is_err() {
            return told("is no time");
        }
        if object
            .get("maxProperties")
            .is_some_and(|most| value.as_object().unwrap().len() as u64 > most.as_u64().unwrap())
        {
            return told("has too many members");
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{index}]"))?;
        }
        self.check_members(object, value, at)?;
        for (choice, exact) in [("oneOf", true), ("anyOf", false)] {
            let Some(schemas) = object.get(choice).and_then(Value::as_array) else { continue };
            let results: Vec<_> = schemas.iter().map(|schema| self.check(schema, value, at)).collect();
            let fitting = results.iter().filter(|result| result.is_ok()).count();
            if fitting == 0 || (exact && fitting > 1) {
                return Err(format!("{at}: {fitting} of {choice} fit: {results:?}"));
            }
        }
        Ok(())
    }

    fn check_members(&self, schema: &Map<String, Value>, value: &Value, at: &str) -> Result<(), String> {
        let Some(members) = value.as_object() else { return Ok(()) };
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                return Err(format!("{at}: {name} is missing in {value}"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}.{name}");
            if let Some(schema) = schema.get("properties").and_then(|known| known.get(name)) {
                self.check(schema, member, &at)?;
            } else if let Some(schema) = schema.get("additionalProperties") {
                self.check(schema, member, &at)?;
            } else if schema.contains_key("properties") {
                return Err(format!("{at}: the schema has no such member"));
            }
        }
        Ok(())
    }

    /// Does what an operation of the document describes, and checks what is answered. `path`: the template of its path,
    /// and what stands for the names in it.
    async fn call(&self, verb: Method, (path, names): (&str, &[(&str, &str)]), ask: Ask<'_>) -> Vec<Value> {
        let operation = &self.document["paths"][path][verb.as_str().to_lowercase()];
        assert!(operation.is_object(), "{verb} {path} is not described");
        let actual =
            names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        let mut request = self.gateway.http.request(verb.clone(), self.gateway.url(&format!("{actual}{}", ask.query)));
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = &ask.body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            self.check(schema, body, "request").unwrap_or_else(|wrong| panic!("{verb} {actual}: {wrong}"));
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), ask.status, "{verb} {actual}");
        let (schema, values) = self.answered(operation, answer).await;
        for value in &values {
            self.check(&schema, value, "answer").unwrap_or_else(|wrong| panic!("{verb} {actual}: {wrong}"));
        }
        values
    }

    /// The schema of an answer by its status and type, and what it holds.
    async fn answered(&self, operation: &Value, answer: Response) -> (Value, Vec<Value>) {
        let status = answer.status().as_str().to_owned();
        let described = self.resolved(&operation["responses"][&status]);
        let kind = answer.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let content = &described["content"][&kind];
        assert!(content.is_object(), "{} has no {status} of {kind}", operation["operationId"]);
        let body = answer.bytes().await.unwrap();
        let values = match kind.as_str() {
            "text/event-stream" => {
                let events = Parser::default().push(&body);
                events
                    .iter()
                    .filter_map(|event| event.data.as_ref())
                    .map(|data| serde_json::from_str(data).unwrap())
                    .collect()
            }
            kind if kind.ends_with("json") => vec![serde_json::from_slice(&body).unwrap()],
            _ => vec![String::from_utf8(body.to_vec()).unwrap().into()],
        };
        assert!(!values.is_empty(), "{} answered nothing", operation["operationId"]);
        (content["schema"].clone(), values)
    }
}

/// What is asked, and the status that is expected.
struct Ask<'a> {
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: Option<Value>,
    status: u16,
}

fn ask(status: u16) -> Ask<'static> {
    Ask { query: "", headers: &[], body: None, status }
}

fn tell(status: u16, body: Value) -> Ask<'static> {
    Ask { body: Some(body), ..ask(status) }
}

/// A message in the form of a version.
fn message(v03: bool, text: &str) -> Value {
    let (parts, bytes) = if v03 {
        ("content", json!({"file": {"fileWithBytes": "AAEC", "mimeType": "a/b"}}))
    } else {
        ("parts", json!({"raw": "AAEC", "mediaType": "a/b"}))
    };
    json!({"message": {"messageId": "m-1", "role": "ROLE_USER", "metadata": {"a": [1]}, parts: [{"text": text}, bytes]}})
}

#[tokio::test]
async fn what_is_answered_is_what_is_described() {
    let described = Described::start().await;
    for prefix in ["", "/agents/{agent}", "/{tenant}", "/agents/{agent}/{tenant}", "/v1", "/agents/{agent}/v1"] {
        let v03 = prefix.ends_with("/v1");
        let path = |below: &str| format!("{prefix}/{below}");
        let call = async |verb, below: &str, id: &str, ask| {
            let names = [("agent", "echo"), ("tenant", "echo"), ("id", id), ("configId", "hook")];
            described.call(verb, (&path(below), &names), ask).await
        };
        let mut waiting = message(v03, "hello");
        if v03 {
            waiting["configuration"] = json!({"blocking": true});
        }
        let sent = call(Method::POST, "message:send", "", tell(200, waiting)).await.remove(0);
        let id = sent["task"]["id"].as_str().unwrap().to_owned();
        let reply = call(Method::POST, "message:send", "", tell(200, message(v03, "message: pong"))).await.remove(0);
        assert!(reply["message"].is_object(), "{reply}");
        let events = call(Method::POST, "message:stream", "", tell(200, message(v03, "burst: 3"))).await;
        assert!(events.len() > 4, "{events:?}");
        let asked = call(Method::POST, "message:stream", "", tell(200, message(v03, "ask: Who?"))).await;
        let asked = asked[0]["task"]["id"].as_str().unwrap().to_owned();

        call(Method::GET, "tasks/{id}", &id, Ask { query: "?historyLength=1", ..ask(200) }).await;
        let query = "?pageSize=2&includeArtifacts=true&statusTimestampAfter=2020-01-01T00:00:00Z";
        let list = call(Method::GET, "tasks", "", Ask { query, ..ask(200) }).await.remove(0);
        assert_eq!(list["tasks"].as_array().unwrap().len(), 2);
        let resumed = Ask { headers: &[("last-event-id", "0")], ..ask(200) };
        assert!(call(Method::GET, "tasks/{id}:subscribe", &id, resumed).await.len() > 2);
        let resumed = Ask { headers: &[("last-event-id", "1")], ..ask(200) };
        call(Method::POST, "tasks/{id}:subscribe", &id, resumed).await;

        let config = json!({"id": "hook", "url": "http://127.0.0.1:9/hook", "token": "t"});
        let config =
            if v03 { json!({"configId": "hook", "config": {"pushNotificationConfig": config}}) } else { config };
        call(Method::POST, "tasks/{id}/pushNotificationConfigs", &asked, tell(200, config)).await;
        call(Method::GET, "tasks/{id}/pushNotificationConfigs", &asked, ask(200)).await;
        call(Method::GET, "tasks/{id}/pushNotificationConfigs/{configId}", &asked, ask(200)).await;
        call(Method::DELETE, "tasks/{id}/pushNotificationConfigs/{configId}", &asked, ask(200)).await;
        call(Method::POST, "tasks/{id}:cancel", &asked, tell(200, json!({}))).await;
    }
}

#[tokio::test]
async fn errors_are_as_they_are_described() {
    let described = Described::start().await;
    for (prefix, v03) in [("", false), ("/v1", true), ("/agents/{agent}", false), ("/agents/{agent}/v1", true)] {
        let call = async |verb, below: &str, agent: &str, ask| {
            let path = format!("{prefix}/{below}");
            described.call(verb, (&path, &[("agent", agent), ("id", "t-1"), ("configId", "c")]), ask).await
        };
        call(Method::GET, "tasks/{id}", "echo", ask(404)).await;
        call(Method::POST, "tasks/{id}:cancel", "echo", ask(404)).await;
        call(Method::GET, "tasks/{id}:subscribe", "echo", ask(404)).await;
        call(Method::GET, "tasks/{id}/pushNotificationConfigs/{configId}", "echo", ask(404)).await;
        let refused = if v03 { 422 } else { 400 };
        call(Method::GET, "tasks", "echo", Ask { query: "?pageSize=0", ..ask(refused) }).await;
        call(Method::GET, "tasks", "echo", Ask { headers: &[("a2a-version", "9.0")], ..ask(400) }).await;
        let headers = &[("content-type", "text/plain")];
        let typed = Ask { headers, ..tell(415, message(v03, "hello")) };
        call(Method::POST, "message:send", "echo", typed).await;
        let mut config = message(v03, "hello");
        config["message"]["taskId"] = "t-1".into();
        call(Method::POST, "message:send", "echo", tell(404, config)).await;
        if !v03 {
            let typed = Ask { headers: &[("accept", "application/a2a+json")], ..ask(404) };
            call(Method::GET, "tasks/{id}", "echo", typed).await;
        }
        if prefix.contains("agent") {
            call(Method::GET, "tasks/{id}", "nobody", ask(404)).await;
        }
    }
}

#[tokio::test]
async fn cards_and_the_operators_paths_are_as_they_are_described() {
    let described = Described::start().await;
    for path in
        ["/.well-known/agent-card.json", "/.well-known/agent.json", "/praisonai/.well-known/agent.json", "/status"]
    {
        let below = format!("/agents/{{agent}}{path}");
        for version in ["1.0", "0.3"] {
            let headers = &[("a2a-version", version)];
            described.call(Method::GET, (path, &[]), Ask { headers, ..ask(200) }).await;
            described.call(Method::GET, (&below, &[("agent", "echo")]), Ask { headers, ..ask(200) }).await;
        }
        described.call(Method::GET, (&below, &[("agent", "nobody")]), ask(404)).await;
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        described.call(Method::GET, (path, &[]), ask(200)).await;
    }
}

#[tokio::test]
async fn the_document_is_served_to_caches_and_to_pages() {
    let described = Described::start().await;
    let (http, url) = (&described.gateway.http, described.gateway.url("/openapi.json"));
    let first = http.get(&url).header("origin", "https://app.example.com").send().await.unwrap();
    let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("access-control-allow-origin"), "https://app.example.com");
    let again = http.get(&url).header("if-none-match", header("etag")).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.text().await.unwrap().as_str()), (304, ""));
    let packed = http.get(&url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let posted = http.post(&url).send().await.unwrap();
    assert_eq!(posted.status().as_u16(), 405);
    let head = http.head(&url).send().await.unwrap();
    assert_eq!(head.status().as_u16(), 200);
}
