//! Tests of uploads.

use domain::{
    Activity, Cause, CertificateId, CertificateSummary, Domain, DomainName, EventKind, HistoryKind, Reason,
    RevocationReason, RevocationState, Source, Status, Work, WorkKind,
};
use jiff::SignedDuration;
use serde_json::json;
use store::{Certificate, Revocation};

use super::fake_c4::Trick;
use super::kit::{Kit, NAME, PKCS8, name, sha256};

#[tokio::test]
async fn an_issued_certificate_goes_live() {
    let (kit, certificate) = Kit::issued().await;
    kit.published().await;
    kit.upload().await.unwrap();

    let held = kit.c4.inside().holds.clone().unwrap();
    assert_eq!(held["sha256"], sha256(2));
    assert_eq!(held["private_key_pem"], *x509::private_key_pem(PKCS8));
    assert_eq!((&held["source"], &held["revision"]), (&json!("c4"), &json!(1)));
    assert_eq!(kit.c4.inside().idempotency_keys, [certificate.to_string()]);

    let view = kit.view().await;
    assert_eq!(view.domain.status(kit.now()), Status::Success);
    assert_eq!((view.domain.recorded, view.domain.activity), (Status::Success, Activity::Idle));
    assert_eq!(view.certificate.unwrap().id, certificate);
    let stored = kit.store.certificate(&name(), certificate).await.unwrap().unwrap();
    assert_eq!(stored.uploaded_at, Some(kit.now()));

    assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded]);
    assert_eq!(kit.published().await, [EventKind::CertUploaded { certificate }]);
    let compare = kit.work(WorkKind::Upload).await.unwrap();
    assert_eq!(
        (compare.cause, compare.attempts, compare.certificate),
        (Cause::Compare, 0, Some(certificate))
    );
    assert_eq!(kit.due_in(WorkKind::Upload).await, Some(5 * 60));
    let renewal = kit.work(WorkKind::Issue).await.unwrap();
    assert_eq!((renewal.cause, renewal.revision), (Cause::Renewal, 1));
    assert_eq!(kit.due_in(WorkKind::Issue).await, Some((90 - 7) * 24 * 3600));
}

#[tokio::test]
async fn a_pasted_certificate_is_never_renewed() {
    let (kit, _) = Kit::issued().await;
    let pasted = kit.certificate(Source::Text).await;
    kit.schedule_upload(pasted, Cause::Requested).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.status(kit.now()), Status::Success);
    assert_eq!(kit.c4.inside().holds.as_ref().unwrap()["source"], "text");
    assert_eq!(kit.work(WorkKind::Issue).await, None);
}

#[tokio::test]
async fn a_certificate_that_begins_later_is_not_sent_early_whoever_asks() {
    let (kit, _) = Kit::issued().await;
    let begins = kit.now() + SignedDuration::from_hours(30);
    let certificate = kit.certificate_from(Source::C4, begins).await;
    for cause in [Cause::Requested, Cause::OperatorRecheck] {
        kit.schedule_upload(certificate, cause).await;
        kit.upload().await.unwrap();
        assert_eq!(kit.c4.count("PUT"), 0);
        let work = kit.work(WorkKind::Upload).await.unwrap();
        assert_eq!((work.due_at, work.certificate), (Some(begins), Some(certificate)));
    }
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.live().unwrap().certificate, certificate);
}

#[tokio::test]
async fn a_clock_that_differs_a_little_holds_nothing_up() {
    let (kit, _) = Kit::issued().await;
    let soon = kit.now() + SignedDuration::from_mins(59);
    let certificate = kit.certificate_from(Source::C4, soon).await;
    kit.schedule_upload(certificate, Cause::Requested).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.live().unwrap().certificate, certificate);
}

/// C4 shows only the leaf, which is the same with another chain.
#[tokio::test]
async fn a_pasted_certificate_is_sent_although_c4_shows_its_leaf() {
    let (kit, _) = Kit::issued().await;
    let pasted = kit.certificate(Source::Text).await;
    kit.c4.inside().holds = Some(json!({ "sha256": sha256(3), "source": "text" }));
    kit.schedule_upload(pasted, Cause::Requested).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.count("PUT"), 1);
    assert_eq!(kit.domain().await.live().unwrap().certificate, pasted);
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.count("PUT"), 1, "once it is live, it is only compared");
}

/// The process died between C4's answer and the commit.
#[tokio::test]
async fn what_c4_holds_already_is_not_sent_again() {
    let (kit, certificate) = Kit::issued().await;
    kit.c4.inside().holds = Some(json!({ "sha256": sha256(2), "source": "c4" }));
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.count("PUT"), 0);
    assert_eq!(kit.domain().await.live().unwrap().certificate, certificate);
    assert_eq!(kit.due_in(WorkKind::Upload).await, Some(5 * 60));
    assert!(kit.work(WorkKind::Issue).await.is_some());
}

#[tokio::test]
async fn three_quick_attempts_come_before_the_emergency() {
    let (kit, certificate) = Kit::issued().await;
    kit.published().await;
    kit.c4.trick("PUT", 503, 3);
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.count("PUT"), 3);
    assert_eq!(kit.slept(), [1, 3]);
    let domain = kit.domain().await;
    assert_eq!((domain.recorded, domain.activity), (Status::Emergency, Activity::Retrying));
    let reason = domain.reason().unwrap().message(&name());
    assert!(reason.contains("status 503: broken"), "{reason}");
    assert_eq!(kit.history().await, [HistoryKind::UploadFailed]);
    assert_eq!(kit.published().await, [EventKind::UploadFailed { certificate }]);
    let again = kit.work(WorkKind::Upload).await.unwrap();
    assert_eq!((again.cause, again.attempts, again.certificate), (Cause::Retry, 1, Some(certificate)));
    assert_eq!(kit.due_in(WorkKind::Upload).await, Some(60));
}

#[tokio::test]
async fn a_quick_attempt_that_helps_leaves_no_trace() {
    let (kit, _) = Kit::issued().await;
    kit.c4.trick("GET", 500, 1);
    kit.c4.trick("PUT", 503, 1);
    kit.upload().await.unwrap();
    assert_eq!(kit.slept(), [1, 3]);
    assert_eq!(kit.domain().await.recorded, Status::Success);
    assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded]);
}

#[tokio::test]
async fn in_an_emergency_each_run_is_one_attempt_until_one_helps() {
    let (kit, _) = Kit::issued().await;
    kit.c4.trick("PUT", 503, 3 + 8);
    kit.upload().await.unwrap();
    kit.slept();
    for (attempts, minutes) in [(2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (9, 60)] {
        kit.advance_to_upload().await;
        kit.upload().await.unwrap();
        assert!(kit.slept().is_empty());
        assert_eq!(kit.work(WorkKind::Upload).await.unwrap().attempts, attempts);
        assert_eq!(kit.due_in(WorkKind::Upload).await, Some(minutes * 60));
        assert_eq!(kit.domain().await.recorded, Status::Emergency);
    }
    assert_eq!(kit.c4.count("PUT"), 3 + 8);
    assert_eq!(kit.history().await, [HistoryKind::UploadFailed], "the same trouble is told once");
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Success);
    assert_eq!(kit.domain().await.reason(), None);
}

#[tokio::test]
async fn c4_may_ask_to_be_left_alone() {
    let (kit, _) = Kit::issued().await;
    let trick = |seconds| Trick {
        method: "PUT",
        status: 429,
        body: json!({}),
        retry_after: Some(seconds),
        obeys: false,
    };
    kit.c4.inside().tricks.extend([trick(7), trick(300)]);
    kit.upload().await.unwrap();
    assert_eq!(kit.slept(), [7], "a short wait is kept, a long one ends the quick attempts");
    assert_eq!(kit.due_in(WorkKind::Upload).await, Some(300));
    assert_eq!(kit.domain().await.recorded, Status::Emergency);
}

/// A new certificate that cannot be uploaded is an emergency, although the old one is still served.
#[tokio::test]
async fn a_renewal_that_c4_does_not_take_is_an_emergency_too() {
    let (kit, _) = Kit::live().await;
    let renewed = kit.certificate(Source::C4).await;
    kit.schedule_upload(renewed, Cause::Requested).await;
    kit.c4.trick("GET", 500, 3);
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Emergency);
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.live().unwrap().certificate, renewed);
    assert_eq!(kit.domain().await.recorded, Status::Success);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_out() {
    let (kit, _) = Kit::issued().await;
    let lost = Trick { method: "PUT", status: 502, body: json!({}), retry_after: None, obeys: true };
    kit.c4.inside().tricks.push_back(lost);
    kit.upload().await.unwrap();
    assert_eq!((kit.c4.count("PUT"), kit.slept()), (1, vec![1]));
    assert_eq!(kit.domain().await.recorded, Status::Success);
}

#[tokio::test]
async fn taken_but_not_shown_is_not_live() {
    let (kit, _) = Kit::issued().await;
    kit.c4.trick("PUT", 200, 3);
    kit.upload().await.unwrap();
    let reason = kit.domain().await.reason().unwrap();
    assert_eq!(
        reason,
        Reason::UploadFailed { detail: "C4 took the certificate but shows no certificate".into() }
    );
}

#[tokio::test]
async fn taken_but_something_else_shown_is_not_live() {
    let (kit, _) = Kit::issued().await;
    kit.c4.inside().holds = Some(json!({ "sha256": sha256(77), "source": "text" }));
    kit.c4.trick("PUT", 200, 3);
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Emergency);
    assert!(kit.domain().await.reason().unwrap().message(&name()).contains(&sha256(77)));
}

#[tokio::test]
async fn a_domain_that_c4_does_not_know_is_discarded() {
    let (kit, _) = Kit::issued().await;
    kit.c4.inside().knows = false;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Discard);
    assert!(kit.slept().is_empty(), "an answer is no failure");
    for (attempts, minutes) in [(1, Some(1)), (2, Some(5)), (3, Some(30)), (4, Some(360)), (5, None)] {
        let work = kit.work(WorkKind::Upload).await.unwrap();
        assert_eq!(work.attempts, attempts);
        assert_eq!(kit.due_in(WorkKind::Upload).await, minutes.map(|minutes| minutes * 60));
        if minutes.is_some() {
            kit.advance_to_upload().await;
            kit.upload().await.unwrap();
        }
    }
    assert_eq!(kit.history().await, [HistoryKind::UnknownToC4]);
    assert_eq!(kit.c4.count("PUT"), 0);

    kit.c4.inside().knows = true;
    let certificate = kit.work(WorkKind::Upload).await.unwrap().certificate.unwrap();
    kit.schedule_upload(certificate, Cause::OperatorRecheck).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Success);
}

#[tokio::test]
async fn a_404_to_the_upload_itself_counts_the_same() {
    let (kit, _) = Kit::issued().await;
    kit.c4.trick("PUT", 404, 1);
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Discard);
    assert_eq!(kit.c4.count("PUT"), 1);
}

#[tokio::test]
async fn work_of_a_past_life_changes_nothing() {
    let (kit, _) = Kit::issued().await;
    kit.change_listed(|domain| domain.generate().unwrap()).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.live(), None);
    assert_eq!(kit.work(WorkKind::Upload).await, None);

    let (kit, _) = Kit::issued().await;
    let now = kit.now();
    kit.change_listed(|domain| domain.delete(now).unwrap()).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.work(WorkKind::Upload).await, None);
    assert!(kit.c4.inside().requests.is_empty());
}

/// The work was rescheduled while it ran: the late write must have no effect.
#[tokio::test]
async fn who_lost_the_lease_changes_nothing() {
    let (kit, certificate) = Kit::issued().await;
    let lease = kit.claim(WorkKind::Upload).await;
    kit.schedule_upload(certificate, Cause::OperatorRecheck).await;
    let error = kit.perform_upload(&lease).await.unwrap_err();
    assert!(matches!(&error, runtime::JobError::Store(error) if error.is_lease_lost()), "{error}");
    assert_eq!(kit.domain().await.live(), None);
    assert_eq!(kit.work(WorkKind::Upload).await.unwrap().cause, Cause::OperatorRecheck);
    assert_eq!(kit.c4.inside().requests, [("GET", None)], "it may ask, and changes nothing");
}

#[tokio::test]
async fn a_certificate_that_ended_on_the_way_is_ordered_anew() {
    let (kit, _) = Kit::issued().await;
    kit.advance(SignedDuration::from_hours(91 * 24));
    kit.upload().await.unwrap();
    assert!(kit.c4.inside().requests.is_empty());
    assert_eq!(kit.work(WorkKind::Upload).await, None);
    assert_eq!(kit.due_in(WorkKind::Issue).await, Some(0));
}

/// The database was tampered with: another name's certificate is given as this one's.
#[tokio::test]
async fn another_names_certificate_is_not_uploaded() {
    let (kit, certificate) = Kit::issued().await;
    let evil = DomainName::parse("evil.example.com").unwrap();
    let mut tx = kit.store.begin("test").await.unwrap();
    tx.insert_domain(&Domain::added(evil.clone(), kit.now())).await.unwrap();
    let stored = kit.store.certificate(&name(), certificate).await.unwrap().unwrap();
    let copy = Certificate {
        name: evil.clone(),
        summary: CertificateSummary { id: uuid::Uuid::from_u128(98).into(), ..stored.summary },
        ..stored
    };
    tx.insert_certificate(&copy).await.unwrap();
    tx.commit().await.unwrap();
    assert!(kit.store.certificate(&evil, copy.id()).await.unwrap().is_some(), "it is there");
    kit.schedule_upload(copy.id(), Cause::Requested).await;
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.count("PUT"), 0);
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_is_told_without_the_key() {
    let (kit, certificate) = Kit::issued().await;
    let stored = kit.store.certificate(&name(), certificate).await.unwrap().unwrap();
    let mut other = stored.clone();
    other.summary.id = uuid::Uuid::from_u128(99).into();
    other.summary.sha256 = sha256(99);
    let mut tx = kit.store.begin("test").await.unwrap();
    tx.insert_certificate(&other).await.unwrap();
    tx.commit().await.unwrap();
    kit.schedule_upload(other.id(), Cause::Requested).await;
    kit.upload().await.unwrap();
    let reason = kit.domain().await.reason().unwrap().message(&name());
    assert!(reason.contains("damaged or belongs elsewhere") && reason.contains(NAME), "{reason}");
    assert_eq!(kit.c4.count("PUT"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_hears_of_uploads_and_removals() {
    let (kit, certificate) = Kit::issued().await;
    kit.tell(EventKind::CertIssued { certificate }).await;
    kit.run_role_until(async |kit| kit.domain().await.recorded == Status::Success).await;
    assert_eq!(kit.c4.held_sha256(), Some(sha256(2)));

    let now = kit.now();
    kit.change_listed(|domain| domain.delete(now).unwrap()).await;
    kit.schedule(WorkKind::Remove, None, Cause::Requested).await;
    kit.tell(EventKind::DomainDeleted).await;
    kit.run_role_until(async |kit| kit.work(WorkKind::Remove).await.is_none()).await;
    assert_eq!(kit.c4.held_sha256(), None);
}

/// The upload was planned before the revocation was requested.
#[tokio::test]
async fn what_is_to_be_revoked_never_becomes_live_and_another_one_is_ordered() {
    let (kit, certificate) = Kit::issued().await;
    withdraw(&kit, certificate).await;
    kit.upload().await.unwrap();
    assert!(kit.c4.inside().holds.is_none());
    assert_eq!(kit.domain().await.live(), None);
    assert_eq!(kit.due_in(WorkKind::Issue).await, Some(0));
}

#[tokio::test]
async fn a_replacement_that_is_live_lets_the_revocation_go_on() {
    let (kit, certificate) = Kit::issued().await;
    kit.upload().await.unwrap();
    withdraw(&kit, certificate).await;
    kit.advance(SignedDuration::from_mins(5));
    kit.upload().await.unwrap();
    assert_eq!(kit.due_in(WorkKind::Revoke).await, Some(55 * 60), "compared only");
    let second = kit.certificate(Source::C4).await;
    kit.schedule_upload(second, Cause::Requested).await;
    kit.published().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.due_in(WorkKind::Revoke).await, Some(0));
    assert!(kit.published().await.contains(&EventKind::RevocationRequested));
}

/// Requests a revocation that is due again in an hour.
async fn withdraw(kit: &Kit, certificate: CertificateId) {
    let now = kit.now();
    let mut tx = kit.store.begin("withdraw").await.unwrap();
    tx.put_revocation(&Revocation {
        certificate,
        name: name(),
        reason: RevocationReason::KeyCompromise,
        state: RevocationState::Asked,
        requested_by: "token:test".to_owned(),
        requested_at: now,
        waits_until: now + SignedDuration::from_hours(20),
        waiting_for: String::new(),
    })
    .await
    .unwrap();
    tx.schedule(&Work {
        name: name(),
        kind: WorkKind::Revoke,
        revision: 1,
        cause: Cause::Requested,
        attempts: 0,
        due_at: Some(now + SignedDuration::from_hours(1)),
        certificate: None,
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
}
