//! API tokens.

use domain::{Role, Roles};
use store::{TokenRecord, TokenUse};

use crate::kit::{Case, at, attempt, is_conflict, write};

/// A token is found by its hash, listed by name, and revoked once; the latest use counts.
pub async fn tokens_are_found_by_hash_and_revoked(store: Case) {
    let token = |name: &str, byte: u8| TokenRecord {
        name: name.into(),
        hash: [byte; 32],
        roles: Roles::of([Role::KeyReader, Role::Support]).unwrap(),
        created_at: at(0),
        expires_at: Some(at(99)),
        last_used_at: None,
        revoked_at: None,
        mac: vec![byte],
    };
    write(&store, async |tx| {
        tx.insert_token(&token("b", 1)).await?;
        tx.insert_token(&token("a", 2)).await
    })
    .await;
    attempt(&store, async |tx| assert!(is_conflict(tx.insert_token(&token("b", 3)).await))).await;
    assert_eq!(store.token(&[1; 32]).await.unwrap(), Some(token("b", 1)));
    assert_eq!(store.token(&[9; 32]).await.unwrap(), None);
    for (now, name, revokes) in [(5, "b", true), (6, "b", false), (6, "never", false)] {
        let revoked = write(store.at(now), async |tx| tx.revoke_token(name).await).await;
        assert_eq!(revoked, revokes, "{name}");
    }
    let uses = [(7, "a"), (6, "a")].map(|(second, name)| TokenUse { name: name.into(), at: at(second) });
    write(&store, async |tx| tx.touch_tokens(&uses).await).await;
    let all = store.tokens().await.unwrap();
    assert_eq!(all.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((all[0].last_used_at, all[1].revoked_at), (Some(at(7)), Some(at(5))));
    assert_eq!(store.token_named("b").await.unwrap().as_ref(), Some(&all[1]));
    assert_eq!(store.token_named("B").await.unwrap(), None);
}
