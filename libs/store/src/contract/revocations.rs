//! Revocations and the certificates they are about.

use std::sync::Arc;

use domain::{RevocationReason, RevocationState, Source};

use super::{add, at, certificate, is_conflict, name, write};
use crate::{Certificate, Revocation, Store};

fn asked(certificate: &Certificate) -> Revocation {
    Revocation {
        certificate: certificate.id(),
        name: certificate.name.clone(),
        reason: RevocationReason::Superseded,
        state: RevocationState::Asked,
        requested_by: "token:ops".to_owned(),
        requested_at: at(1),
        waits_until: at(2),
        waiting_for: String::new(),
    }
}

async fn stored(store: &dyn Store, label: &str) -> Certificate {
    let certificate = certificate(label, at(1000), Source::C4);
    write(store, async |tx| tx.insert_certificate(&certificate).await).await;
    certificate
}

/// Every reason, changed before the end and not after it.
pub async fn a_revocation_comes_back_and_ends_once(store: Arc<dyn Store>) {
    let store = &*store;
    add(store, "shop").await;
    add(store, "other").await;
    let (first, second) = (stored(store, "shop").await, stored(store, "shop").await);
    let elsewhere = stored(store, "other").await;
    write(store, async |tx| tx.put_revocation(&asked(&elsewhere)).await).await;
    for reason in RevocationReason::ALL {
        let wish = Revocation { reason, ..asked(&first) };
        let read = write(store, async |tx| {
            tx.put_revocation(&wish).await?;
            tx.revocation(first.id()).await
        })
        .await;
        assert_eq!(read, Some(wish));
    }
    let none = write(store, async |tx| tx.revocation(second.id()).await).await;
    assert_eq!(none, None);
    let later = Revocation { requested_at: at(3), ..asked(&second) };
    write(store, async |tx| {
        tx.put_revocation(&later).await?;
        tx.note_revocation(second.id(), "not_pointed").await
    })
    .await;
    let all = store.revocations(&name("shop")).await.expect("read");
    let told: Vec<_> = all.iter().map(|one| (one.certificate, one.waiting_for.as_str())).collect();
    assert_eq!(told, [(first.id(), ""), (second.id(), "not_pointed")]);

    write(store, async |tx| {
        tx.end_revocation(first.id(), RevocationState::Revoked, at(9)).await?;
        tx.end_revocation(second.id(), RevocationState::Refused, at(9)).await
    })
    .await;
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.end_revocation(first.id(), RevocationState::Revoked, at(10)).await));
    drop(tx);
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.put_revocation(&asked(&first)).await));
    drop(tx);
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.note_revocation(second.id(), "late").await));
    drop(tx);
    // What was refused may be asked for again.
    write(store, async |tx| tx.put_revocation(&later).await).await;
    let read = store.certificate(first.id()).await.expect("read").expect("there");
    assert_eq!((read.revoked_at, read.withdrawn, read.ends_at()), (Some(at(9)), true, at(9)));
}

/// Of that name, whatever became of it.
pub async fn a_certificate_is_found_by_its_hash(store: Arc<dyn Store>) {
    let store = &*store;
    add(store, "shop").await;
    add(store, "other").await;
    let certificate = stored(store, "shop").await;
    let sha256 = certificate.summary.sha256.as_str();
    let find = async |label: &str, sha256: &str| {
        let name = name(label);
        write(store, async |tx| tx.certificate_by_sha256(&name, sha256).await).await
    };
    assert!(find("shop", sha256).await == Some(certificate.clone()));
    assert!(find("other", sha256).await.is_none());
    assert!(find("shop", &"0".repeat(64)).await.is_none());
}

/// Wherever it is read.
pub async fn a_withdrawn_certificate_says_so(store: Arc<dyn Store>) {
    let store = &*store;
    add(store, "shop").await;
    let certificate = stored(store, "shop").await;
    let newest = async || {
        let name = name("shop");
        let newest = write(store, async |tx| tx.newest_generated(&name, at(0)).await).await;
        newest.expect("there").withdrawn
    };
    assert!(!newest().await);
    write(store, async |tx| tx.put_revocation(&asked(&certificate)).await).await;
    assert!(newest().await);
    let read = store.certificate(certificate.id()).await.expect("read").expect("there");
    assert_eq!((read.withdrawn, read.revoked_at, read.ends_at()), (true, None, at(1000)));
}
