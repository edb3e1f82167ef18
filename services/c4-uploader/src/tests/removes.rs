//! Tests of removing a deleted domain's certificate from C4.

use domain::{Cause, HistoryKind, WorkKind};

use super::kit::Kit;

async fn deleted() -> Kit {
    let (kit, _) = Kit::live().await;
    let now = kit.now();
    kit.change_listed(|domain| domain.delete(now).unwrap()).await;
    kit.schedule(WorkKind::Remove, None, Cause::Requested).await;
    kit
}

#[tokio::test]
async fn the_certificate_is_removed() {
    let kit = deleted().await;
    kit.remove().await.unwrap();
    assert_eq!(kit.c4.held_sha256(), None);
    assert_eq!(kit.c4.inside().requests, [("DELETE", Some(3))]);
    assert_eq!(kit.row().await.upload_revision, 3);
    assert_eq!(kit.work(WorkKind::Remove).await, None);
    assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded, HistoryKind::CertificateRemoved]);
}

#[tokio::test]
async fn a_domain_that_is_gone_from_c4_is_fine() {
    let kit = deleted().await;
    kit.c4.inside().knows = false;
    kit.remove().await.unwrap();
    assert_eq!(kit.work(WorkKind::Remove).await, None);
    assert_eq!(kit.history().await.last(), Some(&HistoryKind::CertificateRemoved));
}

#[tokio::test]
async fn a_failed_removal_is_tried_for_ever() {
    let kit = deleted().await;
    kit.c4.trick("DELETE", 500, 3);
    for minutes in [1, 2, 4] {
        kit.remove().await.unwrap();
        assert_eq!(kit.due_in(WorkKind::Remove).await, Some(minutes * 60));
        let due_at = kit.work(WorkKind::Remove).await.unwrap().due_at.unwrap();
        kit.advance(due_at.duration_since(kit.now()));
    }
    kit.remove().await.unwrap();
    assert_eq!(kit.work(WorkKind::Remove).await, None);
}

#[tokio::test]
async fn a_removal_of_our_certificate_goes_over_what_is_not_stored_here() {
    let kit = deleted().await;
    kit.c4.inside().revision = 100;
    kit.remove().await.unwrap();
    assert_eq!(kit.c4.held_sha256(), None);
    assert_eq!(kit.c4.count("DELETE"), 2);
    assert_eq!(kit.work(WorkKind::Remove).await, None);
}

#[tokio::test]
async fn a_name_that_is_back_on_the_list_keeps_its_certificate() {
    let kit = deleted().await;
    let (row, now) = (kit.row().await, kit.now());
    kit.change(Some(row), |row| row.unwrap().added_again(now).unwrap()).await;
    kit.remove().await.unwrap();
    assert!(kit.c4.inside().requests.is_empty());
    assert_eq!(kit.work(WorkKind::Remove).await, None);
}
