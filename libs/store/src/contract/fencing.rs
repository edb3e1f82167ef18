//! Whose writes count: the ways in which a worker that still believes in its lease has lost it, or has not.

use std::sync::Arc;
use std::time::Duration;

use domain::{Lease, WorkKind};

use super::{add, at, is_lost, name, schedule, work, write};
use crate::Store;

/// How long a claim that has to wait is watched waiting.
const GLANCE: Duration = Duration::from_millis(100);

async fn add_due(store: &dyn Store, label: &str) {
    add(store, label).await;
    schedule(store, &work(label, WorkKind::Issue, Some(at(0)))).await;
}

async fn claim(store: &dyn Store, label: &str, now: i64) -> Option<Lease> {
    store.claim(WorkKind::Issue, &name(label), at(now), at(now + 30)).await.expect("asked")
}

async fn assert_ours(store: &dyn Store, lease: &Lease) {
    write(store, async |tx| tx.fence(lease).await.map(drop)).await;
}

/// No call that needs the lease is open to it, and none leaves a trace.
async fn assert_not_ours(store: &dyn Store, lease: &Lease) {
    let before = store.work(&lease.work.name).await.expect("read");
    let mut tx = store.begin("not_ours").await.expect("a transaction");
    assert!(is_lost(tx.fence(lease).await.map(drop)));
    assert!(is_lost(tx.finish(lease, None).await));
    assert!(is_lost(tx.finish(lease, Some(&lease.work)).await));
    tx.commit().await.expect("committed");
    assert!(is_lost(store.renew(lease, at(1_000_000)).await));
    assert_eq!(store.work(&lease.work.name).await.expect("read"), before);
}

/// No clock is asked: correctness rests on the token.
pub async fn an_ended_lease_that_nobody_took_still_counts(store: Arc<dyn Store>) {
    add_due(&*store, "shop").await;
    let lease = claim(&*store, "shop", 0).await.expect("due");
    assert_ours(&*store, &lease).await;
    store.renew(&lease, at(500)).await.expect("ours");
    assert_eq!(claim(&*store, "shop", 499).await, None);
}

/// Whether its holder gave it back or a new process freed all.
pub async fn a_lease_that_was_given_back_is_lost(store: Arc<dyn Store>) {
    add_due(&*store, "shop").await;
    let released = claim(&*store, "shop", 0).await.expect("due");
    store.release(&released).await.expect("released");
    assert_not_ours(&*store, &released).await;
    let freed = claim(&*store, "shop", 0).await.expect("free at once");
    assert_eq!(freed.work, released.work, "due as it was");
    store.free_all_leases().await.expect("freed");
    assert_not_ours(&*store, &freed).await;
    let ours = claim(&*store, "shop", 0).await.expect("free at once");
    store.release(&released).await.expect("nothing happens");
    assert_ours(&*store, &ours).await;
    assert_eq!(claim(&*store, "shop", 1).await, None);
}

/// A token is of one row, however it was come by.
pub async fn a_lease_is_of_one_name_and_kind(store: Arc<dyn Store>) {
    add_due(&*store, "shop").await;
    add_due(&*store, "blog").await;
    let upload = work("shop", WorkKind::Upload, Some(at(0)));
    schedule(&*store, &upload).await;
    let lease = claim(&*store, "shop", 0).await.expect("due");
    for work in [work("blog", WorkKind::Issue, Some(at(0))), upload] {
        let token = lease.token;
        let expires_at = lease.expires_at;
        assert_not_ours(&*store, &Lease { work, token, expires_at }).await;
    }
    assert_ours(&*store, &lease).await;
}

/// Whatever happens to a row between two claims, the second token is higher and the first is worth nothing.
pub async fn each_claim_has_a_higher_token(store: Arc<dyn Store>) {
    add_due(&*store, "shop").await;
    let row = work("shop", WorkKind::Issue, Some(at(0)));
    let mut former: Vec<Lease> = Vec::new();
    for turn in 0..12 {
        let lease = claim(&*store, "shop", 0).await.expect("due and free");
        assert!(former.iter().all(|old| old.token < lease.token), "turn {turn}");
        for old in &former {
            assert_not_ours(&*store, old).await;
        }
        assert_ours(&*store, &lease).await;
        match turn % 4 {
            0 => schedule(&*store, &row).await,
            1 => store.release(&lease).await.expect("released"),
            2 => write(&*store, async |tx| tx.finish(&lease, Some(&row)).await).await,
            _ => {
                write(&*store, async |tx| {
                    tx.cancel(&row.name, row.kind).await?;
                    tx.schedule(&row).await
                })
                .await;
            }
        }
        former.push(lease);
    }
}

/// A fence that only looked would let somebody in before the commit.
pub async fn nobody_takes_over_between_fence_and_commit(store: Arc<dyn Store>) {
    add_due(&*store, "shop").await;
    let lease = claim(&*store, "shop", 0).await.expect("due");
    let mut tx = store.begin("owner").await.expect("a transaction");
    tx.fence(&lease).await.expect("ours");
    let mut taker = {
        let store = store.clone();
        tokio::spawn(async move { claim(&*store, "shop", 30).await })
    };
    let waited = tokio::time::timeout(GLANCE, &mut taker).await.is_err();
    assert!(waited, "the claim did not wait for the transaction");
    tx.finish(&lease, None).await.expect("ours");
    tx.commit().await.expect("committed");
    assert_eq!(taker.await.expect("no panic"), None, "the work is done");
}
