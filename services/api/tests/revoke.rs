//! What becomes of a domain whose certificate is to be revoked, on a real store and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;

use std::sync::LazyLock;

use api::commands::CommandError;
use audit::Caller;
use case::{Case, DAY, caller};
use domain::{
    Cause, CertificateId, Clock, DomainName, HistoryKind, Order, OrderId, OrderState, RevocationReason,
    RevocationState, Source, Work, WorkKind,
};
use jiff::SignedDuration;
use runtime::testing::order_key;
use store::{Certificate, Revocation};

static BY: LazyLock<Caller> = LazyLock::new(|| caller("token:ops", "RevokeCertificate"));
const COMPROMISE: RevocationReason = RevocationReason::KeyCompromise;

/// A domain on the list, for which nothing was issued yet.
async fn case() -> Case {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    case
}

impl Case {
    async fn work(&self) -> Vec<Work> {
        self.store().work(&self.name).await.unwrap()
    }

    async fn work_of(&self, kind: WorkKind) -> Option<Work> {
        self.work().await.into_iter().find(|work| work.kind == kind)
    }

    /// A certificate of 90 days; if `live`, the uploader has made it live.
    async fn issued(&self, source: Source, live: bool) -> Certificate {
        let certificate = self.stored(source, live).await;
        let mut tx = self.store().begin("issued").await.unwrap();
        let upload = Work {
            name: self.name.clone(),
            kind: WorkKind::Upload,
            revision: certificate.revision,
            cause: if live { Cause::Compare } else { Cause::Requested },
            attempts: 0,
            due_at: Some(self.clock.now()),
            certificate: Some(certificate.id()),
        };
        tx.schedule(&upload).await.unwrap();
        tx.commit().await.unwrap();
        certificate
    }

    async fn revoke(&self, certificate: &Certificate, reason: RevocationReason) -> Result<(), CommandError> {
        let sha256 = Some(certificate.summary.sha256.as_str());
        let revoking = self.commands.revoke(&self.name, sha256, reason, &BY).await?;
        assert_eq!(Some(revoking.sha256.as_str()), sha256);
        Ok(())
    }

    async fn revocation(&self, certificate: &Certificate) -> Option<Revocation> {
        let mut tx = self.store().begin("read").await.unwrap();
        tx.revocation(certificate.id()).await.unwrap()
    }

    async fn ended(&self, certificate: &Certificate, state: RevocationState) {
        let mut tx = self.store().begin("ended").await.unwrap();
        tx.end_revocation(certificate.id(), state).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn is_not_revocable(result: &Result<(), CommandError>) -> bool {
    matches!(result, Err(CommandError::NotRevocable { .. }))
}

#[tokio::test]
async fn for_the_live_certificate_another_one_is_ordered_and_it_goes_on_serving() {
    let case = case().await;
    let live = case.issued(Source::C4, true).await;
    let before = case.row().await;
    let revoking = case.commands.revoke(&case.name, None, COMPROMISE, &BY).await.unwrap();
    assert_eq!(revoking.sha256, live.summary.sha256, "none named: the live one");
    assert_eq!(revoking.domain.unwrap().domain.live(), before.live());
    assert_eq!(case.row().await.revision, before.revision + 1);
    let now = case.clock.now();
    let issue = case.work_of(WorkKind::Issue).await.unwrap();
    assert_eq!((issue.cause, issue.due_at), (Cause::Requested, Some(now)));
    let upload = case.work_of(WorkKind::Upload).await.unwrap();
    assert_eq!((upload.cause, upload.certificate), (Cause::Compare, Some(live.id())));
    assert_eq!(case.work_of(WorkKind::Revoke).await.unwrap().due_at, Some(now));
    let revocation = case.revocation(&live).await.unwrap();
    assert_eq!(
        (revocation.state, revocation.waits_until, revocation.requested_by.as_str()),
        (RevocationState::Asked, now + SignedDuration::from_hours(20), "token:ops")
    );
    let history = case.store().history(&case.name, 1).await.unwrap();
    assert_eq!(
        (history[0].kind, history[0].actor.as_str(), history[0].certificate_sha256.as_deref()),
        (HistoryKind::RevocationRequested, "token:ops", Some(live.summary.sha256.as_str()))
    );
    let audit = case.store().audit(Some(case.name.as_str()), 1).await.unwrap();
    assert_eq!(audit[0].detail, format!("key-compromise {}", live.summary.sha256));
}

#[tokio::test]
async fn what_is_on_its_way_already_takes_its_place() {
    let case = case().await;
    let live = case.issued(Source::C4, true).await;
    let order = Order {
        id: OrderId::new(&*case.clock, &*case.commands.entropy),
        name: case.name.clone(),
        revision: case.row().await.revision,
        account: case.account,
        created_at: case.clock.now(),
        state: OrderState::Created { key: order_key() },
    };
    let mut tx = case.store().begin("order").await.unwrap();
    tx.insert_order(&order).await.unwrap();
    tx.commit().await.unwrap();
    let revision = case.row().await.revision;
    case.revoke(&live, COMPROMISE).await.unwrap();
    assert_eq!(case.row().await.revision, revision, "the order goes on");
    assert!(case.store().live_order(&case.name).await.unwrap().is_some());
    assert_eq!(case.work_of(WorkKind::Issue).await.unwrap().due_at, Some(case.clock.now()));
}

#[tokio::test]
async fn an_issued_certificate_on_its_way_to_c4_takes_its_place_unless_it_is_the_one() {
    let case = case().await;
    let live = case.issued(Source::C4, true).await;
    let coming = case.issued(Source::C4, false).await;
    case.revoke(&live, COMPROMISE).await.unwrap();
    assert_eq!(case.work_of(WorkKind::Issue).await, None, "nothing is ordered");
    assert_eq!(case.work_of(WorkKind::Upload).await.unwrap().certificate, Some(coming.id()));
    case.revoke(&coming, COMPROMISE).await.unwrap();
    assert!(case.work_of(WorkKind::Issue).await.is_some());
    let upload = case.work_of(WorkKind::Upload).await.unwrap();
    assert_eq!(upload.certificate, Some(live.id()), "it is not uploaded any more");
}

#[tokio::test]
async fn a_pasted_certificate_on_its_way_is_the_replacement() {
    let case = case().await;
    let live = case.issued(Source::C4, true).await;
    let mut pasted = case.issued(Source::Text, false).await;
    pasted.summary.id = CertificateId::new(&*case.clock, &*case.commands.entropy);
    case.commands.import(pasted, &BY).await.unwrap();
    let before = case.row().await;
    case.revoke(&live, COMPROMISE).await.unwrap();
    let after = case.row().await;
    assert_eq!((after.source, after.revision), (Source::Text, before.revision));
    assert_eq!(case.work_of(WorkKind::Issue).await, None);
}

#[tokio::test]
async fn nothing_puts_it_back() {
    let case = case().await;
    let first = case.issued(Source::C4, true).await;
    case.clock.advance(DAY);
    case.issued(Source::C4, true).await;
    case.revoke(&first, RevocationReason::Superseded).await.unwrap();
    assert_eq!(case.work_of(WorkKind::Issue).await, None, "it does not serve");
    let rolled = case.commands.roll_back(&case.name, &BY).await;
    assert!(matches!(rolled, Err(CommandError::NothingToRollBackTo { .. })));

    // The newest one is compromised, too; the name is deleted, and generated again.
    let second = case.commands.revoke(&case.name, None, COMPROMISE, &BY).await.unwrap();
    case.commands.delete(&case.name, false, &BY).await.unwrap();
    let revoke = case.work_of(WorkKind::Revoke).await.unwrap();
    assert_eq!(revoke.due_at, Some(case.clock.now()), "nothing will replace it");
    case.commands.generate(&case.name, false, &BY).await.unwrap();
    assert_eq!(case.work_of(WorkKind::Upload).await, None, "{second:?}");
    assert!(case.work_of(WorkKind::Issue).await.is_some());
}

#[tokio::test]
async fn asked_again_it_answers_and_changes_nothing() {
    let case = case().await;
    let live = case.issued(Source::C4, true).await;
    case.revoke(&live, RevocationReason::Superseded).await.unwrap();
    let (work, row) = (case.work().await, case.row().await);
    case.clock.advance(DAY / 24);
    case.revoke(&live, RevocationReason::Superseded).await.unwrap();
    assert_eq!((case.work().await, case.row().await), (work, row.clone()));
    assert!(is_not_revocable(&case.revoke(&live, RevocationReason::CessationOfOperation).await));
    // A key in other hands is worse; the replacement is ordered already.
    case.revoke(&live, COMPROMISE).await.unwrap();
    assert_eq!(case.revocation(&live).await.unwrap().reason, COMPROMISE);
    assert_eq!(case.row().await.revision, row.revision);
    case.ended(&live, RevocationState::Refused).await;
    case.revoke(&live, COMPROMISE).await.unwrap();
    assert_eq!(case.revocation(&live).await.unwrap().state, RevocationState::Asked);
    case.ended(&live, RevocationState::Revoked).await;
    case.revoke(&live, COMPROMISE).await.unwrap();
    assert!(is_not_revocable(&case.revoke(&live, RevocationReason::Superseded).await));
}

#[tokio::test]
async fn what_cannot_be_revoked_says_why() {
    let case = case().await;
    let nobody = DomainName::parse("nobody.example.com").unwrap();
    let unknown = case.commands.revoke(&nobody, None, COMPROMISE, &BY).await;
    assert!(matches!(unknown, Err(CommandError::NotFound(_))));
    let nothing_live = case.commands.revoke(&case.name, None, COMPROMISE, &BY).await;
    assert!(matches!(nothing_live, Err(CommandError::NoSuchCertificate(_))));
    let pasted = case.issued(Source::Text, true).await;
    assert!(is_not_revocable(&case.revoke(&pasted, COMPROMISE).await));
    let generated = case.issued(Source::C4, false).await;
    case.clock.advance(DAY * 90);
    assert!(is_not_revocable(&case.revoke(&generated, COMPROMISE).await), "ended");
    assert_eq!(case.work_of(WorkKind::Revoke).await, None);
}

#[tokio::test]
async fn a_deleted_names_certificate_is_revoked_too_and_the_name_stays_deleted() {
    let case = case().await;
    let live = case.issued(Source::C4, true).await;
    case.commands.delete(&case.name, false, &BY).await.unwrap();
    let before = case.row().await;
    let revoking = case.commands.revoke(&case.name, None, COMPROMISE, &BY).await.unwrap();
    assert_eq!(revoking.sha256, live.summary.sha256);
    assert!(revoking.domain.is_none());
    assert_eq!(case.row().await, before);
    assert!(case.work_of(WorkKind::Revoke).await.is_some() && case.work_of(WorkKind::Issue).await.is_none());
    let history = case.store().history(&case.name, 1).await.unwrap();
    assert_eq!(history[0].kind, HistoryKind::RevocationRequested);
}
