//! Refusals: an HTTP status, and a body in the form of the version that the path tells.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tonic::Code;

use super::Form;
use crate::{
    error::{Error, ErrorKind},
    server::{
        request::{Unfit, Unread},
        status::{self, RpcError},
    },
};

/// Why a request is refused.
#[derive(Debug)]
pub enum Refusal {
    /// There is nothing at its path.
    Path,
    /// Its path has other verbs: these.
    Verb(&'static str),
    /// Its body is not looked at.
    Unfit(Unfit),
    /// Its body was not read.
    Unread(Unread),
    /// Its body is not JSON.
    NotJson,
    /// An operation's error.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Refusal {
    /// How the request ended, in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Path | Self::Verb(_) => "method_not_found",
            Self::Unfit(unfit) => status::row(unfit.error().kind()).outcome,
            Self::Unread(unread) => unread.outcome(),
            Self::NotJson => "parse_error",
            Self::Error(error) => status::row(error.kind()).outcome,
        }
    }

    /// The answer, with a body of the media type.
    pub fn answer(&self, form: Form, media: &'static str) -> Response {
        let (status, body) = self.body(form);
        let mut answer = (status, [(header::CONTENT_TYPE, media)], body.to_string()).into_response();
        if let Self::Verb(allowed) = self {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        if let Self::Unfit(unfit) = self {
            answer.headers_mut().extend(unfit.accept_encoding().map(|value| (header::ACCEPT_ENCODING, value)));
        }
        if let Self::Error(error) = self
            && let Some(challenge) = status::challenge(error)
        {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }

    fn body(&self, form: Form) -> (StatusCode, Value) {
        match self {
            Self::Path => plain(form, StatusCode::NOT_FOUND, Code::NotFound, -32601, "there is nothing at this path"),
            Self::Verb(allowed) => {
                let message = format!("this path takes {allowed}");
                plain(form, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, -32601, &message)
            }
            Self::Unfit(unfit) => {
                // The table's status says what is wrong with a message's parts; for the body itself HTTP has its own.
                let (_, mut body) = form.error(&unfit.error());
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                if form == Form::V1 {
                    body["error"]["code"] = status.as_u16().into();
                }
                (status, body)
            }
            Self::Unread(unread @ Unread::TooLarge(_)) => {
                form.error(&Error::new(ErrorKind::RequestTooLarge, unread.to_string()))
            }
            Self::Unread(unread @ Unread::TooSlow(_)) => {
                plain(form, unread.status(), Code::DeadlineExceeded, -32600, &unread.to_string())
            }
            Self::Unread(unread @ Unread::Broken) => {
                plain(form, unread.status(), Code::InvalidArgument, -32600, &unread.to_string())
            }
            Self::NotJson => {
                let message = "the body must be JSON at most 128 levels deep, without numbers out of range";
                match form {
                    Form::V1 => form.error(&Error::new(ErrorKind::InvalidArgument, message)),
                    Form::V03 => (StatusCode::BAD_REQUEST, json!(RpcError::parse(message))),
                }
            }
            Self::Error(error) => form.error(error),
        }
    }
}

/// An error that A2A has no name for. `rpc`: its code in 0.3, whose bodies bear those of JSON-RPC.
fn plain(form: Form, status: StatusCode, code: Code, rpc: i32, message: &str) -> (StatusCode, Value) {
    let body = match form {
        Form::V1 => status::http_plain(status, code, message),
        Form::V03 => json!({"code": rpc, "message": message}),
    };
    (status, body)
}
