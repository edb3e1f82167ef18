//! Orders, challenges, certificates, accounts, tokens.

use std::sync::Arc;

use domain::{CertificateId, OrderState, Role, Source};

use super::{account, add, at, certificate, fresh_uuid, is_conflict, name, order};
use crate::{Account, Challenge, Store, TokenRecord, TokenUse};

async fn with_account(store: &dyn Store) -> Account {
    let account = account();
    let mut tx = store.begin("account").await.expect("a transaction");
    tx.insert_account(&account).await.expect("inserted");
    tx.commit().await.expect("committed");
    account
}

/// The database itself refuses a second live order.
pub async fn one_live_order_per_name(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let account = with_account(&*store).await;
    let mut first = order("shop", &account);
    let mut tx = store.begin("order").await.expect("a transaction");
    tx.insert_order(&first).await.expect("inserted");
    tx.commit().await.expect("committed");
    let mut tx = store.begin("second").await.expect("a transaction");
    assert!(is_conflict(tx.insert_order(&order("shop", &account)).await));
    drop(tx);
    first.state = OrderState::Failed;
    let mut tx = store.begin("order").await.expect("a transaction");
    tx.update_order(&first, "created").await.expect("updated");
    tx.insert_order(&order("shop", &account)).await.expect("the first has ended");
    tx.commit().await.expect("committed");
}

/// Each state comes back, and a late write is told.
pub async fn an_order_moves_only_from_the_state_it_was_read_in(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let account = with_account(&*store).await;
    let mut order = order("shop", &account);
    let mut tx = store.begin("order").await.expect("a transaction");
    tx.insert_order(&order).await.expect("inserted");
    assert_eq!(tx.live_order(&name("shop")).await.expect("read"), Some(order.clone()));
    order.state = OrderState::Created.placed("https://ca/1".into()).expect("allowed");
    tx.update_order(&order, "created").await.expect("updated");
    assert_eq!(tx.live_order(&name("shop")).await.expect("read"), Some(order.clone()));
    assert!(is_conflict(tx.update_order(&order, "created").await));
    tx.commit().await.expect("committed");
    let certificate = CertificateId::from(fresh_uuid());
    let mut tx = store.begin("order").await.expect("a transaction");
    order.state = order.state.keyed(certificate, vec![0, 1, 255], vec![48]).expect("allowed");
    tx.update_order(&order, "placed").await.expect("updated");
    tx.commit().await.expect("committed");
    assert_eq!(store.live_order(&name("shop")).await.expect("read"), Some(order.clone()));
    let mut of_a_past_life = order.clone();
    of_a_past_life.revision = 2;
    let mut tx = store.begin("late").await.expect("a transaction");
    assert!(is_conflict(tx.update_order(&of_a_past_life, "keyed").await));
}

/// What was issued keeps its key with the certificate, not with the order; what failed keeps none.
pub async fn an_ended_order_keeps_no_key(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let account = with_account(&*store).await;
    let mut order = order("shop", &account);
    let certificate = CertificateId::from(fresh_uuid());
    let mut tx = store.begin("order").await.expect("a transaction");
    tx.insert_order(&order).await.expect("inserted");
    order.state = OrderState::Created.placed("https://ca/1".into()).expect("allowed");
    tx.update_order(&order, "created").await.expect("updated");
    order.state = order.state.keyed(certificate, vec![7; 32], vec![48]).expect("allowed");
    tx.update_order(&order, "placed").await.expect("updated");
    order.state = order.state.issued().expect("allowed");
    tx.update_order(&order, "keyed").await.expect("updated");
    assert_eq!(tx.live_order(&name("shop")).await.expect("read"), None);
    assert!(is_conflict(tx.update_order(&order, "keyed").await), "an end is an end");
}

/// Exactly that host and that token, until the order is over.
pub async fn challenges_match_host_and_token(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let account = with_account(&*store).await;
    let order = order("shop", &account);
    let mut challenge = Challenge {
        host: name("shop"),
        token: "token-A".into(),
        key_authorization: "token-A.thumb".into(),
        order: order.id,
        created_at: at(0),
    };
    let mut tx = store.begin("challenge").await.expect("a transaction");
    tx.insert_order(&order).await.expect("inserted");
    tx.put_challenge(&challenge).await.expect("stored");
    challenge.key_authorization = "token-A.other".into();
    tx.put_challenge(&challenge).await.expect("replaced");
    tx.commit().await.expect("committed");
    let asked =
        async |host: &str, token: &str| store.key_authorization(&name(host), token).await.expect("read");
    assert_eq!(asked("shop", "token-A").await.as_deref(), Some("token-A.other"));
    for (host, token) in
        [("shop", "token-a"), ("shop", "token-"), ("other", "token-A"), ("www.shop", "token-A")]
    {
        assert_eq!(asked(host, token).await, None, "{host} {token}");
    }
    assert_eq!(store.challenges(&name("shop")).await.expect("read"), [challenge]);
    let mut tx = store.begin("drop").await.expect("a transaction");
    tx.drop_challenges(order.id).await.expect("dropped");
    tx.commit().await.expect("committed");
    assert_eq!(asked("shop", "token-A").await, None);
}

/// With chain and sealed key; the first upload's time stays.
pub async fn certificates_come_back(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let mut kept = certificate("shop", at(500), Source::C4);
    let mut tx = store.begin("certificate").await.expect("a transaction");
    tx.insert_certificate(&kept).await.expect("stored");
    tx.mark_uploaded(kept.id(), at(3)).await.expect("marked");
    tx.mark_uploaded(kept.id(), at(9)).await.expect("marked again");
    assert!(is_conflict(tx.mark_uploaded(CertificateId::from(fresh_uuid()), at(3)).await));
    tx.commit().await.expect("committed");
    kept.uploaded_at = Some(at(3));
    assert_eq!(store.certificate(kept.id()).await.expect("read"), Some(kept));
    assert_eq!(store.certificate(CertificateId::from(fresh_uuid())).await.expect("read"), None);
}

/// Generated, unexpired, of that name, and ending last.
pub async fn the_newest_generated_certificate_is_found(store: Arc<dyn Store>) {
    for label in ["shop", "other"] {
        add(&*store, label).await;
    }
    let wanted = certificate("shop", at(300), Source::C4);
    let mut tx = store.begin("certificates").await.expect("a transaction");
    for kept in [
        certificate("shop", at(200), Source::C4),
        wanted.clone(),
        certificate("shop", at(900), Source::Text),
        certificate("other", at(900), Source::C4),
    ] {
        tx.insert_certificate(&kept).await.expect("stored");
    }
    assert_eq!(tx.newest_generated(&name("shop"), at(0)).await.expect("read"), Some(wanted));
    assert_eq!(tx.newest_generated(&name("shop"), at(300)).await.expect("read"), None);
}

/// One per issuer and directory; its URL is set once.
pub async fn an_account_has_one_row_and_one_url(store: Arc<dyn Store>) {
    let mut kept = with_account(&*store).await;
    let read = async || store.account("letsencrypt", "https://ca.example/directory").await.expect("read");
    assert_eq!(read().await, Some(kept.clone()));
    assert_eq!(store.account("letsencrypt", "https://other/").await.expect("read"), None);
    let mut tx = store.begin("second").await.expect("a transaction");
    assert!(is_conflict(tx.insert_account(&account()).await));
    drop(tx);
    let mut tx = store.begin("url").await.expect("a transaction");
    tx.set_account_url(kept.id, "https://ca/acct/1").await.expect("set");
    tx.set_account_url(kept.id, "https://ca/acct/1").await.expect("the same again");
    assert!(is_conflict(tx.set_account_url(kept.id, "https://ca/acct/2").await));
    tx.commit().await.expect("committed");
    kept.url = Some("https://ca/acct/1".into());
    assert_eq!(read().await, Some(kept.clone()));
    let url = async |directory_url| {
        let read = store.account_url("letsencrypt", directory_url).await;
        read.expect("read")
    };
    assert_eq!(url("https://ca.example/directory").await, kept.url);
    assert_eq!(url("https://other/").await, None);
}

/// By hash, by name, revoked once, used late.
pub async fn tokens_are_found_by_hash_and_revoked(store: Arc<dyn Store>) {
    let token = |name: &str, byte: u8| TokenRecord {
        name: name.into(),
        hash: [byte; 32],
        role: Role::KeyReader,
        created_at: at(0),
        expires_at: Some(at(99)),
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = store.begin("tokens").await.expect("a transaction");
    tx.insert_token(&token("b", 1)).await.expect("inserted");
    tx.insert_token(&token("a", 2)).await.expect("inserted");
    tx.commit().await.expect("committed");
    let mut tx = store.begin("taken").await.expect("a transaction");
    assert!(is_conflict(tx.insert_token(&token("b", 3)).await));
    drop(tx);
    assert_eq!(store.token(&[1; 32]).await.expect("read"), Some(token("b", 1)));
    assert_eq!(store.token(&[9; 32]).await.expect("read"), None);
    let mut tx = store.begin("revoke").await.expect("a transaction");
    assert!(tx.revoke_token("b", at(5)).await.expect("asked"));
    assert!(!tx.revoke_token("b", at(6)).await.expect("asked"));
    assert!(!tx.revoke_token("nobody", at(6)).await.expect("asked"));
    let uses = [(7, "a"), (6, "a")].map(|(second, name)| TokenUse { name: name.into(), at: at(second) });
    tx.touch_tokens(&uses).await.expect("touched");
    tx.commit().await.expect("committed");
    let all = store.tokens().await.expect("read");
    assert_eq!(all.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((all[0].last_used_at, all[1].revoked_at), (Some(at(7)), Some(at(5))));
}
