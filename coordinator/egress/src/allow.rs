//! What the configuration allows beyond public addresses.

use crate::address::{Scope, canonical, has_prefix, scope};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Entries that a list may have; a network of machines is one entry, so more is a mistake.
pub const ENTRIES_MAX: usize = 256;
/// The longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// Hosts and networks that may be called although their addresses are not public. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    networks: Vec<Network>,
    hosts: BTreeSet<String>,
}

/// An address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why an entry of the list is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// Neither a network nor a host.
    #[error("`{0}` is neither an address (`10.0.0.7`), nor a network (`10.0.0.0/8`), nor a host (`inventory.internal`)")]
    Unreadable(String),
    /// The prefix is longer than the address.
    #[error("`{entry}` has a prefix of more than {max} bits")]
    PrefixTooLong {
        /// As written.
        entry: String,
        /// What the kind of address allows.
        max: u8,
    },
    /// Bits after the prefix are set, so that it is unclear what was meant.
    #[error("`{entry}` has bits after its prefix; write `{meant}`")]
    BitsAfterPrefix {
        /// As written.
        entry: String,
        /// The network it lies in.
        meant: String,
    },
    /// More than [`ENTRIES_MAX`].
    #[error("{0} entries are more than {ENTRIES_MAX}")]
    TooMany(usize),
}

/// A place that may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` is at {address}, {}, and the coordinator may call only public addresses and what `egress.allow` names", scope.describe())]
pub struct Refused {
    /// As written in the URL.
    pub host: String,
    /// Where it was found.
    pub address: IpAddr,
    /// What kind of address that is.
    pub scope: Scope,
}

impl AllowList {
    /// Reads the entries: addresses, networks and hosts.
    ///
    /// # Errors
    /// The first entry that is none of them.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, InvalidEntry> {
        if entries.len() > ENTRIES_MAX {
            return Err(InvalidEntry::TooMany(entries.len()));
        }
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            if entry.contains(['/', ':']) || entry.parse::<IpAddr>().is_ok() {
                list.networks.push(entry.parse()?);
            } else {
                list.hosts.insert(host(entry).ok_or_else(|| InvalidEntry::Unreadable(entry.to_owned()))?);
            }
        }
        Ok(list)
    }

    /// Whether a host may be called at one of its addresses.
    ///
    /// A host that is allowed by name may be at any address but a link-local one: those hand out a machine's credentials, so they have to be
    /// allowed as a network. Multicast and unspecified addresses are never hosts.
    ///
    /// # Errors
    /// The address is not public and nothing allows it.
    pub fn check(&self, name: &str, address: IpAddr) -> Result<(), Refused> {
        let address = canonical(address);
        let found = scope(address);
        let by_network = || self.networks.iter().any(|network| network.holds(address));
        let by_name = || !found.needs_a_network() && host(name).is_some_and(|name| self.hosts.contains(&name));
        if found == Scope::Public || (!found.is_never_a_host() && (by_network() || by_name())) {
            return Ok(());
        }
        Err(Refused { host: name.to_owned(), address, scope: found })
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                has_prefix(u128::from(address.to_bits()) << 96, u128::from(network.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => has_prefix(address.to_bits(), network.to_bits(), self.bits),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn lowest(&self) -> Self {
        let keep = |width: u32| if self.bits == 0 { 0 } else { u128::MAX << (width - u32::from(self.bits)) };
        let address = match self.address {
            IpAddr::V4(address) => {
                let kept = u128::from(address.to_bits()) & keep(32);
                IpAddr::V4(u32::try_from(kept).expect("a part of 32 bits").into())
            }
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & keep(128)).into()),
        };
        Self { address, bits: self.bits }
    }
}

impl FromStr for Network {
    type Err = InvalidEntry;

    fn from_str(entry: &str) -> Result<Self, InvalidEntry> {
        let unreadable = || InvalidEntry::Unreadable(entry.to_owned());
        let (address, bits) = match entry.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (entry, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => max,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse::<u8>().map_err(|_| unreadable())?,
            Some(_) => return Err(unreadable()),
        };
        if bits > max {
            return Err(InvalidEntry::PrefixTooLong { entry: entry.to_owned(), max });
        }
        let network = Self { address, bits };
        if network.lowest() != network {
            return Err(InvalidEntry::BitsAfterPrefix { entry: entry.to_owned(), meant: network.lowest().to_string() });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// A host name as it is compared: lower case, without the root's dot; none if it is no host name.
fn host(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // A last label of digits is a mistyped address: no top-level domain is a number.
    let is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (name.len() <= HOST_BYTES_MAX && !is_number && name.split('.').all(label)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str], host: &str, address: &str) -> bool {
        AllowList::parse(entries).expect("a list").check(host, address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn without_entries_only_public_addresses_may_be_called() {
        assert!(allowed(&[], "api.example.com", "8.8.8.8"));
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1"] {
            assert!(!allowed(&[], "api.example.com", address), "{address}");
        }
    }

    #[test]
    fn a_network_allows_what_lies_in_it_and_nothing_else() {
        for (entry, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "192.168.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:127.0.0.1"),
            ("fd00::/8", "fd12::1", "fc00::1"),
            ("::1", "::1", "127.0.0.1"),
            ("169.254.169.254", "169.254.169.254", "169.254.169.253"),
            ("0.0.0.0/0", "10.0.0.1", "fd00::1"),
            ("::/0", "fe80::1", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "64:ff9b::a00:1"),
        ] {
            assert!(allowed(&[entry], "x", inside), "{entry} allows {inside}");
            assert!(!allowed(&[entry], "x", outside), "{entry} does not allow {outside}");
        }
    }

    #[test]
    fn nothing_allows_what_cannot_be_a_host() {
        for address in ["0.0.0.0", "224.0.0.1", "::", "ff02::1", "0.1.2.3"] {
            assert!(!allowed(&["0.0.0.0/0", "::/0", "inventory.internal"], "inventory.internal", address), "{address}");
        }
    }

    #[test]
    fn a_host_is_allowed_by_name_whatever_its_case_and_final_dot() {
        let entries = &["Inventory.Internal"];
        for name in ["inventory.internal", "INVENTORY.internal.", "inventory.internal."] {
            assert!(allowed(entries, name, "10.0.0.7"), "{name}");
        }
        for name in ["evil-inventory.internal", "inventory.internal.evil.com", "internal", "x.inventory.internal"] {
            assert!(!allowed(entries, name, "10.0.0.7"), "{name}");
        }
    }

    #[test]
    fn a_name_does_not_open_the_metadata_service() {
        for address in ["169.254.169.254", "168.63.129.16", "fe80::1", "::ffff:169.254.169.254"] {
            assert!(!allowed(&["inventory.internal"], "inventory.internal", address), "{address}");
        }
        assert!(allowed(&["inventory.internal", "169.254.0.0/16"], "inventory.internal", "169.254.169.254"));
    }

    #[test]
    fn an_entry_that_is_unclear_is_refused_with_what_was_meant() {
        let error = |entry: &str| AllowList::parse(&[entry]).expect_err(entry).to_string();
        assert_eq!(error("10.1.2.3/8"), "`10.1.2.3/8` has bits after its prefix; write `10.0.0.0/8`");
        assert_eq!(error("fd00::1/8"), "`fd00::1/8` has bits after its prefix; write `fd00::/8`");
        assert_eq!(error("10.0.0.1/0"), "`10.0.0.1/0` has bits after its prefix; write `0.0.0.0/0`");
        assert_eq!(error("10.0.0.0/33"), "`10.0.0.0/33` has a prefix of more than 32 bits");
        for entry in [
            "",
            " ",
            "10.0.0.0/",
            "10.0.0.0/x",
            "10.0.0.0/+8",
            "http://inventory",
            "a..b",
            "*.internal",
            "a b",
            "inventory:80",
            "10.0.0.0/256",
            "10.0.0.999",
            "10.0.0",
        ] {
            assert!(matches!(AllowList::parse(&[entry]), Err(InvalidEntry::Unreadable(_))), "{entry}");
        }
        assert_eq!(AllowList::parse(&vec!["a"; ENTRIES_MAX + 1]), Err(InvalidEntry::TooMany(ENTRIES_MAX + 1)));
    }
}
