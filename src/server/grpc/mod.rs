//! The gRPC door: the gateway's own API, A2A 1.0 and 0.3, health and reflection.
//!
//! Methods are routed by hand rather than by generated servers, because the streams send bytes that are encoded once
//! for all watchers, which a generated server's codec cannot. A test holds the routes to the contracts.

mod a2a;
mod a2a_v03;
mod call;
mod codec;
mod gateway;
mod timed;
mod web;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, StatusCode, header};
use tonic::Status;
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{a2a::A2aService, call::Calls, gateway::Gateway};
use super::{Shared, status};
use crate::proto::DESCRIPTORS;

/// The services that do work.
const NAMES: [&str; 3] = [gateway::NAME, a2a::NAME, a2a_v03::NAME];
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The gRPC services by their paths, and what says that they are healthy.
///
/// # Errors
/// When the compiled contracts cannot be read.
pub async fn router(shared: &Arc<Shared>) -> Result<(Router, Health), tonic_reflection::server::Error> {
    let calls = |door, status| Calls {
        door,
        metrics: Arc::clone(&shared.metrics),
        max_request: shared.settings.max_body,
        request_time: shared.settings.body_read_timeout,
        status,
        refusal: None,
    };
    let cards = || Arc::clone(&shared.cards);
    let own = Gateway::new(shared.engine.clone(), cards(), calls("grpc", status::grpc));
    let a2a = A2aService::new(shared.a2a.clone(), cards(), calls("a2a-grpc", status::grpc));
    let a2a_v03 = a2a_v03::A2aService::new(shared.a2a.clone(), cards(), calls("a2a-grpc-0.3", status::grpc_v03));
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in NAMES {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let reflection = || {
        // Only what is served here: the descriptors also hold contracts that the gateway speaks as a client.
        let served = NAMES.into_iter().chain([HEALTH, REFLECTION, REFLECTION_ALPHA]);
        let builder = tonic_reflection::server::Builder::configure();
        let builder = served.fold(builder, |builder, name| builder.with_service_name(name));
        builder
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that clients which know the API by reflection alone can read the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Router::new()
        .route(
            &methods(gateway::NAME),
            any(async move |Path(method): Path<String>, request| match refuse_other_content(&request) {
                None => Box::pin(own.answer(&method, request)).await.map_or_else(|| unimplemented(&method), to_axum),
                Some(refusal) => refusal,
            }),
        )
        .route(
            &methods(a2a::NAME),
            any(async move |Path(method): Path<String>, request| match refuse_other_content(&request) {
                None => Box::pin(a2a.answer(&method, request)).await.map_or_else(|| unimplemented(&method), to_axum),
                Some(refusal) => refusal,
            }),
        )
        .route(
            &methods(a2a_v03::NAME),
            any(async move |Path(method): Path<String>, request| match refuse_other_content(&request) {
                None => {
                    Box::pin(a2a_v03.answer(&method, request)).await.map_or_else(|| unimplemented(&method), to_axum)
                }
                Some(refusal) => refusal,
            }),
        )
        .route_service(&methods(HEALTH), health)
        .route_service(&methods(REFLECTION), reflection().build_v1()?)
        .route_service(&methods(REFLECTION_ALPHA), reflection().build_v1alpha()?)
        .layer(middleware::from_fn(web::translate));
    Ok((router, Health(reporter)))
}

/// Whether the request is a gRPC call.
fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// The answer to a call of a service that does not exist; none when the request is no gRPC call, nor a gRPC-Web call.
pub fn unknown(request: &Request) -> Option<Response> {
    let web = web::content_type(request.headers());
    let mut answer = (web.is_some() || is_grpc(request)).then(|| unimplemented(request.uri().path()))?;
    if let Some(content_type) = web {
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Some(answer)
}

/// The answer to a call of a method that does not exist.
fn unimplemented(method: &str) -> Response {
    let name: String = method.chars().take(128).collect();
    to_axum(Status::unimplemented(format!("there is no method {name}")).into_http())
}

fn methods(service: &str) -> String {
    format!("/{service}/{{method}}")
}

fn refuse_other_content(request: &Request) -> Option<Response> {
    let refusal = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this path takes gRPC calls (Content-Type: application/grpc)\n");
    (!is_grpc(request)).then(|| refusal.into_response())
}

fn to_axum(answer: call::Answer) -> Response {
    answer.map(Body::new)
}

/// Tells clients of the gRPC health service how the gateway does.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Says that nothing more should be sent here.
    pub async fn leave(&self) {
        for service in NAMES.into_iter().chain([""]) {
            self.0.set_service_status(service, ServingStatus::NotServing).await;
        }
    }

    /// Says that nothing is served any more, and ends the streams of those who watch.
    pub async fn stop(mut self) {
        self.leave().await;
        for service in NAMES.into_iter().chain([""]) {
            self.0.clear_service_status(service).await;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use prost::Message;

    use super::*;
    use crate::{
        agent::Echo,
        engine::{Courier, Engine, Hub, Parts},
        metrics::Metrics,
        server::{
            Settings,
            a2a::A2a,
            card::{Cards, Offers},
        },
        store::{Sqlite, SqliteSettings},
    };

    /// As much of `google.protobuf.FileDescriptorSet` as names the methods.
    #[derive(Message)]
    struct Files {
        #[prost(message, repeated, tag = "1")]
        files: Vec<File>,
    }

    #[derive(Message)]
    struct File {
        #[prost(string, tag = "2")]
        package: String,
        #[prost(message, repeated, tag = "6")]
        services: Vec<Service>,
    }

    #[derive(Message)]
    struct Service {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(message, repeated, tag = "2")]
        methods: Vec<Method>,
    }

    #[derive(Message)]
    struct Method {
        #[prost(string, tag = "1")]
        name: String,
    }

    fn methods_of(service: &str) -> Vec<String> {
        let files = Files::decode(DESCRIPTORS).unwrap().files;
        let services = files.iter().flat_map(|file| file.services.iter().map(move |service| (&file.package, service)));
        let named = services.filter(|(package, each)| format!("{package}.{}", each.name) == service);
        named.flat_map(|(_, service)| service.methods.iter().map(|method| method.name.clone())).collect()
    }

    /// What the doors share, on a database in `dir`, and its store.
    pub(in crate::server) fn shared(dir: &std::path::Path, courier: Option<Arc<dyn Courier>>) -> (Shared, Arc<Sqlite>) {
        let metrics = Arc::new(Metrics::default());
        let hub = Hub::new(metrics.clone());
        let settings = SqliteSettings { readers: 1, ..SqliteSettings::new(dir) };
        let store = Arc::new(Sqlite::open(&settings, hub.clone(), metrics.clone()).unwrap());
        let agents: Vec<(String, Arc<dyn crate::agent::Agent>)> = vec![("echo".into(), Arc::new(Echo))];
        let settings = crate::engine::Settings::default();
        let engine =
            Engine::start(Parts { store: store.clone(), hub, agents, courier, settings, metrics: metrics.clone() });
        let settings = Settings::default();
        let a2a = A2a::new(engine.clone(), settings.auth_required_idle);
        let cards = Arc::new(Cards::new(None, "127.0.0.1:1".parse().unwrap(), Offers { push: false, merged: true }));
        (Shared { engine, a2a, cards, metrics, settings, leaving: tokio_util::sync::CancellationToken::new() }, store)
    }

    /// A call without a content in its message.
    fn call(service: &str, method: &str, content_type: &str) -> Request {
        let request = http::Request::post(format!("/{service}/{method}")).header(header::CONTENT_TYPE, content_type);
        request.body(Body::from(vec![0; 5])).unwrap()
    }

    #[tokio::test]
    async fn every_method_of_the_contracts_is_there_and_no_other() {
        use tower::ServiceExt as _;

        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(shared(dir.path(), None).0);
        let (router, _health) = router(&shared).await.unwrap();
        let status = async |service: &str, method: &str| {
            let answer = router.clone().oneshot(call(service, method, "application/grpc")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            // What is turned off says so in 0.3 with the same code as what is not there, but with details.
            let said = answer.headers().contains_key("grpc-status-details-bin");
            answer.headers().get("grpc-status").map(|status| (status.to_str().unwrap().to_owned(), said))
        };
        let unimplemented = Some(((tonic::Code::Unimplemented as i32).to_string(), false));
        for (service, count) in [(gateway::NAME, 15), (a2a::NAME, 11), (a2a_v03::NAME, 10)] {
            let methods = methods_of(service);
            assert_eq!(methods.len(), count, "{methods:?}");
            for method in methods {
                assert_ne!(status(service, &method).await, unimplemented, "{service}/{method}");
            }
            assert_eq!(status(service, "Nope").await, unimplemented);
        }
        let answer = router.clone().oneshot(call(gateway::NAME, "GetTask", "application/json")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        shared.engine.stop().await;
    }

    #[tokio::test]
    async fn a_request_that_never_comes_is_not_waited_for_for_ever() {
        use tower::ServiceExt as _;

        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(shared(dir.path(), None).0);
        let (router, _health) = router(&shared).await.unwrap();
        tokio::time::pause();
        for (service, method) in [(gateway::NAME, "WatchTask"), (a2a::NAME, "GetTask"), (a2a_v03::NAME, "GetTask")] {
            let request = call(service, method, "application/grpc");
            let nothing = futures::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>();
            let request = request.map(|_| Body::from_stream(nothing));
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.headers()["grpc-status"], "4", "{service}/{method}");
        }
        tokio::time::resume();
        shared.engine.stop().await;
    }
}
