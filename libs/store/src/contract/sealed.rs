//! Sealed keys, wherever they are.

use std::sync::Arc;

use domain::{CertificateId, OrderState, Source};

use super::{account, add, at, certificate, fresh_uuid, name, order, write};
use crate::{Certificate, SealedKey, SealedPlace, Store};

/// Everything of one place, in pages of two.
async fn all(store: &dyn Store, place: SealedPlace) -> Vec<SealedKey> {
    let mut found: Vec<SealedKey> = Vec::new();
    loop {
        let after = found.last().map(|key| key.id.as_str());
        let page = store.sealed_keys(place, after, 2).await.expect("read");
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
    sealed: &[u8],
) -> SealedKey {
    SealedKey { place, id: id.to_string(), sealed_to: sealed_to.to_string(), sealed: sealed.to_vec() }
}

fn of_certificate(certificate: &Certificate) -> SealedKey {
    let (id, sealed) = (certificate.id(), certificate.sealed_key.as_deref());
    key(SealedPlace::Certificates, id, id, sealed.expect("a key"))
}

/// Accounts, orders that have a key, and certificates whose key is not destroyed; none twice, none left out.
pub async fn every_sealed_key_is_found(store: Arc<dyn Store>) {
    for place in SealedPlace::ALL {
        assert!(all(&*store, place).await.is_empty(), "{place:?}");
    }
    let account = account();
    let keyed_for = CertificateId::from(fresh_uuid());
    let mut keyed = order("keyed", &account);
    keyed.state = OrderState::Keyed {
        url: "https://ca/1".into(),
        certificate: keyed_for,
        sealed_key: vec![7, 0, 255],
        csr: vec![48],
    };
    let mut destroyed = certificate("shop", at(500), Source::C4);
    destroyed.sealed_key = None;
    let kept: Vec<Certificate> = (1..=5)
        .map(|number| Certificate {
            sealed_key: Some(vec![number, 0]),
            ..certificate("shop", at(500), Source::Text)
        })
        .collect();
    for label in ["keyed", "created", "shop"] {
        add(&*store, label).await;
    }
    write(&*store, async |tx| {
        tx.insert_account(&account).await?;
        tx.propose_account_key(account.id, &[4, 5]).await?;
        tx.insert_order(&order("created", &account)).await?;
        tx.insert_order(&keyed).await?;
        for certificate in kept.iter().rev().chain([&destroyed]) {
            tx.insert_certificate(certificate).await?;
        }
        Ok(())
    })
    .await;
    let found = all(&*store, SealedPlace::PendingAccounts).await;
    assert!(found == [key(SealedPlace::PendingAccounts, account.id, account.id, &[4, 5])]);
    let found = all(&*store, SealedPlace::Accounts).await;
    assert!(found == [key(SealedPlace::Accounts, account.id, account.id, &[1, 2, 3])]);
    let found = all(&*store, SealedPlace::Orders).await;
    assert!(found == [key(SealedPlace::Orders, keyed.id, keyed_for, &[7, 0, 255])]);
    let found = all(&*store, SealedPlace::Certificates).await;
    let mut expected: Vec<_> = kept.iter().map(of_certificate).collect();
    expected.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(found == expected);
}

/// Only as it was read, wherever it is; nothing else of the row changes, and what was destroyed stays so.
pub async fn a_sealed_key_is_replaced_as_it_was_read(store: Arc<dyn Store>) {
    let account = account();
    let mut keyed = order("shop", &account);
    keyed.state = OrderState::Keyed {
        url: "https://ca/1".into(),
        certificate: CertificateId::from(fresh_uuid()),
        sealed_key: vec![7],
        csr: vec![48],
    };
    let certificate = certificate("shop", at(500), Source::C4);
    let mut destroyed = super::certificate("shop", at(500), Source::C4);
    let before = of_certificate(&destroyed);
    destroyed.sealed_key = None;
    add(&*store, "shop").await;
    write(&*store, async |tx| {
        tx.insert_account(&account).await?;
        tx.propose_account_key(account.id, &[4]).await?;
        tx.insert_order(&keyed).await?;
        tx.insert_certificate(&certificate).await?;
        tx.insert_certificate(&destroyed).await
    })
    .await;
    for place in SealedPlace::ALL {
        let read = all(&*store, place).await.remove(0);
        let dropped = async {
            let mut tx = store.begin("dropped").await.expect("a transaction");
            assert!(tx.replace_sealed(&read, &[8]).await.expect("asked"));
        };
        dropped.await;
        write(&*store, async |tx| {
            assert!(tx.replace_sealed(&read, &[9, 9]).await?, "{place:?}");
            assert!(!tx.replace_sealed(&read, &[10]).await?, "{place:?}: it is another");
            Ok(())
        })
        .await;
        let anew = SealedKey { sealed: vec![9, 9], ..read };
        assert!(all(&*store, place).await == [anew], "{place:?}");
    }
    let gone = key(SealedPlace::Certificates, fresh_uuid(), fresh_uuid(), &[7]);
    write(&*store, async |tx| {
        assert!(!tx.replace_sealed(&before, &[9]).await?, "it was destroyed");
        assert!(!tx.replace_sealed(&gone, &[9]).await?, "it is gone");
        Ok(())
    })
    .await;
    let kept = store.certificate(certificate.id()).await.expect("read");
    let expected = Certificate { sealed_key: Some(vec![9, 9]), ..certificate };
    assert_eq!(kept, Some(expected));
    let order = store.live_order(&name("shop")).await.expect("read");
    let sealed_key = match order.expect("live").state {
        OrderState::Keyed { sealed_key, .. } => sealed_key,
        other => panic!("{other:?}"),
    };
    assert_eq!(sealed_key, [9, 9]);
    assert_eq!(store.certificate(destroyed.id()).await.expect("read"), Some(destroyed));
}
