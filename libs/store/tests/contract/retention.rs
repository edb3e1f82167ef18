//! Keys that are destroyed, and rows that are deleted.

use domain::{Order, OrderState, Reason, Role, Source};
use jiff::civil::date;
use store::{Counted, Past, SealedPlace, SessionRecord, User};

use crate::kit::{
    Case, account, add, add_account, at, certificate, insert_certificate, name, order, placed_order, row,
    update, write,
};

/// The keys of a name are destroyed if it was deleted by then and was not added again; once per delete.
pub async fn keys_of_deleted_names_are_destroyed(store: Case) {
    let destroy = async |label: &str, deleted_by: i64, now: i64| {
        write(store.at(now), async |tx| tx.destroy_keys(&name(label), at(deleted_by)).await).await
    };
    let to_destroy = async |deleted_by: i64| store.keys_to_destroy(at(deleted_by), 9).await.unwrap();
    let mut made = Vec::new();
    for label in ["gone", "back", "listed"] {
        add(&store, label).await;
        for _ in 0..2 {
            let certificate = certificate(label, at(900), Source::C4);
            insert_certificate(&store, &certificate).await;
            made.push(certificate);
        }
    }
    for (label, deleted_at) in [("gone", 10), ("back", 11)] {
        let deleted = row(&store, label).await.delete(at(deleted_at)).unwrap();
        update(store.at(deleted_at), &deleted).await;
    }
    assert_eq!(to_destroy(9).await, []);
    assert_eq!(to_destroy(10).await, [name("gone")]);
    assert_eq!(to_destroy(11).await, [name("back"), name("gone")], "in order of name");
    assert_eq!(store.keys_to_destroy(at(11), 1).await.unwrap(), [name("gone")]);

    let back = row(&store, "back").await.added_again(at(12)).unwrap();
    let back = update(store.at(12), &back).await;
    assert_eq!(destroy("back", 20, 20).await, None, "it is on the list again");
    assert_eq!(destroy("listed", 20, 20).await, None);
    assert_eq!(destroy("gone", 9, 20).await, None, "not yet");
    assert_eq!(destroy("gone", 10, 20).await, Some(2));
    assert_eq!(destroy("gone", 10, 21).await, None, "once");
    assert_eq!(to_destroy(20).await, []);
    for certificate in &made {
        let kept = store.certificate(&certificate.name, certificate.id()).await.unwrap().unwrap();
        assert_eq!(kept.sealed_key.is_none(), certificate.name == name("gone"));
        assert_eq!((&kept.summary, &kept.chain_pem), (&certificate.summary, &certificate.chain_pem));
    }
    update(store.at(30), &back.delete(at(30)).unwrap()).await;
    let gone = row(&store, "gone").await.added_again(at(31)).unwrap();
    let gone = update(store.at(31), &gone).await;
    update(store.at(32), &gone.delete(at(32)).unwrap()).await;
    assert_eq!(to_destroy(32).await, [name("back"), name("gone")], "deleted again");
    assert_eq!(destroy("back", 32, 33).await, Some(2));
    assert_eq!(destroy("gone", 32, 33).await, Some(0));
}

/// An order of a deleted name has no key to destroy: it was abandoned, which removes its key.
pub async fn an_abandoned_order_has_no_key_to_destroy(store: Case) {
    let account = account();
    add(&store, "shop").await;
    let placed = placed_order("shop", &account, &[7]);
    let abandoned = Order { state: OrderState::Abandoned, ..placed.clone() };
    write(&store, async |tx| {
        tx.insert_account(&account).await?;
        tx.insert_order(&placed).await?;
        tx.update_order(&abandoned, "placed").await
    })
    .await;
    assert!(store.sealed_keys(SealedPlace::Orders, None, 9).await.unwrap().is_empty());
}

/// Deleted are sessions that ended, buckets that are full, reservations and days long past; nothing else.
#[expect(clippy::too_many_lines, reason = "a table")]
pub async fn rows_of_no_use_are_deleted(store: Case) {
    let user = User {
        name: "ann".to_owned(),
        roles: Role::Support.into(),
        password_hash: None,
        created_at: at(0),
        mac: vec![1],
    };
    let session = |number: u8, expires_at| SessionRecord {
        hash: [number; 32],
        user: "ann".to_owned(),
        roles: Role::Support.into(),
        created_at: at(0),
        used_at: at(0),
        expires_at: at(expires_at),
        mac: vec![1],
    };
    let (old, new) = (date(2025, 1, 1), date(2027, 1, 15));
    write(&store, async |tx| {
        tx.insert_user(&user).await?;
        for (number, expires_at) in [(1, 10), (2, 11), (3, 12)] {
            tx.insert_session(&session(number, expires_at)).await?;
        }
        for (key, time) in [("a", 5), ("b", 6), ("c", 7)] {
            tx.set_bucket(key, at(time)).await?;
        }
        for day in [old, new] {
            tx.set_rechecked(day).await?;
        }
        tx.count_day(Counted::Issued, "2025-01-01T00:00:00Z".parse().unwrap());
        tx.count_day(Counted::Issued, at(0));
        Ok(())
    })
    .await;
    let cleared = update(store.at(1), &add(&store, "shop").await.blocked(Reason::UnknownToC4).unwrap()).await;
    update(store.at(1), &cleared.clear().unwrap()).await;
    while store.fold_tallies(100).await.unwrap() > 0 {}
    let account = add_account(&store).await;
    let order = order("shop", &account);
    write(&store, async |tx| tx.insert_order(&order).await).await;
    for (bucket, second) in [("d", 10), ("e", 20)] {
        write(store.at(second), async |tx| {
            tx.reserve(order.id, &[bucket.to_owned()]).await?;
            tx.spend_later(order.id).await
        })
        .await;
    }

    let day = date(2026, 1, 1);
    let past = Past { sessions: at(11), buckets: at(6), reservations: at(15), days: day, midnights: day };
    let mut deleted = Vec::new();
    while !matches!(deleted.last(), Some(0)) {
        deleted.push(write(&store, async |tx| tx.forget(past, 1).await).await);
    }
    // Two sessions, two buckets, a reservation, a day and its count, the figures of a status and of a reason that no
    // domain has now.
    assert_eq!(deleted.iter().sum::<u64>(), 9, "{deleted:?}");
    assert!(deleted.len() > 2, "in batches: {deleted:?}");
    for (number, is_kept) in [(1, false), (2, false), (3, true)] {
        let kept = store.session(&[number; 32]).await.unwrap();
        assert_eq!(kept.is_some(), is_kept, "session {number}");
    }
    for (key, is_kept) in [("a", false), ("b", false), ("c", true)] {
        assert_eq!(store.bucket(key).await.unwrap().is_some(), is_kept, "bucket {key}");
    }
    for (bucket, is_kept) in [("d", false), ("e", true)] {
        let times = write(&store, async |tx| tx.take_spent(bucket).await).await;
        assert_eq!(!times.is_empty(), is_kept, "reservation of {bucket}");
    }
    assert!(!store.is_rechecked(old).await.unwrap());
    assert!(store.is_rechecked(new).await.unwrap());
    assert_eq!(store.overview(at(0)).await.unwrap().issued, [(new, 1)]);
}
