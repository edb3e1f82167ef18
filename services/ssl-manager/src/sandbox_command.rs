//! `sandbox ca | c4 | dns`: a part of the sandbox on its own, for Compose and for playing.

use sandbox::{C4, C4Domain, C4Options, CDN_TARGET, Ca, CaOptions, Dns, DnsOptions, Edge, EdgeOptions};

use crate::cli::SandboxPart;
use crate::run::signalled;

/// Runs a part until Ctrl-C or SIGTERM.
pub(crate) async fn run(part: SandboxPart) -> anyhow::Result<()> {
    match part {
        SandboxPart::Ca {
            listen,
            dns,
            http_port,
            root_file,
        } => {
            let ca = Ca::start(CaOptions {
                listen,
                dns,
                http_port,
                ..CaOptions::default()
            })
            .await?;
            if let Some(path) = root_file {
                std::fs::write(path, ca.api_root_pem())?;
            }
            println!("directory: {}", ca.directory_url());
            signalled().await;
            ca.stop().await;
        }
        SandboxPart::C4 {
            listen,
            edge_http,
            edge_https,
            challenge_upstream,
            token,
            domains,
        } => {
            let c4 = C4::start(C4Options {
                listen,
                token,
                admin: true,
                ..C4Options::default()
            })
            .await?;
            for name in domains {
                c4.control().put_domain(
                    &name,
                    C4Domain {
                        ports: vec![80, 443],
                        cname: CDN_TARGET.to_owned(),
                    },
                );
            }
            let options = EdgeOptions {
                http_listen: edge_http,
                https_listen: edge_https,
                challenge_upstream,
            };
            let edge = Edge::start(options, c4.control()).await?;
            println!(
                "C4: {}\nedge: http://{} https://{}",
                c4.base_url(),
                edge.http_addr(),
                edge.https_addr()
            );
            signalled().await;
            edge.stop().await;
            c4.stop().await;
        }
        SandboxPart::Dns {
            listen,
            default_a,
            domains,
        } => {
            let dns = Dns::start(DnsOptions {
                listen,
                ..DnsOptions::default()
            })
            .await?;
            dns.control().default_a(default_a);
            for name in domains {
                dns.control().set_cname(&name, CDN_TARGET);
            }
            println!("nameserver: {}", dns.addr());
            signalled().await;
            dns.stop().await;
        }
    }
    Ok(())
}
