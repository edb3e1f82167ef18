//! What the challenge path answers.

use store::{Challenge, ProbeOf};

use crate::kit::{Case, add, add_account, at, name, order, write};

/// A challenge is answered for exactly its host and token, until the order is over.
pub async fn challenges_match_host_and_token(store: Case) {
    add(&store, "shop").await;
    let order = order("shop", &add_account(&store).await);
    let mut challenge = Challenge {
        host: name("shop"),
        token: "token-A".into(),
        key_authorization: "token-A.thumb".into(),
        order: order.id,
        created_at: at(0),
    };
    write(&store, async |tx| {
        tx.insert_order(&order).await?;
        tx.put_challenge(&challenge).await?;
        challenge.key_authorization = "token-A.other".into();
        tx.put_challenge(&challenge).await
    })
    .await;
    let asked = async |host: &str, token: &str| store.key_authorization(&name(host), token).await.unwrap();
    assert_eq!(asked("shop", "token-A").await.as_deref(), Some("token-A.other"));
    for (host, token) in
        [("shop", "token-a"), ("shop", "token-"), ("other", "token-A"), ("www.shop", "token-A")]
    {
        assert_eq!(asked(host, token).await, None, "{host} {token}");
    }
    assert_eq!(store.challenges(&name("shop")).await.unwrap(), [challenge]);
    write(&store, async |tx| tx.drop_challenges(order.id).await).await;
    assert_eq!(asked("shop", "token-A").await, None);
}

/// A probe is answered like a challenge, for its host and token alone, until its asker replaces or drops it.
pub async fn a_probe_is_answered_until_it_is_replaced(store: Case) {
    let (host, other) = (name("shop"), name("other"));
    let answer = async |host, token| store.key_authorization(host, token).await.unwrap();
    let put = async |of, token| write(&store, async |tx| tx.put_probe(&host, of, token, "probe").await).await;
    for token in ["one", "two"] {
        put(ProbeOf::Order, token).await;
        assert_eq!(answer(&host, token).await.as_deref(), Some("probe"));
        assert_eq!(answer(&other, token).await, None);
    }
    assert_eq!(answer(&host, "one").await, None, "one at a time");
    put(ProbeOf::Check, "three").await;
    assert!(answer(&host, "two").await.is_some() && answer(&host, "three").await.is_some());
    write(&store, async |tx| tx.drop_probe(&host, ProbeOf::Order).await).await;
    assert_eq!(answer(&host, "two").await, None);
    assert!(answer(&host, "three").await.is_some(), "the other's stays");
}
