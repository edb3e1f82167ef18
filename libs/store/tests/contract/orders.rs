//! The order journal, also under several issuers at once.

use domain::{Order, OrderState};

use crate::kit::{Case, add, add_account, committing, is_conflict, name, order, write};

/// The database itself refuses a second live order.
pub async fn one_live_order_per_name(store: Case) {
    add(&store, "shop").await;
    let account = add_account(&store).await;
    let mut first = order("shop", &account);
    write(&store, async |tx| tx.insert_order(&first).await).await;
    let second = order("shop", &account);
    assert!(is_conflict(committing(&store, async |tx| tx.insert_order(&second).await).await));
    first.state = OrderState::Failed;
    write(&store, async |tx| {
        tx.update_order(&first, "created").await?;
        tx.insert_order(&second).await
    })
    .await;
}

/// Each state comes back, and a late write is a conflict.
pub async fn an_order_moves_only_from_the_state_it_was_read_in(store: Case) {
    add(&store, "shop").await;
    let account = add_account(&store).await;
    let mut order = order("shop", &account);
    let mut tx = store.begin("order").await.unwrap();
    tx.insert_order(&order).await.unwrap();
    assert_eq!(tx.live_order(&name("shop")).await.unwrap(), Some(order.clone()));
    order.state = order.state.placed("https://ca/1".into()).unwrap();
    tx.update_order(&order, "created").await.unwrap();
    assert_eq!(tx.live_order(&name("shop")).await.unwrap(), Some(order.clone()));
    tx.commit().await.unwrap();
    assert_eq!(store.order_urls(&name("shop")).await.unwrap(), ["https://ca/1"]);
    let late = committing(&store, async |tx| tx.update_order(&order, "created").await).await;
    assert!(is_conflict(late));
    let other = Order { revision: 2, ..order };
    assert!(is_conflict(committing(&store, async |tx| tx.update_order(&other, "placed").await).await));
}

/// The key of an issued order is kept with the certificate, not with the order; a failed order keeps none.
pub async fn an_ended_order_keeps_no_key(store: Case) {
    add(&store, "shop").await;
    let account = add_account(&store).await;
    let mut order = order("shop", &account);
    let mut tx = store.begin("order").await.unwrap();
    tx.insert_order(&order).await.unwrap();
    order.state = order.state.placed("https://ca/1".into()).unwrap();
    tx.update_order(&order, "created").await.unwrap();
    order.state = order.state.issued().unwrap();
    tx.update_order(&order, "placed").await.unwrap();
    assert_eq!(tx.live_order(&name("shop")).await.unwrap(), None);
    tx.update_order(&order, "placed").await.unwrap();
    assert!(is_conflict(tx.commit().await), "an end is an end");
}

/// Twenty issuers that each found no order of the name.
pub async fn of_many_orders_at_once_one_is_taken(store: Case) {
    add(&store, "shop").await;
    let account = add_account(&store).await;
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (store, order) = (store.clone(), order("shop", &account));
            tokio::spawn(async move {
                let mut tx = store.begin("order").await.unwrap();
                tx.insert_order(&order).await.unwrap();
                let committed = tx.commit().await;
                if committed.is_ok() {
                    return Some(order);
                }
                assert!(is_conflict(committed));
                None
            })
        })
        .collect();
    let mut taken = Vec::new();
    for order in tries {
        taken.extend(order.await.unwrap());
    }
    assert_eq!(taken.len(), 1);
    let live = store.live_order(&name("shop")).await.unwrap();
    assert_eq!(live.as_ref(), taken.first());
}

/// After each end of each live state the name is free for another order, and a write by an issuer that read the order
/// before is a conflict.
pub async fn an_end_is_an_end(store: Case) {
    add(&store, "shop").await;
    let account = add_account(&store).await;
    let created = order("shop", &account).state;
    let placed = created.clone().placed("https://ca/1".into()).unwrap();
    let issued = placed.clone().issued().unwrap();
    for (live, end) in [
        (created.clone(), OrderState::Failed),
        (created, OrderState::Abandoned),
        (placed.clone(), OrderState::Failed),
        (placed.clone(), OrderState::Abandoned),
        (placed, issued),
    ] {
        let read = Order { state: live, ..order("shop", &account) };
        write(&store, async |tx| tx.insert_order(&read).await).await;
        assert_eq!(store.live_order(&name("shop")).await.unwrap(), Some(read.clone()));
        let ended = Order { state: end, ..read.clone() };
        write(&store, async |tx| tx.update_order(&ended, read.state.as_str()).await).await;
        assert_eq!(store.live_order(&name("shop")).await.unwrap(), None);
        let late = committing(&store, async |tx| tx.update_order(&read, read.state.as_str()).await).await;
        assert!(is_conflict(late));
    }
}
