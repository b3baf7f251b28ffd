//! Cross-origin requests (the Fetch standard's CORS protocol), so that pages of other origins can use the doors.
//!
//! Only origins that the operator names are let in, and none by default. Credentials of the browser's own (cookies,
//! client certificates) are never asked for: what identifies a caller, a page puts into a header itself, so that any
//! header may be sent. Origins that are named are also let in from a more public network than the gateway's (browsers that
//! ask, ask by `Access-Control-Request-Private-Network`); with `*` they are not, since nobody has named them.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Lets every origin in.
pub const ANY: &str = "*";

/// How long a browser may keep what it was told. Most keep it for two hours at most.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The answers' headers that pages may read besides those that they always may.
const EXPOSED: [HeaderName; 12] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("a2a-version"),
    HeaderName::from_static("a2a-extensions"),
    HeaderName::from_static("x-a2a-extensions"),
    HeaderName::from_static("traceparent"),
    header::ETAG,
    header::RETRY_AFTER,
    header::ALLOW,
    header::WWW_AUTHENTICATE,
];

/// The layer that answers browsers' questions and marks the answers of all paths; none when no origin is let in.
pub fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let any = origins.iter().any(|origin| origin == ANY);
    let allowed = if any {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .allow_private_network(!any)
        .max_age(MAX_AGE);
    Some(layer)
}
