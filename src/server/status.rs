//! The one error table: how each kind of error looks on each binding.
//!
//! HTTP and gRPC statuses follow the A2A text since 1.0.1; reasons and JSON-RPC codes are `wire::fault`'s, which
//! agents' errors are read by too. What the table names is a promise to clients: codes and reasons never change,
//! messages may.

use std::collections::HashMap;

use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    error::{Error, ErrorKind, Violation},
    task::Dialect,
    wire::{
        fault::{self, Names},
        praisonai,
    },
};

/// `domain` of errors that A2A names.
const A2A_DOMAIN: &str = "a2a-protocol.org";
/// `domain` of all others.
const OWN_DOMAIN: &str = "a2a-gateway";
/// The detail of an error that a token was sent, and a wrong one.
pub const WRONG_TOKEN: &str = "invalidToken";
/// The longest message sent, in characters. gRPC puts it into a header, whose size clients limit.
const MAX_MESSAGE: usize = 1000;
/// The most field violations sent with one error, for the same reason.
const MAX_VIOLATIONS: usize = 16;

/// How one kind of error looks on every binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its reason and its JSON-RPC codes.
    pub names: Names,
    /// The outcome in metrics: the reason in lower case.
    pub outcome: &'static str,
    /// `google.rpc.ErrorInfo.domain`.
    pub domain: &'static str,
    /// The gRPC code.
    pub grpc: Code,
    /// The HTTP status, where errors have one.
    pub http: StatusCode,
}

/// The row of an error kind.
pub fn row(kind: ErrorKind) -> Row {
    use ErrorKind as K;
    let (outcome, grpc, http) = match kind {
        K::InvalidArgument => ("invalid_params", Code::InvalidArgument, 400),
        K::TaskNotFound => ("task_not_found", Code::NotFound, 404),
        K::TaskNotCancelable => ("task_not_cancelable", Code::FailedPrecondition, 400),
        K::PushNotificationNotSupported => ("push_notification_not_supported", Code::FailedPrecondition, 400),
        K::UnsupportedOperation => ("unsupported_operation", Code::FailedPrecondition, 400),
        K::ContentTypeNotSupported => ("content_type_not_supported", Code::InvalidArgument, 400),
        K::InvalidAgentResponse => ("invalid_agent_response", Code::Internal, 500),
        K::ExtendedAgentCardNotConfigured => ("extended_agent_card_not_configured", Code::FailedPrecondition, 400),
        K::ExtensionSupportRequired => ("extension_support_required", Code::FailedPrecondition, 400),
        K::VersionNotSupported => ("version_not_supported", Code::FailedPrecondition, 400),
        K::Unauthenticated => ("unauthenticated", Code::Unauthenticated, 401),
        K::AgentNotFound => ("agent_not_found", Code::NotFound, 404),
        K::WebhookNotFound => ("webhook_not_found", Code::NotFound, 404),
        K::DeliveryNotFound => ("delivery_not_found", Code::NotFound, 404),
        K::WebhookLimit => ("webhook_limit", Code::ResourceExhausted, 400),
        K::RequestIdReused => ("request_id_reused", Code::AlreadyExists, 409),
        K::SequenceTrimmed => ("sequence_trimmed", Code::OutOfRange, 400),
        K::SequenceAhead => ("sequence_ahead", Code::OutOfRange, 400),
        K::CursorTrimmed => ("cursor_trimmed", Code::OutOfRange, 400),
        K::Conflict => ("conflict", Code::Aborted, 409),
        K::RequestTooLarge => ("request_too_large", Code::ResourceExhausted, 413),
        K::StoreFull => ("store_full", Code::ResourceExhausted, 507),
        K::Unavailable => ("unavailable", Code::Unavailable, 503),
        K::Internal => ("internal", Code::Internal, 500),
    };
    let domain = if fault::NAMED.contains(&kind) { A2A_DOMAIN } else { OWN_DOMAIN };
    let http = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Row { names: fault::names(kind), outcome, domain, grpc, http }
}

/// The error as a gRPC status: `ErrorInfo` always, `BadRequest` when fields are wrong.
pub fn grpc(error: &Error) -> Status {
    grpc_as(error, row(error.kind()).grpc)
}

/// The error as a gRPC status of A2A 0.3. Its SDKs go by the code alone, and know what is not supported as `UNIMPLEMENTED`:
/// `FAILED_PRECONDITION` is a task that cannot be canceled to them.
pub fn grpc_v03(error: &Error) -> Status {
    let code = match error.kind() {
        ErrorKind::PushNotificationNotSupported | ErrorKind::UnsupportedOperation => Code::Unimplemented,
        kind => row(kind).grpc,
    };
    grpc_as(error, code)
}

fn grpc_as(error: &Error, code: Code) -> Status {
    let row = row(error.kind());
    let metadata: HashMap<_, _> = error.metadata().iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let mut details = ErrorDetails::with_error_info(row.names.reason, row.domain, metadata);
    for violation in error.field_violations().iter().take(MAX_VIOLATIONS) {
        details.add_bad_request_violation(&violation.field, &violation.description);
    }
    Status::with_error_details(code, shorten(error.message().to_owned()), details)
}

/// The `error` member of a JSON-RPC answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RpcError {
    /// The code.
    pub code: i32,
    /// The message.
    pub message: String,
    /// `google.rpc` details; left out in PraisonAI's dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// -32700: the body is not JSON.
    pub fn parse(message: &str) -> Self {
        Self::plain(-32700, message)
    }

    /// -32600: the body is JSON, but not a request.
    pub fn invalid_request(message: &str) -> Self {
        Self::plain(-32600, message)
    }

    /// -32601: no dialect has the method.
    pub fn method_not_found(name: &str) -> Self {
        Self::plain(-32601, &format!("Method not found: {}", name.chars().take(64).collect::<String>()))
    }

    fn plain(code: i32, message: &str) -> Self {
        Self { code, message: message.to_owned(), data: None }
    }
}

/// The error as a JSON-RPC error of the dialect. `method`: the method that was called.
pub fn jsonrpc(error: &Error, dialect: Dialect, method: &str) -> RpcError {
    let row = row(error.kind());
    match dialect {
        Dialect::V1 => RpcError { code: row.names.v1, message: json_message(error), data: Some(details(error).into()) },
        // An object: the official Go SDK of 0.3 reads nothing else, and drops the error's code with it.
        Dialect::V03 => {
            let data = json!({"details": details(error)});
            RpcError { code: row.names.v03, message: json_message(error), data: Some(data) }
        }
        Dialect::Praison => {
            let message = shorten(praisonai::error_message(error, &json_message(error), method));
            RpcError { code: row.names.praison, message, data: None }
        }
    }
}

/// The error as an HTTP status and a JSON body in the form of A2A 1.0's REST binding.
pub fn http(error: &Error) -> (StatusCode, Value) {
    let row = row(error.kind());
    let body = json!({"error": {
        "code": row.http.as_u16(),
        "status": code_name(row.grpc),
        "message": json_message(error),
        "details": details(error),
    }});
    (row.http, body)
}

/// An error that A2A has no name for, in the form of A2A 1.0's REST binding.
pub fn http_plain(status: StatusCode, code: Code, message: &str) -> Value {
    json!({"error": {"code": status.as_u16(), "status": code_name(code), "message": message}})
}

/// The error as an HTTP status and a JSON body in the form of A2A 0.3's REST binding: the JSON-RPC error, bare. The
/// statuses are those of the official Python SDK of 0.3, whose clients go by them.
pub fn http_v03(error: &Error) -> (StatusCode, Value) {
    use ErrorKind as K;
    let status = match error.kind() {
        K::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
        K::TaskNotCancelable => StatusCode::CONFLICT,
        K::PushNotificationNotSupported | K::UnsupportedOperation => StatusCode::NOT_IMPLEMENTED,
        K::ContentTypeNotSupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        K::InvalidAgentResponse => StatusCode::BAD_GATEWAY,
        K::ExtendedAgentCardNotConfigured => StatusCode::NOT_FOUND,
        kind => row(kind).http,
    };
    (status, json!(jsonrpc(error, Dialect::V03, "")))
}

/// What `WWW-Authenticate` says (RFC 9110, section 11.6.1; RFC 6750, section 3); none: the error is about something else.
pub fn challenge(error: &Error) -> Option<HeaderValue> {
    let wrong = error.metadata().iter().any(|(name, _)| *name == WRONG_TOKEN);
    (error.kind() == ErrorKind::Unauthenticated).then(|| {
        HeaderValue::from_static(if wrong {
            "Bearer realm=\"a2a-gateway\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"a2a-gateway\""
        })
    })
}

/// `google.rpc` details in ProtoJSON.
fn details(error: &Error) -> Vec<Value> {
    let row = row(error.kind());
    let mut info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": row.names.reason, "domain": row.domain,
    });
    if !error.metadata().is_empty() {
        let metadata = error.metadata().iter().map(|(k, v)| ((*k).to_owned(), Value::from(v.as_str())));
        info["metadata"] = Value::Object(metadata.collect());
    }
    let mut details = vec![info];
    let violations = error.field_violations();
    if !violations.is_empty() {
        let fields: Vec<_> = violations.iter().take(MAX_VIOLATIONS).map(json_violation).collect();
        details.push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}));
    }
    details
}

fn json_violation(violation: &Violation) -> Value {
    json!({"field": json_path(&violation.field), "description": violation.description})
}

/// The message with fields named as JSON names them.
fn json_message(error: &Error) -> String {
    let violations = error.field_violations();
    if violations.is_empty() {
        return shorten(error.message().to_owned());
    }
    let named: Vec<_> = violations
        .iter()
        .take(MAX_VIOLATIONS)
        .map(|violation| format!("{} {}", json_path(&violation.field), violation.description))
        .collect();
    shorten(named.join("; "))
}

/// A path of proto names in JSON names: `message.parts[0].media_type` becomes `message.parts[0].mediaType`.
fn json_path(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut raise = false;
    for c in path.chars() {
        match c {
            '_' if !camel.is_empty() && !camel.ends_with('.') => raise = true,
            c if raise => {
                camel.push(c.to_ascii_uppercase());
                raise = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

fn shorten(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The code's name in the contracts: `NOT_FOUND`.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 24] = [
        ErrorKind::InvalidArgument,
        ErrorKind::TaskNotFound,
        ErrorKind::TaskNotCancelable,
        ErrorKind::PushNotificationNotSupported,
        ErrorKind::UnsupportedOperation,
        ErrorKind::ContentTypeNotSupported,
        ErrorKind::InvalidAgentResponse,
        ErrorKind::ExtendedAgentCardNotConfigured,
        ErrorKind::ExtensionSupportRequired,
        ErrorKind::VersionNotSupported,
        ErrorKind::Unauthenticated,
        ErrorKind::AgentNotFound,
        ErrorKind::WebhookNotFound,
        ErrorKind::DeliveryNotFound,
        ErrorKind::WebhookLimit,
        ErrorKind::RequestIdReused,
        ErrorKind::SequenceTrimmed,
        ErrorKind::SequenceAhead,
        ErrorKind::CursorTrimmed,
        ErrorKind::Conflict,
        ErrorKind::RequestTooLarge,
        ErrorKind::StoreFull,
        ErrorKind::Unavailable,
        ErrorKind::Internal,
    ];

    /// The A2A rows as the text has them since 1.0.1: kind, JSON-RPC code, gRPC code, HTTP status.
    const A2A: [(ErrorKind, i32, Code, u16); 9] = [
        (ErrorKind::TaskNotFound, -32001, Code::NotFound, 404),
        (ErrorKind::TaskNotCancelable, -32002, Code::FailedPrecondition, 400),
        (ErrorKind::PushNotificationNotSupported, -32003, Code::FailedPrecondition, 400),
        (ErrorKind::UnsupportedOperation, -32004, Code::FailedPrecondition, 400),
        (ErrorKind::ContentTypeNotSupported, -32005, Code::InvalidArgument, 400),
        (ErrorKind::InvalidAgentResponse, -32006, Code::Internal, 500),
        (ErrorKind::ExtendedAgentCardNotConfigured, -32007, Code::FailedPrecondition, 400),
        (ErrorKind::ExtensionSupportRequired, -32008, Code::FailedPrecondition, 400),
        (ErrorKind::VersionNotSupported, -32009, Code::FailedPrecondition, 400),
    ];

    #[test]
    fn the_a2a_rows_are_those_of_the_text() {
        for (kind, code, grpc, http) in A2A {
            let row = row(kind);
            assert_eq!((row.names.v1, row.grpc, row.http.as_u16()), (code, grpc, http), "{kind:?}");
            assert_eq!(row.domain, A2A_DOMAIN);
        }
    }

    #[test]
    fn every_kind_has_its_form_on_every_binding() {
        let mut reasons = std::collections::HashSet::new();
        for kind in KINDS {
            let error = Error::new(kind, "what happened").with("taskId", "t-1");
            let row = row(kind);
            assert!(reasons.insert(row.names.reason), "{} twice", row.names.reason);
            assert_eq!(row.outcome, row.names.reason.to_lowercase());
            let named_by_a2a = kind == ErrorKind::InvalidArgument || A2A.iter().any(|(named, ..)| *named == kind);
            assert_eq!(row.domain == A2A_DOMAIN, named_by_a2a, "{kind:?}");
            assert!(row.http.is_client_error() || row.http.is_server_error());

            let status = grpc(&error);
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (status.code(), info.reason.as_str(), info.domain.as_str()),
                (row.grpc, row.names.reason, row.domain)
            );
            assert_eq!(info.metadata["taskId"], "t-1");

            let unsupported = [ErrorKind::PushNotificationNotSupported, ErrorKind::UnsupportedOperation];
            let v03 = grpc_v03(&error);
            assert_eq!(
                v03.code(),
                if unsupported.contains(&kind) { Code::Unimplemented } else { row.grpc },
                "{kind:?}"
            );
            assert_eq!(v03.get_details_error_info().unwrap().reason, row.names.reason);

            let v1 = jsonrpc(&error, Dialect::V1, "GetTask");
            let info = &v1.data.as_ref().unwrap()[0];
            assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
            assert_eq!((info["reason"].as_str(), info["domain"].as_str()), (Some(row.names.reason), Some(row.domain)));
            assert_eq!(info["metadata"]["taskId"], "t-1");

            let v03 = jsonrpc(&error, Dialect::V03, "tasks/get");
            assert!((-32007..=-32001).contains(&v03.code) || [-32600, -32602, -32603].contains(&v03.code), "{kind:?}");

            let praison = jsonrpc(&error, Dialect::Praison, "tasks/get");
            assert!(praison.data.is_none());
            assert!([-32000, -32002, -32600, -32601, -32602, -32603].contains(&praison.code), "{kind:?}");

            let (code, body) = http(&error);
            assert_eq!(body["error"]["code"], code.as_u16());
            assert_eq!(body["error"]["details"][0]["reason"], row.names.reason);

            let (code, body) = http_v03(&error);
            assert!(code.is_client_error() || code.is_server_error());
            assert_eq!((&body["code"], &body["data"]), (&json!(row.names.v03), &json!({"details": details(&error)})));
        }
    }

    #[test]
    fn a_gateway_behind_a_gateway_is_understood() {
        for kind in fault::NAMED {
            let error = Error::new(kind, "what happened");
            for dialect in [Dialect::V1, Dialect::V03] {
                let written = serde_json::to_value(jsonrpc(&error, dialect, "GetTask")).unwrap();
                assert_eq!(fault::read(&written, dialect), (Some(kind), "what happened".to_owned()));
            }
            assert_eq!(fault::read(&http(&error).1, Dialect::V1), (Some(kind), "what happened".to_owned()));
            assert_eq!(fault::read(&http_v03(&error).1, Dialect::V03), (Some(kind), "what happened".to_owned()));
        }
    }

    #[test]
    fn bad_fields_are_named_in_each_bindings_own_spelling() {
        let error = Error::invalid("message.parts[0].media_type", "must be short");
        let bad = grpc(&error).get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "message.parts[0].media_type");
        let rpc = jsonrpc(&error, Dialect::V1, "SendMessage");
        assert_eq!(rpc.code, -32602);
        assert_eq!(rpc.message, "message.parts[0].mediaType must be short");
        let bad = &rpc.data.unwrap()[1];
        assert_eq!(bad["@type"], "type.googleapis.com/google.rpc.BadRequest");
        assert_eq!(bad["fieldViolations"][0]["field"], "message.parts[0].mediaType");
        assert_eq!(bad["fieldViolations"][0]["description"], "must be short");
    }

    #[test]
    fn a_thousand_violations_do_not_make_a_giant_answer() {
        let violations = (0..1000).map(|i| Violation { field: format!("parts[{i}]"), description: "é".repeat(50) });
        let error = Error::violations(violations.collect());
        let status = grpc(&error);
        assert!(status.message().chars().count() <= MAX_MESSAGE + 1);
        assert!(status.details().len() < 8 * 1024, "{}", status.details().len());
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), MAX_VIOLATIONS);
    }

    #[test]
    fn paths_become_json_names() {
        assert_eq!(json_path("configuration.history_length"), "configuration.historyLength");
        assert_eq!(json_path("a_b[0].c_d_e"), "aB[0].cDE");
        assert_eq!(json_path("Last-Event-ID"), "Last-Event-ID");
        assert_eq!(json_path("_meta.x"), "_meta.x");
    }
}
