//! Scripted A2A agents, for tests of what stands in front of agents.
//!
//! An [`Upstream`] is a real server on a port of its own that speaks one binding in one version, as its official servers
//! do, with their quirks. It decides nothing: each call goes to the test, which answers it. One script does for all
//! [`Face`]s. Requests are read strictly, and answers are written by hand, so that a fault of the gateway's own encoders
//! cannot hide itself. [`Auto`] is a well-behaved agent over a table of tasks that the test edits.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

pub mod auto;
pub mod call;
pub mod card;
mod errors;
mod grpc;
pub mod model;
pub mod render;
pub mod request;
pub mod server;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use a2a_gateway::{
    agent::a2a::{Binding, Interface},
    task::Dialect,
};
use futures::FutureExt as _;
use http::Response;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use auto::{Auto, Fate, Sieve};
pub use call::{Call, Stream};
pub use model::{Event, Kind, Snapshot};
pub use request::{Operation, Request};

use card::Card;
use render::Json;
use request::Reject;
use server::{Body, Handler, Received, Server};
use wire::Wire;

/// The longest that a script waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What an agent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Face {
    JsonRpc10,
    JsonRpc03,
    /// JSON-RPC at `/a2a`, and its card at `/.well-known/agent.json` only.
    Praison,
    Rest10,
    /// Below `/v1`, in the ProtoJSON of the 0.3 contract.
    Rest03,
    /// `lf.a2a.v1`.
    Grpc10,
    /// `a2a.v1`.
    Grpc03,
}

impl Face {
    pub const ALL: [Self; 7] =
        [Self::JsonRpc10, Self::JsonRpc03, Self::Praison, Self::Rest10, Self::Rest03, Self::Grpc10, Self::Grpc03];

    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc10 | Self::Grpc03)
    }

    /// None: gRPC.
    pub fn json(self) -> Option<Json> {
        match self {
            Self::JsonRpc10 | Self::Rest10 => Some(Json::V1),
            Self::JsonRpc03 => Some(Json::V03),
            Self::Rest03 => Some(Json::V03Proto),
            Self::Praison => Some(Json::Praison),
            Self::Grpc10 | Self::Grpc03 => None,
        }
    }

    /// How the gateway's settings name it.
    pub fn interface(self) -> Interface {
        let (binding, dialect) = match self {
            Self::JsonRpc10 => (Binding::JsonRpc, Dialect::V1),
            Self::JsonRpc03 => (Binding::JsonRpc, Dialect::V03),
            Self::Praison => (Binding::JsonRpc, Dialect::Praison),
            Self::Rest10 => (Binding::Rest, Dialect::V1),
            Self::Rest03 => (Binding::Rest, Dialect::V03),
            Self::Grpc10 => (Binding::Grpc, Dialect::V1),
            Self::Grpc03 => (Binding::Grpc, Dialect::V03),
        };
        Interface { binding, dialect }
    }
}

/// Whose habits an agent has. PraisonAI's agents have their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sdk {
    /// CRLF and pings in Server-Sent Events, errors named `error` in 1.0 streams; 0.3: `"data":null` in errors, REST
    /// events over several lines, bodies with a mere `message`, subscribe by GET only, gRPC errors without details.
    #[default]
    Python,
    /// An `id:` on each event, keep-alive comments, errors as a stream's first event; 0.3: REST errors in the form of
    /// 1.0, as `application/problem+json`.
    Go,
    /// Plain events; REST answers 201 and 202; 0.3: REST errors with a bare `code`.
    Js,
}

impl Sdk {
    pub const ALL: [Self; 3] = [Self::Python, Self::Go, Self::Js];
}

/// How an agent is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the card says.
    pub streaming: bool,
    pub sdk: Sdk,
}

impl Default for Options {
    fn default() -> Self {
        Self { streaming: true, sdk: Sdk::default() }
    }
}

/// A scripted agent.
pub struct Upstream {
    pub face: Face,
    /// What it serves as its card.
    pub card: Arc<Card>,
    http: Server,
    grpc: Option<Server>,
    calls: mpsc::UnboundedReceiver<Result<Call, String>>,
}

/// What the servers of one agent share.
struct Shared {
    face: Face,
    sdk: Sdk,
    calls: mpsc::UnboundedSender<Result<Call, String>>,
    /// Calls so far: numbers new tasks.
    count: AtomicUsize,
    hung: call::Hung,
}

impl Upstream {
    /// On free ports.
    pub fn start(face: Face, options: Options) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let count = AtomicUsize::new(0);
        let shared = Arc::new(Shared { face, sdk: options.sdk, calls: sender, count, hung: call::Hung::default() });
        let grpc = face.is_grpc().then(|| {
            let shared = shared.clone();
            let handler: Handler = Arc::new(move |received| shared.clone().answer(received).boxed());
            Server::start(handler)
        });
        // The card names the port, and its server is what has one.
        let card = Arc::new(Card::new(face, &Value::Null));
        let served = card.clone();
        let handler: Handler = Arc::new(move |received| {
            let (shared, card) = (shared.clone(), served.clone());
            async move {
                match card.answer(&received) {
                    Some(card) => Some(card),
                    None if shared.face.is_grpc() => Some(status(404)),
                    None => shared.answer(received).await,
                }
            }
            .boxed()
        });
        let upstream = Self { face, card, http: Server::start(handler), grpc, calls };
        upstream.card.set(&card::card(face, &options, &upstream.endpoint()));
        upstream
    }

    /// Where its card is looked for.
    pub fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// Where its card says that it is called. gRPC: `host:port`.
    pub fn endpoint(&self) -> String {
        let grpc = self.grpc.as_ref().map(|server| server.address().to_string());
        card::endpoint(self.face, &self.url(), &grpc.unwrap_or_default())
    }

    /// The next call, in the order in which they came.
    pub async fn call(&mut self) -> Call {
        let call = tokio::time::timeout(PATIENCE, self.calls.recv()).await;
        let call = call.unwrap_or_else(|_| panic!("{:?}: no call came", self.face)).unwrap();
        call.unwrap_or_else(|violation| panic!("{:?}: {violation}", self.face))
    }

    /// The next call, which must be of this kind.
    pub async fn expect(&mut self, operation: Operation) -> Call {
        let call = self.call().await;
        assert_eq!(call.operation, operation, "{:?}", self.face);
        call
    }

    /// The next call, if one has come.
    pub fn try_call(&mut self) -> Option<Call> {
        let call = self.calls.try_recv().ok()?;
        Some(call.unwrap_or_else(|violation| panic!("{:?}: {violation}", self.face)))
    }

    /// Closes its ports and every connection. The calls that have come stay to be read.
    pub async fn stop(&mut self) {
        self.http.stop().await;
        if let Some(grpc) = &mut self.grpc {
            grpc.stop().await;
        }
    }

    /// Listens again, on the same ports.
    pub fn resume(&mut self) {
        self.http.resume();
        if let Some(grpc) = &mut self.grpc {
            grpc.resume();
        }
    }

    /// As an agent that is restarted.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.resume();
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, received: Received) -> Option<Response<Body>> {
        let read = match self.face {
            Face::JsonRpc10 => request::rpc(self.face, Json::V1, &received),
            Face::JsonRpc03 => request::rpc(self.face, Json::V03, &received),
            Face::Praison => request::rpc(self.face, Json::Praison, &received),
            Face::Rest10 => request::rest(Json::V1, false, &received).map(|request| (request, Value::Null)),
            Face::Rest03 => {
                let get_only = self.sdk == Sdk::Python;
                request::rest(Json::V03Proto, get_only, &received).map(|request| (request, Value::Null))
            }
            Face::Grpc10 | Face::Grpc03 => grpc::read(self.face, &received).map(|request| (request, Value::Null)),
        };
        let (request, id) = match read {
            Ok(read) => read,
            Err(Reject::Status(code)) => return Some(status(code)),
            Err(Reject::Violation(text)) => {
                drop(self.calls.send(Err(text)));
                return Some(status(400));
            }
        };
        let wire = Wire { face: self.face, sdk: self.sdk, operation: request.operation, id, reset: received.reset };
        let (answer, answered) = oneshot::channel();
        let fresh = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        drop(self.calls.send(Ok(Call::new(request, wire, fresh, self.hung.clone(), answer))));
        answered.await.ok()
    }
}

fn status(code: u16) -> Response<Body> {
    wire::response::<http::HeaderName>(code, [], "")
}
