//! All of it, wired: the CA asks the nameserver, which leads to the edge, which serves what C4 holds.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::ca::CaClock;
use crate::{C4, C4Domain, C4Options, Ca, CaOptions, Dns, DnsOptions, Edge, EdgeOptions, SandboxError};

const CDN: &str = "cdn.example.net";

/// How the world is set up.
#[derive(Clone, Default)]
pub struct WorldOptions {
    /// The CA's clock; none is the system's.
    pub clock: Option<CaClock>,
    /// Whether every order needs an authorization of its own.
    pub fresh_authorizations: bool,
}

/// A CA, C4, an edge and a nameserver, on loopback.
pub struct World {
    /// The CA.
    pub ca: Ca,
    /// C4.
    pub c4: C4,
    /// The edge.
    pub edge: Edge,
    /// The nameserver.
    pub dns: Dns,
}

impl World {
    /// Starts everything.
    pub async fn start(options: WorldOptions) -> Result<Self, SandboxError> {
        let dns = Dns::start(DnsOptions::default()).await?;
        dns.control().set_a(CDN, &[Ipv4Addr::LOCALHOST]);
        let c4 = C4::start(C4Options::default()).await?;
        let edge = Edge::start(EdgeOptions::default(), c4.control()).await?;
        let mut ca = CaOptions {
            http_port: edge.http_addr().port(),
            dns: Some(dns.addr()),
            reuse_authorizations: !options.fresh_authorizations,
            ..CaOptions::default()
        };
        if let Some(clock) = options.clock {
            ca.clock = Arc::clone(&clock);
        }
        let ca = Ca::start(ca).await?;
        Ok(Self { ca, c4, edge, dns })
    }

    /// The CNAME target of the CDN.
    pub fn cdn_target(&self) -> &'static str {
        CDN
    }

    /// A customer points a name at the CDN and switches HTTPS on.
    pub fn point_at_cdn(&self, name: &str) {
        self.dns.control().set_cname(name, CDN);
        self.c4.control().put_domain(
            name,
            C4Domain {
                ports: vec![80, 443],
                cname: CDN.to_owned(),
            },
        );
    }

    /// Stops everything.
    pub async fn shutdown(self) {
        self.ca.stop();
        self.edge.stop();
        self.c4.stop();
        self.dns.stop().await;
    }
}
