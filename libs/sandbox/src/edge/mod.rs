//! The CDN's edge: forwards challenges to the responder, and terminates TLS with the certificates uploaded to C4. Edges
//! differ only by their test controls: lagging behind, serving nothing, being down.

mod forward;
mod probe;
mod terminate;

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::net::TcpSocket;

use self::forward::Forwarder;
pub use self::probe::{handshake, served_leaf, served_sha256};
use self::terminate::{Certificates, Greeter};
use crate::serve::Server;
use crate::sync::lock;
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

/// A running edge; dropped, it stops. A CDN has as many as are started with one C4.
pub struct Edge {
    /// With the ports that it was given.
    listen: Addresses,
    reached: Addresses,
    tls: Arc<ServerConfig>,
    presence: Mutex<Presence>,
    control: EdgeControl,
}

#[derive(Clone, Copy)]
struct Addresses {
    http: SocketAddr,
    https: SocketAddr,
}

enum Presence {
    Up(Servers),
    /// Sockets that do not listen: connections are refused, and the ports stay reserved.
    Down {
        _held: Vec<TcpSocket>,
    },
}

struct Servers {
    http: Server,
    https: Server,
}

impl Servers {
    async fn start(
        listen: Addresses,
        forwarder: Arc<Forwarder>,
        tls: Arc<ServerConfig>,
    ) -> Result<Self, SandboxError> {
        Ok(Self {
            http: Server::start(listen.http, None, forwarder).await?,
            https: Server::start(listen.https, Some(tls), Arc::new(Greeter)).await?,
        })
    }
}

impl Presence {
    async fn end(self) {
        if let Self::Up(Servers { http, https }) = self {
            http.stop().await;
            https.stop().await;
        }
    }
}

impl Edge {
    /// Listens, and serves what that C4 holds.
    pub async fn start(options: EdgeOptions, c4: C4Control) -> Result<Self, SandboxError> {
        let control = EdgeControl {
            forwarder: Arc::new(Forwarder::new(options.challenge_upstream)),
            certificates: Arc::new(Certificates::new(c4)),
        };
        let tls = terminate::config(control.certificates.clone())?;
        let mut listen = Addresses { http: options.http_listen, https: options.https_listen };
        let servers = Servers::start(listen, control.forwarder.clone(), tls.clone()).await?;
        let reached = Addresses { http: servers.http.address(), https: servers.https.address() };
        listen.http.set_port(reached.http.port());
        listen.https.set_port(reached.https.port());
        Ok(Self { listen, reached, tls, presence: Mutex::new(Presence::Up(servers)), control })
    }

    /// Where it speaks http.
    pub fn http_addr(&self) -> SocketAddr {
        self.reached.http
    }

    /// Where it speaks https.
    pub fn https_addr(&self) -> SocketAddr {
        self.reached.https
    }

    /// Steers it.
    pub fn control(&self) -> EdgeControl {
        self.control.clone()
    }

    /// Closes all connections and refuses new ones, until [`Edge::come_up`].
    pub async fn go_down(&self) {
        self.close().await;
        let held = [self.listen.http, self.listen.https].into_iter().filter_map(hold);
        self.replace(Presence::Down { _held: held.collect() });
    }

    /// Listens again, at the same addresses.
    pub async fn come_up(&self) -> Result<(), SandboxError> {
        self.close().await;
        let forwarder = self.control.forwarder.clone();
        let servers = Servers::start(self.listen, forwarder, self.tls.clone()).await?;
        self.replace(Presence::Up(servers));
        Ok(())
    }

    /// Closes the listeners and all connections.
    pub async fn stop(self) {
        self.close().await;
    }

    async fn close(&self) {
        self.replace(Presence::Down { _held: Vec::new() }).end().await;
    }

    fn replace(&self, presence: Presence) -> Presence {
        std::mem::replace(&mut lock(&self.presence), presence)
    }
}

/// None if the system does not release the port at once; then it is not reserved.
fn hold(address: SocketAddr) -> Option<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind(address).ok()?;
    Some(socket)
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

    /// Has no certificate for any name, as before the first configuration reaches it.
    pub fn serve_nothing(&self, on: bool) {
        self.certificates.serve_nothing(on);
    }

    /// Serves leaves without their intermediates.
    pub fn lose_intermediates(&self, on: bool) {
        self.certificates.lose_intermediates(on);
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
