//! Tests of a pause of C4: nothing is sent, nothing fails, and waiting work continues unchanged afterwards.

use std::time::Duration;

use domain::{Cause, HistoryKind, Outbound, Pause, Status, WorkKind};
use jiff::SignedDuration;

use super::kit::{Kit, sha256};

const HOUR: i64 = 3600;

impl Kit {
    /// Pauses C4 like the API, and waits until every process must have seen it.
    async fn pause(&self) {
        let pause = Pause {
            target: Outbound::C4,
            issuer: String::new(),
            by: "token:ops".to_owned(),
            since: self.now(),
            reason: String::new(),
        };
        let mut tx = self.store.begin("pause").await.unwrap();
        tx.pause(&pause).await.unwrap();
        tx.commit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }

    async fn resume(&self) {
        let mut tx = self.store.begin("resume").await.unwrap();
        tx.lift_pause(Outbound::C4, "").await.unwrap().unwrap();
        tx.commit().await.unwrap();
        self.advance(SignedDuration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(1050)).await;
    }
}

#[tokio::test]
async fn an_upload_waits_and_says_why() {
    let (kit, certificate) = Kit::issued().await;
    kit.pause().await;
    for _ in 0..4 {
        kit.upload().await.unwrap();
        let domain = kit.domain().await;
        assert_eq!(
            (domain.recorded, domain.reason().unwrap().code()),
            (Status::Pending, "paused_by_operator")
        );
        let work = kit.work(WorkKind::Upload).await.unwrap();
        assert_eq!((work.cause, work.attempts, work.certificate), (Cause::Requested, 0, Some(certificate)));
        assert_eq!(kit.due_in(WorkKind::Upload).await, Some(HOUR));
        kit.advance_to_upload().await;
    }
    assert!(kit.c4.inside().requests.is_empty());
    assert_eq!(kit.history().await, [HistoryKind::Paused]);

    kit.resume().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.held_sha256(), Some(sha256(2)));
    let domain = kit.domain().await;
    assert_eq!((domain.recorded, domain.reason()), (Status::Success, None));
}

#[tokio::test]
async fn an_emergency_stays_one_and_is_not_counted() {
    let (kit, _) = Kit::issued().await;
    kit.c4.trick("PUT", 500, 3);
    kit.upload().await.unwrap();
    let before = (kit.domain().await, kit.work(WorkKind::Upload).await.unwrap().attempts);
    assert_eq!(before.0.recorded, Status::Emergency);
    kit.c4.inside().requests.clear();
    kit.pause().await;
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!((kit.domain().await, kit.work(WorkKind::Upload).await.unwrap().attempts), before);
    assert!(kit.c4.inside().requests.is_empty());
    kit.resume().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await.recorded, Status::Success);
}

#[tokio::test]
async fn a_comparison_and_a_removal_wait_without_a_word() {
    let (kit, _) = Kit::live().await;
    let before = kit.domain().await;
    kit.pause().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.domain().await, before, "not even the version");
    assert_eq!(kit.work(WorkKind::Upload).await.unwrap().cause, Cause::Compare);
    let now = kit.now();
    kit.change_listed(|domain| domain.delete(now).unwrap()).await;
    kit.schedule(WorkKind::Remove, None, Cause::Requested).await;
    kit.remove().await.unwrap();
    assert_eq!(
        (kit.work(WorkKind::Remove).await.unwrap().attempts, kit.due_in(WorkKind::Remove).await),
        (0, Some(HOUR))
    );
    assert!(kit.c4.inside().requests.is_empty());
    kit.resume().await;
    kit.remove().await.unwrap();
    assert_eq!(kit.c4.held_sha256(), None);
}
