//! Fencing: the ways in which a worker loses its lease although it still believes in it, or keeps it.

use std::time::Duration;

use domain::{Lease, WorkKind};
use store::Store;

use crate::kit::{Case, add_due, at, committing, is_lost, name, schedule, work, write};

/// How long a claim that has to wait is observed.
const GLANCE: Duration = Duration::from_millis(100);

async fn claim(store: &Case, label: &str, now: i64) -> Option<Lease> {
    store.at(now).claim(WorkKind::Issue, &name(label), at(now + 30)).await.unwrap()
}

async fn assert_ours(store: &Store, lease: &Lease) {
    write(store, async |tx| tx.fence(lease).await.map(drop)).await;
}

/// Every call that needs the lease is refused, and none changes the row.
async fn assert_not_ours(store: &Store, lease: &Lease) {
    let before = store.work(&lease.work.name).await.unwrap();
    assert!(is_lost(committing(store, async |tx| tx.fence(lease).await).await));
    assert!(is_lost(committing(store, async |tx| tx.finish(lease, None).await).await));
    assert!(is_lost(committing(store, async |tx| tx.finish(lease, Some(&lease.work)).await).await));
    assert!(is_lost(store.renew(lease, at(1_000_000)).await));
    assert_eq!(store.work(&lease.work.name).await.unwrap(), before);
}

/// The token decides whether a lease is valid, not the time.
pub async fn an_ended_lease_is_valid_until_it_is_taken_over(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let lease = claim(&store, "shop", 0).await.unwrap();
    assert_ours(&store, &lease).await;
    store.renew(&lease, at(500)).await.unwrap();
    assert_eq!(claim(&store, "shop", 499).await, None);
}

/// A lease is lost when its holder gives it back, or when a new process frees all.
pub async fn a_lease_that_was_given_back_is_lost(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let released = claim(&store, "shop", 0).await.unwrap();
    store.release(&released).await.unwrap();
    assert_not_ours(&store, &released).await;
    let freed = claim(&store, "shop", 0).await.expect("free at once");
    assert_eq!(freed.work, released.work, "due as it was");
    store.free_all_leases().await.unwrap();
    assert_not_ours(&store, &freed).await;
    let ours = claim(&store, "shop", 0).await.expect("free at once");
    store.release(&released).await.expect("nothing happens");
    assert_ours(&store, &ours).await;
    assert_eq!(claim(&store, "shop", 1).await, None);
}

/// A token is valid for one row only.
pub async fn a_lease_is_of_one_name_and_kind(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    add_due(&store, "blog", WorkKind::Issue).await;
    let upload = work("shop", WorkKind::Upload, Some(at(0)));
    schedule(&store, &upload).await;
    let lease = claim(&store, "shop", 0).await.unwrap();
    for work in [work("blog", WorkKind::Issue, Some(at(0))), upload] {
        let token = lease.token;
        let expires_at = lease.expires_at;
        assert_not_ours(&store, &Lease { work, token, expires_at }).await;
    }
    assert_ours(&store, &lease).await;
}

/// Whatever happens to a row between two claims, the second token is higher and the first is invalid.
pub async fn each_claim_has_a_higher_token(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let row = work("shop", WorkKind::Issue, Some(at(0)));
    let mut former: Vec<Lease> = Vec::new();
    for turn in 0..12 {
        let lease = claim(&store, "shop", 0).await.unwrap();
        assert!(former.iter().all(|old| old.token < lease.token), "turn {turn}");
        for old in &former {
            assert_not_ours(&store, old).await;
        }
        assert_ours(&store, &lease).await;
        match turn % 4 {
            0 => schedule(&store, &row).await,
            1 => store.release(&lease).await.unwrap(),
            2 => write(&store, async |tx| tx.finish(&lease, Some(&row)).await).await,
            _ => {
                let again = write(&store, async |tx| {
                    tx.cancel(&row.name, row.kind).await?;
                    tx.schedule(&row).await
                });
                again.await;
            }
        }
        former.push(lease);
    }
}

/// A fence that did not lock would let another worker claim before the commit.
pub async fn a_fence_holds_until_the_commit(store: Case) {
    add_due(&store, "shop", WorkKind::Issue).await;
    let lease = claim(&store, "shop", 0).await.unwrap();
    let mut tx = store.begin("owner").await.unwrap();
    tx.fence(&lease).await.unwrap();
    store.at(30);
    let mut taker = {
        let store = store.clone();
        tokio::spawn(async move { store.claim(WorkKind::Issue, &name("shop"), at(60)).await.unwrap() })
    };
    let waited = tokio::time::timeout(GLANCE, &mut taker).await.is_err();
    assert!(waited, "the claim did not wait for the transaction");
    tx.finish(&lease, None).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(taker.await.unwrap(), None, "the work is done");
}
