//! Hostile requests against the doors as they are routed, without sockets: no panic, no answer that takes long, and
//! always an answer in the form of its binding, in which bad input is never the gateway's fault.

mod jsonrpc;
mod rest;

use std::{cell::Cell, io::Read as _, sync::Arc};

use axum::{Router, body::Body};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{grpc, route};
use crate::{engine::Engine, wire::fuzz::PATIENCE};

/// The doors over a gateway with the echo agent, webhooks off.
struct Rig {
    runtime: tokio::runtime::Runtime,
    router: Router,
    engine: Engine,
    asked: Cell<u32>,
    _dir: tempfile::TempDir,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    media: String,
    body: Vec<u8>,
}

impl Rig {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (router, engine) = runtime.block_on(async {
            let shared = Arc::new(grpc::tests::shared(dir.path(), None).0);
            (route::router(Arc::clone(&shared)), shared.engine.clone())
        });
        Self { runtime, router, engine, asked: Cell::new(0), _dir: dir }
    }

    /// Sends a request; the answer must come in time, also to its end.
    fn ask(&self, request: Request<Body>) -> Answer {
        self.asked.set(self.asked.get() + 1);
        let router = self.router.clone();
        let call = async {
            let answer = router.oneshot(request).await.unwrap();
            let media = answer.headers().get(header::CONTENT_TYPE);
            let media = media.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
            let (status, gzip) = (answer.status(), answer.headers().contains_key(header::CONTENT_ENCODING));
            let mut body = answer.into_body().collect().await.unwrap().to_bytes().to_vec();
            if gzip {
                let packed = std::mem::take(&mut body);
                flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
            }
            Answer { status, media, body }
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, call).await.expect("no answer in time") })
    }

    /// Checks that it still works, and stops it.
    fn end(self) {
        assert!(self.asked.get() > 0);
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":
            {"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hello"}]}}}"#;
        let request = Request::post("/a2a").body(Body::from(body)).unwrap();
        let answer = self.ask(request).json();
        assert_eq!(answer["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
        self.runtime.block_on(self.engine.stop());
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The data of the events of a stream.
    fn events(&self) -> Vec<Value> {
        let text = self.text();
        let events = text.split("\n\n").filter(|event| !event.is_empty());
        let data = events.map(|event| {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event has data");
            serde_json::from_str(data).expect("data is JSON")
        });
        data.collect()
    }
}

/// Headers that mean something to the doors, with good and odd values.
fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let names = [
        "content-type",
        "accept",
        "a2a-version",
        "a2a-extensions",
        "x-a2a-extensions",
        "idempotency-key",
        "last-event-id",
        "a2a-agent",
        "host",
        "x-forwarded-proto",
        "accept-encoding",
        "origin",
    ];
    let values = prop_oneof![
        prop::sample::select(vec![
            "",
            "application/json",
            "application/a2a+json;q=0.9, */*;q=2",
            "text/plain",
            "text/event-stream",
            "1.0",
            "0.3",
            "99.0",
            "0",
            "-1",
            "18446744073709551616",
            "http://e, ,,https://f",
            "gzip",
            "echo",
            "a.test:99999",
            "application/grpc",
            "application/grpc-web-text",
            "null",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8], 0..20),
        Just(vec![b'x'; 3000]),
    ];
    let header = (prop::sample::select(names.to_vec()), values);
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(header, 1..4)]
}

/// `google.rpc` details as every error has them that A2A or the gateway has a name for.
#[track_caller]
fn are_details(details: &Value) {
    let details = details.as_array().unwrap_or_else(|| panic!("{details}"));
    let info = &details[0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
    assert!(info["reason"].as_str().is_some_and(|reason| !reason.is_empty() && reason != "INTERNAL"), "{info}");
    assert!(["a2a-protocol.org", "a2a-gateway"].contains(&info["domain"].as_str().unwrap()), "{info}");
    for bad in &details[1..] {
        assert_eq!(bad["@type"], "type.googleapis.com/google.rpc.BadRequest");
        let fields = bad["fieldViolations"].as_array().unwrap();
        assert!(fields.iter().all(|wrong| wrong["field"].is_string() && wrong["description"] != ""), "{bad}");
    }
}

/// A message that says something, and not too much.
#[track_caller]
fn is_message(message: &Value) {
    let message = message.as_str().unwrap_or_else(|| panic!("no text: {message}"));
    assert!((1..=1001).contains(&message.chars().count()), "{message}");
}
