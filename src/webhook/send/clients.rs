//! The HTTP clients: one without TLS, and one with it that is made when it is first needed, since reading the system's
//! certificates takes time and memory.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;
use url::Url;

use super::SendSettings;
use crate::{
    tls,
    webhook::guard::{Dialer, Guard},
};

/// Idle connections that are kept to one receiver: as many requests as may be under way to it by default, so that a
/// busy one is not connected to again and again.
const IDLE_PER_HOST: usize = 128;

/// HTTP/2 connections in use are pinged: a dead one would otherwise take every request to its receiver until it is
/// replaced.
const PING: Duration = Duration::from_secs(10);

/// The longest headers of an HTTP/2 answer, in bytes.
const MAX_HEADERS: u32 = 64 << 10;

/// Clients, each replaced when it is old.
pub(super) struct Clients {
    guard: Arc<Guard>,
    settings: SendSettings,
    roots: Option<Arc<RootCertStore>>,
    /// What all clients with TLS share, sessions to resume among it.
    tls: OnceLock<Result<ClientConfig, String>>,
    plain: Mutex<Option<Made>>,
    secure: Mutex<Option<Made>>,
}

struct Made {
    client: reqwest::Client,
    at: Instant,
}

impl Clients {
    pub(super) fn new(
        guard: Arc<Guard>,
        settings: &SendSettings,
        roots: Option<Arc<RootCertStore>>,
    ) -> Result<Self, String> {
        let made = build(&guard, settings, tls::unused()?)?;
        Ok(Self {
            guard,
            settings: settings.clone(),
            roots,
            tls: OnceLock::new(),
            plain: Mutex::new(Some(Made { client: made, at: Instant::now() })),
            secure: Mutex::new(None),
        })
    }

    /// The client for a URL. One that it replaces ends when its requests have ended.
    pub(super) fn get(&self, url: &Url) -> Result<reqwest::Client, String> {
        let secure = url.scheme() == "https";
        let place = if secure { &self.secure } else { &self.plain };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = place.as_ref().filter(|made| made.at.elapsed() < self.settings.client_age) {
            return Ok(made.client.clone());
        }
        let tls = if secure { self.tls()? } else { tls::unused()? };
        let client = build(&self.guard, &self.settings, tls)?;
        *place = Some(Made { client: client.clone(), at: Instant::now() });
        Ok(client)
    }

    fn tls(&self) -> Result<ClientConfig, String> {
        let config = self.tls.get_or_init(|| {
            let roots = self.roots.clone().map_or_else(tls::system_roots, Ok)?;
            let mut config = tls::builder()?.with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(config)
        });
        config.clone()
    }
}

fn build(guard: &Arc<Guard>, settings: &SendSettings, tls: ClientConfig) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Dialer(guard.clone()))
        .connect_timeout(settings.connect_timeout.min(settings.timeout))
        .tcp_nodelay(true)
        .pool_idle_timeout(settings.pool_idle)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PING)
        .http2_max_header_list_size(MAX_HEADERS)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .build()
        // Nothing but the settings above is in it.
        .map_err(|error| format!("the HTTP client cannot be made: {error}"))
}
