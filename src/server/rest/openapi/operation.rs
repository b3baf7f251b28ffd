//! The operations of A2A as OpenAPI describes them.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};

use super::{VERBS, schema};
use crate::{
    error::{Error, ErrorKind},
    server::{
        rest::{Form, accept, path},
        status,
    },
    wire::method::Operation,
};

/// What the contracts say.
pub struct Contract {
    /// The messages' schemas, by name.
    pub schemas: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Contract {
    /// From what the build has made of the contracts. Nothing is in it if that cannot be read, which tests rule out.
    pub fn read(json: &str) -> Self {
        let mut read: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
        let mut part = |name: &str| match read.remove(name) {
            Some(Value::Object(part)) => part,
            _ => Map::new(),
        };
        Self { schemas: part("schemas"), operations: part("operations") }
    }
}

/// The name under which the operations of a version stand together.
pub fn tag(form: Form) -> &'static str {
    match form {
        Form::V1 => "A2A 1.0",
        Form::V03 => "A2A 0.3",
    }
}

/// What names of a version's schemas and operations begin with.
fn prefix(form: Form) -> &'static str {
    match form {
        Form::V1 => "",
        Form::V03 => "V03",
    }
}

fn media(form: Form) -> &'static [&'static str] {
    match form {
        Form::V1 => &[accept::JSON, accept::A2A_JSON],
        Form::V03 => &[accept::JSON],
    }
}

/// A path of these doors.
pub struct Place {
    /// The version.
    pub form: Form,
    /// Whether it is below an agent's name.
    pub agent: bool,
    /// Whether it is below a tenant.
    pub tenant: bool,
    /// What follows, with the ids' names in braces.
    pub below: &'static str,
}

impl Place {
    /// The path, with names in braces.
    pub fn template(&self) -> String {
        let agent = if self.agent { "/agents/{agent}" } else { "" };
        let version = if self.form == Form::V03 { "/v1" } else { "" };
        let tenant = if self.tenant { "/{tenant}" } else { "" };
        format!("{agent}{version}{tenant}/{}", self.below)
    }

    /// Its operations, by verb.
    pub fn item(&self, contract: &Contract) -> Value {
        let mut item = Map::new();
        let Ok(target) = path::find(&self.template()) else { return item.into() };
        let names = [(self.agent, "agent"), (self.tenant, "tenant")];
        let mut named: Vec<_> = names.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        named.extend(["id", "configId"].into_iter().filter(|name| self.below.contains(&format!("{{{name}}}"))));
        if !named.is_empty() {
            item.insert(
                "parameters".to_owned(),
                named.into_iter().map(|name| parameter(&format!("in-{name}"))).collect(),
            );
        }
        for (verb, name) in VERBS {
            if let Some(operation) = target.place.operation(&verb) {
                item.insert(name.to_owned(), self.operation(operation, &verb, contract));
            }
        }
        item.into()
    }

    fn operation(&self, operation: Operation, verb: &Method, contract: &Contract) -> Value {
        let form = self.form;
        let posts = *verb == Method::POST;
        let shape = shape(form, operation);
        let mut parameters = vec![parameter("A2A-Version"), parameter("A2A-Extensions")];
        match operation {
            Operation::SendMessage | Operation::SendStreamingMessage => parameters.push(parameter("Idempotency-Key")),
            Operation::SubscribeToTask => parameters.push(parameter("Last-Event-ID")),
            _ => {}
        }
        if !posts {
            parameters.extend(self.query(operation, contract));
        }
        let mut described = json!({
            "operationId": self.id(operation, verb),
            "summary": operation.name(),
            "description": contract.operations.get(operation.name()),
            "tags": [tag(form)],
            "parameters": parameters,
            "responses": responses(form, operation, posts, shape.answer),
        });
        if let Some(request) = shape.request.filter(|_| posts) {
            // Only what the path does not say: where it says all there is, the body may be left out.
            let required = !matches!(operation, Operation::CancelTask | Operation::SubscribeToTask);
            described["requestBody"] = json!({"required": required, "content": content(form, &schema(&request))});
        }
        described
    }

    /// One of a kind in the document.
    fn id(&self, operation: Operation, verb: &Method) -> String {
        let twice = operation == Operation::SubscribeToTask && *verb == Method::POST;
        let parts = [
            prefix(self.form),
            operation.name(),
            if twice { "ByPost" } else { "" },
            if self.tenant { "OfTenant" } else { "" },
            if self.agent { "OfAgent" } else { "" },
        ];
        parts.concat()
    }

    /// The fields of the request that its path does not name.
    fn query(&self, operation: Operation, contract: &Contract) -> Vec<Value> {
        let request = contract.schemas.get(&format!("{}Request", operation.name()));
        let fields = request.and_then(|request| request["properties"].as_object());
        let fields = fields.into_iter().flatten().filter(|(name, _)| match name.as_str() {
            "id" | "taskId" => false,
            "tenant" => self.form == Form::V1 && !self.tenant,
            _ => true,
        });
        fields
            .map(|(name, field)| {
                let mut field = field.clone();
                let about = field.as_object_mut().and_then(|field| field.remove("description"));
                let mut parameter = json!({"name": name, "in": "query", "schema": field});
                if let Some(about) = about {
                    parameter["description"] = about;
                }
                parameter
            })
            .collect()
    }
}

/// The schemas of an operation.
struct Shape {
    request: Option<String>,
    answer: Value,
}

fn shape(form: Form, operation: Operation) -> Shape {
    let prefix = prefix(form);
    let own = |name: &str| format!("{prefix}{name}");
    let (request, answer) = match (operation, form) {
        (Operation::SendMessage, _) => (Some("SendMessageRequest"), "SendMessageResponse"),
        (Operation::SendStreamingMessage, _) => (Some("SendMessageRequest"), "StreamResponse"),
        (Operation::GetTask, _) => (None, "Task"),
        (Operation::ListTasks, _) => (None, "ListTasksResponse"),
        (Operation::CancelTask, _) => (Some("CancelTaskRequest"), "Task"),
        (Operation::SubscribeToTask, Form::V1) => (Some("SubscribeToTaskRequest"), "StreamResponse"),
        (Operation::SubscribeToTask, Form::V03) => (Some("TaskSubscriptionRequest"), "StreamResponse"),
        (Operation::CreatePushConfig, Form::V1) => (Some("TaskPushNotificationConfig"), "TaskPushNotificationConfig"),
        (Operation::CreatePushConfig, Form::V03) => {
            (Some("CreateTaskPushNotificationConfigRequest"), "TaskPushNotificationConfig")
        }
        (Operation::GetPushConfig, _) => (None, "TaskPushNotificationConfig"),
        (Operation::ListPushConfigs, Form::V1) => (None, "ListTaskPushNotificationConfigsResponse"),
        (Operation::ListPushConfigs, Form::V03) => (None, "ListTaskPushNotificationConfigResponse"),
        (Operation::DeletePushConfig, _) => {
            return Shape { request: None, answer: json!({"type": "object", "maxProperties": 0}) };
        }
        (Operation::GetExtendedAgentCard, _) => (None, "AgentCard"),
    };
    Shape { request: request.map(own), answer: schema(&own(answer)) }
}

fn content(form: Form, schema: &Value) -> Value {
    Value::Object(media(form).iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect())
}

fn responses(form: Form, operation: Operation, posts: bool, answer: Value) -> Value {
    let mut responses = Map::new();
    let success = if operation.is_stream() {
        json!({
            "description": "Server-Sent Events. Each event's `data` is one object of this schema, and its `id` the \
                event's sequence in the task's log, for `Last-Event-ID`. An event named `error` holds an error instead, \
                and ends the stream. Comments keep the connection open.",
            "content": {"text/event-stream": {"schema": answer}},
        })
    } else {
        json!({"description": "Done.", "content": content(form, &answer)})
    };
    responses.insert("200".to_owned(), success);
    responses["200"]["headers"] = json!({"A2A-Extensions": {"$ref": "#/components/headers/A2A-Extensions"}});
    let body = BODY.iter().filter(|_| posts).map(|(status, _)| *status);
    let statuses = refusals(operation).map(|kind| code(form, kind)).chain(body);
    for status in statuses {
        responses
            .insert(status.to_string(), json!({"$ref": format!("#/components/responses/{}", failure(form, status))}));
    }
    responses.insert("default".to_owned(), json!({"$ref": format!("#/components/responses/{}Failure", prefix(form))}));
    responses.into()
}

/// What is refused of bodies before anyone looks into them.
const BODY: [(u16, &str); 3] = [
    (408, "the body took too long"),
    (413, "the body is too large"),
    (415, "the Content-Type is not application/json, nor another type that ends in +json; or the body is compressed"),
];

/// The kinds of errors that any operation may meet.
const ANY: [ErrorKind; 6] = [
    ErrorKind::InvalidArgument,
    ErrorKind::VersionNotSupported,
    ErrorKind::ExtensionSupportRequired,
    ErrorKind::AgentNotFound,
    ErrorKind::Unavailable,
    ErrorKind::Internal,
];

/// The kinds of errors that an operation may meet.
fn refusals(operation: Operation) -> impl Iterator<Item = ErrorKind> {
    use ErrorKind as K;
    let own: &[ErrorKind] = match operation {
        Operation::SendMessage | Operation::SendStreamingMessage => &[
            K::TaskNotFound,
            K::UnsupportedOperation,
            K::ExtensionSupportRequired,
            K::ContentTypeNotSupported,
            K::PushNotificationNotSupported,
            K::WebhookLimit,
            K::RequestIdReused,
            K::Conflict,
            K::InvalidAgentResponse,
            K::StoreFull,
        ],
        Operation::GetTask => &[K::TaskNotFound],
        Operation::ListTasks => &[],
        Operation::CancelTask => &[K::TaskNotFound, K::TaskNotCancelable, K::Conflict, K::StoreFull],
        Operation::SubscribeToTask => &[K::TaskNotFound, K::UnsupportedOperation, K::SequenceTrimmed, K::SequenceAhead],
        Operation::CreatePushConfig => {
            &[K::PushNotificationNotSupported, K::TaskNotFound, K::WebhookLimit, K::Conflict, K::StoreFull]
        }
        Operation::GetPushConfig | Operation::ListPushConfigs => {
            &[K::PushNotificationNotSupported, K::TaskNotFound, K::WebhookNotFound]
        }
        Operation::DeletePushConfig => &[K::PushNotificationNotSupported, K::TaskNotFound, K::StoreFull],
        Operation::GetExtendedAgentCard => {
            &[K::ExtendedAgentCardNotConfigured, K::UnsupportedOperation, K::Unauthenticated]
        }
    };
    ANY.into_iter().chain(own.iter().copied())
}

/// The HTTP status of a kind of error.
fn code(form: Form, kind: ErrorKind) -> u16 {
    form.error(&Error::new(kind, String::new())).0.as_u16()
}

/// The name of the answer with an error status.
fn failure(form: Form, status: u16) -> String {
    format!("{}Failure{status}", prefix(form))
}

/// The answers with errors, by name: each tells which errors have its status.
pub fn failures() -> Map<String, Value> {
    let mut failures = Map::new();
    for form in [Form::V1, Form::V03] {
        let answer =
            |description: &str| json!({"description": description, "content": content(form, &schema(error(form)))});
        let mut reasons: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for kind in Operation::ALL.into_iter().flat_map(refusals) {
            let (status, reason) = (code(form, kind), status::row(kind).names.reason);
            let known = reasons.entry(status).or_default();
            if !known.contains(&reason) {
                known.push(reason);
            }
        }
        for (status, what) in BODY {
            reasons.entry(status).or_default().push(what);
        }
        for (status, reasons) in reasons {
            failures.insert(failure(form, status), answer(&reasons.join(", ")));
        }
        let others = "Another error: a path or verb that does not exist, a body that cannot be read.";
        failures.insert(format!("{}Failure", prefix(form)), answer(others));
    }
    failures
}

/// The schema of a version's errors.
fn error(form: Form) -> &'static str {
    match form {
        Form::V1 => "Error",
        Form::V03 => "V03Error",
    }
}

fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}
