//! How an answer is carried: JSON-RPC and REST bodies, Server-Sent Events with the habits of each official server, gRPC.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Face, Sdk, errors, grpc,
    model::{Event, Kind, Said, Snapshot},
    render::Json,
    request::Operation,
    server::{Body, Piece},
};

/// How one call is answered.
#[derive(Clone)]
pub struct Wire {
    pub face: Face,
    pub sdk: Sdk,
    pub operation: Operation,
    /// JSON-RPC's id.
    pub id: Value,
    /// Of the connection.
    pub reset: CancellationToken,
}

impl Wire {
    /// A task, in answer to what is no stream.
    pub fn task(&self, task: &Snapshot) -> Response<Body> {
        match self.face.json() {
            None => self.grpc_answer(grpc::task(self.face, self.operation, task)),
            Some(json) if matches!(self.operation, Operation::Send { .. }) => {
                self.result(&json.sent("task", json.task(task)))
            }
            Some(json) => self.result(&json.task(task)),
        }
    }

    /// A direct reply to a send.
    pub fn message(&self, said: &Said) -> Response<Body> {
        match self.face.json() {
            None => self.grpc_answer(grpc::message(self.face, said)),
            Some(json) => self.result(&json.sent("message", json.message(said))),
        }
    }

    /// Any result of an HTTP face, in its envelope.
    pub fn result(&self, result: &Value) -> Response<Body> {
        let media = match (self.face, self.sdk) {
            (Face::Rest10, Sdk::Python | Sdk::Js) => "application/a2a+json",
            _ => "application/json",
        };
        let status = match (self.face, self.sdk, self.operation) {
            (Face::Rest10 | Face::Rest03, Sdk::Js, Operation::Send { .. }) => 201,
            (Face::Rest03, Sdk::Js, Operation::Cancel) => 202,
            _ => 200,
        };
        response(status, [(CONTENT_TYPE, media)], self.envelope(result).to_string())
    }

    /// An answer that is none.
    pub fn garbage(&self) -> Response<Body> {
        if self.face.is_grpc() { self.grpc_answer(grpc::GARBAGE.into()) } else { self.result(&garbage()) }
    }

    /// An error instead of an answer or a stream.
    pub fn error(&self, kind: Kind, text: &str) -> Response<Body> {
        if self.face.is_grpc() {
            return self.status(&errors::grpc(self.face, self.sdk, kind, text));
        }
        let outside = matches!(kind, Kind::Busy | Kind::Unauthenticated);
        if self.sdk == Sdk::Go && self.operation.is_stream() && self.face != Face::Praison && !outside {
            // Go's servers have begun the stream by then.
            let (sender, response) = self.stream();
            let queued = self.stream_error(kind, text).into_iter().try_for_each(|piece| sender.try_send(piece));
            queued.unwrap();
            return response;
        }
        let error = errors::http(self.face, self.sdk, &self.id, kind, text);
        let mut response = response(error.status, NO_HEADERS, error.body);
        *response.headers_mut() = error.headers;
        response
    }

    /// A gRPC status and nothing else.
    pub fn status(&self, status: &tonic::Status) -> Response<Body> {
        let mut response = response(200, [(CONTENT_TYPE, "application/grpc")], Bytes::new());
        status.add_header(response.headers_mut()).unwrap();
        response
    }

    /// The head of a stream, and where its pieces go.
    pub fn stream(&self) -> (tokio::sync::mpsc::Sender<Piece>, Response<Body>) {
        let (sender, body) = Body::pieces(self.reset.clone());
        let media = match (self.face.is_grpc(), self.face, self.sdk) {
            (true, ..) => "application/grpc",
            (_, Face::Praison, _) | (_, _, Sdk::Python) => "text/event-stream; charset=utf-8",
            _ => "text/event-stream",
        };
        let builder = Response::builder().header(CONTENT_TYPE, media).header("cache-control", "no-cache");
        (sender, builder.body(body).unwrap())
    }

    /// An event of a stream.
    pub fn event(&self, event: &Event) -> Vec<Piece> {
        match self.face.json() {
            None => vec![Piece::Data(grpc::frame(&grpc::event(self.face, event)))],
            Some(Json::Praison) => {
                let events = Json::praison_events(event);
                events.iter().map(|(name, data)| self.sse(Some(name), data)).collect()
            }
            Some(json) => vec![self.sse(None, &self.envelope(&json.event(event)))],
        }
    }

    /// An event that is none.
    pub fn garbage_event(&self) -> Piece {
        match self.face {
            face if face.is_grpc() => Piece::Data(grpc::frame(grpc::GARBAGE)),
            Face::Praison => self.sse(Some("task.status"), &garbage()),
            _ => self.sse(None, &self.envelope(&garbage())),
        }
    }

    /// An error within a stream, which ends it. PraisonAI's server has none.
    pub fn stream_error(&self, kind: Kind, text: &str) -> Vec<Piece> {
        let data = match self.face {
            Face::Grpc10 | Face::Grpc03 => {
                let mut trailers = HeaderMap::new();
                errors::grpc(self.face, self.sdk, kind, text).add_header(&mut trailers).unwrap();
                return vec![Piece::Trailers(trailers)];
            }
            Face::Praison => panic!("PraisonAI's streams have no errors: they end with a failed status"),
            Face::JsonRpc10 | Face::JsonRpc03 => errors::rpc(self.face, self.sdk, &self.id, kind, text),
            Face::Rest10 | Face::Rest03 => errors::rest(self.face, self.sdk, kind, text).1,
        };
        let named = matches!(self.face, Face::JsonRpc10 | Face::Rest10) && self.sdk != Sdk::Go;
        vec![self.sse(named.then_some("error"), &data)]
    }

    /// How a stream ends that has said all.
    pub fn end(&self) -> Vec<Piece> {
        match self.face {
            Face::Grpc10 | Face::Grpc03 => vec![Piece::Trailers(grpc::ok())],
            Face::Praison => vec![self.sse(Some("done"), &json!({}))],
            _ => Vec::new(),
        }
    }

    /// A sign of life; none where the server gives none.
    pub fn ping(&self) -> Option<Piece> {
        let comment = match (self.face, self.sdk) {
            (Face::Praison | Face::Grpc10 | Face::Grpc03, _) | (_, Sdk::Js) => return None,
            (_, Sdk::Python) => ": ping - 2026-01-02 03:04:05.678901+00:00\r\n\r\n",
            (_, Sdk::Go) => ": keep-alive\n\n",
        };
        Some(Piece::Data(comment.into()))
    }

    fn sse(&self, name: Option<&str>, data: &Value) -> Piece {
        let python = self.sdk == Sdk::Python && self.face != Face::Praison;
        let end = if python { "\r\n" } else { "\n" };
        // Python's 0.3 servers print REST events over several lines.
        let pretty = python && self.face == Face::Rest03;
        let data = if pretty { serde_json::to_string_pretty(data).unwrap() } else { data.to_string() };
        let mut text = String::new();
        if self.sdk == Sdk::Go && self.face != Face::Praison {
            text += &format!("id: {}{end}", Uuid::now_v7());
        }
        if let Some(name) = name {
            text += &format!("event: {name}{end}");
        }
        for line in data.split('\n') {
            text += &format!("data: {line}{end}");
        }
        Piece::Data((text + end).into())
    }

    fn envelope(&self, result: &Value) -> Value {
        match self.face {
            Face::JsonRpc10 | Face::JsonRpc03 => json!({"jsonrpc": "2.0", "id": self.id, "result": result}),
            // Events of PraisonAI's streams come bare.
            Face::Praison if !self.operation.is_stream() => {
                json!({"jsonrpc": "2.0", "id": self.id, "result": result})
            }
            _ => result.clone(),
        }
    }

    fn grpc_answer(&self, message: Vec<u8>) -> Response<Body> {
        let (sender, response) = self.stream();
        sender.try_send(Piece::Data(grpc::frame(&message))).unwrap();
        sender.try_send(Piece::Trailers(grpc::ok())).unwrap();
        response
    }
}

/// JSON with the members of a task in forms that no dialect knows.
fn garbage() -> Value {
    json!({"task": {"id": 7, "status": "so-so"}, "kind": "task", "status": "so-so", "id": 7})
}

const NO_HEADERS: [(HeaderName, &str); 0] = [];

/// A whole answer.
pub fn response<'a, N: Into<HeaderName>>(
    status: u16,
    headers: impl IntoIterator<Item = (N, &'a str)>,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().append(name.into(), HeaderValue::from_str(value).unwrap());
    }
    response
}
