//! TLS: whom receivers are trusted to be, and what is spoken to them.
//!
//! The certificates are those of the agents' tests: a CA, and a server's for `localhost` and 127.0.0.1.

use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

use super::*;

const CA: &str = include_str!("../../../agent/a2a/grpc/tests/tls/ca.pem");
const SERVER: (&str, &str) = (
    include_str!("../../../agent/a2a/grpc/tests/tls/server.pem"),
    include_str!("../../../agent/a2a/grpc/tests/tls/server.key"),
);

/// A server that offers these protocols, and says in its answers' bodies what was spoken.
async fn serve(protocols: &[&[u8]]) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(SERVER.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER.1.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(|request: hyper::Request<_>| async move {
                    let _: &hyper::body::Incoming = request.body();
                    let said = format!("{:?}", request.version());
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(said))))
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

/// A sender that trusts the certificates in a PEM text.
fn trusting(pem: &str) -> Sender {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let guard = guard(&["127.0.0.0/8"], &[&["127.0.0.1"]]);
    Sender::trusting(guard, settings(LONG), Some(Arc::new(roots))).unwrap()
}

#[tokio::test]
async fn http2_is_spoken_where_the_receiver_offers_it() {
    let sender = trusting(CA);
    let protocols: [(&[&[u8]], &str); 3] =
        [(&[b"h2", b"http/1.1"], "HTTP/2.0"), (&[b"http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")];
    for (offered, spoken) in protocols {
        let address = serve(offered).await;
        let report = sender.send(&request(&format!("https://{address}/"))).await;
        assert_eq!((report.status, report.failure), (200, None));
        assert_eq!((report.excerpt.as_str(), report.address), (spoken, address.to_string()));
    }
}

#[tokio::test]
async fn certificates_must_be_trusted_and_bear_the_name() {
    let address = serve(&[b"h2"]).await;
    let named = format!("https://hooks.test:{}/?key=s3cret", address.port());
    let direct = format!("https://{address}/?key=s3cret");
    // Not the name in it; another CA than its; a certificate that vouches for itself only.
    for (sender, url) in [(trusting(CA), &named), (trusting(SERVER.0), &direct), (self::sender(LONG), &direct)] {
        let report = sender.send(&request(url)).await;
        let Failure::Tls(why) = failure(&report) else { panic!("{report:?}") };
        assert!(why.starts_with("the receiver's certificate is not trusted: "), "{why}");
        assert_eq!(report.address, address.to_string());
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_so() {
    async fn tls_failure(answer: impl Fn(TcpStream) -> BoxFuture<'static, ()> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/?key=s3cret", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 16]).await;
                answer(stream).await;
            }
        });
        let report = trusting(CA).send(&request(&url)).await;
        match failure(&report) {
            Failure::Tls(why) => why.clone(),
            other => panic!("{other:?}"),
        }
    }
    let plain = tls_failure(|mut stream| {
        let write = async move { stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap_or_default() };
        write.boxed()
    });
    assert_eq!(plain.await, "the receiver does not speak TLS there");
    let closed = "the receiver closed the connection during the TLS handshake";
    assert_eq!(tls_failure(|stream| async move { drop(stream) }.boxed()).await, closed);
    let reset = tls_failure(|stream| async move { stream.set_zero_linger().unwrap_or_default() }.boxed());
    assert_eq!(reset.await, closed);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_no_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let limits = SendSettings { connect_timeout: SHORT, ..settings(LONG) };
    let sender = Sender::trusting(guard(&["127.0.0.1"], &[]), limits, Some(Arc::new(RootCertStore::empty()))).unwrap();
    let report = sender.send(&request(&format!("https://{address}/"))).await;
    assert_eq!(*failure(&report), Failure::Connect("no connection within 400ms".to_owned()));
    assert_eq!(report.address, address.to_string());
}
