//! Test kit: the real store, a C4 under the test's control, and a clock that jumps ahead on sleep.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_embedded::EmbeddedBus;
use domain::{
    Cause, CertificateId, CertificateSummary, Clock, Domain, DomainName, Event, EventKind, HistoryKind,
    Lease, Source, Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::{JumpingClock, ManualClock, SeededEntropy, open_store};
use runtime::{Config, Context, Health, Job, JobError, Stop};
use seal::{Binding, SealingKeys};
use store::{Certificate, DomainView, Entry, Store};
use tempfile::TempDir;

use super::fake_c4::FakeC4;
use crate::{RemoveJob, UploadJob, Uploader};

pub(crate) const NAME: &str = "shop.example.com";
pub(crate) const PKCS8: &[u8] = b"not really a key, but as secret as one";
const PATIENCE: Duration = Duration::from_secs(20);
const LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);

pub(crate) struct Kit {
    pub(crate) c4: FakeC4,
    pub(crate) clock: Arc<JumpingClock>,
    pub(crate) store: Arc<Store>,
    pub(crate) uploader: Arc<Uploader>,
    next_certificate: Mutex<u128>,
    _folder: TempDir,
}

impl Kit {
    /// A name on the list whose certificate was just issued.
    pub(crate) async fn issued() -> (Self, CertificateId) {
        Self::issued_with_edges(&[]).await
    }

    /// A name whose certificate is live, and due to be compared.
    pub(crate) async fn live() -> (Self, CertificateId) {
        let (kit, certificate) = Self::issued().await;
        kit.upload().await.unwrap();
        kit.c4.inside().requests.clear();
        kit.advance_to_upload().await;
        (kit, certificate)
    }

    /// A name whose certificate was just issued, and edges to verify.
    pub(crate) async fn issued_with_edges(edges: &[&str]) -> (Self, CertificateId) {
        let kit = Self::with_edges(edges).await;
        kit.change(None, |_| Domain::added(name(), kit.now())).await;
        let certificate = kit.certificate(Source::C4).await;
        kit.schedule_upload(certificate, Cause::Requested).await;
        (kit, certificate)
    }

    async fn with_edges(edges: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let c4 = FakeC4::start().await;
        let clock = Arc::new(JumpingClock::new("2026-06-01T00:00:00Z".parse().unwrap()));
        let path = folder.path().join("test.db");
        let store = open_store(&path, clock.clone()).await.unwrap();
        let mut config = Config::default();
        config.c4.base_url.clone_from(&c4.url);
        config.c4.token = "token-for-the-tests".to_owned().into();
        config.cdn.edge_addresses = edges.iter().map(ToString::to_string).collect();
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
        let uploader = Arc::new(Uploader::new(context).unwrap());
        uploader.guard.set_looked();
        Self { c4, clock, store, uploader, next_certificate: Mutex::new(1), _folder: folder }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance(&self, by: SignedDuration) {
        self.clock.advance(by);
    }

    pub(crate) fn slept(&self) -> Vec<u64> {
        self.clock.take_slept().iter().map(Duration::as_secs).collect()
    }

    /// Changes the domain's row as another role would.
    pub(crate) async fn change(&self, before: Option<Domain>, change: impl FnOnce(Option<Domain>) -> Domain) {
        let after = change(before.clone());
        let entry = Entry::new(HistoryKind::Added, "test", "changed by a test");
        let mut tx = self.store.begin("test").await.unwrap();
        tx.apply(before.as_ref(), &after, Some(entry)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Changes the domain that is on the list.
    pub(crate) async fn change_listed(&self, change: impl FnOnce(Domain) -> Domain) {
        let domain = self.domain().await;
        self.change(Some(domain), |domain| change(domain.unwrap())).await;
    }

    /// Stores a certificate of the name.
    pub(crate) async fn certificate(&self, source: Source) -> CertificateId {
        self.certificate_from(source, self.now()).await
    }

    /// Stores a certificate of the name whose validity starts at that time.
    pub(crate) async fn certificate_from(&self, source: Source, not_before: Timestamp) -> CertificateId {
        let number = {
            let mut next = self.next_certificate.lock().unwrap();
            *next += 1;
            *next
        };
        let id = CertificateId::from(uuid::Uuid::from_u128(number));
        let chain_pem = chain_pem();
        let public_key = x509::leaf_public_key_sha256(&chain_pem).unwrap();
        let binding = Binding::certificate(id, &name());
        let sealed = self.uploader.keys.seal(&binding, &public_key, PKCS8).await.unwrap();
        let summary = CertificateSummary {
            id,
            sha256: sha256(number),
            serial: format!("{number:x}"),
            issuer: "CN=Test".to_owned(),
            not_before,
            not_after: not_before + LIFETIME,
            source,
            trust: None,
        };
        let certificate = Certificate {
            summary,
            name: name(),
            revision: self.row().await.revision,
            chain_pem,
            sealed_key: Some(sealed),
            created_at: self.now(),
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        let mut tx = self.store.begin("test").await.unwrap();
        tx.insert_certificate(&certificate).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn schedule_upload(&self, certificate: CertificateId, cause: Cause) {
        self.schedule(WorkKind::Upload, Some(certificate), cause).await;
    }

    pub(crate) async fn schedule(&self, kind: WorkKind, certificate: Option<CertificateId>, cause: Cause) {
        let revision = self.row().await.revision;
        let due_at = Some(self.now());
        let work = Work { name: name(), kind, revision, cause, attempts: 0, due_at, certificate };
        let mut tx = self.store.begin("test").await.unwrap();
        tx.schedule(&work).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn claim(&self, kind: WorkKind) -> Lease {
        let until = self.now() + SignedDuration::from_secs(30);
        self.store.claim(kind, &name(), until).await.unwrap().expect("nothing is due")
    }

    /// Claims and performs the upload that is due.
    pub(crate) async fn upload(&self) -> Result<(), JobError> {
        let lease = self.claim(WorkKind::Upload).await;
        self.perform_upload(&lease).await
    }

    pub(crate) async fn perform_upload(&self, lease: &Lease) -> Result<(), JobError> {
        UploadJob(self.uploader.clone()).perform(lease).await.map(drop)
    }

    pub(crate) async fn remove(&self) -> Result<(), JobError> {
        let lease = self.claim(WorkKind::Remove).await;
        RemoveJob(self.uploader.clone()).perform(&lease).await.map(drop)
    }

    pub(crate) async fn advance_to_upload(&self) {
        let due_at = self.work(WorkKind::Upload).await.unwrap().due_at.unwrap();
        self.advance(due_at.duration_since(self.now()));
    }

    pub(crate) async fn view(&self) -> DomainView {
        self.store.domain(&name()).await.unwrap().unwrap()
    }

    pub(crate) async fn domain(&self) -> Domain {
        self.view().await.domain
    }

    /// Runs the whole role with a stopped clock until `done`; then stops it.
    pub(crate) async fn run_role_until(&self, done: impl AsyncFn(&Self) -> bool) {
        let context = Context {
            clock: Arc::new(ManualClock::new(self.now())),
            stop: Stop::default(),
            ..self.uploader.context.clone()
        };
        let role = tokio::spawn(crate::run(context.clone()));
        let mut published = self.store.published();
        let waited = tokio::time::timeout(PATIENCE, async {
            while !done(self).await {
                published.changed().await.unwrap();
            }
        });
        waited.await.expect("the role does not get there");
        assert!(context.stop.stop().await);
        role.await.unwrap().unwrap();
    }

    /// Sends the role the hint for work, like the role that made it due.
    pub(crate) async fn tell(&self, kind: EventKind) {
        let mut tx = self.store.begin("test").await.unwrap();
        tx.publish(kind, &name(), 1);
        tx.commit().await.unwrap();
    }

    /// The domain's row, deleted or not.
    pub(crate) async fn row(&self) -> Domain {
        let mut tx = self.store.begin("test").await.unwrap();
        tx.domain(&name()).await.unwrap().unwrap()
    }

    pub(crate) async fn work(&self, kind: WorkKind) -> Option<Work> {
        self.store.work(&name()).await.unwrap().into_iter().find(|work| work.kind == kind)
    }

    /// Seconds until work of a kind is due.
    pub(crate) async fn due_in(&self, kind: WorkKind) -> Option<i64> {
        let due_at = self.work(kind).await.expect("no such work").due_at;
        due_at.map(|due_at| due_at.duration_since(self.now()).as_secs())
    }

    /// The uploader's lines of the history, oldest first.
    pub(crate) async fn history(&self) -> Vec<HistoryKind> {
        let mut entries = self.store.history(&name(), 100).await.unwrap();
        entries.reverse();
        entries.into_iter().filter(|entry| entry.actor == "c4-uploader").map(|entry| entry.kind).collect()
    }

    /// The published events that were not returned yet, without `status-changed`.
    pub(crate) async fn published(&self) -> Vec<EventKind> {
        let until = self.now() + SignedDuration::from_secs(30);
        let messages = self.store.take_messages(&EventKind::WORDS, 100, until).await.unwrap();
        self.store.delete_messages(&messages).await.unwrap();
        let events = messages.into_iter().map(|message| message.event);
        events.map(|Event { kind, .. }| kind).filter(|kind| *kind != EventKind::StatusChanged).collect()
    }
}

pub(crate) fn name() -> DomainName {
    DomainName::parse(NAME).unwrap()
}

/// A certificate with arbitrary contents.
fn chain_pem() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new([NAME.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}

pub(crate) fn sha256(number: u128) -> String {
    format!("{number:064x}")
}
