//! The guard after a restore.

use domain::{Cause, HistoryKind, Source, Status, WorkKind};
use jiff::SignedDuration;
use serde_json::json;

use super::kit::{Kit, name, sha256};
use crate::{GuardedJobs, Round};

fn newer(source: &str) -> serde_json::Value {
    json!({ "sha256": sha256(77), "source": source, "not_after": "2030-01-01T00:00:00Z" })
}

/// A process that starts on a store that C4 is ahead of.
async fn restored() -> (Kit, GuardedJobs) {
    let (kit, _) = Kit::live().await;
    kit.c4.inside().holds = Some(newer("c4"));
    let jobs = GuardedJobs::new(&kit.uploader.context).unwrap();
    (kit, jobs)
}

#[tokio::test]
async fn nothing_is_sent_until_every_name_was_compared() {
    let (kit, jobs) = restored().await;
    assert!(!jobs.guard.may_send().await.unwrap(), "an upload looks before");
    assert_eq!(jobs.guard.round().await.unwrap(), Round::Compared);
    let guard = kit.store.restore_guard().await.unwrap();
    assert_eq!((guard.up_since(), guard.evidence.as_str()), (Some(kit.now()), name().as_str()));

    // Another certificate of the name waits, whatever the other process has checked.
    kit.c4.inside().holds = None;
    let issued = kit.certificate(Source::C4).await;
    kit.schedule_upload(issued, Cause::Requested).await;
    let lease = kit.claim(WorkKind::Upload).await;
    jobs.uploads.perform(&lease).await.unwrap();
    kit.advance(SignedDuration::from_secs(60));
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.count("PUT"), 0);
    assert_eq!(
        (kit.due_in(WorkKind::Upload).await, kit.domain().await.recorded),
        (Some(60), Status::Success)
    );
    assert_eq!(kit.domain().await.reason().unwrap().code(), "restore_guard");
    assert_eq!(kit.history().await, [HistoryKind::CertificateUploaded], "nothing happened yet");

    assert_eq!(jobs.guard.round().await.unwrap(), Round::Compared, "the end of the list");
    assert_eq!(jobs.guard.round().await.unwrap(), Round::Down);
    assert!(jobs.guard.may_send().await.unwrap());
    kit.advance_to_upload().await;
    kit.upload().await.unwrap();
    assert_eq!(kit.c4.held_sha256(), Some(sha256(3)));
    assert_eq!(kit.domain().await.reason(), None);
}

#[tokio::test]
async fn a_removal_waits_for_the_guard_too() {
    let (kit, jobs) = restored().await;
    jobs.guard.round().await.unwrap();
    let (domain, now) = (kit.row().await, kit.now());
    kit.change(Some(domain), |domain| domain.unwrap().delete(now).unwrap()).await;
    kit.schedule(WorkKind::Remove, None, Cause::Requested).await;
    let lease = kit.claim(WorkKind::Remove).await;
    jobs.removals.perform(&lease).await.unwrap();
    assert_eq!((kit.c4.count("DELETE"), kit.due_in(WorkKind::Remove).await), (0, Some(60)));
}

#[tokio::test]
async fn an_operator_ends_the_guard_and_it_is_not_raised_again_at_once() {
    let (kit, jobs) = restored().await;
    jobs.guard.round().await.unwrap();
    let mut tx = kit.store.begin("accept").await.unwrap();
    assert!(tx.release_restore_guard(None).await.unwrap());
    tx.commit().await.unwrap();
    assert!(jobs.guard.may_send().await.unwrap());
    for (hours, expected) in [(1, Round::Down), (26, Round::Compared)] {
        kit.advance(SignedDuration::from_hours(hours));
        let again = GuardedJobs::new(&kit.uploader.context).unwrap();
        assert_eq!(again.guard.round().await.unwrap(), expected, "{hours} h later");
    }
}

#[tokio::test]
async fn what_is_no_sign_of_a_restore_raises_nothing() {
    let ours = json!({ "sha256": sha256(2), "source": "c4" });
    let earlier = json!({ "sha256": sha256(77), "source": "c4", "not_after": "2026-06-02T00:00:00Z" });
    for holds in [None, Some(ours), Some(earlier), Some(newer("text"))] {
        let (kit, _) = Kit::live().await;
        kit.c4.inside().holds.clone_from(&holds);
        let jobs = GuardedJobs::new(&kit.uploader.context).unwrap();
        assert_eq!(jobs.guard.round().await.unwrap(), Round::Down, "{holds:?}");
        assert!(jobs.guard.may_send().await.unwrap());
    }
}

/// The difference was noted at the name, and another certificate is ordered: the next start does not raise the guard.
#[tokio::test]
async fn what_is_noted_already_raises_nothing() {
    let (kit, jobs) = restored().await;
    kit.upload().await.unwrap();
    kit.advance_to_upload().await;
    assert_eq!(jobs.guard.round().await.unwrap(), Round::Down);
}

#[tokio::test]
async fn a_c4_that_cannot_be_asked_keeps_everything_back() {
    let (kit, jobs) = restored().await;
    kit.c4.trick("GET", 503, 6);
    let error = jobs.guard.round().await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    assert!(!jobs.guard.may_send().await.unwrap());
    assert!(kit.c4.inside().tricks.is_empty());
    assert_eq!(kit.store.restore_guard().await.unwrap().raised_at, None);
    assert_eq!(jobs.guard.round().await.unwrap(), Round::Compared, "it is asked again");
}
