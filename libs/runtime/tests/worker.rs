//! Work that a step gives up: when another worker may have it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Handler, Outcome};
use bus_embedded::EmbeddedBus;
use domain::{Cause, Domain, DomainName, Event, EventId, EventKind, Lease, Work, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::{ManualClock, SeededEntropy, open_store};
use runtime::{Config, Context, Health, Job, JobError, Reload, Stop, Worker};
use store::{Finished, StoreError};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

const LIMIT: Duration = Duration::from_mins(1);

/// Fails as it is told to, and says that it was there.
struct Failing {
    operation: &'static str,
    performed: Notify,
}

#[async_trait]
impl Job for Failing {
    async fn perform(&self, _: &Lease) -> Result<Finished, JobError> {
        self.performed.notify_one();
        let source = "no answer within 20 s".into();
        Err(StoreError::Database { operation: self.operation, source }.into())
    }
}

struct Rig {
    context: Context,
    name: DomainName,
    folder: TempDir,
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let store = open_store(&folder.path().join("test.db"), clock.clone()).await.unwrap();
        let context = Context {
            config: Arc::new(Config::default()),
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            store,
            clock,
            entropy: Arc::new(SeededEntropy::new(7)),
            sealing_keys: None,
            stop: Stop::default(),
            health: Health::default(),
            reload: Reload::default(),
            listeners: Arc::default(),
        };
        let name = DomainName::parse("shop.example.com").unwrap();
        let now = context.clock.now();
        let mut tx = context.store.begin("test").await.unwrap();
        tx.insert_domain(&Domain::added(name.clone(), now)).await.unwrap();
        tx.schedule(&Work {
            name: name.clone(),
            kind: WorkKind::Issue,
            revision: 1,
            cause: Cause::Requested,
            attempts: 0,
            due_at: Some(now),
            certificate: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        Self { context, name, folder }
    }

    /// What the bus is told of a message about the work, by a worker with that job.
    async fn handled(&self, permits: &Arc<Semaphore>, job: Arc<Failing>) -> Outcome {
        let worker = Worker::new(self.context.clone(), WorkKind::Issue, permits.clone(), job);
        let id = EventId::new(&*self.context.clock, &*self.context.entropy);
        let event = Event { id, kind: EventKind::CertificateRequested, name: self.name.clone(), revision: 1 };
        worker.handle(&event).await
    }

    /// Hands the work to a worker whose job fails in that operation.
    async fn fail(&self, operation: &'static str) {
        let job = Arc::new(Failing { operation, performed: Notify::new() });
        let permits = Arc::new(Semaphore::new(1));
        assert_eq!(self.handled(&permits, job.clone()).await, Outcome::Done);
        tokio::time::timeout(LIMIT, job.performed.notified()).await.expect("it is performed");
        // The permit comes back once everything is over.
        let _over = tokio::time::timeout(LIMIT, permits.acquire()).await.expect("it ends").unwrap();
    }

    async fn is_free(&self) -> bool {
        let until = self.context.clock.now() + SignedDuration::from_secs(30);
        self.context.store.claim(WorkKind::Issue, &self.name, until).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn work_that_the_database_failed_is_released_at_once() {
    let rig = Rig::new().await;
    rig.fail("wait_for_the_database").await;
    assert!(rig.is_free().await, "the clock stands still, so no lease has ended");
}

#[tokio::test]
async fn work_that_fails_by_itself_waits_for_the_end_of_its_lease() {
    let rig = Rig::new().await;
    rig.fail("something_else").await;
    assert!(!rig.is_free().await, "or it would fail again and again, many times a minute");
}

/// A message that is acknowledged before would be lost with a claim that the database does not take.
#[tokio::test]
async fn a_message_is_acknowledged_once_its_claim_is_committed() {
    let rig = Rig::new().await;
    std::fs::remove_file(rig.folder.path().join("test.db")).unwrap();
    let job = Arc::new(Failing { operation: "never", performed: Notify::new() });
    let outcome = rig.handled(&Arc::new(Semaphore::new(1)), job).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
}
