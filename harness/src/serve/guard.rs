//! Which addresses the platform may call: what a bot names as its webhook or prompt is
//! somebody else's word, and must not lead to places that only this machine can reach.
//! The rule is the platform's ([`UriPolicy`]); here it is asked when a connection is made,
//! of the address that it is made to, so that a name which means one thing when it is
//! checked and another when it is used gains nothing.

use core::net::{IpAddr, SocketAddr};

use callrig_signaling::service::UriPolicy;
use ipnet::IpNet;
use thiserror::Error;

/// The rule, and what is allowed besides.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: UriPolicy,
    networks: Vec<IpNet>,
}

/// Why something is not called.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Forbidden {
    /// An address that must not be called.
    #[error("{0} may not be called; name its network in callbacks.networks to allow it")]
    Address(IpAddr),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// A URI that is not called, wherever it leads.
    #[error("the URI may not be called")]
    Uri,
}

impl Guard {
    /// By this policy, and names in these networks besides.
    #[must_use]
    pub const fn new(policy: UriPolicy, networks: Vec<IpNet>) -> Self {
        Self { policy, networks }
    }

    /// Whether this URI may be called at this address.
    ///
    /// # Errors
    /// It may not.
    pub fn check(&self, uri: &str, address: IpAddr) -> Result<(), Forbidden> {
        let named = || {
            let known = self.networks.iter().any(|network| network.contains(&address));
            known && self.policy.allows(uri)
        };
        if self.policy.allows_resolved(uri, address) || named() {
            Ok(())
        } else {
            Err(Forbidden::Address(address))
        }
    }

    /// Those of the addresses of a name that may be called.
    ///
    /// # Errors
    /// None of them may; why the first one may not.
    pub fn filter(
        &self,
        encrypted: bool,
        name: &str,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Forbidden> {
        let scheme = if encrypted { "https" } else { "http" };
        let uri = format!("{scheme}://{name}/");
        let mut allowed = Vec::new();
        let mut refused = Forbidden::NoAddress;
        for address in addresses {
            match self.check(&uri, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) if refused == Forbidden::NoAddress => refused = error,
                Err(_) => {}
            }
        }
        if allowed.is_empty() { Err(refused) } else { Ok(allowed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 443)
    }

    fn usual() -> Guard {
        Guard::new(UriPolicy::HttpsOrLoopback, Vec::new())
    }

    #[test]
    fn a_name_that_is_bound_to_this_machine_or_its_networks_is_not_called() {
        for address in
            ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00:ec2::254"]
        {
            let found = usual().filter(true, "bot.test", [at(address)].into_iter());
            assert_eq!(found, Err(Forbidden::Address(at(address).ip())), "{address}");
        }
        let found = usual().filter(false, "localhost", [at("::1"), at("127.0.0.1")].into_iter());
        assert_eq!(found.map(|some| some.len()), Ok(2));
    }

    #[test]
    fn of_several_addresses_only_the_allowed_ones_are_left() {
        let mixed = [at("10.0.0.1"), at("20.190.128.1")];
        assert_eq!(usual().filter(true, "bot.test", mixed.into_iter()), Ok(vec![mixed[1]]));
        let nothing = usual().filter(true, "bot.test", core::iter::empty());
        assert_eq!(nothing, Err(Forbidden::NoAddress));
    }

    #[test]
    fn names_in_networks_that_are_named_may_be_called() {
        let networks = vec!["172.17.0.0/16".parse().expect("a network")];
        let named = Guard::new(UriPolicy::HttpsOrLoopback, networks);
        assert!(named.filter(true, "bot", [at("172.17.0.2")].into_iter()).is_ok());
        assert!(named.filter(true, "bot", [at("172.18.0.2")].into_iter()).is_err());
        assert!(named.filter(false, "bot", [at("172.17.0.2")].into_iter()).is_err());
    }
}
