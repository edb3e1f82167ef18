//! Tests of comparisons of a live certificate.

use domain::{Activity, Cause, EventKind, HistoryKind, Reason, Status, WorkKind};
use serde_json::json;

use super::kit::{Kit, sha256};

const DAY: i64 = 24 * 3600;

#[tokio::test]
async fn no_difference_changes_nothing_and_is_looked_at_daily() {
    let (kit, _) = Kit::live().await;
    let before = kit.domain().await;
    for _ in 0..3 {
        kit.upload().await.unwrap();
        assert_eq!(kit.due_in(WorkKind::Upload).await, Some(DAY));
        kit.advance_to_upload().await;
    }
    assert_eq!(kit.domain().await, before, "not even the version");
    assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded]);
    assert_eq!((kit.c4.count("GET"), kit.c4.count("PUT")), (3, 0));
}

#[tokio::test]
async fn a_difference_is_recorded_and_put_right() {
    for held in [Some(json!({ "sha256": sha256(77), "source": "text" })), None] {
        let (kit, certificate) = Kit::live().await;
        kit.published().await;
        let renewal = kit.work(WorkKind::Issue).await;
        kit.c4.inside().holds = held;
        kit.upload().await.unwrap();
        assert_eq!(kit.c4.held_sha256(), Some(sha256(2)));
        assert_eq!(kit.c4.inside().requests[1], ("PUT", Some(2)));
        let told = [
            HistoryKind::CertificateUploaded,
            HistoryKind::DifferenceFound,
            HistoryKind::CertificateUploaded,
        ];
        assert_eq!(kit.history().await, told);
        assert_eq!(kit.published().await, [EventKind::CertUploaded { certificate }]);
        assert_eq!(kit.due_in(WorkKind::Upload).await, Some(5 * 60));
        assert_eq!(kit.work(WorkKind::Issue).await, renewal, "the renewal stays as it was planned");
        assert_eq!(kit.domain().await.recorded, Status::Success);
    }
}

#[tokio::test]
async fn a_question_without_an_answer_changes_nothing() {
    let (kit, _) = Kit::live().await;
    let before = kit.domain().await;
    kit.c4.trick("GET", 503, 2);
    for (attempts, seconds) in [(1, 5), (2, 10)] {
        kit.upload().await.unwrap();
        let work = kit.work(WorkKind::Upload).await.unwrap();
        assert_eq!((work.cause, work.attempts), (Cause::Compare, attempts));
        assert_eq!(kit.due_in(WorkKind::Upload).await, Some(seconds));
        kit.advance_to_upload().await;
    }
    assert!(kit.slept().is_empty());
    assert_eq!(kit.domain().await, before);
    kit.upload().await.unwrap();
    assert_eq!(kit.work(WorkKind::Upload).await.unwrap().attempts, 0);
}

#[tokio::test]
async fn a_difference_that_cannot_be_put_right_is_an_emergency() {
    let (kit, _) = Kit::live().await;
    kit.c4.inside().holds = None;
    kit.c4.trick("PUT", 422, 3);
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Emergency);
    let told = [HistoryKind::CertificateUploaded, HistoryKind::DifferenceFound, HistoryKind::UploadFailed];
    assert_eq!(kit.history().await, told);
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Success);
    assert_eq!(kit.history().await.len(), 4, "the difference is told once");
}

#[tokio::test]
async fn one_404_takes_nothing_from_a_live_domain() {
    let (kit, _) = Kit::live().await;
    kit.c4.inside().knows = false;
    for seconds in [60, 300, 1800, 6 * 3600, 6 * 3600] {
        kit.upload().await.unwrap();
        assert_eq!(kit.domain().await.recorded, Status::Success);
        assert_eq!(kit.due_in(WorkKind::Upload).await, Some(seconds));
        kit.advance_to_upload().await;
    }
    assert_eq!(kit.domain().await.waiting, Some(Reason::UnknownToC4));
    assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded, HistoryKind::UnknownToC4]);
    kit.c4.inside().knows = true;
    kit.upload().await.unwrap();
    let domain = kit.domain().await;
    assert_eq!((domain.waiting, domain.activity), (None, Activity::Idle));
}

/// An obstacle to the renewal is not affected by an upload of the present certificate.
#[tokio::test]
async fn a_blocked_renewal_stays_blocked() {
    let (kit, _) = Kit::live().await;
    let reason = Reason::NotPointed {
        target: "edge.cdn.example.net".into(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    };
    let block = reason.clone();
    kit.change_listed(|domain| domain.blocked(block).unwrap()).await;
    kit.c4.inside().holds = None;
    kit.upload().await.unwrap();
    let domain = kit.domain().await;
    assert_eq!(domain.block(), Some(&reason));
    assert!(domain.is_renewal_blocked(kit.now()));
}
