//! The daily recheck, and the gauges, on a real store and a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{
    Activity, Cause, CertificateId, CertificateSummary, Clock, Domain, DomainName, Live, MidnightOutcome,
    Reason, Source, Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use metrics_exporter_prometheus::PrometheusBuilder;
use runtime::testing::{ManualClock, SeededEntropy, open_store};
use runtime::{Config, Context, Health, Stop};
use store::Certificate;
use tempfile::TempDir;

use crate::gauges;
use crate::recheck::DailyRecheck;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

struct Kit {
    context: Context,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

fn name(label: &str) -> DomainName {
    DomainName::parse(&format!("{label}.example.com")).unwrap()
}

fn blocked(domain: Domain) -> Domain {
    let reason = Reason::NotPointed {
        target: "cdn".to_owned(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    };
    domain.blocked(reason).unwrap()
}

impl Kit {
    /// An hour before midnight in Singapore.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-23T15:00:00Z".parse().unwrap()));
        let store = open_store(&folder.path().join("test.db"), clock.clone()).await.unwrap();
        let context = Context {
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
        };
        let kit = Self { context, clock, _folder: folder };
        kit.sweep().await;
        kit
    }

    /// A process starts and looks once.
    async fn sweep(&self) {
        let mut daily = DailyRecheck::new(&self.context).unwrap();
        daily.sweep(&self.context).await.unwrap();
    }

    async fn add(&self, label: &str, change: impl FnOnce(Domain) -> Domain) {
        let now = self.clock.now();
        let mut tx = self.context.store.begin("add").await.unwrap();
        tx.insert_domain(&Domain::added(name(label), now)).await.unwrap();
        let domain = tx.domain(&name(label)).await.unwrap().unwrap();
        tx.update_domain(&change(domain)).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn plan(&self, label: &str, due_at: Option<Timestamp>) {
        let mut tx = self.context.store.begin("plan").await.unwrap();
        let work = Work {
            name: name(label),
            kind: WorkKind::Issue,
            revision: 1,
            cause: Cause::Retry,
            attempts: 31,
            due_at,
            certificate: None,
        };
        tx.schedule(&work).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn planned(&self, label: &str) -> Option<Work> {
        self.context.store.work(&name(label)).await.unwrap().pop()
    }

    /// Makes a certificate of that domain live.
    async fn serve(&self, label: &str, not_after: Timestamp) {
        let id = CertificateId::new(&*self.clock, &*self.context.entropy);
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: label.repeat(64),
                serial: "01".to_owned(),
                issuer: "CN=Test".to_owned(),
                not_before: self.clock.now(),
                not_after,
                source: Source::C4,
                trust: None,
            },
            name: name(label),
            revision: 1,
            chain_pem: String::new(),
            sealed_key: None,
            created_at: self.clock.now(),
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        let mut tx = self.context.store.begin("serve").await.unwrap();
        tx.insert_certificate(&certificate).await.unwrap();
        let domain = tx.domain(&name(label)).await.unwrap().unwrap();
        tx.update_domain(&domain.uploaded(Live { certificate: id, not_after }).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Whether the recheck has planned that domain; forgets the plan, as if it had been carried out.
    async fn take_recheck(&self, label: &str) -> bool {
        let planned = self.planned(label).await;
        let mut tx = self.context.store.begin("done").await.unwrap();
        tx.cancel(&name(label), WorkKind::Issue).await.unwrap();
        tx.commit().await.unwrap();
        planned.is_some_and(|work| work.cause == Cause::DailyRecheck)
    }
}

#[tokio::test]
async fn midnight_comes_once_a_day_however_often_somebody_looks() {
    let kit = Kit::new().await;
    kit.add("shop", blocked).await;
    let mut rechecks = BTreeMap::new();
    // Every ten minutes for three days, two processes of which one is new each time.
    let mut old = DailyRecheck::new(&kit.context).unwrap();
    for _ in 0..3 * 24 * 6 {
        kit.clock.advance(SignedDuration::from_mins(10));
        old.sweep(&kit.context).await.unwrap();
        kit.sweep().await;
        if kit.take_recheck("shop").await {
            let day = kit.clock.now().in_tz("Asia/Singapore").unwrap();
            *rechecks.entry(day.date().to_string()).or_insert(0) += 1;
            assert_eq!((day.hour(), day.minute()), (0, 0));
        }
    }
    let days = ["2026-11-24", "2026-11-25", "2026-11-26"];
    assert_eq!(rechecks, days.into_iter().map(|day| (day.to_owned(), 1)).collect());
}

#[tokio::test]
async fn midnights_that_were_slept_through_are_made_up_by_one() {
    let kit = Kit::new().await;
    kit.add("shop", blocked).await;
    kit.clock.advance(HOUR * (3 * 24 + 9));
    kit.sweep().await;
    assert!(kit.take_recheck("shop").await);
    kit.sweep().await;
    assert!(!kit.take_recheck("shop").await, "one, not four");
    kit.clock.advance(HOUR * 16);
    kit.sweep().await;
    assert!(kit.take_recheck("shop").await, "and the next midnight on time");
}

#[tokio::test]
async fn schedulers_that_look_at_the_same_moment_double_nothing() {
    let kit = Kit::new().await;
    for index in 0..20 {
        kit.add(&format!("d{index}"), blocked).await;
    }
    kit.clock.advance(HOUR);
    tokio::join!(kit.sweep(), kit.sweep(), kit.sweep());
    for index in 0..20 {
        assert!(kit.take_recheck(&format!("d{index}")).await);
    }
    kit.sweep().await;
    for index in 0..20 {
        assert!(!kit.take_recheck(&format!("d{index}")).await);
    }
}

#[tokio::test]
async fn what_came_or_failed_after_midnight_waits_for_the_next_one() {
    let kit = Kit::new().await;
    kit.add("early", |domain| domain.import().unwrap()).await;
    kit.clock.advance(HOUR * 2);
    kit.add("late", blocked).await;
    kit.sweep().await;
    assert!(!kit.take_recheck("late").await, "it was not there at midnight");
    assert!(!kit.take_recheck("early").await, "a pasted certificate is nobody's to recheck");
    kit.clock.advance(HOUR * 24);
    kit.sweep().await;
    assert!(kit.take_recheck("late").await);
}

#[tokio::test]
async fn what_is_under_way_counts_as_done() {
    let kit = Kit::new().await;
    for activity in [
        Activity::WaitingForBudget,
        Activity::WaitingForCa,
        Activity::Validating,
        Activity::Issued,
        Activity::Uploading,
        Activity::VerifyingEdges,
    ] {
        let label = activity.as_str().replace('_', "-");
        kit.add(&label, |domain| domain.doing(activity, None).unwrap()).await;
    }
    kit.add("leased", blocked).await;
    kit.plan("leased", Some(kit.clock.now())).await;
    kit.clock.advance(HOUR);
    let (now, store) = (kit.clock.now(), &kit.context.store);
    let leased = store.claim(WorkKind::Issue, &name("leased"), now + HOUR).await.unwrap().unwrap();
    kit.sweep().await;
    for activity in Activity::ALL {
        let label = activity.as_str().replace('_', "-");
        assert!(!kit.take_recheck(&label).await, "{label}");
    }
    store.renew(&leased, now + HOUR).await.expect("the lease is undisturbed");
}

#[tokio::test]
async fn a_recheck_brings_a_later_attempt_forward_and_keeps_its_count() {
    let kit = Kit::new().await;
    let midnight = kit.clock.now() + HOUR;
    for (label, due_at) in
        [("daily", Some(midnight + HOUR * 20)), ("resting", None), ("sooner", Some(midnight))]
    {
        kit.add(label, blocked).await;
        kit.plan(label, due_at).await;
    }
    kit.clock.advance(HOUR);
    kit.sweep().await;
    for label in ["daily", "resting"] {
        let work = kit.planned(label).await.unwrap();
        assert_eq!((work.cause, work.attempts), (Cause::DailyRecheck, 31), "{label}");
        let due_at = work.due_at.unwrap();
        assert!(midnight <= due_at && due_at < midnight + HOUR, "{label}: within the spread");
    }
    let sooner = kit.planned("sooner").await.unwrap();
    assert_eq!(
        (sooner.cause, sooner.due_at),
        (Cause::DailyRecheck, Some(midnight)),
        "the retry is the recheck"
    );
}

#[tokio::test]
async fn an_attempt_that_was_asked_for_is_no_recheck() {
    let kit = Kit::new().await;
    let midnight = kit.clock.now() + HOUR;
    for cause in [Cause::Requested, Cause::OperatorRecheck, Cause::Renewal] {
        let label = cause.as_str();
        kit.add(label, blocked).await;
        kit.plan(label, Some(midnight)).await;
        let planned = Work { cause, ..kit.planned(label).await.unwrap() };
        let mut tx = kit.context.store.begin("cause").await.unwrap();
        tx.schedule(&planned).await.unwrap();
        tx.commit().await.unwrap();
    }
    kit.clock.advance(HOUR);
    kit.sweep().await;
    for cause in [Cause::Requested, Cause::OperatorRecheck, Cause::Renewal] {
        let work = kit.planned(cause.as_str()).await.unwrap();
        assert_eq!((work.cause, work.due_at), (cause, Some(midnight)));
    }
}

#[tokio::test]
async fn a_day_has_as_many_batches_as_it_takes() {
    let kit = Kit::new().await;
    for index in 0..=crate::BATCH {
        kit.add(&format!("d{index}"), blocked).await;
    }
    kit.clock.advance(HOUR);
    kit.sweep().await;
    for index in 0..=crate::BATCH {
        assert!(kit.take_recheck(&format!("d{index}")).await, "d{index}");
    }
}

/// The gauges after a look, as Prometheus reads them.
async fn gauges_of(kit: &Kit) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let daily = DailyRecheck::new(&kit.context).unwrap();
    gauges::export(&kit.context, &daily).await.unwrap();
    recorder.handle().render()
}

#[tokio::test]
async fn gauges_show_the_list_the_oldest_work_and_the_last_midnight() {
    let kit = Kit::new().await;
    kit.add("shop", blocked).await;
    kit.add("fine", |domain| domain).await;
    kit.plan("fine", Some(kit.clock.now())).await;
    kit.clock.advance(HOUR / 2);
    let shown = gauges_of(&kit).await;
    for line in [
        "ssl_manager_domains{status=\"Failure\"} 1",
        "ssl_manager_domains{status=\"Pending\"} 1",
        "ssl_manager_domains{status=\"Emergency\"} 0",
        "ssl_manager_oldest_due_seconds{kind=\"issue\"} 1800",
        "ssl_manager_oldest_due_seconds{kind=\"upload\"} 0",
        "ssl_manager_certificates_ending{within_days=\"90\"} 0",
        "ssl_manager_renewals_late 0",
        "ssl_manager_renewal_blocked 0",
        // 2026-11-23 00:00 in Singapore.
        "ssl_manager_last_daily_recheck_timestamp_seconds 1795363200",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    kit.clock.advance(HOUR);
    let late = gauges_of(&kit).await;
    assert!(
        late.contains("recheck_timestamp_seconds 1795363200"),
        "midnight passed and no sweep took it: {late}"
    );
    kit.sweep().await;
    assert!(gauges_of(&kit).await.contains("recheck_timestamp_seconds 1795449600"), "made up");
}

#[tokio::test]
async fn certificates_are_counted_by_the_days_they_have_left() {
    let kit = Kit::new().await;
    for (label, days) in [("a", 2), ("b", 6), ("c", 40)] {
        kit.add(label, |domain| domain).await;
        kit.serve(label, kit.clock.now() + HOUR * 24 * days).await;
    }
    let shown = gauges_of(&kit).await;
    for (days, certificates) in [(1, 0), (3, 1), (7, 2), (14, 2), (30, 2), (90, 3)] {
        let line = format!("ssl_manager_certificates_ending{{within_days=\"{days}\"}} {certificates}");
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    assert!(shown.contains("ssl_manager_renewals_late 1"), "{shown}");
}

#[tokio::test]
async fn each_domain_that_is_asked_is_in_the_report_once() {
    let kit = Kit::new().await;
    kit.add("shop", blocked).await;
    kit.add("busy", |domain| domain.doing(Activity::Validating, None).unwrap()).await;
    kit.clock.advance(HOUR);
    for _ in 0..2 {
        kit.sweep().await;
    }
    let day = kit.context.store.last_midnight().await.unwrap().unwrap();
    assert_eq!(day.to_string(), "2026-11-24");
    let figures = kit.context.store.midnight_figures(day).await.unwrap();
    assert_eq!((figures.outcomes, figures.new), (vec![(MidnightOutcome::Waiting, 2)], 2));
}
