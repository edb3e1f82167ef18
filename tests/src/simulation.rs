//! The real roles in one process, driven by hand: the scheduler looks, what it hints at is carried out to its end, and the
//! clock jumps. A year passes in minutes, and the same seed gives the same year.
//!
//! What may happen to it is in `operation` and `trouble`, what must hold whatever happened is in `invariants`.
//!
//! SQLite, or PostgreSQL where the mode is the scaled one; the messages table as the queue; the sandbox's CA, C4 and DNS on
//! loopback, with one clock for all of them.

mod disturbance;
mod invariants;
mod operation;
mod restore;
mod trouble;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::commands::Commands;
use audit::Caller;
use bus_embedded::EmbeddedBus;
use c4_uploader::{Guard, GuardedJobs, Round};
use domain::{Clock, DomainName, EventKind, Lease, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::config::{AcmeIssuer, IssuerLimits};
use runtime::testing::{JumpingClock, SeededEntropy};
use runtime::{Config, Context, Health, Hold, Job, JobError, Stop};
use sandbox::{C4Control, CaControl, CaOptions, DnsControl, Limits, ValidationResult, World, WorldOptions};
use scheduler::Scheduler;
use seal::SealingKeys;
use store::{DomainView, Finished, ListQuery, Message, Store};
use tempfile::TempDir;
use tokio::task::JoinSet;

pub use self::disturbance::{DISTURBANCES, Disturbance};
use self::invariants::Memory;
pub use self::operation::{Command, DOMAINS, Operation, STEPS, Then};
pub use self::restore::Backup;
use self::restore::Place;
pub use self::trouble::Trouble;
use crate::Mode;

const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// For what another program has to end first.
const PATIENCE: Duration = Duration::from_mins(5);
/// Lease of work that is carried out beside other work. A worker prolongs its leases; here, where each sleep of one moves the
/// clock for all of them, they last longer than all of them can sleep.
const LEASE_BESIDE_OTHERS: SignedDuration = SignedDuration::from_hours(1);

/// Everything, at a standstill.
pub struct Simulation {
    world: World,
    clock: Arc<JumpingClock>,
    /// How far our clock is ahead of the world's.
    ahead: Arc<Mutex<SignedDuration>>,
    context: Context,
    commands: Commands,
    roles: Roles,
    /// Messages handled at the same time; one of them makes the order of everything repeat itself.
    at_once: u32,
    /// What happens when work comes to a step.
    held: Option<(&'static str, Then)>,
    memory: BTreeMap<DomainName, Memory>,
    place: Place,
    /// Requests to the CA until its last mood.
    moody_until: u64,
    /// Certificates from which on something may happen to the next requests again.
    counted_after: u64,
    _folder: TempDir,
}

/// What a process has in memory.
struct Roles {
    scheduler: Scheduler,
    issuances: Arc<dyn Job>,
    uploads: Arc<dyn Job>,
    removals: Arc<dyn Job>,
    revocations: Arc<dyn Job>,
    /// Keeps uploads back, if the store was put back from a backup.
    guard: Option<Arc<Guard>>,
}

impl Roles {
    fn start(context: &Context) -> Self {
        let [uploads, removals] = c4_uploader::jobs(context).expect("an uploader");
        let [issuances, revocations] = issuer::jobs(context).expect("an issuer");
        Self {
            scheduler: Scheduler::new(context.clone()).expect("a scheduler"),
            issuances,
            uploads,
            removals,
            revocations,
            guard: None,
        }
    }

    /// As they start on a store of which nobody knows where it comes from.
    fn start_guarded(context: &Context) -> Self {
        let GuardedJobs { uploads, removals, guard } = GuardedJobs::new(context).expect("an uploader");
        Self { uploads, removals, guard: Some(guard), ..Self::start(context) }
    }
}

/// Who gives the commands.
fn by() -> Caller {
    Caller {
        actor: "token:simulation".to_owned(),
        peer: "192.0.2.1:4711".to_owned(),
        call: "Simulation",
        request_id: String::new(),
    }
}

impl Simulation {
    /// A world in which the CA enforces Let's Encrypt's limits and believes every challenge; certificates live that long.
    pub async fn start(mode: Mode, seed: u64, begins: Timestamp, lifetime: Duration) -> Self {
        let clock = Arc::new(JumpingClock::new(begins));
        let (time, ahead) = (clock.clone(), Arc::new(Mutex::new(SignedDuration::ZERO)));
        let ours_ahead = ahead.clone();
        let world = World::start(WorldOptions {
            clock: Arc::new(move || time.now() - *ours_ahead.lock().unwrap_or_else(PoisonError::into_inner)),
            ca: CaOptions { lifetime, ..CaOptions::default() },
            ..WorldOptions::default()
        })
        .await
        .expect("a world");
        world.ca.control().validation_default(ValidationResult::Valid);
        world.ca.control().enforce(Limits::letsencrypt());
        world.ca.control().ask_renewal_again_after(Duration::from_hours(24));
        // In memory where that is possible: what is simulated is not a disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let entropy = Arc::new(SeededEntropy::new(seed));
        let place = Place::new(mode, &folder).await;
        let store = place.open(clock.clone(), entropy.clone()).await;
        let context = context(&world, &folder, store, clock.clone(), entropy);
        Self {
            commands: Commands {
                store: context.store.clone(),
                clock: clock.clone(),
                entropy: context.entropy.clone(),
                pre_expiry: context.config.renewal.pre_expiry_days,
                line: None,
            },
            roles: Roles::start(&context),
            context,
            world,
            clock,
            ahead,
            at_once: 32,
            held: None,
            memory: BTreeMap::new(),
            place,
            moody_until: 0,
            counted_after: 0,
            _folder: folder,
        }
    }

    /// Handles one message after the other.
    #[must_use]
    pub fn one_by_one(self) -> Self {
        Self { at_once: 1, ..self }
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
        self.commands.add(name, &by()).await.expect("added");
    }

    /// Somebody asks for the next step of a domain now.
    pub async fn recheck(&self, name: &DomainName) {
        self.commands.recheck(name, &by()).await.expect("rechecked");
    }

    /// Somebody asks for another certificate, whatever there is.
    pub async fn generate_anew(&self, name: &DomainName) {
        self.commands.generate(name, true, &by()).await.expect("generated");
    }

    /// All domains on the list.
    pub async fn domains(&self) -> Vec<DomainView> {
        let all = ListQuery { limit: u32::MAX / 2, ..ListQuery::default() };
        self.context.store.domains(&all).await.expect("a list")
    }

    /// Time passes, and everything that is due is carried out.
    pub async fn pass(&mut self, time: SignedDuration) {
        self.clock.advance(time);
        loop {
            if let Some(guard) = &self.roles.guard {
                while guard.round().await.expect("a round") == Round::Compared {}
            }
            self.look().await;
            if !self.handle().await {
                return;
            }
        }
    }

    /// Like [`Self::pass`], up to then. The clock may be there already: it moves wherever a role sleeps.
    pub async fn pass_until(&mut self, until: Timestamp) {
        self.skip_until(until);
        self.pass(SignedDuration::ZERO).await;
    }

    /// Our clock is set wrong by so much, or right again; the world's is not. Nothing is carried out.
    pub fn jump(&self, by: SignedDuration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
        self.clock.advance(by);
    }

    /// Time passes up to then, and nothing is carried out.
    pub fn skip_until(&self, until: Timestamp) {
        self.clock.advance(until.duration_since(self.now()).max(SignedDuration::ZERO));
    }

    async fn look(&mut self) {
        self.roles.scheduler.look().await.expect("a sweep");
    }

    /// Handles messages that wait; false if there were none.
    async fn handle(&mut self) -> bool {
        let messages = self.take(self.at_once).await;
        let work = messages.iter().filter_map(|message| {
            let name = message.event.name.clone();
            message.event.kind.work().map(|kind| (kind, name))
        });
        if self.held.is_some() {
            for (kind, name) in work {
                self.perform(kind, &name).await;
            }
        } else {
            let mut names: HashMap<WorkKind, Vec<DomainName>> = HashMap::new();
            for (kind, name) in work {
                names.entry(kind).or_default().push(name);
            }
            self.perform_together(names).await;
        }
        let deleted = self.context.store.delete_messages(&messages).await;
        deleted.expect("deleted");
        !messages.is_empty()
    }

    /// What is done for one name may overtake other work of that name: a new certificate's upload takes the place of a
    /// comparison that is under way.
    async fn perform_together(&self, names: HashMap<WorkKind, Vec<DomainName>>) {
        let mut leases = Vec::new();
        for (kind, names) in names {
            leases.extend(self.claim(kind, &names, LEASE_BESIDE_OTHERS).await);
        }
        let mut works: HashMap<DomainName, u32> = HashMap::new();
        for lease in &leases {
            *works.entry(lease.work.name.clone()).or_default() += 1;
        }
        let mut jobs = JoinSet::new();
        for lease in leases {
            let job = self.job(lease.work.kind);
            let may_be_overtaken = works[&lease.work.name] > 1;
            jobs.spawn(async move {
                match job.perform(&lease).await {
                    Err(JobError::Store(error)) if may_be_overtaken && error.is_lease_lost() => {}
                    result => carried_out(result, &lease),
                }
            });
        }
        jobs.join_all().await;
    }

    async fn claim(&self, kind: WorkKind, names: &[DomainName], lasts: SignedDuration) -> Vec<Lease> {
        let now = self.now();
        let claimed = self.context.store.claim_batch(kind, names, now + lasts);
        claimed.await.expect("a claim")
    }

    async fn take(&self, at_most: u32) -> Vec<Message> {
        let now = self.now();
        let store = &self.context.store;
        let taken = store.take_messages(&EventKind::WORDS, at_most, now + LEASE);
        taken.await.expect("messages")
    }

    /// A worker's claim and its work, held where that was asked for.
    async fn perform(&mut self, kind: WorkKind, name: &DomainName) {
        let Some(lease) = self.claim(kind, std::slice::from_ref(name), LEASE).await.pop() else {
            return;
        };
        let job = self.job(kind);
        let Some((step, then)) = self.held else {
            return carried_out(job.perform(&lease).await, &lease);
        };
        let hold = Hold::at(step);
        let mut work = pin!(hold.clone().run(job.perform(&lease)));
        tokio::select! {
            biased;
            result = &mut work => return carried_out(result, &lease),
            () = hold.reached() => self.held = None,
        }
        self.remember_disturbed(name);
        match then {
            Then::Crash => self.roles = Roles::start(&self.context),
            Then::Meanwhile(which, command) => {
                self.command(which, command).await;
                hold.release();
                match work.await {
                    Err(JobError::Store(error)) if error.is_lease_lost() => {}
                    result => carried_out(result, &lease),
                }
            }
        }
    }

    fn job(&self, kind: WorkKind) -> Arc<dyn Job> {
        let job = match kind {
            WorkKind::Issue => &self.roles.issuances,
            WorkKind::Upload => &self.roles.uploads,
            WorkKind::Remove => &self.roles.removals,
            WorkKind::Revoke => &self.roles.revocations,
        };
        job.clone()
    }
}

fn carried_out(result: Result<Finished, JobError>, lease: &Lease) {
    if let Err(error) = result {
        let work = &lease.work;
        panic!("{} of {}: {}", work.kind, work.name, runtime::chain(&error));
    }
}

fn context(
    world: &World,
    folder: &TempDir,
    store: Arc<Store>,
    clock: Arc<JumpingClock>,
    entropy: Arc<SeededEntropy>,
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
    // The CA's revocation list is on loopback.
    config.preflight.allow_private_addresses = true;
    let keys = SealingKeys::load_or_create(&folder.path().join("sealing.key")).expect("keys");
    Context {
        config: Arc::new(config),
        bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
        store,
        clock,
        entropy,
        sealing_keys: Some(Arc::new(keys)),
        stop: Stop::default(),
        health: Health::default(),
        reload: runtime::Reload::default(),
        listeners: Arc::default(),
    }
}
