//! `Tx::apply`: row, history and hint in one transaction; and what others see of a transaction.

use domain::{Activity, Domain, EventKind, HistoryEntry, HistoryKind, Reason, Status};
use store::{Entry, Store};

use crate::kit::{Case, add, at, is_conflict, name, update, write};

/// Applies a transition with a history entry. Returns the row as stored, that entry, and how many events were published.
async fn apply_and_look(
    store: &Store,
    before: Option<&Domain>,
    after: &Domain,
) -> (Domain, HistoryEntry, usize) {
    let stored = write(store, async |tx| {
        let entry = Entry::new(HistoryKind::Rechecked, "test", "A sentence.");
        tx.apply(before, after, Some(entry)).await?;
        tx.domain(&after.name).await
    })
    .await;
    let entry = store.history(&after.name, 1).await.unwrap().remove(0);
    let published = store.take_messages(&EventKind::WORDS, 9, at(30)).await.unwrap();
    store.delete_messages(&published).await.unwrap();
    for message in &published {
        assert_eq!(message.event.kind, EventKind::StatusChanged);
        assert_eq!((&message.event.name, message.event.revision), (&after.name, after.revision));
    }
    (stored.unwrap(), entry, published.len())
}

fn blocked(domain: &Domain) -> Domain {
    let reason = Reason::PortMissing { missing: vec![443] };
    domain.clone().blocked(reason).unwrap()
}

/// An event when the status changed, none when only the activity did; a history entry each time.
pub async fn a_status_is_published_only_if_it_changed(store: Case) {
    let first = Domain::added(name("shop"), at(0));
    let (row, entry, published) = apply_and_look(&store, None, &first).await;
    assert_eq!((entry.status_from, entry.status_to, published), (None, Status::Pending, 1));
    assert_eq!((entry.at, entry.actor.as_str(), entry.message.as_str()), (at(0), "test", "A sentence."));

    let doing = row.clone().doing(Activity::Validating, None).unwrap();
    let (row, entry, published) = apply_and_look(&store, Some(&row), &doing).await;
    assert_eq!((entry.status_from, entry.status_to, published), (Some(Status::Pending), Status::Pending, 0));

    let (row, entry, published) = apply_and_look(&store, Some(&row), &blocked(&row)).await;
    assert_eq!((entry.status_from, entry.status_to, published), (Some(Status::Pending), Status::Failure, 1));
    assert_eq!(row.recorded, Status::Failure);
}

/// A delete is published although the status stays the same; when the name is added again, its history entry has no
/// status before.
pub async fn a_delete_and_a_new_life_are_published(store: Case) {
    let row = add(&store, "shop").await;
    let deleted = row.clone().delete(at(0)).unwrap();
    let (deleted, _, published) = apply_and_look(&store, Some(&row), &deleted).await;
    assert_eq!(published, 1);
    let again = deleted.clone().added_again(at(0)).unwrap();
    let (_, entry, published) = apply_and_look(&store, Some(&deleted), &again).await;
    assert_eq!((entry.status_from, entry.status_to, published), (None, Status::Pending, 1));
}

/// A transition that did not happen leaves no history entry and no event.
pub async fn a_transition_of_a_changed_row_is_a_conflict(store: Case) {
    let read = add(&store, "shop").await;
    update(&store, &blocked(&read)).await;
    let after = read.clone().delete(at(0)).unwrap();
    for before in [Some(&read), None] {
        let mut tx = store.begin("late").await.unwrap();
        let entry = Entry::new(HistoryKind::Deleted, "test", "");
        tx.apply(before, &after, Some(entry)).await.unwrap();
        // A caller that reads on in spite of the conflict, and commits, writes nothing either.
        assert!(is_conflict(tx.domain(&read.name).await));
        assert!(is_conflict(tx.commit().await));
    }
    assert_eq!(store.history(&name("shop"), 9).await.unwrap(), []);
    assert_eq!(store.message_counts().await.unwrap(), (0, 0));
    assert!(store.domain(&name("shop")).await.unwrap().is_some());
}

/// Neither readers nor the bus see what may still be rolled back.
pub async fn nothing_is_seen_before_the_commit(store: Case) {
    let published = store.published();
    let mut tx = store.begin("open").await.unwrap();
    let shop = Domain::added(name("shop"), at(0));
    tx.insert_domain(&shop).await.unwrap();
    tx.publish(EventKind::StatusChanged, &shop.name, 1);
    assert_eq!(store.domain(&name("shop")).await.unwrap(), None);
    assert_eq!(store.message_counts().await.unwrap(), (0, 0));
    assert!(!published.has_changed().unwrap());
    tx.commit().await.unwrap();
    assert!(store.domain(&name("shop")).await.unwrap().is_some());
    assert_eq!(store.message_counts().await.unwrap(), (1, 0));
    assert!(published.has_changed().unwrap());
    store.clock().await.unwrap();
    store.check_schema().await.expect("up to date");
}
