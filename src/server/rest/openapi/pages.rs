//! What is served besides the operations of A2A: cards, health, metrics.

use serde_json::{Map, Value, json};

use super::{PATH, schema};

/// The name under which cards stand together.
pub const CARDS: &str = "Agent cards";
/// The name under which the operator's paths stand together.
pub const OPERATIONS: &str = "Operations";

/// The paths, with what is at each.
pub fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for (below, id, summary, card) in [
        (
            "/.well-known/agent-card.json",
            "GetAgentCard",
            "The agent card, where A2A 1.0 and 0.3 look for it",
            a2a_card(),
        ),
        (
            "/.well-known/agent.json",
            "GetAgentCardAtOldPath",
            "The agent card, where older clients look for it",
            a2a_card(),
        ),
        (
            "/praisonai/.well-known/agent.json",
            "GetPraisonAgentCard",
            "The agent card for PraisonAI's clients",
            json!({"type": "object", "required": ["name", "url"]}),
        ),
    ] {
        for agent in [false, true] {
            paths.insert(at(agent, below), item(agent, of(agent, id), CARDS, summary, cached(card.clone(), true)));
        }
    }
    for agent in [false, true] {
        let status = json!({
            "type": "object",
            "required": ["status", "name", "version"],
            "properties": {
                "status": {"const": "ok"}, "name": {"type": "string"}, "version": {"type": "string"},
            },
        });
        let answers = json!({"200": json_answer("The agent's name and version.", status), "404": unknown()});
        paths.insert(
            at(agent, "/status"),
            item(agent, of(agent, "GetStatus"), CARDS, "What PraisonAI's tools ask", answers),
        );
    }
    let text = |about: &str| json!({"description": about, "content": {"text/plain": {"schema": {"type": "string"}}}});
    let metrics = json!({
        "description": "OpenMetrics text.",
        "content": {"application/openmetrics-text": {"schema": {"type": "string"}}},
    });
    let own = json!({"type": "object", "required": ["openapi", "info", "paths"]});
    for (path, id, summary, answers) in [
        ("/healthz", "Healthz", "Whether the process serves", json!({"200": text("It does.")})),
        (
            "/readyz",
            "Readyz",
            "Whether the store takes writes, and the gateway is not about to stop",
            json!({"200": text("It does."), "503": text("It does not; the text says why.")}),
        ),
        ("/metrics", "Metrics", "Metrics", json!({"200": metrics})),
        (PATH, "OpenApi", "This document", cached(own, false)),
    ] {
        paths.insert(path.to_owned(), item(false, id.to_owned(), OPERATIONS, summary, answers));
    }
    let keys = json!({"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array"}}});
    let mut answers = cached(keys, false);
    answers["404"] = json_answer("Cards are not signed.", schema("Error"));
    let summary = "The public keys that cards are signed with";
    paths.insert("/.well-known/jwks.json".to_owned(), item(false, "GetKeys".to_owned(), CARDS, summary, answers));
    paths
}

fn at(agent: bool, below: &str) -> String {
    let agent = if agent { "/agents/{agent}" } else { "" };
    format!("{agent}{below}")
}

fn of(agent: bool, id: &str) -> String {
    let agent = if agent { "OfAgent" } else { "" };
    format!("{id}{agent}")
}

/// A path that is read.
fn item(agent: bool, id: String, tag: &str, summary: &str, answers: Value) -> Value {
    let mut read = json!({"operationId": id, "summary": summary, "tags": [tag], "responses": answers});
    if id.contains("Card") {
        read["parameters"] = json!([{"$ref": "#/components/parameters/A2A-Version"}]);
    }
    let mut item = json!({"get": read});
    if agent {
        item["parameters"] = json!([{"$ref": "#/components/parameters/in-agent"}]);
    }
    item
}

/// The card of 1.0, of 0.3, or one document that is both, as `A2A-Version` and the operator say.
fn a2a_card() -> Value {
    json!({"anyOf": [schema("AgentCard"), schema("V03AgentCard")]})
}

fn json_answer(about: &str, schema: Value) -> Value {
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}

fn unknown() -> Value {
    json_answer("There is no such agent.", schema("Error"))
}

/// The answers of a document that caches keep.
fn cached(schema: Value, card: bool) -> Value {
    let text = json!({"schema": {"type": "string"}});
    let mut found = json_answer("The document.", schema);
    found["headers"] = json!({"ETag": text, "Cache-Control": text});
    let mut answers = json!({"200": found, "304": {"description": "The client has it (If-None-Match)."}});
    if card {
        answers["400"] = json!({"$ref": "#/components/responses/Failure400"});
        answers["404"] = unknown();
    }
    answers
}
