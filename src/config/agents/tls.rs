//! Certificates and keys of agents: read and checked at load, so that a wrong one is told at the start.

use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{secret::read_text, table::Table};
use crate::config::agent::{Secret, Tls};

/// Reads `tls_ca`, `tls_cert` and `tls_key`.
pub(super) fn tls(table: &mut Table<'_>) -> Tls {
    let ca = table.file("tls_ca", |path| certificates(path).map(|(text, _)| text.into_bytes()));
    let chain = table.file("tls_cert", certificates);
    let key = table.file("tls_key", private_key);
    if table.is_wrong("tls_cert") || table.is_wrong("tls_key") {
        return Tls { ca, identity: None };
    }
    let identity = match (chain, key) {
        (Some((chain, certificates)), Some((key, der))) => {
            if CertifiedKey::from_der(certificates, der, &default_provider()).is_err() {
                table.wrong("tls_key", "the key is of a kind that cannot be used, or does not belong to tls_cert");
            }
            Some((chain.into_bytes(), Secret(key)))
        }
        (Some(_), None) => {
            table.wrong("tls_cert", "needs tls_key, the certificate's private key, beside it");
            None
        }
        (None, Some(_)) => {
            table.wrong("tls_key", "needs tls_cert, the key's certificate, beside it");
            None
        }
        (None, None) => None,
    };
    Tls { ca, identity }
}

fn certificates(path: &str) -> Result<(String, Vec<CertificateDer<'static>>), String> {
    let text = read_text(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok((text, certificates)),
        _ => Err(format!("the file {path} holds no certificates in PEM")),
    }
}

fn private_key(path: &str) -> Result<(String, PrivateKeyDer<'static>), String> {
    let text = read_text(path)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| format!("the file {path} holds no private key in PEM (an encrypted one cannot be read)"))?;
    Ok((text, key))
}
