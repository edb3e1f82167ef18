//! Sealed keys, in every place.

use domain::{Order, OrderState, Source};
use store::{Certificate, SealedKey, SealedPlace, Store};

use crate::kit::{
    Case, account, add, at, attempt, certificate, fresh_uuid, name, order, placed_order, write,
};

/// All keys of one place, in pages of two.
async fn all(store: &Store, place: SealedPlace) -> Vec<SealedKey> {
    let mut found: Vec<SealedKey> = Vec::new();
    loop {
        let after = found.last().map(|key| key.id.as_str());
        let page = store.sealed_keys(place, after, 2).await.unwrap();
        let is_last = page.len() < 2;
        found.extend(page);
        if is_last {
            return found;
        }
    }
}

fn key<T: ToString + Copy>(
    place: SealedPlace,
    id: T,
    sealed_to: impl ToString + Copy,
    name: &str,
    sealed: &[u8],
) -> SealedKey {
    let (id, sealed_to) = (id.to_string(), sealed_to.to_string());
    SealedKey { place, id, sealed_to, name: name.to_owned(), sealed: sealed.to_vec() }
}

fn of_certificate(certificate: &Certificate) -> SealedKey {
    let (id, sealed) = (certificate.id(), certificate.sealed_key.as_deref());
    key(SealedPlace::Certificates, id, id, certificate.name.as_str(), sealed.unwrap())
}

/// Found are those of accounts, of orders that have one, and of certificates whose key was not destroyed; each once.
pub async fn every_sealed_key_is_found(store: Case) {
    for place in SealedPlace::ALL {
        assert!(all(&store, place).await.is_empty(), "{place:?}");
    }
    let account = account();
    let placed = placed_order("placed", &account, &[7, 0, 255]);
    let sealed_to = placed.state.key().unwrap().certificate;
    let destroyed = Certificate { sealed_key: None, ..certificate("shop", at(500), Source::C4) };
    let kept: Vec<Certificate> = (1..=5)
        .map(|number| Certificate {
            sealed_key: Some(vec![number, 0]),
            ..certificate("shop", at(500), Source::Text)
        })
        .collect();
    for label in ["placed", "ended", "shop"] {
        add(&store, label).await;
    }
    write(&store, async |tx| {
        tx.insert_account(&account).await?;
        tx.propose_account_key(account.id, &[4, 5]).await?;
        tx.insert_order(&Order { state: OrderState::Failed, ..order("ended", &account) }).await?;
        tx.insert_order(&placed).await?;
        for certificate in kept.iter().rev().chain([&destroyed]) {
            tx.insert_certificate(certificate).await?;
        }
        Ok(())
    })
    .await;
    let found = all(&store, SealedPlace::PendingAccounts).await;
    assert!(
        found == [key(SealedPlace::PendingAccounts, account.id, account.id, &account.directory_url, &[4, 5])]
    );
    let found = all(&store, SealedPlace::Accounts).await;
    assert!(
        found == [key(SealedPlace::Accounts, account.id, account.id, &account.directory_url, &[1, 2, 3])]
    );
    let found = all(&store, SealedPlace::Orders).await;
    assert!(found == [key(SealedPlace::Orders, placed.id, sealed_to, placed.name.as_str(), &[7, 0, 255])]);
    let found = all(&store, SealedPlace::Certificates).await;
    let mut expected: Vec<_> = kept.iter().map(of_certificate).collect();
    expected.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(found == expected);
}

/// In every place a key is replaced only if it is as it was read; nothing else of the row changes, and a destroyed
/// key stays destroyed.
pub async fn a_sealed_key_is_replaced_as_it_was_read(store: Case) {
    let account = account();
    let placed = placed_order("shop", &account, &[7]);
    let [kept, whole] = [(); 2].map(|()| certificate("shop", at(500), Source::C4));
    let before = of_certificate(&whole);
    let destroyed = Certificate { sealed_key: None, ..whole };
    add(&store, "shop").await;
    write(&store, async |tx| {
        tx.insert_account(&account).await?;
        tx.propose_account_key(account.id, &[4]).await?;
        tx.insert_order(&placed).await?;
        tx.insert_certificate(&kept).await?;
        tx.insert_certificate(&destroyed).await
    })
    .await;
    for place in SealedPlace::ALL {
        let read = all(&store, place).await.remove(0);
        attempt(&store, async |tx| assert!(tx.replace_sealed(&read, &[8]).await.unwrap())).await;
        write(&store, async |tx| {
            assert!(tx.replace_sealed(&read, &[9, 9]).await?, "{place:?}");
            assert!(!tx.replace_sealed(&read, &[10]).await?, "{place:?}: it is another");
            Ok(())
        })
        .await;
        let anew = SealedKey { sealed: vec![9, 9], ..read };
        assert!(all(&store, place).await == [anew], "{place:?}");
    }
    let gone = key(SealedPlace::Certificates, fresh_uuid(), fresh_uuid(), "gone", &[7]);
    write(&store, async |tx| {
        assert!(!tx.replace_sealed(&before, &[9]).await?, "it was destroyed");
        assert!(!tx.replace_sealed(&gone, &[9]).await?, "it is gone");
        Ok(())
    })
    .await;
    let read = store.certificate(&kept.name, kept.id()).await.unwrap();
    assert_eq!(read, Some(Certificate { sealed_key: Some(vec![9, 9]), ..kept }));
    let order = store.live_order(&name("shop")).await.unwrap().unwrap();
    assert_eq!(order.state.key().unwrap().sealed, [9, 9]);
    assert_eq!(store.certificate(&destroyed.name, destroyed.id()).await.unwrap(), Some(destroyed));
}
