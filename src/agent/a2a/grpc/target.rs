//! Where and how a gRPC agent is connected to.

use std::{error::Error as StdError, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::agent::a2a::{Secret, Settings, Tls};

/// How long an open connection may be silent before HTTP/2 asks whether the peer is alive. gRPC's servers allow one
/// such question in five minutes and close the connection of those who ask more often, a long silent turn or not.
const PING_AFTER: Duration = Duration::from_secs(310);

/// How long the answer to that may take.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// TCP's own probes, which no server minds: they find a peer that vanished within a minute.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// The connection's settings. `target`: host:port, http://, https:// or dns:///; the scheme decides about TLS, and
/// without one the port does: 443, or none, means TLS.
///
/// # Errors
/// What is wrong with the target or the TLS settings.
pub(super) fn endpoint(target: &str, settings: &Settings) -> Result<Endpoint, String> {
    let uri = uri(target)?;
    let tls = uri.scheme_str() == Some("https");
    let endpoint = Endpoint::from(uri)
        .user_agent(concat!("a2a-gateway/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| root_cause(&error))?
        .connect_timeout(settings.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(PROBE_AFTER))
        .tcp_keepalive_interval(Some(PROBE_INTERVAL))
        .tcp_keepalive_retries(Some(PROBES))
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT);
    if !tls {
        return Ok(endpoint);
    }
    let config = tls_config(&settings.tls)?.timeout(settings.connect_timeout);
    endpoint.tls_config(config).map_err(|error| format!("the TLS settings cannot be used: {}", root_cause(&error)))
}

fn tls_config(tls: &Tls) -> Result<ClientTlsConfig, String> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

    let config = match &tls.ca {
        // tonic would take a text without any, and trust nobody.
        Some(pem) if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) => {
            return Err("the CA file holds no PEM certificate".to_owned());
        }
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    Ok(match &tls.identity {
        Some((chain, Secret(key))) => config.identity(Identity::from_pem(chain, key)),
        None => config,
    })
}

/// The target as an `http` or `https` URI without a path, which gRPC does not have.
fn uri(target: &str) -> Result<Uri, String> {
    let wrong = || format!("\"{target}\" is no address of a gRPC agent: must be HOST:PORT or https://HOST:PORT");
    if target.contains('@') {
        return Err("the address of a gRPC agent cannot hold credentials: they go into headers".to_owned());
    }
    let (scheme, rest) = match target.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" | "grpc" => (Some("http"), rest),
            "https" | "grpcs" => (Some("https"), rest),
            // What stands before the last slash is the name server to ask.
            "dns" => (None, rest.rsplit('/').next().unwrap_or_default()),
            _ => return Err(wrong()),
        },
        None => (None, target.strip_prefix("dns:").unwrap_or(target)),
    };
    let authority: http::uri::Authority = rest.split('/').next().unwrap_or_default().parse().map_err(|_| wrong())?;
    // A port that is no number is taken for none.
    let odd_port = authority.port_u16().is_none() && authority.as_str() != authority.host();
    if authority.host().is_empty() || odd_port {
        return Err(wrong());
    }
    let tls_port = matches!(authority.port_u16(), None | Some(443));
    let scheme = scheme.unwrap_or(if tls_port { "https" } else { "http" });
    Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build().map_err(|_| wrong())
}

/// The headers of every call.
///
/// # Errors
/// The name of a header that cannot be sent.
pub(super) fn headers(settings: &Settings) -> Result<HeaderMap, String> {
    const RESERVED: [HeaderName; 8] = [
        header::CONTENT_TYPE,
        header::TE,
        header::HOST,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::TRAILER,
    ];

    let mut headers = HeaderMap::new();
    for (name, Secret(value)) in &settings.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("\"{name}\" is no header name"))?;
        if RESERVED.contains(&parsed) || parsed.as_str().starts_with("grpc-") {
            return Err(format!("the header \"{name}\" belongs to gRPC itself and cannot be set"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of the header \"{name}\" cannot be sent in a header"))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// What lies at the bottom of an error: "Connection refused" rather than "transport error".
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::a2a::grpc::tests::settings;

    #[test]
    fn the_scheme_or_else_the_port_decides_about_tls() {
        for (target, expected) in [
            ("localhost:50051", "http://localhost:50051/"),
            ("10.0.0.1:443", "https://10.0.0.1:443/"),
            ("agent.example.com", "https://agent.example.com/"),
            ("[::1]:50051", "http://[::1]:50051/"),
            ("http://h:443", "http://h:443/"),
            ("https://h:50051/ignored/path", "https://h:50051/"),
            ("HTTPS://h", "https://h/"),
            ("grpc://h:1", "http://h:1/"),
            ("grpcs://h:1", "https://h:1/"),
            ("dns:///h:50051", "http://h:50051/"),
            ("dns://8.8.8.8/h:443", "https://h:443/"),
            ("dns:h:50051", "http://h:50051/"),
        ] {
            assert_eq!(uri(target).unwrap().to_string(), expected, "{target}");
        }
        for target in ["", "ftp://h:1", "unix:///run/agent", "h:port", "http://", "http://user:secret@h:1", "a b:1"] {
            let error = uri(target).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn headers_are_sent_lower_case_and_marked_as_secret() {
        let mut settings = settings();
        settings.headers = vec![("X-API-Key".into(), Secret("k".into()))];
        let headers = headers(&settings).unwrap();
        assert_eq!(headers.iter().next().unwrap().0.as_str(), "x-api-key");
        assert!(headers["x-api-key"].is_sensitive());
    }

    #[test]
    fn headers_that_cannot_be_sent_are_named_and_their_values_are_not() {
        for (name, value) in
            [("bad name", "s3cret"), ("Content-Type", "s3cret"), ("grpc-timeout", "1S"), ("x", "s3\ncret")]
        {
            let mut settings = settings();
            settings.headers = vec![(name.into(), Secret(value.into()))];
            let error = headers(&settings).unwrap_err();
            assert!(error.contains(&format!("\"{name}\"")) && !error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn tls_settings_that_cannot_be_used_are_refused() {
        let mut settings = settings();
        settings.tls.ca = Some(b"no certificate".to_vec());
        let error = endpoint("https://h:1", &settings).map(|_| ()).unwrap_err();
        assert_eq!(error, "the CA file holds no PEM certificate");
        assert!(endpoint("http://h:1", &settings).is_ok(), "without TLS its settings do not matter");
    }
}
