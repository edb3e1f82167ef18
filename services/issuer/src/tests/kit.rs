//! Test kit: an issuer whose work is run one piece at a time.

use std::sync::Arc;
use std::time::Duration;

use bus_embedded::EmbeddedBus;
use domain::{Cause, Clock, Domain, DomainName, Live, Status, Who, Work, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::config::AcmeIssuer;
use runtime::testing::{JumpingClock, SeededEntropy, open_store};
use runtime::{Config, Context, Health, Job, Stop};
use sandbox::{Ca, CaControl, CaOptions, CaRefusal, ValidationResult, World, WorldOptions};
use seal::SealingKeys;
use store::{Certificate, Store};
use tempfile::TempDir;

use crate::IssuerRole;

const LEASE: SignedDuration = SignedDuration::from_secs(30);
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct Kit {
    pub(crate) world: World,
    /// The second CA, if the test has one.
    pub(crate) second: Option<Ca>,
    pub(crate) clock: Arc<JumpingClock>,
    pub(crate) store: Arc<Store>,
    pub(crate) role: IssuerRole,
    _folder: TempDir,
}

pub(crate) fn name(label: &str) -> DomainName {
    DomainName::parse(&format!("{label}.example.com")).unwrap()
}

/// A problem without Retry-After.
pub(crate) fn refusal(status: u16, problem: &str, detail: &str) -> CaRefusal {
    let (problem, detail) = (problem.to_owned(), detail.to_owned());
    CaRefusal { status, problem, detail, retry_after: None }
}

async fn second_ca(clock: Arc<JumpingClock>) -> Ca {
    let options = CaOptions {
        clock: Arc::new(move || clock.now()),
        reuse_authorizations: false,
        ..CaOptions::default()
    };
    let second = Ca::start(options).await.unwrap();
    second.control().validation_default(ValidationResult::Valid);
    second
}

impl Kit {
    /// With a second CA that takes over if the first is not available.
    pub(crate) async fn with_two_issuers() -> Self {
        Self::built(true, |_| {}).await
    }

    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut AcmeIssuer)) -> Self {
        Self::configured(|config| change(&mut config.acme.issuers[0])).await
    }

    /// With a CA that accepts every challenge without fetching it.
    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::built(false, change).await
    }

    async fn built(has_second: bool, change: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::new(JumpingClock::new("2026-11-23T00:00:00Z".parse().unwrap()));
        let time = clock.clone();
        let world = World::start(WorldOptions {
            clock: Arc::new(move || time.now()),
            ca: CaOptions {
                lifetime: Duration::from_hours(90 * 24),
                reuse_authorizations: false,
                ..CaOptions::default()
            },
            ..WorldOptions::default()
        })
        .await
        .unwrap();
        world.ca.control().validation_default(ValidationResult::Valid);
        let second = if has_second { Some(second_ca(clock.clone()).await) } else { None };
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(&folder.path().join("test.db"), clock.clone()).await.unwrap();
        let root = folder.path().join("root.pem");
        std::fs::write(&root, world.ca.api_root_pem()).unwrap();
        let settings = AcmeIssuer {
            name: "sandbox".to_owned(),
            directory_url: world.ca.directory_url(),
            root_certificate_file: root,
            ..AcmeIssuer::default()
        };
        let mut config = Config::default();
        config.acme.issuers = vec![settings.clone()];
        if let Some(second) = &second {
            let root = folder.path().join("second.pem");
            std::fs::write(&root, second.api_root_pem()).unwrap();
            config.acme.issuers.push(AcmeIssuer {
                name: "second".to_owned(),
                directory_url: second.directory_url(),
                root_certificate_file: root,
                ..settings
            });
        }
        config.c4.base_url = world.c4.base_url();
        config.c4.token = world.c4.token().to_owned().into();
        config.cdn.cname_targets = vec![world.cdn_target().to_owned()];
        config.dns.nameservers = vec![world.dns.addr().to_string()];
        config.preflight.rehearsal = false;
        change(&mut config);
        let keys = SealingKeys::load_or_create(&folder.path().join("sealing.key")).unwrap();
        let context = Context {
            config: Arc::new(config),
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            store: store.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            sealing_keys: Some(Arc::new(keys)),
            stop: Stop::default(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::default(),
        };
        Self { role: IssuerRole::new(context).unwrap(), world, second, clock, store, _folder: folder }
    }

    pub(crate) fn ca(&self) -> CaControl {
        self.world.ca.control()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Points a domain at the CDN and adds it.
    pub(crate) async fn add(&self, name: &DomainName) {
        self.world.point_at_cdn(name.as_str());
        self.put(name).await;
    }

    /// Adds a domain, whatever its DNS.
    pub(crate) async fn put(&self, name: &DomainName) {
        let mut tx = self.store.begin("add").await.unwrap();
        tx.insert_domain(&Domain::added(name.clone(), self.now())).await.unwrap();
        tx.commit().await.unwrap();
        self.ask(name, Cause::Requested).await;
    }

    /// Makes an issuance due now, with that cause.
    pub(crate) async fn ask(&self, name: &DomainName, cause: Cause) {
        let revision = self.domain(name).await.revision;
        let attempts = self.work(name).await.map_or(0, |work| work.attempts);
        let mut tx = self.store.begin("ask").await.unwrap();
        tx.schedule(&Work {
            name: name.clone(),
            kind: WorkKind::Issue,
            revision,
            cause,
            attempts,
            due_at: Some(self.now()),
            certificate: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn domain(&self, name: &DomainName) -> Domain {
        self.store.domain(name).await.unwrap().unwrap().domain
    }

    /// The issuer's scheduled work.
    pub(crate) async fn work(&self, name: &DomainName) -> Option<Work> {
        let work = self.store.work(name).await.unwrap();
        work.into_iter().find(|work| work.kind == WorkKind::Issue)
    }

    /// Performs the due work; returns false if there is none.
    pub(crate) async fn run(&self, name: &DomainName) -> bool {
        let claim = self.store.claim(WorkKind::Issue, name, self.now() + LEASE);
        let Some(lease) = claim.await.unwrap() else {
            return false;
        };
        self.role.perform(&lease).await.unwrap();
        true
    }

    /// Moves the clock to the next attempt and runs it.
    pub(crate) async fn run_next(&self, name: &DomainName) {
        let due_at = self.work(name).await.unwrap().due_at.unwrap();
        self.clock.advance(due_at.duration_since(self.now()).max(SignedDuration::ZERO));
        assert!(self.run(name).await);
    }

    /// The status, the reason's code, and who must act.
    pub(crate) async fn why(&self, name: &DomainName) -> (Status, &'static str, Who) {
        let domain = self.domain(name).await;
        let reason = domain.reason().unwrap();
        (domain.status(self.now()), reason.code(), reason.who().unwrap())
    }

    /// Minutes until the next attempt.
    pub(crate) async fn minutes(&self, name: &DomainName) -> i64 {
        let due_at = self.work(name).await.unwrap().due_at.unwrap();
        due_at.duration_since(self.now()).as_mins()
    }

    /// The certificate that is waiting for its upload.
    pub(crate) async fn issued(&self, name: &DomainName) -> Certificate {
        let work = self.store.work(name).await.unwrap();
        let upload = work.into_iter().find(|work| work.kind == WorkKind::Upload).unwrap();
        self.store.certificate(name, upload.certificate.unwrap()).await.unwrap().unwrap()
    }

    /// Acts as the uploader: makes the certificate live, and asks the CA about its renewal.
    pub(crate) async fn live(&self, name: &DomainName) -> Certificate {
        let certificate = self.issued(name).await;
        let mut tx = self.store.begin("live").await.unwrap();
        let domain = tx.domain(name).await.unwrap().unwrap();
        let live = Live { certificate: certificate.id(), not_after: certificate.summary.not_after };
        tx.update_domain(&domain.uploaded(live).unwrap()).await.unwrap();
        tx.cancel(name, WorkKind::Upload).await.unwrap();
        tx.commit().await.unwrap();
        self.ask(name, Cause::RenewalInfo).await;
        certificate
    }

    /// Adds a domain, gets its certificate and makes it live.
    pub(crate) async fn certified(&self, name: &DomainName) -> Certificate {
        self.add(name).await;
        assert!(self.run(name).await);
        self.live(name).await
    }
}
