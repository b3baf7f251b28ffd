//! Networks and host names as operators write them: what webhooks may be sent to is said with them.
//!
//! A leaf, like errors: settings are checked with it, and the guard of the webhooks judges by it. IPv4 addresses that
//! are mapped into IPv6 (`::ffff:a.b.c.d`) are IPv4 addresses here: a connection to one goes there.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use url::Host;

/// The bits of an IPv6 address before a mapped IPv4 address.
const MAPPED_PREFIX: u8 = 96;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

/// Host names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// Every name below this one, at any depth; not the name itself. Written `*.example.com`.
    Below(String),
}

/// One thing that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Addresses.
    Network(Network),
    /// Names, whatever they resolve to.
    Host(HostPattern),
}

impl Network {
    /// An IPv4 network.
    pub const fn v4(base: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = base;
        Self { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    /// An IPv6 network.
    pub const fn v6(base: [u16; 8], prefix: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = base;
        Self { base: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
    }

    /// Whether an address is one of its own.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (base.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                (base.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Its lowest address.
    pub fn first(&self) -> IpAddr {
        self.base
    }

    /// Its highest address.
    pub fn last(&self) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => {
                let rest = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(base.to_bits() | rest).into()
            }
            IpAddr::V6(base) => {
                let rest = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(base.to_bits() | rest).into()
            }
        }
    }

    /// Reads an address or a network; none: the text is neither by its form.
    fn parse(text: &str) -> Option<Result<Self, String>> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base.parse::<IpAddr>().ok()?, Some(prefix)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let bits: u8 = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => match prefix.parse::<u8>().ok().filter(|n| *n <= bits && n.to_string() == prefix) {
                Some(prefix) => prefix,
                None => return Some(Err(format!("must have a prefix of 0 to {bits} bits behind its slash"))),
            },
        };
        let network = Self { base: masked(base, prefix), prefix };
        if network.base != base {
            return Some(Err(format!("has bits set behind its prefix: write {network} or {base}")));
        }
        Some(Ok(network.canonical()))
    }

    fn canonical(self) -> Self {
        match self.base.to_canonical() {
            base @ IpAddr::V4(_) if self.base.is_ipv6() => {
                Self { base, prefix: self.prefix.saturating_sub(MAPPED_PREFIX) }
            }
            _ => self,
        }
    }
}

/// The address with nothing but zeros behind the prefix.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & !rest).into()
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & !rest).into()
        }
    }
}

impl HostPattern {
    /// Whether a host's name, as URLs have it, is one of these. A dot at its end means nothing.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(name) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.contains(['*', '%']) || name.split('.').any(str::is_empty) {
            return None;
        }
        // As URLs are read: in lower case, names in other scripts encoded, and numbers known for what they are.
        let Ok(Host::Domain(name)) = Host::parse(name) else { return None };
        Some(if below { Self::Below(name) } else { Self::Exact(name) })
    }
}

impl Allowed {
    /// Reads an IP address, a network (`10.0.0.0/8`), a host's name, or `*.example.com`.
    ///
    /// # Errors
    /// What is wrong with it: `must …` or `has …`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Network::parse(text) {
            Some(network) => network.map(Self::Network),
            None => HostPattern::parse(text).map(Self::Host).ok_or_else(|| {
                "must be an IP address, a network such as 10.0.0.0/8 or fd00::/8, a host's name without scheme and \
                 port, or *.example.com"
                    .to_owned()
            }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        match Allowed::parse(text) {
            Ok(Allowed::Network(network)) => network,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_have_a_first_and_a_last_address_and_what_is_between() {
        for (text, first, last, before, after) in [
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("100.64.0.0/10", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.0", "127.0.0.2"),
            ("fe80::/10", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe7f::", "fec0::"),
            ("::1", "::1", "::1", "::", "::2"),
        ] {
            let network = network(text);
            assert_eq!((network.first(), network.last()), (ip(first), ip(last)), "{text}");
            assert!(network.contains(ip(first)) && network.contains(ip(last)), "{text}");
            assert!(!network.contains(ip(before)) && !network.contains(ip(after)), "{text}");
        }
        assert!(network("0.0.0.0/0").contains(ip("203.0.113.7")) && !network("0.0.0.0/0").contains(ip("::1")));
        assert!(network("::/0").contains(ip("2001:db8::1")));
    }

    #[test]
    fn mapped_addresses_are_ipv4_addresses() {
        assert_eq!(network("::ffff:127.0.0.0/104"), network("127.0.0.0/8"));
        assert!(network("127.0.0.0/8").contains(ip("::ffff:127.0.0.1")));
        assert!(!network("::/0").contains(ip("::ffff:127.0.0.1")), "all of IPv6 is nothing of IPv4");
    }

    #[test]
    fn names_match_in_any_case_and_with_a_dot_at_the_end() {
        let pattern = |text: &str| match Allowed::parse(text) {
            Ok(Allowed::Host(pattern)) => pattern,
            other => panic!("{text}: {other:?}"),
        };
        let exact = pattern("Hooks.Test.");
        assert!(exact.matches("hooks.test") && exact.matches("HOOKS.test.") && !exact.matches("a.hooks.test"));
        let below = pattern("*.hooks.test");
        assert!(below.matches("a.hooks.test") && below.matches("a.b.hooks.test."));
        for other in ["hooks.test", "evilhooks.test", ".hooks.test", "hooks.test.evil"] {
            assert!(!below.matches(other), "{other}");
        }
        assert_eq!(pattern("bücher.test"), HostPattern::Exact("xn--bcher-kva.test".to_owned()));
    }

    #[test]
    fn what_is_neither_is_refused_with_what_would_be_right() {
        for (text, expected) in [
            ("", "must be an IP address"),
            ("*", "must be an IP address"),
            ("*.", "must be an IP address"),
            ("a.*.test", "must be an IP address"),
            ("http://h.test", "must be an IP address"),
            ("h.test:80", "must be an IP address"),
            ("h.test/8", "must be an IP address"),
            ("[::1]", "must be an IP address"),
            ("fe80::1%eth0", "must be an IP address"),
            ("127.1", "must be an IP address"),
            ("0x7f000001", "must be an IP address"),
            ("10.0.0.0/33", "must have a prefix of 0 to 32 bits"),
            ("10.0.0.0/+8", "must have a prefix"),
            ("10.0.0.0/", "must have a prefix"),
            ("::/129", "must have a prefix of 0 to 128 bits"),
            ("127.0.0.1/8", "has bits set behind its prefix: write 127.0.0.0/8 or 127.0.0.1"),
        ] {
            let problem = Allowed::parse(text).unwrap_err();
            assert!(problem.starts_with(expected), "{text}: {problem}");
        }
    }
}
