//! The demo's outside world, and the settings that point at it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use runtime::config::AcmeIssuer;
use runtime::{Config, RoleName};
use sandbox::{Refusal, ValidationResult, World, WorldOptions};

use super::cast::{CAST, Fate};
use super::clock::DemoClock;

/// An address of documentation (RFC 5737): certainly not the CDN's.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// Lives past the hour that a certificate must have left when it is accepted, and has ended two hours later.
const SHORT_LIFETIME: std::time::Duration = std::time::Duration::from_mins(110);
const LIFETIME: std::time::Duration = std::time::Duration::from_hours(90 * 24);

pub(crate) struct DemoWorld {
    world: World,
}

impl DemoWorld {
    pub(super) async fn start(clock: Arc<DemoClock>) -> anyhow::Result<Self> {
        let options = WorldOptions { clock: Arc::new(move || clock.now()), ..WorldOptions::default() };
        let world = World::start(options).await?;
        world.ca.control().set_lifetime(SHORT_LIFETIME);
        for sample in CAST {
            let name = sample.name;
            if sample.fate != Fate::UnknownToC4 {
                world.point_at_cdn(name);
            }
            match sample.fate {
                Fate::NeverValidated => world.ca.control().validation_result(name, ValidationResult::Never),
                Fate::PointedElsewhere => point_elsewhere(&world, name),
                Fate::Refused => {
                    world.c4.control().refuse(Some(name), Refusal::unprocessable("quota exceeded"));
                }
                Fate::Fine | Fate::UnknownToC4 | Fate::Left => {}
            }
        }
        Ok(Self { world })
    }

    /// The old customer leaves, and the CA issues for 90 days from here on.
    pub(super) fn two_hours_later(&self) {
        for sample in CAST.iter().filter(|sample| sample.fate == Fate::Left) {
            point_elsewhere(&self.world, sample.name);
        }
        self.world.ca.control().set_lifetime(LIFETIME);
    }

    /// SHA-256 of the leaf that the edge shows for a name, by a real TLS handshake.
    pub(super) async fn served(&self, name: &str) -> Option<String> {
        sandbox::served_sha256(self.world.edge.https_addr(), name).await.ok().flatten()
    }

    /// Settings for `all` in this world.
    pub(super) fn config(&self, folder: &Path) -> anyhow::Result<Config> {
        let root = folder.join("ca-root.pem");
        std::fs::write(&root, self.world.ca.api_root_pem())?;
        let mut config = Config::default();
        config.store.url = format!("sqlite://{}", folder.join("ssl-manager.db").display()).into();
        config.keys.sealing_key_file = folder.join("sealing.key");
        config.api.listen = free_address()?;
        config.admin.listen = free_address()?;
        config.console.listen = free_address()?;
        config.challenge_responder.listen = free_address()?;
        self.world.edge.control().set_challenge_upstream(config.challenge_responder.listen);
        config.cdn.cname_targets = vec!["cdn.example.net".to_owned()];
        config.dns.nameservers = vec![self.world.dns.addr().to_string()];
        config.preflight.allow_private_addresses = true;
        config.preflight.http_port = self.world.edge.http_addr().port();
        config.c4.base_url = self.world.c4.base_url();
        config.c4.token = self.world.c4.token().to_owned().into();
        config.acme.issuers = vec![AcmeIssuer {
            name: "sandbox".to_owned(),
            directory_url: self.world.ca.directory_url(),
            root_certificate_file: root,
            ..AcmeIssuer::default()
        }];
        config.validate(&RoleName::ALL)?;
        Ok(config)
    }

    pub(super) async fn shutdown(self) {
        self.world.shutdown().await;
    }
}

fn point_elsewhere(world: &World, name: &str) {
    world.dns.control().remove(name);
    world.dns.control().set_a(name, &[ELSEWHERE]);
}

/// A port that is free now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
