//! The order journal under several hands, and what a transaction shows before its commit.

use std::sync::Arc;

use domain::{CertificateId, Domain, EventKind, Order, OrderState};

use super::{account, add, at, event, fresh_uuid, is_conflict, name, order, write};
use crate::{Account, Store};

async fn with_account(store: &dyn Store) -> Account {
    let account = account();
    write(store, async |tx| tx.insert_account(&account).await).await;
    account
}

/// Twenty issuers that each believe the name has none.
pub async fn of_many_orders_at_once_one_is_taken(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let account = with_account(&*store).await;
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (store, order) = (store.clone(), order("shop", &account));
            tokio::spawn(async move {
                let mut tx = store.begin("order").await.expect("a transaction");
                let inserted = tx.insert_order(&order).await;
                if inserted.is_ok() {
                    tx.commit().await.expect("committed");
                    return Some(order);
                }
                assert!(is_conflict(inserted));
                None
            })
        })
        .collect();
    let mut taken = Vec::new();
    for order in tries {
        taken.extend(order.await.expect("no panic"));
    }
    assert_eq!(taken.len(), 1);
    let live = store.live_order(&name("shop")).await.expect("read");
    assert_eq!(live.as_ref(), taken.first());
}

/// From each live state to each end: the name is free for another order, and whoever read it before writes nothing.
pub async fn an_end_is_an_end(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let account = with_account(&*store).await;
    let placed = OrderState::Created.placed("https://ca/1".into()).expect("allowed");
    let certificate = CertificateId::from(fresh_uuid());
    let keyed = placed.clone().keyed(certificate, vec![0, 255], vec![48]).expect("allowed");
    let issued = keyed.clone().issued().expect("allowed");
    for (live, end) in [
        (OrderState::Created, OrderState::Failed),
        (OrderState::Created, OrderState::Abandoned),
        (placed.clone(), OrderState::Failed),
        (placed, OrderState::Abandoned),
        (keyed.clone(), OrderState::Failed),
        (keyed.clone(), OrderState::Abandoned),
        (keyed, issued),
    ] {
        let read = Order { state: live, ..order("shop", &account) };
        write(&*store, async |tx| tx.insert_order(&read).await).await;
        assert_eq!(store.live_order(&name("shop")).await.expect("read"), Some(read.clone()));
        let ended = Order { state: end, ..read.clone() };
        write(&*store, async |tx| tx.update_order(&ended, read.state.as_str()).await).await;
        assert_eq!(store.live_order(&name("shop")).await.expect("read"), None);
        let mut tx = store.begin("late").await.expect("a transaction");
        assert!(is_conflict(tx.update_order(&read, read.state.as_str()).await));
    }
}

/// Neither readers nor the bus are told of what may still be rolled back.
pub async fn nothing_is_seen_before_the_commit(store: Arc<dyn Store>) {
    let published = store.published();
    let mut tx = store.begin("open").await.expect("a transaction");
    let shop = Domain::added(name("shop"), at(0));
    tx.insert_domain(&shop, at(0)).await.expect("inserted");
    tx.publish(&event("shop", EventKind::StatusChanged), at(0)).await.expect("published");
    assert_eq!(store.domain(&name("shop")).await.expect("read"), None);
    assert_eq!(store.message_counts().await.expect("counted"), (0, 0));
    assert!(!published.has_changed().expect("the store is there"));
    tx.commit().await.expect("committed");
    assert!(store.domain(&name("shop")).await.expect("read").is_some());
    assert_eq!(store.message_counts().await.expect("counted"), (1, 0));
    assert!(published.has_changed().expect("the store is there"));
    store.clock().await.expect("alive");
    store.check_schema().await.expect("up to date");
}
