//! Where the database is, and how connections to it are made.

use std::{fmt, path::Path, str::FromStr as _, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject as _};
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use crate::tls;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A PostgreSQL database: its servers, and how to log in. Its `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct Database {
    pub(super) config: Config,
    pub(super) tls: Arc<ClientConfig>,
}

/// Why a database cannot be one: in words that follow the setting's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseError(String);

impl Database {
    /// Reads a URL, `postgres://user:password@host:port/name?…`. Where the server may be one of several, they are tried
    /// in turn and the one that takes writes is used. `ca`: a file of the certificates that the server's is to be signed by,
    /// in PEM; none: the system's. A certificate is always verified; `sslmode=disable` is for connections without TLS.
    ///
    /// # Errors
    /// What is wrong, without the URL: it may hold a password.
    pub fn parse(url: &str, ca: Option<&Path>) -> Result<Self, DatabaseError> {
        let wrong = |text: String| Err(DatabaseError(text));
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return wrong("must be a URL such as postgres://user@host:5432/name".to_owned());
        }
        let mut config = match Config::from_str(url) {
            Ok(config) => config,
            Err(cause) => {
                let cause = std::error::Error::source(&cause).map_or_else(|| cause.to_string(), ToString::to_string);
                return wrong(format!("must be a URL such as postgres://user@host:5432/name: {cause}"));
            }
        };
        if config.get_hosts().is_empty() {
            return wrong("must name a host, or the folder of a socket as ?host=/run/postgresql".to_owned());
        }
        if config.get_user().is_none() {
            return wrong("must name a user, as in postgres://user@host/name".to_owned());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("a2a-gateway");
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(15));
        let tls = tls_client(&config, ca).map_err(DatabaseError)?;
        Ok(Self { config, tls: Arc::new(tls) })
    }
}

fn tls_client(config: &Config, ca: Option<&Path>) -> Result<ClientConfig, String> {
    let sockets_only = config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)));
    if config.get_ssl_mode() == SslMode::Disable || sockets_only {
        return tls::unused();
    }
    let roots = match ca {
        None => tls::system_roots()?,
        Some(path) => {
            let unreadable = |cause: &dyn fmt::Display| format!("{} cannot be read: {cause}", path.display());
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|cause| unreadable(&cause))? {
                let certificate = certificate.map_err(|cause| unreadable(&cause))?;
                roots.add(certificate).map_err(|cause| unreadable(&cause))?;
            }
            if roots.is_empty() {
                return Err(format!("{} holds no certificate", path.display()));
            }
            Arc::new(roots)
        }
    };
    Ok(tls::builder()?.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        f.write_str("postgres://")?;
        for (n, host) in hosts.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => write!(f, "{name}:{port}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
        }
        let name = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        write!(f, "/{name}")
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

impl Eq for Database {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_passwords() {
        let cases = [
            ("postgres://me:s3cret@db.test/gateway?sslmode=disable", "postgres://db.test:5432/gateway"),
            ("postgresql://me:s3cret@a.test:1,b.test:2/x?sslmode=disable", "postgres://a.test:1,b.test:2/x"),
            ("postgres://me@/x?host=/run/postgresql", "postgres:///run/postgresql/x"),
        ];
        for (url, shown) in cases {
            let database = Database::parse(url, None).unwrap();
            assert_eq!(database.to_string(), shown);
            assert!(!format!("{database:?}").contains("s3cret"));
        }
    }

    #[test]
    fn wrong_urls_are_told_without_what_they_hold() {
        let cases = [
            "",
            "gateway.db",
            "mysql://me:s3cret@h/x",
            "postgres://me:s3cret@h:port/x",
            "postgres://me:s3cret@h/x?ssl=maybe",
            "postgres:///x?user=me",
            "postgres://h/x",
        ];
        for url in cases {
            let error = Database::parse(url, None).unwrap_err().to_string();
            assert!(error.starts_with("must ") && !error.contains("s3cret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_file_of_certificates_is_read_at_the_start() {
        let url = "postgres://me@h/x";
        let missing = Database::parse(url, Some(Path::new("no-such.pem"))).unwrap_err().to_string();
        assert!(missing.starts_with("no-such.pem cannot be read"), "{missing}");
        let empty = tempfile::NamedTempFile::new().unwrap();
        let error = Database::parse(url, Some(empty.path())).unwrap_err().to_string();
        assert!(error.ends_with("holds no certificate"), "{error}");
    }
}
