//! The demo's outside world, and the settings that point at it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::Clock;
use runtime::config::{AcmeIssuer, IssuerLimits, LimitNumber, LimitNumbers};
use runtime::{Config, RoleName};
use sandbox::{C4Domain, Endpoint, Nonsense, Refusal, ValidationResult, World, WorldOptions};

use super::cast::{CAST, Fate, PER_REGISTERED_DOMAIN};
use super::clock::DemoClock;

/// Addresses of documentation (RFC 5737, RFC 3849): certainly not the CDN's.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const ELSEWHERE_6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
/// One of the CDN's, on which nothing listens.
const SILENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub(crate) struct DemoWorld {
    world: World,
}

impl DemoWorld {
    pub(super) async fn start(clock: Arc<DemoClock>) -> anyhow::Result<Self> {
        let options = WorldOptions { clock: Arc::new(move || clock.now()), ..WorldOptions::default() };
        let world = World::start(options).await?;
        let demo = Self { world };
        for sample in CAST {
            demo.set_up(sample.name, sample.fate);
        }
        Ok(demo)
    }

    /// What the world does to a domain from its beginning.
    fn set_up(&self, name: &str, fate: Fate) {
        let World { ca, c4, dns, .. } = &self.world;
        if fate != Fate::UnknownToC4 {
            self.world.point_at_cdn(name);
        }
        let invalid = |problem: &str, detail: &str| {
            let (problem, detail) = (problem.to_owned(), detail.to_owned());
            ca.control().validation_result(name, ValidationResult::Invalid { problem, detail });
        };
        match fate {
            Fate::NeverValidated => ca.control().validation_result(name, ValidationResult::Never),
            Fate::PointedElsewhere => self.lead_to(name, ELSEWHERE),
            Fate::ForeignAaaa => {
                self.lead_to(name, Ipv4Addr::LOCALHOST);
                dns.control().set_aaaa(name, &[ELSEWHERE_6]);
            }
            Fate::HttpOnly => {
                let cname = self.world.cdn_target().to_owned();
                c4.control().put_domain(name, C4Domain { ports: vec![80], cname });
            }
            Fate::CaaForbids => {
                self.lead_to(name, Ipv4Addr::LOCALHOST);
                dns.control().set_caa(name, vec![(0, "issue", "digicert.com")]);
            }
            Fate::NoAnswer => self.lead_to(name, SILENT),
            Fate::Invalid => invalid("unauthorized", "Invalid response from https://old.example/: 404"),
            Fate::FromSomePlaces => {
                invalid("connection", "During secondary validation: 192.0.2.80: Timeout during connect");
            }
            Fate::NotOffered => ca.control().offer_http_01(name, false),
            Fate::Paused => ca.control().pause(name, Some("https://sandbox.example/resume")),
            Fate::DnsFails => {
                dns.control().remove(name);
                dns.control().servfail(name, true);
            }
            Fate::Refused => c4.control().refuse(Some(name), Refusal::unprocessable("quota exceeded")),
            _ => {}
        }
    }

    /// What happens outside before the act of so many days ago.
    pub(super) fn turn(&self, days_ago: i64) {
        for sample in CAST {
            let is_gone = match sample.fate {
                Fate::Left => days_ago < sample.since,
                Fate::Leaves => days_ago == 0,
                _ => false,
            };
            if is_gone {
                self.lead_to(sample.name, ELSEWHERE);
            }
        }
    }

    /// Brings the world into the state for a domain that comes alone, and back.
    pub(super) fn strange_for(&self, fate: Fate, on: bool) {
        match fate {
            Fate::OtherKey if on => {
                self.world.ca.control().answer_nonsense(Endpoint::Certificate, Nonsense::OtherKey);
            }
            Fate::Lagging => self.world.edge.control().lag(on),
            Fate::CaIsDown => self.world.ca.control().down(on),
            _ => {}
        }
    }

    fn lead_to(&self, name: &str, address: Ipv4Addr) {
        let dns = self.world.dns.control();
        dns.remove(name);
        dns.set_a(name, &[address]);
    }

    /// SHA-256 of the leaf that the edge shows for a name, by a real TLS handshake.
    pub(super) async fn served(&self, name: &str) -> Option<String> {
        sandbox::served_sha256(self.world.edge.https_addr(), name).await.ok().flatten()
    }

    /// Settings for `all` in this world.
    pub(super) fn config(&self, folder: &Path) -> anyhow::Result<Config> {
        let mut config = Config::default();
        config.store.url = format!("sqlite://{}", folder.join("ssl-manager.db").display()).into();
        config.keys.sealing_key_file = folder.join("sealing.key");
        config.notifier.sealing_key_file = folder.join("notifier.key");
        config.api.listen = free_address()?;
        config.admin.listen = free_address()?;
        config.console.listen = free_address()?;
        config.challenge_responder.listen = free_address()?;
        self.world.edge.control().set_challenge_upstream(config.challenge_responder.listen);
        config.cdn.cname_targets = vec![self.world.cdn_target().to_owned()];
        config.cdn.addresses = vec!["127.0.0.1/32".parse()?, "127.0.0.2/32".parse()?];
        config.cdn.edge_addresses = vec![self.world.edge.https_addr().to_string()];
        config.dns.nameservers = vec![self.world.dns.addr().to_string()];
        config.preflight.allow_private_addresses = true;
        config.preflight.http_port = self.world.edge.http_addr().port();
        config.c4.base_url = self.world.c4.base_url();
        config.c4.token = self.world.c4.token().to_owned().into();
        let root_certificate_file = folder.join("ca-root.pem");
        std::fs::write(&root_certificate_file, self.world.ca.api_root_pem())?;
        let week = LimitNumber { count: PER_REGISTERED_DOMAIN, hours: 7 * 24 };
        config.acme.issuers = vec![AcmeIssuer {
            name: "sandbox".to_owned(),
            directory_url: self.world.ca.directory_url(),
            root_certificate_file,
            limits: IssuerLimits::Numbers(LimitNumbers {
                certificates_per_registered_domain: Some(week),
                ..LimitNumbers::default()
            }),
            ..AcmeIssuer::default()
        }];
        config.validate(&RoleName::ALL)?;
        Ok(config)
    }

    pub(super) async fn shutdown(self) {
        self.world.shutdown().await;
    }
}

/// A certificate with its key as somebody pastes them, both PEM, that begins and ends so many days from now by the clock.
pub(super) fn pasted(name: &str, clock: &DemoClock, lifetime: Duration) -> anyhow::Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()])?;
    let now = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(clock.now().as_second())?);
    params.not_before = now.into();
    params.not_after = (now + lifetime).into();
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A port that is free now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
