//! Answers to messages: each counts once, and only from whoever has the message now.

use std::sync::Arc;

use domain::{EventId, EventKind};

use super::{at, event, publish};
use crate::{Message, Store};

/// Publishes that many events and gives their ids.
async fn with_messages(store: &dyn Store, count: usize) -> Vec<EventId> {
    let events: Vec<_> = (0..count).map(|_| event("shop", EventKind::StatusChanged)).collect();
    publish(store, &events, at(0)).await;
    events.iter().map(|event| event.id).collect()
}

async fn take(store: &dyn Store, limit: u32, now: i64) -> Vec<Message> {
    store.take_messages(&EventKind::WORDS, limit, at(now), at(now + 30)).await.expect("taken")
}

fn ids(messages: &[Message]) -> Vec<EventId> {
    messages.iter().map(|message| message.event.id).collect()
}

/// Nobody gets what somebody else got, and nothing is left.
pub async fn takers_at_once_take_distinct_messages(store: Arc<dyn Store>) {
    let mut published = with_messages(&*store, 100).await;
    let takers: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { take(&*store, 3, 0).await })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(ids(&taker.await.expect("no panic")));
    }
    taken.sort();
    published.sort();
    assert_eq!(taken, published);
}

/// Before it was published there is nothing to take, and a dead taker's message comes again as it was.
pub async fn a_message_comes_again_when_its_taker_is_gone(store: Arc<dyn Store>) {
    let published = with_messages(&*store, 1).await;
    assert_eq!(take(&*store, 9, -1).await, []);
    let first = take(&*store, 9, 0).await;
    let second = take(&*store, 9, 30).await;
    assert_eq!(ids(&second), published);
    assert!(second[0].token > first[0].token);
    assert_eq!(second[0].attempts, 0, "only giving it back counts");
}

/// Keeping is an answer, too: a former taker's must not hold the message.
pub async fn a_former_taker_keeps_nothing(store: Arc<dyn Store>) {
    let published = with_messages(&*store, 1).await;
    let former = take(&*store, 9, 0).await;
    take(&*store, 9, 30).await;
    store.keep_messages(&former, at(1000)).await.expect("nothing happens");
    let third = take(&*store, 9, 60).await;
    assert_eq!((ids(&third), third[0].attempts), (published, 0));
}

/// What was given back or set aside is nobody's: a second answer to it changes nothing.
pub async fn an_answer_counts_once(store: Arc<dyn Store>) {
    let published = with_messages(&*store, 2).await;
    let taken = take(&*store, 9, 0).await;
    store.delay_message(&taken[0], at(40)).await.expect("delayed");
    store.bury_message(&taken[1], "first").await.expect("buried");
    for message in &taken {
        store.delay_message(message, at(99)).await.expect("nothing happens");
        store.bury_message(message, "again").await.expect("nothing happens");
    }
    store.keep_messages(&taken, at(99)).await.expect("nothing happens");
    store.delete_messages(&taken).await.expect("nothing happens");
    assert_eq!(store.message_counts().await.expect("counted"), (1, 1));
    let again = take(&*store, 9, 40).await;
    assert_eq!((ids(&again), again[0].attempts), (published[..1].to_vec(), 1));
}

/// After a restart the answers of the time before are void, and what was set aside stays there.
pub async fn a_freed_message_cannot_be_answered(store: Arc<dyn Store>) {
    let published = with_messages(&*store, 3).await;
    let taken = take(&*store, 9, 0).await;
    store.bury_message(&taken[2], "poison").await.expect("buried");
    store.free_all_leases().await.expect("freed");
    store.delete_messages(&taken).await.expect("nothing happens");
    assert_eq!(ids(&take(&*store, 9, 1).await), published[..2]);
    assert_eq!(store.message_counts().await.expect("counted"), (2, 1));
}

/// An empty list, or room for none, is not everything.
pub async fn nothing_asked_is_nothing_done(store: Arc<dyn Store>) {
    with_messages(&*store, 1).await;
    let none = store.take_messages(&[], 9, at(0), at(30)).await.expect("taken");
    assert_eq!(none, []);
    assert_eq!(take(&*store, 0, 0).await, []);
    store.keep_messages(&[], at(30)).await.expect("nothing to keep");
    store.delete_messages(&[]).await.expect("nothing to delete");
    assert_eq!(take(&*store, 9, 0).await.len(), 1);
}
