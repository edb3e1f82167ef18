//! Tests with a C4 that is ahead of the database, as after a restore from a backup: its state never goes back.

use domain::{
    Activity, Cause, CertificateId, Domain, HistoryKind, Reason, RevocationReason, RevocationState, Source,
    Status, WorkKind,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::Revocation;

use super::kit::{Kit, name, sha256};

const DAY: i64 = 24 * 3600;

/// A certificate that is not stored here and ends later than any of ours.
fn newer(source: &str) -> Value {
    json!({ "sha256": sha256(77), "source": source, "not_after": "2030-01-01T00:00:00Z" })
}

/// Sets C4 as if `uploads` uploads had been sent after the backup, the last of which left `holds` there.
fn ahead(kit: &Kit, uploads: i64, holds: Option<Value>) {
    let mut inside = kit.c4.inside();
    inside.revision += 2 * uploads;
    inside.holds = holds;
}

fn revisions(kit: &Kit) -> Vec<i64> {
    kit.c4.inside().requests.iter().filter_map(|(_, revision)| *revision).collect()
}

#[tokio::test]
async fn the_live_certificate_gives_way_to_a_newer_one_and_another_is_ordered() {
    for uploads in [0, 1, 20] {
        let (kit, certificate) = Kit::live().await;
        ahead(&kit, uploads, Some(newer("c4")));
        for _ in 0..2 {
            kit.upload().await.unwrap();
            assert_eq!((kit.c4.count("PUT"), kit.c4.held_sha256()), (0, Some(sha256(77))));
            let domain = kit.domain().await;
            assert_eq!((domain.recorded, domain.activity), (Status::Success, Activity::Preflight));
            assert_eq!(domain.live().unwrap().certificate, certificate);
            assert_eq!(kit.due_in(WorkKind::Issue).await, Some(0));
            assert_eq!(kit.due_in(WorkKind::Upload).await, Some(DAY));
            kit.advance_to_upload().await;
        }
        assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded, HistoryKind::AheadAtC4]);
    }
}

/// A paste, a roll back or a removal is visible by its revision alone, after a single upload.
#[tokio::test]
async fn one_upload_that_is_not_stored_here_is_enough_to_stay_away() {
    for (holds, waiting) in [
        (Some(newer("text")), Some("pasted_lost")),
        (Some(json!({ "sha256": sha256(77), "source": "c4" })), None),
        (None, None),
    ] {
        let (kit, _) = Kit::live().await;
        ahead(&kit, 1, holds.clone());
        kit.upload().await.unwrap();
        assert_eq!(kit.c4.inside().holds, holds, "it stays");
        assert_eq!(revisions(&kit), [2], "between the upload that is stored and the next one");
        assert_eq!(kit.domain().await.waiting.map(|reason| reason.code()), waiting);
        kit.advance_to_upload().await;
        kit.upload().await.unwrap();
        assert_eq!(revisions(&kit), [2], "C4 is not asked for what is known");
        let told = kit.history().await;
        assert_eq!(told.iter().filter(|kind| **kind == HistoryKind::AheadAtC4).count(), 1);
        assert_eq!(kit.domain().await.recorded, Status::Success);
    }
}

#[tokio::test]
async fn without_such_an_upload_a_difference_is_put_right() {
    for holds in [Some(newer("text")), Some(json!({ "sha256": sha256(77), "source": "c4" })), None] {
        let (kit, _) = Kit::live().await;
        for _ in 0..3 {
            kit.c4.inside().holds.clone_from(&holds);
            kit.upload().await.unwrap();
            assert_eq!(kit.c4.held_sha256(), Some(sha256(2)));
            kit.advance_to_upload().await;
        }
        let renewed = kit.certificate(Source::C4).await;
        kit.schedule_upload(renewed, Cause::Requested).await;
        kit.upload().await.unwrap();
        assert_eq!(revisions(&kit), [2, 2, 2, 3], "a late comparison cannot overwrite what follows");
        assert_eq!(kit.domain().await.live().unwrap().certificate, renewed);
    }
}

#[tokio::test]
async fn a_certificate_of_ours_that_c4_went_on_to_is_taken_over() {
    for source in [Source::C4, Source::Text] {
        let (kit, certificate) = Kit::live().await;
        let other = kit.certificate(source).await;
        ahead(&kit, 5, Some(json!({ "sha256": sha256(3), "source": source.as_str() })));
        kit.upload().await.unwrap();
        let domain = kit.domain().await;
        assert_eq!(domain.live().unwrap().certificate, other);
        assert_eq!((domain.previous, domain.source), (Some(certificate), source));
        assert_eq!(kit.history().await.last(), Some(&HistoryKind::TakenOver));
        let renewal = kit.work(WorkKind::Issue).await.map(|work| work.cause);
        assert_eq!(renewal, (source == Source::C4).then_some(Cause::Renewal));
        let compare = kit.work(WorkKind::Upload).await.unwrap();
        assert_eq!((compare.cause, compare.certificate), (Cause::Compare, Some(other)));

        let renewed = kit.certificate(Source::C4).await;
        kit.schedule_upload(renewed, Cause::Requested).await;
        kit.upload().await.unwrap();
        assert_eq!(kit.domain().await.live().unwrap().certificate, renewed, "at the first attempt");
        assert_eq!(kit.c4.count("PUT"), 2);
    }
}

#[tokio::test]
async fn what_is_ordered_after_c4_was_found_ahead_goes_over_it() {
    for holds in [Some(newer("c4")), None] {
        let (kit, _) = Kit::live().await;
        ahead(&kit, 20, holds);
        kit.upload().await.unwrap();
        kit.advance(SignedDuration::from_secs(30));
        let ordered = kit.certificate(Source::C4).await;
        kit.schedule_upload(ordered, Cause::Requested).await;
        kit.upload().await.unwrap();
        let domain = kit.domain().await;
        assert_eq!(domain.live().unwrap().certificate, ordered);
        assert_eq!((domain.recorded, domain.ahead_at_c4), (Status::Success, None));
        assert!(domain.upload_revision > kit.now().as_second(), "and above what comes late");
        assert!(kit.slept().is_empty());
    }
}

/// It was issued before the backup, or while C4's state was unknown.
#[tokio::test]
async fn an_upload_that_c4_finds_stale_is_not_insisted_upon() {
    let (kit, _) = Kit::issued().await;
    ahead(&kit, 1, Some(json!({ "sha256": sha256(77), "source": "c4" })));
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.inside().requests, [("GET", None), ("PUT", Some(1))]);
    assert_eq!(kit.c4.held_sha256(), Some(sha256(77)));
    let domain = kit.domain().await;
    assert_eq!((domain.recorded, domain.activity), (Status::Pending, Activity::Preflight));
    assert_eq!(kit.history().await, [HistoryKind::AheadAtC4]);
    assert_eq!(kit.work(WorkKind::Upload).await, None);
    assert_eq!(kit.due_in(WorkKind::Issue).await, Some(0));
    assert!(kit.slept().is_empty(), "an answer is no failure");
}

/// A roll back and a paste are a person's decision, made after C4's state was shown.
#[tokio::test]
async fn what_is_asked_for_after_c4_was_found_ahead_goes_over_it() {
    type Request = fn(Domain) -> Domain;
    let requests: [(Source, Request); 2] = [
        (Source::C4, |domain| domain.roll_back(Source::C4).unwrap()),
        (Source::Text, |domain| domain.import().unwrap()),
    ];
    for (source, request) in requests {
        let (kit, _) = Kit::live().await;
        let other = kit.certificate(source).await;
        kit.advance(SignedDuration::from_secs(1));
        ahead(&kit, 3, Some(newer("c4")));
        kit.upload().await.unwrap();
        assert_eq!(kit.c4.held_sha256(), Some(sha256(77)));
        kit.change_listed(request).await;
        kit.schedule_upload(other, Cause::Requested).await;
        kit.upload().await.unwrap();
        assert_eq!(kit.c4.held_sha256(), Some(sha256(3)));
        assert_eq!(kit.domain().await.live().unwrap().certificate, other);
    }
}

#[tokio::test]
async fn a_pasted_certificate_that_is_lost_here_is_asked_for() {
    let (kit, _) = Kit::live().await;
    ahead(&kit, 1, Some(newer("text")));
    let renewal = kit.work(WorkKind::Issue).await;
    kit.upload().await.unwrap();
    let ends = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(kit.domain().await.waiting, Some(Reason::PastedLost { at: Some(ends) }));
    assert_eq!(kit.work(WorkKind::Issue).await, renewal, "nothing is ordered over it");
    assert_eq!(kit.c4.held_sha256(), Some(sha256(77)));
}

#[tokio::test]
async fn a_revoked_certificate_is_not_uploaded_again() {
    for holds in [None, Some(json!({ "sha256": sha256(77), "source": "text" }))] {
        let (kit, certificate) = Kit::live().await;
        revoke(&kit, certificate).await;
        kit.c4.inside().holds.clone_from(&holds);
        for _ in 0..2 {
            kit.upload().await.unwrap();
            assert_eq!((kit.c4.count("PUT"), kit.c4.inside().holds.clone()), (0, holds.clone()));
            assert_eq!(kit.due_in(WorkKind::Issue).await, Some(0));
            kit.advance_to_upload().await;
        }
        let told = [HistoryKind::CertificateUploaded, HistoryKind::NotUploadedAgain];
        assert_eq!(kit.history().await[..2], told);
        assert_eq!(kit.domain().await.ahead_at_c4, None);
    }
}

#[tokio::test]
async fn a_removal_leaves_what_is_not_stored_here() {
    let (kit, _) = Kit::live().await;
    ahead(&kit, 5, Some(newer("c4")));
    for removed in [false, true] {
        let (domain, now) = (kit.row().await, kit.now());
        kit.change(Some(domain), |domain| domain.unwrap().delete(now).unwrap()).await;
        kit.schedule(WorkKind::Remove, None, Cause::Requested).await;
        kit.remove().await.unwrap();
        assert_eq!(kit.work(WorkKind::Remove).await, None);
        assert_eq!(kit.c4.held_sha256().is_none(), removed, "it was told what is there");
        let told = if removed { HistoryKind::CertificateRemoved } else { HistoryKind::AheadAtC4 };
        assert_eq!(kit.history().await.last(), Some(&told));
        let domain = kit.row().await;
        kit.change(Some(domain), |domain| domain.unwrap().added_again(now).unwrap()).await;
    }
}

async fn revoke(kit: &Kit, certificate: CertificateId) {
    let now = kit.now();
    let mut tx = kit.store.begin("revoke").await.unwrap();
    tx.put_revocation(&Revocation {
        certificate,
        name: name(),
        reason: RevocationReason::KeyCompromise,
        state: RevocationState::Revoked,
        requested_by: "token:test".to_owned(),
        requested_at: now,
        waits_until: now,
        waiting_for: String::new(),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
}
