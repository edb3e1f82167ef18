//! What every case needs: a store with a clock that the case sets, and rows to put into it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    AccountId, Cause, CertificateId, CertificateSummary, Clock, Domain, DomainName, Event, EventKind, Facts,
    Live, Order, OrderId, OrderKey, OrderState, Source, Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::{ManualClock, SeededEntropy};
use store::{Account, Certificate, Result, Store, StoreError, Tx};
use tempfile::TempDir;
use tests::Postgres;

use uuid::Uuid;

/// A fresh, empty store for one case. Its clock shows `at(0)` until the case sets it.
#[derive(Clone)]
pub struct Case(Arc<Fixture>);

struct Fixture {
    store: Store,
    clock: Arc<ManualClock>,
    _folder: Option<TempDir>,
}

impl Case {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(at(0)));
        let path = folder.path().join("contract.db");
        let store = Store::open_file(&path, clock.clone(), Arc::new(SeededEntropy::new(1))).await.unwrap();
        Self::migrated(store, clock, Some(folder)).await
    }

    pub async fn postgres() -> Self {
        let postgres = Postgres::shared().await;
        let clock = Arc::new(ManualClock::new(at(0)));
        let url = postgres.superuser_url(&postgres.database());
        let store = Store::open_server(&url, 10, clock.clone(), Arc::new(SeededEntropy::new(1))).unwrap();
        Self::migrated(store, clock, None).await
    }

    async fn migrated(store: Store, clock: Arc<ManualClock>, folder: Option<TempDir>) -> Self {
        store.migrate().await.unwrap();
        Self(Arc::new(Fixture { store, clock, _folder: folder }))
    }

    /// Sets the clock and returns the store. Not for tasks that run at once: they share the clock.
    pub fn at(&self, second: i64) -> &Store {
        self.0.clock.advance(at(second).duration_since(self.0.clock.now()));
        self
    }
}

impl Deref for Case {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0.store
    }
}

/// With a fraction, so that a column which keeps only seconds is found out.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap() + SignedDuration::from_micros(123_456)
}

pub fn name(label: &str) -> DomainName {
    DomainName::parse(&format!("{label}.example.com")).unwrap()
}

pub fn fresh_uuid() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::SeqCst)))
}

pub fn work(label: &str, kind: WorkKind, due_at: Option<Timestamp>) -> Work {
    Work {
        name: name(label),
        kind,
        revision: 1,
        cause: Cause::Requested,
        attempts: 3,
        due_at,
        certificate: None,
    }
}

pub fn certificate(label: &str, not_after: Timestamp, source: Source) -> Certificate {
    let id = CertificateId::from(fresh_uuid());
    Certificate {
        summary: CertificateSummary {
            id,
            sha256: format!("{:064x}", id.as_uuid().as_u128()),
            serial: "0a1b".to_owned(),
            issuer: "CN=Test".to_owned(),
            not_before: at(-1000),
            not_after,
            source,
            trust: None,
        },
        name: name(label),
        revision: 1,
        chain_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        sealed_key: Some(vec![0, 159, 146, 150]),
        created_at: at(0),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    }
}

pub fn account() -> Account {
    Account {
        id: AccountId::from(fresh_uuid()),
        issuer: "letsencrypt".to_owned(),
        directory_url: "https://ca.example/directory".to_owned(),
        sealed_key: vec![1, 2, 3],
        url: None,
        created_at: at(0),
        pending_key: None,
    }
}

pub fn order(label: &str, account: &Account) -> Order {
    Order {
        id: OrderId::from(fresh_uuid()),
        name: name(label),
        revision: 1,
        account: account.id,
        created_at: at(0),
        state: OrderState::Created { key: order_key(&[0, 1, 255]) },
    }
}

/// The key of an order.
pub fn order_key(sealed: &[u8]) -> OrderKey {
    OrderKey { certificate: CertificateId::from(fresh_uuid()), sealed: sealed.to_vec(), csr: vec![48] }
}

/// An order that its CA took.
pub fn placed_order(label: &str, account: &Account, sealed: &[u8]) -> Order {
    let (url, key) = ("https://ca/1".to_owned(), order_key(sealed));
    Order { state: OrderState::Placed { url, key }, ..order(label, account) }
}

/// Runs `work` in a transaction and commits.
pub async fn write<T>(store: &Store, work: impl AsyncFnOnce(&mut Tx) -> Result<T>) -> T {
    let mut tx = store.begin("write").await.unwrap();
    let result = work(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    result
}

/// Runs `work` in a transaction that is dropped.
pub async fn attempt<T>(store: &Store, work: impl AsyncFnOnce(&mut Tx) -> T) -> T {
    let mut tx = store.begin("attempt").await.unwrap();
    work(&mut tx).await
}

/// What becomes of `work` in a transaction that is committed: a condition that is not met is told by then.
pub async fn committing<T>(store: &Store, work: impl AsyncFnOnce(&mut Tx) -> Result<T>) -> Result<()> {
    let mut tx = store.begin("committing").await.unwrap();
    work(&mut tx).await?;
    tx.commit().await
}

/// Puts a domain on the list and returns its row as stored.
pub async fn add(store: &Store, label: &str) -> Domain {
    let domain = Domain::added(name(label), at(0));
    let stored = write(store, async |tx| {
        tx.insert_domain(&domain).await?;
        tx.domain(&domain.name).await
    });
    stored.await.unwrap()
}

/// A name's row, deleted or not.
pub async fn row(store: &Store, label: &str) -> Domain {
    write(store, async |tx| tx.domain(&name(label)).await).await.unwrap()
}

/// Writes a row and returns it as stored.
pub async fn update(store: &Store, domain: &Domain) -> Domain {
    let stored = write(store, async |tx| {
        tx.update_domain(domain).await?;
        tx.domain(&domain.name).await
    });
    stored.await.unwrap()
}

/// The domain with other facts.
pub fn with_facts(domain: Domain, change: impl FnOnce(&mut Facts)) -> Domain {
    let mut facts = domain.stored_facts().clone();
    change(&mut facts);
    domain.with_stored_facts(facts)
}

pub async fn schedule(store: &Store, work: &Work) {
    write(store, async |tx| tx.schedule(work).await).await;
}

/// Adds a domain with work that is due at `at(0)`, and returns the work.
pub async fn add_due(store: &Store, label: &str, kind: WorkKind) -> Work {
    add(store, label).await;
    let row = work(label, kind, Some(at(0)));
    schedule(store, &row).await;
    row
}

pub async fn insert_certificate(store: &Store, certificate: &Certificate) {
    write(store, async |tx| tx.insert_certificate(certificate).await).await;
}

/// Stores a certificate of a name that ends at `at(not_after)`, as a domain's live one.
pub async fn live(store: &Store, label: &str, not_after: i64) -> Live {
    let certificate = certificate(label, at(not_after), Source::C4);
    insert_certificate(store, &certificate).await;
    Live { certificate: certificate.id(), not_after: at(not_after) }
}

/// Stores an account.
pub async fn add_account(store: &Store) -> Account {
    let account = account();
    write(store, async |tx| tx.insert_account(&account).await).await;
    account
}

/// Publishes events of names' first revisions.
pub async fn publish(store: &Store, events: &[(&str, EventKind)]) -> Vec<Event> {
    write(store, async |tx| {
        Ok(events.iter().map(|(label, kind)| tx.publish(kind.clone(), &name(label), 1)).collect())
    })
    .await
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call returned")]
pub fn is_conflict<T>(result: Result<T>) -> bool {
    matches!(result, Err(StoreError::Conflict { .. }))
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call returned")]
pub fn is_lost<T>(result: Result<T>) -> bool {
    matches!(result, Err(StoreError::LeaseLost { .. }))
}
