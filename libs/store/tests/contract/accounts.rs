//! Accounts at CAs: one row per issuer and directory, whose key, or place, changes.

use domain::AccountId;
use store::{Account, Store};

use crate::kit::{Case, account, add, add_account, attempt, fresh_uuid, is_conflict, order, write};

async fn stored(store: &Store) -> Account {
    store.accounts().await.unwrap().remove(0)
}

/// There is one account per issuer and directory; its URL is set once.
pub async fn an_account_has_one_row_and_one_url(store: Case) {
    let mut kept = add_account(&store).await;
    let read = async || store.account("letsencrypt", "https://ca.example/directory").await.unwrap();
    assert_eq!(read().await, Some(kept.clone()));
    assert_eq!(store.account("letsencrypt", "https://other/").await.unwrap(), None);
    attempt(&store, async |tx| assert!(is_conflict(tx.insert_account(&account()).await))).await;
    let mut tx = store.begin("url").await.unwrap();
    tx.set_account_url(kept.id, "https://ca/acct/1").await.unwrap();
    tx.set_account_url(kept.id, "https://ca/acct/1").await.expect("the same again");
    assert!(is_conflict(tx.set_account_url(kept.id, "https://ca/acct/2").await));
    tx.commit().await.unwrap();
    kept.url = Some("https://ca/acct/1".into());
    assert_eq!(read().await, Some(kept.clone()));
    let url = async |directory_url| store.account_url("letsencrypt", directory_url).await.unwrap();
    assert_eq!(url("https://ca.example/directory").await, kept.url);
    assert_eq!(url("https://other/").await, None);
}

/// A key is proposed once, and adopted as it was read.
pub async fn the_key_of_an_account_changes_in_two_steps(store: Case) {
    let account = add_account(&store).await;
    let id = account.id;
    assert_eq!(stored(&store).await, account);
    write(&store, async |tx| tx.propose_account_key(id, &[4, 5]).await).await;
    let read = store.account(&account.issuer, &account.directory_url).await.unwrap().unwrap();
    assert_eq!((read.sealed_key, read.pending_key), (vec![1, 2, 3], Some(vec![4, 5])));
    for refused in 0..3 {
        let mut tx = store.begin("refused").await.unwrap();
        let result = match refused {
            0 => tx.propose_account_key(id, &[6]).await,
            1 => tx.adopt_account_key(id, &[6]).await,
            _ => tx.replace_account_key(id, &[6], &[7]).await,
        };
        assert!(is_conflict(result), "{refused}");
    }
    write(&store, async |tx| tx.adopt_account_key(id, &[4, 5]).await).await;
    let read = stored(&store).await;
    assert_eq!((read.sealed_key, read.pending_key), (vec![4, 5], None));
    attempt(&store, async |tx| assert!(is_conflict(tx.adopt_account_key(id, &[4, 5]).await))).await;
    write(&store, async |tx| {
        tx.propose_account_key(id, &[8]).await?;
        tx.replace_account_key(id, &[4, 5], &[9]).await
    })
    .await;
    let read = stored(&store).await;
    assert_eq!((read.sealed_key, read.pending_key), (vec![9], None));
}

/// The orders and certificates of a retired account still refer to it.
pub async fn an_account_makes_room_for_another(store: Case) {
    add(&store, "shop").await;
    let first = add_account(&store).await;
    write(&store, async |tx| tx.insert_order(&order("shop", &first)).await).await;
    let second = Account { id: AccountId::from(fresh_uuid()), ..account() };
    let live = write(&store, async |tx| {
        tx.retire_account(first.id, "letsencrypt", "letsencrypt (retired)").await?;
        tx.insert_account(&second).await?;
        Ok((tx.live_orders_of(first.id).await?, tx.live_orders_of(second.id).await?))
    })
    .await;
    assert_eq!(live, (1, 0));
    let found = store.account("letsencrypt", &second.directory_url).await.unwrap();
    assert_eq!(found.map(|found| found.id), Some(second.id));
    assert_eq!(store.accounts().await.unwrap().len(), 2);
    let retired = attempt(&store, async |tx| tx.retire_account(first.id, "letsencrypt", "gone").await).await;
    assert!(is_conflict(retired));
}
