//! TLS to an agent: whom to trust and what to show. The cryptography is named here and not installed for the process.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::agent::a2a::settings::Tls;

/// What `tls` says; the system's trusted certificates where it names none.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let roots = match &tls.ca {
        Some(pem) => Arc::new(trusted(pem)?),
        None => system()?,
    };
    let config = builder()?.with_root_certificates(roots);
    let mut config = match &tls.identity {
        Some((chain, key)) => {
            let chain = certificates(chain).map_err(|why| format!("the client certificate {why}"))?;
            let key = PrivateKeyDer::from_pem_slice(key.0.as_bytes())
                .map_err(|_| "the client certificate's key is no private key in PEM form".to_owned())?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("the client certificate and its key cannot be used: {error}"))?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For a client that makes no TLS connections: it trusts nobody.
pub(super) fn unused() -> Result<ClientConfig, String> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used: {error}"))
}

fn trusted(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(|why| format!("the CA {why}"))? {
        roots.add(certificate).map_err(|error| format!("a certificate of the CA cannot be used: {error}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err("has no certificate in PEM form".to_owned()),
        Err(error) => Err(format!("is not in PEM form: {error}")),
    }
}

/// The system's certificates, read once.
fn system() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's trusted certificates cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // Systems carry certificates of odd forms that nobody uses.
        let (_, skipped) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(trusted = roots.len(), skipped, "the system's trusted certificates are read");
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err("the system has no trusted certificates: name a CA in the agent's settings".to_owned());
    }
    Ok(roots.clone())
}
