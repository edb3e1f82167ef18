//! Customers are asked for another certificate in time, on a real store and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{
    CertificateId, CertificateSummary, Clock, Domain, DomainName, HistoryKind, Live, Reason, Source, Status,
    Trust, Who,
};
use jiff::SignedDuration;
use runtime::testing::{ManualClock, SeededEntropy, open_store};
use runtime::{Config, Context, Health, Stop};
use scheduler::Scheduler;
use store::{Certificate, Store};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn context(clock: &Arc<ManualClock>, store: Arc<Store>) -> Context {
    Context {
        config: Arc::new(Config::default()),
        bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
        store,
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        sealing_keys: None,
        stop: Stop::default(),
        health: Health::default(),
        reload: runtime::Reload::default(),
        listeners: Arc::default(),
    }
}

/// Puts a domain on the list with a live certificate of 90 days.
async fn live(context: &Context, name: &DomainName, source: Source) {
    let now = context.clock.now();
    let certificate = Certificate {
        summary: CertificateSummary {
            id: CertificateId::new(&*context.clock, &*context.entropy),
            sha256: name.to_string(),
            serial: "01".to_owned(),
            issuer: "CN=Test".to_owned(),
            not_before: now,
            not_after: now + DAY * 90,
            source,
            trust: (source == Source::Text).then_some(Trust::Public),
        },
        name: name.clone(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: Some(vec![1]),
        created_at: now,
        uploaded_at: Some(now),
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    };
    let live = Live { certificate: certificate.id(), not_after: now + DAY * 90 };
    let mut tx = context.store.begin("live").await.unwrap();
    tx.insert_domain(&Domain::added(name.clone(), now)).await.unwrap();
    tx.insert_certificate(&certificate).await.unwrap();
    let domain = tx.domain(name).await.unwrap().unwrap();
    let mut domain = domain.uploaded(live).unwrap();
    domain.source = source;
    tx.update_domain(&domain).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_customer_must_act_from_thirty_days_before_the_end_of_a_pasted_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-11-23T15:00:00Z".parse().unwrap()));
    let store = open_store(&folder.path().join("test.db"), clock.clone()).await.unwrap();
    let context = context(&clock, store);
    let [pasted, generated] =
        ["pasted", "generated"].map(|label| DomainName::parse(&format!("{label}.example.com")).unwrap());
    live(&context, &pasted, Source::Text).await;
    live(&context, &generated, Source::C4).await;
    let ends = clock.now() + DAY * 90;
    let look = async || Scheduler::new(context.clone()).unwrap().look().await.unwrap();
    let shown = async |name: &DomainName| context.store.domain(name).await.unwrap().unwrap().domain;
    let reminders = async || {
        let history = context.store.history(&pasted, 100).await.unwrap();
        history.into_iter().filter(|entry| entry.kind == HistoryKind::Ending).collect::<Vec<_>>()
    };

    clock.advance(DAY * 60 - SignedDuration::from_secs(1));
    look().await;
    assert_eq!((shown(&pasted).await.reason(), reminders().await.len()), (None, 0), "a second too early");

    clock.advance(SignedDuration::from_secs(1));
    look().await;
    look().await;
    let domain = shown(&pasted).await;
    assert_eq!(domain.recorded, Status::Success);
    assert_eq!(domain.reason(), Some(Reason::PastedEnds { at: ends }));
    assert_eq!(domain.who(clock.now()), Some(Who::Customer));
    let told = reminders().await;
    assert_eq!(told.len(), 1, "once");
    assert!(told[0].message.contains("ends on 21 Feb 2027"), "{}", told[0].message);
    assert_eq!(shown(&generated).await.reason(), None, "what is renewed needs no action");

    clock.advance(DAY * 30);
    look().await;
    let domain = shown(&pasted).await;
    assert_eq!((domain.recorded, domain.reason()), (Status::Expired, Some(Reason::PastedEnded { at: ends })));
}
