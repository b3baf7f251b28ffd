//! TLS: whom the gateway trusts, and what it shows.
//!
//! The certificates beside this file are made for it, are valid until 2126 and guard nothing.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::fake::{Fake, Reply, settings, task};
use crate::{
    agent::a2a::{CallError, Link as _, Secret, Settings, Tls, grpc::GrpcLink},
    proto::a2a::Task,
    task::Dialect,
};

const CA: &str = include_str!("tls/ca.pem");
const SERVER: (&str, &str) = (include_str!("tls/server.pem"), include_str!("tls/server.key"));
const CLIENT: (&str, &str) = (include_str!("tls/client.pem"), include_str!("tls/client.key"));

async fn get(target: String, tls: Tls) -> Result<Task, CallError> {
    let settings = Settings { tls, connect_timeout: Duration::from_secs(30), ..settings() };
    GrpcLink::new(&target, Dialect::V1, String::new(), &settings).unwrap().get("u-1", true, &[]).await
}

#[tokio::test]
async fn the_configured_ca_is_trusted_and_the_client_certificate_shown() {
    let identity = Identity::from_pem(SERVER.0, SERVER.1);
    let open = Fake::start_tls(ServerTlsConfig::new().identity(identity.clone())).await;
    let closed = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(CA));
    let closed = Fake::start_tls(closed).await;

    let ca = Some(CA.as_bytes().to_vec());
    let client = Some((CLIENT.0.as_bytes().to_vec(), Secret(CLIENT.1.to_owned())));
    for (fake, tls) in
        [(&open, Tls { ca: ca.clone(), identity: None }), (&closed, Tls { ca: ca.clone(), identity: client })]
    {
        fake.reply(Reply::Task(task(serde_json::json!({"id": "u-1"}))));
        let target = format!("https://localhost:{}", fake.address.port());
        assert_eq!(get(target, tls).await.unwrap().id, "u-1");
    }

    // Not the name in the certificate.
    let wrong_name = format!("https://127.0.0.2:{}", open.address.port());
    let error = get(wrong_name, Tls { ca, identity: None }).await.unwrap_err();
    assert!(matches!(error, CallError::Unreached(_)), "{error:?}");
    // Another CA than the server's.
    let target = format!("https://localhost:{}", open.address.port());
    let error = get(target, Tls { ca: Some(SERVER.0.as_bytes().to_vec()), identity: None }).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreached(text) if text.contains("certificate")), "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_unreached_within_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = Tls { ca: Some(CA.as_bytes().to_vec()), identity: None };
    let settings = Settings { tls, connect_timeout: Duration::from_millis(50), ..settings() };
    let target = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let link = GrpcLink::new(&target, Dialect::V1, String::new(), &settings).unwrap();
    let error = link.get("u-1", true, &[]).await.unwrap_err();
    assert!(matches!(error, CallError::Unreached(_)), "{error:?}");
}

#[test]
fn a_key_that_is_none_is_refused_without_being_shown() {
    let ca = Some(CA.as_bytes().to_vec());
    let identity = Some((CLIENT.0.as_bytes().to_vec(), Secret("s3cret".into())));
    let settings = Settings { tls: Tls { ca, identity }, ..settings() };
    let error = GrpcLink::new("https://h:1", Dialect::V1, String::new(), &settings).map(|_| ()).unwrap_err();
    assert!(error.starts_with("the TLS settings cannot be used") && !error.contains("s3cret"), "{error}");
}
