//! Proxies that customers put between their domain and the CDN, recognised by their published networks.

use std::net::IpAddr;

use domain::Found;
use runtime::config::KnownProxy;

/// The known proxy to which all of the found addresses belong.
pub(crate) fn of(proxies: &[KnownProxy], found: &Found) -> Option<String> {
    let Found::Addresses(addresses) = found else { return None };
    let is_of = |proxy: &&KnownProxy| {
        let is_in = |address: &IpAddr| proxy.networks.iter().any(|network| network.contains(address));
        addresses.iter().all(is_in)
    };
    proxies.iter().find(is_of).map(|proxy| proxy.name.clone())
}

#[cfg(test)]
mod tests {
    use runtime::Config;

    use super::*;

    fn proxy_of(addresses: &[&str]) -> Option<String> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        of(&Config::default().preflight.proxies, &Found::Addresses(addresses))
    }

    #[test]
    fn a_proxy_is_known_by_the_networks_that_it_publishes() {
        for addresses in [&["104.16.132.229", "104.16.133.229"][..], &["2606:4700::6810:84e5"]] {
            assert_eq!(proxy_of(addresses).as_deref(), Some("Cloudflare"), "{addresses:?}");
        }
        for addresses in [&["203.0.113.9"][..], &["104.16.132.229", "203.0.113.9"]] {
            assert_eq!(proxy_of(addresses), None, "{addresses:?}");
        }
        assert_eq!(of(&Config::default().preflight.proxies, &Found::NoName), None);
    }
}
