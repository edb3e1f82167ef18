//! Users and their sessions.

use domain::Role;

use store::{SessionRecord, SignedRow, TokenRecord, User};

use crate::kit::{Case, at, attempt, fresh_uuid, is_conflict, write};

fn user(name: &str, role: Role) -> User {
    User {
        name: name.to_owned(),
        roles: role.into(),
        password_hash: Some("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned()),
        created_at: at(0),
        // PostgreSQL takes a MAC once.
        mac: fresh_uuid().as_bytes().to_vec(),
    }
}

fn session(of: &User, number: u8, created: i64, expires: i64) -> SessionRecord {
    SessionRecord {
        hash: [number; 32],
        user: of.name.clone(),
        roles: of.roles,
        created_at: at(created),
        used_at: at(created),
        expires_at: at(expires),
        mac: vec![number],
    }
}

/// A user comes back as stored, is listed in order of name, and is changed in place.
pub async fn users_come_back_and_are_changed(store: Case) {
    let (bob, mut ann) = (user("bob", Role::Support), user("ann", Role::Viewer));
    for user in [&bob, &ann] {
        write(&store, async |tx| tx.insert_user(user).await).await;
    }
    let another_bob = user("bob", Role::Support);
    attempt(&store, async |tx| assert!(is_conflict(tx.insert_user(&another_bob).await))).await;
    assert!(store.users().await.unwrap() == [ann.clone(), bob.clone()]);

    ann.roles = Role::Admin.into();
    ann.mac = vec![8];
    ann.password_hash = None;
    assert!(write(&store, async |tx| tx.update_user(&ann).await).await);
    let missing = user("carl", Role::Admin);
    assert!(!write(&store, async |tx| tx.update_user(&missing).await).await);
    assert!(store.user("ann").await.unwrap() == Some(ann));
    assert!(store.user("bob").await.unwrap() == Some(bob));
    assert!(store.user("carl").await.unwrap().is_none());
}

/// A session has its user's present role, is touched forwards only, and ends by itself, with its siblings or its user.
pub async fn sessions_last_until_they_are_ended(store: Case) {
    let (mut bob, ann) = (user("bob", Role::Support), user("ann", Role::Viewer));
    let sessions = [session(&bob, 1, 0, 10), session(&bob, 2, 1, 100), session(&ann, 3, 0, 10)];
    write(&store, async |tx| {
        tx.insert_user(&bob).await?;
        tx.insert_user(&ann).await?;
        for session in &sessions {
            tx.insert_session(session).await?;
        }
        Ok(())
    })
    .await;
    let stored = async |number: u8| store.session(&[number; 32]).await.unwrap();
    let found = async |number: u8| stored(number).await.map(|stored| stored.session);
    assert_eq!(found(1).await.as_ref(), Some(&sessions[0]));
    assert!(stored(1).await.unwrap().user.as_ref() == Some(&bob), "with the row of its user");

    bob.roles = Role::Admin.into();
    assert!(write(&store, async |tx| tx.update_user(&bob).await).await);
    for second in [5, 3] {
        write(&store, async |tx| tx.touch_session(&[1; 32], at(second)).await).await;
    }
    let touched = found(1).await.unwrap();
    assert_eq!((touched.roles, touched.used_at), (Role::Admin.into(), at(5)));

    // A new session of bob deletes those of bob that ended, and no other.
    write(&store, async |tx| tx.insert_session(&session(&bob, 4, 50, 100)).await).await;
    assert_eq!(found(1).await, None);
    assert!(found(2).await.is_some() && found(3).await.is_some());

    assert!(write(&store, async |tx| tx.end_session(&[2; 32]).await).await);
    assert!(!write(&store, async |tx| tx.end_session(&[2; 32]).await).await);
    write(&store, async |tx| tx.insert_session(&session(&bob, 5, 51, 100)).await).await;
    assert_eq!(write(&store, async |tx| tx.end_sessions("bob").await).await, 2);
    assert_eq!((found(4).await, found(5).await), (None, None));

    assert!(write(&store, async |tx| tx.remove_user("ann").await).await);
    assert!(!write(&store, async |tx| tx.remove_user("ann").await).await);
    assert_eq!(found(3).await, None);
}

/// A person from an OpenID provider needs no user row, keeps the role of the sign-in, and is distinct from a user of the
/// same name.
pub async fn people_of_a_provider_have_sessions_without_a_user(store: Case) {
    let (ann, elsewhere) = (user("ann", Role::Viewer), user("oidc:ann", Role::Support));
    write(&store, async |tx| tx.insert_user(&ann).await).await;
    let theirs = |number, created| session(&elsewhere, number, created, created + 10);
    write(&store, async |tx| {
        tx.insert_session(&session(&ann, 1, 0, 100)).await?;
        tx.insert_provider_session(&theirs(2, 0)).await
    })
    .await;
    let stored = async |number: u8| store.session(&[number; 32]).await.unwrap();
    let found = async |number: u8| stored(number).await.map(|stored| stored.session);
    assert!(stored(2).await.unwrap().user.is_none());
    assert_eq!(found(2).await, Some(theirs(2, 0)));
    assert!(store.user("oidc:ann").await.unwrap().is_none());

    write(&store, async |tx| tx.touch_session(&[2; 32], at(5)).await).await;
    assert_eq!(found(2).await.unwrap().used_at, at(5));
    // A new session deletes those of the same person that ended.
    write(&store, async |tx| tx.insert_provider_session(&theirs(3, 20)).await).await;
    assert_eq!(found(2).await, None);

    write(&store, async |tx| tx.insert_provider_session(&theirs(4, 21)).await).await;
    assert_eq!(write(&store, async |tx| tx.end_sessions("oidc:ann").await).await, 2);
    assert_eq!((found(3).await, found(4).await), (None, None));
    assert!(found(1).await.is_some(), "the user ann is another person");
}

/// An ID token can be used once, also by sign-ins at the same moment, until it is deleted; a use that was rolled back
/// does not count.
pub async fn an_id_token_is_used_once(store: Case) {
    let using = async |number: u8, until: i64, now: i64| {
        write(store.at(now), async |tx| tx.use_id_token(&[number; 32], at(until)).await).await
    };
    assert!(using(1, 10, 0).await);
    assert!(!using(1, 10, 5).await);
    assert!(using(2, 30, 5).await, "another one");
    assert!(!using(1, 10, 10).await, "it is kept to the end");
    assert!(using(1, 20, 11).await, "and deleted then");
    assert!(!using(2, 30, 12).await);

    attempt(&store, async |tx| assert!(tx.use_id_token(&[3; 32], at(30)).await.unwrap())).await;
    assert!(using(3, 30, 12).await);

    let at_once = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin("at_once").await.unwrap();
            let is_first = tx.use_id_token(&[4; 32], at(30)).await.unwrap();
            tx.commit().await.unwrap();
            is_first
        })
    });
    let mut winners = 0;
    for attempt in at_once.collect::<Vec<_>>() {
        winners += u32::from(attempt.await.unwrap());
    }
    assert_eq!(winners, 1);
}

/// The MAC of each kind of row is replaced only if it is as it was read; every session is found in pages.
pub async fn a_mac_is_replaced_as_it_was_read(store: Case) {
    let ann = User { mac: vec![7], ..user("ann", Role::Viewer) };
    let token = TokenRecord {
        name: "t".to_owned(),
        hash: [1; 32],
        roles: Role::Viewer.into(),
        created_at: at(0),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        mac: vec![7],
    };
    let sessions = [7, 8, 9].map(|number| SessionRecord { mac: vec![7], ..session(&ann, number, 0, 9) });
    write(&store, async |tx| {
        tx.insert_token(&token).await?;
        tx.insert_user(&ann).await?;
        for session in &sessions {
            tx.insert_session(session).await?;
        }
        Ok(())
    })
    .await;
    let first = store.sessions(&[0; 32], 2).await.unwrap();
    let second = store.sessions(&first[1].session.hash, 2).await.unwrap();
    let found: Vec<u8> = first.iter().chain(&second).map(|stored| stored.session.hash[0]).collect();
    assert_eq!(found, [7, 8, 9]);
    let rows =
        [SignedRow::Token("t".to_owned()), SignedRow::User("ann".to_owned()), SignedRow::Session([8; 32])];
    for row in &rows {
        write(&store, async |tx| {
            assert!(!tx.replace_mac(row, &[6], &[9]).await?, "{row}: it is another");
            assert!(tx.replace_mac(row, &[7], &[9]).await?, "{row}");
            Ok(())
        })
        .await;
    }
    assert_eq!(store.tokens().await.unwrap()[0].mac, [9]);
    assert_eq!(store.user("ann").await.unwrap().unwrap().mac, [9]);
    let macs: Vec<u8> =
        store.sessions(&[0; 32], 9).await.unwrap().iter().map(|stored| stored.session.mac[0]).collect();
    assert_eq!(macs, [7, 9, 7]);
}

/// Of two transactions that lock the users, the second sees what the first one wrote.
pub async fn users_that_are_locked_stay_as_they_are(store: Case) {
    for name in ["ann", "bob"] {
        write(&store, async |tx| tx.insert_user(&user(name, Role::Admin)).await).await;
    }
    let demote = |own: &'static str| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin("demote").await.unwrap();
            let users = tx.lock_users().await.unwrap();
            let admins = users.iter().filter(|user| user.roles == Role::Admin.into()).count();
            let mut one = users.into_iter().find(|user| user.name == own).unwrap();
            if admins > 1 {
                one.roles = Role::Viewer.into();
                assert!(tx.update_user(&one).await.unwrap());
            }
            tx.commit().await.unwrap();
        })
    };
    for demoted in [demote("ann"), demote("bob")] {
        demoted.await.unwrap();
    }
    let users = store.users().await.unwrap();
    assert_eq!(users.iter().filter(|user| user.roles == Role::Admin.into()).count(), 1);
}

/// The sessions of one person come page by page, those of a provider's person too, and nobody else's.
pub async fn a_persons_sessions_are_found_in_pages(store: Case) {
    let (ann, bob) = (user("ann", Role::Viewer), user("bob", Role::Viewer));
    write(&store, async |tx| {
        tx.insert_user(&ann).await?;
        tx.insert_user(&bob).await?;
        for number in [1, 3, 5] {
            tx.insert_session(&session(&ann, number, 0, 100)).await?;
        }
        tx.insert_session(&session(&bob, 2, 0, 100)).await?;
        tx.insert_provider_session(&session(&user("oidc:ann", Role::Support), 4, 0, 100)).await
    })
    .await;
    let found = async |person: &str, after: u8, limit: u32| -> Vec<u8> {
        let found = store.sessions_of(person, &[after; 32], limit).await.unwrap();
        found.iter().map(|stored| stored.session.hash[0]).collect()
    };
    assert_eq!(found("ann", 0, 2).await, [1, 3]);
    assert_eq!(found("ann", 3, 2).await, [5]);
    assert_eq!(found("oidc:ann", 0, 9).await, [4]);
    assert!(found("nobody", 0, 9).await.is_empty());
}
