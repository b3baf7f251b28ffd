//! The paths: what the default agent has at the root, each agent has under `/agents/{name}`.
//!
//! The agent of a path is what its requests are for. A name that no agent has is told by the door that was asked, in its
//! own form, and not as a path that does not exist.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State},
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{HeaderMap, request::Parts};
use tower_http::compression::{
    CompressionLayer, Predicate,
    predicate::{NotForContentType, SizeAbove},
};

use super::{
    Shared,
    card::{self, DOOR, JWKS, PRAISON_DOOR},
    grpc,
    jsonrpc::{self, Door},
    ops,
    rest::{self, openapi},
};

/// Where the paths of the agents begin.
const AGENTS: &str = "/agents/";

/// The size from which answers are compressed, in bytes.
pub const COMPRESSED_FROM: u16 = 1024;

/// All paths but those of gRPC.
pub fn router(shared: Arc<Shared>) -> Router {
    let agent = format!("{AGENTS}{{name}}");
    let document = Arc::new(openapi::Document::new(shared.settings.public_url.clone()));
    Router::new()
        .route("/", door(Door::Any).get(ops::welcome))
        .merge(of_agent(""))
        .route(&agent, door(Door::Any))
        .route(&format!("{agent}/"), door(Door::Any))
        .merge(of_agent(&agent))
        .route(JWKS, get(ops::jwks))
        .route("/healthz", get(ops::alive))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .route(openapi::PATH, get(async move |headers: HeaderMap| document.answer(&headers)))
        .fallback(other)
        .with_state(shared)
        .layer(compression())
}

/// Compresses answers of clients that ask for it: not short ones, and not streams of events, which have to arrive one by
/// one.
fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_FROM).and(NotForContentType::SSE))
}

/// A path that is none of these: REST's, whose segments are more than names, or nothing.
async fn other(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(answer) = grpc::unknown(&request) {
        return answer;
    }
    Box::pin(rest::serve(shared, request)).await
}

/// The paths that each agent has, and the default one also without a prefix.
fn of_agent(prefix: &str) -> Router<Arc<Shared>> {
    let under = |path: &str| format!("{prefix}{path}");
    Router::new()
        .route(&under(DOOR), door(Door::Any))
        .route(&under("/a2a/"), door(Door::Any))
        .route(&under(PRAISON_DOOR), door(Door::Praison))
        .route(&under("/praisonai/a2a/"), door(Door::Praison))
        .route(&under("/.well-known/agent-card.json"), card(card::Path::AgentCard))
        .route(&under("/.well-known/agent.json"), card(card::Path::Agent))
        .route(&under("/praisonai/.well-known/agent.json"), card(card::Path::Praison))
        .route(&under("/status"), get(ops::praison_status))
}

fn door(door: Door) -> MethodRouter<Arc<Shared>> {
    post(async move |State(shared): State<Arc<Shared>>, Named(agent): Named, request: Request| {
        // Boxed at once, so that the layers around it move a pointer instead of the whole call.
        Box::pin(jsonrpc::serve(shared, door, agent, request)).await
    })
}

fn card(path: card::Path) -> MethodRouter<Arc<Shared>> {
    get(async move |shared: State<Arc<Shared>>, named: Named, request: Request| {
        ops::card(shared, named, path, request).await
    })
}

/// An agent's path: what leads there for the default agent, below the agent's name.
pub fn path(name: &str, path: &str) -> String {
    let mut whole = String::from(AGENTS);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            let _ = write!(whole, "%{byte:02X}");
        }
    }
    whole + path
}

/// The agent that a request's path names; empty: it has no place for one. A path whose place for the name is empty is
/// none.
pub struct Named(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::<HashMap<String, String>>::from_request_parts(parts, state).await {
            Ok(Path(mut parameters)) => match parameters.remove("name") {
                // The router takes nothing for a name, which elsewhere means the default agent.
                Some(name) if name.is_empty() => Err(ops::nothing_at(parts.uri.path())),
                name => Ok(Self(name.unwrap_or_default())),
            },
            // Not UTF-8, and so no agent's name: as it was sent, to be told so by the door.
            Err(_) => {
                let rest = parts.uri.path().strip_prefix(AGENTS).unwrap_or_default();
                Ok(Self(rest.split('/').next().unwrap_or_default().to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_path_of_an_agent_names_it() {
        use tower::ServiceExt as _;

        let echo = get(async |Named(name): Named| format!("<{name}>"));
        let router: Router = Router::new().route("/a2a", echo.clone()).route("/agents/{name}/a2a", echo);
        let named = async |uri: &str| {
            let request = http::Request::get(uri).body(axum::body::Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        for name in ["echo", "a.b-c_d~1", "two words", "a/b", "50%", "é", "?#"] {
            assert_eq!(named(&path(name, "/a2a")).await, format!("<{name}>"));
        }
        assert_eq!(path("two/é", "/a2a"), "/agents/two%2F%C3%A9/a2a");
        assert_eq!(named("/a2a").await, "<>");
        assert_eq!(named("/agents/%FF/a2a").await, "<%FF>");
        assert!(named("/agents//a2a").await.contains("there is nothing at /agents//a2a"));
    }
}
