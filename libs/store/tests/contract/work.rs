//! Work rows, leases, fencing.

use domain::{Cause, EventKind, Lease, Work, WorkKind};
use std::collections::HashSet;

use crate::kit::{
    Case, add, add_due, at, attempt, committing, is_lost, name, publish, schedule, update, work, write,
};

/// Claims the issuing of shop.example.com for 30 seconds.
async fn claim(store: &Case, now: i64) -> Option<Lease> {
    store.at(now).claim(WorkKind::Issue, &name("shop"), at(now + 30)).await.unwrap()
}

/// Work is claimed only when it is due, only once, and as it was scheduled.
pub async fn work_is_claimed_once_and_when_due(store: Case) {
    add(&store, "shop").await;
    let due = work("shop", WorkKind::Issue, Some(at(10)));
    schedule(&store, &due).await;
    assert_eq!(claim(&store, 9).await, None);
    let lease = claim(&store, 10).await.unwrap();
    assert_eq!((lease.work, lease.expires_at), (due.clone(), at(40)));
    assert_eq!(claim(&store, 11).await, None);
    assert_eq!(store.at(11).claim(WorkKind::Upload, &name("shop"), at(41)).await.unwrap(), None);
    let waits_for_a_person = Work { due_at: None, ..due };
    schedule(&store, &waits_for_a_person).await;
    assert_eq!(claim(&store, 100).await, None);
    assert_eq!(store.work(&name("shop")).await.unwrap(), [waits_for_a_person]);
}

/// Four claimers for each of a hundred rows: each row has one winner, each lease its own token.
pub async fn concurrent_claims_are_distinct(store: Case) {
    const ROWS: usize = 100;
    for row in 0..ROWS {
        add_due(&store, &format!("d{row}"), WorkKind::Issue).await;
    }
    store.at(1);
    let claims: Vec<_> = (0..4 * ROWS)
        .map(|claimer| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = name(&format!("d{}", claimer % ROWS));
                store.claim(WorkKind::Issue, &name, at(31)).await.unwrap()
            })
        })
        .collect();
    let mut names = HashSet::new();
    let mut tokens = HashSet::new();
    for claim in claims {
        if let Some(lease) = claim.await.unwrap() {
            assert!(names.insert(lease.work.name), "claimed twice");
            assert!(tokens.insert(lease.token), "a token twice");
        }
    }
    assert_eq!(names.len(), ROWS);
}

/// After its end the work of a lease can be claimed again, and the old holder writes nothing.
pub async fn a_lease_that_ended_is_taken_over(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let old = claim(&store, 0).await.unwrap();
    let new = claim(&store, 30).await.unwrap();
    assert!(new.token > old.token);
    let mut tx = store.begin("fence").await.unwrap();
    assert!(is_lost(tx.fence(&old).await));
    tx.fence(&new).await.unwrap();
    drop(tx);
    assert!(is_lost(committing(&store, async |tx| tx.finish(&old, None).await).await));
    assert!(is_lost(store.renew(&old, at(90)).await));
    store.release(&old).await.expect("nothing happens");
    assert_eq!(claim(&store, 31).await, None);
}

/// Scheduling anew takes the work from the worker that has it.
pub async fn rescheduling_revokes_a_lease(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let lease = claim(&store, 0).await.unwrap();
    schedule(&store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    attempt(store.at(1), async |tx| {
        assert!(is_lost(tx.fence(&lease).await));
        assert!(!tx.is_leased(&name("shop"), WorkKind::Issue).await.unwrap());
    })
    .await;
}

/// A lease on work of an older revision of the name is lost.
pub async fn a_raised_revision_revokes_a_lease(store: Case) {
    let domain = add(&store, "shop").await;
    schedule(&store, &work("shop", WorkKind::Issue, Some(at(0)))).await;
    let lease = claim(&store, 0).await.unwrap();
    attempt(&store, async |tx| tx.fence(&lease).await.unwrap()).await;
    update(store.at(1), &domain.generate().unwrap()).await;
    attempt(&store, async |tx| assert!(is_lost(tx.fence(&lease).await))).await;
}

/// A lease on a row that was cancelled and scheduled again is lost.
pub async fn a_cancelled_row_never_repeats_a_token(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let lease = claim(&store, 0).await.unwrap();
    let mut tx = store.begin("cancel").await.unwrap();
    tx.cancel(&name("shop"), WorkKind::Issue).await.unwrap();
    assert_eq!(tx.work(&name("shop"), WorkKind::Issue).await.unwrap(), None);
    tx.schedule(&work("shop", WorkKind::Issue, Some(at(0)))).await.unwrap();
    assert!(is_lost(tx.fence(&lease).await));
    tx.cancel(&name("shop"), WorkKind::Remove).await.expect("nothing to cancel is fine");
}

/// A lease is prolonged, given back, and ended with and without more to do.
pub async fn a_lease_is_renewed_released_and_finished(store: Case) {
    let row = add_due(&store, "shop", WorkKind::Upload).await;
    let claim =
        async |now: i64| store.at(now).claim(WorkKind::Upload, &name("shop"), at(now + 30)).await.unwrap();
    let lease = claim(0).await.unwrap();
    store.renew(&lease, at(100)).await.unwrap();
    assert_eq!(claim(99).await, None);
    store.release(&lease).await.unwrap();
    let lease = claim(1).await.expect("free again");
    let next = Work { cause: Cause::Retry, attempts: 4, due_at: Some(at(50)), ..row };
    let finished = write(&store, async |tx| {
        tx.finish(&lease, Some(&next)).await?;
        tx.work(&name("shop"), WorkKind::Upload).await
    });
    assert_eq!(finished.await.as_ref(), Some(&next));
    let lease = claim(50).await.expect("due again");
    assert_eq!(lease.work, next);
    write(&store, async |tx| tx.finish(&lease, None).await).await;
    assert_eq!(store.work(&name("shop")).await.unwrap(), []);
}

/// Work is hinted at when it is due, free, and not hinted at lately; the oldest first, bounded.
pub async fn due_work_is_hinted_once_in_a_while(store: Case) {
    for (label, due) in [("a", 3), ("b", 1), ("c", 2), ("later", 99)] {
        add(&store, label).await;
        schedule(&store, &work(label, WorkKind::Issue, Some(at(due)))).await;
    }
    let mark = async |now: i64, before: i64, limit: u32| -> Vec<String> {
        let marked = write(store.at(now), async |tx| tx.mark_due(at(before), limit).await).await;
        let mut names: Vec<String> = marked.iter().map(|work| work.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(mark(10, -20, 2).await, ["b.example.com", "c.example.com"]);
    assert_eq!(mark(10, -20, 9).await, ["a.example.com"]);
    assert_eq!(mark(11, -19, 9).await, [] as [&str; 0]);
    store.at(12).claim(WorkKind::Issue, &name("a"), at(99)).await.unwrap().unwrap();
    assert_eq!(mark(41, 11, 9).await, ["b.example.com", "c.example.com"]);
    // A published hint counts, too.
    schedule(&store, &work("b", WorkKind::Issue, Some(at(42)))).await;
    publish(store.at(42), &[("b", EventKind::CertificateRequested)]).await;
    assert_eq!(mark(43, 13, 9).await, [] as [&str; 0]);
}

/// A process that is alone on the store frees what a dead one held.
pub async fn all_leases_can_be_freed(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    publish(&store, &[("shop", EventKind::CertificateRequested)]).await;
    store.at(0).claim(WorkKind::Issue, &name("shop"), at(999)).await.unwrap().unwrap();
    let kinds = ["certificate-requested"];
    assert_eq!(store.at(0).take_messages(&kinds, 9, at(999)).await.unwrap().len(), 1);
    store.free_all_leases().await.unwrap();
    assert!(claim(&store, 1).await.is_some());
    assert_eq!(store.at(1).take_messages(&kinds, 9, at(31)).await.unwrap().len(), 1);
}

/// A batch is claimed at once: of each name what is due and free, each with a token of its own, higher than any before.
pub async fn a_batch_claims_what_is_free(store: Case) {
    for (label, due) in [("a", 0), ("b", 99), ("c", 0), ("d", 0)] {
        add(&store, label).await;
        schedule(&store, &work(label, WorkKind::Issue, Some(at(due)))).await;
    }
    let held = store.at(1).claim(WorkKind::Issue, &name("c"), at(31)).await.unwrap().unwrap();
    let names = ["d", "never", "c", "b", "a"].map(name);
    let mut leases = store.at(2).claim_batch(WorkKind::Issue, &names, at(32)).await.unwrap();
    leases.sort_by(|one, other| one.work.name.cmp(&other.work.name));
    let claimed: Vec<_> = leases.iter().map(|lease| lease.work.name.clone()).collect();
    assert_eq!(claimed, [name("a"), name("d")], "b is not due, c is leased");
    assert!(leases.iter().all(|lease| lease.token > held.token));
    assert_ne!(leases[0].token, leases[1].token);
    for lease in &leases {
        write(&store, async |tx| {
            let row = tx.fence(lease).await?;
            assert_eq!(row.name, lease.work.name, "the row of the lease's name");
            Ok(())
        })
        .await;
    }
    for none in [&names[..], &[]] {
        assert_eq!(store.claim_batch(WorkKind::Issue, none, at(32)).await.unwrap(), []);
    }
}
