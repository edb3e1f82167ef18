//! From addresses to a connection.
//!
//! IPv6 is preferred, and IPv4 is tried only if no connection over IPv6 is established, because it was refused or timed
//! out: that is what Let's Encrypt does. If an established connection fails later, IPv4 is not tried, because a CA
//! would not do so either, and a broken site behind an AAAA record would pass. One address of each kind is tried.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fetch_error::FetchError;
use crate::internet::{CheckedAddress, Reach};

/// The target of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    first: CheckedAddress,
    fallback: Option<CheckedAddress>,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoRoute {
    NoAddress,
    /// Every address is out of reach; this is one of them, of that kind.
    Refused(&'static str, IpAddr),
}

impl Route {
    /// Leaves out the addresses that may not be connected to, as CAs do.
    pub(crate) fn choose(addresses: &[IpAddr], reach: &Reach) -> Result<Self, NoRoute> {
        let mut refused = NoRoute::NoAddress;
        let (mut ipv6, mut ipv4) = (None, None);
        for address in addresses {
            match reach.check(*address) {
                Ok(checked) if address.is_ipv6() => ipv6 = ipv6.or(Some(checked)),
                Ok(checked) => ipv4 = ipv4.or(Some(checked)),
                Err(kind) => refused = NoRoute::Refused(kind, *address),
            }
        }
        match (ipv6, ipv4) {
            (Some(first), fallback) => Ok(Self { first, fallback }),
            (None, Some(first)) => Ok(Self { first, fallback: None }),
            (None, None) => Err(refused),
        }
    }

    /// Connects, by a wait of at most `within` for each address.
    pub(crate) async fn connect(self, port: u16, within: Duration) -> Result<TcpStream, FetchError> {
        let failure = match connect(self.first, port, within).await {
            Ok(stream) => return Ok(stream),
            Err(failure) => failure,
        };
        match self.fallback {
            Some(fallback) => connect(fallback, port, within).await.map_err(|later| failure.or(later)),
            None => Err(failure),
        }
    }
}

async fn connect(address: CheckedAddress, port: u16, within: Duration) -> Result<TcpStream, FetchError> {
    let address = SocketAddr::new(address.ip(), port);
    match timeout(within, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(not_connected(address, &error)),
        Err(_) => Err(FetchError::no_answer()),
    }
}

/// Errors reported by a host on the way or at the end are the site's; a missing network, port or right is ours.
fn not_connected(address: SocketAddr, error: &Error) -> FetchError {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            FetchError::Site(format!("nothing listens at {address} (connection refused)"))
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            FetchError::Site(format!("{address} closed the connection"))
        }
        ErrorKind::TimedOut => FetchError::no_answer(),
        ErrorKind::HostUnreachable => FetchError::Site(format!("{address} cannot be reached")),
        kind => FetchError::Ours(format!("no connection to {address} can be made from here: {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::internet::Within;

    fn chosen(addresses: &[&str]) -> Result<(String, Option<String>), NoRoute> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let route = Route::choose(&addresses, &Reach { within: Within::Internet, refused: [].into() })?;
        let text = |address: CheckedAddress| address.ip().to_string();
        Ok((text(route.first), route.fallback.map(text)))
    }

    #[test]
    fn ipv6_is_preferred_and_refused_addresses_are_left_out() {
        let (first, fallback) = chosen(&["8.8.8.8", "2606:4700::1", "8.8.4.4", "2606:4700::2"]).unwrap();
        assert_eq!((first.as_str(), fallback.as_deref()), ("2606:4700::1", Some("8.8.8.8")));
        let (first, fallback) = chosen(&["fd00::1", "10.0.0.1", "8.8.8.8"]).unwrap();
        assert_eq!((first.as_str(), fallback), ("8.8.8.8", None));
        let (first, fallback) = chosen(&["2606:4700::1", "127.0.0.1"]).unwrap();
        assert_eq!((first.as_str(), fallback), ("2606:4700::1", None));
    }

    #[test]
    fn without_an_address_of_the_internet_there_is_no_route() {
        assert!(matches!(chosen(&[]), Err(NoRoute::NoAddress)));
        let refused = chosen(&["::1", "10.0.0.1"]).unwrap_err();
        assert!(matches!(refused, NoRoute::Refused("private", _)), "{refused:?}");
    }

    #[test]
    fn a_network_that_we_do_not_have_blames_nobody() {
        let address = "[2606:4700::1]:80".parse().unwrap();
        let failure = |kind: ErrorKind| not_connected(address, &kind.into());
        for ours in [ErrorKind::NetworkUnreachable, ErrorKind::AddrNotAvailable, ErrorKind::PermissionDenied]
        {
            assert!(matches!(failure(ours), FetchError::Ours(_)), "{ours}");
            let tried = failure(ours).or(failure(ErrorKind::ConnectionRefused));
            assert!(matches!(tried, FetchError::Ours(_)), "{ours}");
        }
        let refused = failure(ErrorKind::ConnectionRefused).or(failure(ErrorKind::HostUnreachable));
        assert!(matches!(refused, FetchError::Site(found) if found.contains("cannot be reached")));
    }
}
