//! Asks the CDN's edges which certificate they serve for a name, because what C4 holds is not yet what visitors see.
//!
//! An edge is asked as a visitor asks it: a TLS handshake with the name in SNI (RFC 6066 section 3), of which the leaf
//! certificate is looked at. Nothing else is sent, and the answer is the leaf's SHA-256, which is what C4 knows a
//! certificate by.
//!
//! Rules. Every ask is a whole handshake of its own, because a resumed session shows the certificate of the first one.
//! An ask is bounded in time from the lookup of the edge's host name on, and so is the number of asks in flight; an
//! edge that does not answer is behind like one that answers wrongly. Asking again is the caller's, who has a clock
//! and a database.
//!
//! Why not ask C4 which edges it has reached: its word is what is being checked.

mod ask;
mod tls;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use domain::{DomainName, EdgeBehind};
use futures::{StreamExt, future, stream};
use rustls::ClientConfig;
use rustls_pki_types::DnsName;

/// For the lookup, the connection and the handshake together.
const WITHIN: Duration = Duration::from_secs(5);
/// Of one call: edges of many places are asked at once, but not a whole CDN.
const MOST_IN_FLIGHT: usize = 16;

/// Why edges cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Nothing that can be connected to.
    #[error("{address:?} is not host:port")]
    BadAddress {
        /// What was configured.
        address: String,
    },
    /// TLS cannot be set up.
    #[error("the TLS towards the edges cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The edges that are asked.
#[derive(Debug)]
pub struct Edges {
    addresses: Vec<String>,
    tls: Arc<ClientConfig>,
    within: Duration,
}

impl Edges {
    /// Edges by `host:port`; without any the check is off. Nothing is asked yet.
    pub fn new(addresses: Vec<String>) -> Result<Self, EdgeError> {
        Self::with_timeout(addresses, WITHIN)
    }

    /// Like [`Edges::new`], for tests that cannot wait that long.
    #[doc(hidden)]
    pub fn with_timeout(mut addresses: Vec<String>, within: Duration) -> Result<Self, EdgeError> {
        addresses.sort_unstable();
        addresses.dedup();
        for address in &addresses {
            if !is_host_and_port(address) {
                let address = address.clone();
                return Err(EdgeError::BadAddress { address });
            }
        }
        Ok(Self { addresses, tls: tls::showing_any_leaf().map_err(EdgeError::Tls)?, within })
    }

    /// Whether there is no edge to ask, so that [`Edges::behind`] says nothing.
    pub fn is_off(&self) -> bool {
        self.addresses.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.addresses.len()
    }

    /// Those edges, sorted, that do not serve for that name the leaf certificate with this SHA-256 (lower-case hex of
    /// its DER). Empty when all do.
    pub async fn behind(&self, name: &DomainName, sha256: &str) -> Vec<EdgeBehind> {
        let asks: Vec<_> = self.addresses.iter().map(|edge| self.compare(edge, name, sha256)).collect();
        let answers = stream::iter(asks).buffer_unordered(MOST_IN_FLIGHT);
        let mut behind: Vec<_> = answers.filter_map(future::ready).collect().await;
        behind.sort_unstable();
        behind
    }

    async fn compare(&self, edge: &str, name: &DomainName, sha256: &str) -> Option<EdgeBehind> {
        let asked = tokio::time::timeout(self.within, ask::leaf(edge, name, self.tls.clone()));
        let shows = match asked.await {
            Ok(Ok(leaf)) if leaf == sha256 => return None,
            Ok(Ok(leaf)) => format!("another certificate (SHA-256 {leaf})"),
            Ok(Err(shows)) => shows,
            Err(_) => ask::NO_ANSWER_IN_TIME.to_owned(),
        };
        let edge = edge.to_owned();
        Some(EdgeBehind { edge, shows })
    }
}

fn is_host_and_port(text: &str) -> bool {
    let is_named =
        |(host, port): (&str, &str)| DnsName::try_from(host).is_ok() && port.parse::<NonZeroU16>().is_ok();
    match text.parse::<SocketAddr>() {
        Ok(address) => address.port() != 0,
        Err(_) => text.rsplit_once(':').is_some_and(is_named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for address in ["127.0.0.1:443", "[::1]:443", "edge.example.net:8443", "edge_1:443", "localhost:1"] {
            assert!(Edges::new(vec![address.to_owned()]).is_ok(), "{address}");
        }
        for address in [
            "",
            "edge.example.net",
            ":443",
            "127.0.0.1",
            "127.0.0.1:0",
            "::1",
            "[::1]",
            "[edge]:443",
            "edge:",
            "edge:0",
            "edge:65536",
            "edge:https",
            "edge:443:443",
            "https://edge:443",
            "edge one:443",
            "127.0.0.256:443",
        ] {
            let good = "127.0.0.1:443".to_owned();
            let error = Edges::new(vec![good, address.to_owned()]).unwrap_err();
            assert_eq!(error.to_string(), format!("{address:?} is not host:port"));
        }
    }

    #[tokio::test]
    async fn without_edges_nobody_is_behind() {
        let edges = Edges::new(Vec::new()).unwrap();
        assert!(edges.is_off());
        let name = DomainName::parse("shop.example.com").unwrap();
        assert_eq!(edges.behind(&name, "").await, []);
        assert!(!Edges::new(vec!["edge:443".to_owned()]).unwrap().is_off());
    }
}
