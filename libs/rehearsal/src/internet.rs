//! The addresses to which a fetch may connect: those of the public internet.
//!
//! For IPv4 this is a list of what is refused, after the registry of special-purpose addresses (RFC 6890). For IPv6 it
//! is the other way round: unicast addresses of the internet are within `2000::/3` (RFC 4291 section 2.4), and a few
//! blocks in there are refused. An address with an embedded IPv4 address leads to where a gateway sends that one:
//! behind NAT64 (RFC 6052), which a resolver may put in front of any site, the inner address decides; IPv4-mapped, 6to4
//! and Teredo addresses have no business in DNS and are refused.
//!
//! Why not the predicates of the standard library: the stable ones know neither 100.64.0.0/10 nor the gateways, and
//! `is_global` is not stable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What else is not of the internet is "reserved".
const SPECIAL_IPV4: [(Ipv4Net, &str); 17] = [
    (ipv4([0, 0, 0, 0], 8), "unspecified"),
    (ipv4([10, 0, 0, 0], 8), "private"),
    (ipv4([100, 64, 0, 0], 10), "private (carrier)"),
    (ipv4([127, 0, 0, 0], 8), "loopback"),
    // A platform's virtual machines reach its own services here, though the block is public.
    (ipv4([168, 63, 129, 16], 32), "private (platform)"),
    (ipv4([169, 254, 0, 0], 16), "link-local"),
    (ipv4([172, 16, 0, 0], 12), "private"),
    (ipv4([192, 0, 0, 0], 24), "reserved"),
    (ipv4([192, 0, 2, 0], 24), "documentation"),
    (ipv4([192, 88, 99, 0], 24), "reserved"),
    (ipv4([192, 168, 0, 0], 16), "private"),
    (ipv4([198, 18, 0, 0], 15), "benchmarking"),
    (ipv4([198, 51, 100, 0], 24), "documentation"),
    (ipv4([203, 0, 113, 0], 24), "documentation"),
    (ipv4([224, 0, 0, 0], 4), "multicast"),
    (ipv4([255, 255, 255, 255], 32), "broadcast"),
    (ipv4([240, 0, 0, 0], 4), "reserved"),
];

const UNICAST_IPV6: Ipv6Net = ipv6([0x2000, 0, 0], 3);
const NAT64: Ipv6Net = ipv6([0x64, 0xff9b, 0], 96);
const SPECIAL_IPV6: [(Ipv6Net, &str); 11] = [
    (ipv6([0xfc00, 0, 0], 7), "private"),
    (ipv6([0xfe80, 0, 0], 10), "link-local"),
    (ipv6([0xfec0, 0, 0], 10), "private"),
    (ipv6([0xff00, 0, 0], 8), "multicast"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    (ipv6([0x2001, 0, 0], 32), "Teredo"),
    // Protocol assignments (RFC 2928).
    (ipv6([0x2001, 0, 0], 23), "reserved"),
    (ipv6([0x2001, 0xdb8, 0], 32), "documentation"),
    (ipv6([0x2002, 0, 0], 16), "6to4"),
    (ipv6([0x3fff, 0, 0], 20), "documentation"),
];

const fn ipv4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn ipv6([a, b, c]: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// Where connections may go.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) within: Within,
    /// Refused, wherever it is, unless it is in the nets of [`Within::InternetAndNets`].
    pub(crate) refused: Arc<[IpNet]>,
}

#[derive(Clone, Debug)]
pub(crate) enum Within {
    Anywhere,
    Internet,
    /// And these, whatever they are, also those that are refused.
    InternetAndNets(Arc<[IpNet]>),
    /// A test has no address on the internet.
    #[cfg(test)]
    InternetAnd(IpAddr),
}

/// An address that was checked; only [`Reach::check`] makes it, and nothing else is connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedAddress(IpAddr);

impl CheckedAddress {
    pub(crate) fn ip(self) -> IpAddr {
        self.0
    }
}

impl Reach {
    /// Or what kind of address it is instead, as an adjective.
    pub(crate) fn check(&self, address: IpAddr) -> Result<CheckedAddress, &'static str> {
        let has = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&inner(address)));
        if let Within::InternetAndNets(nets) = &self.within
            && has(nets)
        {
            return Ok(CheckedAddress(address));
        }
        if has(&self.refused) {
            return Err("refused");
        }
        let special = match &self.within {
            Within::Anywhere => None,
            Within::Internet | Within::InternetAndNets(_) => special(address),
            #[cfg(test)]
            Within::InternetAnd(other) if *other == address => None,
            #[cfg(test)]
            Within::InternetAnd(_) => special(address),
        };
        special.map_or(Ok(CheckedAddress(address)), Err)
    }
}

/// The IPv4 address behind NAT64, or that is mapped into IPv6; any other stays as it is.
fn inner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address.to_canonical(),
    }
}

fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_ipv4(address),
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            special_ipv4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => special_ipv6(address),
    }
}

fn special_ipv4(address: Ipv4Addr) -> Option<&'static str> {
    let (_, kind) = SPECIAL_IPV4.iter().find(|(net, _)| net.contains(&address))?;
    Some(kind)
}

fn special_ipv6(address: Ipv6Addr) -> Option<&'static str> {
    match SPECIAL_IPV6.iter().find(|(net, _)| net.contains(&address)) {
        Some((_, kind)) => Some(kind),
        None if address.to_ipv4_mapped().is_some() => Some("IPv4-mapped"),
        None if UNICAST_IPV6.contains(&address) => None,
        None => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(within: Within) -> Reach {
        Reach { within, refused: Arc::new([]) }
    }

    #[test]
    fn what_the_settings_refuse_is_refused_in_every_guise() {
        let refused = ["8.8.0.0/16", "2606:4700::/32"].map(|net| net.parse().unwrap());
        for within in [Within::Internet, Within::Anywhere] {
            let reach = Reach { within, refused: Arc::new(refused) };
            for address in ["8.8.8.8", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111"] {
                assert_eq!(reach.check(address.parse().unwrap()).unwrap_err(), "refused", "{address}");
            }
            for address in ["8.9.0.1", "2606:4701::1"] {
                assert!(reach.check(address.parse().unwrap()).is_ok(), "{address}");
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    #[test]
    fn addresses_that_are_not_of_the_internet_are_refused() {
        for (address, kind) in [
            ("0.0.0.0", "unspecified"),
            ("0.255.255.255", "unspecified"),
            ("10.0.0.1", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.0", "private (carrier)"),
            ("100.127.255.255", "private (carrier)"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "private (platform)"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.8", "reserved"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "reserved"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("198.51.100.1", "documentation"),
            ("203.0.113.1", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "reserved"),
            ("::8.8.8.8", "reserved"),
            ("::ffff:127.0.0.1", "IPv4-mapped"),
            ("::ffff:8.8.8.8", "IPv4-mapped"),
            ("::ffff:0:8.8.8.8", "reserved"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b::169.254.169.254", "link-local"),
            ("64:ff9b:0:0:1::8.8.8.8", "reserved"),
            ("64:ff9b:1::8.8.8.8", "reserved"),
            ("100::1", "reserved"),
            ("1fff:ffff::1", "reserved"),
            ("2001::1", "Teredo"),
            ("2001:0:ffff::1", "Teredo"),
            ("2001:2::1", "reserved"),
            ("2001:20::1", "reserved"),
            ("2001:1ff:ffff::1", "reserved"),
            ("2001:db8::1", "documentation"),
            ("2002:0a00:0001::1", "6to4"),
            ("2002:808:808::1", "6to4"),
            ("3fff::1", "documentation"),
            ("3fff:fff:ffff::1", "documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(reach(Within::Internet).check(address).unwrap_err(), kind, "{address}");
            assert_eq!(reach(Within::Anywhere).check(address).unwrap().ip(), address);
        }
    }

    #[test]
    fn addresses_beside_them_are_of_the_internet() {
        for address in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.114.0",
            "223.255.255.255",
            "64:ff9b::8.8.8.8",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "3fff:1000::1",
            "3ffe::1",
        ] {
            let address = address.parse().unwrap();
            let checked = reach(Within::Internet).check(address);
            assert_eq!(checked.map(CheckedAddress::ip).ok(), Some(address), "{address}");
        }
    }
}
