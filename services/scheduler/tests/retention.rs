//! Keys of deleted domains, and what is forgotten, on a real store and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{CertificateId, CertificateSummary, Clock, Domain, DomainName, HistoryKind, Source};
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use runtime::testing::{ManualClock, SeededEntropy, open_store};
use runtime::{Config, Context, Health, Stop};
use scheduler::Scheduler;
use store::{Certificate, Counted, SealedPlace};
use tempfile::TempDir;

const DAY: SignedDuration = SignedDuration::from_hours(24);

struct Kit {
    context: Context,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

fn name(label: &str) -> DomainName {
    DomainName::parse(&format!("{label}.example.com")).unwrap()
}

impl Kit {
    async fn keeping(days: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-23T15:00:00Z".parse().unwrap()));
        let store = open_store(&folder.path().join("test.db"), clock.clone()).await.unwrap();
        let mut config = Config::default();
        config.retention.deleted_keys_days = days;
        let context = Context {
            config: Arc::new(config),
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            store,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            sealing_keys: None,
            stop: Stop::default(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::default(),
        };
        Self { context, clock, _folder: folder }
    }

    /// A process starts and looks for the first time.
    async fn look(&self) {
        let mut scheduler = Scheduler::new(self.context.clone()).unwrap();
        scheduler.look().await.unwrap();
    }

    /// A domain with a certificate.
    async fn certified(&self, label: &str) -> CertificateId {
        let now = self.clock.now();
        let id = CertificateId::new(&*self.clock, &*self.context.entropy);
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: id.to_string(),
                serial: "01".to_owned(),
                issuer: "CN=Test".to_owned(),
                not_before: now,
                not_after: now + DAY * 90,
                source: Source::C4,
                trust: None,
            },
            name: name(label),
            revision: 1,
            chain_pem: String::new(),
            sealed_key: Some(vec![1]),
            created_at: now,
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        let mut tx = self.context.store.begin("certified").await.unwrap();
        tx.insert_domain(&Domain::added(name(label), now)).await.unwrap();
        tx.insert_certificate(&certificate).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn change(&self, label: &str, change: impl FnOnce(Domain, Timestamp) -> Domain) {
        let now = self.clock.now();
        let mut tx = self.context.store.begin("change").await.unwrap();
        let domain = tx.domain(&name(label)).await.unwrap().unwrap();
        tx.update_domain(&change(domain, now)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn delete(&self, label: &str) {
        self.change(label, |domain, now| domain.delete(now).unwrap()).await;
    }

    async fn has_key(&self, id: CertificateId) -> bool {
        let keys = self.context.store.sealed_keys(SealedPlace::Certificates, None, 100).await.unwrap();
        keys.iter().any(|key| key.id == id.to_string())
    }

    /// How often the history says that keys of that domain were destroyed.
    async fn told(&self, label: &str) -> usize {
        let history = self.context.store.history(&name(label), 100).await.unwrap();
        let destroyed = history.iter().filter(|entry| entry.kind == HistoryKind::KeysDestroyed);
        destroyed.count()
    }
}

#[tokio::test]
async fn keys_go_when_the_days_after_the_delete_are_over() {
    let kit = Kit::keeping(7).await;
    let (gone, listed) = (kit.certified("gone").await, kit.certified("listed").await);
    kit.clock.advance(DAY);
    kit.delete("gone").await;
    kit.clock.advance(DAY * 7 - SignedDuration::from_micros(1));
    kit.look().await;
    assert!(kit.has_key(gone).await, "not yet");
    kit.clock.advance(SignedDuration::from_micros(1));
    tokio::join!(kit.look(), kit.look());
    assert!(!kit.has_key(gone).await);
    assert!(kit.has_key(listed).await, "it was not deleted");
    assert_eq!((kit.told("gone").await, kit.told("listed").await), (1, 0));
}

#[tokio::test]
async fn a_name_that_is_put_back_in_time_keeps_its_keys() {
    let kit = Kit::keeping(7).await;
    let certificate = kit.certified("shop").await;
    kit.delete("shop").await;
    kit.clock.advance(DAY * 6);
    kit.change("shop", |domain, now| domain.added_again(now).unwrap()).await;
    kit.clock.advance(DAY * 2);
    kit.look().await;
    assert!(kit.has_key(certificate).await);
    kit.delete("shop").await;
    kit.clock.advance(DAY * 6);
    kit.look().await;
    assert!(kit.has_key(certificate).await, "the days begin with the last delete");
    kit.clock.advance(DAY);
    kit.look().await;
    assert!(!kit.has_key(certificate).await);
}

#[tokio::test]
async fn no_days_at_all_are_at_once_and_a_batch_is_not_the_end() {
    let kit = Kit::keeping(0).await;
    let mut certificates = Vec::new();
    for index in 0..=100 {
        let label = format!("d{index}");
        certificates.push(kit.certified(&label).await);
        kit.delete(&label).await;
    }
    kit.look().await;
    for certificate in certificates {
        assert!(!kit.has_key(certificate).await);
    }
}

#[tokio::test]
async fn old_days_are_forgotten_and_young_ones_are_not() {
    let kit = Kit::keeping(7).await;
    let (old, young) = (date(2025, 11, 21), date(2025, 11, 22));
    let now = kit.clock.now();
    let mut tx = kit.context.store.begin("days").await.unwrap();
    for day in [old, young] {
        tx.set_rechecked(day).await.unwrap();
    }
    for (key, age) in [("full", DAY * 7), ("young", DAY * 6), ("spent", -DAY)] {
        tx.set_bucket(key, now - age).await.unwrap();
    }
    tx.count_day(Counted::Issued, now);
    tx.commit().await.unwrap();
    kit.look().await;
    let store = &kit.context.store;
    assert!(!store.is_rechecked(old).await.unwrap());
    assert!(store.is_rechecked(young).await.unwrap(), "a year is kept");
    for (key, is_kept) in [("full", false), ("young", true), ("spent", true)] {
        assert_eq!(store.bucket(key).await.unwrap().is_some(), is_kept, "{key}");
    }
    assert_eq!(store.overview(now).await.unwrap().issued.len(), 1);
}
