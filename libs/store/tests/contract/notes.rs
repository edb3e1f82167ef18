//! Notes on a name.

use domain::NoteId;
use store::Note;
use uuid::Uuid;

use crate::kit::{Case, add, at, name};

/// Newest first; one that is deleted is gone, and another name's is not found.
pub async fn notes_are_added_and_deleted(store: Case) {
    add(&store, "shop").await;
    add(&store, "other").await;
    let note = |number: u128, text: &str| Note {
        id: NoteId::from(Uuid::from_u128(number)),
        name: name("shop"),
        at: at(number as i64),
        author: "user:lee".to_owned(),
        text: text.to_owned(),
    };
    let (first, second) = (note(1, "<b>=1+1\nticket 4711"), note(2, "told"));
    for note in [&first, &second] {
        let mut tx = store.begin("add_note").await.unwrap();
        tx.add_note(note.clone()).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(store.notes(&name("shop"), 9).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(store.notes(&name("other"), 9).await.unwrap(), []);
    let mut tx = store.begin("delete_note").await.unwrap();
    assert_eq!(tx.count_notes(&name("shop")).await.unwrap(), 2);
    assert_eq!(tx.note(&name("other"), first.id).await.unwrap(), None);
    assert_eq!(tx.note(&name("shop"), first.id).await.unwrap(), Some(first.clone()));
    tx.delete_note(first.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.notes(&name("shop"), 9).await.unwrap(), [second]);
    let mut tx = store.begin("delete_note").await.unwrap();
    tx.delete_note(first.id).await.unwrap();
    assert!(tx.commit().await.is_err(), "it is gone");
}
