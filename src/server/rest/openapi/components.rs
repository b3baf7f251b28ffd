//! What operations share: parameters, headers, and schemas that the contracts do not have.

use serde_json::{Map, Value, json};

use super::{operation::Contract, schema};

/// The parameters that many operations share, by name.
pub fn parameters() -> Value {
    let within = |name: &str, about: &str| json!({"name": name, "in": "path", "required": true, "description": about, "schema": {"type": "string"}});
    let header = |name: &str, about: &str, schema: Value| json!({"name": name, "in": "header", "description": about, "schema": schema});
    json!({
        "in-agent": within("agent", "The agent's name."),
        "in-tenant": within("tenant", "The tenant: an agent's name. Takes the place of the parameter or member `tenant`."),
        "in-id": within("id", "The task's id."),
        "in-configId": within("configId", "The push notification config's id."),
        "A2A-Version": header(
            "A2A-Version",
            "The version of A2A: 1.x or 0.3.x; others are refused. May also be given as a query parameter of this name.",
            json!({"type": "string", "examples": ["1.0"]}),
        ),
        "A2A-Extensions": header(
            "A2A-Extensions",
            "URIs of the extensions that the client wants to use, with commas between them.",
            json!({"type": "string"}),
        ),
        "Idempotency-Key": header(
            "Idempotency-Key",
            "Makes the request idempotent for 24 hours: the same content under the same key is answered with the first \
             task, other content is refused.",
            json!({"type": "string", "maxLength": 256}),
        ),
        "Last-Event-ID": header(
            "Last-Event-ID",
            "Resumes a stream after the event of this id: what followed comes, without gap or duplicate. 0: from the \
             beginning. Works for settled tasks too.",
            json!({"type": "string", "pattern": "^[0-9]*$"}),
        ),
    })
}

/// The headers of answers, by name.
pub fn headers() -> Value {
    let about = "URIs of the extensions that were used, with commas between them.";
    json!({"A2A-Extensions": {"description": about, "schema": {"type": "string"}}})
}

/// All schemas, by name: those of the contracts, without what paths name; and those of what the contracts do not have.
pub fn schemas(contract: Contract) -> Map<String, Value> {
    let mut schemas = contract.schemas;
    for name in ["CancelTaskRequest", "SubscribeToTaskRequest", "V03CancelTaskRequest", "V03TaskSubscriptionRequest"] {
        let Some(Value::Object(request)) = schemas.get_mut(name) else { continue };
        request.remove("required");
        if let Some(Value::Object(properties)) = request.get_mut("properties") {
            properties.retain(|name, _| name != "id" && name != "name");
        }
    }
    schemas.extend(own().map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

/// What the contracts do not have.
fn own() -> [(&'static str, Value); 5] {
    let details = json!({"type": "array", "items": {"oneOf": [schema("ErrorInfo"), schema("BadRequest")]}});
    let list = json!({
        "type": "object",
        "description": "Not in the published 0.3.0; in the Go SDK's later 0.3 releases.",
        "required": ["tasks", "nextPageToken", "totalSize"],
        "properties": {
            "tasks": {"type": "array", "items": schema("V03Task")},
            "nextPageToken": {"type": "string"},
            "totalSize": {"type": "integer"},
        },
    });
    [
        ("ErrorInfo", error_info()),
        ("BadRequest", bad_request()),
        ("Error", error(&details)),
        ("V03Error", v03_error(&details)),
        ("V03ListTasksResponse", list),
    ]
}

fn error_info() -> Value {
    json!({
        "type": "object",
        "description": "google.rpc.ErrorInfo: which error it is.",
        "required": ["@type", "reason", "domain"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.ErrorInfo"},
            "reason": {"type": "string", "description": "Such as TASK_NOT_FOUND. Never changes."},
            "domain": {"type": "string", "description": "a2a-protocol.org for errors that A2A names."},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    })
}

fn bad_request() -> Value {
    let violation = json!({
        "type": "object",
        "required": ["field", "description"],
        "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
    });
    json!({
        "type": "object",
        "description": "google.rpc.BadRequest: which fields are wrong.",
        "required": ["@type", "fieldViolations"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.BadRequest"},
            "fieldViolations": {"type": "array", "items": violation},
        },
    })
}

fn error(details: &Value) -> Value {
    json!({
        "type": "object",
        "description": "An error, as google.rpc.Status.",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "status", "message"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {"type": "string", "description": "The gRPC code's name, such as NOT_FOUND."},
                "message": {"type": "string"},
                "details": details,
                "paths": {"type": "array", "items": {"type": "string"}, "description": "Paths that there are."},
            },
        }},
    })
}

fn v03_error(details: &Value) -> Value {
    json!({
        "type": "object",
        "description": "An error, as JSON-RPC has it.",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "description": "The JSON-RPC code."},
            "message": {"type": "string"},
            "data": {"type": "object", "required": ["details"], "properties": {"details": details}},
        },
    })
}
