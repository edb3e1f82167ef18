//! Work rows, leases, fencing.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{Cause, EventKind, WorkKind};

use super::{add, at, event, is_lost, name, publish, schedule, update, work, write};
use crate::Store;

/// Only when due, only once, and as it was scheduled.
pub async fn work_is_claimed_once_and_when_due(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let due = work("shop", WorkKind::Issue, Some(at(10)));
    schedule(&*store, &due).await;
    let claim = async |now: i64| {
        store.claim(WorkKind::Issue, &name("shop"), at(now), at(now + 30)).await.expect("asked")
    };
    assert_eq!(claim(9).await, None);
    let lease = claim(10).await.expect("due");
    assert_eq!((lease.work, lease.expires_at), (due.clone(), at(40)));
    assert_eq!(claim(11).await, None);
    assert_eq!(store.claim(WorkKind::Upload, &name("shop"), at(11), at(41)).await.expect("asked"), None);
    let mut waits_for_a_person = due;
    waits_for_a_person.due_at = None;
    schedule(&*store, &waits_for_a_person).await;
    assert_eq!(claim(100).await, None);
    assert_eq!(store.work(&name("shop")).await.expect("read"), [waits_for_a_person]);
}

/// Four claimers for each of a hundred rows: each row has one winner, each lease its own token.
pub async fn concurrent_claims_are_distinct(store: Arc<dyn Store>) {
    const ROWS: usize = 100;
    for row in 0..ROWS {
        let label = format!("d{row}");
        add(&*store, &label).await;
        schedule(&*store, &work(&label, WorkKind::Issue, Some(at(0)))).await;
    }
    let claims: Vec<_> = (0..4 * ROWS)
        .map(|claimer| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = name(&format!("d{}", claimer % ROWS));
                store.claim(WorkKind::Issue, &name, at(1), at(31)).await.expect("asked")
            })
        })
        .collect();
    let mut names = HashSet::new();
    let mut tokens = HashSet::new();
    for claim in claims {
        if let Some(lease) = claim.await.expect("no panic") {
            assert!(names.insert(lease.work.name), "claimed twice");
            assert!(tokens.insert(lease.token), "a token twice");
        }
    }
    assert_eq!(names.len(), ROWS);
}

/// After its end a lease is anybody's, and its old holder writes nothing.
pub async fn a_lease_that_ended_is_taken_over(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    schedule(&*store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    let old = store.claim(WorkKind::Issue, &name("shop"), at(0), at(30)).await.expect("asked").expect("due");
    let new =
        store.claim(WorkKind::Issue, &name("shop"), at(30), at(60)).await.expect("asked").expect("free");
    assert!(new.token > old.token);
    let mut tx = store.begin("fence").await.expect("a transaction");
    assert!(is_lost(tx.fence(&old).await.map(drop)));
    assert!(is_lost(tx.finish(&old, None).await));
    tx.fence(&new).await.expect("ours");
    drop(tx);
    assert!(is_lost(store.renew(&old, at(90)).await));
    store.release(&old).await.expect("nothing happens");
    assert_eq!(store.claim(WorkKind::Issue, &name("shop"), at(31), at(61)).await.expect("asked"), None);
}

/// Whoever schedules anew takes the work from whoever has it.
pub async fn rescheduling_revokes_a_lease(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    schedule(&*store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    let lease =
        store.claim(WorkKind::Issue, &name("shop"), at(0), at(30)).await.expect("asked").expect("due");
    schedule(&*store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    let mut tx = store.begin("fence").await.expect("a transaction");
    assert!(is_lost(tx.fence(&lease).await.map(drop)));
    assert!(!tx.is_leased(&name("shop"), WorkKind::Issue, at(1)).await.expect("asked"));
}

/// Work of an older revision of the name comes to nothing.
pub async fn a_raised_revision_revokes_a_lease(store: Arc<dyn Store>) {
    let domain = add(&*store, "shop").await;
    schedule(&*store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    let lease =
        store.claim(WorkKind::Issue, &name("shop"), at(0), at(30)).await.expect("asked").expect("due");
    let mut tx = store.begin("fence").await.expect("a transaction");
    tx.fence(&lease).await.expect("ours");
    drop(tx);
    update(&*store, &domain.generate().expect("listed"), at(1)).await;
    let mut tx = store.begin("fence").await.expect("a transaction");
    assert!(is_lost(tx.fence(&lease).await.map(drop)));
}

/// A row that went and came back does not honour a lease of its past.
pub async fn a_cancelled_row_never_repeats_a_token(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    schedule(&*store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    let lease =
        store.claim(WorkKind::Issue, &name("shop"), at(0), at(30)).await.expect("asked").expect("due");
    let mut tx = store.begin("cancel").await.expect("a transaction");
    tx.cancel(&name("shop"), WorkKind::Issue).await.expect("cancelled");
    assert_eq!(tx.work(&name("shop"), WorkKind::Issue).await.expect("read"), None);
    tx.schedule(&work("shop", WorkKind::Issue, Some(at(0)))).await.expect("scheduled");
    assert!(is_lost(tx.fence(&lease).await.map(drop)));
    tx.cancel(&name("shop"), WorkKind::Remove).await.expect("nothing to cancel is fine");
}

/// The life of a lease.
pub async fn a_lease_is_renewed_released_and_finished(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let row = work("shop", WorkKind::Upload, Some(at(0)));
    schedule(&*store, &row).await;
    let claim = async |now: i64| {
        store.claim(WorkKind::Upload, &name("shop"), at(now), at(now + 30)).await.expect("asked")
    };
    let lease = claim(0).await.expect("due");
    store.renew(&lease, at(100)).await.expect("ours");
    assert_eq!(claim(99).await, None);
    store.release(&lease).await.expect("released");
    let lease = claim(1).await.expect("free again");
    let mut next = row;
    (next.cause, next.attempts, next.due_at) = (Cause::Retry, 4, Some(at(50)));
    let mut tx = store.begin("finish").await.expect("a transaction");
    tx.finish(&lease, Some(&next)).await.expect("ours");
    assert_eq!(tx.work(&name("shop"), WorkKind::Upload).await.expect("read"), Some(next.clone()));
    tx.commit().await.expect("committed");
    let lease = claim(50).await.expect("due again");
    assert_eq!(lease.work, next);
    let mut tx = store.begin("finish").await.expect("a transaction");
    tx.finish(&lease, None).await.expect("ours");
    tx.commit().await.expect("committed");
    assert_eq!(store.work(&name("shop")).await.expect("read"), []);
}

/// Due, free, and not told of lately; the oldest first, bounded.
pub async fn due_work_is_hinted_once_in_a_while(store: Arc<dyn Store>) {
    for (label, due) in [("a", 3), ("b", 1), ("c", 2), ("later", 99)] {
        add(&*store, label).await;
        schedule(&*store, &work(label, WorkKind::Issue, Some(at(due)))).await;
    }
    let mark = async |now: i64, before: i64, limit: u32| -> Vec<String> {
        let mut tx = store.begin("mark").await.expect("a transaction");
        let marked = tx.mark_due(at(now), at(before), limit).await.expect("marked");
        tx.commit().await.expect("committed");
        let mut names: Vec<String> = marked.iter().map(|work| work.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(mark(10, -20, 2).await, ["b.example.com", "c.example.com"]);
    assert_eq!(mark(10, -20, 9).await, ["a.example.com"]);
    assert_eq!(mark(11, -19, 9).await, [] as [&str; 0]);
    store.claim(WorkKind::Issue, &name("a"), at(12), at(99)).await.expect("asked").expect("free");
    assert_eq!(mark(41, 11, 9).await, ["b.example.com", "c.example.com"]);
    // Whoever publishes the hint has told of the work.
    schedule(&*store, &work("b", WorkKind::Issue, Some(at(42)))).await;
    publish(&*store, &[event("b", EventKind::CertificateRequested)], at(42)).await;
    assert_eq!(mark(43, 13, 9).await, [] as [&str; 0]);
}

/// Somebody who is alone on the store frees what a dead process held.
pub async fn all_leases_can_be_freed(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    schedule(&*store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    publish(&*store, &[event("shop", EventKind::CertificateRequested)], at(0)).await;
    store.claim(WorkKind::Issue, &name("shop"), at(0), at(999)).await.expect("asked").expect("due");
    let kinds = ["certificate-requested"];
    assert_eq!(store.take_messages(&kinds, 9, at(0), at(999)).await.expect("taken").len(), 1);
    store.free_all_leases().await.expect("freed");
    assert!(store.claim(WorkKind::Issue, &name("shop"), at(1), at(31)).await.expect("asked").is_some());
    assert_eq!(store.take_messages(&kinds, 9, at(1), at(31)).await.expect("taken").len(), 1);
}

/// A batch is claimed at once: of each name what is due and free, each with a token of its own, higher than any before.
pub async fn a_batch_claims_what_is_free(store: Arc<dyn Store>) {
    let store = &*store;
    for (label, due) in [("a", Some(at(0))), ("b", Some(at(99))), ("c", Some(at(0))), ("d", Some(at(0)))] {
        add(store, label).await;
        let row = work(label, WorkKind::Issue, due);
        write(store, async |tx| tx.schedule(&row).await).await;
    }
    let held = store.claim(WorkKind::Issue, &name("c"), at(1), at(31)).await;
    let held = held.expect("claimed").expect("free");
    let names = ["d", "nobody", "c", "b", "a"].map(name);
    let leases = store.claim_batch(WorkKind::Issue, &names, at(2), at(32)).await;
    let mut leases = leases.expect("claimed");
    leases.sort_by(|one, other| one.work.name.cmp(&other.work.name));
    let claimed: Vec<_> = leases.iter().map(|lease| lease.work.name.clone()).collect();
    assert_eq!(claimed, [name("a"), name("d")], "b is not due, c somebody else's");
    assert!(leases.iter().all(|lease| lease.token > held.token));
    assert_ne!(leases[0].token, leases[1].token);
    for lease in &leases {
        write(store, async |tx| {
            let row = tx.fence(lease).await?;
            assert_eq!(row.name, lease.work.name, "the row of the lease's name");
            Ok(())
        })
        .await;
    }
    let again = store.claim_batch(WorkKind::Issue, &names, at(2), at(32)).await;
    assert_eq!(again.expect("asked").len(), 0);
    let none = store.claim_batch(WorkKind::Issue, &[], at(2), at(32)).await;
    assert_eq!(none.expect("asked").len(), 0);
}
