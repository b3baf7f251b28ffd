//! Addresses that are not the public internet's: IANA's registries of special-purpose addresses for IPv4 and IPv6,
//! multicast, and what is reserved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::Network;

/// A range and what an address in it is.
pub(super) type Range = (Network, &'static str);

/// The first range that an address is in says what it is.
#[rustfmt::skip]
pub(super) const V4: [Range; 19] = [
    (Network::v4([0, 0, 0, 0], 8), "an unspecified address"),
    (Network::v4([127, 0, 0, 0], 8), "a loopback address"),
    (Network::v4([10, 0, 0, 0], 8), "a private address"),
    (Network::v4([172, 16, 0, 0], 12), "a private address"),
    (Network::v4([192, 168, 0, 0], 16), "a private address"),
    (Network::v4([100, 64, 0, 0], 10), "a carrier-grade NAT address"),
    (Network::v4([169, 254, 0, 0], 16), "a link-local address"),
    (Network::v4([192, 0, 0, 0], 24), "a protocol's own address"),
    (Network::v4([192, 0, 2, 0], 24), "a documentation address"),
    (Network::v4([198, 51, 100, 0], 24), "a documentation address"),
    (Network::v4([203, 0, 113, 0], 24), "a documentation address"),
    (Network::v4([192, 31, 196, 0], 24), "an AS112 address"),
    (Network::v4([192, 175, 48, 0], 24), "an AS112 address"),
    (Network::v4([192, 52, 193, 0], 24), "an AMT address"),
    (Network::v4([192, 88, 99, 0], 24), "a 6to4 relay's address"),
    (Network::v4([198, 18, 0, 0], 15), "a benchmarking address"),
    (Network::v4([224, 0, 0, 0], 4), "a multicast address"),
    (Network::v4([255, 255, 255, 255], 32), "the broadcast address"),
    (Network::v4([240, 0, 0, 0], 4), "a reserved address"),
];

/// As [`V4`]. Mapped addresses are IPv4 addresses, and not here.
#[rustfmt::skip]
pub(super) const V6: [Range; 20] = [
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "an unspecified address"),
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "a loopback address"),
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "an IPv4-compatible address"),
    (Network::v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "a local NAT64 address"),
    (Network::v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "a discard address"),
    (Network::v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), "a dummy address"),
    (Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "a Teredo address"),
    (Network::v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "a benchmarking address"),
    (Network::v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), "an ORCHID address"),
    (Network::v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), "an ORCHID address"),
    (Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "a protocol's own address"),
    (Network::v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "a documentation address"),
    (Network::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a 6to4 address"),
    (Network::v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), "an AS112 address"),
    (Network::v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "a documentation address"),
    (Network::v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "a segment routing address"),
    (Network::v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "a unique local address"),
    (Network::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "a link-local address"),
    (Network::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "a site-local address"),
    (Network::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "a multicast address"),
];

/// What the internet's IPv6 addresses are given out of: whatever is not in it is reserved.
const GLOBAL: Network = Network::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// NAT64's well-known prefix (RFC 6052). Networks without IPv4 reach IPv4 hosts through it.
pub(super) const NAT64: Network = Network::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const COMPATIBLE: Network = Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Network = Network::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

/// What an address is; none: a public one.
pub(super) fn class(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    let of = |ranges: &[Range]| ranges.iter().find(|(network, _)| network.contains(address)).map(|(_, what)| *what);
    match address {
        IpAddr::V4(_) => of(&V4),
        // It leads to the IPv4 address within, and nowhere else.
        IpAddr::V6(_) if NAT64.contains(address) => class(embedded(address)?.into()),
        IpAddr::V6(_) => of(&V6).or_else(|| (!GLOBAL.contains(address)).then_some("a reserved address")),
    }
}

/// The IPv4 address within an IPv6 one, where its form says that there is one: compatible, NAT64, 6to4. (Mapped ones
/// are IPv4 addresses already.)
pub(super) fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address.to_canonical() else { return None };
    if NAT64.contains(address) || COMPATIBLE.contains(address) && !trivial(v6) {
        let [.., a, b, c, d] = v6.octets();
        Some(Ipv4Addr::new(a, b, c, d))
    } else if SIX_TO_FOUR.contains(address) {
        let [_, _, a, b, c, d, ..] = v6.octets();
        Some(Ipv4Addr::new(a, b, c, d))
    } else {
        None
    }
}

/// The two addresses that look compatible and are not.
fn trivial(address: Ipv6Addr) -> bool {
    address.is_unspecified() || address.is_loopback()
}
