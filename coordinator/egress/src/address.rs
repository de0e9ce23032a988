//! Which addresses are public. What is not public may be reached only where the configuration says so.
//!
//! The tables follow the IANA registries of special-purpose addresses (RFC 6890 and its updates). Everything that a registry does not
//! call globally reachable is refused, and so are forms that carry another address inside: a translator on the way would unpack it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Anybody can reach it.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918).
    Private,
    /// This link; on most clouds also the machine's metadata.
    LinkLocal,
    /// A cloud's service for its own machines at an address that looks public.
    Metadata,
    /// Behind a carrier's translator (RFC 6598).
    CarrierGrade,
    /// A private network of IPv6 (RFC 4193).
    UniqueLocal,
    /// Many machines.
    Multicast,
    /// No machine.
    Unspecified,
    /// Set aside: documentation, benchmarks, broadcast, future use.
    Reserved,
    /// Carries an IPv4 address through a translator or tunnel.
    Embedded,
}

impl Scope {
    /// For messages, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata address",
            Self::CarrierGrade => "a carrier-grade NAT address",
            Self::UniqueLocal => "a unique local address",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "the unspecified address",
            Self::Reserved => "a reserved address",
            Self::Embedded => "an address that embeds an IPv4 address",
        }
    }

    /// Whether an address of this kind can never be a system, whatever the configuration allows.
    pub fn is_never_a_host(self) -> bool {
        match self {
            Self::Multicast | Self::Unspecified => true,
            Self::Public
            | Self::Loopback
            | Self::Private
            | Self::LinkLocal
            | Self::Metadata
            | Self::CarrierGrade
            | Self::UniqueLocal
            | Self::Reserved
            | Self::Embedded => false,
        }
    }

    /// Whether allowing a host by its name is not enough, because whoever answers for the name could hand out credentials.
    pub fn needs_a_network(self) -> bool {
        match self {
            Self::LinkLocal | Self::Metadata => true,
            Self::Public
            | Self::Loopback
            | Self::Private
            | Self::CarrierGrade
            | Self::UniqueLocal
            | Self::Multicast
            | Self::Unspecified
            | Self::Reserved
            | Self::Embedded => false,
        }
    }
}

/// First match wins.
const V4: &[(Ipv4Addr, u8, Scope)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Scope::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Scope::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Scope::CarrierGrade),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Scope::Loopback),
    // Azure's wire server: public by number, reachable from each of its machines alone.
    (Ipv4Addr::new(168, 63, 129, 16), 32, Scope::Metadata),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Scope::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Scope::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Scope::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Scope::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Scope::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Scope::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Scope::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Scope::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Scope::Reserved),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Scope::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Scope::Reserved),
];

/// First match wins; what matches nothing is reserved, because only 2000::/3 is given out.
const V6: &[(Ipv6Addr, u8, Scope)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Scope::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Scope::Loopback),
    // IPv4-compatible (withdrawn), IPv4-translated, NAT64 for local use.
    (Ipv6Addr::UNSPECIFIED, 96, Scope::Embedded),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, Scope::Embedded),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Scope::Embedded),
    // IETF protocol assignments hold Teredo, benchmarks and identifiers that are no addresses.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, Scope::Embedded),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Scope::Reserved),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Scope::Reserved),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Scope::Embedded),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Scope::Reserved),
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, Scope::Public),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Scope::UniqueLocal),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Scope::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Scope::UniqueLocal),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Scope::Multicast),
];

/// The well-known prefix of NAT64 (RFC 6052). Networks without IPv4 reach every IPv4 host through it, so what is inside decides.
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// The address that a connection would really go to: an IPv4-mapped address is the IPv4 address, to the system's sockets as well.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What kind of address it is.
pub fn scope(address: IpAddr) -> Scope {
    match canonical(address) {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> Scope {
    let found =
        V4.iter().find(|(network, bits, _)| has_prefix(u128::from(address.to_bits()) << 96, u128::from(network.to_bits()) << 96, *bits));
    found.map_or(Scope::Public, |(_, _, scope)| *scope)
}

fn v6(address: Ipv6Addr) -> Scope {
    if has_prefix(address.to_bits(), NAT64.to_bits(), 96) {
        let octets = address.octets();
        let inside = Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]);
        return if v4(inside) == Scope::Public { Scope::Public } else { Scope::Embedded };
    }
    let found = V6.iter().find(|(network, bits, _)| has_prefix(address.to_bits(), network.to_bits(), *bits));
    found.map_or(Scope::Reserved, |(_, _, scope)| *scope)
}

/// Whether the first `bits` of both are the same.
pub(crate) fn has_prefix(address: u128, network: u128, bits: u8) -> bool {
    bits == 0 || (address ^ network) >> (128 - u32::from(bits.min(128))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expected: Scope) {
        assert_eq!(scope(address.parse().expect("an address")), expected, "{address}");
    }

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            check(address, Scope::Public);
        }
    }

    #[test]
    fn every_special_network_is_known_to_its_edges() {
        for (address, expected) in [
            ("0.0.0.0", Scope::Unspecified),
            ("0.255.255.255", Scope::Unspecified),
            ("10.0.0.0", Scope::Private),
            ("10.255.255.255", Scope::Private),
            ("100.64.0.0", Scope::CarrierGrade),
            ("100.100.100.200", Scope::CarrierGrade),
            ("100.127.255.255", Scope::CarrierGrade),
            ("127.0.0.1", Scope::Loopback),
            ("127.255.255.254", Scope::Loopback),
            ("168.63.129.16", Scope::Metadata),
            ("169.254.0.1", Scope::LinkLocal),
            ("169.254.169.254", Scope::LinkLocal),
            ("169.254.255.255", Scope::LinkLocal),
            ("172.16.0.0", Scope::Private),
            ("172.31.255.255", Scope::Private),
            ("192.0.0.192", Scope::Reserved),
            ("192.0.2.1", Scope::Reserved),
            ("192.88.99.1", Scope::Reserved),
            ("192.168.0.0", Scope::Private),
            ("192.168.255.255", Scope::Private),
            ("198.18.0.0", Scope::Reserved),
            ("198.19.255.255", Scope::Reserved),
            ("198.51.100.7", Scope::Reserved),
            ("203.0.113.7", Scope::Reserved),
            ("224.0.0.1", Scope::Multicast),
            ("239.255.255.255", Scope::Multicast),
            ("240.0.0.1", Scope::Reserved),
            ("255.255.255.255", Scope::Reserved),
            ("::", Scope::Unspecified),
            ("::1", Scope::Loopback),
            ("::2", Scope::Embedded),
            ("::7f00:1", Scope::Embedded),
            ("100::1", Scope::Reserved),
            ("2001:0:53aa:64c::1", Scope::Embedded),
            ("2001:2::1", Scope::Reserved),
            ("2001:20::1", Scope::Reserved),
            ("2001:db8::1", Scope::Reserved),
            ("3fff::1", Scope::Reserved),
            ("4000::1", Scope::Reserved),
            ("5f00::1", Scope::Reserved),
            ("fc00::1", Scope::UniqueLocal),
            ("fd00:ec2::254", Scope::UniqueLocal),
            ("fdff:ffff::1", Scope::UniqueLocal),
            ("fe80::1", Scope::LinkLocal),
            ("febf:ffff::1", Scope::LinkLocal),
            ("fec0::1", Scope::UniqueLocal),
            ("ff02::1", Scope::Multicast),
        ] {
            check(address, expected);
        }
    }

    #[test]
    fn an_address_inside_another_is_seen() {
        for (address, expected) in [
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("::ffff:10.0.0.1", Scope::Private),
            ("::ffff:169.254.169.254", Scope::LinkLocal),
            ("::ffff:a9fe:a9fe", Scope::LinkLocal),
            ("::ffff:0:127.0.0.1", Scope::Embedded),
            ("::127.0.0.1", Scope::Embedded),
            ("64:ff9b::127.0.0.1", Scope::Embedded),
            ("64:ff9b::169.254.169.254", Scope::Embedded),
            ("64:ff9b::a00:1", Scope::Embedded),
            ("64:ff9b:1::8.8.8.8", Scope::Embedded),
            ("64:ff9b:1:ffff::10.0.0.1", Scope::Embedded),
            ("2002:7f00:1::1", Scope::Embedded),
            ("2002:808:808::1", Scope::Embedded),
        ] {
            check(address, expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_mapped_address_is_judged_like_the_address_itself(bits: u32) {
            let inner = Ipv4Addr::from_bits(bits);
            proptest::prop_assert_eq!(scope(IpAddr::V6(inner.to_ipv6_mapped())), scope(IpAddr::V4(inner)));
        }

        #[test]
        fn outside_what_is_given_out_nothing_of_ipv6_is_public(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            let given_out = has_prefix(bits, 0x2000_u128 << 112, 3);
            let carries = address.to_ipv4_mapped().is_some() || has_prefix(bits, NAT64.to_bits(), 96);
            proptest::prop_assert!(given_out || carries || scope(IpAddr::V6(address)) != Scope::Public);
        }
    }
}
