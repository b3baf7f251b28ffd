//! Errors as each face and each official server words them.

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Face, Sdk, model::Kind};

const DOMAIN: &str = "a2a-protocol.org";

/// One error in the words of A2A 1.0 and of 0.3.
struct Terms {
    rpc: i32,
    /// Empty: A2A does not name it.
    reason: &'static str,
    grpc: Code,
    http: u16,
    /// As Python's 0.3 servers name the error, and what they answer.
    name: &'static str,
    old_grpc: Code,
    old_http: u16,
    /// What JavaScript's 0.3 servers answer.
    old_http_js: u16,
}

fn terms(kind: Kind) -> Terms {
    let row = |rpc, reason, grpc, http, name, old_grpc, old_http, old_http_js| Terms {
        rpc,
        reason,
        grpc,
        http,
        name,
        old_grpc,
        old_http,
        old_http_js,
    };
    use Code::{
        FailedPrecondition as Failed, Internal, InvalidArgument as Invalid, NotFound, Unavailable, Unimplemented,
    };
    match kind {
        Kind::TaskNotFound => row(-32001, "TASK_NOT_FOUND", NotFound, 404, "TaskNotFoundError", NotFound, 404, 404),
        Kind::TaskNotCancelable => {
            row(-32002, "TASK_NOT_CANCELABLE", Failed, 400, "TaskNotCancelableError", Unimplemented, 409, 409)
        }
        Kind::UnsupportedOperation => {
            row(-32004, "UNSUPPORTED_OPERATION", Failed, 400, "UnsupportedOperationError", Unimplemented, 501, 400)
        }
        Kind::ContentTypeNotSupported => row(
            -32005,
            "CONTENT_TYPE_NOT_SUPPORTED",
            Invalid,
            400,
            "ContentTypeNotSupportedError",
            Unimplemented,
            415,
            500,
        ),
        Kind::InvalidParams => row(-32602, "", Invalid, 400, "InvalidParamsError", Invalid, 422, 400),
        Kind::Internal => row(-32603, "", Internal, 500, "InternalError", Internal, 500, 500),
        Kind::Busy => row(-32603, "", Unavailable, 503, "", Unavailable, 503, 503),
        Kind::Unauthenticated => row(-32603, "", Code::Unauthenticated, 401, "", Code::Unauthenticated, 401, 401),
    }
}

/// An error before the answer has begun, over HTTP.
pub struct HttpError {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl HttpError {
    fn new(status: u16, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        Self { status, headers: headers.into_iter().collect(), body: body.into() }
    }
}

/// The error that the server, or what stands before it, gives instead of an answer; `id` is JSON-RPC's.
pub fn http(face: Face, sdk: Sdk, id: &Value, kind: Kind, text: &str) -> HttpError {
    match (kind, face) {
        (Kind::Busy, _) => {
            let mut error = HttpError::new(503, "text/plain", text);
            error.headers.insert("retry-after", HeaderValue::from_static("1"));
            error
        }
        (Kind::Unauthenticated, _) => {
            let mut error = HttpError::new(401, "application/json", json!({"detail": text}).to_string());
            error.headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
            error
        }
        (Kind::Internal, Face::Praison) => HttpError::new(500, "text/plain; charset=utf-8", "Internal Server Error"),
        (_, Face::JsonRpc10 | Face::JsonRpc03 | Face::Praison) => {
            HttpError::new(200, "application/json", rpc(face, sdk, id, kind, text).to_string())
        }
        _ => {
            let (status, value) = rest(face, sdk, kind, text);
            let media = match (face, sdk) {
                (Face::Rest10, Sdk::Python | Sdk::Js) => "application/a2a+json",
                (Face::Rest03, Sdk::Go) => "application/problem+json",
                _ => "application/json",
            };
            HttpError::new(status, media, value.to_string())
        }
    }
}

/// A JSON-RPC answer with an error.
pub fn rpc(face: Face, sdk: Sdk, id: &Value, kind: Kind, text: &str) -> Value {
    let terms = terms(kind);
    let mut error = json!({"code": terms.rpc, "message": text});
    match face {
        Face::Praison => {
            error["code"] = match kind {
                Kind::TaskNotFound => -32000,
                Kind::UnsupportedOperation => -32601,
                Kind::ContentTypeNotSupported => -32602,
                _ => terms.rpc,
            }
            .into();
        }
        Face::JsonRpc03 if sdk == Sdk::Python => error["data"] = Value::Null,
        Face::JsonRpc03 => {}
        _ => error["data"] = details(&terms, kind, text),
    }
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

/// A REST body with an error, and its status.
pub fn rest(face: Face, sdk: Sdk, kind: Kind, text: &str) -> (u16, Value) {
    let terms = terms(kind);
    match (face, sdk) {
        (Face::Rest03, Sdk::Python) => (terms.old_http, json!({"message": text})),
        (Face::Rest03, Sdk::Js) => (terms.old_http_js, json!({"code": terms.rpc, "message": text})),
        _ => {
            let status = format!("{:?}", terms.grpc).chars().fold(String::new(), |name, letter| {
                let gap = if letter.is_uppercase() && !name.is_empty() { "_" } else { "" };
                name + gap + &letter.to_uppercase().to_string()
            });
            let details = details(&terms, kind, text);
            let error = json!({"code": terms.http, "status": status, "message": text, "details": details});
            (terms.http, json!({"error": error}))
        }
    }
}

/// A gRPC status.
pub fn grpc(face: Face, sdk: Sdk, kind: Kind, text: &str) -> Status {
    let terms = terms(kind);
    if face == Face::Grpc03 && sdk == Sdk::Python && !terms.name.is_empty() {
        return Status::new(terms.old_grpc, format!("{}: {text}", terms.name));
    }
    let mut details = ErrorDetails::new();
    if kind == Kind::InvalidParams {
        details.add_bad_request_violation("message", text);
    } else if !terms.reason.is_empty() {
        details.set_error_info(terms.reason, DOMAIN, std::collections::HashMap::new());
    }
    Status::with_error_details(terms.grpc, text, details)
}

fn details(terms: &Terms, kind: Kind, text: &str) -> Value {
    const TYPE: &str = "type.googleapis.com/google.rpc.";
    let violations = json!([{"field": "message", "description": text}]);
    match terms.reason {
        "" if kind == Kind::InvalidParams => {
            json!([{"@type": format!("{TYPE}BadRequest"), "fieldViolations": violations}])
        }
        "" => json!([]),
        reason => json!([{"@type": format!("{TYPE}ErrorInfo"), "reason": reason, "domain": DOMAIN}]),
    }
}
