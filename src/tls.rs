//! What every TLS connection that the gateway makes begins with. A leaf, like errors. The cryptography is named here
//! and not installed for the process.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto::ring};

/// The beginning of a client's configuration.
///
/// # Errors
/// When the cryptography cannot be used.
pub fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be used: {error}"))
}

/// For a client that makes no TLS connections: it trusts nobody.
///
/// # Errors
/// As [`builder`].
pub fn unused() -> Result<ClientConfig, String> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The system's trusted certificates, read once.
///
/// # Errors
/// When there are none.
pub fn system_roots() -> Result<Arc<RootCertStore>, String> {
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
    if roots.is_empty() { Err("the system has no trusted certificates".to_owned()) } else { Ok(roots.clone()) }
}
