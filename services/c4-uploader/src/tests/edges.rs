//! Tests with a certificate that C4 has and the edges do not serve.

use domain::{Activity, Cause, HistoryKind, Reason, Status, WorkKind};

use super::kit::{Kit, name};

/// No server listens there.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test]
async fn edges_that_are_behind_hold_the_certificate_back_and_are_an_emergency_after_a_quarter_of_an_hour() {
    let (kit, certificate) = Kit::issued_with_edges(&[NOBODY]).await;
    let began = kit.now();
    kit.upload().await.unwrap();
    let domain = kit.domain().await;
    assert_eq!((domain.recorded, domain.activity), (Status::Pending, Activity::VerifyingEdges));
    assert_eq!(domain.live(), None);
    assert!(
        matches!(&domain.waiting, Some(Reason::NotServed { behind }) if behind.edges[0].edge == NOBODY && behind.asked == 1)
    );
    let stored = kit.store.certificate(&name(), certificate).await.unwrap().unwrap();
    assert_eq!(stored.uploaded_at, Some(began), "C4 has it");
    assert_eq!(kit.due_in(WorkKind::Upload).await, Some(5));

    while kit.domain().await.recorded == Status::Pending {
        kit.advance_to_upload().await;
        kit.upload().await.unwrap();
    }
    assert_eq!(kit.now().duration_since(began).as_mins(), 15);
    let domain = kit.domain().await;
    assert_eq!(domain.recorded, Status::Emergency);
    assert!(matches!(domain.upload_failing(), Some(Reason::NotServed { .. })));
    assert_eq!(kit.due_in(WorkKind::Upload).await, Some(60));
    assert_eq!(kit.c4.count("PUT"), 1, "it is sent once");
    assert_eq!(kit.history().await, [HistoryKind::NotServedYet, HistoryKind::UploadFailed]);

    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    let again = kit.work(WorkKind::Upload).await.unwrap();
    assert_eq!((again.cause, again.attempts), (Cause::Retry, 2));
    assert_eq!(kit.domain().await.recorded, Status::Emergency);
}
