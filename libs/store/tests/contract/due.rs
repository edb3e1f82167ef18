//! The sweep: what is due, free, and not hinted at lately.

use std::time::Duration;

use domain::{CertificateId, EventKind, Work, WorkKind};
use store::Store;

use crate::kit::{Case, add, add_due, at, attempt, fresh_uuid, name, publish, schedule, work, write};

/// Sweeps at `now`; a hint is valid for 10 seconds.
async fn sweep(store: &Case, now: i64, limit: u32) -> Vec<Work> {
    mark(store.at(now), now, limit).await
}

async fn mark(store: &Store, now: i64, limit: u32) -> Vec<Work> {
    let mut tx = store.begin("sweep").await.unwrap();
    let due = tx.mark_due(at(now - 10), limit).await.unwrap();
    tx.commit().await.unwrap();
    due
}

/// The order holds within a batch and from batch to batch.
pub async fn the_longest_due_comes_first(store: Case) {
    for (label, due) in [("a", 50), ("b", 10), ("c", 40), ("d", 20), ("e", 60), ("f", 30)] {
        add(&store, label).await;
        schedule(&store, &work(label, WorkKind::Issue, Some(at(due)))).await;
    }
    let mut order = Vec::new();
    for size in [4, 2, 0] {
        let batch = sweep(&store, 100, 4).await;
        assert_eq!(batch.len(), size);
        order.extend(batch.into_iter().map(|row| row.name));
    }
    assert_eq!(order, ["b", "d", "f", "c", "a", "e"].map(name));
}

/// No hint about work that waits for a person or is leased; one about work whose lease ended.
pub async fn only_due_and_free_work_is_hinted_at(store: Case) {
    let row = add_due(&store, "leased", WorkKind::Issue).await;
    add(&store, "parked").await;
    schedule(&store, &work("parked", WorkKind::Issue, None)).await;
    store.at(80).claim(row.kind, &row.name, at(110)).await.unwrap().unwrap();
    assert_eq!(sweep(&store, 109, 10).await, []);
    assert_eq!(sweep(&store, 110, 10).await, [row], "its lease ended");
}

/// A hint that was not committed was not sent.
pub async fn marks_of_a_dropped_transaction_do_not_count(store: Case) {
    let row = add_due(&store, "shop", WorkKind::Issue).await;
    let marked = attempt(store.at(100), async |tx| tx.mark_due(at(90), 10).await).await;
    assert_eq!(marked.unwrap().len(), 1);
    // A sweep skips rows that another transaction holds, and a dropped transaction may be rolled back a moment later.
    let swept = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match sweep(&store, 100, 10).await {
                none if none.is_empty() => tokio::time::sleep(Duration::from_millis(10)).await,
                some => break some,
            }
        }
    });
    assert_eq!(swept.await.expect("the mark is gone"), [row]);
}

/// Each kind that makes a worker claim counts for its own kind of work and name, and no other event does.
pub async fn a_published_hint_counts_as_given(store: Case) {
    let certificate = CertificateId::from(fresh_uuid());
    add(&store, "hinted").await;
    add(&store, "other").await;
    for (kind, hint) in [
        (WorkKind::Issue, EventKind::CertificateRequested),
        (WorkKind::Upload, EventKind::CertIssued { certificate }),
        (WorkKind::Remove, EventKind::DomainDeleted),
        (WorkKind::Revoke, EventKind::RevocationRequested),
    ] {
        let labels = ["hinted", "other"];
        for label in labels {
            schedule(&store, &work(label, kind, Some(at(100)))).await;
        }
        publish(store.at(100), &[("hinted", hint)]).await;
        assert_eq!(sweep(&store, 100, 10).await, [work("other", kind, Some(at(100)))]);
        assert_eq!(sweep(&store, 109, 10).await, []);
        assert_eq!(sweep(&store, 110, 10).await.len(), 2, "{kind}: a hint is valid for 10 s");
        write(&store, async |tx| {
            for label in labels {
                tx.cancel(&name(label), kind).await?;
            }
            Ok(())
        })
        .await;
    }
}

/// The row of a hint may be written after the hint was published, in the same transaction.
pub async fn a_hint_counts_before_its_work(store: Case) {
    add(&store, "shop").await;
    write(store.at(100), async |tx| {
        tx.publish(EventKind::CertificateRequested, &name("shop"), 1);
        tx.schedule(&work("shop", WorkKind::Issue, Some(at(100)))).await
    })
    .await;
    assert_eq!(sweep(&store, 109, 10).await, []);
    assert_eq!(sweep(&store, 110, 10).await.len(), 1);
}

/// Events that make no worker claim leave the sweep as it is.
pub async fn other_events_are_no_hints(store: Case) {
    let certificate = CertificateId::from(fresh_uuid());
    add(&store, "shop").await;
    for kind in WorkKind::ALL {
        schedule(&store, &work("shop", kind, Some(at(100)))).await;
    }
    let events = [
        EventKind::ChallengeReady,
        EventKind::IssueFailed,
        EventKind::CertUploaded { certificate },
        EventKind::UploadFailed { certificate },
        EventKind::StatusChanged,
    ];
    publish(store.at(100), &events.map(|kind| ("shop", kind))).await;
    assert_eq!(sweep(&store, 100, 10).await.len(), WorkKind::ALL.len());
}

/// A hint is about the row as it was: a row that is scheduled anew, finished with more to do, given back or freed is
/// hinted at again at once.
pub async fn a_changed_row_is_hinted_at_again(store: Case) {
    let row = add_due(&store, "shop", WorkKind::Issue).await;
    let swept = [row.clone()];
    let claim = async || {
        let claimed = store.at(100).claim(row.kind, &row.name, at(130)).await;
        claimed.unwrap().unwrap()
    };
    assert_eq!(sweep(&store, 100, 10).await, swept);
    assert_eq!(sweep(&store, 100, 10).await, []);
    schedule(&store, &row).await;
    assert_eq!(sweep(&store, 100, 10).await, swept, "scheduled");
    let lease = claim().await;
    write(&store, async |tx| tx.finish(&lease, Some(&row)).await).await;
    assert_eq!(sweep(&store, 100, 10).await, swept, "finished");
    store.release(&claim().await).await.unwrap();
    assert_eq!(sweep(&store, 100, 10).await, swept, "released");
    store.free_all_leases().await.unwrap();
    assert_eq!(sweep(&store, 100, 10).await, swept, "freed without a lease");
    claim().await;
    store.free_all_leases().await.unwrap();
    assert_eq!(sweep(&store, 100, 10).await, swept, "freed with a lease");
}

/// Any number of schedulers may sweep at once.
pub async fn sweeps_at_once_mark_nothing_twice(store: Case) {
    for number in 0..60 {
        add_due(&store, &format!("d{number:02}"), WorkKind::Issue).await;
    }
    store.at(100);
    let sweeps: Vec<_> = (0..10)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { mark(&store, 100, 10).await })
        })
        .collect();
    let mut marked = Vec::new();
    for sweep in sweeps {
        marked.extend(sweep.await.unwrap().into_iter().map(|row| row.name));
    }
    assert_eq!(marked.len(), 60);
    marked.sort();
    marked.dedup();
    assert_eq!(marked.len(), 60, "a row was marked twice");
}
