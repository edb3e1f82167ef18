//! Proxies that customers put between their domain and the CDN.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::list;

/// Cloudflare's, as published at <https://www.cloudflare.com/ips/>.
const CLOUDFLARE: [&str; 22] = [
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

/// `[[preflight.proxies]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownProxy {
    /// Its name, as customers know it.
    pub name: String,
    /// The networks of its proxies, as it publishes them.
    #[serde(deserialize_with = "list")]
    pub networks: Vec<IpNet>,
}

impl KnownProxy {
    pub(super) fn cloudflare() -> Self {
        let networks = CLOUDFLARE.iter().filter_map(|network| network.parse().ok());
        Self { name: "Cloudflare".to_owned(), networks: networks.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_one() {
        assert_eq!(KnownProxy::cloudflare().networks.len(), CLOUDFLARE.len());
    }
}
