//! The state of things, as somebody on duty sees it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::sync::Arc;

use domain::{
    Cause, CertificateId, CertificateSummary, Clock, Domain, DomainName, Live, Reason, Role, Source, Work,
    WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use proto::v1;
use runtime::config::{AcmeIssuer, IssuerLimits};
use runtime::testing::ManualClock;
use store::{Certificate, Counted};
use tonic::Code;

use served::{Served, served_at, signed};

const DAY: SignedDuration = SignedDuration::from_hours(24);

struct Duty {
    served: Served,
    clock: Arc<ManualClock>,
    token: String,
}

async fn duty() -> Duty {
    let clock = Arc::new(ManualClock::new("2026-11-24T10:40:00Z".parse().unwrap()));
    let issuer = |name: &str, limits: &str| AcmeIssuer {
        name: name.to_owned(),
        limits: IssuerLimits::Named(limits.to_owned()),
        ..AcmeIssuer::default()
    };
    let served = served_at(clock.clone(), |config| {
        config.acme.issuers = vec![issuer("one", "letsencrypt"), issuer("two", "none")];
    })
    .await;
    let token = served.token(Role::Viewer, |_| {}).await;
    Duty { served, clock, token }
}

impl Duty {
    async fn look(&mut self) -> v1::GetOverviewResponse {
        let request = signed(v1::GetOverviewRequest {}, &self.token);
        self.served.client.get_overview(request).await.unwrap().into_inner()
    }

    /// Looks once the answer before is old.
    async fn look_later(&mut self) -> v1::GetOverviewResponse {
        self.clock.advance(SignedDuration::from_secs(5));
        self.look().await
    }

    async fn add(&self, label: &str, change: impl FnOnce(Domain) -> Domain) {
        let name = DomainName::parse(&format!("{label}.example.com")).unwrap();
        let now = self.clock.now();
        let mut tx = self.served.context.store.begin("add").await.unwrap();
        tx.insert_domain(&Domain::added(name.clone(), now)).await.unwrap();
        let domain = tx.domain(&name).await.unwrap().unwrap();
        tx.update_domain(&change(domain)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A domain with a certificate that is live for so long.
    async fn live(&self, label: &str, left: SignedDuration) {
        let context = &self.served.context;
        let now = self.clock.now();
        let id = CertificateId::new(&*context.clock, &*context.entropy);
        self.add(label, |domain| domain).await;
        let name = DomainName::parse(&format!("{label}.example.com")).unwrap();
        let mut tx = context.store.begin("live").await.unwrap();
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: id.to_string(),
                serial: "0a".to_owned(),
                issuer: "CN=Test".to_owned(),
                not_before: now,
                not_after: now + left,
                source: Source::C4,
                trust: None,
            },
            name: name.clone(),
            revision: 1,
            chain_pem: String::new(),
            sealed_key: None,
            created_at: now,
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        tx.insert_certificate(&certificate).await.unwrap();
        let domain = tx.domain(&name).await.unwrap().unwrap();
        let live = Live { certificate: id, not_after: now + left };
        tx.update_domain(&domain.uploaded(live).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn plan(&self, label: &str, cause: Cause, due_at: Timestamp) {
        let name = DomainName::parse(&format!("{label}.example.com")).unwrap();
        let work = Work {
            name,
            kind: WorkKind::Issue,
            revision: 1,
            cause,
            attempts: 0,
            due_at: Some(due_at),
            certificate: None,
        };
        let mut tx = self.served.context.store.begin("plan").await.unwrap();
        tx.schedule(&work).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn not_pointed(domain: Domain) -> Domain {
    let reason = Reason::NotPointed {
        target: "cdn".to_owned(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    };
    domain.blocked(reason).unwrap()
}

#[tokio::test]
async fn an_empty_list_has_every_day_and_status_with_nothing() {
    let mut duty = duty().await;
    let told = duty.look().await;
    assert_eq!((told.statuses.len(), told.days_left.len(), told.issuance.len()), (6, 91, 30));
    assert!(told.statuses.iter().all(|status| status.domains == 0));
    assert_eq!(told.days_left.iter().map(|day| day.days).collect::<Vec<_>>(), (0..=90).collect::<Vec<_>>());
    assert_eq!(told.issuance[0].day, "2026-10-26");
    assert_eq!(told.issuance[29].day, "2026-11-24");
    assert_eq!((told.overdue, told.oldest_due_at, told.last_midnight), (0, None, None));
}

#[tokio::test]
async fn reasons_say_who_must_act_and_the_most_come_first() {
    let mut duty = duty().await;
    duty.add("caa", |domain| {
        let reason = Reason::CaDown { detail: "503".to_owned() };
        domain.doing(domain::Activity::Retrying, Some(reason)).unwrap()
    })
    .await;
    for label in ["one", "two"] {
        duty.add(label, not_pointed).await;
    }
    duty.live("stuck", DAY * 9).await;
    let told = duty.look().await;
    let reasons: Vec<_> = told
        .reasons
        .iter()
        .map(|reason| (reason.code.as_str(), reason.who.as_str(), reason.domains))
        .collect();
    assert_eq!(reasons, [("not_pointed", "customer", 2), ("ca_down", "us", 1)]);
    let of = |wanted: v1::Status| {
        let counted = told.statuses.iter().find(|count| count.status() == wanted);
        counted.unwrap().domains
    };
    assert_eq!((of(v1::Status::Success), of(v1::Status::Failure), of(v1::Status::Pending)), (1, 2, 1));
}

#[tokio::test]
async fn live_certificates_are_counted_by_whole_days_left() {
    let mut duty = duty().await;
    let hour = SignedDuration::from_hours(1);
    for (label, left) in [
        ("hours", hour * 5),
        ("almost", DAY - hour),
        ("one", DAY + hour),
        ("ninety", DAY * 90 + hour),
        ("year", DAY * 365),
    ] {
        duty.live(label, left).await;
    }
    let days = |told: v1::GetOverviewResponse| {
        let some = told.days_left.into_iter().filter(|day| day.domains > 0);
        some.map(|day| (day.days, day.domains)).collect::<Vec<_>>()
    };
    assert_eq!(days(duty.look().await), [(0, 2), (1, 1), (90, 2)]);
    duty.clock.advance(DAY * 2);
    assert_eq!(days(duty.look().await), [(88, 1), (90, 1)], "what ended is not live");
}

#[tokio::test]
async fn the_days_of_issuance_end_today() {
    let mut duty = duty().await;
    for (counted, ago) in [
        (Counted::Issued, 0),
        (Counted::Issued, 0),
        (Counted::Failed, 0),
        (Counted::Failed, 29),
        (Counted::Issued, 30),
    ] {
        let mut tx = duty.served.context.store.begin("count").await.unwrap();
        tx.count_day(counted, duty.clock.now() - DAY * ago);
        tx.commit().await.unwrap();
    }
    let told = duty.look().await.issuance;
    let day = |index: usize| (told[index].day.as_str(), told[index].issued, told[index].failed);
    assert_eq!((day(0), day(29)), (("2026-10-26", 0, 1), ("2026-11-24", 2, 1)));
    assert!(told[1..29].iter().all(|day| day.issued + day.failed == 0));
}

#[tokio::test]
async fn a_budget_says_what_is_left_and_when_there_is_room_again() {
    let mut duty = duty().await;
    let told = duty.look().await.budget;
    assert_eq!(told.len(), 1, "the other has no limits");
    let bucket = &told[0];
    assert_eq!((bucket.issuer.as_str(), bucket.limit.as_str()), ("one", "new orders per account"));
    assert_eq!((bucket.capacity, bucket.left, bucket.free_at), (300, 300, None));

    // All spent, and as much again.
    let spent_until = duty.clock.now() + SignedDuration::from_hours(6);
    let mut tx = duty.served.context.store.begin("spend").await.unwrap();
    tx.set_bucket("one/orders", spent_until).await.unwrap();
    tx.commit().await.unwrap();
    let bucket = duty.look_later().await.budget.remove(0);
    let free_at = proto::from_timestamp(&bucket.free_at.unwrap()).unwrap();
    let hours = free_at.duration_since(duty.clock.now()).as_hours();
    assert_eq!((bucket.left, hours), (0, 2));
}

#[tokio::test]
async fn overdue_is_what_nobody_took_for_a_minute() {
    let mut duty = duty().await;
    let now = duty.clock.now();
    for (label, late) in [("long", 120), ("late", 61), ("just", 50)] {
        duty.add(label, |domain| domain).await;
        duty.plan(label, Cause::Requested, now - SignedDuration::from_secs(late)).await;
    }
    let told = duty.look().await;
    let oldest = proto::from_timestamp(&told.oldest_due_at.unwrap());
    assert_eq!((told.overdue, oldest), (2, Some(now - SignedDuration::from_secs(120))));
}

#[tokio::test]
async fn the_last_midnight_is_the_one_that_was_begun_last() {
    let mut duty = duty().await;
    let midnight = |told: v1::GetOverviewResponse| {
        let told = told.last_midnight.unwrap();
        let began = proto::from_timestamp(&told.at.unwrap()).unwrap().to_string();
        assert!(began.ends_with("T16:00:00Z"), "midnight in Singapore: {began}");
        (told.day, told.domains, told.waiting)
    };
    let (before, day) = ("2026-11-24".parse().unwrap(), "2026-11-25".parse().unwrap());
    let now = duty.clock.now();
    let mut tx = duty.served.context.store.begin("recheck").await.unwrap();
    tx.set_rechecked(before).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(midnight(duty.look().await), ("2026-11-24".to_owned(), 0, 0));
    for label in ["one", "two", "three"] {
        duty.add(label, not_pointed).await;
    }
    let mut tx = duty.served.context.store.begin("recheck").await.unwrap();
    assert_eq!(tx.take_recheck(day, now + DAY, 9).await.unwrap().len(), 3);
    tx.commit().await.unwrap();
    for label in ["one", "two"] {
        duty.plan(label, Cause::DailyRecheck, now + DAY).await;
    }
    assert_eq!(midnight(duty.look_later().await), ("2026-11-25".to_owned(), 3, 2));
}

#[tokio::test]
async fn an_answer_is_kept_for_five_seconds_and_not_longer() {
    let mut duty = duty().await;
    assert!(duty.look().await.reasons.is_empty());
    duty.add("one", not_pointed).await;
    duty.clock.advance(SignedDuration::from_millis(4_999));
    assert!(duty.look().await.reasons.is_empty(), "the answer before");
    duty.clock.advance(SignedDuration::from_millis(1));
    assert_eq!(duty.look().await.reasons.len(), 1);
}

#[tokio::test]
async fn nobody_looks_without_a_token() {
    let mut duty = duty().await;
    duty.look().await;
    let refused = duty.served.client.get_overview(v1::GetOverviewRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated, "not even at the answer before");
}
