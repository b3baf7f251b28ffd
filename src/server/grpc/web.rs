//! gRPC-Web: gRPC for browsers, which can neither send nor read trailers. Both of its forms, binary and base64 text, are
//! gRPC behind this layer.

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderValue, header};
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

/// The content types, as they are written without parameters.
const TYPES: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// The content type of a gRPC-Web call; none: the request is none.
pub fn content_type(headers: &HeaderMap) -> Option<&'static str> {
    headers.get(header::CONTENT_TYPE).and_then(known)
}

fn known(value: &HeaderValue) -> Option<&'static str> {
    let essence = value.to_str().ok()?.split(';').next().unwrap_or_default().trim();
    TYPES.into_iter().find(|known| essence.eq_ignore_ascii_case(known))
}

/// Lets gRPC-Web calls reach what answers gRPC. All else passes as it is.
pub async fn translate(mut request: Request, next: Next) -> Response {
    let Some(content_type) = content_type(request.headers()) else { return next.run(request).await };
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // The answer has the form of the request unless the client names the other one.
    let accepted = request.headers().get(header::ACCEPT).and_then(known).unwrap_or(content_type);
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accepted));
    let inner = service_fn(move |request: http::Request<tonic::body::Body>| {
        let next = next.clone();
        async move { Ok::<_, std::convert::Infallible>(next.run(request.map(Body::new)).await) }
    });
    match GrpcWebLayer::new().layer(inner).oneshot(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(never) => match never {},
    }
}
