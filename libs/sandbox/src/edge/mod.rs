//! The CDN's edge: forwards challenges to whoever answers them, and terminates TLS with what was uploaded to C4.

mod forward;
mod probe;
mod terminate;

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use self::forward::Forwarder;
pub use self::probe::{handshake, served_leaf, served_sha256};
use self::terminate::{Certificates, Greeter};
use crate::serve::Server;
use crate::{C4Control, SandboxError};

/// How an edge starts.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// Where it listens for http.
    pub http_listen: SocketAddr,
    /// Where it listens for https.
    pub https_listen: SocketAddr,
    /// `host:port` that requests for challenges go to; without one they are answered 502.
    pub challenge_upstream: Option<String>,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            http_listen: (Ipv4Addr::LOCALHOST, 0).into(),
            https_listen: (Ipv4Addr::LOCALHOST, 0).into(),
            challenge_upstream: None,
        }
    }
}

/// A running edge; dropped, it stops.
pub struct Edge {
    http: Server,
    https: Server,
    control: EdgeControl,
}

impl Edge {
    /// Listens, and serves what that C4 holds.
    pub async fn start(options: EdgeOptions, c4: C4Control) -> Result<Self, SandboxError> {
        let forwarder = Arc::new(Forwarder::new(options.challenge_upstream));
        let certificates = Arc::new(Certificates::new(c4));
        let config = terminate::config(certificates.clone())?;
        Ok(Self {
            http: Server::start(options.http_listen, None, forwarder.clone()).await?,
            https: Server::start(options.https_listen, Some(config), Arc::new(Greeter)).await?,
            control: EdgeControl {
                forwarder,
                certificates,
            },
        })
    }

    /// Where it speaks http.
    pub fn http_addr(&self) -> SocketAddr {
        self.http.address()
    }

    /// Where it speaks https.
    pub fn https_addr(&self) -> SocketAddr {
        self.https.address()
    }

    /// Steers it.
    pub fn control(&self) -> EdgeControl {
        self.control.clone()
    }

    /// Closes the listeners and all connections.
    pub async fn stop(self) {
        self.http.stop().await;
        self.https.stop().await;
    }
}

/// Steers a running edge. Every setting holds until it is set again.
#[derive(Clone)]
pub struct EdgeControl {
    forwarder: Arc<Forwarder>,
    certificates: Arc<Certificates>,
}

impl EdgeControl {
    /// Sends requests for challenges to that `host:port`.
    pub fn set_challenge_upstream(&self, upstream: impl Display) {
        self.forwarder.set_upstream(upstream.to_string());
    }

    /// Goes on serving what it serves now, whatever is uploaded.
    pub fn lag(&self, on: bool) {
        self.certificates.lag(on);
    }

    /// Answers 403 to requests for challenges, as a firewall would.
    pub fn block_challenges(&self, on: bool) {
        self.forwarder.block(on);
    }

    /// Requests for challenges so far.
    pub fn challenges(&self) -> u64 {
        self.forwarder.challenges()
    }
}
