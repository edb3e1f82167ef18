//! `sandbox ca | c4 | dns`: a part of the sandbox on its own, for Compose and for playing.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sandbox::{
    C4, C4Domain, C4Identity, C4Options, CDN_TARGET, Ca, CaOptions, Dns, DnsControl, DnsOptions, Edge,
    EdgeOptions,
};

use crate::cli::SandboxPart;
use crate::output::{complain, print};
use crate::run::signalled;

/// Far over what any token has.
const MAX_TOKEN_FILE_BYTES: u64 = 64 * 1024;
/// How long the edge's old address is given after it came back with another one.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);

/// Runs a part until Ctrl-C or SIGTERM.
pub(crate) async fn run(part: SandboxPart) -> anyhow::Result<()> {
    match part {
        SandboxPart::Ca { listen, dns, http_port, root_file } => {
            let ca = Ca::start(CaOptions { listen, dns, http_port, ..CaOptions::default() }).await?;
            if let Some(path) = root_file {
                std::fs::write(path, ca.api_root_pem())?;
            }
            say(format_args!("directory: {}", ca.directory_url()));
            signalled().await;
            ca.stop().await;
        }
        SandboxPart::C4 {
            listen,
            edge_http,
            edge_https,
            challenge_upstream,
            token,
            token_of,
            certificate_file,
            key_file,
            domains,
            zones,
        } => {
            let options = C4Options {
                listen,
                token: bearer_token(token, token_of.as_deref())?,
                identity: identity(certificate_file.as_deref(), key_file.as_deref())?,
                admin: true,
                ..C4Options::default()
            };
            let edge = EdgeOptions { http_listen: edge_http, https_listen: edge_https, challenge_upstream };
            run_c4(options, edge, &domains, &zones).await?;
        }
        SandboxPart::Dns { listen, default_a, domains, zones, edge } => {
            let dns = Dns::start(DnsOptions { listen, ..DnsOptions::default() }).await?;
            dns.control().default_a(default_a);
            for name in domains {
                dns.control().set_cname(&name, CDN_TARGET);
            }
            for zone in zones {
                dns.control().set_zone(&zone, CDN_TARGET);
            }
            say(format_args!("nameserver: {}", dns.addr()));
            tokio::select! {
                () = signalled() => {}
                () = follow(edge, dns.control()) => {}
            }
            dns.stop().await;
        }
    }
    Ok(())
}

/// C4, which knows these domains and all below these zones, with an edge.
async fn run_c4(
    options: C4Options,
    edge: EdgeOptions,
    domains: &[String],
    zones: &[String],
) -> anyhow::Result<()> {
    let c4 = C4::start(options).await?;
    let known = C4Domain { ports: vec![80, 443], cname: CDN_TARGET.to_owned() };
    for name in domains {
        c4.control().put_domain(name, known.clone());
    }
    for zone in zones {
        c4.control().zone_as_known(zone, known.clone());
    }
    let edge = Edge::start(edge, c4.control()).await?;
    let (http, https) = (edge.http_addr(), edge.https_addr());
    say(format_args!("C4: {}\nedge: http://{http} https://{https}", c4.base_url()));
    signalled().await;
    edge.stop().await;
    c4.stop().await;
    Ok(())
}

/// Gives the CDN's target the edge's addresses, for as long as this runs: a container that comes back may have
/// another address.
async fn follow(edge: Option<String>, dns: DnsControl) {
    let Some(edge) = edge else {
        return std::future::pending().await;
    };
    let mut known: Vec<Ipv4Addr> = Vec::new();
    loop {
        match tokio::net::lookup_host((edge.as_str(), 0)).await {
            Ok(found) => {
                let mut addresses: Vec<_> = found
                    .filter_map(|address| match address.ip() {
                        IpAddr::V4(address) => Some(address),
                        IpAddr::V6(_) => None,
                    })
                    .collect();
                addresses.sort_unstable();
                addresses.dedup();
                if addresses != known {
                    say(format_args!("{CDN_TARGET}: {addresses:?}"));
                    dns.set_a(CDN_TARGET, &addresses);
                    known = addresses;
                }
            }
            // What was found before holds: the name is gone for a moment while the edge starts anew.
            Err(error) => complain(format_args!("cannot look up {edge}: {error}")),
        }
        tokio::time::sleep(LOOKUP_INTERVAL).await;
    }
}

/// Prints where something is; without a reader it serves all the same.
fn say(line: impl Display) {
    let _ = print(line);
}

fn bearer_token(token: Option<String>, file: Option<&Path>) -> anyhow::Result<String> {
    match (token, file) {
        (Some(token), _) => Ok(token),
        (None, Some(path)) => {
            let text = text_file::read(path, MAX_TOKEN_FILE_BYTES);
            Ok(text.with_context(|| format!("cannot read {}", path.display()))?.trim().to_owned())
        }
        (None, None) => anyhow::bail!("--token or --c4-token-file is missing"),
    }
}

fn identity(certificate: Option<&Path>, key: Option<&Path>) -> anyhow::Result<Option<C4Identity>> {
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Ok(None);
    };
    Ok(Some(C4Identity { chain_pem: read(certificate)?, key_pem: read(key)? }))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
