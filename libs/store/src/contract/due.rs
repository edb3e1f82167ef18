//! The sweep: what is due, free, and not hinted at lately.

use std::{sync::Arc, time::Duration};

use domain::{CertificateId, EventKind, Work, WorkKind};

use super::{add, at, event, fresh_uuid, name, publish, schedule, work, write};
use crate::Store;

/// Sweeps at `now`; a hint lives for 10 seconds.
async fn sweep(store: &dyn Store, now: i64, limit: u32) -> Vec<Work> {
    let mut tx = store.begin("sweep").await.expect("a transaction");
    let due = tx.mark_due(at(now), at(now - 10), limit).await.expect("marked");
    tx.commit().await.expect("committed");
    due
}

async fn add_due(store: &dyn Store, label: &str) -> Work {
    add(store, label).await;
    let row = work(label, WorkKind::Issue, Some(at(0)));
    schedule(store, &row).await;
    row
}

/// Within a batch and from batch to batch.
pub async fn the_longest_due_comes_first(store: Arc<dyn Store>) {
    for (label, due) in [("a", 50), ("b", 10), ("c", 40), ("d", 20), ("e", 60), ("f", 30)] {
        add(&*store, label).await;
        schedule(&*store, &work(label, WorkKind::Issue, Some(at(due)))).await;
    }
    let mut order = Vec::new();
    for size in [4, 2, 0] {
        let batch = sweep(&*store, 100, 4).await;
        assert_eq!(batch.len(), size);
        order.extend(batch.into_iter().map(|row| row.name));
    }
    assert_eq!(order, ["b", "d", "f", "c", "a", "e"].map(name));
}

/// What waits for a person, or is in somebody's hands, is not hinted at; what was left there is.
pub async fn only_due_and_free_work_is_hinted_at(store: Arc<dyn Store>) {
    let row = add_due(&*store, "leased").await;
    add(&*store, "parked").await;
    schedule(&*store, &work("parked", WorkKind::Issue, None)).await;
    store.claim(row.kind, &row.name, at(80), at(110)).await.expect("asked").expect("due");
    assert_eq!(sweep(&*store, 109, 10).await, []);
    assert_eq!(sweep(&*store, 110, 10).await, [row], "its lease ended");
}

/// An uncommitted hint was never sent.
pub async fn marks_of_a_dropped_transaction_do_not_count(store: Arc<dyn Store>) {
    let row = add_due(&*store, "shop").await;
    let mut tx = store.begin("sweep").await.expect("a transaction");
    assert_eq!(tx.mark_due(at(100), at(90), 10).await.expect("marked").len(), 1);
    drop(tx);
    // A sweep passes over what somebody else holds, and a store may undo a dropped transaction a moment later.
    let swept = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match sweep(&*store, 100, 10).await {
                none if none.is_empty() => tokio::time::sleep(Duration::from_millis(10)).await,
                some => break some,
            }
        }
    });
    assert_eq!(swept.await.expect("the mark is gone"), [row]);
}

/// Each kind that makes a worker claim counts for its own kind of work and name, and no other event does.
pub async fn a_published_hint_counts_as_told(store: Arc<dyn Store>) {
    let certificate = CertificateId::from(fresh_uuid());
    add(&*store, "told").await;
    add(&*store, "untold").await;
    for (kind, hint) in [
        (WorkKind::Issue, EventKind::CertificateRequested),
        (WorkKind::Upload, EventKind::CertIssued { certificate }),
        (WorkKind::Remove, EventKind::DomainDeleted),
        (WorkKind::Revoke, EventKind::RevocationRequested),
    ] {
        let labels = ["told", "untold"];
        for label in labels {
            schedule(&*store, &work(label, kind, Some(at(100)))).await;
        }
        publish(&*store, &[event("told", hint)], at(100)).await;
        assert_eq!(sweep(&*store, 100, 10).await, [work("untold", kind, Some(at(100)))]);
        assert_eq!(sweep(&*store, 109, 10).await, []);
        assert_eq!(sweep(&*store, 110, 10).await.len(), 2, "{kind}: a hint lives so long");
        write(&*store, async |tx| {
            for label in labels {
                tx.cancel(&name(label), kind).await?;
            }
            Ok(())
        })
        .await;
    }
}

/// The events that only tell of something leave the sweep as it is.
pub async fn news_is_no_hint(store: Arc<dyn Store>) {
    let certificate = CertificateId::from(fresh_uuid());
    add(&*store, "shop").await;
    for kind in WorkKind::ALL {
        schedule(&*store, &work("shop", kind, Some(at(100)))).await;
    }
    let news = [
        EventKind::ChallengeReady,
        EventKind::IssueFailed,
        EventKind::CertUploaded { certificate },
        EventKind::UploadFailed { certificate },
        EventKind::StatusChanged,
    ];
    publish(&*store, &news.map(|kind| event("shop", kind)), at(100)).await;
    assert_eq!(sweep(&*store, 100, 10).await.len(), WorkKind::ALL.len());
}

/// A hint is about the row as it was: scheduled anew, finished with more to do, given back or freed, it is told of
/// at once.
pub async fn a_changed_row_is_hinted_at_again(store: Arc<dyn Store>) {
    let row = add_due(&*store, "shop").await;
    let swept = [row.clone()];
    let claim = async || {
        let claimed = store.claim(row.kind, &row.name, at(100), at(130)).await;
        claimed.expect("asked").expect("due and free")
    };
    assert_eq!(sweep(&*store, 100, 10).await, swept);
    assert_eq!(sweep(&*store, 100, 10).await, []);
    schedule(&*store, &row).await;
    assert_eq!(sweep(&*store, 100, 10).await, swept, "scheduled");
    let lease = claim().await;
    write(&*store, async |tx| tx.finish(&lease, Some(&row)).await).await;
    assert_eq!(sweep(&*store, 100, 10).await, swept, "finished");
    store.release(&claim().await).await.expect("released");
    assert_eq!(sweep(&*store, 100, 10).await, swept, "released");
    store.free_all_leases().await.expect("freed");
    assert_eq!(sweep(&*store, 100, 10).await, swept, "freed without a lease");
    claim().await;
    store.free_all_leases().await.expect("freed");
    assert_eq!(sweep(&*store, 100, 10).await, swept, "freed with a lease");
}

/// Any number of schedulers may run.
pub async fn sweeps_at_once_mark_nothing_twice(store: Arc<dyn Store>) {
    for number in 0..60 {
        add_due(&*store, &format!("d{number:02}")).await;
    }
    let sweeps: Vec<_> = (0..10)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { sweep(&*store, 100, 10).await })
        })
        .collect();
    let mut marked = Vec::new();
    for sweep in sweeps {
        marked.extend(sweep.await.expect("no panic").into_iter().map(|row| row.name));
    }
    assert_eq!(marked.len(), 60);
    marked.sort();
    marked.dedup();
    assert_eq!(marked.len(), 60, "a row was marked twice");
}
