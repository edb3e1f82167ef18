//! People and their sessions.

use std::sync::Arc;

use domain::Role;

use super::{at, is_conflict, write};
use crate::{SessionRecord, Store, User};

fn user(name: &str, role: Role) -> User {
    User {
        name: name.to_owned(),
        role,
        password_hash: Some("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned()),
        created_at: at(0),
    }
}

fn session(of: &User, number: u8, created: i64, expires: i64) -> SessionRecord {
    SessionRecord {
        hash: [number; 32],
        user: of.name.clone(),
        role: of.role,
        created_at: at(created),
        used_at: at(created),
        expires_at: at(expires),
    }
}

/// A person comes back as stored, is found among all by name, and is changed in place.
pub async fn people_come_back_and_are_changed(store: Arc<dyn Store>) {
    let (bob, mut ann) = (user("bob", Role::Support), user("ann", Role::Viewer));
    for person in [&bob, &ann] {
        write(&*store, async |tx| tx.insert_user(person).await).await;
    }
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.insert_user(&bob).await));
    drop(tx);
    assert!(store.users().await.expect("read") == [ann.clone(), bob.clone()]);

    ann.role = Role::Admin;
    ann.password_hash = None;
    assert!(write(&*store, async |tx| tx.update_user(&ann).await).await);
    let nobody = user("nobody", Role::Admin);
    assert!(!write(&*store, async |tx| tx.update_user(&nobody).await).await);
    assert!(store.user("ann").await.expect("read") == Some(ann));
    assert!(store.user("bob").await.expect("read") == Some(bob));
    assert!(store.user("nobody").await.expect("read").is_none());
}

/// A session has its user's present role, is touched forwards only, and ends by itself, with its siblings or its user.
pub async fn sessions_last_until_they_are_ended(store: Arc<dyn Store>) {
    let (mut bob, ann) = (user("bob", Role::Support), user("ann", Role::Viewer));
    let sessions = [
        session(&bob, 1, 0, 10),
        session(&bob, 2, 1, 100),
        session(&ann, 3, 0, 10),
    ];
    write(&*store, async |tx| {
        tx.insert_user(&bob).await?;
        tx.insert_user(&ann).await?;
        for session in &sessions {
            tx.insert_session(session).await?;
        }
        Ok(())
    })
    .await;
    let found = async |number: u8| store.session(&[number; 32]).await.expect("read");
    assert_eq!(found(1).await.as_ref(), Some(&sessions[0]));

    bob.role = Role::Admin;
    assert!(write(&*store, async |tx| tx.update_user(&bob).await).await);
    for second in [5, 3] {
        write(&*store, async |tx| tx.touch_session(&[1; 32], at(second)).await).await;
    }
    let touched = found(1).await.expect("there");
    assert_eq!((touched.role, touched.used_at), (Role::Admin, at(5)));

    // A new one of bob's forgets his that ended, and nobody else's.
    write(&*store, async |tx| {
        tx.insert_session(&session(&bob, 4, 50, 100)).await
    })
    .await;
    assert_eq!(found(1).await, None);
    assert!(found(2).await.is_some() && found(3).await.is_some());

    assert!(write(&*store, async |tx| tx.end_session(&[2; 32]).await).await);
    assert!(!write(&*store, async |tx| tx.end_session(&[2; 32]).await).await);
    write(&*store, async |tx| {
        tx.insert_session(&session(&bob, 5, 51, 100)).await
    })
    .await;
    assert_eq!(write(&*store, async |tx| tx.end_sessions("bob").await).await, 2);
    assert_eq!((found(4).await, found(5).await), (None, None));

    assert!(write(&*store, async |tx| tx.remove_user("ann").await).await);
    assert!(!write(&*store, async |tx| tx.remove_user("ann").await).await);
    assert_eq!(found(3).await, None);
}
