//! Agents over TLS: whom the gateway trusts and what it shows.

use std::sync::Arc;

use a2a_gateway::agent::a2a::{CallError, Client, Secret, Settings, Tls, discover};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::fake::settings;

const CA: &[u8] = include_bytes!("tls/ca.pem");
const CLIENT: &[u8] = include_bytes!("tls/client.pem");
const CLIENT_KEY: &str = include_str!("tls/client.key");

/// An agent that serves its card to who shows a certificate of the CA; its URL.
async fn agent() -> String {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"name\":\"a\"}").await;
        }
    });
    url
}

fn with(url: &str, ca: Option<&[u8]>, identity: Option<(&[u8], &str)>) -> Settings {
    let identity = identity.map(|(chain, key)| (chain.to_vec(), Secret(key.to_owned())));
    Settings { tls: Tls { ca: ca.map(<[u8]>::to_vec), identity }, ..settings(url) }
}

#[tokio::test]
async fn the_given_ca_is_trusted_and_the_certificate_shown() {
    let settings = with(&agent().await, Some(CA), Some((CLIENT, CLIENT_KEY)));
    let found = discover(&Client::new(&settings).unwrap(), &settings, None).await.unwrap();
    assert_eq!(found.card.card.name, "a");
}

#[tokio::test]
async fn an_agent_that_is_not_trusted_is_not_called() {
    let settings = with(&agent().await, Some(CLIENT), None);
    let error = discover(&Client::new(&settings).unwrap(), &settings, None).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreached(said) if said.contains("certificate")), "{error:?}");
}

#[test]
fn tls_options_that_cannot_be_used_are_named() {
    for (ca, identity, expected) in [
        (Some(&b"nonsense"[..]), None, "the CA has no certificate in PEM form"),
        (None, Some((&b""[..], CLIENT_KEY)), "the client certificate has no certificate in PEM form"),
        (None, Some((CLIENT, "s3cret")), "the client certificate's key is no private key in PEM form"),
        (None, Some((CA, CLIENT_KEY)), "the client certificate and its key cannot be used: "),
    ] {
        let ca = ca.or(Some(CA));
        for url in ["http://127.0.0.1", "https://127.0.0.1"] {
            let error = Client::new(&with(url, ca, identity)).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("s3cret"), "{error}");
        }
    }
}
