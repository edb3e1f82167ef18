//! Accounts at CAs whose key, or place, changes.

use std::sync::Arc;

use super::{account, add, fresh_uuid, is_conflict, order, write};
use crate::{Account, Store};

async fn stored(store: &dyn Store) -> Account {
    let accounts = store.accounts().await.expect("read");
    accounts.into_iter().next().expect("an account")
}

/// Proposed once, adopted as it was read.
pub async fn the_key_of_an_account_changes_in_two_steps(store: Arc<dyn Store>) {
    let store = &*store;
    let account = account();
    let id = account.id;
    write(store, async |tx| tx.insert_account(&account).await).await;
    assert_eq!(stored(store).await, account);
    write(store, async |tx| tx.propose_account_key(id, &[4, 5]).await).await;
    let read = store.account(&account.issuer, &account.directory_url).await.expect("read").expect("there");
    assert_eq!((read.sealed_key, read.pending_key), (vec![1, 2, 3], Some(vec![4, 5])));
    for refused in 0..3 {
        let mut tx = store.begin("refused").await.expect("a transaction");
        let result = match refused {
            0 => tx.propose_account_key(id, &[6]).await,
            1 => tx.adopt_account_key(id, &[6]).await,
            _ => tx.replace_account_key(id, &[6], &[7]).await,
        };
        assert!(is_conflict(result), "{refused}");
    }
    write(store, async |tx| tx.adopt_account_key(id, &[4, 5]).await).await;
    let read = stored(store).await;
    assert_eq!((read.sealed_key, read.pending_key), (vec![4, 5], None));
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.adopt_account_key(id, &[4, 5]).await));
    drop(tx);
    write(store, async |tx| {
        tx.propose_account_key(id, &[8]).await?;
        tx.replace_account_key(id, &[4, 5], &[9]).await
    })
    .await;
    let read = stored(store).await;
    assert_eq!((read.sealed_key, read.pending_key), (vec![9], None));
}

/// The orders and certificates of the one before go on referring to it.
pub async fn an_account_makes_room_for_another(store: Arc<dyn Store>) {
    let store = &*store;
    add(store, "shop").await;
    let first = account();
    write(store, async |tx| {
        tx.insert_account(&first).await?;
        tx.insert_order(&order("shop", &first)).await
    })
    .await;
    let second = Account { id: domain::AccountId::from(fresh_uuid()), ..account() };
    let live = write(store, async |tx| {
        tx.retire_account(first.id, "letsencrypt", "letsencrypt (retired)").await?;
        tx.insert_account(&second).await?;
        Ok((tx.live_orders_of(first.id).await?, tx.live_orders_of(second.id).await?))
    })
    .await;
    assert_eq!(live, (1, 0));
    let found = store.account("letsencrypt", &second.directory_url).await;
    assert_eq!(found.expect("read").map(|found| found.id), Some(second.id));
    assert_eq!(store.accounts().await.expect("read").len(), 2);
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.retire_account(first.id, "letsencrypt", "gone").await));
}
