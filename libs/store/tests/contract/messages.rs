//! Events on their way, and answers to them: each answer counts once, and only if the message is still leased to its
//! taker.

use domain::{CertificateId, Event, EventId, EventKind};
use store::Message;

use crate::kit::{Case, at, attempt, fresh_uuid, name, publish};

const REQUESTED: &str = "certificate-requested";
const CHANGED: &str = "status-changed";

async fn take(store: &Case, kinds: &[&'static str], limit: u32, now: i64) -> Vec<Message> {
    store.at(now).take_messages(kinds, limit, at(now + 30)).await.unwrap()
}

async fn take_all(store: &Case, now: i64) -> Vec<Message> {
    take(store, &EventKind::WORDS, 9, now).await
}

/// Publishes that many events and returns their ids.
async fn with_messages(store: &Case, count: usize) -> Vec<EventId> {
    let events = publish(store.at(0), &vec![("shop", EventKind::StatusChanged); count]).await;
    events.iter().map(|event| event.id).collect()
}

fn events(messages: &[Message]) -> Vec<Event> {
    messages.iter().map(|message| message.event.clone()).collect()
}

fn ids(messages: &[Message]) -> Vec<EventId> {
    messages.iter().map(|message| message.event.id).collect()
}

/// Messages come oldest first, bounded, only of the kinds that were asked for, as they were published.
pub async fn messages_come_in_order_and_by_kind(store: Case) {
    let certificate = CertificateId::from(fresh_uuid());
    let sent = [
        ("a", EventKind::CertificateRequested),
        ("b", EventKind::StatusChanged),
        ("c", EventKind::CertificateRequested),
        ("d", EventKind::CertIssued { certificate }),
        ("e", EventKind::CertificateRequested),
    ];
    let sent = publish(&store, &sent).await;
    let taken = take(&store, &[REQUESTED], 2, 0).await;
    assert_eq!(events(&taken), [sent[0].clone(), sent[2].clone()]);
    let rest = take(&store, &["cert-issued", CHANGED], 9, 0).await;
    assert_eq!(events(&rest), [sent[1].clone(), sent[3].clone()]);
    assert_eq!(store.message_counts().await.unwrap(), (5, 0));
    store.delete_messages(&rest).await.unwrap();
    assert_eq!(store.message_counts().await.unwrap(), (3, 0));
}

/// A taken message has one taker until the lease ends; then the answers of the first taker change nothing.
pub async fn a_taken_message_is_leased(store: Case) {
    publish(&store, &[("a", EventKind::CertificateRequested)]).await;
    let old = take(&store, &[REQUESTED], 9, 0).await;
    assert_eq!(take(&store, &[REQUESTED], 9, 29).await, []);
    let new = take(&store, &[REQUESTED], 9, 30).await;
    assert_eq!(new[0].event, old[0].event);
    store.delete_messages(&old).await.expect("nothing happens");
    store.bury_message(&old[0], "late").await.expect("nothing happens");
    store.delay_message(&old[0], at(999)).await.expect("nothing happens");
    assert_eq!(store.message_counts().await.unwrap(), (1, 0));
    store.delete_messages(&new).await.unwrap();
    assert_eq!(store.message_counts().await.unwrap(), (0, 0));
}

/// A message is given back for later with its attempts, set aside for good, or kept while it is handled.
pub async fn a_message_can_be_delayed_buried_and_kept(store: Case) {
    publish(&store, &[("a", EventKind::CertificateRequested)]).await;
    let taken = take_all(&store, 0).await;
    store.keep_messages(&taken, at(100)).await.unwrap();
    assert_eq!(take_all(&store, 99).await, []);
    store.delay_message(&taken[0], at(200)).await.unwrap();
    assert_eq!(take_all(&store, 199).await, []);
    let again = take_all(&store, 200).await;
    assert_eq!(again[0].attempts, 1);
    store.bury_message(&again[0], "poison").await.unwrap();
    assert_eq!(take_all(&store, 999).await, []);
    assert_eq!(store.message_counts().await.unwrap(), (0, 1));
}

/// Only a commit that published something wakes the bus.
pub async fn only_a_commit_publishes(store: Case) {
    let mut published = store.published();
    published.mark_unchanged();
    attempt(&store, async |tx| tx.publish(EventKind::StatusChanged, &name("a"), 1)).await;
    store.begin("empty").await.unwrap().commit().await.unwrap();
    assert!(!published.has_changed().unwrap());
    assert_eq!(take_all(&store, 0).await, []);
    publish(&store, &[("a", EventKind::StatusChanged)]).await;
    assert!(published.has_changed().unwrap());
    assert_eq!(take_all(&store, 0).await.len(), 1);
}

/// No message has two takers, and none is left over.
pub async fn takers_at_once_take_distinct_messages(store: Case) {
    let mut published = with_messages(&store, 100).await;
    let takers: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.take_messages(&EventKind::WORDS, 3, at(30)).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(ids(&taker.await.unwrap()));
    }
    taken.sort();
    published.sort();
    assert_eq!(taken, published);
}

/// There is nothing to take before the message was published, and the message of a dead taker comes again as it was.
pub async fn a_message_comes_again_when_its_taker_is_gone(store: Case) {
    let published = with_messages(&store, 1).await;
    assert_eq!(take_all(&store, -1).await, []);
    let first = take_all(&store, 0).await;
    let second = take_all(&store, 30).await;
    assert_eq!(ids(&second), published);
    assert!(second[0].token > first[0].token);
    assert_eq!(second[0].attempts, 0, "only giving it back counts");
}

/// Keeping is an answer, too: that of a former taker does not extend the lease.
pub async fn a_former_taker_keeps_nothing(store: Case) {
    let published = with_messages(&store, 1).await;
    let former = take_all(&store, 0).await;
    take_all(&store, 30).await;
    store.keep_messages(&former, at(1000)).await.expect("nothing happens");
    let third = take_all(&store, 60).await;
    assert_eq!((ids(&third), third[0].attempts), (published, 0));
}

/// A message that was given back or set aside has no taker: a second answer to it changes nothing.
pub async fn an_answer_counts_once(store: Case) {
    let published = with_messages(&store, 2).await;
    let taken = take_all(&store, 0).await;
    store.delay_message(&taken[0], at(40)).await.unwrap();
    store.bury_message(&taken[1], "first").await.unwrap();
    for message in &taken {
        store.delay_message(message, at(99)).await.expect("nothing happens");
        store.bury_message(message, "again").await.expect("nothing happens");
    }
    store.keep_messages(&taken, at(99)).await.expect("nothing happens");
    store.delete_messages(&taken).await.expect("nothing happens");
    assert_eq!(store.message_counts().await.unwrap(), (1, 1));
    let again = take_all(&store, 40).await;
    assert_eq!((ids(&again), again[0].attempts), (published[..1].to_vec(), 1));
}

/// After a restart, answers from before it change nothing, and a message that was set aside stays so.
pub async fn a_freed_message_cannot_be_answered(store: Case) {
    let published = with_messages(&store, 3).await;
    let taken = take_all(&store, 0).await;
    store.bury_message(&taken[2], "poison").await.unwrap();
    store.free_all_leases().await.unwrap();
    store.delete_messages(&taken).await.expect("nothing happens");
    assert_eq!(ids(&take_all(&store, 1).await), published[..2]);
    assert_eq!(store.message_counts().await.unwrap(), (2, 1));
}

/// An empty list, or a limit of 0, does not mean all.
pub async fn an_empty_request_does_nothing(store: Case) {
    with_messages(&store, 1).await;
    assert_eq!(take(&store, &[], 9, 0).await, []);
    assert_eq!(take(&store, &EventKind::WORDS, 0, 0).await, []);
    store.keep_messages(&[], at(30)).await.unwrap();
    store.delete_messages(&[]).await.unwrap();
    assert_eq!(take_all(&store, 0).await.len(), 1);
}
