//! The DNS of the customers and of the CDN, seen through a recursive resolver: CNAME chains are answered with the chain
//! and the target's records. Time-to-live is 0, so that nothing is cached and a change takes effect at once.

mod answer;
mod control;
mod records;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};

use self::answer::Answerer;
pub use self::control::DnsControl;
use self::records::State;
use crate::SandboxError;

const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_RESPONSES: usize = 64;
/// A port that is free for UDP may be taken for TCP; then another is tried.
const TRIES: usize = 20;

/// How a DNS server starts.
#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// Where it listens, by UDP and TCP.
    pub listen: SocketAddr,
    /// A records to begin with.
    pub a: Vec<(String, Vec<Ipv4Addr>)>,
    /// CNAME records to begin with.
    pub cname: Vec<(String, String)>,
    /// The A record of every name that is not set.
    pub default_a: Option<Ipv4Addr>,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), a: Vec::new(), cname: Vec::new(), default_a: None }
    }
}

/// A running DNS server; dropped, it stops.
pub struct Dns {
    server: Server<Answerer>,
    address: SocketAddr,
    control: DnsControl,
}

impl Dns {
    /// Listens.
    pub async fn start(options: DnsOptions) -> Result<Self, SandboxError> {
        let (udp, tcp, address) = bind(options.listen)
            .await
            .map_err(|source| SandboxError::Listen { address: options.listen, source })?;
        let state = Arc::new(State::default());
        let control = DnsControl(state.clone());
        for (name, addresses) in &options.a {
            control.set_a(name, addresses);
        }
        for (name, target) in &options.cname {
            control.set_cname(name, target);
        }
        control.default_a(options.default_a);
        let mut server = Server::new(Answerer(state));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_RESPONSES);
        Ok(Self { server, address, control })
    }

    /// Where it listens; a wildcard address is given as loopback.
    pub fn addr(&self) -> SocketAddr {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        address
    }

    /// Steers it.
    pub fn control(&self) -> DnsControl {
        self.control.clone()
    }

    /// Closes its sockets.
    pub async fn stop(mut self) {
        if let Err(error) = self.server.shutdown_gracefully().await {
            tracing::debug!(%error, "dns did not stop cleanly");
        }
    }
}

async fn bind(listen: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let mut left = if listen.port() == 0 { TRIES } else { 1 };
    loop {
        left -= 1;
        let udp = UdpSocket::bind(listen).await?;
        let address = udp.local_addr()?;
        match TcpListener::bind(address).await {
            Ok(tcp) => return Ok((udp, tcp, address)),
            Err(error) if left == 0 => return Err(error),
            Err(_) => {}
        }
    }
}
