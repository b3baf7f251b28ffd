//! Keeps webhooks from reaching what their owners could not reach themselves (server-side request forgery).
//!
//! Promises:
//! - **What is checked is what is called.** The client that sends asks this guard, and nobody else, for the addresses
//!   of a name, and is given those that are allowed. A name that is public when the webhook is made and private when
//!   it is called is not called.
//! - **Every form is the same address.** Hosts are judged as URLs are read: decimal, octal, short and percent-encoded
//!   forms have become addresses by then; IPv4 addresses within IPv6 ones are judged as what they lead to.
//! - **Nothing is told of the inside.** Errors about a name say what kind of address it has, not which.
//!
//! Allowed is the public internet, and what the operator's policy adds.

mod names;
mod ranges;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;
use url::{Host, Url};

use names::Names;
pub use names::{Lookup, System};

use crate::{
    network::{Allowed, HostPattern, Network},
    task::webhook::parse_url,
};

/// How long a check waits for a name.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// What the operator allows beyond the public internet, and forbids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Their addresses may be called.
    pub networks: Vec<Network>,
    /// They may be called, whatever they resolve to.
    pub hosts: Vec<HostPattern>,
    /// Whether only https is sent to.
    pub https_only: bool,
}

/// Judges where webhooks may be sent.
#[derive(Debug)]
pub struct Guard {
    policy: Policy,
    names: Names,
}

/// Why something may not be called. Displays for people.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// It is not https.
    Plain,
    /// The URL names no host, or not by http.
    Odd,
    /// The address in the URL.
    Address(IpAddr, &'static str),
    /// The name in the URL has no address but refused ones.
    Host(String, &'static str),
}

/// Why a name was not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// None of its addresses may be called.
    #[error("{0}")]
    Refused(String),
    /// It has no address.
    #[error("{0}")]
    Unresolved(String),
}

/// A guard as the HTTP client's resolver.
#[derive(Debug)]
pub(super) struct Dialer(pub(super) Arc<Guard>);

impl Policy {
    /// A policy that allows entries of these forms: an IP address, a network (`10.0.0.0/8`), a host's name,
    /// `*.example.com`.
    ///
    /// # Errors
    /// The first entry that is wrong and what is wrong with it.
    pub fn parse(entries: &[String], https_only: bool) -> Result<Self, String> {
        let mut policy = Self { https_only, ..Self::default() };
        for entry in entries {
            match Allowed::parse(entry).map_err(|right| format!("{entry:?} {right}"))? {
                Allowed::Network(network) => policy.networks.push(network),
                Allowed::Host(pattern) => policy.hosts.push(pattern),
            }
        }
        Ok(policy)
    }

    fn allows_host(&self, name: &str) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(name))
    }

    /// Why an address may not be called; none: it may.
    fn refused_class(&self, address: IpAddr) -> Option<&'static str> {
        let within = ranges::embedded(address).map(IpAddr::V4);
        let allowed = |network: &Network| network.contains(address) || within.is_some_and(|ip| network.contains(ip));
        if self.networks.iter().any(allowed) { None } else { ranges::class(address) }
    }
}

impl Guard {
    /// A guard of a policy, which finds names' addresses by a lookup.
    pub fn new(policy: Policy, lookup: Arc<dyn Lookup>) -> Self {
        Self { policy, names: Names::new(lookup) }
    }

    /// Checks the URL of a webhook that is made or changed. A name that cannot be resolved now is accepted: it is
    /// judged when it is called, as are all others again.
    ///
    /// # Errors
    /// Why it may not be sent to, without the field's name, and what the operator can do: `must …`.
    pub async fn check(&self, url: &str) -> Result<(), String> {
        let url = parse_url(url)?;
        self.judge(&url).map_err(|refusal| refusal.advice())?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        match timeout(CHECK_PATIENCE, self.names.resolve(name)).await {
            Ok(Ok(found)) => self.pick(name, &found).map(|_| ()).map_err(|refusal| refusal.advice()),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Checks, before each request, all of its URL that the resolver is not asked about: scheme and literal addresses.
    ///
    /// # Errors
    /// Why it may not be called.
    pub(super) fn admit(&self, url: &Url) -> Result<(), String> {
        self.judge(url).map_err(|refusal| refusal.to_string())
    }

    /// The address that a request to a URL was sent to first, if it got so far.
    pub(super) fn called(&self, url: &Url) -> Option<IpAddr> {
        match url.host()? {
            Host::Ipv4(ip) => Some(ip.into()),
            Host::Ipv6(ip) => Some(ip.into()),
            Host::Domain(name) => {
                let found = self.names.known(name)?.ok()?;
                self.pick(name, &found).ok()?.first().copied()
            }
        }
    }

    fn judge(&self, url: &Url) -> Result<(), Refusal> {
        match url.scheme() {
            "https" => {}
            "http" if self.policy.https_only => return Err(Refusal::Plain),
            "http" => {}
            _ => return Err(Refusal::Odd),
        }
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(Refusal::Odd),
        };
        self.policy.refused_class(address).map_or(Ok(()), |class| Err(Refusal::Address(address.to_canonical(), class)))
    }

    /// The addresses of a name that may be called: at least one.
    fn pick(&self, name: &str, found: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
        if self.policy.allows_host(name) {
            return Ok(found.to_vec());
        }
        let (allowed, refused): (Vec<IpAddr>, Vec<IpAddr>) =
            found.iter().copied().partition(|address| self.policy.refused_class(*address).is_none());
        match refused.first().and_then(|address| self.policy.refused_class(*address)) {
            Some(class) if allowed.is_empty() => Err(Refusal::Host(name.to_owned(), class)),
            _ => Ok(allowed),
        }
    }

    /// The addresses of a name that a connection may be made to.
    async fn dial(&self, name: &str) -> Result<Vec<IpAddr>, DialError> {
        let found = self.names.resolve(name).await;
        let found = found.map_err(|why| DialError::Unresolved(format!("{name} cannot be resolved: {why}")))?;
        self.pick(name, &found).map_err(|refusal| DialError::Refused(refusal.to_string()))
    }
}

impl Resolve for Dialer {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = guard.dial(name.as_str()).await?;
            // The port is the URL's.
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| (ip, 0).into()));
            Ok(addresses)
        })
    }
}

impl Refusal {
    /// What is wrong and what the operator can do about it.
    fn advice(&self) -> String {
        let allow = match self {
            Self::Plain => return "must be an https URL: the operator allows no other".to_owned(),
            Self::Odd => return "must be an http or https URL with a host".to_owned(),
            Self::Address(IpAddr::V4(ip), _) if ip.is_loopback() => "127.0.0.0/8".to_owned(),
            Self::Address(ip, _) => ip.to_string(),
            Self::Host(name, _) => name.clone(),
        };
        format!("must lead to a public address: {self}; the operator can allow it with --webhook-allow {allow}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("the URL is http, and only https is allowed here"),
            Self::Odd => f.write_str("the URL is not http or https, or names no host"),
            Self::Address(ip, class) => write!(f, "{ip} is {class}, which is not allowed here"),
            Self::Host(name, class) => write!(f, "{name} points to {class}, which is not allowed here"),
        }
    }
}

#[cfg(test)]
mod tests;
