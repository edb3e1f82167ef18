//! Events on their way.

use std::sync::Arc;

use domain::{CertificateId, EventKind};

use super::{at, event, fresh_uuid, publish};
use crate::{Message, Store};

const REQUESTED: &str = "certificate-requested";
const CHANGED: &str = "status-changed";

async fn take(store: &dyn Store, kinds: &[&'static str], limit: u32, now: i64) -> Vec<Message> {
    store.take_messages(kinds, limit, at(now), at(now + 30)).await.expect("taken")
}

/// Oldest first, bounded, only the kinds that were asked for, as they were published.
pub async fn messages_come_in_order_and_by_kind(store: Arc<dyn Store>) {
    let certificate = CertificateId::from(fresh_uuid());
    let sent = [
        event("a", EventKind::CertificateRequested),
        event("b", EventKind::StatusChanged),
        event("c", EventKind::CertificateRequested),
        event("d", EventKind::CertIssued { certificate }),
        event("e", EventKind::CertificateRequested),
    ];
    publish(&*store, &sent, at(0)).await;
    let taken = take(&*store, &[REQUESTED], 2, 0).await;
    assert_eq!(
        taken.iter().map(|message| message.event.clone()).collect::<Vec<_>>(),
        [sent[0].clone(), sent[2].clone()]
    );
    let rest = take(&*store, &["cert-issued", CHANGED], 9, 0).await;
    assert_eq!(
        rest.iter().map(|message| message.event.clone()).collect::<Vec<_>>(),
        [sent[1].clone(), sent[3].clone()]
    );
    assert_eq!(store.message_counts().await.expect("counted"), (5, 0));
    store.delete_messages(&rest).await.expect("deleted");
    assert_eq!(store.message_counts().await.expect("counted"), (3, 0));
}

/// Until the lease ends; then the old taker's answers change nothing.
pub async fn a_taken_message_is_nobody_elses(store: Arc<dyn Store>) {
    publish(&*store, &[event("a", EventKind::CertificateRequested)], at(0)).await;
    let old = take(&*store, &[REQUESTED], 9, 0).await;
    assert_eq!(take(&*store, &[REQUESTED], 9, 29).await, []);
    let new = take(&*store, &[REQUESTED], 9, 30).await;
    assert_eq!(new[0].event, old[0].event);
    store.delete_messages(&old).await.expect("nothing happens");
    store.bury_message(&old[0], "late").await.expect("nothing happens");
    store.delay_message(&old[0], at(999)).await.expect("nothing happens");
    assert_eq!(store.message_counts().await.expect("counted"), (1, 0));
    store.delete_messages(&new).await.expect("deleted");
    assert_eq!(store.message_counts().await.expect("counted"), (0, 0));
}

/// Given back for later with its attempts, set aside for good, kept while in hand.
pub async fn a_message_can_be_delayed_buried_and_kept(store: Arc<dyn Store>) {
    publish(&*store, &[event("a", EventKind::CertificateRequested)], at(0)).await;
    let taken = take(&*store, &[REQUESTED], 9, 0).await;
    store.keep_messages(&taken, at(100)).await.expect("kept");
    assert_eq!(take(&*store, &[REQUESTED], 9, 99).await, []);
    store.delay_message(&taken[0], at(200)).await.expect("delayed");
    assert_eq!(take(&*store, &[REQUESTED], 9, 199).await, []);
    let again = take(&*store, &[REQUESTED], 9, 200).await;
    assert_eq!(again[0].attempts, 1);
    store.bury_message(&again[0], "poison").await.expect("buried");
    assert_eq!(take(&*store, &[REQUESTED], 9, 999).await, []);
    assert_eq!(store.message_counts().await.expect("counted"), (0, 1));
}

/// The bus is woken by commits that published, and by no others.
pub async fn only_a_commit_publishes(store: Arc<dyn Store>) {
    let mut published = store.published();
    published.mark_unchanged();
    let mut tx = store.begin("dropped").await.expect("a transaction");
    tx.publish(&event("a", EventKind::StatusChanged), at(0)).await.expect("published");
    drop(tx);
    store.begin("empty").await.expect("a transaction").commit().await.expect("committed");
    assert!(!published.has_changed().expect("the store is there"));
    assert_eq!(take(&*store, &[CHANGED], 9, 0).await, []);
    publish(&*store, &[event("a", EventKind::StatusChanged)], at(0)).await;
    assert!(published.has_changed().expect("the store is there"));
    assert_eq!(take(&*store, &[CHANGED], 9, 0).await.len(), 1);
}
