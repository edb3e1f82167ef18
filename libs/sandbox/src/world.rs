//! The four parts, wired: the CA asks the DNS and fetches from the edge, the edge serves what C4 holds.

use std::net::Ipv4Addr;

use crate::{
    C4, C4Domain, C4Options, Ca, CaOptions, Clock, Dns, DnsOptions, Edge, EdgeOptions, SandboxError,
    system_clock,
};

/// What customers point their domains at.
pub const CDN_TARGET: &str = "cdn.example.net";

/// Where the CA's revocation list is.
const CRL_HOST: &str = "crl.sandbox.example";

/// How a world starts. Addresses and wiring in the parts' options are overwritten where the parts depend on each
/// other.
#[derive(Clone)]
pub struct WorldOptions {
    /// The CA's time.
    pub clock: Clock,
    /// The CA; `dns`, `http_port`, `https_port`, `crl_host` and `clock` are the world's.
    pub ca: CaOptions,
    /// C4.
    pub c4: C4Options,
    /// The edge.
    pub edge: EdgeOptions,
    /// DNS.
    pub dns: DnsOptions,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            clock: system_clock(),
            ca: CaOptions::default(),
            c4: C4Options::default(),
            edge: EdgeOptions::default(),
            dns: DnsOptions::default(),
        }
    }
}

/// The outside world.
pub struct World {
    /// The CA.
    pub ca: Ca,
    /// C4.
    pub c4: C4,
    /// The edge.
    pub edge: Edge,
    /// DNS.
    pub dns: Dns,
}

impl World {
    /// Starts all four.
    pub async fn start(options: WorldOptions) -> Result<Self, SandboxError> {
        let dns = Dns::start(options.dns).await?;
        dns.control().set_a(CDN_TARGET, &[Ipv4Addr::LOCALHOST]);
        dns.control().set_a(CRL_HOST, &[Ipv4Addr::LOCALHOST]);
        let c4 = C4::start(options.c4).await?;
        let edge = Edge::start(options.edge, c4.control()).await?;
        let ca = Ca::start(CaOptions {
            dns: Some(dns.addr()),
            http_port: edge.http_addr().port(),
            https_port: edge.https_addr().port(),
            clock: options.clock,
            crl_host: Some(CRL_HOST.to_owned()),
            ..options.ca
        })
        .await?;
        Ok(Self { ca, c4, edge, dns })
    }

    /// What customers point their domains at.
    pub fn cdn_target(&self) -> &'static str {
        CDN_TARGET
    }

    /// Acts as a customer: points the domain at the CDN and switches HTTPS on.
    pub fn point_at_cdn(&self, name: &str) {
        let dns = self.dns.control();
        dns.remove(name);
        dns.set_cname(name, CDN_TARGET);
        self.c4.control().put_domain(name, C4Domain { ports: vec![80, 443], cname: CDN_TARGET.to_owned() });
    }

    /// Stops all four.
    pub async fn shutdown(self) {
        self.ca.stop().await;
        self.edge.stop().await;
        self.c4.stop().await;
        self.dns.stop().await;
    }
}
