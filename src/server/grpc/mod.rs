//! The gRPC door: the gateway's own API, A2A 1.0, health and reflection.
//!
//! Methods are routed by hand rather than by generated servers, because the streams send bytes that are encoded once
//! for all watchers, which a generated server's codec cannot. A test holds the routes to the contracts.

mod a2a;
mod call;
mod codec;
mod gateway;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{StatusCode, header};
use tonic::Status;
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{a2a::A2aService, call::Calls, gateway::Gateway};
use super::Shared;
use crate::proto::DESCRIPTORS;

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The gRPC services by their paths, and what says that they are healthy.
///
/// # Errors
/// When the compiled contracts cannot be read.
pub async fn router(shared: &Arc<Shared>) -> Result<(Router, Health), tonic_reflection::server::Error> {
    let calls = |door| Calls { door, metrics: Arc::clone(&shared.metrics), max_request: shared.settings.max_body };
    let own = Gateway::new(shared.engine.clone(), Arc::clone(&shared.cards), calls("grpc"));
    let a2a = A2aService::new(shared.a2a.clone(), calls("a2a-grpc"));
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in [gateway::NAME, a2a::NAME] {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Router::new()
        .route(
            &methods(gateway::NAME),
            any(async move |Path(method): Path<String>, request| match refuse_other_content(&request) {
                None => own.answer(&method, request).await.map_or_else(|| unimplemented(&method), to_axum),
                Some(refusal) => refusal,
            }),
        )
        .route(
            &methods(a2a::NAME),
            any(async move |Path(method): Path<String>, request| match refuse_other_content(&request) {
                None => a2a.answer(&method, request).await.map_or_else(|| unimplemented(&method), to_axum),
                Some(refusal) => refusal,
            }),
        )
        .route_service(&methods(HEALTH), health)
        .route_service(&methods(REFLECTION), reflection().build_v1()?)
        .route_service(&methods(REFLECTION_ALPHA), reflection().build_v1alpha()?);
    Ok((router, Health(reporter)))
}

/// Whether the request is a gRPC call.
pub fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The answer to a call of a method that does not exist.
pub fn unimplemented(method: &str) -> Response {
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
pub struct Health(HealthReporter);

impl Health {
    /// Says that nothing is served any more, and ends the streams of those who watch.
    pub async fn stop(mut self) {
        for service in ["", gateway::NAME, a2a::NAME] {
            self.0.set_service_status(service, ServingStatus::NotServing).await;
            self.0.clear_service_status(service).await;
        }
    }
}
