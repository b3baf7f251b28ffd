//! TLS to an agent: whom to trust and what to show.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    agent::a2a::settings::Tls,
    tls::{builder, system_roots},
};

/// What `tls` says; the system's trusted certificates where it names none.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let roots = match &tls.ca {
        Some(pem) => Arc::new(trusted(pem)?),
        None => system_roots().map_err(|why| format!("{why}: name a CA in the agent's settings"))?,
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
