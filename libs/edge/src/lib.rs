//! Asks the CDN's edges which certificate they serve for a name, because what C4 holds is not yet what visitors see.
//!
//! An edge is asked like by a visitor: a TLS handshake with the name in SNI (RFC 6066 section 3), whose certificates
//! are read. Nothing else is sent. The leaf has to be the right one, and its intermediates have to follow it: without
//! them some browsers show a warning.
//!
//! Rules. Every query is a full handshake, because a resumed session shows the certificate of the first one. The time
//! of a query, including the lookup of the edge's host name, and the number of queries in flight are bounded; an edge
//! that does not answer counts as behind, like one that serves another certificate. The caller retries, because it has
//! a clock and a database.
//!
//! Why not ask C4 which edges it has reached: C4's claim is what is checked here.

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

use crate::ask::NoChain;

/// For the lookup, the connection and the handshake together.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of one call: edges of many places are asked at once, but not a whole CDN.
const MAX_IN_FLIGHT: usize = 16;

/// Why edges cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Nothing that can be connected to.
    #[error("{address:?} is not host:port")]
    BadAddress {
        /// The configured value.
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
        Self::with_timeout(addresses, TIMEOUT)
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

    /// Those edges, sorted, that do not serve for that name this chain: the SHA-256 (lower-case hex of the DER) of the leaf and
    /// of each issuer. Further certificates after them, such as a root, are no difference. Empty when all do.
    pub async fn behind(&self, name: &DomainName, chain: &[String]) -> Vec<EdgeBehind> {
        self.compared(name, chain).await.into_iter().map(|(behind, _)| behind).collect()
    }

    /// Like [`Self::behind`], without those that gave no answer: of edges that served the chain once.
    pub async fn fallen_back(&self, name: &DomainName, chain: &[String]) -> Vec<EdgeBehind> {
        let compared = self.compared(name, chain).await.into_iter();
        compared.filter(|(_, is_silent)| !is_silent).map(|(behind, _)| behind).collect()
    }

    async fn compared(&self, name: &DomainName, chain: &[String]) -> Vec<(EdgeBehind, bool)> {
        let asks: Vec<_> = self.addresses.iter().map(|edge| self.compare(edge, name, chain)).collect();
        let answers = stream::iter(asks).buffer_unordered(MAX_IN_FLIGHT);
        let mut behind: Vec<_> = answers.filter_map(future::ready).collect().await;
        behind.sort_unstable();
        behind
    }

    /// What an edge serves instead of the chain, and whether it did not answer at all.
    async fn compare(&self, edge: &str, name: &DomainName, chain: &[String]) -> Option<(EdgeBehind, bool)> {
        let asked = tokio::time::timeout(self.within, ask::chain(edge, name, self.tls.clone()));
        let no_chain = match asked.await {
            Ok(Ok(shown)) if !chain.is_empty() && shown.starts_with(chain) => return None,
            Ok(Ok(shown)) => NoChain { shows: difference(&shown, chain), is_silent: false },
            Ok(Err(no_chain)) => no_chain,
            Err(_) => NoChain::silent(ask::NO_ANSWER_IN_TIME.to_owned()),
        };
        let NoChain { shows, is_silent } = no_chain;
        Some((EdgeBehind { edge: edge.to_owned(), shows }, is_silent))
    }
}

fn difference(shown: &[String], chain: &[String]) -> String {
    match (shown.first(), chain.first()) {
        (Some(leaf), Some(expected)) if leaf == expected && chain.starts_with(shown) => {
            "the right certificate without its intermediate".to_owned()
        }
        (Some(leaf), Some(expected)) if leaf == expected => {
            "the right certificate with other intermediates".to_owned()
        }
        (Some(leaf), _) => format!("another certificate (SHA-256 {leaf})"),
        (None, _) => "no certificate for the name".to_owned(),
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
        assert_eq!(edges.behind(&name, &[]).await, []);
        assert!(!Edges::new(vec!["edge:443".to_owned()]).unwrap().is_off());
    }
}
