//! From a host's name to addresses that may be called.
//!
//! The client connects to exactly the addresses that were checked here, so a name that answers differently the second time (DNS
//! rebinding) gains nothing: every connection resolves and checks anew, and no connection is made past the check.

use crate::allow::{AllowList, Refused};
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Addresses of one host that are looked at; a host with more is cut off, because one connection needs one of them.
const ADDRESSES_MAX: usize = 16;

/// Where names are looked up. The system's resolver, or a table in tests and simulations.
pub trait Lookup: Send + Sync + 'static {
    /// Every address of a host, in the order in which they should be tried. An error or no address means that there is no such host now.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system, with its hosts file and its caches.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()) })
    }
}

/// A lookup that lets only addresses through that may be called.
pub(crate) struct Guarded {
    pub lookup: Arc<dyn Lookup>,
    pub allow: Arc<AllowList>,
}

impl Guarded {
    /// The host's addresses. One address that may not be called spoils them all: who can add one to a name could also
    /// make it the only one.
    async fn resolve(lookup: Arc<dyn Lookup>, allow: Arc<AllowList>, host: String) -> Result<Vec<SocketAddr>, Fault> {
        let found = lookup.lookup(host.clone()).await.map_err(|error| Fault::NotFound(host.clone(), error.to_string()))?;
        if found.is_empty() {
            return Err(Fault::NotFound(host, "the name has no address".into()));
        }
        let mut checked = Vec::with_capacity(found.len().min(ADDRESSES_MAX));
        for address in found.into_iter().take(ADDRESSES_MAX) {
            allow.check(&host, address).map_err(Fault::Refused)?;
            checked.push(SocketAddr::new(address, 0));
        }
        Ok(checked)
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, allow, host) = (self.lookup.clone(), self.allow.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let checked = Self::resolve(lookup, allow, host).await?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        })
    }
}

/// Why a name gave no address. Found again as the cause of the client's error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It has an address that may not be called.
    #[error("{0}")]
    Refused(Refused),
    /// It has none.
    #[error("`{0}` cannot be resolved: {1}")]
    NotFound(String, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers the same for every name.
    struct Always(Vec<&'static str>);

    impl Lookup for Always {
        fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            let found = self.0.iter().map(|address| address.parse().expect("an address")).collect();
            Box::pin(async move { Ok(found) })
        }
    }

    async fn resolve(addresses: &[&'static str], allow: &[&str]) -> Result<usize, Fault> {
        let allow = Arc::new(AllowList::parse(allow).expect("a list"));
        Guarded::resolve(Arc::new(Always(addresses.to_vec())), allow, "api.example.com".into()).await.map(|found| found.len())
    }

    #[tokio::test]
    async fn one_private_address_spoils_the_name() {
        assert!(matches!(resolve(&["8.8.8.8", "2606:4700:4700::1111"], &[]).await, Ok(2)));
        let refused = resolve(&["8.8.8.8", "10.0.0.1"], &[]).await.expect_err("one is private");
        assert!(matches!(&refused, Fault::Refused(refused) if refused.address.to_string() == "10.0.0.1"), "{refused}");
        assert!(matches!(resolve(&["8.8.8.8", "10.0.0.1"], &["10.0.0.0/8"]).await, Ok(2)));
        assert!(matches!(resolve(&["::ffff:169.254.169.254"], &["api.example.com"]).await, Err(Fault::Refused(_))));
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_not_found_and_one_with_many_is_cut_off() {
        assert!(matches!(resolve(&[], &[]).await, Err(Fault::NotFound(..))));
        assert!(matches!(resolve(&["8.8.8.8"; 100], &[]).await, Ok(ADDRESSES_MAX)));
    }
}
