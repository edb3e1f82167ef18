//! [`apply`](crate::apply): row, history and hint in one transaction.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{Activity, Clock, Domain, Entropy, EventKind, HistoryEntry, HistoryKind, Reason, Status};
use jiff::Timestamp;

use super::{add, at, is_conflict, name, update, write};
use crate::{Entry, Store, apply};

/// A clock that stands still.
struct StillClock(Timestamp);

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// A random source that counts.
#[derive(Default)]
struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        for (byte, counted) in bytes.iter_mut().zip(count.into_iter().cycle()) {
            *byte = counted;
        }
    }
}

/// Applies a transition with a history line, and gives the row as stored, that line, and how often the status was
/// told.
async fn apply_and_look(
    store: &dyn Store,
    entropy: &CountingEntropy,
    before: Option<&Domain>,
    after: &Domain,
) -> (Domain, HistoryEntry, usize) {
    let stored = write(store, async |tx| {
        let entry = Entry::new(HistoryKind::Rechecked, "test", "A sentence.");
        apply(tx, &StillClock(at(0)), entropy, before, after, Some(entry)).await?;
        tx.domain(&after.name).await
    })
    .await;
    let line = store.history(&after.name, 1).await.expect("read").remove(0);
    let told = store.take_messages(&EventKind::WORDS, 9, at(0), at(30)).await.expect("taken");
    store.delete_messages(&told).await.expect("deleted");
    for message in &told {
        assert_eq!(message.event.kind, EventKind::StatusChanged);
        assert_eq!((&message.event.name, message.event.revision), (&after.name, after.revision));
    }
    (stored.expect("there"), line, told.len())
}

fn blocked(domain: &Domain) -> Domain {
    let reason = Reason::PortMissing { missing: vec![443] };
    domain.clone().blocked(reason).expect("listed")
}

/// Told once when it changed, not when only the activity did; noted each time.
pub async fn a_status_is_told_only_if_it_changed(store: Arc<dyn Store>) {
    let entropy = CountingEntropy::default();
    let first = Domain::added(name("shop"), at(0));
    let (row, line, told) = apply_and_look(&*store, &entropy, None, &first).await;
    assert_eq!((line.status_from, line.status_to, told), (None, Status::Pending, 1));
    assert_eq!((line.at, line.actor.as_str(), line.message.as_str()), (at(0), "test", "A sentence."));

    let doing = row.clone().doing(Activity::Validating, None).expect("listed");
    let (row, line, told) = apply_and_look(&*store, &entropy, Some(&row), &doing).await;
    assert_eq!((line.status_from, line.status_to, told), (Some(Status::Pending), Status::Pending, 0));

    let (row, line, told) = apply_and_look(&*store, &entropy, Some(&row), &blocked(&row)).await;
    assert_eq!((line.status_from, line.status_to, told), (Some(Status::Pending), Status::Failure, 1));
    assert_eq!(row.recorded, Status::Failure);
}

/// A deletion is told though the status is what it was, and the next life begins with a first line.
pub async fn a_deletion_and_a_new_life_are_told(store: Arc<dyn Store>) {
    let entropy = CountingEntropy::default();
    let row = add(&*store, "shop").await;
    let deleted = row.clone().delete(at(0)).expect("listed");
    let (deleted, _, told) = apply_and_look(&*store, &entropy, Some(&row), &deleted).await;
    assert_eq!(told, 1);
    let again = deleted.clone().added_again(at(0)).expect("deleted");
    let (_, line, told) = apply_and_look(&*store, &entropy, Some(&deleted), &again).await;
    assert_eq!((line.status_from, line.status_to, told), (None, Status::Pending, 1));
}

/// Nothing is noted or told of a transition that did not happen.
pub async fn a_transition_of_a_changed_row_is_a_conflict(store: Arc<dyn Store>) {
    let entropy = CountingEntropy::default();
    let read = add(&*store, "shop").await;
    update(&*store, &blocked(&read), at(0)).await;
    let after = read.clone().delete(at(0)).expect("listed");
    for before in [Some(&read), None] {
        let mut tx = store.begin("late").await.expect("a transaction");
        let entry = Entry::new(HistoryKind::Deleted, "test", "");
        let applied = apply(&mut *tx, &StillClock(at(0)), &entropy, before, &after, Some(entry)).await;
        assert!(is_conflict(applied));
        // Even a caller that went on regardless has only what it did itself.
        tx.commit().await.expect("committed");
    }
    assert_eq!(store.history(&name("shop"), 9).await.expect("read"), []);
    assert_eq!(store.message_counts().await.expect("counted"), (0, 0));
    assert!(store.domain(&name("shop")).await.expect("read").is_some());
}
