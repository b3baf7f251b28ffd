//! The JSON-RPC door: A2A 1.0, 0.3 and PraisonAI's dialect over HTTP.
//!
//! Every JSON-RPC answer, errors included, is HTTP 200, since clients take other statuses for failures of the
//! transport. Other statuses are for requests that were not read: wrong Content-Type or compressed (415), too large (413),
//! too slow (408); and for those that need credentials (401), for which HTTP has a form that clients know.

pub mod envelope;
mod operations;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Request, StatusCode, header};
use serde_json::json;

use self::{
    envelope::{Id, Refusal, write_failure, write_success},
    operations::{Failure, Operations, Reply},
};
use super::{
    Shared,
    observe::Observation,
    request::{self, Unread},
    status,
    status::RpcError,
};
use crate::{
    error::{Error, ErrorKind},
    task::Dialect,
};

/// How many requests of a batch run at a time.
const BATCH_CONCURRENCY: usize = 16;
/// How large the answers of a batch become, in bytes, before the rest of its requests is refused: they are held until the
/// last one is there.
const BATCH_BYTES: usize = 32 << 20;

/// Which door a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The one for all dialects.
    Any,
    /// PraisonAI's own, where nothing is guessed.
    Praison,
}

impl Door {
    /// The dialect of what cannot be told to be in another.
    fn dialect(self) -> Dialect {
        match self {
            Self::Any => Dialect::V1,
            Self::Praison => Dialect::Praison,
        }
    }
}

/// Answers a POST. `agent`: whom its path names; empty: nobody.
pub async fn serve(shared: Arc<Shared>, door: Door, agent: String, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let dialect = door.dialect();
    let mut seen = Observation::start(&shared.metrics, label(dialect), "unknown");
    if let Err(unfit) = request::fit(&head.headers) {
        let error = unfit.error();
        seen.fail(&error);
        let mut answer = refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &status::jsonrpc(&error, dialect, ""));
        answer.headers_mut().extend(unfit.accept_encoding().map(|value| (header::ACCEPT_ENCODING, value)));
        return answer;
    }
    let body = match request::body(&shared.settings, body).await {
        Ok(body) => body,
        Err(unread) => {
            seen.end(unread.outcome());
            return refuse(unread.status(), &not_read(unread, dialect));
        }
    };
    let operations = Operations::new(&shared, door, agent, &head);
    let mut response = match envelope::body(&body, shared.settings.max_batch) {
        Ok(envelope::Body::One(text)) => {
            let mut out = BytesMut::new();
            match one(&operations, text, &mut seen, Streams::Allowed, &mut out).await {
                Done::Stream(start) => start(seen),
                Done::Challenged(outcome, challenge) => {
                    seen.end(outcome);
                    let headers = [(header::WWW_AUTHENTICATE, challenge)];
                    (headers, json(StatusCode::UNAUTHORIZED, out.freeze())).into_response()
                }
                Done::Written(outcome) => {
                    seen.end(outcome);
                    json(StatusCode::OK, out.freeze())
                }
            }
        }
        Ok(envelope::Body::Batch(requests)) => {
            seen.calls("batch");
            let written = AtomicUsize::new(0);
            let answers = requests.into_iter().map(|raw| in_batch(&shared, &operations, raw.get(), &written));
            let answers: Vec<_> = answers.collect();
            let answers: Vec<_> = stream::iter(answers).buffered(BATCH_CONCURRENCY).collect().await;
            seen.succeed();
            json(StatusCode::OK, joined(&answers))
        }
        Err(error) => {
            seen.end(outcome(&error));
            refuse(StatusCode::OK, &error)
        }
    };
    operations.name_extensions(response.headers_mut());
    response
}

/// One request of a batch. A stream is refused, so that there is always something written. `written`: how much has been
/// for the requests before.
async fn in_batch(shared: &Shared, operations: &Operations<'_>, text: &str, written: &AtomicUsize) -> BytesMut {
    let dialect = operations.door().dialect();
    let mut seen = Observation::start(&shared.metrics, label(dialect), "unknown");
    let mut out = BytesMut::new();
    if written.load(Relaxed) >= BATCH_BYTES {
        let message =
            format!("the answers to the batch have {BATCH_BYTES} bytes already: send this in another request");
        let error = Error::new(ErrorKind::RequestTooLarge, message);
        let id = envelope::request(text).map_or_else(|refusal| refusal.id, |request| request.id);
        write_failure(&mut out, &id, &status::jsonrpc(&error, dialect, ""));
        seen.fail(&error);
        return out;
    }
    let done = one(operations, text, &mut seen, Streams::Refused, &mut out).await;
    if let Done::Written(outcome) | Done::Challenged(outcome, _) = done {
        seen.end(outcome);
    }
    written.fetch_add(out.len(), Relaxed);
    out
}

/// Whether a request may be answered with a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Streams {
    Allowed,
    Refused,
}

/// How a request was dealt with.
enum Done {
    /// The answer is written; its outcome in metrics.
    Written(&'static str),
    /// The answer is written, and asks for credentials; its outcome in metrics, and how.
    Challenged(&'static str, HeaderValue),
    /// It is a stream, to be started with the request's observation.
    Stream(Box<dyn FnOnce(Observation) -> Response + Send>),
}

async fn one(
    operations: &Operations<'_>,
    text: &str,
    seen: &mut Observation,
    streams: Streams,
    out: &mut BytesMut,
) -> Done {
    let request = match envelope::request(text) {
        Ok(request) => request,
        Err(Refusal { id, error }) => {
            write_failure(out, &id, &error);
            return Done::Written(outcome(&error));
        }
    };
    let Some(method) = crate::wire::method::method(&request.method) else {
        let error = RpcError::method_not_found(&request.method);
        write_failure(out, &request.id, &error);
        return Done::Written(outcome(&error));
    };
    seen.calls(method.operation.name());
    if streams == Streams::Refused && method.operation.is_stream() {
        let error = RpcError::invalid_request("Invalid Request: a batch cannot hold a request for a stream");
        write_failure(out, &request.id, &error);
        return Done::Written(outcome(&error));
    }
    match operations.answer(method, &request).await {
        Ok((dialect, Reply::Json(result))) => {
            seen.at(label(dialect));
            write_success(out, &request.id, &result);
            Done::Written("ok")
        }
        Ok((dialect, Reply::Updates(updates))) => {
            seen.at(label(dialect));
            let writer =
                super::sse::Writer::JsonRpc { dialect, id: request.id.clone(), method: request.method.into_owned() };
            let keep_alive = operations.sse_keep_alive();
            Done::Stream(Box::new(move |seen| super::sse::answer(*updates, writer, keep_alive, seen)))
        }
        Err(Failure { dialect, error }) => {
            seen.at(label(dialect));
            let refusal = status::jsonrpc(&error, dialect, &request.method);
            if method.operation.is_stream() && operations.reads_events_only(dialect) {
                let id = request.id.clone();
                return Done::Stream(Box::new(move |seen| {
                    seen.fail(&error);
                    super::sse::refusal(&id, &refusal)
                }));
            }
            let outcome = status::row(error.kind()).outcome;
            let challenge = status::challenge(&error);
            // PraisonAI's servers say this so, outside of JSON-RPC; in a batch there is no outside.
            if challenge.is_some() && dialect == Dialect::Praison && streams == Streams::Allowed {
                out.put_slice(json!({"detail": error.message()}).to_string().as_bytes());
            } else {
                write_failure(out, &request.id, &refusal);
            }
            challenge.map_or(Done::Written(outcome), |challenge| Done::Challenged(outcome, challenge))
        }
    }
}

/// The door's name in metrics.
fn label(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V1 => "jsonrpc-1.0",
        Dialect::V03 => "jsonrpc-0.3",
        Dialect::Praison => "jsonrpc-praisonai",
    }
}

/// The outcome in metrics of a request that reached no operation.
fn outcome(error: &RpcError) -> &'static str {
    match error.code {
        -32700 => "parse_error",
        -32601 => "method_not_found",
        _ => "invalid_request",
    }
}

/// The error of a body that was not read. Only one that is too large is an error of the table.
fn not_read(unread: Unread, dialect: Dialect) -> RpcError {
    let message = format!("Invalid Request: {unread}");
    match unread {
        Unread::TooLarge(_) => status::jsonrpc(&Error::new(ErrorKind::RequestTooLarge, message), dialect, ""),
        Unread::TooSlow(_) | Unread::Broken => RpcError::invalid_request(&message),
    }
}

/// The answer to what cannot be told the id of.
fn refuse(code: StatusCode, error: &RpcError) -> Response {
    let mut out = BytesMut::new();
    write_failure(&mut out, &Id::null(), error);
    json(code, out.freeze())
}

fn json(code: StatusCode, body: Bytes) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn joined(answers: &[BytesMut]) -> Bytes {
    let mut out = BytesMut::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    for (i, answer) in answers.iter().enumerate() {
        out.put_u8(if i == 0 { b'[' } else { b',' });
        out.put_slice(answer);
    }
    out.put_u8(b']');
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::grpc::tests::shared;

    #[tokio::test]
    async fn a_batch_whose_answers_are_large_enough_does_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path(), None).0;
        let (head, ()) = Request::new(()).into_parts();
        let operations = Operations::new(&shared, Door::Any, String::new(), &head);
        let send = json!({"jsonrpc": "2.0", "id": 7, "method": "SendMessage", "params": {"message":
            {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}}});
        let written = AtomicUsize::new(BATCH_BYTES - 1);
        let mut answers = Vec::new();
        for _ in 0..2 {
            let answer = in_batch(&shared, &operations, &send.to_string(), &written).await;
            answers.push(serde_json::from_slice::<serde_json::Value>(&answer).unwrap());
        }
        assert!(answers[0]["result"]["task"].is_object(), "{answers:?}");
        assert_eq!(
            (&answers[1]["id"], &answers[1]["error"]["data"][0]["reason"]),
            (&json!(7), &json!("REQUEST_TOO_LARGE"))
        );
        let tasks = shared.engine.list(&crate::engine::Caller::default(), crate::engine::ListQuery::default()).await;
        assert_eq!(tasks.unwrap().total, 1);
        shared.engine.stop().await;
    }

    #[test]
    fn answers_of_a_batch_are_an_array() {
        assert_eq!(joined(&[BytesMut::from("{}"), BytesMut::from("1")]), "[{},1]");
        assert_eq!(joined(&[BytesMut::from("{}")]), "[{}]");
    }
}
