//! The real roles in one process, driven by hand: the scheduler looks, what it hints at is carried out to its end, and the
//! clock jumps. A year passes in a minute, and the same seed gives the same year.
//!
//! SQLite, the messages table as the queue, the sandbox's CA, C4 and DNS on loopback, with one clock for all of them.

use std::sync::Arc;
use std::time::Duration;

use api::commands::Commands;
use bus_embedded::EmbeddedBus;
use domain::{Clock, DomainName, EventKind, PreExpiry, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::config::{AcmeIssuer, IssuerLimits};
use runtime::testing::{JumpingClock, SeededEntropy};
use runtime::{Config, Context, Health, Job, Stop};
use sandbox::{C4Control, CaControl, CaOptions, DnsControl, Limits, ValidationResult, World, WorldOptions};
use scheduler::Scheduler;
use seal::SealingKeys;
use store::{DomainView, ListQuery, Message, Store};
use store_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::task::JoinSet;

const LEASE: SignedDuration = SignedDuration::from_secs(30);
const AT_ONCE: u32 = 32;

/// Everything, at a standstill.
pub struct Simulation {
    world: World,
    clock: Arc<JumpingClock>,
    store: Arc<dyn Store>,
    commands: Commands,
    scheduler: Scheduler,
    issuances: Arc<dyn Job>,
    uploads: Arc<dyn Job>,
    removals: Arc<dyn Job>,
    _folder: TempDir,
}

impl Simulation {
    /// A world in which the CA enforces Let's Encrypt's limits and believes every challenge; certificates live that long.
    pub async fn start(seed: u64, begins: Timestamp, lifetime: Duration) -> Self {
        let clock = Arc::new(JumpingClock::new(begins));
        let time = clock.clone();
        let world = World::start(WorldOptions {
            clock: Arc::new(move || time.now()),
            ca: CaOptions {
                lifetime,
                ..CaOptions::default()
            },
            ..WorldOptions::default()
        })
        .await
        .expect("a world");
        world.ca.control().validation_default(ValidationResult::Valid);
        world.ca.control().enforce(Limits::letsencrypt());
        world
            .ca
            .control()
            .ask_renewal_again_after(Duration::from_hours(24));
        // In memory where that is possible: what is simulated is not a disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let store = SqliteStore::open_and_migrate(&folder.path().join("simulation.db"))
            .await
            .expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        let context = context(&world, &folder, store.clone(), clock.clone(), seed);
        let [uploads, removals] = c4_uploader::jobs(&context).expect("an uploader");
        Self {
            commands: Commands {
                store: store.clone(),
                clock: clock.clone(),
                entropy: context.entropy.clone(),
                pre_expiry: PreExpiry::days(context.config.renewal.pre_expiry_days),
            },
            scheduler: Scheduler::new(context.clone()).expect("a scheduler"),
            issuances: issuer::job(&context).expect("an issuer"),
            uploads,
            removals,
            world,
            clock,
            store,
            _folder: folder,
        }
    }

    /// The time there.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The CA.
    pub fn ca(&self) -> CaControl {
        self.world.ca.control()
    }

    /// C4.
    pub fn c4(&self) -> C4Control {
        self.world.c4.control()
    }

    /// DNS.
    pub fn dns(&self) -> DnsControl {
        self.world.dns.control()
    }

    /// A customer points a domain at the CDN and switches HTTPS on.
    pub async fn add(&self, name: &DomainName) {
        self.world.point_at_cdn(name.as_str());
        self.commands.add(name, "token:simulation").await.expect("added");
    }

    /// All domains on the list.
    pub async fn domains(&self) -> Vec<DomainView> {
        let all = ListQuery {
            limit: u32::MAX / 2,
            ..ListQuery::default()
        };
        self.store.domains(&all).await.expect("a list")
    }

    /// Time passes, and everything that is due is carried out.
    pub async fn pass(&mut self, time: SignedDuration) {
        self.clock.advance(time);
        loop {
            self.scheduler.look().await.expect("a sweep");
            if !self.carry_out().await {
                return;
            }
        }
    }

    /// Handles the messages that wait; false if there were none.
    async fn carry_out(&self) -> bool {
        let now = self.now();
        let taken = self
            .store
            .take_messages(&EventKind::WORDS, AT_ONCE, now, now + LEASE);
        let messages = taken.await.expect("messages");
        let mut jobs = JoinSet::new();
        for message in &messages {
            if let Some((kind, job)) = self.job_for(message) {
                jobs.spawn(carry_out(
                    self.store.clone(),
                    now,
                    kind,
                    message.event.name.clone(),
                    job,
                ));
            }
        }
        jobs.join_all().await;
        self.store.delete_messages(&messages).await.expect("deleted");
        !messages.is_empty()
    }

    fn job_for(&self, message: &Message) -> Option<(WorkKind, Arc<dyn Job>)> {
        match message.event.kind {
            EventKind::CertificateRequested => Some((WorkKind::Issue, self.issuances.clone())),
            EventKind::CertIssued { .. } => Some((WorkKind::Upload, self.uploads.clone())),
            EventKind::DomainDeleted => Some((WorkKind::Remove, self.removals.clone())),
            _ => None,
        }
    }
}

/// A worker's claim and its work.
async fn carry_out(
    store: Arc<dyn Store>,
    now: Timestamp,
    kind: WorkKind,
    name: DomainName,
    job: Arc<dyn Job>,
) {
    let lease = store.claim(kind, &name, now, now + LEASE).await.expect("a claim");
    let Some(lease) = lease else { return };
    if let Err(error) = job.perform(&lease).await {
        panic!("{kind} of {name}: {}", runtime::chain(&error));
    }
}

fn context(
    world: &World,
    folder: &TempDir,
    store: Arc<dyn Store>,
    clock: Arc<JumpingClock>,
    seed: u64,
) -> Context {
    let root = folder.path().join("root.pem");
    std::fs::write(&root, world.ca.api_root_pem()).expect("a file");
    let mut config = Config::default();
    config.acme.issuers = vec![AcmeIssuer {
        name: "sandbox".to_owned(),
        directory_url: world.ca.directory_url(),
        root_certificate_file: root,
        limits: IssuerLimits::Named("letsencrypt".to_owned()),
        ..AcmeIssuer::default()
    }];
    config.c4.base_url = world.c4.base_url();
    config.c4.token = world.c4.token().to_owned().into();
    config.cdn.cname_targets = vec![world.cdn_target().to_owned()];
    config.dns.nameservers = vec![world.dns.addr().to_string()];
    // The CA believes every challenge, so nobody answers any.
    config.preflight.rehearsal = false;
    let keys = SealingKeys::load_or_create(&folder.path().join("sealing.key")).expect("keys");
    Context {
        config: Arc::new(config),
        bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
        store,
        clock,
        entropy: Arc::new(SeededEntropy::new(seed)),
        sealing_keys: Some(Arc::new(keys)),
        stop: Stop::default(),
        health: Health::default(),
        listeners: Arc::default(),
    }
}
