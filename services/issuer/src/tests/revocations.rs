//! Tests of revocations at the CA, and of the steps before them.

use std::time::Duration;

use domain::{
    Cause, DomainName, HistoryKind, Outbound, RevocationReason, RevocationState, Status, Who, Work, WorkKind,
};
use jiff::SignedDuration;
use sandbox::{CaRefusal, Endpoint};
use store::{Certificate, Revocation};

use super::kit::{Kit, name};
use crate::issuance::replaced;
use crate::revocation;

const LEASE: SignedDuration = SignedDuration::from_secs(30);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

impl Kit {
    /// Requests a revocation like the API, but without ordering a replacement.
    async fn withdraw(&self, certificate: &Certificate) {
        let now = self.now();
        let mut tx = self.store.begin("withdraw").await.unwrap();
        tx.put_revocation(&Revocation {
            certificate: certificate.id(),
            name: certificate.name.clone(),
            reason: RevocationReason::KeyCompromise,
            state: RevocationState::Asked,
            requested_by: "token:test".to_owned(),
            requested_at: now,
            waits_until: now + RevocationReason::REPLACED_WITHIN,
            waiting_for: String::new(),
        })
        .await
        .unwrap();
        tx.schedule(&Work {
            name: certificate.name.clone(),
            kind: WorkKind::Revoke,
            revision: 1,
            cause: Cause::Requested,
            attempts: 0,
            due_at: Some(now),
            certificate: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Performs the due revocations; returns the time until they are due again.
    async fn revoke(&self, name: &DomainName) -> Option<SignedDuration> {
        let claim = self.store.claim(WorkKind::Revoke, name, self.now() + LEASE);
        let lease = claim.await.unwrap().expect("it is due");
        revocation::run(&self.role, &lease).await.unwrap();
        let work = self.store.work(name).await.unwrap();
        let next = work.into_iter().find(|work| work.kind == WorkKind::Revoke)?;
        Some(next.due_at.unwrap().duration_since(self.now()))
    }

    async fn wait_and_revoke(&self, name: &DomainName, wait: SignedDuration) -> Option<SignedDuration> {
        self.clock.advance(wait);
        self.revoke(name).await
    }

    async fn state(&self, certificate: &Certificate) -> RevocationState {
        let all = self.store.revocations(&certificate.name).await.unwrap();
        let found = all.iter().find(|one| one.certificate == certificate.id());
        found.unwrap().state
    }

    pub(crate) async fn told(&self, name: &DomainName, kind: HistoryKind) -> Vec<String> {
        let history = self.store.history(name, 100).await.unwrap();
        let of_kind = history.into_iter().filter(|entry| entry.kind == kind);
        of_kind.map(|entry| entry.message).collect()
    }

    async fn delete(&self, name: &DomainName) {
        let mut tx = self.store.begin("delete").await.unwrap();
        let domain = tx.domain(name).await.unwrap().unwrap();
        tx.update_domain(&domain.delete(self.now()).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn refuse(&self, status: u16, problem: &str, retry_after: Option<Duration>) {
        let refusal =
            CaRefusal { status, problem: problem.to_owned(), detail: "so it is".to_owned(), retry_after };
        self.ca().refuse(Endpoint::RevokeCert, Some(refusal));
    }
}

#[tokio::test]
async fn what_does_not_serve_any_more_is_revoked_at_once() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.delete(&name).await;
    kit.withdraw(&certificate).await;
    assert_eq!(kit.revoke(&name).await, None);
    let revoked = kit.ca().revoked();
    assert_eq!(revoked.len(), 1);
    assert_eq!(
        (revoked[0].sha256.as_str(), revoked[0].reason),
        (certificate.summary.sha256.as_str(), Some(1))
    );
    let stored = kit.store.certificate(&name, certificate.id()).await.unwrap().unwrap();
    assert_eq!(stored.revoked_at, Some(kit.now()));
    assert_eq!(kit.told(&name, HistoryKind::Revoked).await.len(), 1);
}

#[tokio::test]
async fn while_the_ca_is_paused_nothing_is_revoked() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.delete(&name).await;
    kit.withdraw(&certificate).await;
    kit.pause(Outbound::Ca, "sandbox").await;
    let before = kit.ca().requests();
    for _ in 0..2 {
        assert_eq!(kit.revoke(&name).await, Some(HOUR));
        kit.clock.advance(HOUR);
    }
    assert_eq!((kit.ca().requests(), kit.ca().revoked().len()), (before, 0));
    let told = kit.told(&name, HistoryKind::RevocationWaiting).await;
    assert!(matches!(&told[..], [once] if once.contains("paused by token:ops")), "{told:?}");
    kit.resume(Outbound::Ca, "sandbox").await;
    assert_eq!(kit.revoke(&name).await, None);
    assert_eq!(kit.state(&certificate).await, RevocationState::Revoked);
}

#[tokio::test]
async fn what_serves_is_revoked_once_its_replacement_is_live() {
    let kit = Kit::new().await;
    let name = name("shop");
    let first = kit.certified(&name).await;
    // The CA suggested a renewal window, so an order may name the certificate that it replaces.
    assert!(kit.run(&name).await);
    let known = kit.store.certificate(&name, first.id()).await.unwrap().unwrap();
    assert!(replaced(&known, known.account.unwrap()).is_some());
    kit.withdraw(&first).await;
    let known = kit.store.certificate(&name, first.id()).await.unwrap().unwrap();
    assert!(replaced(&known, known.account.unwrap()).is_none(), "that is no renewal");
    let again = kit.revoke(&name).await.unwrap();
    assert!(again <= SignedDuration::from_mins(5), "{again}");
    assert_eq!(kit.ca().revoked(), []);

    kit.ask(&name, Cause::Requested).await;
    assert!(kit.run(&name).await);
    assert_eq!(kit.wait_and_revoke(&name, again).await, Some(again), "not live yet");
    let second = kit.live(&name).await;
    assert_eq!(kit.wait_and_revoke(&name, again).await, None);
    let revoked = kit.ca().revoked();
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].sha256, first.summary.sha256);
    let domain = kit.domain(&name).await;
    assert_eq!((domain.recorded, domain.live().unwrap().certificate), (Status::Success, second.id()));
}

#[tokio::test]
async fn what_cannot_be_replaced_is_revoked_all_the_same_in_time_and_counts_as_ended() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.world.dns.control().remove(name.as_str());
    kit.withdraw(&certificate).await;
    kit.ask(&name, Cause::Requested).await;
    assert!(kit.run(&name).await);
    let again = kit.work(&name).await.unwrap().due_at.unwrap();
    let soon = again.duration_since(kit.now());
    assert!(soon <= SignedDuration::from_mins(1), "by the schedule of hours: {soon}");
    let asked_at = kit.now();
    let mut wait = kit.revoke(&name).await;
    while let Some(next) = wait {
        assert_eq!(kit.domain(&name).await.recorded, Status::Success);
        wait = kit.wait_and_revoke(&name, next).await;
    }
    assert_eq!(kit.now().duration_since(asked_at), RevocationReason::REPLACED_WITHIN);
    assert_eq!(kit.ca().revoked().len(), 1);
    let told = kit.told(&name, HistoryKind::RevocationWaiting).await;
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert!(told[0].contains("shop.example.com"), "{told:?}");
    assert_eq!(kit.domain(&name).await.recorded, Status::Expired);
}

#[tokio::test]
async fn a_ca_without_an_answer_is_asked_again() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.delete(&name).await;
    kit.withdraw(&certificate).await;
    kit.refuse(503, "serverInternal", None);
    let soon = kit.revoke(&name).await.unwrap();
    assert!(soon < SignedDuration::from_mins(1), "{soon}");
    kit.refuse(429, "rateLimited", Some(Duration::from_hours(2)));
    let later = kit.wait_and_revoke(&name, soon).await.unwrap();
    assert!(HOUR * 2 <= later && later < HOUR * 3, "as the CA asks: {later}");
    kit.ca().down(true);
    let soon = kit.wait_and_revoke(&name, later).await.unwrap();
    assert!(soon < HOUR, "{soon}");
    kit.ca().down(false);
    kit.ca().refuse(Endpoint::RevokeCert, None);
    assert_eq!(kit.ca().revoked(), []);
    // The first request is lost, then the answer to the second: the third gets the answer that it is already revoked.
    kit.ca().drop_request(Endpoint::RevokeCert);
    kit.ca().drop_answer(Endpoint::RevokeCert);
    assert_eq!(kit.wait_and_revoke(&name, soon).await, None);
    assert_eq!(kit.ca().revoked().len(), 1);
    assert_eq!(kit.state(&certificate).await, RevocationState::Revoked);
}

#[tokio::test]
async fn a_limit_without_a_time_rests_for_a_minute() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.delete(&name).await;
    kit.withdraw(&certificate).await;
    kit.refuse(429, "rateLimited", None);
    for _ in 0..3 {
        let again = kit.revoke(&name).await.unwrap();
        assert_eq!(again.as_secs(), 60);
        kit.clock.advance(again);
        assert_eq!(kit.state(&certificate).await, RevocationState::Asked);
    }
    kit.ca().refuse(Endpoint::RevokeCert, None);
    assert_eq!(kit.revoke(&name).await, None);
    assert_eq!(kit.state(&certificate).await, RevocationState::Revoked);
}

#[tokio::test]
async fn terms_that_a_person_must_agree_to_hold_it_up_and_do_not_end_it() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.delete(&name).await;
    kit.withdraw(&certificate).await;
    kit.refuse(403, "userActionRequired", None);
    let mut again = kit.revoke(&name).await.unwrap();
    for _ in 0..2 {
        assert!((60..=300).contains(&again.as_secs()), "{again}");
        again = kit.wait_and_revoke(&name, again).await.unwrap();
        assert_eq!(kit.state(&certificate).await, RevocationState::Asked);
    }
    assert!(kit.told(&name, HistoryKind::RevocationFailed).await.is_empty());
    let other = super::kit::name("other");
    kit.add(&other).await;
    assert!(kit.run(&other).await);
    assert_eq!(kit.why(&other).await, (Status::Pending, "issuer_refuses_us", Who::Us), "one alert for all");
    kit.ca().refuse(Endpoint::RevokeCert, None);
    assert_eq!(kit.wait_and_revoke(&name, again).await, None);
    assert_eq!(kit.state(&certificate).await, RevocationState::Revoked);
}

#[tokio::test]
async fn a_refusal_ends_it_and_says_who_must_act() {
    for problem in ["unauthorized", "malformed", "badRevocationReason"] {
        let kit = Kit::new().await;
        let name = name("shop");
        let certificate = kit.certified(&name).await;
        kit.delete(&name).await;
        kit.withdraw(&certificate).await;
        kit.refuse(403, problem, None);
        assert_eq!(kit.revoke(&name).await, None, "{problem}");
        assert_eq!(kit.state(&certificate).await, RevocationState::Refused);
        let told = kit.told(&name, HistoryKind::RevocationFailed).await;
        assert!(told[0].contains(problem) && told[0].contains("Operations"), "{told:?}");
        let stored = kit.store.certificate(&name, certificate.id()).await.unwrap().unwrap();
        assert_eq!((stored.revoked_at, stored.withdrawn), (None, true));
    }
}

#[tokio::test]
async fn what_ended_by_itself_is_not_asked_for() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.withdraw(&certificate).await;
    assert_eq!(
        kit.wait_and_revoke(&name, super::kit::DAY * 90).await,
        None,
        "the process was down for a season"
    );
    assert_eq!(kit.state(&certificate).await, RevocationState::Ended);
    assert_eq!(kit.ca().revoked(), []);
}

#[tokio::test]
async fn what_is_to_be_revoked_is_never_handed_over() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    assert!(kit.run(&name).await);
    let undelivered = kit.issued(&name).await;
    kit.withdraw(&undelivered).await;
    kit.ask(&name, Cause::Requested).await;
    assert!(kit.run(&name).await);
    assert_ne!(kit.issued(&name).await.id(), undelivered.id());
    assert_eq!(kit.revoke(&name).await, None);
    assert_eq!(kit.ca().revoked()[0].sha256, undelivered.summary.sha256);
}

#[tokio::test]
async fn a_copy_that_remembers_the_accounts_old_key_looks_it_up_again() {
    let kit = Kit::new().await;
    let name = name("shop");
    let certificate = kit.certified(&name).await;
    kit.roll_over().await.unwrap();
    kit.delete(&name).await;
    kit.withdraw(&certificate).await;
    assert_eq!(kit.revoke(&name).await, None);
    assert_eq!(kit.state(&certificate).await, RevocationState::Revoked);
}
